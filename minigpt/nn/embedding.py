"""From tokens to vectors and back: the lookup, the output layer that reads the same table, and a table of positions."""

import numpy as np
from numpy.typing import DTypeLike

from .rows import rows
from .scope import Scope
from .twins import has_fast_twin


@has_fast_twin
def embedding_forward(ids: np.ndarray, s: Scope) -> np.ndarray:
    r"""Look up one row of the table for each id.

        y[i] = W[ids[i]]

    ids (...) integers in 0 … V−1 -> y (..., C).  W (V, C).  For positions the ids are the positions.
    Records out (y).  Article A2 §2.
    """
    s.acts["ids"] = ids
    return s.record("out", s.params["weight"][ids])


@has_fast_twin
def embedding_backward(dy: np.ndarray, s: Scope) -> None:
    r"""Give each position's gradient to the row that it looked up; a row that was looked up twice gets both.

        dW[v] = Σ dy[i] over the i with ids[i] = v

    dy (..., C).  There is no gradient for ids.
    """
    s.grads.add_rows("weight", s.params["weight"].shape, s.acts["ids"], s.record_grad("out", dy))


@has_fast_twin
def unembedding_forward(h: np.ndarray, s: Scope) -> np.ndarray:
    r"""Score every token of the vocabulary by its row of the table: the embedding read the other way.

        logits = h Wᵀ

    h (..., C) -> logits (..., V).  W (V, C).  Press and Wolf 2017; article A2 §2, output layer.
    """
    s.acts["h"] = h
    return h @ s.params["weight"].T


@has_fast_twin
def unembedding_backward(dlogits: np.ndarray, s: Scope) -> np.ndarray:
    r"""Go back through the product with the table.

        dh = dlogits W,   dW = dlogitsᵀ h

    dlogits (..., V) -> dh (..., C)
    """
    s.grads.add_product("weight", rows(dlogits).T, rows(s.acts["h"]))
    return dlogits @ s.params["weight"]


def sinusoidal_positions(n_positions: int, n_embd: int, dtype: DTypeLike = np.float64) -> np.ndarray:
    r"""Make the fixed table of positions of the first Transformer; GPT learns its table instead.

        P[t, 2i] = sin(t / 10000^(2i/C)),   P[t, 2i+1] = cos(t / 10000^(2i/C))

    -> (n_positions, n_embd).  Vaswani et al. 2017 §3.5; articles A0 §3.1.2, A1 §2.3.
    """
    position = np.arange(n_positions)[:, None]
    angle = position / 10_000 ** (np.arange(0, n_embd, 2) / n_embd)
    table = np.empty((n_positions, n_embd), dtype)
    table[:, 0::2] = np.sin(angle)
    table[:, 1::2] = np.cos(angle[:, : n_embd // 2])
    return table
