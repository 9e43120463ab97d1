"""Layer normalization."""

import numpy as np

from .rows import rows
from .scope import Scope
from .twins import has_fast_twin


@has_fast_twin
def layernorm_forward(x: np.ndarray, s: Scope, eps: float = 1e-5) -> np.ndarray:
    r"""Normalize each position to mean 0 and variance 1, then scale and shift.

        y = w ⊙ x̂ + b,   x̂ = (x − μ) r,   r = 1/√(σ² + ε)

    x (..., C) -> y (..., C).  b may be absent.  Records mean and rstd (..., 1), xhat and out (..., C).
    Ba, Kiros and Hinton 2016, eq. 4; articles A1 §3.1, A3 §4.2.
    """
    mean = s.record("mean", x.mean(-1, keepdims=True))
    rstd = s.record("rstd", 1 / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps))
    xhat = s.record("xhat", (x - mean) * rstd)
    return s.record("out", s.params["weight"] * xhat + s.params.get("bias", 0))


@has_fast_twin
def layernorm_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Go back through the scale and through the mean and the variance, which depend on every x of the position.

        dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)),   dx̂ = w ⊙ dy;   dw = Σ dy ⊙ x̂,   db = Σ dy

    dy (..., C) -> dx (..., C).  The means are over a position's C channels, the sums over all positions.
    Records the gradients of out, xhat, rstd and mean:  dr = Σ dx̂ ⊙ (x − μ), where x − μ = x̂/r,   dμ = −r Σ dx̂; through σ²
    nothing comes to μ, since Σ (x − μ) is 0.
    """
    xhat, rstd = s.acts["xhat"], s.acts["rstd"]
    s.grads.add("weight", rows(dy * xhat).sum(0))
    if "bias" in s.params:
        s.grads.add("bias", rows(dy).sum(0))
    dxhat = s.record_grad("xhat", s.params["weight"] * s.record_grad("out", dy))
    s.record_grad("rstd", (dxhat * xhat / rstd).sum(-1, keepdims=True))
    s.record_grad("mean", -rstd * dxhat.sum(-1, keepdims=True))
    return rstd * (dxhat - dxhat.mean(-1, keepdims=True) - xhat * (dxhat * xhat).mean(-1, keepdims=True))
