"""safetensors files: 8 bytes, the length n of the header (little-endian), then n bytes of JSON, then the arrays.

    {"__metadata__": {"format": "np"},
     "wte.weight": {"dtype": "F32", "shape": [50257, 768], "data_offsets": [0, 154389504]}, ...}

Offsets are in bytes from the end of the header; the arrays lie there in row-major order without gaps.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..system.files import write_atomic
from ..system.json_reader import parse_json
from ..system.text import printable
from .strangers import what_is
from .validation import WeightFormatError, are_sizes, recognize, refuse, refuse_kind, size_of

# In the order in which the reference implementation sorts them: save() puts the last kind first, so that every array
# is aligned to its items. BF16 (the upper half of a float32) is unknown to NumPy: its bits are read as integers.
_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}
CODES = {dtype: code for code, dtype in _DTYPES.items() if code != "BF16"}

_MAX_HEADER = 16_000_000  # bytes; GPT-2 XL needs 60,000
_MAX_VALUES = 200_000  # JSON values in a header, which bounds the memory; GPT-2 XL has 5,000


class _Entry(NamedTuple):
    code: str
    shape: tuple[int, ...]
    begin: int  # bytes from the end of the header
    end: int


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Map the file into memory and return views of it by name, as weights.load() describes them."""
    entries, _, start = _read_header(path)
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return {name: _array(data, start, entry) for name, entry in entries.items()}


def read_table(path: str | os.PathLike[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return each array's type and shape by name, from the header alone."""
    names = {code: dtype.name for code, dtype in _DTYPES.items()} | {"BF16": "bfloat16"}
    return {name: (names[entry.code], entry.shape) for name, entry in _read_header(path)[0].items()}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the strings under "__metadata__", {} where there are none."""
    return _read_header(path)[1]


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None) -> None:
    """Write arrays of the types in CODES, one by one and straight from where they are.

    Raises: WeightFormatError for a header that load() would refuse, before anything is written.
    """
    codes = {name: CODES[array.dtype.newbyteorder("<")] for name, array in arrays.items()}
    rank = {code: index for index, code in enumerate(_DTYPES)}
    names = sorted(arrays, key=lambda name: (-rank[codes[name]], name))
    table: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        begin, end = end, end + arrays[name].nbytes
        table[name] = {"dtype": codes[name], "shape": list(arrays[name].shape), "data_offsets": [begin, end]}
    # "surrogatepass": a name that is not Unicode text is refused by _parse with the other bad headers.
    header = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    header += b" " * (-len(header) % 8)  # the header starts at byte 8, so the arrays start at a multiple of 8
    _parse(header, end, path)  # nothing is written that load() would not read

    def pieces() -> Iterator[bytes | memoryview]:
        yield len(header).to_bytes(8, "little")
        yield header
        for name in names:
            array = arrays[name]
            flat = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1)
            yield flat.view(np.uint8).data

    write_atomic(path, pieces())


def _array(data: mmap.mmap, start: int, entry: _Entry) -> np.ndarray:
    dtype, size = _DTYPES[entry.code], math.prod(entry.shape)
    array = np.frombuffer(data, dtype, size, start + entry.begin) if size else np.empty(0, dtype)
    array = array.reshape(entry.shape)
    if entry.code == "F16":
        return array.astype(np.float32)
    if entry.code == "BF16":
        bits = array.astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    if entry.code == "BOOL":
        return array.view(np.uint8) != 0  # bytes other than 0 and 1 are no bools that NumPy can count on
    # Headers of other writers may have any length; arithmetic on unaligned arrays is slow, so those are copied.
    return array if array.flags.aligned else array.copy()


def _read_header(path: str | os.PathLike[str]) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """Return the entries by name, the metadata, and where in the file the arrays start."""
    with open(path, "rb") as file:
        file_size = os.fstat(file.fileno()).st_size
        head = file.read(512)
        length = int.from_bytes(head[:8], "little")
        try:
            if file_size < 8:
                refuse(path, f"{file_size} bytes", "at least 8")
            if length > file_size - 8:
                refuse(path, f"a header length of {length:,} bytes in a file of {file_size:,}", "one that fits")
            _check_length(length, path)
            file.seek(8)
            entries, metadata = _parse(file.read(length), file_size - 8 - length, path)
        except WeightFormatError as error:
            if kind := recognize(head):
                refuse_kind(path, kind, error)
            if stranger := what_is(path):
                raise WeightFormatError(f"{printable(path)}: {stranger}") from error
            raise
    return entries, metadata, 8 + length


def _check_length(length: int, path: str | os.PathLike[str]) -> None:
    if length < 2:
        refuse(path, f"a header length of {length}", "at least 2, for {}")
    if length > _MAX_HEADER:
        refuse(path, f"a header length of {length:,} bytes", f"at most {_MAX_HEADER:,}")


def _parse(header: bytes, data_size: int, path: str | os.PathLike[str]) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Check the whole header against the data_size bytes that follow it: (entries by name, metadata)."""
    _check_length(len(header), path)
    if not header.lstrip(b" \t\r\n").startswith(b"{"):      # padding may also stand in front
        refuse(path, f"a header that starts with {header[:8]!r}", "'{'")
    table = parse_json(header, f"{path}: header", dict, error=WeightFormatError, most_values=_MAX_VALUES)
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        refuse(path, "__metadata__ with something other than strings", "strings by name")
    entries = {name: _entry(name, value, path) for name, value in table.items()}
    _check_layout(entries, data_size, path)
    return entries, metadata


def _entry(name: str, value: Any, path: str | os.PathLike[str]) -> _Entry:
    """Check one array's line of the header on its own."""
    fields: Any = value if isinstance(value, dict) else {}
    code, shape, offsets = (fields.get(field) for field in ("dtype", "shape", "data_offsets"))
    if not isinstance(code, str) or code not in _DTYPES:
        refuse(path, f"{name!r} of dtype {code!r:.40}", f"one of {', '.join(_DTYPES)}")
    size = size_of(path, name, shape, _DTYPES[code].itemsize)
    if not are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        refuse(path, f"{name!r} at data_offsets {offsets!r:.80}", "integers [begin, end] with 0 ≤ begin ≤ end")
    begin, end = offsets
    if end - begin != size:
        refuse(path, f"{name!r} with {end - begin} bytes of data", f"{size} for shape {shape} of {code}")
    return _Entry(code, tuple(shape), begin, end)


def _check_layout(entries: dict[str, _Entry], data_size: int, path: str | os.PathLike[str]) -> None:
    """Refuse arrays that overlap, leave a hole, or do not end where the file ends."""
    filled, before = 0, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin < filled:
            refuse(path, f"{name!r} overlapping {before!r}", f"its data to begin at {filled}, not {entry.begin}")
        if entry.begin > filled:
            refuse(path, f"a hole of {entry.begin - filled} bytes before {name!r}", "arrays without gaps")
        filled, before = entry.end, name
    if filled > data_size:
        refuse(path, f"{data_size:,} bytes of data", f"{filled:,}: the file is cut short")
    if filled < data_size:
        refuse(path, f"{data_size - filled:,} bytes after the last array", "the file to end there")
