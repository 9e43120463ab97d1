"""Arrays by name in a safetensors or npz file: load, save, and a WeightFormatError for every file that is neither.

A safetensors file is 8 bytes, the length n of the header (little-endian), then n bytes of JSON, then the arrays:

    {"__metadata__": {"format": "np"},
     "wte.weight": {"dtype": "F32", "shape": [50257, 768], "data_offsets": [0, 154389504]}, ...}

Offsets are in bytes from the end of the header; the arrays lie there in row-major order without gaps. An npz file,
numpy.savez's, is a zip archive with a member "wte.weight.npy" for each array: magic and version, the header's length,

    {'descr': '<f4', 'fortran_order': False, 'shape': (50257, 768), }

and the array. Nothing in either is code: a stranger's file can fail to load, but cannot run anything. That is why
PyTorch's pickles are not read here; scripts/convert_gpt2.py converts them. Which names a GPT needs is not decided here.
"""

from __future__ import annotations

import ast
import io
import json
import math
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, TypeGuard

import numpy as np

from ..system.files import write_atomic

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
_CODES = {dtype: code for code, dtype in _DTYPES.items() if code != "BF16"}

_MAX_HEADER = 16_000_000  # bytes; GPT-2 XL needs 60,000
# Each JSON value costs some hundred bytes once parsed, and each but the first follows one of [ { , : counting these
# bounds the memory before parsing. GPT-2 XL has 5,000.
_MAX_VALUES = 200_000
_MAX_DIMENSIONS = 32  # NumPy 1.26's limit

# NumPy's own codes, such as "<f4", of either byte order; "|O", Python objects in a pickle, is not among them.
_DESCRIPTIONS = {
    dtype.newbyteorder(order).str: dtype.newbyteorder(order) for dtype in _CODES for order in ("<", ">")
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the first bytes of an archive, and of an empty one
_MAX_NPY_HEADER = 4096  # bytes; 32 dimensions of 20 digits are 700
# Bytes read or written at once, and so also the longest list of a zip's members. Parsed it takes 15 times that; GPT-2 XL's
# has 60,000 bytes.
_PIECE = 1 << 20
_SLACK = 32_000_000  # bytes that any archive may unpack to, and beyond them twice its size: weights hardly compress


_PICKLE = "a pickle, such as PyTorch's .bin and .pt"
_CONVERT = "convert it with scripts/convert_gpt2.py FILE --out FOLDER, where PyTorch is installed"


class WeightFormatError(ValueError):
    """The file is not what it should be; the message says what it is, what was expected and what to do."""


class _Entry(NamedTuple):
    code: str
    shape: tuple[int, ...]
    begin: int  # bytes from the end of the header
    end: int


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors or npz file, by name, in the order in which the file lists them.

    Which of the two it is, the file's first bytes say. A safetensors file's arrays are views of the memory-mapped file,
    read from the disk when first touched. They are writable: a write stays in memory and never reaches the file. F16
    and BF16 become float32 and BOOL becomes bool, as copies; F32, F64 and the integers keep their type. An npz file's
    arrays are read at once, with the same types.

    Errors: WeightFormatError for a file that breaks the format, found before any array is read or allocated, but for
    the checksums and headers inside an npz; OSError for one that cannot be opened.
    """
    if _is_zip(path):
        return _load_npz(path)
    entries, _, start = _read_header(path)
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return {name: _array(data, start, entry) for name, entry in entries.items()}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the file's metadata, {} where it has none. Errors as load()."""
    if _is_zip(path):
        with _open_npz(path) as archive:
            return _read_comment(archive.comment)
    return _read_header(path)[1]


def save(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays by name, whole or not at all: as npz if the path ends in ".npz", else as a safetensors file.

    Arrays go out one by one, straight from where they are: only one that is not contiguous is copied, and only while
    it is written. Types as load() lists them, and float16. The same arrays always give the same bytes.

    metadata: any strings by name, kept in the header, or as JSON in the zip's comment of at most 65,535 bytes.

    Errors: TypeError for something other than arrays and strings, ValueError for a type the format does not know,
    WeightFormatError for a header that load() would refuse, OSError from the disk. None of them touches the file.
    """
    if not all(isinstance(text, str) for pair in (metadata or {}).items() for text in pair):
        raise TypeError(
            f"metadata: {dict(metadata or {})!r:.80}, expected strings by name; convert the values with str"
        )
    arrays = {name: _checked(name, tensor) for name, tensor in tensors.items()}
    if Path(path).suffix == ".npz":
        return _save_npz(path, arrays, metadata)
    codes = {name: _CODES[array.dtype.newbyteorder("<")] for name, array in arrays.items()}
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


def _checked(name: Any, tensor: Any) -> np.ndarray:
    if not isinstance(name, str) or name == "__metadata__":
        raise ValueError(f"tensors: the name {name!r}, expected a string other than '__metadata__'; rename it")
    if not isinstance(tensor, np.ndarray):
        raise TypeError(f"{name}: {type(tensor).__name__}, expected a NumPy array; pass np.asarray(...)")
    if tensor.dtype.newbyteorder("<") not in _CODES:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise ValueError(f"{name}: dtype {tensor.dtype}, expected one of {known}; convert it with .astype")
    return tensor


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


def _is_zip(path: str | os.PathLike[str]) -> bool:
    if Path(path).is_dir():
        raise WeightFormatError(f"{path}: a folder, expected a safetensors or npz file; name the file inside it")
    with open(path, "rb") as file:
        return file.read(4) in _ZIP


def _read_header(path: str | os.PathLike[str]) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """Return the entries by name, the metadata, and where in the file the arrays start."""
    with open(path, "rb") as file:
        file_size = os.fstat(file.fileno()).st_size
        head = file.read(512)
        length = int.from_bytes(head[:8], "little")
        try:
            if file_size < 8:
                _refuse(path, f"{file_size} bytes", "at least 8")
            if length > file_size - 8:
                _refuse(path, f"a header length of {length:,} bytes in a file of {file_size:,}", "one that fits")
            _check_length(length, path)
            file.seek(8)
            header = file.read(length)
            entries, metadata = _parse(header, file_size - 8 - length, path)
        except WeightFormatError as error:
            kind = _recognize(head)
            if kind is None:
                raise
            remedy = _CONVERT if kind == _PICKLE else "download the file itself"
            raise WeightFormatError(f"{path}: {kind}, expected a safetensors or npz file; {remedy}") from error
    return entries, metadata, 8 + length


def _recognize(head: bytes) -> str | None:
    """Name the things that turn up under a weight file's name, from their first bytes."""
    if b"\0" not in head[:8]:  # where a header length has zeros, a text has none
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if text.startswith((b"<!doctype html", b"<html")):
            return "an HTML page"
        if text.startswith(b"version https://git-lfs"):
            return "a Git LFS pointer"
        if text.startswith((b"{", b"[")):
            return "a JSON text"
    if head.startswith(b"\x1f\x8b\x08"):
        return "a gzip archive"
    # Protocol 2 or later; a safetensors header of 640 bytes starts with the same two, but then come zeros.
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5") and any(head[2:8]):
        return _PICKLE
    return None


def _check_length(length: int, path: str | os.PathLike[str]) -> None:
    if length < 2:
        _refuse(path, f"a header length of {length}", "at least 2, for {}")
    if length > _MAX_HEADER:
        _refuse(path, f"a header length of {length:,} bytes", f"at most {_MAX_HEADER:,}")


def _parse(header: bytes, data_size: int, path: str | os.PathLike[str]) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Check the whole header against the data_size bytes that follow it: (entries by name, metadata)."""
    _check_length(len(header), path)
    if not header.startswith(b"{"):
        _refuse(path, f"a header that starts with {header[:8]!r}", "'{'")
    values = sum(header.count(mark) for mark in (b"[", b"{", b","))
    if values > _MAX_VALUES:
        _refuse(path, f"a header of {values:,} values", f"at most {_MAX_VALUES:,}")
    try:
        table = json.loads(
            header.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
        for name in table:
            name.encode("utf-8")  # "\ud800" is valid JSON and no text
    except RecursionError:
        _refuse(path, "a header of deeply nested brackets", "a table of arrays")
    except ValueError as error:  # JSONDecodeError and UnicodeError are ValueErrors
        _refuse(path, f"a header that cannot be read ({error})", "UTF-8 JSON", error)
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(path, "__metadata__ with something other than strings", "strings by name")
    entries = {name: _entry(name, value, path) for name, value in table.items()}
    _check_layout(entries, data_size, path)
    return entries, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"{name!r} appears twice")
        table[name] = value
    return table


def _integer(digits: str) -> int:
    if len(digits) > 20:  # 2^64 has 20; Python's time for longer ones grows with the square of their length
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} where only integers belong")


def _entry(name: str, value: Any, path: str | os.PathLike[str]) -> _Entry:
    """Check one array's line of the header on its own."""
    fields = value if isinstance(value, dict) else {}
    code, shape, offsets = (fields.get(field) for field in ("dtype", "shape", "data_offsets"))
    if not isinstance(code, str) or code not in _DTYPES:
        _refuse(path, f"{name!r} of dtype {code!r:.40}", f"one of {', '.join(_DTYPES)}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        _refuse(path, f"{name!r} of shape {shape!r:.80}", f"a list of at most {_MAX_DIMENSIONS} integers ≥ 0")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _refuse(path, f"{name!r} at data_offsets {offsets!r:.80}", "[begin, end] with 0 ≤ begin ≤ end")
    itemsize = _DTYPES[code].itemsize
    # math.prod is exact where np.prod overflows; zeros are left out because NumPy too checks the other dimensions.
    if math.prod(size for size in shape if size) * itemsize >= 2**63:
        _refuse(path, f"{name!r} of shape {shape}", "fewer than 2^63 bytes")
    if offsets[1] - offsets[0] != math.prod(shape) * itemsize:
        found = f"{name!r} with {offsets[1] - offsets[0]} bytes of data"
        _refuse(path, found, f"{math.prod(shape) * itemsize} for shape {shape} of {code}")
    return _Entry(code, tuple(shape), *offsets)


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)  # True is an int


def _check_layout(entries: dict[str, _Entry], data_size: int, path: str | os.PathLike[str]) -> None:
    """Refuse arrays that overlap, leave a hole, or do not end where the file ends."""
    filled, before = 0, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin < filled:
            _refuse(path, f"{name!r} overlapping {before!r}", f"its data to begin at {filled}, not {entry.begin}")
        if entry.begin > filled:
            _refuse(path, f"a hole of {entry.begin - filled} bytes before {name!r}", "arrays without gaps")
        filled, before = entry.end, name
    if filled > data_size:
        _refuse(path, f"{data_size:,} bytes of data", f"{filled:,}: the file is cut short")
    if filled < data_size:
        _refuse(path, f"{data_size - filled:,} bytes after the last array", "the file to end there")


# --- npz


class _Frugal(io.FileIO):
    """A file for zipfile, which reads a list of members of any length in one piece and follows any offset in it."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _PIECE:
            raise zipfile.BadZipFile(f"a list of members of {size:,} bytes")
        return super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and not 0 <= offset < 2**63:
            raise zipfile.BadZipFile(f"a member at byte {offset:,}")
        return super().seek(offset, whence)


class _Sink(io.RawIOBase):
    """What zipfile writes to: keeps the bytes until they are taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces


@contextmanager
def _open_npz(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """The archive, its list of members checked; whatever zipfile raises becomes a WeightFormatError."""
    try:
        with _Frugal(path) as file, zipfile.ZipFile(file) as archive:
            _check_members(path, archive.infolist(), os.fstat(file.fileno()).st_size)
            yield archive
    except (zipfile.BadZipFile, EOFError, zlib.error, struct.error, UnicodeError, NotImplementedError) as error:
        _refuse(path, f"a zip archive that cannot be read ({error})", "a whole npz file", error)


def _check_members(path: str | os.PathLike[str], members: list[zipfile.ZipInfo], file_size: int) -> None:
    names = [member.filename for member in members]
    if any(name.endswith("data.pkl") for name in names):
        raise WeightFormatError(f"{path}: {_PICKLE}, expected a safetensors or npz file; {_CONVERT}")
    if len(set(names)) < len(names):
        _refuse(path, f"{max(names, key=names.count)!r} twice", "each name once")
    for member in members:
        if problem := _member_problem(member.filename):
            _refuse(path, f"a member {member.filename!r}", problem)
        if member.flag_bits & 1:
            _refuse(path, f"{member.filename!r} encrypted", "plain members")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            _refuse(path, f"{member.filename!r} compressed by method {member.compress_type}", "stored or deflated")
    # Before anything is inflated: what the members say of their size, and zipfile reads no more than that.
    unpacked = sum(member.file_size for member in members)
    if unpacked > 2 * file_size + _SLACK:
        _refuse(path, f"{file_size:,} bytes that unpack to {unpacked:,}", f"at most {2 * file_size + _SLACK:,}")


def _member_problem(name: str) -> str | None:
    """What a member's name should be, if it is not that"""
    if not name.endswith(".npy"):
        return "only arrays, NAME.npy"
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        return "a name that leads nowhere when somebody unpacks it"
    return None


def _load_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    with _open_npz(path) as archive:
        return {member.filename.removesuffix(".npy"): _read_member(path, archive, member) for member in archive.infolist()}


def _read_member(path: str | os.PathLike[str], archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        dtype, shape, fortran_order, start = _read_npy_header(path, member.filename, file)
        size = math.prod(shape) * dtype.itemsize
        if size != member.file_size - start:
            found = f"{member.filename!r} with {member.file_size - start} bytes of data"
            _refuse(path, found, f"{size} for shape {shape} of {dtype}")
        data = np.empty(size, np.uint8)
        filled = 0
        while piece := file.read(_PIECE):       # to the end, where zipfile compares the checksum
            data[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
    if filled < size:
        _refuse(path, f"{member.filename!r} with {filled} bytes of data", f"{size}: it is cut short")
    array = (data != 0) if dtype.kind == "b" else data.view(dtype)  # bytes other than 0 and 1 are no bools
    array = array.reshape(shape[::-1]).T if fortran_order else array.reshape(shape)
    if dtype == np.float16:
        return array.astype(np.float32)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_npy_header(
    path: str | os.PathLike[str], name: str, file: IO[bytes]
) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Return the dtype, the shape, whether columns come first, and where in the member the data start."""
    head = file.read(8)
    if head[:6] != b"\x93NUMPY" or head[6:7] not in (b"\1", b"\2", b"\3"):
        _refuse(path, f"{name!r} that starts with {head!r}", "an array of npy version 1 to 3")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_NPY_HEADER:
        _refuse(path, f"{name!r} with a header of {length:,} bytes", f"at most {_MAX_NPY_HEADER:,}")
    try:
        # literal_eval reads constants and containers of them, nothing else.
        fields = ast.literal_eval(file.read(length).decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:  # the last two: nested brackets
        _refuse(path, f"{name!r} with a header that cannot be read", "a table of descr, fortran_order and shape", error)
    if not isinstance(fields, dict) or fields.keys() != {"descr", "fortran_order", "shape"}:
        _refuse(path, f"{name!r} with the header {fields!r:.100}", "descr, fortran_order and shape")
    code, shape, fortran_order = fields["descr"], fields["shape"], fields["fortran_order"]
    if not isinstance(code, str) or code not in _DESCRIPTIONS:
        found = "Python objects" if code == "|O" else f"dtype {code!r:.40}"
        _refuse(path, f"{name!r} of {found}", f"numbers of one of {', '.join(_DESCRIPTIONS)}")
    if not isinstance(shape, tuple) or not _are_sizes(list(shape)) or len(shape) > _MAX_DIMENSIONS:
        _refuse(path, f"{name!r} of shape {shape!r:.80}", f"a tuple of at most {_MAX_DIMENSIONS} integers ≥ 0")
    if not isinstance(fortran_order, bool):
        _refuse(path, f"{name!r} with fortran_order {fortran_order!r:.40}", "True or False")
    dtype = _DESCRIPTIONS[code]
    if math.prod(size for size in shape if size) * dtype.itemsize >= 2**63:
        _refuse(path, f"{name!r} of shape {shape}", "fewer than 2^63 bytes")
    return dtype, shape, fortran_order, len(head) + width + length


def _read_comment(comment: bytes) -> dict[str, str]:
    """The metadata that _save_npz() left; any other comment is none."""
    try:
        table = json.loads(comment)
    except (ValueError, RecursionError):
        return {}
    is_ours = isinstance(table, dict) and all(isinstance(value, str) for value in table.values())
    return table if is_ours else {}


def _save_npz(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None
) -> None:
    for name in arrays:
        if problem := _member_problem(f"{name}.npy"):
            raise ValueError(f"tensors: the name {name!r}, expected {problem}; rename it, or save as safetensors")
    comment = json.dumps(dict(sorted((metadata or {}).items()))).encode() if metadata else b""
    if len(comment) > 65_535:
        raise WeightFormatError(f"{path}: {len(comment):,} bytes of metadata, expected at most 65,535; save as safetensors")

    def pieces() -> Iterator[bytes]:
        sink = _Sink()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.comment = comment
            for name, array in sorted(arrays.items()):
                member = zipfile.ZipInfo(f"{name}.npy")  # of 1980, so that the same arrays give the same bytes
                member.file_size = array.nbytes + _MAX_NPY_HEADER  # decides between zip's small and large fields
                flat = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
                header = io.BytesIO()
                fields = {"descr": flat.dtype.str, "fortran_order": False, "shape": array.shape}
                np.lib.format.write_array_header_1_0(header, fields)
                with archive.open(member, "w") as file:
                    file.write(header.getvalue())
                    data = flat.reshape(-1).view(np.uint8).data
                    for start in range(0, len(data), _PIECE):
                        file.write(data[start : start + _PIECE])
                        yield from sink.take()
        yield from sink.take()

    write_atomic(path, pieces())


def _refuse(path: str | os.PathLike[str], found: str, expected: str, cause: Exception | None = None) -> NoReturn:
    # Cut, because a hostile name may have megabytes.
    message = f"{path}: {found:.300}, expected {expected:.300}; download or save the file again"
    raise WeightFormatError(message) from cause
