"""Layer normalisation."""

import numpy as np

from .ops import column_sum, row_dot, row_mean


def layernorm_forward(x, s, eps=1e-5):
    r"""Normalise each position to mean 0 and variance 1, then scale and shift.

        y = w ⊙ x̂ + b,   x̂ = (x − μ) r,   r = 1/√(σ² + ε)

    x (..., C) -> y (..., C).  b may be absent.  Leaves xhat (..., C) and rstd (..., 1) in s.acts.
    Ba, Kiros and Hinton 2016, eq. 4; articles A1 §3.1, A3 §4.2.
    """
    xhat = s.acts.empty("xhat", x.shape, x.dtype)
    np.subtract(x, row_mean(x), out=xhat)
    rstd = s.acts.empty("rstd", (*x.shape[:-1], 1), x.dtype)
    np.multiply(row_dot(xhat, xhat), 1 / x.shape[-1], out=rstd)  # σ²: xhat is centred already
    rstd += eps                                                  # ε stands inside the root
    np.sqrt(rstd, out=rstd)
    np.reciprocal(rstd, out=rstd)
    xhat *= rstd
    y = np.multiply(xhat, s.params["weight"], out=s.acts.empty("y", x.shape, x.dtype))
    if "bias" in s.params:
        y += s.params["bias"]
    return y


def layernorm_backward(dy, s):
    r"""dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)),   dx̂ = w ⊙ dy;   dw = Σ dy ⊙ x̂,   db = Σ dy

    dy (..., C) -> dx (..., C).  The means are over a position's C channels, the sums over all positions.
    """
    xhat, rstd, weight = s.acts["xhat"], s.acts["rstd"], s.params["weight"]
    C = dy.shape[-1]
    product = np.multiply(dy, xhat, out=s.scratch("layernorm", dy.shape, dy.dtype))
    s.grads.add("weight", column_sum(product))
    if "bias" in s.params:
        s.grads.add("bias", column_sum(dy))
    mean_dxhat = np.dot(dy, weight)[..., None] * (1 / C)              # mean(w ⊙ dy), as a product with w
    mean_dxhat_xhat = np.dot(product, weight)[..., None] * (1 / C)    # mean(w ⊙ dy ⊙ x̂)
    dx = np.multiply(dy, weight, out=s.dacts.empty("x", dy.shape, dy.dtype))
    dx -= mean_dxhat
    dx -= np.multiply(xhat, mean_dxhat_xhat, out=product)
    dx *= rstd
    return dx
