"""llm.c's model files, such as gpt2_124M.bin and gpt2_124M_bf16.bin, and the vocabulary from which it prints what it says.

1024 bytes of integers, then the tensors without names and without gaps, each for all blocks at once:

    20240326, version, n_positions, vocab_size, n_layer, n_head, n_embd, padded vocab_size, 0 …       256 × int32
    wte (Vp, C), wpe (T, C), ln_1.weight L × (C,), ln_1.bias L × (C,), attn.c_attn.weight L × (3C, C), …, ln_f.weight, ln_f.bias

All of it is little-endian: float32 in version 3, bfloat16 (the upper half of a float32) in version 5. Linear layers lie as
torch has them, y = x Wᵀ. The embedding is padded with rows of zeros to a multiple of 128, with which GPUs are faster.
Source: github.com/karpathy/llm.c, train_gpt2.py (write_model, write_tokenizer) and train_gpt2.c.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..config import GPTConfig
from ..system.files import write_atomic
from ..system.text import printable
from .validation import WeightFormatError, recognize, refuse

MAGIC = 20_240_326
_VOCABULARY_MAGIC = 20_240_328
_VERSIONS: dict[int, np.dtype[Any]] = {3: np.dtype("<f4"), 5: np.dtype("<u2")}
_HEADER = 1024  # bytes
_SIZES = ("n_positions", "vocab_size", "n_layer", "n_head", "n_embd")
_MAX_LAYERS = 1000  # thin ones would cost more memory for their names than they have bytes
_MULTIPLE = 128  # of the padded vocabulary

# A block's tensors in the file's order, in units of C, linear layers as (out, in)
_BLOCK = {
    "ln_1.weight": (1,),
    "ln_1.bias": (1,),
    "attn.c_attn.weight": (3, 1),
    "attn.c_attn.bias": (3,),
    "attn.c_proj.weight": (1, 1),
    "attn.c_proj.bias": (1,),
    "ln_2.weight": (1,),
    "ln_2.bias": (1,),
    "mlp.c_fc.weight": (4, 1),
    "mlp.c_fc.bias": (4,),
    "mlp.c_proj.weight": (1, 4),
    "mlp.c_proj.bias": (1,),
}


class _Header(NamedTuple):
    dtype: np.dtype[Any]
    sizes: dict[str, int]
    padded: int  # rows of the embedding in the file


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Map the file into memory and return its tensors by GPT-2's names and in GPT-2's shapes, y = x W, without padding.

    From version 3 all are views, writable without changing the file; from version 5 they are float32 copies.

    Raises: as read_config().
    """
    with open(path, "rb") as file:
        header = _read_header(path, file.read(_HEADER), os.fstat(file.fileno()).st_size)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensors, at = {}, _HEADER
    for name, shape in _layout(header.sizes, header.padded):
        count = math.prod(shape)
        tensor = np.frombuffer(mapped, header.dtype, count, at).reshape(shape)
        at += count * header.dtype.itemsize
        if name == "wte.weight":
            tensor = tensor[: header.sizes["vocab_size"]]
        if header.dtype.itemsize == 2:
            bits = tensor.astype(np.uint32)
            tensor = np.left_shift(bits, 16, out=bits).view(np.float32)
        tensors[name] = tensor.T if _is_linear(name) else tensor
    return tensors


def read_config(path: str | os.PathLike[str]) -> dict[str, int]:
    """Return the sizes by GPTConfig's names, those that differ from one GPT-2 to another; the vocabulary's without padding.

    Raises: WeightFormatError for a file that breaks the format or has other bytes than its sizes say, found before anything is
    read or allocated; OSError for one that cannot be opened.
    """
    with open(path, "rb") as file:
        return _read_header(path, file.read(_HEADER), os.fstat(file.fileno()).st_size).sizes


def read_table(path: str | os.PathLike[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return each tensor's type and shape, as load() names and shapes them, from the header.  Raises: as read_config()."""
    with open(path, "rb") as file:
        header = _read_header(path, file.read(_HEADER), os.fstat(file.fileno()).st_size)
    dtype = "float32" if header.dtype.itemsize == 4 else "bfloat16"
    layout = _layout(header.sizes, header.sizes["vocab_size"])
    return {name: (dtype, shape[::-1] if _is_linear(name) else shape) for name, shape in layout}


def save(
    path: str | os.PathLike[str], config: GPTConfig, tensors: Mapping[str, np.ndarray], dtype: str = "float32"
) -> None:
    """Write a file that llm.c trains and samples from, tensor by tensor.

    tensors: by GPT-2's names and in GPT-2's shapes, as pretrained.exported() gives them with the configuration.
    dtype: "float32" for train_gpt2.c and the rest of llm.c, or "bfloat16", rounded to nearest, for its GPU programs.

    Raises: ValueError for another dtype; WeightFormatError for what llm.c cannot compute, before anything is written; OSError.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype: {dtype!r}, expected 'float32' or 'bfloat16'")
    _check_config(path, config)
    sizes = {name: getattr(config, name) for name in _SIZES}
    V, C = config.vocab_size, config.n_embd
    padded = -(-V // _MULTIPLE) * _MULTIPLE
    layout = _layout(sizes, V)
    shapes = {name: shape[::-1] if _is_linear(name) else shape for name, shape in layout}
    found = {name: np.shape(tensor) for name, tensor in tensors.items()}
    if wrong := [name for name in {**shapes, **found} if shapes.get(name) != found.get(name)]:
        name = wrong[0]
        what = f"{len(wrong)} tensors that do not fit, such as {name!r} of shape {found.get(name, 'none')}"
        _refuse_to_write(path, what, f"{shapes.get(name, 'no such tensor')}")
    header = np.zeros(_HEADER // 4, "<i4")
    header[:8] = MAGIC, 3 if dtype == "float32" else 5, *sizes.values(), padded

    def pieces() -> Iterator[bytes | memoryview]:
        yield header.tobytes()
        for name, _ in layout:
            tensor = np.ascontiguousarray(tensors[name].T if _is_linear(name) else tensors[name], "<f4").reshape(-1)
            yield (tensor if dtype == "float32" else _bfloat16(tensor)).view(np.uint8).data
            if name == "wte.weight":
                yield bytes((padded - V) * C * (4 if dtype == "float32" else 2))

    write_atomic(path, pieces())


def vocabulary_of(tokenizer: Any, config: GPTConfig) -> tuple[list[bytes], int]:
    """Return what save_vocabulary() writes of a tokenizer: the bytes of every id, and the id that begins a text.

    An id that is none of the tokenizer's becomes a zero byte, which llm.c does not print.
    """
    tokens = [tokenizer.token_bytes(id) for id in range(min(tokenizer.vocab_size, config.vocab_size))]
    tokens += [b""] * (config.vocab_size - len(tokens))
    ids = config.eos_token_id if isinstance(config.eos_token_id, tuple) else (config.eos_token_id,)
    starts = [config.bos_token_id, *ids, *tokenizer.special_tokens.values(), 0]
    start = next(id for id in starts if id is not None and id < len(tokens))
    return [token or b"\0" for token in tokens], start


def save_vocabulary(path: str | os.PathLike[str], tokens: Sequence[bytes], start: int) -> None:
    """Write gpt2_tokenizer.bin: how llm.c prints tokens, and with which one it begins; without it that one is uninitialized.

    tokens: the bytes of every id, 1 to 255 of them.  start: the id from which llm.c begins a text, GPT-2's <|endoftext|>.

    Raises: ValueError for a start that is no id, WeightFormatError for a token that the format cannot hold, OSError.
    """
    if not 0 <= start < len(tokens):
        raise ValueError(f"start: {start}, expected an id below {len(tokens)}")
    for id, token in enumerate(tokens):
        if not 1 <= len(token) <= 255:
            _refuse_to_write(path, f"token {id} of {len(token):,} bytes", "1 to 255")
    header = np.zeros(_HEADER // 4, "<i4")
    header[:4] = _VOCABULARY_MAGIC, 2, len(tokens), start
    write_atomic(path, header.tobytes() + b"".join(bytes([len(token)]) + token for token in tokens))


def _read_header(path: str | os.PathLike[str], data: bytes, file_size: int) -> _Header:
    """Check the header on its own and against the file's size."""
    magic, version, *numbers = np.frombuffer(data[:32].ljust(32, b"\0"), "<i4").tolist()
    if len(data) < _HEADER or magic != MAGIC:
        kind = recognize(data)
        found = kind or f"{file_size:,} bytes that start with {data[:4]!r}"
        refuse(path, found, f"a model of llm.c: a header of {_HEADER} bytes that starts with {MAGIC}")
    if version not in _VERSIONS:
        refuse(path, f"version {version}", "3 (float32) or 5 (bfloat16); write it again with a newer llm.c's train_gpt2.py")
    sizes, padded, dtype = dict(zip(_SIZES, numbers, strict=False)), numbers[-1], _VERSIONS[version]
    for name, size in sizes.items():
        if size < 1 or (name == "n_layer" and size > _MAX_LAYERS):
            refuse(path, f"{name} {size}", f"1 to {_MAX_LAYERS if name == 'n_layer' else 2**31 - 1:,}")
    if sizes["n_embd"] % sizes["n_head"]:
        refuse(path, f"n_embd {sizes['n_embd']}, not a multiple of n_head {sizes['n_head']}", "as many channels for each head")
    if padded < sizes["vocab_size"]:
        refuse(path, f"a vocabulary of {sizes['vocab_size']} padded to {padded}", "at least as many rows")
    size = _HEADER + sum(math.prod(shape) for _, shape in _layout(sizes, padded)) * dtype.itemsize
    if size != file_size:
        refuse(path, f"{file_size:,} bytes", f"{size:,} for {', '.join(f'{name} {n}' for name, n in sizes.items())}")
    return _Header(dtype, sizes, padded)


def _layout(sizes: Mapping[str, int], rows: int) -> list[tuple[str, tuple[int, ...]]]:
    """Return names and shapes in the order of the file."""
    C, blocks = sizes["n_embd"], range(sizes["n_layer"])
    layout: list[tuple[str, tuple[int, ...]]] = [("wte.weight", (rows, C)), ("wpe.weight", (sizes["n_positions"], C))]
    layout += [(f"h.{i}.{name}", tuple(n * C for n in shape)) for name, shape in _BLOCK.items() for i in blocks]
    return [*layout, ("ln_f.weight", (C,)), ("ln_f.bias", (C,))]


def _is_linear(name: str) -> bool:
    return len(_BLOCK.get(name.split(".", 2)[-1], ())) == 2


def _check_config(path: str | os.PathLike[str], config: GPTConfig) -> None:
    """Refuse a model that llm.c would take for another one, since its files tell nothing but the sizes."""
    free = (*_SIZES, "initializer_range")
    wrong = []
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        if name == "n_inner" and value == 4 * config.n_embd:
            continue
        if name not in free and not name.endswith(("_pdrop", "_token_id")) and value != field.default:
            wrong.append(f"{name} {value!r} (llm.c: {field.default!r})")
    if wrong:
        _refuse_to_write(path, ", ".join(wrong), "a model like GPT-2, since llm.c computes no other")


def _refuse_to_write(path: str | os.PathLike[str], found: str, expected: str) -> NoReturn:
    message = f"{printable(path)}: {printable(found, 300)}, expected {printable(expected, 300)}"
    raise WeightFormatError(f"{message}; save the model as safetensors")


def _bfloat16(values: np.ndarray) -> np.ndarray:
    """Return the upper halves of float32 values, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    rounded = ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype("<u2")
    rounded[np.isnan(values)] = 0x7FC0  # whose bits may have overflown
    return rounded
