"""A model in several files and the index.json that says which tensor is where, as Hugging Face's libraries write large ones.

    model.safetensors.index.json       {"metadata": …, "weight_map": {"wte.weight": "model-00001-of-00002.safetensors", …}}
    pytorch_model.bin.index.json       the same for PyTorch's files
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..system.json_reader import read_json
from ..system.text import listed, printable
from . import safetensors, torch_zip
from .kinds import kind_of
from .validation import WeightFormatError, refuse

_Read = TypeVar("_Read")


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the tensors of all files that an index names, in its order, as weights.load() describes them.

    Raises: WeightFormatError for an index that breaks the format or names a file outside its folder, for files and tensors that
    are missing or that it does not name; as the formats of the files; OSError.
    """
    from . import load as load_file  # it stands above the formats

    return _gathered(path, load_file)


def read_table(path: str | os.PathLike[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return each tensor's type and shape by name, from the headers of all files.  Raises: as load()."""
    readers = {"safetensors": safetensors.read_table, "torch_zip": torch_zip.read_table}
    return _gathered(path, lambda shard: readers[kind_of(shard)](shard))


def files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files that an index names, there or not.  Raises: WeightFormatError for an index that breaks the format."""
    return [Path(path).parent / shard for shard in sorted({*_read_index(path).values()})]


def _gathered(path: str | os.PathLike[str], read: Callable[[Path], dict[str, _Read]]) -> dict[str, _Read]:
    """Return what `read` finds in all files, by the tensors' names."""
    wanted = _read_index(path)
    folder, shards = Path(path).parent, sorted(set(wanted.values()))
    if absent := [shard for shard in shards if not (folder / shard).is_file()]:
        refuse(path, f"{listed(absent)} beside it: no such file", "all files that it names")
    if others := sorted(_others(folder, shards)):
        refuse(path, f"{listed(others)} beside it, which it does not name", "all files of the model in the index")
    found: dict[str, _Read] = {}
    for shard in shards:
        if (kind := kind_of(folder / shard)) not in ("safetensors", "torch_zip"):
            refuse(folder / shard, f"a file of the kind {kind}", "safetensors or PyTorch's")
        tensors = read(folder / shard)
        names = {name for name, place in wanted.items() if place == shard}
        problems = [f"no {name}" for name in sorted(names - tensors.keys())]
        problems += [f"{name}, which the index does not name there" for name in sorted(tensors.keys() - names)]
        if problems:
            refuse(folder / shard, listed(problems), f"the tensors that {printable(Path(path).name)} names")
        found.update(tensors)
    return {name: found[name] for name in wanted}


def _read_index(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the file of each tensor."""
    wanted = read_json(path, dict, error=WeightFormatError).get("weight_map")
    if not isinstance(wanted, dict) or not wanted:
        raise WeightFormatError(f"{printable(path)}: a JSON text without weight_map, expected weights or the index of several "
                                "files; name the model's folder")
    for name, shard in wanted.items():
        if not isinstance(shard, str) or not shard.strip(".") or len(shard) > 255 or re.search(r"[/\\:\0]", shard):
            refuse(path, f"{name!r} in {shard!r:.80}", "a file of the same folder")
    return wanted


def _others(folder: Path, shards: list[str]) -> set[str]:
    """Return the files that are called like a part of the same model and are not among its parts."""
    parts = {match for shard in shards if (match := re.fullmatch(r"(.*-)\d{5}(-of-\d{5}\..*)", shard))}
    patterns = {re.escape(match[1]) + r"\d{5}" + re.escape(match[2]) for match in parts}
    names = [path.name for path in folder.iterdir()]
    return {name for name in names for pattern in patterns if re.fullmatch(pattern, name)} - {*shards}
