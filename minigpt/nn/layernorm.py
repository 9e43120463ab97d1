"""Layer normalisation."""

import numpy as np

from .ops import column_sum, row_dot, row_mean, row_sum


def layernorm_forward(x, s, eps=1e-5):
    r"""Normalise each position to mean 0 and variance 1, then scale and shift.

        y = w ⊙ x̂ + b,   x̂ = (x − μ) r,   r = 1/√(σ² + ε)

    x (..., C) -> y (..., C).  b may be absent.  Leaves x, mean (..., 1), rstd (..., 1) and, in study mode, xhat and out (y)
    (..., C) in s.acts.  Ba, Kiros and Hinton 2016, eq. 4; articles A1 §3.1, A3 §4.2.
    """
    s.acts["x"] = x
    s.acts["mean"] = mean = s.leave("mean", row_mean(x))
    xhat = np.subtract(x, mean, out=s.acts.empty("xhat", x.shape, x.dtype))
    s.acts["rstd"] = rstd = row_dot(xhat, xhat)
    rstd *= 1 / x.shape[-1]                                      # σ²: xhat is centred already
    rstd += eps                                                  # ε stands inside the root
    np.sqrt(rstd, out=rstd)
    s.leave("rstd", np.reciprocal(rstd, out=rstd))
    xhat *= rstd
    s.leave("xhat", xhat)
    y = s.reuse("y", xhat)      # on the fast path over xhat, which the backward finds again: 7 % less memory for a model
    y *= s.params["weight"]
    if "bias" in s.params:
        y += s.params["bias"]
    return s.leave("out", y)


def layernorm_backward(dy, s):
    r"""dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)),   dx̂ = w ⊙ dy;   dw = Σ dy ⊙ x̂,   db = Σ dy

    dy (..., C) -> dx (..., C).  The means are over a position's C channels, the sums over all positions.
    In study mode leaves the gradients of out, xhat, rstd and mean in s.dacts:  dr = Σ dx̂ ⊙ (x − μ),   dμ = −r Σ dx̂
    """
    rstd, weight = s.acts["rstd"], s.params["weight"]
    xhat = np.subtract(s.acts["x"], s.acts["mean"], out=s.scratch("xhat", dy.shape, dy.dtype))
    xhat *= rstd
    product = np.multiply(dy, xhat, out=s.scratch("layernorm", dy.shape, dy.dtype))
    s.grads.add("weight", column_sum(product))
    if "bias" in s.params:
        s.grads.add("bias", column_sum(dy))
    if s.run.study:
        s.leave_grad("out", dy)
        dxhat = s.leave_grad("xhat", dy * weight)
        s.leave_grad("rstd", row_dot(dxhat, xhat) / rstd)
        s.leave_grad("mean", -rstd * row_sum(dxhat))
    mean = weight * (1 / dy.shape[-1])                           # a mean of w ⊙ … is a product with w/C
    dx = np.multiply(dy, weight, out=s.dacts.empty("x", dy.shape, dy.dtype))
    dx -= np.dot(dy, mean)[..., None]
    xhat *= np.dot(product, mean)[..., None]
    dx -= xhat
    dx *= rstd
    return dx
