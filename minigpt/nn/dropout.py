"""Dropout, with a stream of random numbers of its own for every place that uses it."""

import zlib

import numpy as np

from .scope import Scope
from .twins import has_fast_twin


@has_fast_twin
def dropout_forward(x: np.ndarray, s: Scope, p: float) -> np.ndarray:
    r"""Set each element to 0 with probability p and scale the others so that the expected value stays.

        y = x ⊙ m,   m = 0 with probability p, else 1/(1 − p)

    x -> y, any shape.  Without a dropout_key in the pass, or with p = 0, m is 1.  Srivastava et al. 2014 §4.
    """
    mask = s.acts["mask"] = dropout_mask(s, "mask", x.shape, x.dtype, p)
    return x * mask


@has_fast_twin
def dropout_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Go back through the elements that stayed.

        dx = dy ⊙ m

    dy -> dx, the shape of x
    """
    return dy * s.acts["mask"]


def dropout_mask(s: Scope, name: str, shape: tuple[int, ...], dtype: np.dtype, p: float) -> np.ndarray:
    """Draw the mask m of a shape (B, …): 0 with probability p, else 1/(1 − p); the number 1 where nothing drops.

    It depends on the pass's dropout_key, the place's name and the row of the batch alone, so a pass is repeatable, two places
    never share a mask, and a batch that is worked on in parts gets the mask of the whole.
    """
    if p == 0 or s.run.dropout_key is None:
        return np.ones((), dtype)
    rng = np.random.default_rng(dropout_seed(s, name))
    rows = slice(s.run.first_row, None)
    bits = rng.integers(65_536, size=(s.run.first_row + shape[0], *shape[1:]), dtype=np.uint16)[rows]
    limit, scale = dropout_limit(p)
    return (bits >= limit).astype(dtype) * scale


def dropout_seed(s: Scope, name: str) -> list[int]:
    """Make what the random numbers of one place in one pass start from."""
    assert s.run.dropout_key is not None        # without one nothing drops
    return [*s.run.dropout_key, zlib.crc32((s.name + name).encode())]


def dropout_limit(p: float) -> tuple[int, float]:
    """Turn p, in steps of 1/65,536, into a limit below which sixteen random bits drop an element -> limit, 1/(1 − p)."""
    limit = min(round(p * 65_536), 65_535)
    return limit, 1 / (1 - limit / 65_536)
