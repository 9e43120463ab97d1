"""npz files: zip archives as numpy.savez writes them, with a member NAME.npy for each array. NumPy reads them.

A member is a magic number and version, the header's length, the header and the array:

    {'descr': '<f4', 'fortran_order': False, 'shape': (50257, 768), }

Before NumPy allocates anything, this module checks what the archive's list and the members' headers declare.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ..system.files import write_atomic
from ..system.json_reader import parse_json
from ..system.text import printable
from .validation import WeightFormatError, refuse, refuse_kind, size_of

_MAX_HEADER = 4096  # bytes of a member before its array; 32 dimensions of 20 digits are 700
# Bytes written at once, and also the longest list of members, which zipfile parses into many times its size. GPT-2 XL's
# has 60,000 bytes.
_PIECE = 1 << 20
# How an archive ends: a signature, how many members there are, bytes and place of their list
_END = struct.Struct("<4s6xHII2x")
_SLACK = 32_000_000  # bytes that any archive may unpack to, and beyond them twice its size: weights hardly compress


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays, by name, as weights.load() describes them."""
    with _open(path) as archive:
        members = archive.zip.infolist()
        for member in members:
            _check_header(path, archive.zip, member)
        return {member.filename.removesuffix(".npy"): _read(path, archive, member.filename) for member in members}


def read_table(path: str | os.PathLike[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return each array's type and shape by name, from the members' headers alone."""
    with _open(path) as archive:
        headers = {member.filename: _check_header(path, archive.zip, member) for member in archive.zip.infolist()}
    return {name.removesuffix(".npy"): (dtype.name, shape) for name, (dtype, shape) in headers.items()}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata that save() left in the archive's comment, {} where there is none or another comment."""
    with _open(path) as archive:
        try:
            table = parse_json(archive.zip.comment, path, dict)
        except ValueError:
            return {}
    return table if all(isinstance(value, str) for value in table.values()) else {}


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None) -> None:
    """Write what numpy.savez would, piece by piece, and the metadata as JSON in the archive's comment.

    Raises: ValueError for a name, WeightFormatError for metadata that the format cannot hold, before anything is written.
    """
    for name in arrays:
        if problem := _name_problem(f"{name}.npy"):
            found = f"tensors: the name {printable(repr(name))}"
            raise ValueError(f"{found}, expected {problem}; rename it, or save as safetensors")
    comment = json.dumps(dict(sorted(metadata.items()))).encode() if metadata else b""
    if len(comment) > 65_535:
        found = f"{printable(path)}: {len(comment):,} bytes of metadata"
        raise WeightFormatError(f"{found}, expected at most 65,535; save as safetensors")

    def pieces() -> Iterator[bytes]:
        sink = _Sink()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.comment = comment
            for name, array in sorted(arrays.items()):
                array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
                # A ZipInfo of one's own is dated 1980, so that the same arrays give the same bytes.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    npy.write_array_header_1_0(member, npy.header_data_from_array_1_0(array))
                    data = array.reshape(-1).view(np.uint8).data
                    for start in range(0, len(data), _PIECE):
                        member.write(data[start : start + _PIECE])
                        yield from sink.take()
        yield from sink.take()

    write_atomic(path, pieces())


class _Sink(io.RawIOBase):
    """What zipfile writes to: keeps the bytes until they are taken, since write_atomic asks for pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces


class BoundedFile(io.FileIO):
    """A file for zipfile, which reads a list of members of any length in one piece and follows any offset in it."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _PIECE:
            raise zipfile.BadZipFile(f"a list of members of {size:,} bytes")
        return super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and not 0 <= offset < 2**63:
            raise zipfile.BadZipFile(f"a member at byte {offset:,}")
        return super().seek(offset, whence)


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Yield NumPy's NpzFile, after checking the list of its members."""
    with (
        _refusing_damage(path, "a zip archive"),
        BoundedFile(path) as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        size = os.fstat(file.fileno()).st_size
        _check_end(path, file, size - _END.size - len(archive.zip.comment), len(archive.zip.infolist()))
        _check_members(path, archive.zip.infolist(), size)
        yield archive


@contextmanager
def _refusing_damage(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Make a WeightFormatError of whatever zipfile, zlib and NumPy raise about the content."""
    try:
        yield
    except WeightFormatError:
        raise
    except (zipfile.BadZipFile, EOFError, zlib.error, struct.error, ValueError, NotImplementedError) as error:
        refuse(path, f"{what} that cannot be read ({error})", "a whole npz file", error)


def _check_end(path: str | os.PathLike[str], file: io.FileIO, position: int, found: int) -> None:
    """Refuse a list of members that is shorter than the end of the archive says, which zipfile takes for all there is."""
    file.seek(position)
    signature, count, size, offset = _END.unpack(file.read(_END.size))
    if signature != b"PK\5\6" or (count != 0xFFFF and count != found) or (offset != 0xFFFFFFFF and offset + size != position):
        refuse(path, f"a list of {found:,} members", "all that the end of the archive counts")


def _check_members(path: str | os.PathLike[str], members: list[zipfile.ZipInfo], file_size: int) -> None:
    names = [member.filename for member in members]
    if any(name.endswith("data.pkl") for name in names):
        refuse_kind(path, "an archive of PyTorch's that was packed again")
    if len(set(names)) < len(names):
        refuse(path, f"{max(names, key=names.count)!r} twice", "each name once")
    if any(name.endswith("/config.json") for name in names):
        raise WeightFormatError(f"{printable(path)}: a model's folder in a zip archive, expected a file of weights; unpack it, "
                                "and name the folder")
    for member in members:
        if problem := _name_problem(member.filename):
            refuse(path, f"a member {member.filename!r}", problem)
        if member.flag_bits & 1:
            refuse(path, f"{member.filename!r} encrypted", "plain members")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            refuse(path, f"{member.filename!r} compressed by method {member.compress_type}", "stored or deflated")
    # Before anything is inflated: what the members say of their size, and zipfile reads no more than that.
    unpacked = sum(member.file_size for member in members)
    if unpacked > 2 * file_size + _SLACK:
        refuse(path, f"{file_size:,} bytes that unpack to {unpacked:,}", f"at most {2 * file_size + _SLACK:,}")


def _name_problem(name: str) -> str | None:
    """Say what a member's name should be, if it is not that."""
    if not name.endswith(".npy"):
        return "only arrays, NAME.npy"
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        return "a name that leads nowhere when somebody unpacks it"
    return None


def _check_header(
    path: str | os.PathLike[str], archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return what a member's header declares; refuse one that is none, or other than numbers in just the bytes that follow."""
    name = member.filename
    with _refusing_damage(path, repr(name)), archive.open(member) as file:
        head = io.BytesIO(file.read(_MAX_HEADER))  # NumPy would read a header of any length
    try:
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0, (3, 0): npy.read_array_header_2_0}
        shape, _, dtype = read[npy.read_magic(head)](head)
    except Exception as error:  # NumPy's parser was not made for hostile headers: IndexError, TokenError, RecursionError …
        found = f"{name!r} with a header that cannot be read ({type(error).__name__}: {error})"
        refuse(path, found, f"one of npy version 1 to 3 in the first {_MAX_HEADER:,} bytes", error)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        found = "Python objects" if dtype.hasobject else f"dtype {dtype.str!r}"
        if dtype.str == "|V2":      # what numpy.savez makes of ml_dtypes' bfloat16
            found += ", two bytes of no type, perhaps bfloat16 to be saved as float32"
        refuse(path, f"{name!r} of {found}", "numbers of at most 8 bytes each")
    size, data = size_of(path, name, shape, dtype.itemsize), member.file_size - head.tell()
    if data != size:
        refuse(path, f"{name!r} with {data} bytes of data", f"{size} for shape {shape} of {dtype}")
    return dtype, shape


def _read(path: str | os.PathLike[str], archive: Any, name: str) -> np.ndarray:
    with _refusing_damage(path, repr(name)):
        array = archive[name]
    if array.dtype == bool:
        return array.view(np.uint8) != 0  # bytes other than 0 and 1 are no bools that NumPy can count on
    if array.dtype.newbyteorder("=") == np.float16:
        return array.astype(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
