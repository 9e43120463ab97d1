"""A training run's state in one file: saved whole or not at all, read back exactly, the newest good one found again.

A checkpoint is a safetensors file "checkpoint-00000250.safetensors" with the run's arrays (parameters, moments) and, in its
metadata, what JSON can hold (step, data position, seeds, configuration, tokenizer). trainer.py decides what belongs in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import weights
from ..inputs import is_whole
from ..system.streams import say
from ..system.text import printable

FORMAT = 5      # raised whenever the arrays or the metadata mean something else
READABLE = (3, 4, 5)
KEPT = 2        # checkpoints kept, so that one remains if the newest is damaged

_NAME = re.compile(r"checkpoint-([0-9]{8}|[1-9][0-9]{8,})\.safetensors")      # as _name() makes them


class CheckpointError(RuntimeError):
    """No checkpoint could be written or read; those that were there still are."""


class DamagedError(CheckpointError):
    """A checkpoint that is not what was written: the one before it is used."""


@dataclass(frozen=True)
class Checkpoint:
    """A run's state after `step` steps: arrays by name, and metadata that JSON can hold.

    Raises CheckpointError listing every bad field.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, Any]

    def __post_init__(self) -> None:
        bad = [] if is_whole(self.step, 0) else [f"step {self.step!r:.80}, expected a whole number from 0"]
        bad += [f"{name} of type {type(value).__name__}, expected a mapping" for name, value in vars(self).items()
                if name != "step" and not isinstance(value, Mapping)]
        given: Mapping[str, Any] = {} if bad else self.arrays
        if others := [name for name, array in given.items() if not isinstance(array, np.ndarray)]:
            bad.append(f"arrays {', '.join(map(printable, others))}, expected NumPy's arrays")
        if bad:
            raise CheckpointError(f"Checkpoint: {'; '.join(bad)}")


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint beside the earlier ones, then remove all but the newest two.

    Raises CheckpointError for values that are not finite and where the file cannot be written; the earlier ones stay.
    """
    path = folder / _name(checkpoint.step)
    for name, array in checkpoint.arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} holds values that are not finite, expected numbers; nothing was written")
    text = json.dumps({"format": FORMAT, "step": checkpoint.step, **checkpoint.metadata})
    digest = _digest(checkpoint.arrays, text)
    try:
        weights.save(path, checkpoint.arrays, {"minigpt_checkpoint": text, "sha256": digest})
        for step, old in _written(folder)[KEPT:]:
            if step < checkpoint.step:
                old.unlink()
    except OSError as error:
        raise CheckpointError(f"{path}: {error}, expected to write it; make room or choose another folder") from error
    return path


def load(path: Path) -> Checkpoint:
    """Read and verify one checkpoint.

    Raises DamagedError for one that is not what was written, CheckpointError for a format that is not known here and for a
    file that cannot be opened.
    """
    try:
        header = weights.read_metadata(path)
        if "minigpt_checkpoint" not in header:
            raise DamagedError(f"{path}: a weight file, expected a training checkpoint; name a run's folder")
        text, arrays = header["minigpt_checkpoint"], weights.load(path)
        whole = "sha256" in header and header["sha256"] == _digest(arrays, text)
        metadata = json.loads(text)
        if not whole and metadata["format"] < 4:        # until then the checksum was of the arrays alone, and stood in the text
            whole = metadata["sha256"] == _digest(arrays)
        if not whole:
            raise DamagedError(f"{path}: its content does not match its checksum; use the one before it")
        if metadata["format"] not in READABLE:
            raise CheckpointError(f"{path}: format {metadata['format']}, expected {FORMAT}; go on with the minigpt that "
                                  "wrote it")
        if _name(metadata["step"]) != path.name:
            raise DamagedError(f"{path}: step {metadata['step']}, expected the one of its name; use the one before it")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path}: not a whole checkpoint ({error}); use the one before it") from error
    except OSError as error:
        raise CheckpointError(f"{path}: {error}, expected to read it; make it readable, or rename it to use the one "
                              "before") from error
    return Checkpoint(metadata["step"], arrays, metadata)


def load_newest(folder: Path, use: Callable[[Checkpoint], Any] = lambda checkpoint: checkpoint) -> Any:
    """The newest good checkpoint of a run, or what use() makes of it.

    For a damaged one load() or use() raises DamagedError: it is renamed to "….damaged", a line on stderr says so, and the one
    before it is used.  Raises CheckpointError where none is good.
    """
    problems = 0
    for _, path in _written(folder):
        try:
            return use(load(path))
        except DamagedError as error:
            problems += 1
            aside = path.with_name(path.name + ".damaged")
            try:
                path.replace(aside)
            except OSError as problem:
                raise CheckpointError(f"{error}; but it cannot be renamed: {problem}") from error
            say(f"{error}; kept as {aside.name}, going back to the one before", sys.stderr)
    found = f"{problems} damaged, none good" if problems else "no checkpoint"
    raise CheckpointError(f"{folder}: {found}, expected checkpoint-….safetensors; start a new run without --resume")


def newest_metadata(folder: Path) -> dict[str, Any]:
    """What a run's newest checkpoint says beside its arrays, which are not read; {} where no checkpoint says it."""
    for _, path in _written(folder):
        with suppress(ValueError, OSError):
            metadata = json.loads(weights.read_metadata(path).get("minigpt_checkpoint", "{}"))
            if isinstance(metadata, dict):
                return metadata
    return {}


def exists(folder: Path) -> bool:
    """Whether the folder holds a checkpoint, good or not."""
    return bool(_written(folder))


def _name(step: int) -> str:
    return f"checkpoint-{step:08d}.safetensors"


def _written(folder: Path) -> list[tuple[int, Path]]:
    """(step, path), the newest first.  Only names as save() writes them count: what else lies beside them is the user's.

    Raises CheckpointError for a folder that is there and cannot be listed: its run must not be taken for none.
    """
    try:
        names = os.listdir(folder)              # Path.glob() leaves out what it cannot read, without a word
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise CheckpointError(f"{folder}: {error}, expected to list its checkpoints; make it readable") from error
    return sorted(((int(match[1]), folder / name) for name in names
                   if (match := _NAME.fullmatch(name)) and (folder / name).is_file()), reverse=True)


def _digest(arrays: Mapping[str, np.ndarray], text: str = "") -> str:
    digest = hashlib.sha256(text.encode("utf-8"))
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape};".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
