"""Attention's twin: tiles of queries against the keys they see, scores exponentiated in place and never divided."""

import functools
import math

import numpy as np

from .dropout import dropout_mask
from .multihead import beside
from .ops import row_dot, row_sum

QUERIES = 64      # queries of a tile: with a causal mask a tile meets only the keys up to its last query
TILE = 160_000    # scores worked on at once, over several sequences, so that they stay in the cache
SAFE = 50         # scores up to ±50 are exponentiated as they are: e⁵⁰ is far from float32's ends, even times a gradient


def attention_forward(q, k, v, s, *, causal=True, window=None, key_padding_mask=None, dropout=0.0):
    """o = att V,   att = softmax(Q Kᵀ/√D + mask)"""
    shape = q.shape
    if key_padding_mask is not None and len(shape) < 4:
        raise ValueError(f"key_padding_mask: q {shape} has no batch, expected q (B, H, T, D) beside it")
    q, k, v = _four_axes(q.copy() if q is k or q is v else q), _four_axes(k), _four_axes(v)
    B, H, T, D = q.shape
    S = k.shape[2]
    dropping = dropout > 0 and s.run.dropout_key is not None
    blind = key_padding_mask is not None or T > S        # some query may see no key
    o = s.acts.empty("o", (B, T, H, D), q.dtype).swapaxes(1, 2)     # where merge_heads() needs it
    s.acts["q_scaled"] = q
    q *= 1 / math.sqrt(D)                        # scale q, not the scores: fewer numbers
    # Subtracting the row maximum only guards against overflow; skip it when the scores are provably small.  For few queries
    # asking costs as much
    safe = T >= QUERIES and _largest_score(q, k) <= SAFE
    inverse = s.acts.empty("inverse", (B, H, T, 1), q.dtype)
    drop = dropout_mask(s, "drop", (B, H, T, S), q.dtype, dropout) if dropping else None
    tiles = _tiles(T, S, causal, window)
    groups = _groups(B, H * min(T, QUERIES) * S)
    for i, (queries, keys) in enumerate(tiles):
        n, m = queries.stop - queries.start, keys.stop - keys.start
        exp = s.acts.empty(f"exp.{i}", (B, H, n, m), q.dtype)
        mask = _mask(queries, keys, S - T, causal, window, q.dtype)
        for b in groups:
            e = exp[b]
            np.matmul(q[b, :, queries], k[b, :, keys].swapaxes(-1, -2), out=e)          # scores
            if mask is not None:
                e[..., m - mask.shape[1] :] += mask
            if key_padding_mask is not None:
                np.copyto(e, -np.inf, where=~key_padding_mask[b, None, None, keys])
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
            # e stays unnormalized: dividing o, of D columns, costs less than dividing the scores, of up to S columns
            part = s.scratch("o", (*e.shape[:3], D), q.dtype)
            np.matmul(_dropped(e, drop, b, queries, keys, s), v[b, :, keys], out=part)
            np.multiply(part, inverse[b, :, queries], out=o[b, :, queries])
    s.acts["k"], s.acts["v"], s.acts["o"] = k, v, o
    s.saved.update(tiles=tiles, groups=groups, dropping=dropping, shape=shape)
    return o.reshape(shape) if len(shape) < 4 else o


def attention_backward(do, s):
    """dV = attᵀ dO,   dscores = att ⊙ (dO Vᵀ − Σ_j datt ⊙ att),   dQ = dscores K/√D,   dK = dscoresᵀ Q/√D

    Since Σ_j datt ⊙ att = dO·O, no row of att is summed again.
    """
    q, k, v, o, inverse = (s.acts[name] for name in ("q_scaled", "k", "v", "o", "inverse"))
    tiles, groups, shape = s.saved["tiles"], s.saved["groups"], s.saved["shape"]
    do = _four_axes(do)
    dq, dk, dv = _gradients(q, k, v, s)
    drop = s.acts["drop"] if s.saved["dropping"] else None
    delta = row_dot(do, o)                                                              # Σ_j datt ⊙ att
    if tiles[-1][1] != slice(0, k.shape[2]):     # the last tile writes what the others add to; it may not meet every key
        dk[...] = 0
        dv[...] = 0
    for b in groups:
        for i in range(len(tiles) - 1, -1, -1):
            queries, keys = tiles[i]
            e, inv = s.acts[f"exp.{i}"][b], inverse[b, :, queries]
            scaled = np.multiply(do[b, :, queries], inv, out=s.scratch("do", (*e.shape[:3], q.shape[3]), q.dtype))
            first = i == len(tiles) - 1
            _matmul(_dropped(e, drop, b, queries, keys, s).swapaxes(-1, -2), scaled, dv[b, :, keys], first, s)
            d = s.scratch("dscores", e.shape, e.dtype)
            np.matmul(scaled, v[b, :, keys].swapaxes(-1, -2), out=d)                    # datt, divided by the row's total
            if drop is not None:
                d *= drop[b, :, queries, keys]
            d -= delta[b, :, queries] * inv
            d *= e
            np.matmul(d, k[b, :, keys], out=dq[b, :, queries])
            _matmul(d.swapaxes(-1, -2), q[b, :, queries], dk[b, :, keys], first, s)
    dq *= 1 / math.sqrt(q.shape[3])              # in the forward q was scaled, so now is its gradient
    if len(shape) < 4:
        dq, dk, dv = (a.reshape(a.shape[4 - len(shape) :]) for a in (dq, dk, dv))
    return dq, dk, dv


def _dropped(e, drop, b, queries, keys, s):
    """A tile of weights after dropout; e itself where nothing drops"""
    return e if drop is None else np.multiply(e, drop[b, :, queries, keys], out=s.scratch("dropped", e.shape, e.dtype))


def _gradients(q, k, v, s):
    """Arrays for dq, dk and dv, side by side where q, k and v were parts of one array: merge_heads() need not move them"""
    if q.base is k.base and q.shape == k.shape:
        return beside(s, [q, k, v])[1]
    dk, dv = beside(s, [k, v])[1]
    return beside(s, [q])[1][0], dk, dv


def _four_axes(x):
    """x (T, D), (B, T, D) or (B, H, T, D) -> four axes; one sequence, one head where there was none"""
    return x if x.ndim == 4 else x.reshape((1,) * (4 - x.ndim) + x.shape)


def _tiles(T, S, causal, window):
    """The queries in runs of QUERIES, each with the keys that any of them sees: pairs of slices."""
    offset = S - T                               # the last query stands at the last key
    tiles = []
    for start in range(0, T, QUERIES):
        stop = min(start + QUERIES, T)
        first = 0 if window is None else max(0, start + offset - window + 1)
        last = stop + offset if causal else S if window is None else min(S, stop + offset + window - 1)
        tiles.append((slice(start, stop), slice(first, max(last, first + 1))))      # one key at least, hidden by the mask
    return tiles


def _largest_score(q, k):
    """What no |q·k| exceeds: the longest q times the longest k (Cauchy–Schwarz)"""
    return math.sqrt(row_dot(q, q).max()) * math.sqrt(row_dot(k, k).max())


def _groups(B, scores):
    """The batch in slices of so many sequences that TILE scores are worked on at once."""
    size = max(1, TILE // max(1, scores))
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
