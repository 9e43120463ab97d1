"""What learns of a model: all of it, its head alone, or LoRA's low-rank corrections."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ..inputs import is_whole, require_tokenizer
from ..models.classifier import HEAD, Classifier, refuse_adapters
from ..models.gpt import GPT
from ..tokenization import CharTokenizer


def with_characters(model: GPT, text: str, seed: int = 0) -> GPT:
    """A copy of a model of characters that also knows those of `text`; their embeddings are new, drawn from `seed`.

    The ids of the old characters stay.  What transformers calls resize_token_embeddings().
    Raises TypeError for a tokenizer of another kind, ValueError for a model without one or with adapters.
    """
    tokenizer = require_tokenizer(model)
    if not isinstance(tokenizer, CharTokenizer):
        raise TypeError(f"tokenizer: {tokenizer!r}, expected a CharTokenizer; one of bytes knows every text already")
    chars = tokenizer.state()["chars"]
    refuse_adapters(model)
    grown_tokenizer = CharTokenizer([*chars, *sorted(set(text) - set(chars))])
    grown = GPT(replace(model.config, vocab_size=grown_tokenizer.vocab_size), seed, model.dtype, model.pool.threads, model.fast)
    for name, array in model.params.items():
        grown.params[name][: len(array)] = array
    grown.tokenizer = grown_tokenizer
    return grown


def train_head(model: GPT) -> None:
    """Only the head learns: a linear classifier of what the frozen body says of a text.  Raises TypeError for a plain GPT."""
    if not isinstance(model, Classifier):
        raise TypeError(f"model: {type(model).__name__}, expected a Classifier; a GPT's head is its embedding")
    model.train_only([row for row in model.table if row[0] == HEAD])


def add_lora(model: GPT, names: str | Iterable[str] = "h.*.attn.c_attn", rank: int = 8, alpha: float = 16.0, seed: int = 0,
             also: Collection[str] = ()) -> None:
    r"""Give the blocks' matrices of these names an adapter; from now on only the adapters learn, and a classifier's head.

        W → W + α/r · A B,   A (Cin, r) random, B (r, Cout) zero: the first output is the base's

    names: a pattern or several, where * stands for anything: "h.*.attn.c_attn", ["h.*.attn.*", "h.3.mlp.c_fc"].  A's entries
    have variance 1/Cin.  `also` names parameters that learn as they are: after with_characters() "wte.weight", since the new
    characters' rows know nothing yet.
    Raises ValueError for a pattern that matches none, for unknown names and for an impossible rank or alpha.
    Hu et al. 2021 §4.1.
    """
    refuse_adapters(model)
    patterns = [names] if isinstance(names, str) else list(names)
    matrices = [(name, shape) for name, shape, _ in model.table if name.startswith("h.") and len(shape) == 2]
    shapes = {name.removesuffix(".weight"): shape for name, shape in matrices}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in shapes):
            kinds = ", ".join(dict.fromkeys(re.sub(r"\d+", "*", name) for name in shapes))
            raise ValueError(f"names: {pattern!r} matches no matrix, expected one of {kinds}, or a block's number for *")
    if unknown := sorted(set(also) - {name for name, _, _ in model.table}):
        raise ValueError(f"also: {', '.join(unknown)}, expected names of the model's parameters, such as wte.weight")
    chosen = {name: shape for name, shape in shapes.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}
    most = min(min(shape) for shape in chosen.values())
    if not is_whole(rank, 1, most):
        raise ValueError(f"rank: {rank!r}, expected a whole number from 1 to {most}, the shortest side of these matrices")
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha: {alpha}, expected a number above 0")
    table: list[tuple[str, tuple[int, ...], str | float]] = []
    for name, (n_in, n_out) in chosen.items():
        table += [(f"{name}.lora_A", (n_in, rank), 1 / math.sqrt(n_in)), (f"{name}.lora_B", (rank, n_out), "zeros")]
    scale = {f"{name}.lora_scale": np.full(1, alpha / rank, model.dtype) for name in chosen}
    model.train_only(table + [row for row in model.table if row[0] in {HEAD, *also}], scale, seed)


def merged(model: GPT) -> GPT:
    """A plain model, all of it free to learn, that computes the same as a model with adapters and costs no more.

        W ← W + α/r · A B
    """
    plain = _like(model)
    for name, array in plain.params.items():
        array[...] = model.params[name]
        adapter = name.removesuffix("weight") + "lora_"
        if f"{adapter}A" in model.params:
            array += (model.params[f"{adapter}A"] * model.params[f"{adapter}scale"]) @ model.params[f"{adapter}B"]
    plain.tokenizer = model.tokenizer
    return plain


def _like(model: GPT) -> GPT:
    """A model of the same kind and sizes; its weights are zero."""
    arguments: dict[str, Any] = {"seed": None, "dtype": model.dtype, "threads": model.pool.threads, "fast": model.fast}
    if isinstance(model, Classifier):
        return Classifier(model.config, model.labels, **arguments)
    return GPT(model.config, **arguments)
