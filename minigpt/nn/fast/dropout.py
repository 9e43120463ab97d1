"""Dropout's twin: the same masks, drawn straight from the generator's 64-bit words and written to buffers."""

import numpy as np

from ..dropout import dropout_limit, dropout_seed
from .ops import chunks


def dropout_forward(x, s, p):
    """y = x ⊙ m; x itself where nothing drops"""
    s.saved["drops"] = p > 0 and s.run.dropout_key is not None
    if not s.saved["drops"]:
        return x
    mask = dropout_mask(s, "mask", x.shape, x.dtype, p)
    return np.multiply(x, mask, out=s.acts.empty("y", x.shape, x.dtype))


def dropout_backward(dy, s):
    """dx = dy ⊙ m"""
    if not s.saved["drops"]:
        return dy
    return np.multiply(dy, s.acts["mask"], out=s.dacts.empty("x", dy.shape, dy.dtype))


def dropout_mask(s, name, shape, dtype, p):
    """acts[name] filled with the mask that nn.dropout.dropout_mask() draws"""
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
