"""From tokens to vectors and back: the lookup, the tables of positions, and the output layer that reads the same table."""

import numpy as np

from .ops import rows

ONE_HOT_ROWS = 1024  # up to this many rows of the table, its gradient is one matrix product: 5 to 10 × a loop


def embedding_forward(ids, s):
    r"""Look up one row of the table for each id.

        y[i] = W[ids[i]]

    ids (...) integers in 0 … V−1 -> y (..., C).  W (V, C).  For positions the ids are the positions.
    Leaves ids in s.acts.  Article A2 §2.
    """
    weight = s.params["weight"]
    s.acts["ids"] = ids
    y = s.acts.empty("y", (*ids.shape, weight.shape[1]), weight.dtype)
    y[...] = weight[ids]        # np.take would copy all of a table that lies transposed
    return s.leave("out", y)


def embedding_backward(dy, s):
    r"""dW[v] = Σ dy[i] over the i with ids[i] = v

    dy (..., C).  There is no gradient for ids.  np.add.at would do the same, 5 to 10 × slower.
    """
    ids, weight = s.acts["ids"].reshape(-1), s.params["weight"]
    dy = rows(s.leave_grad("out", dy))
    V = len(weight)
    if V <= ONE_HOT_ROWS:
        one_hot = s.scratch("one_hot", (len(ids), V), dy.dtype)
        one_hot.fill(0)
        one_hot[np.arange(len(ids)), ids] = 1
        s.grads.add_product("weight", one_hot.T, dy)
    else:
        s.grads.add_rows("weight", weight.shape, ids, dy)


def unembedding_forward(h, s):
    r"""Score every token of the vocabulary by its row of the table: the embedding read the other way.

        logits = h Wᵀ

    h (..., C) -> logits (..., V).  W (V, C).  Leaves h in s.acts.  Press and Wolf 2017; article A2 §2, output layer.
    """
    weight = s.params["weight"]
    s.acts["h"] = h
    logits = s.acts.empty("logits", (*h.shape[:-1], len(weight)), h.dtype)
    np.matmul(rows(h), weight.T, out=rows(logits))
    return logits


def unembedding_backward(dlogits, s):
    r"""dh = dlogits W,   dW = dlogitsᵀ h

    dlogits (..., V) -> dh (..., C)
    """
    h, weight = s.acts["h"], s.params["weight"]
    s.grads.add_product("weight", rows(dlogits).T, rows(h))
    dh = s.dacts.empty("h", h.shape, h.dtype)
    np.matmul(rows(dlogits), weight, out=rows(dh))
    return dh


def sinusoidal_positions(n_positions, n_embd, dtype=np.float64):
    r"""The fixed table of positions of the first Transformer; GPT learns its table instead.

        P[t, 2i] = sin(t / 10000^(2i/C)),   P[t, 2i+1] = cos(t / 10000^(2i/C))

    -> (n_positions, n_embd).  Vaswani et al. 2017 §3.5; articles A0 §3.1.2, A1 §2.3.
    """
    position = np.arange(n_positions)[:, None]
    angle = position / 10_000 ** (np.arange(0, n_embd, 2) / n_embd)
    table = np.empty((n_positions, n_embd), dtype)
    table[:, 0::2] = np.sin(angle)
    table[:, 1::2] = np.cos(angle[:, : n_embd // 2])
    return table
