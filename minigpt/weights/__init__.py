"""Arrays by name in a file: load, save, and a WeightFormatError for every file that is damaged or something else.

Nothing in such a file can run: of PyTorch's pickles torch_zip.py obeys only what makes tensors, the other formats hold no code.
Which names a GPT needs is decided in state_dict.py, which files a model has in sources.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..system.files import naming
from ..system.text import printable
from . import npz, safetensors
from .kinds import kind_of
from .validation import WeightFormatError

__all__ = ["WeightFormatError", "load", "read_metadata", "save"]


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the arrays of a file, by name, in the order in which the file lists them.

    What it is, the content says: safetensors, npz, PyTorch's .bin and .pt, the index.json of a model in several files, a
    TensorFlow checkpoint (its folder, NAME or NAME.index), llm.c's .bin, or GGUF, for which the gguf package is needed. The
    arrays of the last two are given by GPT-2's names.

    Arrays are views of the memory-mapped file where they can be, read from the disk when first touched. They are writable: a
    write stays in memory and never reaches the file. F16, BF16 and quantized numbers become float32 and BOOL becomes bool, as
    copies; F32, F64 and the integers keep their type. An npz file's arrays are read at once, with the same types.

    Raises: WeightFormatError for a file that breaks the format, found before any array is read or allocated, but for
    the checksums inside; OSError for one that cannot be opened.
    """

    def read() -> dict[str, np.ndarray]:
        return import_module(f".{kind_of(path)}", __name__).load(path)

    return naming(path, read)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata of a safetensors or npz file, {} where it has none or is another kind of file.

    Raises: as load().
    """

    def read() -> dict[str, str]:
        kind = kind_of(path)
        return npz.read_metadata(path) if kind == "npz" else safetensors.read_metadata(path) if kind == "safetensors" else {}

    return naming(path, read)


def save(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays by name, whole or not at all: as npz if the path ends in ".npz", else as a safetensors file.

    Arrays go out one by one, straight from where they are: only one that is not contiguous is copied, and only while
    it is written. Types as load() lists them, and float16. The same arrays always give the same bytes.

    metadata: any strings by name, kept in the header, or as JSON in the zip's comment of at most 65,535 bytes.

    Raises: TypeError for something other than arrays and strings, ValueError for a type the format does not know,
    WeightFormatError for a header that load() would refuse, OSError from the disk. None of them touches the file.
    """
    if not all(isinstance(text, str) for pair in (metadata or {}).items() for text in pair):
        raise TypeError(
            f"metadata: {printable(repr(dict(metadata or {})), 80)}, expected strings by name; convert the values with str"
        )
    for name, tensor in tensors.items():
        _check(name, tensor)
    (npz if Path(path).suffix == ".npz" else safetensors).save(path, tensors, metadata)


def _check(name: Any, tensor: Any) -> None:
    if not isinstance(name, str) or name == "__metadata__":
        raise ValueError(f"tensors: the name {printable(repr(name))}, expected a string other than '__metadata__'; rename it")
    if not isinstance(tensor, np.ndarray):
        raise TypeError(f"{printable(name)}: {type(tensor).__name__}, expected a NumPy array; pass np.asarray(...)")
    if tensor.dtype.newbyteorder("<") not in safetensors.CODES:
        known = ", ".join(str(dtype) for dtype in safetensors.CODES)
        raise ValueError(f"{printable(name)}: dtype {tensor.dtype}, expected one of {known}; convert it with .astype")

