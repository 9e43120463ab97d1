"""PyTorch's .bin, .pt and ckpt.pt files in the zip form, without PyTorch: torch.save's default since version 1.6.

A zip archive of stored members: a pickle of everything but the numbers, and one member for the bytes of each storage.

    NAME/data.pkl     {"wte.weight": _rebuild_tensor_v2(("storage", FloatStorage, "0", "cpu", 38597376), 0, (50257, 768), …), …}
    NAME/byteorder    "little"; absent before version 2.1
    NAME/data/0       the storage "0", of which tensors are views: offset, shape and strides, counted in items

A pickle is a program that calls what it names. This reader is closed on both sides: it obeys only the instructions that
torch.save needs for dictionaries, lists, numbers and tensors, and of the names in the pickle it knows only those in
_TYPES and _NAMES. None of them is imported or called: a tensor becomes a record of its place in the file, checked
against the file, anything else a record of its name and arguments. Every other name ends the reading.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle  # noqa: TID251  # its reader, with every name and instruction that could run something taken away
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, ClassVar, NamedTuple, NoReturn

import numpy as np

from ..system.text import printable
from .npz import BoundedFile
from .validation import PICKLE, WeightFormatError, are_sizes, recognize, refuse, refuse_kind, size_of

# As they lie in a little-endian file. bfloat16 (the upper half of a float32) is unknown to NumPy: its bits are read as
# integers.
_DTYPES: dict[str, np.dtype[Any]] = {
    "torch.float64": np.dtype("<f8"),
    "torch.float32": np.dtype("<f4"),
    "torch.float16": np.dtype("<f2"),
    "torch.bfloat16": np.dtype("<u2"),
    "torch.int64": np.dtype("<i8"),
    "torch.int32": np.dtype("<i4"),
    "torch.int16": np.dtype("<i2"),
    "torch.int8": np.dtype("i1"),
    "torch.uint8": np.dtype("u1"),
    "torch.bool": np.dtype("u1"),  # bytes other than 0 and 1 are no bools that NumPy can count on
    "torch.uint16": np.dtype("<u2"),
    "torch.uint32": np.dtype("<u4"),
    "torch.uint64": np.dtype("<u8"),
}
_LATER = {"torch.uint16", "torch.uint32", "torch.uint64"}  # types without a storage type of their own
_UNTYPED = "torch.storage.UntypedStorage"  # their storages, counted in bytes
_TYPES = {  # of storages
    "torch.DoubleStorage": "torch.float64",
    "torch.FloatStorage": "torch.float32",
    "torch.HalfStorage": "torch.float16",
    "torch.BFloat16Storage": "torch.bfloat16",
    "torch.LongStorage": "torch.int64",
    "torch.IntStorage": "torch.int32",
    "torch.ShortStorage": "torch.int16",
    "torch.CharStorage": "torch.int8",
    "torch.ByteStorage": "torch.uint8",
    "torch.BoolStorage": "torch.bool",
    _UNTYPED: "torch.uint8",
}
_NAMES = {
    *_DTYPES,
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "collections.OrderedDict",
    # What configurations hold beside Python's numbers and texts: kept as names and arguments, see _Object
    "torch.Size",
    "torch.device",
    "torch.torch_version.TorchVersion",  # torch.__version__
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    "_codecs.encode",  # bytes, in protocol 2
    "argparse.Namespace",
    *(f"pathlib{version}.{system}Path" for version in ("", "._local") for system in ("Posix", "Windows", "PurePosix")),
    *(f"{module}.set" for module in ("builtins", "__builtin__")),
}
_WRAPPERS = ("model", "state_dict", "module", "model_state_dict", "model_state")  # keys of checkpoints, for the weights

_OLD_FORM = bytes.fromhex("80028a0a6cfc9c46f920")  # the magic number that torch.save wrote before version 1.6
_NUMBERS = {f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8)} - {"f1"} | {"b1"}  # NumPy's types of scalars

_MAX_PICKLE = 16_000_000  # bytes; nanoGPT's checkpoint of GPT-2 XL, with AdamW's state, has 400,000
# Pieces of the pickle: an instruction is one, what follows it another. That checkpoint has 200,000. It bounds the memory,
# since one byte makes a dictionary of 64.
_MAX_PIECES = 1_000_000
_PIECE = 1 << 20  # bytes read at once


class _Member(NamedTuple):
    start: int  # where its bytes lie in the file
    size: int
    crc: int


class _Storage(NamedTuple):
    key: str
    type: str  # of its items, a key of _DTYPES
    size: int  # in bytes


class _Tensor(NamedTuple):
    """A view of a storage, in items."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    """What the pickle names: a type or a function."""

    name: str


class _Object:
    """What a call would have made, where nobody needs it: the name, the arguments, and what was set on it later."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: tuple[Any, ...]) -> None:
        self.name, self.args = name, args
        self.state: Any = None


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the tensors of a state dict, by name, in the order in which it lists them.

    The state dict is the file's content itself or what it holds under "model" (nanoGPT), "state_dict", "module",
    "model_state_dict" or "model_state". What is no tensor is left out. Nothing else of the file, such as an optimizer's
    state, is read. float32, float64 and the integers are views of the memory-mapped file, writable as with safetensors;
    float16 and bfloat16 become float32 and bool becomes bool, as copies. Tensors that share a storage share memory.

    Raises: WeightFormatError for a file that breaks the format, is in the older form or names anything but tensors and
    plain containers, found before any array is read or allocated, but for the checksums; OSError for one that cannot be
    opened.
    """
    with _open(path) as archive:
        tensors = _state_dict(path, _content(archive))
        return archive.arrays(tensors)


def read_config(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return nanoGPT's "model_args", the sizes beside the weights, where the file has them; minGPT writes none.

        {"n_layer": 12, "n_head": 12, "n_embd": 768, "block_size": 1024, "bias": False, "vocab_size": 50304, "dropout": 0.0}

    Only texts, truth values, None and numbers are returned, integers below 2^63, NumPy's as Python's.

    Raises: as load().
    """
    with _open(path) as archive:
        content = _content(archive)
    sizes = content.get("model_args") if type(content) is dict else None
    if type(sizes) is not dict:
        return None
    return {key: value for key, value in sizes.items() if type(key) is str and _is_plain(value)}


def read_table(path: str | os.PathLike[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return each tensor's type and shape by name, without reading a storage.  Raises: as load()."""
    with _open(path) as archive:
        tensors = _state_dict(path, _content(archive))
    return {name: (tensor.storage.type.removeprefix("torch."), tensor.shape) for name, tensor in tensors.items()}


class Origin(NamedTuple):
    """What a file tells beside its weights"""

    facts: dict[str, str]  # what torch.save wrote of itself: {"archive": "ckpt", "version": "3", "byteorder": "little"}
    others: list[str]  # keys beside the weights, such as "optimizer"
    twins: dict[str, str]  # names of tensors that are a view of the same numbers as an earlier one, and that one's name


def read_origin(path: str | os.PathLike[str]) -> Origin:
    """Return what a file tells beside its weights, without reading a storage.  Raises: as load()."""
    with _open(path) as archive:
        content = _content(archive)
        tensors = _state_dict(path, content)
        facts = {"archive": archive.folder.rstrip("/")}
        for name in ("version", "byteorder"):
            if f"{archive.folder}{name}" in archive.members:
                facts[name] = archive.read(f"{archive.folder}{name}", 100).decode("ascii", "replace").strip()
    table, first = _weights_of(content), dict[_Tensor, str]()
    twins = {name: other for name, tensor in tensors.items() if (other := first.setdefault(tensor, name)) != name}
    others = [str(key) for key, value in content.items() if value is not table and not isinstance(value, _Tensor)]
    return Origin(facts, others, twins)


def _is_plain(value: Any) -> bool:
    # Python refuses to print an integer of 5,000 digits, and a message would have to.
    return value is None or type(value) in (bool, float, str) or (type(value) is int and abs(value) < 2**63)


def _state_dict(path: str | os.PathLike[str], content: Any) -> dict[str, _Tensor]:
    """Return the tensors by name of what was saved."""
    expected = f"a state dict: tensors by name, or under one of {', '.join(map(repr, _WRAPPERS))}"
    if type(content) is not dict:
        refuse(path, f"a saved {_kind(content)}", expected)
    table = _weights_of(content)
    arrays = [name for name, value in table.items() if isinstance(value, _Object) and value.name.endswith("._reconstruct")]
    if arrays:
        refuse(path, f"{arrays[0]!r}, a NumPy array", "tensors")
    tensors = {name: value for name, value in table.items() if isinstance(value, _Tensor)}
    if not tensors:
        refuse(path, f"no tensors among the keys {printable(', '.join(map(str, table)), 100) or 'none'}", expected)
    if numbers := [name for name in tensors if type(name) is not str]:
        refuse(path, f"a tensor by the name {numbers[0]!r}", expected)
    return tensors


def _weights_of(content: dict[Any, Any]) -> dict[Any, Any]:
    """Return the part that holds the weights, or the whole."""
    return next((content[key] for key in _WRAPPERS if type(content.get(key)) is dict), content)


def _kind(value: Any) -> str:
    return value.name if isinstance(value, _Object | _Name) else type(value).__name__.strip("_").lower()


# --- the archive


class _Archive:
    """The members of the zip file, and the arrays that lie in them."""

    def __init__(self, path: str | os.PathLike[str], file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.members = self._directory()
        pickles = [name for name in self.members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            found = printable(", ".join(self.members), 80)
            refuse(path, f"a zip archive of {found or 'nothing'}", "one that torch.save wrote, with one NAME/data.pkl")
        self.pickle = pickles[0]
        self.folder = self.pickle.removesuffix("data.pkl")
        self.order = b"little"
        if (name := f"{self.folder}byteorder") in self.members:
            self.order = self.read(name, 16)
            if self.order not in (b"little", b"big"):
                refuse(path, f"{name!r} with {self.order!r}", "'little' or 'big'")

    def _directory(self) -> dict[str, _Member]:
        """Check the list of members against the file, before anything is read from them."""
        path, size = self.path, os.fstat(self.file.fileno()).st_size
        with zipfile.ZipFile(self.file) as archive:
            infos = archive.infolist()
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            refuse(path, f"{Counter(names).most_common(1)[0][0]!r} twice", "each name once")
        if (total := sum(info.file_size for info in infos)) > size:  # which also bounds what overlapping members unpack to
            refuse(path, f"members of {total:,} bytes in a file of {size:,}", "what fits")
        members = {}
        for info in infos:
            if info.flag_bits & 1 or info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                refuse(path, f"{info.filename!r} encrypted or compressed", "members stored as they are, as torch.save writes")
            self.file.seek(info.header_offset)
            head = self.file.read(30)
            if head[:4] != b"PK\3\4":
                refuse(path, f"no member {info.filename!r} at byte {info.header_offset:,}", "one, as the list says")
            start = info.header_offset + 30 + sum(struct.unpack("<HH", head[26:]))
            members[info.filename] = _Member(start, info.file_size, info.CRC)
        return members

    def read(self, name: str, most: int) -> bytes:
        """Return the bytes of a member."""
        if self.members[name].size > most:
            refuse(self.path, f"{name!r} of {self.members[name].size:,} bytes", f"at most {most:,}")
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a member in pieces, and check them: PyTorch does not, so that damage would go unseen."""
        member, crc = self.members[name], 0
        self.file.seek(member.start)
        for at in range(0, member.size, _PIECE):
            wanted = min(_PIECE, member.size - at)
            piece = self.file.read(wanted)
            if len(piece) < wanted:
                refuse(self.path, f"{name!r} cut short at byte {at + len(piece):,}", f"{member.size:,} bytes")
            crc = zlib.crc32(piece, crc)
            yield piece
        if member.crc not in (0, crc):  # 0: torch.serialization.set_crc32_options(False)
            refuse(self.path, f"{name!r} with the checksum {crc:08x}", f"{member.crc:08x}, as the list says")

    def arrays(self, tensors: dict[str, _Tensor]) -> dict[str, np.ndarray]:
        """Return the tensors as views of their storages."""
        mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_COPY)
        storages: dict[tuple[str, str], np.ndarray] = {}
        arrays = {}
        for name, tensor in tensors.items():
            storage = tensor.storage
            if (storage.key, storage.type) not in storages:
                storages[storage.key, storage.type] = self._items(mapped, storage)
            items = storages[storage.key, storage.type]
            if 0 in tensor.shape:
                arrays[name] = np.empty(tensor.shape, items.dtype)
                continue
            width = items.itemsize
            arrays[name] = np.ndarray(
                tensor.shape, items.dtype, items, tensor.offset * width, [stride * width for stride in tensor.strides]
            )
        return arrays

    def _items(self, mapped: mmap.mmap, storage: _Storage) -> np.ndarray:
        """Return all items of a storage, mapped where NumPy can compute with them as they lie in the file."""
        name, dtype = f"{self.folder}data/{storage.key}", _DTYPES[storage.type]
        if self.order == b"big":
            dtype = dtype.newbyteorder(">")
        count = storage.size // dtype.itemsize
        wider = {"torch.float16": np.float32, "torch.bfloat16": np.uint32, "torch.bool": np.bool_}
        aligned = self.members[name].start % dtype.itemsize == 0
        if count and aligned and dtype.isnative and storage.type not in wider:
            for _ in self.pieces(name):
                pass  # the checksum
            return np.frombuffer(mapped, dtype, count, self.members[name].start)
        items: np.ndarray = np.empty(count, wider.get(storage.type, dtype.newbyteorder("=")))
        at = 0
        for piece in self.pieces(name):  # not from the mapped file, of which no page is then in memory
            part = np.frombuffer(piece, dtype)
            items[at : at + len(part)] = part
            at += len(part)
        if storage.type == "torch.bfloat16":
            items <<= 16
            return items.view(np.float32)
        return items


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[_Archive]:
    with BoundedFile(path) as file:
        head = file.read(512)
        if not head.startswith(b"PK\3\4"):
            _refuse_form(path, head)
        try:
            yield _Archive(path, file)
        except WeightFormatError:
            raise
        except (zipfile.BadZipFile, EOFError, struct.error, ValueError, NotImplementedError) as error:
            refuse(path, f"a zip archive that cannot be read ({error})", "a whole file of torch.save", error)


def _refuse_form(path: str | os.PathLike[str], head: bytes) -> NoReturn:
    if head.startswith(_OLD_FORM):
        raise WeightFormatError(
            f"{printable(path)}: PyTorch's form of before version 1.6, expected the zip form; open it once with torch and save "
            "it again, torch.save(torch.load(OLD, weights_only=True), NEW)"
        )
    if (kind := recognize(head)) == PICKLE:
        refuse_kind(path, PICKLE)
    refuse(path, kind or f"{head[:8]!r} at its start", "a zip archive of torch.save")


# --- the pickle


def _content(archive: _Archive) -> Any:
    """Return what was saved: dicts, lists, tuples, texts, numbers, _Tensor, and _Object for everything else."""
    return _Reader(archive).load()


class _Pieces(io.BytesIO):
    """The bytes of a pickle, which come to an end after so many pieces."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        self.count += 1
        if self.count > _MAX_PIECES:
            raise EOFError(f"more than {_MAX_PIECES:,} pieces")
        return super().read(size)


class _Reader(pickle._Unpickler):
    """Python's own reader with most of it taken away.

    It is the one written in Python, since that one can be told which instructions there are, keeps its memo in a dictionary,
    where a large index costs nothing, and allocates nothing before it has read it.
    """

    stack: list[Any]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, archive: _Archive) -> None:
        self.archive = archive
        self.source = _Pieces(archive.read(archive.pickle, _MAX_PICKLE))
        self.types: dict[str, str] = {}  # of storages by key
        super().__init__(self.source)

    def load(self) -> Any:
        try:
            return super().load()
        except WeightFormatError:
            raise
        except Exception as error:  # Python's reader was not made for damaged pickles: IndexError, TypeError, KeyError …
            self.refuse(f"what cannot be read ({type(error).__name__}: {error})", "a whole pickle", error)

    def refuse(self, found: str, expected: str, cause: Exception | None = None) -> NoReturn:
        """Raise WeightFormatError about the instruction that was just read."""
        refuse(self.archive.path, f"{self.archive.pickle!r} with {found} before byte {self.source.tell():,}", expected, cause)

    def find_class(self, module: str, name: str) -> _Name:
        full = f"{module}.{name}"
        if full not in _NAMES and full not in _TYPES:
            raise WeightFormatError(
                f"{printable(self.archive.path)}: {printable(repr(self.archive.pickle))} needs {printable(full)} before byte "
                f"{self.source.tell():,}, expected only tensors, numbers and plain containers; nothing of it was run. Save "
                "the weights alone with torch, torch.save(model.state_dict(), FILE)"
            )
        return _Name(full)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _, count = pid
        item_type = _TYPES[storage_type.name]
        if kind != "storage" or type(key) is not str or not are_sizes((count,)) or count >= 2**63:
            self.refuse("a storage without kind, key or count", "('storage', type, key, device, count)")
        member = self.archive.members.get(f"{self.archive.folder}data/{key}")
        if member is None:
            self.refuse(f"a storage {printable(repr(key))}, of which the archive has nothing", "one of its members")
        if member.size != count * _DTYPES[item_type].itemsize:
            found = f"{count:,} items of {item_type} in storage {key!r} of {member.size:,} bytes"
            self.refuse(found, "as many as it has")
        if self.types.setdefault(key, item_type) != item_type:
            self.refuse(f"storage {key!r} of two types", f"{self.types[key]} alone")
        return _Storage(key, item_type, member.size)

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, later: str | None, metadata: Any) -> _Tensor:
        """Check a view of a storage against the storage's size."""
        if type(storage) is not _Storage or not are_sizes((offset,)):
            self.refuse("a tensor without a storage", "a storage and an offset")
        if metadata:
            self.refuse("a tensor stored as the negative or conjugate of its values", "the values")
        if later is not None:
            storage = storage._replace(type=later)
        if not are_sizes(shape) or not are_sizes(strides) or len(shape) != len(strides):
            self.refuse("a tensor without shape and strides", "as many strides as dimensions, integers ≥ 0")
        if any(value >= 2**63 for value in (offset, *shape, *strides)):
            self.refuse("a tensor with sizes beyond 2^63", "smaller ones")
        count = storage.size // _DTYPES[storage.type].itemsize
        size_of(self.archive.path, f"a tensor in storage {storage.key}", shape, 8)
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if 0 not in shape and last >= count:
            self.refuse(f"a tensor that ends at item {last:,} of storage {storage.key!r}", f"one inside its {count:,} items")
        # A dimension of size 1 may have any stride, even one that NumPy cannot count.
        used = tuple(stride if size > 1 else 0 for size, stride in zip(shape, strides, strict=True))
        return _Tensor(storage, offset, tuple(shape), used)

    def _made(self, called: Any, args: Any) -> Any:
        """Return a record of what a call would have made."""
        if type(called) is not _Name:
            self.refuse(f"a call of a {type(called).__name__}", "one of a name")
        name = called.name.removeprefix("torch._utils.")
        if name == "_rebuild_tensor_v2":
            storage, offset, shape, strides, _, _, *metadata = args
            return self._tensor(storage, offset, shape, strides, None, metadata and metadata[0])
        if name == "_rebuild_tensor_v3":
            storage, offset, shape, strides, _, _, dtype, *metadata = args
            if dtype.name not in _LATER or storage.type != _TYPES[_UNTYPED]:
                self.refuse(f"a tensor of {dtype.name}", f"one of {', '.join(sorted(_LATER))} in an untyped storage")
            return self._tensor(storage, offset, shape, strides, dtype.name, metadata and metadata[0])
        if name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return args[0]
        if name == "collections.OrderedDict" and args == ():
            return {}
        if name.endswith(".multiarray.scalar"):
            return self._number(*args)
        return _Object(name, args)

    def _number(self, dtype: _Object, data: Any) -> Any:
        """Return a NumPy scalar as a Python number, None for one that is no number."""
        if isinstance(data, _Object) and data.name == "_codecs.encode":
            data = data.args[0][:8].encode("latin-1")
        kind, order = dtype.args[0], dtype.state[1]
        if type(data) is not bytes or type(kind) is not str or kind not in _NUMBERS or order not in ("<", ">", "|"):
            return None
        return np.frombuffer(data, np.dtype(order + kind), 1)[0].item()

    def _call(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], args)

    def _set_state(self) -> None:
        state = self.stack.pop()  # of an OrderedDict: its _metadata, which nobody needs
        if isinstance(self.stack[-1], _Object):
            self.stack[-1].state = state

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _set_items(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: list[Any]) -> None:
        table = self.stack[-1]
        if type(table) is not dict:
            self.refuse(f"keys for a {type(table).__name__}", "a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a tuple of tuples can take forever, large integers can be made to collide.
            if type(key) is not str and not (type(key) is int and abs(key) < 2**60):
                self.refuse(f"a key of type {type(key).__name__}", "texts and numbers")
            table[key] = value

    def _skip_frame(self) -> None:
        self.read(8)  # a frame is only a hint to read its bytes at once

    def _unknown(self) -> NoReturn:
        code = self.source.getvalue()[self.source.tell() - 1]
        self.refuse(f"the instruction 0x{code:02x}", "those that torch.save needs for tensors, numbers and plain containers")

    dispatch: ClassVar[dict[int, Any]] = dict.fromkeys(range(256), _unknown) | {
        code[0]: pickle._Unpickler.dispatch[code[0]]
        for code in (
            pickle.PROTO, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK,
            pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET,
            pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE,
            pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.LONG4, pickle.BINFLOAT,
            pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.SHORT_BINBYTES, pickle.BINBYTES,
            pickle.EMPTY_TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.TUPLE,
            pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT,
            pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.BINPERSID,
        )
    } | {
        pickle.FRAME[0]: _skip_frame, pickle.REDUCE[0]: _call, pickle.NEWOBJ[0]: _call, pickle.BUILD[0]: _set_state,
        pickle.SETITEM[0]: _set_item, pickle.SETITEMS[0]: _set_items,
    }
