"""The linear layer, y = x W + b."""

import numpy as np

from .lora import lora_backward, lora_forward
from .rows import rows
from .scope import Scope
from .twins import has_fast_twin


@has_fast_twin
def linear_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    r"""Multiply by a matrix and add a bias.

        y = x W + b

    x (..., Cin) -> y (..., Cout).  W (Cin, Cout), the way GPT-2 stores it; b (Cout,) may be absent.
    With lora_A and lora_B beside W, lora.py adds its part.  Article A4 §4.2.
    """
    s.acts["x"] = x
    y = x @ s.params["weight"] + s.params.get("bias", 0)
    return y + lora_forward(x, s) if "lora_A" in s.params else y


@has_fast_twin
def linear_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Go back through the product: each factor's gradient is dy times the other factor.

        dx = dy Wᵀ,   dW = xᵀ dy,   db = Σ dy,   both sums over all positions

    dy (..., Cout) -> dx (..., Cin)
    """
    x, weight = s.acts["x"], s.params["weight"]
    s.grads.add_product("weight", rows(x).T, rows(dy))
    if "bias" in s.params:
        s.grads.add("bias", rows(dy).sum(0))
    dx = dy @ weight.T
    return dx + lora_backward(dy, s) if "lora_A" in s.params else dx
