"""Layer normalization's twin: everything in place, means and sums as BLAS products."""

import numpy as np

from ..scope import Scope
from .ops import column_sum, row_dot, row_mean


def layernorm_forward(x: np.ndarray, s: Scope, eps: float = 1e-5) -> np.ndarray:
    """Normalize each position to mean 0 and variance 1, then scale and shift, all in one buffer.

        y = w ⊙ x̂ + b,   x̂ = (x − μ) r,   r = 1/√(σ² + ε)

    x (..., C) -> y (..., C).  b may be absent.
    """
    s.acts["x"] = x
    s.acts["mean"] = mean = row_mean(x)
    y = np.subtract(x, mean, out=s.acts.empty("y", x.shape, x.dtype))
    s.acts["rstd"] = rstd = row_dot(y, y)
    rstd *= 1 / x.shape[-1]                                      # σ²: y is centered already
    rstd += eps
    np.sqrt(rstd, out=rstd)
    np.reciprocal(rstd, out=rstd)
    y *= rstd                                                    # x̂, which the backward computes again: it need not be kept
    y *= s.params["weight"]
    if "bias" in s.params:
        y += s.params["bias"]
    return y


def layernorm_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    """Go back through the scale, the mean and the variance; x̂ is computed again.

        dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)),   dx̂ = w ⊙ dy;   dw = Σ dy ⊙ x̂,   db = Σ dy

    dy (..., C) -> dx (..., C)
    """
    rstd, weight = s.acts["rstd"], s.params["weight"]
    xhat = np.subtract(s.acts["x"], s.acts["mean"], out=s.scratch("xhat", dy.shape, dy.dtype))
    xhat *= rstd
    product = np.multiply(dy, xhat, out=s.scratch("layernorm", dy.shape, dy.dtype))
    s.grads.add("weight", column_sum(product))
    if "bias" in s.params:
        s.grads.add("bias", column_sum(dy))
    mean = weight * (1 / dy.shape[-1])                           # a mean of w ⊙ … is a product with w/C
    dx = np.multiply(dy, weight, out=s.dacts.empty("x", dy.shape, dy.dtype))
    dx -= np.dot(dy, mean)[..., None]
    xhat *= np.dot(product, mean)[..., None]
    dx -= xhat
    dx *= rstd
    return dx
