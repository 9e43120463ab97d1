"""Dropout, with a stream of random numbers of its own for every place that uses it."""

import zlib

import numpy as np

from .ops import chunks


def dropout_forward(x, s, p):
    r"""Set each element to 0 with probability p and scale the others so that the expected value stays.

        y = x ⊙ m,   m = 0 with probability p, else 1/(1 − p)

    x -> y, any shape.  Without a dropout_key in the pass, or with p = 0, y is x itself.  The mask depends on the key and
    on this scope's name alone, so a pass is repeatable and two places never share a mask.  Leaves keep (the mask m).
    Srivastava et al. 2014 §4.
    """
    if p == 0 or s.run.dropout_key is None:
        s.saved["dropped"] = False
        return x
    s.saved["dropped"] = True
    keep = dropout_mask(s, "keep", x.shape, x.dtype, p)
    return np.multiply(x, keep, out=s.acts.empty("y", x.shape, x.dtype))


def dropout_backward(dy, s):
    r"""dx = dy ⊙ m"""
    if not s.saved["dropped"]:
        return dy
    return np.multiply(dy, s.acts["keep"], out=s.dacts.empty("x", dy.shape, dy.dtype))


def dropout_mask(s, name, shape, dtype, p):
    """acts[name] filled with a mask: 0 with probability p, else 1/(1 − p)."""
    rng = np.random.default_rng([*s.run.dropout_key, zlib.crc32((s.name + name).encode())])
    mask = s.acts.empty(name, shape, dtype)
    limit = min(round(p * 65_536), 65_535)       # 16 random bits decide on an element: a third of the cost of a random float
    for (part,) in chunks(mask):
        bits = rng.bit_generator.random_raw(-(-part.size // 4)).view(np.uint16)[: part.size]
        np.greater_equal(bits, limit, out=part)
        part *= 1 / (1 - limit / 65_536)
    return mask
