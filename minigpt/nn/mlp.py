"""The two-layer network that is applied to each position."""

import numpy as np

from .activations import ACTIVATIONS
from .linear import linear_backward, linear_forward
from .scope import Scope


def mlp_forward(x: np.ndarray, s: Scope, activation: str = "gelu_new") -> np.ndarray:
    r"""Expand to 4C channels, apply the nonlinearity, project back to C.

        y = f(x W_fc + b_fc) W_proj + b_proj

    x (..., C) -> y (..., C).  Parameters c_fc (C, F), c_proj (F, C), with F = 4C in GPT.  `activation` is a name in
    ACTIVATIONS.  Records pre and act (..., F), before and after f, and out (y).
    Vaswani et al. 2017 §3.3; articles A1 §3.1, A4 §4.2.
    """
    s.saved["activation"] = activation
    pre = s.record("pre", linear_forward(x, s.at("c_fc")))
    act = s.record("act", ACTIVATIONS[activation].forward(pre, s.at("act")))
    return s.record("out", linear_forward(act, s.at("c_proj")))


def mlp_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Go back through c_proj, the activation function and c_fc.

        dact = dy W_projᵀ,   dpre = f'(pre) ⊙ dact,   dx = dpre W_fcᵀ

    dy (..., C) -> dx (..., C)
    """
    f_backward = ACTIVATIONS[s.saved["activation"]].backward
    dact = s.record_grad("act", linear_backward(s.record_grad("out", dy), s.at("c_proj")))
    dpre = s.record_grad("pre", f_backward(dact, s.at("act")))
    return linear_backward(dpre, s.at("c_fc"))
