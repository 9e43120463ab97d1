"""TensorFlow's checkpoints without TensorFlow: how OpenAI released GPT-2, and what gpt-2-simple saves of its runs.

    model.ckpt.index                   what there is: names, shapes, places, checksums
    model.ckpt.data-00000-of-00001     the numbers, in one file or several

The index is a table as LevelDB has them: blocks of names in order, each with a protocol buffer, then a block that says where
the blocks are, then 48 bytes that say where that one is. Every block and every tensor has a checksum, crc32c.py. The first name
is empty and stands for the whole:

    ""             BundleHeaderProto {1: number of data files, 2: 0 for little-endian, 3: version}
    "model/wte"    BundleEntryProto {1: dtype, 2: shape {2: {1: size} …}, 3: data file, 4: offset, 5: bytes, 6: checksum}

What is zero is left out. Checkpoints of version 1, one file without a suffix, are from before 2017 and not read.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..system.files import naming
from ..system.json_reader import read_json
from ..system.text import printable
from .crc32c import crc32c
from .validation import WeightFormatError, are_sizes, recognize, refuse, size_of

_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER = 48
_TAIL = 5  # bytes behind a block: its compression and its checksum

_MAX_INDEX = 16_000_000  # bytes; GPT-2 XL's, with Adam's moments, has 100,000
_MAX_NAMES = 50_000
_MAX_NAME = 1000  # bytes; each name repeats the start of the one before, so that little data could make many long ones
_MAX_VALUE = 10_000  # bytes of what is said of one tensor, some 30; each may make an object of 100

# bfloat16 (the upper half of a float32) is unknown to NumPy: its bits are read as integers.
_BFLOAT16, _STRING = 14, 7
_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    _BFLOAT16: np.dtype("<u2"),
    17: np.dtype("<u2"),
    19: np.dtype("<f2"),
    22: np.dtype("<u4"),
    23: np.dtype("<u8"),
}

_SIZES = {"n_vocab": "vocab_size", "n_ctx": "n_positions", "n_embd": "n_embd", "n_layer": "n_layer", "n_head": "n_head"}
_PARAMETER = re.compile(
    r"model/(?:(?P<table>wte|wpe)|"
    r"(?:h(?P<block>0|[1-9]\d{0,8})/(?P<layer>ln_1|attn/c_attn|attn/c_proj|ln_2|mlp/c_fc|mlp/c_proj)|ln_f)/(?P<kind>[gwb]))(?P<slot>/.+)?"
)

_Value = TypeVar("_Value", int, memoryview)


class _Entry(NamedTuple):
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


class _Flaw(Exception):
    """What was found in the index, and what was expected."""


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Map the data files into memory, check them, and return their tensors by name, in the order of the index.

    path: NAME.index, the NAME that TensorFlow calls the checkpoint by, or the folder of the newest. The arrays are views of the
    mapped files, writable without changing these. float16 and bfloat16 become float32 and bool becomes bool, as copies; string
    tensors are left out.

    Raises: WeightFormatError for files that break the format, found before any array is read or allocated, but for the
    checksums; for partitioned variables, and checkpoints of version 1. OSError for an index that cannot be opened.
    """
    entries, used = _read_entries(path)
    mapped = {shard: _mapped(file) for shard, file in used.items()}
    return {
        name: _array(used[entry.shard], mapped[entry.shard], name, entry)
        for name, entry in entries.items()
        if entry.dtype != _STRING
    }


def read_table(path: str | os.PathLike[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return each tensor's type and shape by name, from the index alone.  Raises: as load()."""
    return {
        name: ("bfloat16" if entry.dtype == _BFLOAT16 else _DTYPES[entry.dtype].name, entry.shape)
        for name, entry in _read_entries(path)[0].items()
        if entry.dtype != _STRING
    }


def data_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files with the numbers of a checkpoint.  Raises: as load()."""
    return [Path(file) for _, file in sorted(_read_entries(path)[1].items())]


def newest(folder: str | os.PathLike[str]) -> Path:
    """Return the index of a folder's newest checkpoint: the one that the file `checkpoint` names, or else the only one.

    Raises: WeightFormatError where there is none, or several of which none is named.
    """
    found = {path.name: path for path in sorted(Path(folder).glob("*.index"))}
    if (state := Path(folder) / "checkpoint").is_file():
        with open(state, "rb") as file:
            text = naming(state, lambda: file.read(10_000))
        # The path may be one of another machine, and of another system.
        if match := re.match(rb'model_checkpoint_path: "(?:[^"\n]*[/\\])?([^"\n/\\]+)"', text):
            name = f"{match[1].decode('utf-8', 'replace')}.index"
            found = {name: found[name]} if name in found else found
    if len(found) != 1:
        listed = printable(", ".join(found), 100) or "no .index file"
        refuse(folder, listed, "one checkpoint, or one named by the file 'checkpoint'; name the .index file that you mean")
    return next(iter(found.values()))


def read_config(path: str | os.PathLike[str]) -> dict[str, int]:
    """Return GPT-2's sizes by GPTConfig's names, from OpenAI's hparams.json.

        {"n_vocab": 50257, "n_ctx": 1024, …} -> {"vocab_size": 50257, "n_positions": 1024, …}

    Raises: WeightFormatError for a size that is missing or none, OSError.
    """
    sizes = read_json(path, dict, error=WeightFormatError)
    for name in _SIZES:
        if not are_sizes([sizes.get(name)]) or not sizes[name]:
            refuse(path, f"{name} {sizes.get(name)!r:.40}", "a whole number above 0")
    return {ours: sizes[theirs] for theirs, ours in _SIZES.items()}


def is_parameter(name: str) -> bool:
    """Whether a tensor has the name of a parameter of GPT-2, and not of what an optimizer keeps for one."""
    match = _PARAMETER.fullmatch(name)
    return match is not None and not match["slot"]


def gpt2_parameters(tensors: Mapping[str, np.ndarray], source: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the parameters among a checkpoint's tensors by GPT-2's names: views, without OpenAI's leading dimension of 1.

        model/wte -> wte.weight     model/h0/ln_1/g -> h.0.ln_1.weight     model/h0/attn/c_attn/w -> h.0.attn.c_attn.weight
        (V, C)                      (C,)                                   (1, C, 3C) -> (C, 3C)

    What is not under model/, such as global_step, and what an optimizer keeps for a parameter, model/wte/Adam, is left out.
    source: the file, for messages.

    Raises: WeightFormatError where there is no model/wte, or something under model/ that GPT-2 does not have.
    """
    parameters: dict[str, np.ndarray] = {}
    unknown = []
    for name, tensor in tensors.items():
        match = _PARAMETER.fullmatch(name)
        if match and not match["slot"]:
            layer = match["table"] or (f"h.{match['block']}.{match['layer'].replace('/', '.')}" if match["block"] else "ln_f")
            is_linear = match["kind"] == "w" and tensor.ndim == 3 and len(tensor) == 1
            parameters[f"{layer}.{'bias' if match['kind'] == 'b' else 'weight'}"] = tensor[0] if is_linear else tensor
        elif not match and name.startswith("model/"):
            unknown.append(name)
    if unknown or "wte.weight" not in parameters:
        found = printable(", ".join(unknown or tensors), 200) or "no tensors"
        refuse(source, found, "the variables of OpenAI's GPT-2: model/wte, model/wpe, model/h0/ln_1/g …")
    return parameters


def _index_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the path of the index and what all files of the checkpoint start with."""
    path = newest(path) if os.path.isdir(path) else path
    prefix = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", str(path))
    index = f"{prefix}.index"
    if os.path.isfile(prefix) and not os.path.exists(index):
        with open(prefix, "rb") as file:
            head = file.read(512)
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(_MAGIC)))
            is_table = file.read() == _MAGIC
        found = "a checkpoint of version 1" if is_table else recognize(head) or "no .index file beside it"
        refuse(prefix, found, "NAME.index and NAME.data-00000-of-00001, as TensorFlow's Saver writes them since version 1.0")
    return index, prefix


def _read_entries(path: str | os.PathLike[str]) -> tuple[dict[str, _Entry], dict[int, str]]:
    """Return the entries by name and the data files by number, checked against each other."""
    index, prefix = _index_of(path)
    shards, entries = _read_index(index)
    used = {entry.shard: f"{prefix}.data-{entry.shard:05}-of-{shards:05}" for entry in entries.values()}
    for shard, file in used.items():
        _check_layout(file, {name: entry for name, entry in entries.items() if entry.shard == shard})
    return entries, used


# --- the index


def _read_index(path: str) -> tuple[int, dict[str, _Entry]]:
    """Return the number of data files and the entries by name, all of them possible on their own."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_INDEX:
            refuse(path, f"an index of {size:,} bytes", f"at most {_MAX_INDEX:,}")
        data = memoryview(file.read(size))
    if data[-len(_MAGIC) :] != _MAGIC or len(data) < _FOOTER:
        kind = recognize(bytes(data[:512]))
        refuse(path, kind or f"{len(data):,} bytes without a table's end", "the index of a TensorFlow checkpoint")
    try:
        table = _table(data)
        name, value = next(table, (b"", memoryview(b"")))
        header = _message(value)
        if name or not (shards := _last(header, 1, int, 0)):
            raise _Flaw(f"{_shown(name)} as the first name", "the empty one, with the number of data files")
        if _last(header, 2, int, 0):
            raise _Flaw("numbers in big-endian order", "little-endian")
        entries: dict[str, _Entry] = {}
        for name, value in table:
            if len(entries) == _MAX_NAMES:
                raise _Flaw(f"more than {_MAX_NAMES:,} tensors", "at most as many")
            _add(entries, path, name, _message(value), shards)
    except _Flaw as flaw:
        refuse(path, *flaw.args)
    return shards, entries


def _add(entries: dict[str, _Entry], path: str, key: bytes, fields: dict[int, list[int | memoryview]], shards: int) -> None:
    """Check an entry and put it under its name."""
    if 7 in fields or key.startswith(b"\0"):  # "\0NAME\0…" stands for a part of NAME
        whole = key.strip(b"\0").split(b"\0")[0]
        raise _Flaw(f"{_shown(whole)} in parts", "whole variables; save them without a partitioner")
    try:
        name = key.decode("utf-8")
    except UnicodeDecodeError:
        raise _Flaw(f"the name {_shown(key)}", "UTF-8") from None
    dims = _message(_last(fields, 2, memoryview, memoryview(b""))).get(2, [])
    shape = tuple(_last(_message(dim), 1, int, 0) for dim in dims if isinstance(dim, memoryview))
    dtype, shard, offset, size, checksum = (_last(fields, number, int, 0) for number in (1, 3, 4, 5, 6))
    if shard >= shards:
        raise _Flaw(f"{name!r} in data file {shard} of {shards}", "one of them, counted from 0")
    if dtype != _STRING:
        if dtype not in _DTYPES:
            raise _Flaw(f"{name!r} of TensorFlow's type {dtype}", f"numbers, one of the types {', '.join(map(str, _DTYPES))}")
        needed = size_of(path, name, shape, _DTYPES[dtype].itemsize)
        if size != needed:
            raise _Flaw(f"{name!r} with {size} bytes of data", f"{needed} for shape {shape} of {_DTYPES[dtype]}")
    entries[name] = _Entry(dtype, shape, shard, offset, size, checksum)


def _table(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the keys and values of all blocks, of which each byte is read once: keys rise, and so do the blocks' places."""
    _, at = _handle(data, len(data) - _FOOTER)
    (place, size), _ = _handle(data, at)
    before, end = None, 0
    for _, value in _items(_block(data, place, size)):
        (place, size), _ = _handle(value, 0)
        if place < end:
            raise _Flaw(f"a block at byte {place:,}", f"one behind byte {end:,}, where the one before ends")
        end = place + size + _TAIL
        for key, value in _items(_block(data, place, size)):
            if before is not None and key <= before:
                raise _Flaw(f"{_shown(key)} behind {_shown(before)}", "names in their order, each once")
            before = key
            yield key, value


def _block(data: memoryview, place: int, size: int) -> memoryview:
    """Return the content of a block."""
    end = place + size
    if end + _TAIL + _FOOTER > len(data):
        raise _Flaw(f"a block from byte {place:,} to {end:,} in an index of {len(data):,}", "one that fits")
    _check(data[place : end + 1], int.from_bytes(data[end + 1 : end + _TAIL], "little"), f"a block at byte {place:,}")
    if data[end]:
        raise _Flaw(f"a block at byte {place:,} compressed by method {data[end]}", "plain blocks, as TensorFlow writes them")
    return data[place:end]


def _items(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys and values: how much of the key before stays, the lengths of the rest and of the value, both of them.

    Behind them the block has places from which a search may start, 4 bytes each, and their number.
    """
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    if len(block) < 4 or end < 0:
        raise _Flaw(f"a block of {len(block):,} bytes with more places to start from", "as many as fit")
    at, key = 0, b""
    while at < end:
        kept, at = _varint(block, at)
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        if kept > len(key) or at + rest + length > end or kept + rest > _MAX_NAME or length > _MAX_VALUE:
            found = f"a name of {kept} + {rest} bytes and {length:,} about it behind {_shown(key)}"
            raise _Flaw(found, f"what fits, at most {_MAX_NAME:,} and {_MAX_VALUE:,}")
        key = key[:kept] + block[at : at + rest]
        at += rest
        yield key, block[at : at + length]
        at += length


def _handle(data: memoryview, at: int) -> tuple[tuple[int, int], int]:
    """Return ((place, size), at): where a block is, and where to read on."""
    place, at = _varint(data, at)
    size, at = _varint(data, at)
    return (place, size), at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return (number, at): 7 bits a byte, the lowest first, all but the last byte from 128."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
    raise _Flaw("a number that does not end", "at most 10 bytes, the last below 128")


def _message(data: memoryview) -> dict[int, list[int | memoryview]]:
    """Return the fields of a protocol buffer by number, in the order in which they come: numbers and what has a length."""
    fields: dict[int, list[int | memoryview]] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | memoryview
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 in (1, 2, 5):
            length, at = _varint(data, at) if key & 7 == 2 else (8 if key & 7 == 1 else 4, at)
            if at + length > len(data):
                raise _Flaw(f"a field of {length:,} bytes where {len(data) - at:,} are left", "one that fits")
            value = data[at : at + length] if key & 7 == 2 else int.from_bytes(data[at : at + length], "little")
            at += length
        else:
            raise _Flaw(f"a field of kind {key & 7}", "a number or something with a length")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _last(fields: Mapping[int, list[int | memoryview]], number: int, kind: type[_Value], default: _Value) -> _Value:
    """Return a field's value, the last where it is there more than once."""
    value = fields.get(number, [default])[-1]
    if not isinstance(value, kind):
        raise _Flaw(f"field {number} of another kind", "a number" if kind is int else "something with a length")
    return value


def _check(data: memoryview, masked: int, what: str) -> None:
    """Compare with a checksum as it is stored, turned by 15 bits and shifted, since it is often part of the data itself."""
    found = crc32c(data)
    found = ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF
    if found != masked:
        raise _Flaw(f"{what} with the checksum {found:08x}", f"{masked:08x}")


def _shown(key: bytes) -> str:
    return repr(key.decode("utf-8", "backslashreplace"))


# --- the data files


def _check_layout(path: str, entries: Mapping[str, _Entry]) -> None:
    """Refuse a data file that is missing or too short, and tensors that overlap."""
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        refuse(path, "no such file", "all data files beside the index")
    end, before = 0, ""
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].offset, item[1].size)):
        if entry.offset < end:
            refuse(path, f"{name!r} overlapping {before!r}", f"its data to begin at {end} or later, not {entry.offset}")
        end, before = entry.offset + entry.size, name
        if end > size:
            refuse(path, f"{size:,} bytes", f"at least {end:,}, for {name!r}: the file is cut short")


def _mapped(path: str) -> memoryview:
    with open(path, "rb") as file:
        is_empty = not os.fstat(file.fileno()).st_size  # which cannot be mapped
        return memoryview(b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _array(path: str, mapped: memoryview, name: str, entry: _Entry) -> np.ndarray:
    data, dtype = mapped[entry.offset : entry.offset + entry.size], _DTYPES[entry.dtype]
    try:
        _check(data, entry.checksum, repr(name))
    except _Flaw as flaw:
        refuse(path, *flaw.args)
    array = np.frombuffer(data, dtype).reshape(entry.shape) if data else np.empty(entry.shape, dtype)
    if dtype.kind == "f" and dtype.itemsize == 2:
        return array.astype(np.float32)
    if entry.dtype == _BFLOAT16:
        bits = array.astype(np.uint32)
        np.left_shift(bits, 16, out=bits)
        return bits.view(np.float32)
    if dtype.kind == "b":
        return array.view(np.uint8) != 0  # bytes other than 0 and 1 are no bools that NumPy can count on
    # A tensor starts where the one before ends; arithmetic on unaligned arrays is slow, so those are copied.
    return array if array.flags.aligned else array.copy()
