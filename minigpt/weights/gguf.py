"""GGUF, the files of llama.cpp and of what is built on it: GPT-2s out of them and into them.

    "GGUF", version, tensors, keys, then (key, type, value) …, then (name, dimensions, type, offset) …, then the tensors

All of it is little-endian; each tensor begins at a multiple of 32 bytes or of general.alignment.  Linear layers lie as torch
has them, y = x Wᵀ.  The header is read here, since gguf's own reader counts through an array of 2^60 bytes that are not there
and takes seconds for GPT-2's vocabulary.  What the types of tensors mean, and how a header is written, the gguf package knows,
an optional one.  The vocabulary's keys are in gguf_tokenizer.py.
Source: github.com/ggml-org/ggml, docs/gguf.md; llama.cpp's src/models/gpt2.cpp.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..config import GPTConfig
from ..system.files import write_atomic
from ..system.text import listed, printable
from ..tokenization import CharTokenizer, Tokenizer
from . import gguf_tokenizer
from .validation import WeightFormatError, recognize, refuse

MAGIC = b"GGUF"
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}     # struct's letters
_STRING, _ARRAY = 8, 9
_MAX_HEADER = 1 << 26       # bytes; GPT-2's has 2 MB
_MAX_ENTRIES = 20_000       # keys, and as many tensors; GPT-2 XL has 580
_MAX_TEXTS = 1_000_000      # in arrays; GPT-2 has 100,256
_MAX_DIMENSIONS = 4
_CHUNK = 1 << 20            # values that are converted at once

_SIZES = {
    "n_positions": "context_length", "n_embd": "embedding_length", "n_layer": "block_count", "n_head": "attention.head_count",
    "n_inner": "feed_forward_length",
}
_END_IDS = ("eos_token_id", "eot_token_id", "eom_token_id")     # llama.cpp stops at each of them
_TABLES = ("wte.weight", "lm_head.weight")      # with a row for each token
_ROWS = "minigpt.vocab_size"        # how many of them are the model's own; the others are there for llama.cpp


class Tensor(NamedTuple):
    """A tensor as the header describes it"""

    shape: tuple[int, ...]
    kind: int       # gguf.GGMLQuantizationType names it
    start: int      # in bytes, from the beginning of the file


class Header(NamedTuple):
    """All that stands before the tensors"""

    keys: dict[str, Any]        # numbers, texts, arrays of numbers, lists of texts
    tensors: dict[str, Tensor]
    alignment: int


class _Model(NamedTuple):
    header: Header
    sizes: dict[str, int]
    layers: list[tuple[str, str, tuple[int, ...]]]


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Map the file into memory and return its tensors by GPT-2's names and in GPT-2's shapes, y = x W, as float32.

    F32 becomes views, writable without changing the file; F16, BF16 and quantized tensors are expanded into copies.

    Raises: WeightFormatError as read_config(), for a tensor of a type that gguf does not expand, and without the gguf package.
    """
    package = _package(path)
    model = _read_model(path)
    starts = _row_bytes(path, package, model.header)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensors = {}
    for ours, theirs, shape in model.layers:
        if theirs == "output.weight" and _is_tied(path, model.header):
            continue
        tensor, row_bytes = model.header.tensors[theirs], starts[theirs]
        raw = np.frombuffer(mapped, np.uint8, math.prod(shape[:-1]) * row_bytes, tensor.start).reshape(-1, row_bytes)
        array = _expanded(path, package, theirs, tensor, raw).reshape(shape)
        if ours in _TABLES:
            array = array[: model.sizes["vocab_size"]]
        tensors[ours] = array.T if ours.startswith("h.") and len(shape) == 2 else array
    return tensors


def read_table(path: str | os.PathLike[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return each tensor's type and shape, as load() names and shapes them, from the header alone; the output layer too.

    Raises: as load().
    """
    package = _package(path)
    header, sizes, layers = _read_model(path)
    _row_bytes(path, package, header)
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    table = {}
    for ours, theirs, shape in layers:
        kind = package.GGMLQuantizationType(header.tensors[theirs].kind).name
        shape = (sizes["vocab_size"], *shape[1:]) if ours in _TABLES else shape
        table[ours] = names.get(kind, kind), shape[::-1] if ours.startswith("h.") else shape
    return table


def read_config(path: str | os.PathLike[str], is_tied: bool | None = None) -> dict[str, Any]:
    """Return what the file says of GPTConfig's fields; it needs no gguf package.

    tie_word_embeddings is also True where the output layer is a second copy of the embedding.
    is_tied: whether it is, where the caller knows; None: the two are compared.

    Raises: WeightFormatError for a file that breaks the format, for another architecture than gpt2, and for tensors that do not
    fit the sizes, found in little memory; OSError for one that cannot be opened.
    """
    header, sizes, _ = _read_model(path)
    epsilon = header.keys.get("gpt2.attention.layer_norm_epsilon")
    if not isinstance(epsilon, float) or not 0 < epsilon < math.inf:
        refuse(path, f"gpt2.attention.layer_norm_epsilon {_shown(epsilon)}", "a number above 0")
    config: dict[str, Any] = {name: size for name, size in sizes.items() if name != "n_inner"}
    if sizes["n_inner"] != 4 * sizes["n_embd"]:
        config["n_inner"] = sizes["n_inner"]
    config["layer_norm_epsilon"] = float(str(np.float32(epsilon)))      # 1e-05, not 9.999999747378752e-06
    config["tie_word_embeddings"] = _is_tied(path, header) if is_tied is None else is_tied

    def id_of(name: str) -> int | None:
        id = header.keys.get(f"tokenizer.ggml.{name}")
        return id if type(id) is int and 0 <= id < sizes["vocab_size"] else None

    ends = tuple(dict.fromkeys(id for name in _END_IDS if (id := id_of(name)) is not None))
    config["bos_token_id"] = id_of("bos_token_id")
    config["eos_token_id"] = ends if len(ends) > 1 else next(iter(ends), None)
    config["pad_token_id"] = id_of("padding_token_id")
    return config


def read_tokenizer(path: str | os.PathLike[str]) -> Tokenizer | CharTokenizer | None:
    """Return the tokenizer of the file, None where it has none; it needs no gguf package.

    Raises: WeightFormatError for one that minigpt does not have, and for a file that breaks the format; OSError.
    """
    return gguf_tokenizer.read(path, read_header(path).keys)


def save(
    path: str | os.PathLike[str], config: GPTConfig, tensors: Mapping[str, np.ndarray], tokenizer: Tokenizer | CharTokenizer,
    dtype: str = "F32",
) -> None:
    """Write a file that llama.cpp runs, tensor by tensor.

    llama.cpp wants more than minigpt does, which load() takes away again: zeros for biases that are not there, an unused token
    for each row of the embedding that the tokenizer has no token for, and a token that ends a text.  Where there is none,
    <|endoftext|> is appended with the mean of all rows: its logit is the mean of the logits, so that it is never the largest.

    tensors: by GPT-2's names and in GPT-2's shapes.
    dtype: of the matrices, "F32", "F16" or "Q8_0", 8 bits with a scale for every 32; rows that are no multiple of 32 are F16
        then.  Positions and vectors are always F32.

    Raises: ValueError for another dtype; WeightFormatError for what llama.cpp cannot compute, without the gguf package and for
    values that the dtype cannot hold, before anything is written; OSError.
    """
    if dtype not in ("F32", "F16", "Q8_0"):
        raise ValueError(f"dtype: {dtype!r}, expected 'F32', 'F16' or 'Q8_0'")
    package = _package(path)
    _check_config(path, config)
    vocabulary = gguf_tokenizer.written(path, tokenizer, config)
    V, C, rows = config.vocab_size, config.n_embd, len(vocabulary.tokens)
    sizes = {**{name: getattr(config, name) for name in _SIZES}, "n_inner": config.mlp_width, "vocab_size": V}
    layers = _layers(sizes, untied=not config.tie_word_embeddings)
    kinds = {ours: _kind(ours, shape, dtype) for ours, _, shape in layers}
    _check_tensors(path, layers, tensors, kinds)
    header = _header(package, config, sizes, vocabulary, dtype, {
        theirs: ((rows, C) if ours in _TABLES else shape, kinds[ours]) for ours, theirs, shape in layers
    })

    def chunks(ours: str, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """A tensor's rows in order, as they lie in the file"""
        array = tensors.get(ours, np.broadcast_to(np.float32(0), shape))
        array = array.T if ours.startswith("h.") else array
        step = max(1, _CHUNK // shape[-1])
        yield from (array[i : i + step] for i in range(0, len(array), step))
        if ours in _TABLES and rows > V:
            yield array.mean(axis=0, dtype=np.float64, keepdims=True)

    def pieces() -> Iterator[bytes | memoryview]:
        yield header
        for ours, _, shape in layers:
            kind, size = package.GGMLQuantizationType[kinds[ours]], 0
            for chunk in chunks(ours, shape):
                data = package.quantize(np.ascontiguousarray(chunk, np.float32), kind)
                size += data.nbytes
                yield data.reshape(-1).view(np.uint8).data
            yield bytes(-size % package.GGUF_DEFAULT_ALIGNMENT)

    write_atomic(path, pieces())


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read what stands before the tensors, of any architecture.

    Raises: WeightFormatError for a file that breaks the format, in bounded time and memory; OSError.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(512)
        if head[:4] != MAGIC or size < 24:
            refuse(path, recognize(head) or f"{size:,} bytes that start with {head[:4]!r}", f"a GGUF file: {MAGIC!r} and more")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _Parser(path, mapped, size).header()


class _Parser:
    """Reads the header from its start to its end, and never more values or bytes than there are."""

    def __init__(self, path: str | os.PathLike[str], data: mmap.mmap, size: int) -> None:
        self.path, self.data, self.size = path, data, size
        self.at, self.end, self.texts = 4, min(size, _MAX_HEADER), 0

    def header(self) -> Header:
        version = self.number("I")
        if version & 0xFFFF == 0:
            refuse(self.path, "a big-endian file", "a little-endian one; convert it with gguf's gguf-convert-endian")
        if version not in (2, 3):
            refuse(self.path, f"version {version}", "2 or 3; convert the model again with a newer llama.cpp")
        n_tensors, n_keys = self.number("Q"), self.number("Q")
        keys: dict[str, Any] = {}
        for n, what in ((n_keys, "keys"), (n_tensors, "tensors")):
            if n > _MAX_ENTRIES:
                refuse(self.path, f"{n:,} {what}", f"at most {_MAX_ENTRIES:,}")
        for _ in range(n_keys):
            name = self.string("a key")
            if name in keys:
                refuse(self.path, f"the key {name!r} twice", "each once")
            keys[name] = self.value(name, self.number("I"))
        alignment = keys.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            refuse(self.path, f"general.alignment {_shown(alignment)}", "a power of two")
        tensors = {}
        for _ in range(n_tensors):
            name = self.string("a tensor's name")
            if name in tensors:
                refuse(self.path, f"the tensor {name!r} twice", "each once")
            tensors[name] = self.tensor(name)
        start = self.at + -self.at % alignment
        if tensors and start >= self.size:
            refuse(self.path, f"{self.size:,} bytes", f"tensors from byte {start:,} on: the file is cut short")
        return Header(keys, {name: tensor._replace(start=start + tensor.start) for name, tensor in tensors.items()}, alignment)

    def tensor(self, name: str) -> Tensor:
        """One tensor's line, its start counted from the end of the header"""
        n = self.number("I")
        if not 1 <= n <= _MAX_DIMENSIONS:
            refuse(self.path, f"{name!r} with {n} dimensions", f"1 to {_MAX_DIMENSIONS}")
        shape = tuple(self.number("Q") for _ in range(n))[::-1]      # in the file the row's length comes first
        if min(shape) < 1 or math.prod(shape) >= 2**48:
            refuse(self.path, f"{name!r} of shape {shape}", "sizes from 1 that fit into a file")
        return Tensor(shape, self.number("I"), self.number("Q"))

    def value(self, name: str, kind: int) -> Any:
        if kind == _STRING:
            return self.string(name)
        if kind != _ARRAY:
            return self.number(self.letter(name, kind))
        item, n = self.number("I"), self.number("Q")
        if item == _STRING:
            self.texts += n
            if self.texts > _MAX_TEXTS:
                refuse(self.path, f"{name!r}: {n:,} texts", f"at most {_MAX_TEXTS:,} in all arrays")
            return [self.string(name) for _ in range(n)]
        dtype = np.dtype(f"<{self.letter(name, item)}")
        return np.frombuffer(self.bytes(n * dtype.itemsize, name), dtype)

    def letter(self, name: str, kind: int) -> str:
        if kind not in _NUMBERS:
            refuse(self.path, f"{name!r} of type {kind}", "a number, a text, or an array of numbers or texts")
        return _NUMBERS[kind]

    def number(self, letter: str) -> Any:
        return struct.unpack(f"<{letter}", self.bytes(struct.calcsize(f"<{letter}"), "a number"))[0]

    def string(self, name: str) -> str:
        try:
            return self.bytes(int.from_bytes(self.bytes(8, name), "little"), name).decode()
        except UnicodeDecodeError:
            refuse(self.path, f"{name!r} with bytes that are no UTF-8", "text")

    def bytes(self, n: int, name: str) -> bytes:
        end = self.at + n
        if end > self.end:
            found = f"{name!r} that ends at byte {end:,} of {self.size:,}"
            refuse(self.path, found, f"it within the file and within the first {_MAX_HEADER:,} bytes")
        self.at, start = end, self.at
        return self.data[start:end]


def _read_model(path: str | os.PathLike[str]) -> _Model:
    """Read the header and check that it describes a whole GPT-2."""
    header = read_header(path)
    keys, tensors = header.keys, header.tensors
    if (architecture := keys.get("general.architecture")) != "gpt2":
        _refuse(path, f"a model of architecture {_shown(architecture)}", "'gpt2', which is all that minigpt computes")
    if (parts := keys.get("split.count", 1)) != 1:
        _refuse(path, f"one of {_shown(parts)} parts", "a whole model; join them with llama.cpp's llama-gguf-split --merge")
    sizes = {}
    for name, key in _SIZES.items():
        size = keys.get(f"gpt2.{key}")
        if not isinstance(size, int) or not 1 <= size < 2**31:
            refuse(path, f"gpt2.{key} {_shown(size)}", f"1 to {2**31 - 1:,}")
        sizes[name] = size
    if sizes["n_embd"] % sizes["n_head"]:
        refuse(path, f"n_embd {sizes['n_embd']}, not a multiple of n_head {sizes['n_head']}", "as many channels for each head")
    if sizes["n_layer"] * 12 > len(tensors):
        refuse(path, f"{len(tensors)} tensors", f"{sizes['n_layer'] * 12 + 4} or more for {sizes['n_layer']} blocks")
    if "token_embd.weight" not in tensors:
        refuse(path, "no tensor 'token_embd.weight'", "the embedding")
    sizes["vocab_size"] = tensors["token_embd.weight"].shape[0]
    layers = _layers(sizes, untied="output.weight" in tensors)
    expected = {theirs: shape for _, theirs, shape in layers}
    wrong = [f"{name} of shape {tensors[name].shape if name in tensors else 'none'}, expected {expected.get(name, 'none')}"
             for name in {**expected, **tensors} if name not in tensors or tensors[name].shape != expected.get(name)]
    if wrong:
        refuse(path, listed(wrong, "; ", 200), "the tensors of a GPT-2")
    own = keys.get(_ROWS, sizes["vocab_size"])
    if not isinstance(own, int) or not 1 <= own <= sizes["vocab_size"]:
        refuse(path, f"{_ROWS} {_shown(own)}", f"1 to {sizes['vocab_size']}, the rows of token_embd.weight")
    sizes["vocab_size"] = own
    return _Model(header, sizes, layers)


def _header(
    package: Any, config: GPTConfig, sizes: Mapping[str, int], vocabulary: gguf_tokenizer.Written, dtype: str,
    tensors: Mapping[str, tuple[tuple[int, ...], str]],
) -> bytes:
    """Return what gguf writes before the tensors, of which it is told shapes and types."""
    with tempfile.TemporaryDirectory() as folder:       # it writes to paths only
        writer = package.GGUFWriter(Path(folder) / "header", "gpt2")
        writer.add_file_type(package.LlamaFileType[{"F32": "ALL_F32", "F16": "MOSTLY_F16", "Q8_0": "MOSTLY_Q8_0"}[dtype]])
        for name, key in _SIZES.items():
            writer.add_uint32(f"gpt2.{key}", sizes[name])
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(vocabulary.tokens)
        writer.add_token_types(vocabulary.types)
        writer.add_token_merges(vocabulary.merges)
        for name, id in {**vocabulary.ids, **dict(zip(_END_IDS, vocabulary.ends, strict=False))}.items():
            writer.add_uint32(f"tokenizer.ggml.{name}", id)
        for name, value in vocabulary.switches.items():
            writer.add_bool(f"tokenizer.ggml.{name}", value)
        if vocabulary.template is not None:
            writer.add_chat_template(vocabulary.template.encode("utf-8", "replace").decode())
        writer.add_uint32(_ROWS, config.vocab_size)
        for name, (shape, code) in tensors.items():
            block, size = package.GGML_QUANT_SIZES[kind := package.GGMLQuantizationType[code]]
            writer.add_tensor_info(name, shape, np.dtype(np.float32), math.prod(shape) // block * size, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        header = (Path(folder) / "header").read_bytes()
    return header + bytes(-len(header) % package.GGUF_DEFAULT_ALIGNMENT)


def _layers(sizes: Mapping[str, int], untied: bool) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return GPT-2's names, GGUF's and the shapes in a GGUF file, linear layers as (out, in), in the file's order."""
    V, T, C, F = (sizes[name] for name in ("vocab_size", "n_positions", "n_embd", "n_inner"))
    table: list[tuple[str, str, tuple[int, ...]]] = [
        ("wte.weight", "token_embd.weight", (V, C)), ("wpe.weight", "position_embd.weight", (T, C)),
    ]

    def layer(ours: str, theirs: str, *shape: int) -> None:
        table.append((f"{ours}.weight", f"{theirs}.weight", shape))
        table.append((f"{ours}.bias", f"{theirs}.bias", shape[:1]))

    for i in range(sizes["n_layer"]):
        layer(f"h.{i}.ln_1", f"blk.{i}.attn_norm", C)
        layer(f"h.{i}.attn.c_attn", f"blk.{i}.attn_qkv", 3 * C, C)
        layer(f"h.{i}.attn.c_proj", f"blk.{i}.attn_output", C, C)
        layer(f"h.{i}.ln_2", f"blk.{i}.ffn_norm", C)
        layer(f"h.{i}.mlp.c_fc", f"blk.{i}.ffn_up", F, C)
        layer(f"h.{i}.mlp.c_proj", f"blk.{i}.ffn_down", C, F)
    layer("ln_f", "output_norm", C)
    return [*table, ("lm_head.weight", "output.weight", (V, C))] if untied else table


def _row_bytes(path: str | os.PathLike[str], package: Any, header: Header) -> dict[str, int]:
    """Return how many bytes a row of each tensor has, where the tensors lie one after the other and fill the file."""
    sizes, filled = {}, None
    for name, (shape, kind, start) in header.tensors.items():
        try:
            block, block_bytes = package.GGML_QUANT_SIZES[package.GGMLQuantizationType(kind)]
        except (KeyError, ValueError):
            _refuse(path, f"{name} of type {kind}", "one that the gguf package knows; pip install --upgrade gguf")
        if shape[-1] % block:
            refuse(path, f"{name!r} with rows of {shape[-1]}", f"a multiple of {block} for its type")
        if filled is not None and start != filled:
            refuse(path, f"{name!r} at byte {start:,}", f"it at {filled:,}, where the one before it ends")
        sizes[name] = shape[-1] // block * block_bytes
        end = start + math.prod(shape[:-1]) * sizes[name]
        filled = end + -end % header.alignment
        if end > os.path.getsize(path):
            refuse(path, f"{os.path.getsize(path):,} bytes", f"{end:,} for {name!r}: the file is cut short")
    if filled is not None and os.path.getsize(path) > filled:
        refuse(path, f"{os.path.getsize(path) - filled:,} bytes after the last tensor", "the file to end there")
    return sizes


def _expanded(path: str | os.PathLike[str], package: Any, name: str, tensor: Tensor, raw: np.ndarray) -> np.ndarray:
    """Return float32 values of rows of bytes, a view where they are that."""
    kind = package.GGMLQuantizationType(tensor.kind)
    if kind == package.GGMLQuantizationType.F32:
        values = raw.reshape(-1).view("<f4")
        return values if values.flags.aligned else values.copy()
    array = np.empty((len(raw), tensor.shape[-1]), np.float32)
    step = max(1, _CHUNK // tensor.shape[-1])
    try:
        with np.errstate(all="ignore"):     # scales may be anything; NaN is reported where a model is made
            for i in range(0, len(raw), step):
                array[i : i + step] = package.dequantize(raw[i : i + step], kind)
    except NotImplementedError:
        _refuse(path, f"{name} of type {kind.name}", "F32, F16, BF16 or a type that gguf expands; save the model as F16")
    return array


def _is_tied(path: str | os.PathLike[str], header: Header) -> bool:
    """Whether the output layer is the embedding: not there, or there with the same bytes, as llama.cpp's converter wrote it."""
    embedding, output = header.tensors["token_embd.weight"], header.tensors.get("output.weight")
    if output is None:
        return True
    if output.kind != embedding.kind:
        return False
    starts = sorted({tensor.start for tensor in header.tensors.values()})
    ends = dict(zip(starts, [*starts[1:], os.path.getsize(path)], strict=True))
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        whole = memoryview(mapped)
        a, b = (np.frombuffer(whole[tensor.start : ends[tensor.start]], np.uint8) for tensor in (embedding, output))
        n = min(len(a), len(b))     # the last tensor may go without padding
        equal = all(np.array_equal(a[i : min(i + _CHUNK, n)], b[i : min(i + _CHUNK, n)]) for i in range(0, n, _CHUNK))
        del a, b, whole     # before the file is unmapped
        return equal


def _check_config(path: str | os.PathLike[str], config: GPTConfig) -> None:
    """Refuse a model that llama.cpp would take for another one, since its gpt2 has no keys for anything but the sizes."""
    free = (*_SIZES, "vocab_size", "layer_norm_epsilon", "bias", "tie_word_embeddings", "initializer_range")
    wrong = []
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        if name not in free and not name.endswith(("_pdrop", "_token_id")) and value != field.default:
            wrong.append(f"{name} {value!r} (llama.cpp: {field.default!r})")
    if wrong:
        _refuse(path, ", ".join(wrong), "a model like GPT-2, since llama.cpp computes no other; save it as safetensors")


def _check_tensors(
    path: str | os.PathLike[str], layers: list[tuple[str, str, tuple[int, ...]]], tensors: Mapping[str, np.ndarray],
    kinds: Mapping[str, str],
) -> None:
    """Refuse shapes that do not fit, and values that are not finite in their type."""
    shapes = {ours: shape[::-1] if ours.startswith("h.") else shape for ours, _, shape in layers}
    found = {name: np.shape(tensor) for name, tensor in tensors.items()}
    wrong = [f"{name} of shape {found.get(name, 'none')}, expected {shapes.get(name, 'none')}" for name in {**shapes, **found}
             if found.get(name) != shapes.get(name) and not (name.endswith(".bias") and name in shapes and name not in found)]
    if wrong:
        _refuse(path, listed(wrong, "; ", 200), "the tensors of this configuration; take both from one model")
    most = {"F32": float(np.finfo(np.float32).max), "F16": 65504.0, "Q8_0": 127 * 65504.0}
    for name, tensor in tensors.items():
        if not max(-float(tensor.min()), float(tensor.max())) <= most[kinds[name]]:     # NaN is below nothing
            _refuse(path, f"{name} with NaN, infinity or values too large for {kinds[name]}", "finite ones; save them as F32")


def _kind(ours: str, shape: tuple[int, ...], dtype: str) -> str:
    """Return the type of a tensor in a file of this dtype."""
    if len(shape) == 1 or ours == "wpe.weight":
        return "F32"
    return "F16" if dtype == "Q8_0" and shape[-1] % 32 else dtype


def _package(path: str | os.PathLike[str]) -> Any:
    try:
        import gguf
    except ImportError:
        found = f"{printable(path)}: a GGUF file and no gguf package here"
        raise WeightFormatError(f'{found}, expected it to read and write them; pip install "minigpt-numpy[gguf]"') from None
    return gguf


def _refuse(path: str | os.PathLike[str], found: str, expected: str) -> NoReturn:
    """Raise WeightFormatError about a sound file or model that is of no use here."""
    raise WeightFormatError(f"{printable(path)}: {printable(found, 300)}, expected {printable(expected, 300)}")


def _shown(value: Any) -> str:
    return "absent" if value is None else f"{value!r:.40}"
