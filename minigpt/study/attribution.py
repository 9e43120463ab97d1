"""Direct logit attribution: how much each part of the residual stream adds to a logit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..inputs import as_array, check_count, plain
from ..system.text import printable
from .interventions import run
from .pictures import number_grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..models.gpt import GPT


class Parts(dict[str, np.ndarray]):
    """{name: (B,)}; a notebook shows the first sequence as a table, blocks × parts."""

    def _repr_html_(self) -> str:
        places = {name: (".".join(name.split(".")[:2]), name.split(".", 2)[2]) if name.startswith("h.") else ("stream", name)
                  for name in self}
        rows, columns = (list(dict.fromkeys(side)) for side in zip(*places.values(), strict=True))
        numbers = np.full((len(rows), len(columns)), np.nan)
        for name, (row, column) in places.items():
            numbers[rows.index(row), columns.index(column)] = self[name][0]
        return f'<div class="tex2jax_ignore">{number_grid(rows, columns, numbers, "adds")}</div>'


def direct_logit_attribution(
    model: GPT, ids: ArrayLike, token: ArrayLike, *, against: ArrayLike | None = None, position: int = -1,
) -> Parts:
    r"""Split a logit into what each part of the residual stream adds to it directly, not by way of later blocks.

        x = Σ parts,   logit = Σ_parts (w ⊙ (part − mean(part)) r) · W[token] + b · W[token]

    The stream before ln_f is a sum of embeddings, each head's output, biases and each MLP.  With the norm's r = 1/σ held
    fixed, the logit is a sum over the same parts.
    ids (B, T), token an id or (B,) ids -> {name: (B,)}, whose sum is logits[:, position, token]; with `against`, the
    difference from that token's logit.  Names: wte.out, wpe.out, h.0.attn.o.2 (the third head), h.0.attn.c_proj.bias,
    h.0.mlp.out, …, ln_f.bias.
    Raises TypeError, ValueError; also for pre_norm=False, a position out of range and tokens that are no ids.
    Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
    """
    config, params = model.config, model.params
    if not config.pre_norm:
        raise ValueError("direct_logit_attribution: pre_norm=False, expected True; norms after each sum mix the parts")
    V = config.vocab_size
    stream = run(model, ids, names=["wte.out", "wpe.out", "h.*.attn.o", "h.*.mlp.out", "ln_f.rstd"])
    B, T = stream.ids.shape
    position = plain(position)
    check_count(position, -T, "position", f"up to {T - 1}; -1 is the last")
    if position >= T:
        raise ValueError(f"position: {position}, expected {-T} to {T - 1}")
    W = params["wte.weight" if config.tie_word_embeddings else "lm_head.weight"]
    direction = W[_checked_tokens(token, "token", B, V)]                           # (B, C)
    if against is not None:
        direction = direction - W[_checked_tokens(against, "against", B, V)]
    parts = {"wte.out": stream["wte.out"].value[:, position], "wpe.out": stream["wpe.out"].value[None, position]}
    for i in range(config.n_layer):
        heads = np.split(params[f"h.{i}.attn.c_proj.weight"], config.n_head)       # (D, C) each: the rows that a head uses
        o = stream[f"h.{i}.attn.o"].value[:, :, position]                          # (B, H, D)
        parts |= {f"h.{i}.attn.o.{h}": o[:, h] @ heads[h] for h in range(config.n_head)}
        if config.bias:
            parts[f"h.{i}.attn.c_proj.bias"] = params[f"h.{i}.attn.c_proj.bias"][None]
        parts[f"h.{i}.mlp.out"] = stream[f"h.{i}.mlp.out"].value[:, position]
    scale = params["ln_f.weight"] * stream["ln_f.rstd"].value[:, position]         # (B, C)
    logit = {name: ((part - part.mean(-1, keepdims=True)) * scale * direction).sum(-1) for name, part in parts.items()}
    return Parts(logit | ({"ln_f.bias": direction @ params["ln_f.bias"]} if config.bias else {}))


def _checked_tokens(token: ArrayLike, name: str, B: int, V: int) -> np.ndarray:
    """One id for each of the B sequences: (B,)"""
    tokens, found = as_array(token, name), printable(repr(token))
    if tokens.dtype.kind not in "iu" or tokens.shape not in ((), (B,)):
        raise ValueError(f"{name}: {found}, expected an id or {B} ids, one for each sequence")
    if tokens.min() < 0 or tokens.max() >= V:
        raise ValueError(f"{name}: {found}, expected ids from 0 to {V - 1}")
    return np.broadcast_to(tokens, (B,))
