"""Softmax, its logarithm, and their gradients: plain functions of arrays, each over the last axis."""

import numpy as np


def softmax(x: np.ndarray) -> np.ndarray:
    r"""Turn scores into probabilities, row by row.

        y_i = exp(x_i)/Σ_j exp(x_j) = exp(x_i − m)/Σ_j exp(x_j − m),   m = max x

    x (..., C) -> y (..., C).  Without m, exp(89) would overflow in float32.  A row of −∞ alone gives zeros.
    Articles A0 §3.1.1, A3 §4.1.
    """
    exp = np.exp(x - x.max(-1, keepdims=True, initial=np.finfo(x.dtype).min))    # never −∞ − −∞, which would be NaN
    return exp / np.maximum(exp.sum(-1, keepdims=True), 1)                       # the maximum itself adds exp(0) = 1


def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Go back through the softmax from its output alone; raising one x lowers all other y of the row.

        dx = y ⊙ (dy − Σ_j dy_j y_j)

    dy, y (..., C) -> dx (..., C)
    """
    return y * (dy - (dy * y).sum(-1, keepdims=True))


def log_softmax(x: np.ndarray) -> np.ndarray:
    r"""The logarithm of the softmax, which stays finite where a probability would round to 0.

        y_i = x_i − m − log Σ_j exp(x_j − m),   m = max x

    x (..., C) -> y (..., C), natural logarithms
    """
    z = x - x.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def log_softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Go back through the log-softmax: each x raises its own y by 1 and lowers all y of the row by its probability.

        dx = dy − exp(y) Σ_j dy_j

    dy, y (..., C) -> dx (..., C)
    """
    return dy - np.exp(y) * dy.sum(-1, keepdims=True)
