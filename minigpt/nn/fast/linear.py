"""The linear layer's twin: matrix products into buffers, gradients added where they belong."""

import numpy as np

from ..rows import rows
from ..scope import Scope
from .lora import lora_backward, lora_forward
from .ops import column_sum


def linear_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    """Multiply by a matrix and add a bias, in one buffer.

        y = x W + b

    x (..., Cin) -> y (..., Cout).  b and LoRA's matrices may be absent.
    """
    weight = s.params["weight"]
    s.acts["x"] = x
    y = s.acts.empty("y", (*x.shape[:-1], weight.shape[1]), x.dtype)
    np.matmul(rows(x), weight, out=rows(y))        # np.dot would fill y with zeros first
    if "bias" in s.params:
        y += s.params["bias"]
    if "lora_A" in s.params:
        y += lora_forward(x, s)
    return y


def linear_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    """Go back through the product; dW is written where it belongs.

        dx = dy Wᵀ,   dW = xᵀ dy,   db = Σ dy

    dy (..., Cout) -> dx (..., Cin)
    """
    x, weight = s.acts["x"], s.params["weight"]
    s.grads.add_product("weight", rows(x).T, rows(dy))
    if "bias" in s.params:
        s.grads.add("bias", column_sum(dy))
    dx = s.dacts.empty("x", x.shape, dy.dtype)
    np.matmul(rows(dy), weight.T, out=rows(dx))
    if "lora_A" in s.params:
        dx += lora_backward(dy, s)
    return dx
