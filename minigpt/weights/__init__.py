"""Arrays by name in a safetensors or npz file: load, save, and a WeightFormatError for every file that is neither.

Nothing in either format is code: a stranger's file can fail to load, but cannot run anything. That is why PyTorch's
pickles are not read here; scripts/convert_gpt2.py converts them. Which names a GPT needs is decided in pretrained.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..system.files import naming
from ..system.text import printable
from . import npz, safetensors
from .validation import WeightFormatError

__all__ = ["WeightFormatError", "load", "read_metadata", "save"]


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors or npz file, by name, in the order in which the file lists them.

    Which of the two it is, the file's first bytes say. A safetensors file's arrays are views of the memory-mapped file,
    read from the disk when first touched. They are writable: a write stays in memory and never reaches the file. F16
    and BF16 become float32 and BOOL becomes bool, as copies; F32, F64 and the integers keep their type. An npz file's
    arrays are read at once, with the same types.

    Raises: WeightFormatError for a file that breaks the format, found before any array is read or allocated, but for
    the checksums inside an npz; OSError for one that cannot be opened.
    """
    return naming(path, lambda: npz.load(path) if _is_npz(path) else safetensors.load(path))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the file's metadata, {} where it has none.

    Raises: as load().
    """
    return naming(path, lambda: npz.read_metadata(path) if _is_npz(path) else safetensors.read_metadata(path))


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


def _is_npz(path: str | os.PathLike[str]) -> bool:
    if Path(path).is_dir():
        raise WeightFormatError(f"{printable(path)}: a folder, expected a safetensors or npz file; name the file inside it")
    with open(path, "rb") as file:
        return file.read(4) in npz.MAGIC
