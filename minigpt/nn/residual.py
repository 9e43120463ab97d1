"""The residual connection: a branch's output is added to what went into it."""

import numpy as np

from .scope import Scope
from .twins import has_fast_twin


@has_fast_twin
def residual_forward(x: np.ndarray, branch: np.ndarray, s: Scope) -> np.ndarray:
    r"""Add a branch to the stream that goes past it.

        y = x + branch

    x, branch (..., T, C) -> y (..., T, C).  branch may cover the last n positions alone, (..., n, C); then so does y.
    He et al. 2015, eq. 1; article A3 §4.2.
    """
    return x[..., -branch.shape[-2] :, :] + branch


@has_fast_twin
def residual_backward(dy: np.ndarray, dbranch: np.ndarray, s: Scope) -> np.ndarray:
    r"""Add the gradients of two ways: in the forward x went straight on and into a branch, so now both come back to it.

        dx = dy + dbranch

    dy, dbranch (B, T, C) -> dx (B, T, C); dbranch is what has come back through the branch to x.
    """
    return dy + dbranch
