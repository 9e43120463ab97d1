"""WeightFormatError, and what the formats refuse alike: files that are something else, impossible shapes."""

from __future__ import annotations

import math
import os
from typing import Any, NoReturn, TypeGuard

from ..system.text import printable

PICKLE = "a pickle, as PyTorch wrote before version 1.6"
POINTER = "a Git LFS pointer"      # also what Xet, Hugging Face's successor of Git LFS, leaves in the place of a file
_GGML = "a GGML file of before GGUF"
_STARTS = {
    b"\x1f\x8b\x08": "a gzip archive", b"7z\xbc\xaf": "a 7-Zip archive",
    **dict.fromkeys((b"lmgg", b"tjgg", b"fmgg"), _GGML),
}
_MAX_DIMENSIONS = 32  # NumPy 1.26's limit


class WeightFormatError(ValueError):
    """The file is not what it should be; the message says what it is, what was expected and what to do."""


def refuse(path: str | os.PathLike[str], found: str, expected: str, cause: Exception | None = None) -> NoReturn:
    """Raise WeightFormatError about a file that breaks its format."""
    message = f"{printable(path)}: {printable(found, 300)}, expected {printable(expected, 300)}"
    raise WeightFormatError(f"{message}; download or save the file again") from cause


def refuse_kind(path: str | os.PathLike[str], kind: str, cause: Exception | None = None) -> NoReturn:
    """Raise WeightFormatError about a file that is something else altogether, such as recognize() names."""
    if kind == POINTER:
        remedy = "run git lfs pull in the cloned folder, or download the file itself"
    elif kind == _GGML:
        remedy = "take the model that it was made of"
    elif kind == PICKLE:
        remedy = "open it once with torch and save it again, torch.save(torch.load(OLD, weights_only=True), NEW)"
    else:
        remedy = "download the file itself"
    raise WeightFormatError(f"{printable(path)}: {kind}, expected a file of weights; {remedy}") from cause


def recognize(head: bytes) -> str | None:
    """Name the things that turn up under a weight file's name, from their first bytes; None for anything else."""
    if b"\0" not in head[:8]:  # where a safetensors file's header length has zeros, a text has none
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if text.startswith((b"<!doctype html", b"<html")):
            return "an HTML page"
        if text.startswith((b"version https://git-lfs", b"# xet version")):
            return POINTER
        if text.startswith((b"{", b"[")):
            return "a JSON text"
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    # Protocol 2 or later; a safetensors header of 640 bytes starts with the same two, but then come zeros.
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5") and any(head[2:8]):
        return PICKLE
    return None


def are_sizes(values: Any) -> TypeGuard[list[int] | tuple[int, ...]]:
    """Whether these are integers ≥ 0 in a list or tuple; True and 2.0 are none."""
    return isinstance(values, (list, tuple)) and all(type(value) is int and value >= 0 for value in values)


def size_of(path: str | os.PathLike[str], name: str, shape: Any, itemsize: int) -> int:
    """Return the number of bytes of an array with the shape that the file declares.

    Raises: WeightFormatError for a shape that no array can have.
    """
    if not are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        refuse(path, f"{name!r} of shape {shape!r:.80}", f"at most {_MAX_DIMENSIONS} integers ≥ 0")
    # math.prod is exact where np.prod overflows; zeros are left out because NumPy too checks the other dimensions.
    if math.prod(size for size in shape if size) * itemsize >= 2**63:
        refuse(path, f"{name!r} of shape {shape}", "fewer than 2^63 bytes")
    return math.prod(shape) * itemsize
