"""LoRA's twin: the narrow arrays are scaled, and the wide ones are scratch that the linear layer adds at once."""

import numpy as np

from ..rows import rows
from ..scope import Scope


def lora_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    """Compute what an adapter adds to a linear layer's output.

        Δy = h B,   h = α/r · x A

    x (..., Cin) -> Δy (..., Cout), scratch
    """
    A, B = s.params["lora_A"], s.params["lora_B"]
    flat = rows(x)
    h = np.dot(flat, A, out=s.acts.empty("lora_h", (len(flat), A.shape[1]), x.dtype))
    h *= s.params["lora_scale"]
    return np.dot(h, B, out=s.scratch("lora", (len(flat), B.shape[1]), x.dtype)).reshape(*x.shape[:-1], B.shape[1])


def lora_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    """Go back through both narrow matrices.

        dB = hᵀ dy,   dh = α/r · dy Bᵀ,   dA = xᵀ dh,   Δdx = dh Aᵀ

    dy (..., Cout) -> Δdx (..., Cin), scratch
    """
    A, B = s.params["lora_A"], s.params["lora_B"]
    x, dy = s.acts["x"], rows(dy)
    s.grads.add_product("lora_B", s.acts["lora_h"].T, dy)
    dh = np.dot(dy, B.T, out=s.scratch("lora_h", s.acts["lora_h"].shape, dy.dtype))
    dh *= s.params["lora_scale"]
    s.grads.add_product("lora_A", rows(x).T, dh)
    return np.dot(dh, A.T, out=s.scratch("lora", rows(x).shape, dy.dtype)).reshape(x.shape)
