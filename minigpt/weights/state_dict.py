"""From arrays by name to a GPT: what other programs put before the names, which arrays a GPT needs, and their shapes."""

from __future__ import annotations

import mmap
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..config import GPTConfig
from ..models.gpt import GPT, parameter_table
from ..system.text import listed, printable
from .validation import WeightFormatError

GPT1_NAMES = {"wte.weight": "tokens_embed.weight", "wpe.weight": "positions_embed.weight"}     # as transformers calls them

# What stands before the names when one model is inside another: transformers' classes, DataParallel, Opacus, Lightning, PEFT,
# torch.compile, which nanoGPT saves through
_PREFIXES = re.compile(r"(?:(?:transformer|module|_module|model|base_model|_orig_mod)\.)*")

ROWS = 256       # copied at once: they stay in the cache, also where one of the two arrays lies transposed

# Buffers of the causal mask in transformers' older files, nanoGPT's and minGPT's, and the second head of GPT2DoubleHeadsModel.
# Careful: c_attn.bias is a parameter.
_PASSED_OVER = re.compile(r"h\.\d+\.attn\.(masked_)?bias|multiple_choice_head\..*")


_PACKED = (".qweight", ".scales", ".SCB", ".absmax")       # GPTQ's, AWQ's and MLX's, bitsandbytes'


def from_state_dict(
    tensors: Mapping[str, np.ndarray], config: GPTConfig, linear_layout: str = "in_out", *,
    dtype: DTypeLike = np.float32, threads: int | None = None, fast: bool = True, strict: bool = False,
    source: str = "state dict",
) -> GPT:
    """Make a model with a copy of these weights.

        from_state_dict(weights.load("model.safetensors"), config)                          GPT-2's
        from_state_dict(torch_model.state_dict(), config, linear_layout="out_in")           nanoGPT's, minGPT's

    tensors: float arrays of any precision, by GPT-2's or GPT-1's names, with or without `transformer.`, `module.` and the like
        in front. The buffers attn.bias and attn.masked_bias are no weights and are skipped, as is multiple_choice_head. Where
        config ties lm_head.weight to wte.weight one of the two is enough; where they differ, the model gets both, untied, and
        a warning says so.
    linear_layout: the shape of the linear layers' weights: "in_out" as GPT-2 stores them, y = x W, or "out_in" as
        torch.nn.Linear does, y = x Wᵀ; the embeddings and lm_head are (V, C) in both. It is not guessed, since
        attn.c_proj is square.
    dtype, threads, fast: as GPT().  strict: raise for NaN and infinities instead of warning.
    source: where the tensors come from, for messages.

    Raises: weights.WeightFormatError that lists the missing, unexpected or misshapen tensors; ValueError for another
    linear_layout.
    """
    return build(tensors, config, linear_layout, dtype=dtype, threads=threads, fast=fast, strict=strict, source=source)


def build(
    tensors: Mapping[str, np.ndarray], config: GPTConfig, linear_layout: str, *,
    dtype: DTypeLike, threads: int | None, fast: bool, strict: bool, source: str, spent: bool = False,
) -> GPT:
    """Make a model as from_state_dict() of arrays that, if `spent`, nobody reads afterwards and nobody has written to."""
    if linear_layout not in ("in_out", "out_in"):
        raise ValueError(f"linear_layout: {linear_layout!r}, expected 'in_out' (GPT-2) or 'out_in' (nanoGPT, torch.nn.Linear)")
    arrays, problems = renamed(tensors)
    if config.tie_word_embeddings and "lm_head.weight" in arrays:
        head = arrays["lm_head.weight"]
        if _are_equal(head, arrays.setdefault("wte.weight", head)):
            del arrays["lm_head.weight"]
        else:
            config = replace(config, tie_word_embeddings=False)
            warnings.warn(f"{printable(source)}: lm_head.weight differs from wte.weight, expected equal where the config ties "
                          "them; the model has both, as with tie_word_embeddings=False", stacklevel=4)
    refuse_problems([*problems, *problems_of(arrays, config, linear_layout)], source)
    model = GPT(config, seed=None, dtype=dtype, threads=threads, fast=fast)
    shapes = {name: shape for name, shape, _ in parameter_table(config)}
    waiting, infinite = iter(sorted(shapes, key=lambda name: -arrays[name].size)), set()

    def fill() -> None:
        with np.errstate(over="ignore"):        # what becomes infinite is reported below, by name
            for name in waiting:
                transposed = linear_layout == "out_in" and _is_linear(name, shapes[name])
                parameter, array = model.params[name], arrays[name].T if transposed else arrays[name]
                for i in range(0, len(array), ROWS):
                    rows = parameter[i : i + ROWS]
                    rows[...] = array[i : i + ROWS]
                    if not (np.isfinite(rows.min()) and np.isfinite(rows.max())):       # NaN is the least and the largest
                        infinite.add(name)
                    if spent and not transposed:
                        _let_go(array[i : i + ROWS])

    model.pool.run([fill] * model.pool.threads)     # most of the time goes into memory touched first, which all cores can do
    if bad := [name for name in shapes if name in infinite]:
        message = f"{printable(source)}: NaN or infinity in {listed(bad)}, expected finite weights; download or save them again"
        if strict:
            raise WeightFormatError(message)
        warnings.warn(message, stacklevel=4)
    return model


def linear_layout_of(tensors: Mapping[str, np.ndarray]) -> str:
    """Return which linear_layout a whole model has: c_attn, the one layer that is never square, has it in its shape."""
    for name, tensor in tensors.items():
        if name.endswith("attn.c_attn.weight") and tensor.ndim == 2 and tensor.shape[0] == 3 * tensor.shape[1]:
            return "out_in"
    return "in_out"


def problems_of(arrays: Mapping[str, np.ndarray], config: GPTConfig, linear_layout: str) -> list[str]:
    """Say what is missing, unexpected or misshapen among the arrays by GPT-2's bare names; of their values nothing is read."""
    shapes = {name: shape for name, shape, _ in parameter_table(config)}
    problems = [f"{name} is packed, save the model dequantized" for name in arrays if name.endswith(_PACKED)][:1]
    problems += [f"{name} is missing" for name in shapes if name not in arrays]
    for name, array in arrays.items():
        if name not in shapes:
            hint = " (a classifier's head: Classifier.from_pretrained loads it)" if name == "score.weight" else ""
            problems.append(f"{name} is unexpected{hint}")
            continue
        is_linear = _is_linear(name, shapes[name])
        shape = shapes[name][::-1] if linear_layout == "out_in" and is_linear else shapes[name]
        if array.shape != shape:
            other = "in_out" if linear_layout == "out_in" else "out_in"
            hint = f" (transposed: linear_layout={other!r}?)" if is_linear and array.shape == shape[::-1] else ""
            problems.append(f"{name} has shape {array.shape}, expected {shape}{hint}")
        elif array.dtype.kind != "f":
            problems.append(f"{name} has dtype {array.dtype}, expected floats")
    return problems


def refuse_problems(problems: Sequence[str], source: str) -> None:
    """Raise WeightFormatError that lists the problems of a file's tensors, if there are any."""
    if problems:
        raise WeightFormatError(f"{printable(source)}: {listed(problems, '; ')}; check the file and its config")


def renamed(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays by GPT-2's bare names, without causal masks, and a problem for each name that is then there twice."""
    arrays: dict[str, np.ndarray] = {}
    problems = []
    gpt2_names = {theirs: ours for ours, theirs in GPT1_NAMES.items()}
    for name, tensor in tensors.items():
        bare = _PREFIXES.sub("", str(name), count=1)
        if _PASSED_OVER.fullmatch(bare):
            continue
        bare = gpt2_names.get(bare, bare)
        if bare in arrays:
            problems.append(f"{bare} is there twice, with and without a prefix")
        arrays[bare] = np.asarray(tensor)
    return arrays, problems


def _are_equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether all numbers are the same, NaN and NaN too; a few rows at a time, since each comparison is an array."""
    if a.shape != b.shape or {a.dtype.kind, b.dtype.kind} != {"f"}:
        return False
    rows = [(x[i : i + 256], y[i : i + 256]) for x, y in [np.atleast_1d(a, b)] for i in range(0, len(x), 256)]
    return a is b or all(np.array_equal(x, y, equal_nan=True) for x, y in rows)


def _let_go(rows: np.ndarray) -> None:
    """Free the memory of a mapped file's pages that lie wholly under some rows of it; they could be read again."""
    base: Any = rows
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if hasattr(base, "madvise") and hasattr(mmap, "MADV_DONTNEED") and rows.flags.c_contiguous:        # mmap.mmap, not Windows'
        start = rows.ctypes.data - np.frombuffer(base, np.uint8, 1).ctypes.data
        first, last = -(-start // mmap.PAGESIZE), (start + rows.nbytes) // mmap.PAGESIZE
        if first < last:
            base.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE)


def _is_linear(name: str, shape: tuple[int, ...]) -> bool:
    return name.startswith("h.") and len(shape) == 2
