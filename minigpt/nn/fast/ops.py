"""Small array helpers that several layers share: sums along an axis as BLAS products, chunks that fit the cache.

NumPy's own mean and sum along an axis are slower than the same sums written as a product with a vector of ones.
"""

import functools
from collections.abc import Iterator

import numpy as np

from ..rows import rows

# Elements of an elementwise chunk, 0.8 MB of float32: small enough for a core's share of the cache, and as large as that
# allows, since at every call threads may have to wait for Python's lock.
CHUNK = 200_000


def chunks(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """The arrays, flattened, in pieces of CHUNK elements: chunks(x, y) -> (x[:CHUNK], y[:CHUNK]), … all views.

    An elementwise formula of several steps runs over one piece at a time, so that its intermediates never leave the cache.
    """
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, CHUNK):
        yield tuple(array[start : start + CHUNK] for array in flat)


@functools.lru_cache(maxsize=64)
def _constant(size: int, value: float, dtype: np.dtype) -> np.ndarray:
    array = np.full(size, value, dtype)
    array.flags.writeable = False
    return array


def row_mean(x: np.ndarray) -> np.ndarray:
    """Take the mean over the last axis: x (..., C) -> (..., 1)."""
    C = x.shape[-1]
    return np.dot(rows(x), _constant(C, 1 / C, x.dtype)).reshape(*x.shape[:-1], 1)


def row_sum(x: np.ndarray) -> np.ndarray:
    """Sum over the last axis: x (..., C) -> (..., 1)."""
    return np.dot(rows(x), _constant(x.shape[-1], 1, x.dtype)).reshape(*x.shape[:-1], 1)


if hasattr(np, "vecdot"):

    def row_dot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Inner products over the last axis: x, y (..., C) -> (..., 1)"""
        return np.vecdot(x, y)[..., None]

else:  # NumPy 1.26

    def row_dot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Inner products over the last axis: x, y (..., C) -> (..., 1)"""
        return np.einsum("...i,...i->...", x, y)[..., None]


def column_sum(x: np.ndarray) -> np.ndarray:
    """Sum over all axes but the last: x (..., C) -> (C,)."""
    x = rows(x)
    return np.dot(_constant(len(x), 1, x.dtype), x)
