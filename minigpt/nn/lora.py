"""LoRA: a correction of low rank beside a matrix that stays as it is."""

import numpy as np

from .rows import rows
from .scope import Scope
from .twins import has_fast_twin


@has_fast_twin
def lora_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    r"""Compute what an adapter adds to a linear layer's output.

        Δy = h B,   h = α/r · x A,   so that  y = x W + b + Δy = x (W + α/r · A B) + b

    x (..., Cin) -> Δy (..., Cout).  lora_A (Cin, r), lora_B (r, Cout) and lora_scale (1,), which is α/r.
    B starts at zero, so the first output is that of W alone.  Hu et al. 2021, eq. 3.
    """
    h = s.acts["lora_h"] = x @ s.params["lora_A"] * s.params["lora_scale"]
    return h @ s.params["lora_B"]


@has_fast_twin
def lora_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Go back through both narrow matrices.

        dB = hᵀ dy,   dh = α/r · dy Bᵀ,   dA = xᵀ dh,   Δdx = dh Aᵀ

    dy (..., Cout) -> Δdx (..., Cin)
    """
    x, h = s.acts["x"], s.acts["lora_h"]
    s.grads.add("lora_B", rows(h).T @ rows(dy))
    dh = dy @ s.params["lora_B"].T * s.params["lora_scale"]
    s.grads.add("lora_A", rows(x).T @ rows(dh))
    return dh @ s.params["lora_A"].T
