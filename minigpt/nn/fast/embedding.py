"""The embedding's twin: its gradient as a product with one-hot ids where the table is small, else row by row."""

import numpy as np

from ..rows import rows
from ..scope import Scope

ONE_HOT_ROWS = 1024  # up to this many rows of the table, its gradient is one matrix product


def embedding_forward(ids: np.ndarray, s: Scope) -> np.ndarray:
    """Look up one row of the table for each id.

        y[i] = W[ids[i]]

    ids (...) integers -> y (..., C)
    """
    weight = s.params["weight"]
    s.acts["ids"] = ids
    y = s.acts.empty("y", (*ids.shape, weight.shape[1]), weight.dtype)
    y[...] = weight[ids]        # np.take would copy all of a table that lies transposed
    return y


def embedding_backward(dy: np.ndarray, s: Scope) -> None:
    """Give each position's gradient to the row that it looked up, by a product with one-hot ids where the table is small.

        dW[v] = Σ dy[i] over the i with ids[i] = v

    dy (..., C).  There is no gradient for ids.
    """
    ids, weight = s.acts["ids"].reshape(-1), s.params["weight"]
    dy = rows(dy)
    V = len(weight)
    if V <= ONE_HOT_ROWS:
        one_hot = s.scratch("one_hot", (len(ids), V), dy.dtype)
        one_hot.fill(0)
        one_hot[np.arange(len(ids)), ids] = 1
        s.grads.add_product("weight", one_hot.T, dy)
    else:
        s.grads.add_rows("weight", weight.shape, ids, dy)


def unembedding_forward(h: np.ndarray, s: Scope) -> np.ndarray:
    """Score every token of the vocabulary by its row of the table.

        logits = h Wᵀ

    h (..., C) -> logits (..., V)
    """
    weight = s.params["weight"]
    s.acts["h"] = h
    logits = s.acts.empty("logits", (*h.shape[:-1], len(weight)), h.dtype)
    np.matmul(rows(h), weight.T, out=rows(logits))
    return logits


def unembedding_backward(dlogits: np.ndarray, s: Scope) -> np.ndarray:
    """Go back through the product with the table.

        dh = dlogits W,   dW = dlogitsᵀ h

    dlogits (..., V) -> dh (..., C)
    """
    h, weight = s.acts["h"], s.params["weight"]
    s.grads.add_product("weight", rows(dlogits).T, rows(h))
    dh = s.dacts.empty("h", h.shape, h.dtype)
    np.matmul(rows(dlogits), weight, out=rows(dh))
    return dh
