"""The linear layer, y = x W + b."""

import numpy as np

from .lora import lora_backward, lora_forward
from .ops import column_sum, rows


def linear_forward(x, s):
    r"""Multiply by a matrix and add a bias.

        y = x W + b

    x (..., Cin) -> y (..., Cout).  W (Cin, Cout), the way GPT-2 stores it; b (Cout,) may be absent.
    With lora_A and lora_B beside W, lora.py adds its part.  Leaves x in s.acts.  Article A4 §4.2.
    """
    weight = s.params["weight"]
    s.acts["x"] = x
    y = s.acts.empty("y", (*x.shape[:-1], weight.shape[1]), x.dtype)
    np.matmul(rows(x), weight, out=rows(y))        # np.dot would fill y with zeros first: 1.5 % of a step
    if "bias" in s.params:
        y += s.params["bias"]
    if "lora_A" in s.params:
        rows(y)[...] += lora_forward(x, s)
    return y


def linear_backward(dy, s):
    r"""dx = dy Wᵀ,   dW = xᵀ dy,   db = Σ dy over all positions

    dy (..., Cout) -> dx (..., Cin)
    """
    x, weight = s.acts["x"], s.params["weight"]
    s.grads.add_product("weight", rows(x).T, rows(dy))
    if "bias" in s.params:
        s.grads.add("bias", column_sum(dy))
    dx = s.dacts.empty("x", x.shape, dy.dtype)
    np.matmul(rows(dy), weight.T, out=rows(dx))
    if "lora_A" in s.params:
        rows(dx)[...] += lora_backward(dy, s)
    return dx
