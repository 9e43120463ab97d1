"""Dropout's twin: the same masks, drawn straight from the generator's 64-bit words and written to buffers."""

import numpy as np

from ..dropout import dropout_limit, dropout_seed
from ..scope import Scope
from .ops import chunks


def dropout_forward(x: np.ndarray, s: Scope, p: float) -> np.ndarray:
    """Multiply by a mask of zeros and 1/(1 − p).

        y = x ⊙ m

    x -> y, any shape; x itself where nothing drops
    """
    s.saved["drops"] = p > 0 and s.run.dropout_key is not None
    if not s.saved["drops"]:
        return x
    mask = dropout_mask(s, "mask", x.shape, x.dtype, p)
    return np.multiply(x, mask, out=s.acts.empty("y", x.shape, x.dtype))


def dropout_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    """Go back through the elements that stayed.

        dx = dy ⊙ m

    dy -> dx, the shape of x; dy itself where nothing drops
    """
    if not s.saved["drops"]:
        return dy
    return np.multiply(dy, s.acts["mask"], out=s.dacts.empty("x", dy.shape, dy.dtype))


def dropout_mask(s: Scope, name: str, shape: tuple[int, ...], dtype: np.dtype, p: float) -> np.ndarray:
    """Draw the mask that nn.dropout.dropout_mask() draws, to the last bit, into the buffer acts[name]."""
    generator = np.random.PCG64(dropout_seed(s, name))      # default_rng()'s
    mask = s.acts.empty(name, shape, dtype)
    before = s.run.first_row * (mask.size // shape[0])      # elements of the rows that are other parts'
    generator.advance(before // 4)                          # a word decides on four elements
    skip = before % 4
    limit, scale = dropout_limit(p)
    for (part,) in chunks(mask):
        words = generator.random_raw(-(-(skip + part.size) // 4))
        bits = words.astype("<u8", copy=False).view("<u2")[skip : skip + part.size]
        np.greater_equal(bits, limit, out=part)
        part *= scale
        skip = (skip + part.size) % 4
        if skip:
            generator.advance(-1)                           # the last word has more to decide on
    return mask
