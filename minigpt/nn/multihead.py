"""Attention by several heads side by side, on one sequence or from one sequence to another."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .attention import attention_backward, attention_forward
from .linear import linear_backward, linear_forward
from .scope import Scope
from .twins import has_fast_twin


def multihead_forward(
    x: np.ndarray, s: Scope, n_head: int, *, causal: bool = True, window: int | None = None,
    key_padding_mask: np.ndarray | None = None, dropout: float = 0.0, scale: float | None = None, cache: Any = None,
    last: int | None = None,
) -> np.ndarray:
    r"""Let every position attend to the others with several heads, each on its own D = C/H channels.

        q, k, v = x W_qkv + b_qkv,   y = [o_1 … o_H] W_o + b_o,   o_h = attention(q_h, k_h, v_h)

    x (B, T, C) -> y (B, T, C).  Parameters c_attn (C, 3C) and c_proj (C, C).  With a cache, this layer's keys and values of
    earlier positions come first, and y may be asked for at the `last` positions alone, (B, last, C).  `dropout` applies to
    att, `scale` is attention's.  Records out (y) beside what attention records.
    Vaswani et al. 2017 §3.2.2; articles A0 §3.1.3, A1 §3.1.
    """
    q, k, v = split_heads(linear_forward(x, s.at("c_attn")), 3, n_head)     # (B, H, T, D) each
    if cache is not None:
        k, v = cache.append(k, v)                                           # (B, H, S, D)
    if last is not None:
        q = q[:, :, -last:]
    o = attention_forward(q, k, v, s, causal=causal, window=window, key_padding_mask=key_padding_mask, dropout=dropout,
                          scale=scale)
    s.saved["n_head"] = n_head
    return s.record("out", linear_forward(merge_heads([o], s), s.at("c_proj")))


def multihead_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Go back through c_proj, the heads and c_attn, in which q, k and v stand side by side.

        do = dy W_oᵀ,   dx = [dq dk dv] W_qkvᵀ

    dy (B, T, C) -> dx (B, T, C)
    """
    do = linear_backward(s.record_grad("out", dy), s.at("c_proj"))
    dq, dk, dv = attention_backward(split_heads(do, 1, s.saved["n_head"])[0], s)
    return linear_backward(merge_heads([dq, dk, dv], s), s.at("c_attn"))


def cross_attention_forward(
    x: np.ndarray, memory: np.ndarray, s: Scope, n_head: int, *, key_padding_mask: np.ndarray | None = None,
    dropout: float = 0.0, cache: Any = None,
) -> np.ndarray:
    r"""Attend from one sequence to another: the queries come from x, the keys and values from memory.

        q = x W_q + b_q,   k, v = memory W_kv + b_kv,   y = [o_1 … o_H] W_o + b_o

    x (B, T, C), memory (B, S, C) -> y (B, T, C).  Parameters q_attn (C, C), c_attn (C, 2C), c_proj (C, C).  A cache keeps
    the keys and values, which stay the same while x grows.  Else as multihead_forward.
    Vaswani et al. 2017 §3.2.3; article A1 §2.2.
    """
    (q,) = split_heads(linear_forward(x, s.at("q_attn")), 1, n_head)

    def keys_and_values() -> tuple[np.ndarray, ...]:
        return split_heads(linear_forward(memory, s.at("c_attn")), 2, n_head)

    k, v = keys_and_values() if cache is None else cache.once(keys_and_values)
    o = attention_forward(q, k, v, s, causal=False, key_padding_mask=key_padding_mask, dropout=dropout)
    s.saved["n_head"] = n_head
    return s.record("out", linear_forward(merge_heads([o], s), s.at("c_proj")))


def cross_attention_backward(dy: np.ndarray, s: Scope) -> tuple[np.ndarray, np.ndarray]:
    r"""Go back to both sequences: the queries' gradient goes to x, the keys' and values' to memory.

        do = dy W_oᵀ,   dx = dq W_qᵀ,   dmemory = [dk dv] W_kvᵀ

    dy (B, T, C) -> dx (B, T, C), dmemory (B, S, C)
    """
    do = linear_backward(s.record_grad("out", dy), s.at("c_proj"))
    dq, dk, dv = attention_backward(split_heads(do, 1, s.saved["n_head"])[0], s)
    return linear_backward(merge_heads([dq], s), s.at("q_attn")), linear_backward(merge_heads([dk, dv], s), s.at("c_attn"))


def split_heads(x: np.ndarray, parts: int, n_head: int) -> tuple[np.ndarray, ...]:
    """Cut channels into heads: x (B, T, parts·C) -> `parts` arrays (B, H, T, D), views."""
    B, T, width = x.shape
    return tuple(x.reshape(B, T, parts, n_head, width // parts // n_head).transpose(2, 0, 3, 1, 4))


@has_fast_twin
def merge_heads(parts: Sequence[np.ndarray], s: Scope) -> np.ndarray:
    """Put heads side by side again, the reverse of split_heads: arrays (B, H, T, D) -> (B, T, parts·C)."""
    B, H, T, D = parts[0].shape
    return np.concatenate([heads.swapaxes(1, 2).reshape(B, T, H * D) for heads in parts], axis=-1)
