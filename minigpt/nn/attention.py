"""Attention: softmax(QKᵀ/√D) V, the equation and its gradient.  Several heads side by side are multihead.py's."""

import math

import numpy as np

from .dropout import dropout_mask
from .mask import attention_mask
from .scope import Scope
from .softmax import softmax, softmax_backward
from .twins import has_fast_twin


@has_fast_twin
def attention_forward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, s: Scope, *, causal: bool = True, window: int | None = None,
    key_padding_mask: np.ndarray | None = None, dropout: float = 0.0, scale: float | None = None,
) -> np.ndarray:
    r"""Each query takes the average of the values, weighted by how well their keys match it.

        o = (att ⊙ m) V,   att = softmax(scores),   scores = Q Kᵀ/√D,   and −∞ where the query does not see the key

    q (B, H, T, D), k, v (B, H, S, D) -> o (B, H, T, D); the axes B and H may be absent where there is no padding.  What a
    query sees is mask.attention_mask()'s; one that sees no key gets zeros.  m is dropout's mask, with probability `dropout`; 1
    without.  `scale` is what the products are multiplied by in place of 1/√D.  Records q, k, v, scores and att (B, H, T, S), o.
    Raises ValueError for shapes that do not fit.
    Vaswani et al. 2017, eq. 1; articles A0 §3.1.1, A3 §4.1, A4 §4.1.
    """
    check_shapes(q, k, v, key_padding_mask)
    q, k, v = s.record("q", q), s.record("k", k), s.record("v", v)
    scale = s.saved["scale"] = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    seen = attention_mask(q.shape[-2], k.shape[-2], causal=causal, window=window, key_padding_mask=key_padding_mask)
    scores = s.record("scores", np.where(seen, scale * (q @ k.swapaxes(-1, -2)), -np.inf))
    att = s.record("att", softmax(scores))
    drop = s.acts["drop"] = dropout_mask(s, "drop", att.shape, att.dtype, dropout)         # 1 without dropout
    return s.record("o", (att * drop) @ v)


@has_fast_twin
def attention_backward(do: np.ndarray, s: Scope) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Go back through two matrix products and the softmax between them.

        dV = (att ⊙ m)ᵀ dO,   datt = dO Vᵀ ⊙ m,   dscores = att ⊙ (datt − Σ_j datt ⊙ att)
        dQ = dscores K/√D,    dK = dscoresᵀ Q/√D

    do (B, H, T, D) -> dq, dk, dv in the shapes of q, k, v.  A hidden score gets 0, since its att is 0.  Where the forward
    had a `scale` in place of 1/√D, so has the backward.  Records the gradients of all that the forward records.
    """
    q, k, v, att, drop = (s.acts[name] for name in ("q", "k", "v", "att", "drop"))
    scale = s.saved["scale"]
    do = s.record_grad("o", do)
    dv = s.record_grad("v", (att * drop).swapaxes(-1, -2) @ do)
    datt = s.record_grad("att", do @ v.swapaxes(-1, -2) * drop)
    dscores = s.record_grad("scores", softmax_backward(datt, att))
    dq = s.record_grad("q", scale * (dscores @ k))
    dk = s.record_grad("k", scale * (dscores.swapaxes(-1, -2) @ q))
    return dq, dk, dv


def check_shapes(q: np.ndarray, k: np.ndarray, v: np.ndarray, key_padding_mask: np.ndarray | None) -> None:
    """Refuse arrays that NumPy would spread over one another.  Raises ValueError."""
    if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ValueError(f"attention: q {q.shape}, k {k.shape}, v {v.shape}, expected the same axes before the last two")
    if key_padding_mask is not None and (q.ndim != 4 or key_padding_mask.shape != (len(q), k.shape[-2])):
        raise ValueError(f"key_padding_mask: shape {key_padding_mask.shape} beside q {q.shape} and k {k.shape}, "
                         "expected (B, S) beside q (B, H, T, D) and k (B, H, S, D)")
