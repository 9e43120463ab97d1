"""Keys and values of earlier positions, so that a new token is read alone and not with everything before it.

What a position computes does not depend on what follows, so its keys and values stay valid while the text grows.  A step
then costs one position's matrix products instead of t.  Which tokens are read when stands in sampling.py.
"""

import numpy as np


class Cache:
    r"""The keys and values that every layer has computed for the positions read so far.

        cache = Cache(config, batch=2, capacity=64, dtype=np.float32)
        h = model._forward(ids, s, cache.positions(T), cache.keep(T), cache.layers)       # ids (B, T)
        cache.advance(T)

    keys, values (L, B, H, capacity, D), filled up to `length`.  Rows of different lengths end at the same slot: `padding`
    (B,) says how many slots at the left of a row hold no token; they are never attended to and have no position.
    """

    def __init__(self, config, batch, capacity, dtype, padding=None):
        shape = (config.n_layer, batch, config.n_head, capacity, config.n_embd // config.n_head)
        self.config = config
        self.keys = np.empty(shape, dtype)
        self.values = np.empty(shape, dtype)
        self.padding = np.zeros(batch, int) if padding is None else np.asarray(padding)
        self.length = 0
        self.layers = [_Layer(self, i) for i in range(config.n_layer)]

    def positions(self, T):
        """The positions of the next T tokens: (T,), or with padding (B, T), where a slot of padding gets position 0."""
        slots = np.arange(self.length, self.length + T)
        return np.maximum(slots - self.padding[:, None], 0) if self.padding.any() else slots

    def keep(self, T):
        """Which slots hold a token, up to the next T: (B, S) booleans, S = length + T.  None where all do."""
        return np.arange(self.length + T) >= self.padding[:, None] if self.padding.any() else None

    def advance(self, T):
        """Count T positions as read.

        Once a pass, after its last layer: a pass that was interrupted leaves the length, and so the cache, as it was.
        """
        self.length += T

    def repeat(self, n):
        """A cache in which each row stands n times in succession, so that one prompt can be continued in n ways."""
        L, B, H, capacity, D = self.keys.shape
        repeated = Cache(self.config, n * B, capacity, self.keys.dtype, np.repeat(self.padding, n))
        for old, new in ((self.keys, repeated.keys), (self.values, repeated.values)):
            filled = old[:, :, None, :, : self.length]                                  # (L, B, 1, H, length, D)
            new.reshape(L, B, n, H, capacity, D)[..., : self.length, :] = filled
        repeated.length = self.length
        return repeated


class _Layer:
    """One layer's part of a cache; what multihead_forward() takes."""

    def __init__(self, cache, i):
        self.cache = cache
        self.keys, self.values = cache.keys[i], cache.values[i]                         # (B, H, capacity, D), views

    def append(self, k, v):
        """k, v (B, H, T, D) of the next T positions -> those of all positions up to them, (B, H, S, D), views"""
        start, stop = self.cache.length, self.cache.length + k.shape[2]
        if stop > self.keys.shape[2]:
            raise ValueError(f"cache: {stop} positions, expected at most its capacity {self.keys.shape[2]}")
        self.keys[:, :, start:stop] = k
        self.values[:, :, start:stop] = v
        return self.keys[:, :, :stop], self.values[:, :, :stop]
