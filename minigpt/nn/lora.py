"""LoRA: a correction of low rank beside a matrix that stays as it is."""

import numpy as np

from .ops import rows


def lora_forward(x, s):
    r"""What an adapter adds to a linear layer's output.

        Δy = h B,   h = α/r · x A,   so that  y = x W + Δy = x (W + α/r · A B)

    x (..., Cin) -> Δy (N, Cout), scratch.  lora_A (Cin, r), lora_B (r, Cout) and lora_scale (1,), which is α/r.
    B starts at zero, so the first output is that of W alone.  Leaves lora_h (N, r) in s.acts.  Hu et al. 2021, eq. 3.
    """
    A, B = s.params["lora_A"], s.params["lora_B"]
    x = rows(x)
    h = np.dot(x, A, out=s.acts.empty("lora_h", (len(x), A.shape[1]), x.dtype))
    h *= s.params["lora_scale"]                 # the narrow array, not y
    return np.dot(h, B, out=s.scratch("lora", (len(x), B.shape[1]), x.dtype))


def lora_backward(dy, s):
    r"""dB = hᵀ dy,   dh = α/r · dy Bᵀ,   dA = xᵀ dh,   Δdx = dh Aᵀ

    dy (..., Cout) -> Δdx (N, Cin), scratch.  No product here is as large as dW = xᵀ dy, which a frozen W does not need.
    """
    A, B = s.params["lora_A"], s.params["lora_B"]
    x, dy = rows(s.acts["x"]), rows(dy)
    s.grads.add_product("lora_B", s.acts["lora_h"].T, dy)
    dh = np.dot(dy, B.T, out=s.scratch("lora_h", s.acts["lora_h"].shape, dy.dtype))
    dh *= s.params["lora_scale"]
    s.grads.add_product("lora_A", x.T, dh)
    return np.dot(dh, A.T, out=s.scratch("lora", x.shape, dy.dtype))
