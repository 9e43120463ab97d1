"""Keys and values of earlier positions, so that a new token is read alone and not with everything before it.

What a position computes does not depend on what follows, so its keys and values stay valid while the text grows.  A step
then costs one position's matrix products instead of t.  Which tokens are read when stands in sampling.py.
"""

import math
import threading
from itertools import pairwise

import numpy as np


class Cache:
    r"""The keys and values that every layer has computed for the positions read so far.

        cache = Cache(config, batch=2, capacity=64, dtype=np.float32)
        (part,) = cache.parts(T, size=T)
        with part:
            h = model.forward(ids, s, part.positions, part.key_padding_mask, part.layers)            # ids (B, T)
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
        self.padded = bool(self.padding.any())
        self.length = 0

    def parts(self, T, size):
        """The next T positions as parts of about `size`, each for one pass; passes over them may run at the same time.

        Of an earlier part a pass needs only the keys and values, layer by layer, so it can follow one layer behind.
        The parts are of equal work: later ones have more keys to look at, so they are shorter.
        """
        stop = self.length + T
        if stop > self.keys.shape[3]:
            raise ValueError(f"cache: {stop} positions, expected at most its capacity {self.keys.shape[3]}")
        parts: list[Part] = []
        for start, end in pairwise(equal_work(self.length, stop, -(-T // size), 4 * self.config.n_embd)):
            parts.append(Part(self, start, end, parts[-1] if parts else None, last=end == stop))
        return parts

    def advance(self, T):
        """Count T positions as read.

        Once all passes over them are through: where one was interrupted, the length stays, and so does the cache.
        """
        self.length += T

    def take(self, rows):
        """A cache of these rows, each as often as it stands there: one prompt is continued in n ways, or a beam goes on."""
        taken = Cache(self.config, len(rows), self.keys.shape[3], self.keys.dtype, self.padding[rows])
        for old, new in ((self.keys, taken.keys), (self.values, taken.values)):
            for old_layer, new_layer in zip(old, new, strict=True):         # indexing copies: of one layer at a time
                new_layer[:, :, : self.length] = old_layer[rows, :, : self.length]
        taken.length = self.length
        return taken


def equal_work(start, stop, n, keys):
    """The edges of n parts of equal work between two positions, where to look at `keys` keys costs as much as all the rest.

    Position t costs 1 + t/keys, so w(t) = t + t²/(2 keys) up to t.  In GPT-2 small `keys` is about 4 C: of two equally long
    parts of 512 tokens the second took 1.1 times as long as the first.
    """
    first, last = (t + t * t / (2 * keys) for t in (start, stop))
    work = (first + (last - first) * i / n for i in range(n + 1))
    return sorted({round(keys * (math.sqrt(1 + 2 * w / keys) - 1)) for w in work})      # a set: parts may be too small to cut


class MemoryCache:
    """The keys and values that one layer's cross-attention takes from the encoder's output, made once and kept."""

    def __init__(self):
        self.kept = None

    def once(self, make):
        """make() at the first call, the same arrays (B, H, S, D) ever after: make()'s own may be written over"""
        if self.kept is None:
            self.kept = tuple(array.copy() for array in make())
        return self.kept


class Part:
    """Positions start … stop of a cache, as one pass reads them.

    positions   (T,), or with padding (B, T), where a slot of padding gets position 0
    key_padding_mask    which slots hold a token, up to stop: (B, S) booleans; None where all do
    layers      each layer's part; what multihead_forward() takes
    """

    def __init__(self, cache, start, stop, earlier, last):
        self.start, self.stop = start, stop
        slots = np.arange(start, stop)
        self.positions = np.maximum(slots - cache.padding[:, None], 0) if cache.padded else slots
        self.key_padding_mask = np.arange(stop) >= cache.padding[:, None] if cache.padded else None
        L = cache.config.n_layer
        self.written = [None] * L if last else [threading.Event() for _ in range(L)]       # nobody waits for the last part
        waits = earlier.written if earlier else [None] * L
        self.layers = [_Layer(cache.keys[i], cache.values[i], start, stop, waits[i], self.written[i]) for i in range(L)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for event in filter(None, self.written):
            event.set()                 # after an error too, or later parts would wait for ever


class _Layer:
    """One layer's keys and values, (B, H, capacity, D) each, where a part's pass writes its own and sees those before."""

    def __init__(self, keys, values, start, stop, earlier, written):
        self.keys, self.values, self.start, self.stop, self.earlier, self.written = keys, values, start, stop, earlier, written

    def append(self, k, v):
        """k, v (B, H, T, D) of the part's positions -> those of all positions up to them, (B, H, S, D), views"""
        self.keys[:, :, self.start : self.stop] = k
        self.values[:, :, self.start : self.stop] = v
        if self.earlier is not None:
            self.earlier.wait()         # the part before has waited for the ones before it
        if self.written is not None:
            self.written.set()
        return self.keys[:, :, : self.stop], self.values[:, :, : self.stop]
