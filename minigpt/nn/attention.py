"""Attention: softmax(QKᵀ/√d_k) V as a pair of its own, and over it several heads at once, on one sequence or across two."""

import functools
import math

import numpy as np

from .dropout import dropout_mask
from .linear import linear_backward, linear_forward
from .ops import row_dot, row_sum

QUERIES = 64      # queries of a tile: with a causal mask a tile meets only the keys up to its last query
TILE = 160_000    # scores worked on at once, over several sequences, so that they stay in the cache
SAFE = 50         # scores up to ±50 are exponentiated as they are: e⁵⁰ is far from float32's ends, even times a gradient


def attention_forward(q, k, v, s, *, causal=True, window=None, keep=None, dropout=0.0, out=None):
    r"""Each query takes the average of the values, weighted by how well their keys match it.

        o = att V,   att = softmax(scores),   scores = Q Kᵀ/√D + mask

    q (B, H, T, D), k, v (B, H, S, D) -> o (B, H, T, D); the axes B and H may be absent.  The mask is 0 where query t sees
    key j and −∞ where it does not:
        causal   j ≤ t, where the last query stands at the last key
        window   |t − j| < window, a band (Child et al. 2019)
        keep     keep[b, j] is true: (B, S) booleans, false at padding
    A query that sees no key gets zeros.  `dropout` is the probability for each entry of att, `out` an array to write o to.
    In study mode leaves q, k, v, scores and att (B, H, T, S) and o in s.acts.
    Vaswani et al. 2017, eq. 1; articles A0 §3.1.1, A3 §4.1, A4 §4.1.
    """
    shape = q.shape
    q, k, v = (s.leave(name, _four_axes(x)) for name, x in (("q", q), ("k", k), ("v", v)))
    B, H, T, D = q.shape
    S = k.shape[2]
    study = s.run.study
    dropping = dropout > 0 and s.run.dropout_key is not None
    blind = keep is not None or T > S            # some query may see no key
    o = np.empty(q.shape, q.dtype) if out is None else out
    q = s.reuse("q_scaled", q)
    q *= 1 / math.sqrt(D)                        # scale q, not the scores: fewer numbers
    # a row's maximum is taken off for fear of overflow alone: 1 % of a step of size S. For few queries asking costs as much
    safe = T >= QUERIES and not study and _largest_score(q, k) <= SAFE
    inverse = s.acts.empty("inverse", (B, H, T, 1), q.dtype)
    tiles = _tiles(T, S, causal, window, T if study else QUERIES)
    groups = [slice(0, B)] if study else _groups(B, H * min(T, QUERIES) * S)
    for i, (queries, keys) in enumerate(tiles):
        n, m = queries.stop - queries.start, keys.stop - keys.start
        exp = s.acts.empty(f"exp.{i}", (B, H, n, m), q.dtype)
        mask = _mask(queries, keys, S - T, causal, window, q.dtype)
        drop = dropout_mask(s, f"drop.{i}", exp.shape, q.dtype, dropout) if dropping else None
        for b in groups:
            e = exp[b]
            np.matmul(q[b, :, queries], k[b, :, keys].swapaxes(-1, -2), out=e)          # scores
            if mask is not None:
                e[..., m - mask.shape[1] :] += mask
            if keep is not None:
                np.copyto(e, -np.inf, where=~keep[b, None, None, keys])
            if study:
                e[...] = s.leave("scores", e.copy())
            if not safe:
                top = e.max(-1, keepdims=True)
                if blind:
                    np.copyto(top, 0, where=np.isneginf(top))   # subtle: a query without a key; −∞ − −∞ would be NaN
                e -= top
            np.exp(e, out=e)
            total = row_sum(e)
            if blind:
                np.copyto(total, np.inf, where=total == 0)
            np.divide(1, total, out=inverse[b, :, queries])
            if study:                                               # in study mode att itself, to be looked at and changed
                e *= inverse
                inverse.fill(1)
                s.leave("att", e)
            # e stays unnormalised: dividing o, of D columns, costs less than dividing the scores, of up to S columns
            dropped = e if drop is None else np.multiply(e, drop[b], out=s.scratch("dropped", e.shape, e.dtype))
            part = s.scratch("o", (*e.shape[:3], D), q.dtype)
            np.matmul(dropped, v[b, :, keys], out=part)
            np.multiply(part, inverse[b, :, queries], out=o[b, :, queries])
    s.acts["k"], s.acts["v"], s.acts["o"] = k, v, s.leave("o", o)
    s.saved.update(tiles=tiles, groups=groups, dropping=dropping, shape=shape)
    return o.reshape(shape) if len(shape) < 4 else o


def attention_backward(do, s, out=None):
    r"""dV = attᵀ dO,   datt = dO Vᵀ,   dscores = att ⊙ (datt − Σ_j datt ⊙ att),   dQ = dscores K/√D,   dK = dscoresᵀ Q/√D

    do (B, H, T, D) -> dq, dk, dv in the shapes of q, k, v.  Since Σ_j datt ⊙ att = dO·O, no row of att is summed again.
    `out` is a triple of arrays to write to.  In study mode leaves the gradients of o, att, scores, q, k, v in s.dacts.
    """
    q, k, v, o, inverse = (s.acts[name] for name in ("q_scaled", "k", "v", "o", "inverse"))
    tiles, groups, shape = s.saved["tiles"], s.saved["groups"], s.saved["shape"]
    study, S = s.run.study, k.shape[2]
    do = s.leave_grad("o", _four_axes(do))
    dq, dk, dv = (np.empty(a.shape, a.dtype) for a in (q, k, v)) if out is None else out
    delta = row_dot(do, o)                                                              # Σ_j datt ⊙ att
    if tiles[-1][1] != slice(0, S):          # the last tile writes what the others add to; it may not meet every key
        dk[...] = 0
        dv[...] = 0
    for b in groups:
        for i in range(len(tiles) - 1, -1, -1):
            queries, keys = tiles[i]
            e, inv = s.acts[f"exp.{i}"][b], inverse[b, :, queries]
            drop = s.acts[f"drop.{i}"][b] if s.saved["dropping"] else None
            scaled = np.multiply(do[b, :, queries], inv, out=s.scratch("do", (*e.shape[:3], q.shape[3]), q.dtype))
            dropped = e if drop is None else np.multiply(e, drop, out=s.scratch("dropped", e.shape, e.dtype))
            first = i == len(tiles) - 1
            _matmul(dropped.swapaxes(-1, -2), scaled, dv[b, :, keys], first, s)         # dV = attᵀ dO
            d = s.scratch("dscores", e.shape, e.dtype)
            np.matmul(scaled, v[b, :, keys].swapaxes(-1, -2), out=d)                    # datt, divided by the row's total
            if drop is not None:
                d *= drop
            if study:
                s.leave_grad("att", d.copy())       # the row's total is 1 here: the forward left att itself
            d -= delta[b, :, queries] * inv
            d *= e
            if study:
                s.leave_grad("scores", d.copy())
            np.matmul(d, k[b, :, keys], out=dq[b, :, queries])
            _matmul(d.swapaxes(-1, -2), q[b, :, queries], dk[b, :, keys], first, s)
    dq *= 1 / math.sqrt(q.shape[3])              # in the forward q was scaled, so now is its gradient
    for name, gradient in (("q", dq), ("k", dk), ("v", dv)):
        s.leave_grad(name, gradient)
    if len(shape) < 4:
        dq, dk, dv = (a.reshape(a.shape[4 - len(shape) :]) for a in (dq, dk, dv))
    return dq, dk, dv


def multihead_forward(x, s, n_head, *, causal=True, window=None, keep=None, dropout=0.0, cache=None, last=None):
    r"""Attention by several heads side by side, each on its own D = C/H channels.

        q, k, v = x W_qkv + b_qkv,   y = [head_1 … head_H] W_o + b_o

    x (B, T, C) -> y (B, T, C).  Parameters c_attn (C, 3C) and c_proj (C, C).  With a cache, this layer's keys and values of
    earlier positions come first, and y may be asked for at the `last` positions alone, (B, last, C).  `dropout` applies to
    att.  In study mode leaves out (y) beside what attention leaves.
    Vaswani et al. 2017 §3.2.2; articles A0 §3.1.3, A1 §3.1.
    """
    q, k, v = split_heads(linear_forward(x, s.at("c_attn")), 3, n_head)     # (B, H, T, D) each, views
    if cache is not None:
        k, v = cache.append(k, v)                                           # (B, H, S, D), views
    if last is not None:
        q = q[:, :, -last:]
    o = s.acts.empty("heads", (len(x), q.shape[2], x.shape[2]), x.dtype)
    attention_forward(q, k, v, s, causal=causal, window=window, keep=keep, dropout=dropout, out=split_heads(o, 1, n_head)[0])
    s.saved["n_head"] = n_head
    return s.leave("out", linear_forward(o, s.at("c_proj")))


def multihead_backward(dy, s):
    r"""dx, through c_proj, the heads and c_attn.  dy (B, T, C) -> dx (B, T, C)"""
    n_head = s.saved["n_head"]
    do = linear_backward(s.leave_grad("out", dy), s.at("c_proj"))
    dqkv = s.dacts.empty("qkv", (*dy.shape[:2], 3 * dy.shape[2]), dy.dtype)
    attention_backward(split_heads(do, 1, n_head)[0], s, out=split_heads(dqkv, 3, n_head))
    return linear_backward(dqkv, s.at("c_attn"))


def cross_attention_forward(x, memory, s, n_head, *, keep=None, dropout=0.0, cache=None):
    r"""Attention from one sequence to another: the queries come from x, the keys and values from memory.

        q = x W_q + b_q,   k, v = memory W_kv + b_kv,   y = [head_1 … head_H] W_o + b_o

    x (B, T, C), memory (B, S, C) -> y (B, T, C).  Parameters q_attn (C, C), c_attn (C, 2C), c_proj (C, C).  A cache keeps
    the keys and values, which stay the same while x grows.  Else as multihead_forward.
    Vaswani et al. 2017 §3.2.3; article A1 §2.2.
    """
    (q,) = split_heads(linear_forward(x, s.at("q_attn")), 1, n_head)

    def keys_and_values():
        return split_heads(linear_forward(memory, s.at("c_attn")), 2, n_head)

    k, v = keys_and_values() if cache is None else cache.once(keys_and_values)
    o = s.acts.empty("heads", x.shape, x.dtype)
    attention_forward(q, k, v, s, causal=False, keep=keep, dropout=dropout, out=split_heads(o, 1, n_head)[0])
    s.saved["n_head"] = n_head
    return s.leave("out", linear_forward(o, s.at("c_proj")))


def cross_attention_backward(dy, s):
    r"""dy (B, T, C) -> dx (B, T, C), dmemory (B, S, C)"""
    n_head = s.saved["n_head"]
    do = linear_backward(s.leave_grad("out", dy), s.at("c_proj"))
    dq = s.dacts.empty("q_heads", dy.shape, dy.dtype)
    dkv = s.dacts.empty("kv_heads", s.at("c_attn").acts["y"].shape, dy.dtype)
    attention_backward(split_heads(do, 1, n_head)[0], s, out=(*split_heads(dq, 1, n_head), *split_heads(dkv, 2, n_head)))
    return linear_backward(dq, s.at("q_attn")), linear_backward(dkv, s.at("c_attn"))


def split_heads(x, parts, n_head):
    """x (B, T, parts·C) -> `parts` arrays (B, H, T, D), views: strides, not copies, go straight into np.matmul"""
    B, T, width = x.shape
    return tuple(x.reshape(B, T, parts, n_head, width // parts // n_head).transpose(2, 0, 3, 1, 4))


def _four_axes(x):
    """x (T, D), (B, T, D) or (B, H, T, D) -> four axes; one sequence, one head where there was none"""
    return x if x.ndim == 4 else x.reshape((1,) * (4 - x.ndim) + x.shape)


def _tiles(T, S, causal, window, size):
    """The queries in runs of `size`, each with the keys that any of them sees: pairs of slices."""
    offset = S - T                               # the last query stands at the last key
    tiles = []
    for start in range(0, T, size):
        stop = min(start + size, T)
        first = 0 if window is None else max(0, start + offset - window + 1)
        last = stop + offset if causal else S if window is None else min(S, stop + offset + window - 1)
        tiles.append((slice(start, stop), slice(first, max(last, first + 1))))      # one key at least, hidden by the mask
    return tiles


def _largest_score(q, k):
    """What no |q·k| exceeds: the longest q times the longest k (Cauchy–Schwarz)"""
    return math.sqrt(row_dot(q, q).max()) * math.sqrt(row_dot(k, k).max())


def _groups(B, scores):
    """The batch in slices of so many sequences that TILE scores are worked on at once."""
    size = max(1, TILE // scores)
    return [slice(start, min(start + size, B)) for start in range(0, B, size)]


def _mask(queries, keys, offset, causal, window, dtype):
    """What is added to a tile's scores, 0 or −∞, for its last keys; None where every query sees every key.  (n, ≤ m)"""
    if causal and window is None and queries.start + offset >= 0:
        return _triangle(queries.stop - queries.start, dtype)       # earlier keys are seen by all queries of the tile
    t = np.arange(queries.start, queries.stop)[:, None] + offset
    j = np.arange(keys.start, keys.stop)
    hidden = np.zeros((len(t), len(j)), bool)
    if causal:
        hidden |= j > t
    if window is not None:
        hidden |= abs(t - j) >= window
    return np.where(hidden, dtype.type(-np.inf), dtype.type(0)) if hidden.any() else None


@functools.lru_cache(maxsize=64)
def _triangle(n, dtype):
    """−∞ above the diagonal, else 0 (n, n), read-only; None for a single query"""
    if n == 1:
        return None
    mask = np.triu(np.full((n, n), -np.inf, dtype), 1)
    mask.flags.writeable = False
    return mask


def _matmul(a, b, out, first, s):
    """out = a @ b, or out += a @ b where another tile has written before"""
    if first:
        np.matmul(a, b, out=out)
    else:
        out += np.matmul(a, b, out=s.scratch("matmul", out.shape, out.dtype))
