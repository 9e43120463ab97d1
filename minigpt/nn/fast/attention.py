"""Attention's twin: tiles of queries against the keys they see, scores exponentiated in place and never divided."""

import functools
import math

import numpy as np

from ..attention import check_shapes
from ..scope import Scope
from .dropout import dropout_mask
from .multihead import beside
from .ops import row_dot, row_sum

QUERIES = 64      # queries of a tile: with a causal mask a tile meets only the keys up to its last query
TILE = 160_000    # scores worked on at once, over several sequences, so that they stay in the cache


def attention_forward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, s: Scope, *, causal: bool = True, window: int | None = None,
    key_padding_mask: np.ndarray | None = None, dropout: float = 0.0, scale: float | None = None,
) -> np.ndarray:
    """Average the values by softmax weights, tile by tile; the weights are kept undivided, e = exp(scores − row maximum).

        o = (e ⊙ m) V/Σ_j e,   scores = Q Kᵀ/√D + mask

    q (B, H, T, D), k, v (B, H, S, D) -> o (B, H, T, D), B and H as in the textbook.  q is overwritten.  Raises ValueError for
    shapes that do not fit.
    """
    check_shapes(q, k, v, key_padding_mask)
    shape = q.shape
    q, k, v = _four_axes(q.copy() if q is k or q is v else q), _four_axes(k), _four_axes(v)
    B, H, T, D = q.shape
    S = k.shape[2]
    dropping = dropout > 0 and s.run.dropout_key is not None
    o = s.acts.empty("o", (B, T, H, D), q.dtype).swapaxes(1, 2)     # where merge_heads() needs it
    s.acts["q_scaled"] = q
    scale = 1 / math.sqrt(D) if scale is None else scale
    q *= scale                                   # scale q, not the scores: fewer numbers
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
            e -= e.max(-1, keepdims=True, initial=np.finfo(e.dtype).min)       # never −∞ − −∞, which would be NaN
            np.exp(e, out=e)
            np.divide(1, np.maximum(row_sum(e), 1), out=inverse[b, :, queries])         # the maximum itself adds exp(0) = 1
            # e stays unnormalized: dividing o, of D columns, costs less than dividing the scores, of up to S columns
            part = s.scratch("o", (*e.shape[:3], D), q.dtype)
            np.matmul(_dropped(e, drop, b, queries, keys, s), v[b, :, keys], out=part)
            np.multiply(part, inverse[b, :, queries], out=o[b, :, queries])
    s.acts["k"], s.acts["v"], s.acts["o"] = k, v, o
    s.saved.update(tiles=tiles, groups=groups, dropping=dropping, shape=shape, scale=scale)
    return o.reshape(shape) if len(shape) < 4 else o


def attention_backward(do: np.ndarray, s: Scope) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Go back through both products and the softmax, the last tile first.

        dV = attᵀ dO,   dscores = att ⊙ (dO Vᵀ − Σ_j datt ⊙ att),   dQ = dscores K/√D,   dK = dscoresᵀ Q/√D

    do (B, H, T, D) -> dq, dk, dv in the shapes of q, k, v.  Since Σ_j datt ⊙ att = dO·O, no row of att is summed again.
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
    dq *= s.saved["scale"]                       # in the forward q was scaled, so now is its gradient
    if len(shape) < 4:
        dq, dk, dv = (a.reshape(a.shape[4 - len(shape) :]) for a in (dq, dk, dv))
    return dq, dk, dv


def _dropped(e: np.ndarray, drop: np.ndarray | None, b: slice, queries: slice, keys: slice, s: Scope) -> np.ndarray:
    """A tile of weights after dropout; e itself where nothing drops"""
    return e if drop is None else np.multiply(e, drop[b, :, queries, keys], out=s.scratch("dropped", e.shape, e.dtype))


def _gradients(q: np.ndarray, k: np.ndarray, v: np.ndarray, s: Scope) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays for dq, dk and dv, side by side where q, k and v were parts of one array: merge_heads() need not move them"""
    if q.base is k.base and q.shape == k.shape:
        dq, dk, dv = beside(s, [q, k, v])[1]
    else:
        (dq,), (dk, dv) = beside(s, [q])[1], beside(s, [k, v])[1]
    return dq, dk, dv


def _four_axes(x: np.ndarray) -> np.ndarray:
    """x (T, D), (B, T, D) or (B, H, T, D) -> four axes; one sequence, one head where there was none"""
    return x if x.ndim == 4 else x.reshape((1,) * (4 - x.ndim) + x.shape)


def _tiles(T: int, S: int, causal: bool, window: int | None) -> list[tuple[slice, slice]]:
    """The queries in runs of QUERIES, each with the keys that any of them sees: pairs of slices."""
    offset = S - T                               # the last query stands at the last key
    tiles = []
    for start in range(0, T, QUERIES):
        stop = min(start + QUERIES, T)
        first = 0 if window is None else max(0, start + offset - window + 1)
        last = stop + offset if causal else S if window is None else min(S, stop + offset + window - 1)
        tiles.append((slice(start, stop), slice(first, max(last, first + 1))))      # one key at least, hidden by the mask
    return tiles


def _groups(B: int, scores: int) -> list[slice]:
    """The batch in slices of so many sequences that TILE scores are worked on at once."""
    size = max(1, TILE // max(1, scores))
    return [slice(start, min(start + size, B)) for start in range(0, B, size)]


def _mask(queries: slice, keys: slice, offset: int, causal: bool, window: int | None, dtype: np.dtype) -> np.ndarray | None:
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
def _triangle(n: int, dtype: np.dtype) -> np.ndarray | None:
    """−∞ above the diagonal, else 0 (n, n), read-only; None for a single query"""
    if n == 1:
        return None
    mask = np.triu(np.full((n, n), -np.inf, dtype), 1)
    mask.flags.writeable = False
    return mask


def _matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray, first: bool, s: Scope) -> None:
    """out = a @ b, or out += a @ b where another tile has written before"""
    if first:
        np.matmul(a, b, out=out)
    else:
        out += np.matmul(a, b, out=s.scratch("matmul", out.shape, out.dtype))
