"""Keys and values of earlier positions, so that a new token is read alone and not with everything before it.

What a position computes does not depend on what follows, so its keys and values stay valid while the text grows.  A step
then costs one position's matrix products instead of t.  Which tokens are read when is decided in context.py and beam.py.
"""

import math
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from ..config import GPTConfig, TransformerConfig


class KVCache:
    r"""The keys and values that every layer has computed for the positions read so far.

        cache = KVCache(config, batch=2, capacity=64, dtype=np.float32)
        (chunk,) = cache.chunks(T, size=T)
        with chunk:
            h = model.forward(ids, s, chunk.positions, chunk.key_padding_mask, chunk.layers)         # ids (B, T)
        cache.advance(T)

    keys, values (L, B, H, capacity, D), filled up to `length`.  Rows of different lengths end at the same slot: `padding`
    (B,) says how many slots on the left of a row hold no token; they are never attended to and have no position.
    """

    def __init__(self, config: GPTConfig | TransformerConfig, batch: int, capacity: int, dtype: DTypeLike,
                 padding: np.ndarray | None = None) -> None:
        shape = (config.n_layer, batch, config.n_head, capacity, config.n_embd // config.n_head)
        self.config = config
        self.keys = np.empty(shape, dtype)
        self.values = np.empty(shape, dtype)
        self.padding = np.zeros(batch, int) if padding is None else np.asarray(padding)
        self.has_padding = bool(self.padding.any())
        self.length = 0

    def chunks(self, T: int, size: int) -> "list[Chunk]":
        """Split the next T positions into chunks of equal work, about `size` positions each, one for each pass.

        Later chunks have more keys to attend to, so they are shorter.  Passes may run at the same time: of an earlier chunk
        a pass needs only the keys and values, layer by layer, so it can follow one layer behind.
        Raises ValueError where the capacity is exceeded.
        """
        stop = self.length + T
        if stop > self.keys.shape[3]:
            raise ValueError(f"cache: {stop} positions, expected at most its capacity {self.keys.shape[3]}")
        chunks: list[Chunk] = []
        for start, end in pairwise(equal_work(self.length, stop, -(-T // size), 4 * self.config.n_embd)):
            chunks.append(Chunk(self, start, end, chunks[-1] if chunks else None, last=end == stop))
        return chunks

    def advance(self, T: int) -> None:
        """Count T positions as read, once all passes over them are through.

        Where one was interrupted this is not called: the length stays, and so does what the cache holds.
        """
        self.length += T

    def take(self, rows: Sequence[int] | np.ndarray) -> "KVCache":
        """Copy some rows into a new cache, each as often as it is listed: to continue a prompt in n ways, or the best beams."""
        taken = KVCache(self.config, len(rows), self.keys.shape[3], self.keys.dtype, self.padding[rows])
        for old, new in ((self.keys, taken.keys), (self.values, taken.values)):
            for old_layer, new_layer in zip(old, new, strict=True):         # indexing copies: of one layer at a time
                new_layer[:, :, : self.length] = old_layer[rows, :, : self.length]
        taken.length = self.length
        return taken


def equal_work(start: int, stop: int, n: int, keys: int) -> list[int]:
    """Split positions start … stop into n chunks of equal work -> their edges.

        w(t) = t + t²/(2 keys)

    `keys`: attending to so many keys costs as much as the rest of a position's work, so position t costs 1 + t/keys, and w(t)
    all positions up to t.  Where there are too few positions for n chunks, there are fewer.
    """
    first, last = (t + t * t / (2 * keys) for t in (start, stop))
    work = (first + (last - first) * i / n for i in range(n + 1))
    return sorted({round(keys * (math.sqrt(1 + 2 * w / keys) - 1)) for w in work})      # a set: equal edges become one


class MemoryCache:
    """The keys and values that one layer's cross-attention computes from the encoder's output, once for all steps."""

    def __init__(self) -> None:
        self.keys_and_values: tuple[np.ndarray, ...] | None = None

    def once(self, make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
        """Call make() the first time -> copies of its two arrays (B, H, S, D), the same ones at every later call."""
        if self.keys_and_values is None:
            self.keys_and_values = tuple(array.copy() for array in make())      # make()'s own may be overwritten
        return self.keys_and_values


class Chunk:
    """Positions start … stop of a cache, as one pass reads them.

    positions           (T,), or with padding (B, T), where a slot of padding gets position 0
    key_padding_mask    (B, S) booleans up to stop: which slots hold a token; None where all do
    layers              one ChunkLayer for each layer, which multihead_forward() takes as its cache

    Entered by `with` around its pass; leaving it releases the chunks that wait for this one, also after an error.
    """

    def __init__(self, cache: KVCache, start: int, stop: int, earlier: "Chunk | None", last: bool) -> None:
        self.start, self.stop = start, stop
        slots = np.arange(start, stop)
        self.positions = np.maximum(slots - cache.padding[:, None], 0) if cache.has_padding else slots
        self.key_padding_mask = np.arange(stop) >= cache.padding[:, None] if cache.has_padding else None
        L = cache.config.n_layer
        self.written = [None if last else threading.Event() for _ in range(L)]          # no chunk waits for the last one
        waits = earlier.written if earlier else [None] * L
        self.layers = [ChunkLayer(cache.keys[i], cache.values[i], start, stop, waits[i], self.written[i]) for i in range(L)]

    def __enter__(self) -> "Chunk":
        return self

    def __exit__(self, *_: object) -> None:
        for event in filter(None, self.written):
            event.set()                 # after an error too, or later chunks would wait for ever


class ChunkLayer:
    """One layer's keys and values (B, H, capacity, D), into which a chunk's pass writes its own.

    earlier, written: events that the previous chunk and this one have written theirs in this layer, or None.
    """

    def __init__(self, keys: np.ndarray, values: np.ndarray, start: int, stop: int, earlier: threading.Event | None,
                 written: threading.Event | None) -> None:
        self.keys, self.values, self.start, self.stop, self.earlier, self.written = keys, values, start, stop, earlier, written

    def append(self, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Store k, v (B, H, T, D) of the chunk's positions -> those of all positions up to them, (B, H, S, D), views."""
        self.keys[:, :, self.start : self.stop] = k
        self.values[:, :, self.start : self.stop] = v
        if self.earlier is not None:
            self.earlier.wait()         # the previous chunk has waited for those before it
        if self.written is not None:
            self.written.set()
        return self.keys[:, :, : self.stop], self.values[:, :, : self.stop]
