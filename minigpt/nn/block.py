"""The Transformer's blocks: attention and MLP, each with layer norm, dropout and a residual connection.

block_forward is GPT's block, and the encoder's of 2017; decoder_block_forward is the decoder's, which also attends to what
the encoder has read.
"""

from typing import Any

import numpy as np

from .dropout import dropout_backward, dropout_forward
from .layernorm import layernorm_backward, layernorm_forward
from .mlp import mlp_backward, mlp_forward
from .multihead import cross_attention_backward, cross_attention_forward, multihead_backward, multihead_forward
from .residual import residual_backward, residual_forward
from .scope import Scope


def block_forward(
    x: np.ndarray, s: Scope, n_head: int, *, activation: str = "gelu_new", eps: float = 1e-5, pre_norm: bool = True,
    causal: bool = True, window: int | None = None, key_padding_mask: np.ndarray | None = None, attn_dropout: float = 0.0,
    attn_scale: float | None = None, resid_dropout: float = 0.0, cache: Any = None, last: int | None = None,
) -> np.ndarray:
    r"""Attention mixes positions, the MLP transforms each one; both add to the residual stream.

        pre-norm  (GPT-2)        m = x + attn(ln_1(x)),    y = m + mlp(ln_2(m))
        post-norm (2017, GPT-1)  m = ln_1(x + attn(x)),    y = ln_2(m + mlp(m))

    x (B, T, C) -> y (B, T, C).  The branches attn and mlp end in dropout.  With a cache, `last` asks for the last positions
    alone, y (B, last, C).  Records the stream's three points: in (x), mid (m) and out (y).
    Radford et al. 2019 §2.3; article A3 §4.2.
    """

    def attn(h: np.ndarray) -> np.ndarray:
        a = multihead_forward(h, s.at("attn"), n_head, causal=causal, window=window, key_padding_mask=key_padding_mask,
                              dropout=attn_dropout, scale=attn_scale, cache=cache, last=last)
        return dropout_forward(a, s.at("attn.dropout"), resid_dropout)

    def mlp(h: np.ndarray) -> np.ndarray:
        return dropout_forward(mlp_forward(h, s.at("mlp"), activation), s.at("mlp.dropout"), resid_dropout)

    s.saved["pre_norm"] = pre_norm
    x = s.record("in", x)
    if pre_norm:
        mid = s.record("mid", residual_forward(x, attn(layernorm_forward(x, s.at("ln_1"), eps)), s))
        return s.record("out", residual_forward(mid, mlp(layernorm_forward(mid, s.at("ln_2"), eps)), s))
    mid = s.record("mid", layernorm_forward(residual_forward(x, attn(x), s), s.at("ln_1"), eps))
    return s.record("out", layernorm_forward(residual_forward(mid, mlp(mid), s), s.at("ln_2"), eps))


def block_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Go back through both branches, the last one first; at each residual connection two gradients add up.

        pre-norm   dm = dy + ln_2ᵇ(mlpᵇ(dy)),         dx = dm + ln_1ᵇ(attnᵇ(dm))
        post-norm  d = ln_2ᵇ(dy), dm = d + mlpᵇ(d);   d = ln_1ᵇ(dm), dx = d + attnᵇ(d)

    dy (B, T, C) -> dx (B, T, C).  fᵇ is the backward of f, dropout's included.
    """

    def attn_backward(d: np.ndarray) -> np.ndarray:
        return multihead_backward(dropout_backward(d, s.at("attn.dropout")), s.at("attn"))

    def branch_backward(d: np.ndarray) -> np.ndarray:
        return mlp_backward(dropout_backward(d, s.at("mlp.dropout")), s.at("mlp"))

    dy = s.record_grad("out", dy)
    if s.saved["pre_norm"]:
        dmid = s.record_grad("mid", residual_backward(dy, layernorm_backward(branch_backward(dy), s.at("ln_2")), s))
        return s.record_grad("in", residual_backward(dmid, layernorm_backward(attn_backward(dmid), s.at("ln_1")), s))
    d = layernorm_backward(dy, s.at("ln_2"))
    dmid = s.record_grad("mid", residual_backward(d, branch_backward(d), s))
    d = layernorm_backward(dmid, s.at("ln_1"))
    return s.record_grad("in", residual_backward(d, attn_backward(d), s))


def decoder_block_forward(
    x: np.ndarray, memory: np.ndarray, s: Scope, n_head: int, *, activation: str = "relu", eps: float = 1e-5,
    key_padding_mask: np.ndarray | None = None, attn_dropout: float = 0.0, resid_dropout: float = 0.0, cache: Any = None,
    memory_cache: Any = None,
) -> np.ndarray:
    r"""Attend to the target so far, then to the source, then transform each position: the block of 2017's decoder.

        m = ln_1(x + attn(x)),   c = ln_cross(m + cross(m, memory)),   y = ln_2(c + mlp(c))

    x (B, T, C), memory (B, S, C) -> y (B, T, C).  attn is causal; cross sees the positions of memory where key_padding_mask
    (B, S) is true.  The branches end in dropout.  The caches are those of attn and cross.  Records the stream's four points:
    in (x), mid (m), crossed (c) and out (y).
    Vaswani et al. 2017 §3.1, figure 1; articles A1 §3.1, A3 §4.2.
    """
    x = s.record("in", x)
    a = multihead_forward(x, s.at("attn"), n_head, dropout=attn_dropout, cache=cache)
    a = dropout_forward(a, s.at("attn.dropout"), resid_dropout)
    mid = s.record("mid", layernorm_forward(residual_forward(x, a, s), s.at("ln_1"), eps))
    a = cross_attention_forward(mid, memory, s.at("cross"), n_head, key_padding_mask=key_padding_mask, dropout=attn_dropout,
                                cache=memory_cache)
    a = dropout_forward(a, s.at("cross.dropout"), resid_dropout)
    crossed = s.record("crossed", layernorm_forward(residual_forward(mid, a, s), s.at("ln_cross"), eps))
    m = dropout_forward(mlp_forward(crossed, s.at("mlp"), activation), s.at("mlp.dropout"), resid_dropout)
    return s.record("out", layernorm_forward(residual_forward(crossed, m, s), s.at("ln_2"), eps))


def decoder_block_backward(dy: np.ndarray, s: Scope) -> tuple[np.ndarray, np.ndarray]:
    r"""Go back through the three branches, the last one first, and out of cross-attention to the source as well.

        d = ln_2ᵇ(dy),        dc = d + mlpᵇ(d)
        d = ln_crossᵇ(dc),    dm = d + dx_cross,   where dx_cross, dmemory = crossᵇ(d)
        d = ln_1ᵇ(dm),        dx = d + attnᵇ(d)

    dy (B, T, C) -> dx (B, T, C), dmemory (B, S, C).  fᵇ is the backward of f.
    """
    d = layernorm_backward(s.record_grad("out", dy), s.at("ln_2"))
    m = mlp_backward(dropout_backward(d, s.at("mlp.dropout")), s.at("mlp"))
    dcrossed = s.record_grad("crossed", residual_backward(d, m, s))
    d = layernorm_backward(dcrossed, s.at("ln_cross"))
    a, dmemory = cross_attention_backward(dropout_backward(d, s.at("cross.dropout")), s.at("cross"))
    dmid = s.record_grad("mid", residual_backward(d, a, s))
    d = layernorm_backward(dmid, s.at("ln_1"))
    a = multihead_backward(dropout_backward(d, s.at("attn.dropout")), s.at("attn"))
    return s.record_grad("in", residual_backward(d, a, s)), dmemory
