"""A batch of sequences as one matrix, a row for each position."""

import numpy as np


def rows(x: np.ndarray) -> np.ndarray:
    """Flatten all axes but the last: x (..., C) -> (N, C), a view wherever x is contiguous."""
    return x.reshape(-1, x.shape[-1])
