"""The tokens that each row of a batch sees, read by the model: a prompt in chunks, then one token after the other.

Keys and values of what was read are kept in kv_cache.py; which token comes next is decided in generate.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..inputs import pad_rows
from ..models.gpt import GPT
from ..nn.embedding import unembedding_forward
from ..nn.scope import Gradients, Pass, Scope
from .kv_cache import KVCache

# A prompt is read in chunks of so many tokens, over all rows.  At most: more at once is no faster, but a long prompt's
# activations would not fit in memory.  Chunks are smaller where more threads can then work on them, but not below the least.
MAX_CHUNK_TOKENS = 256
MIN_CHUNK_TOKENS = 64


class Context:
    """The tokens that each row sees, with a cache of what the model computed for them.

        context = Context(model, rows, capacity)
        logits = context.read()                     # of each row's next token
        logits = context.append(tokens)             # tokens (B,)

    rows: B lists of ids, each at most n_positions long, which append() changes; capacity: how many positions the cache holds.
    Logits (B, V) are a buffer that the next call overwrites.
    """

    def __init__(self, model: GPT, rows: list[list[int]], capacity: int) -> None:
        self.model = model
        self.rows = rows
        self.capacity = capacity
        self.pool = model.solo_pool
        self.scopes = [Scope(model.params, Gradients(), run=Pass(fast=model.fast, backward=False))
                       for _ in range(self.pool.threads)]

    def read(self) -> np.ndarray:
        """Read every row from its first token -> logits (B, V) of its next one."""
        ids = pad_rows(self.rows, 0, left=True)                     # padding is never attended to, whatever its id
        padding = ids.shape[1] - np.array([len(row) for row in self.rows])
        self.cache = KVCache(self.model.config, len(ids), self.capacity, self.model.dtype, padding=padding)
        return self._logits(ids)

    def append(self, tokens: np.ndarray) -> np.ndarray:
        """Read one more token in each row, (B,) -> logits (B, V) of the next.

        Where a row then has more than n_positions tokens, the older half of them is forgotten and all rows are read anew.
        """
        n_positions = self.model.config.n_positions
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.append(token)
        if max(map(len, self.rows)) <= n_positions:
            return self._logits(tokens[:, None])
        for row in self.rows:
            if len(row) > n_positions:
                del row[: (n_positions + 1) // 2]
        return self.read()

    def repeat(self, n: int) -> None:
        """Have each row n times in succession, to be continued in n ways."""
        self.rows = [row.copy() for row in self.rows for _ in range(n)]
        self.cache = self.cache.take(np.repeat(np.arange(len(self.cache.padding)), n))

    def _logits(self, ids: np.ndarray) -> np.ndarray:
        """Read ids (B, T) behind what the cache holds -> logits (B, V) after the last of them."""
        start, T = self.cache.length, ids.shape[1]
        size = min(MAX_CHUNK_TOKENS, max(MIN_CHUNK_TOKENS, -(-T // self.pool.threads))) // len(ids)
        chunks = self.cache.chunks(T, max(1, size))
        remaining, last = iter(chunks), []

        def read(scope: Scope) -> None:
            for chunk in remaining:         # whichever thread is free takes the next, so those before it are under way
                with chunk:
                    h = self.model.forward(ids[:, chunk.start - start : chunk.stop - start], scope, chunk.positions,
                                           chunk.key_padding_mask, chunk.layers, last=1)
                if chunk is chunks[-1]:
                    last.append(h[:, -1])

        def head() -> np.ndarray:
            return unembedding_forward(last[0], self.model.head(self.scopes[0]))

        def read_alone() -> np.ndarray:
            read(self.scopes[0])
            return head()

        def passes() -> np.ndarray:
            if len(chunks) > 1:
                self.pool.run([partial(_quietly, partial(read, scope)) for scope in self.scopes[: len(chunks)]])
            # one task, so with all of BLAS's threads
            return self.pool.run([partial(_quietly, head if len(chunks) > 1 else read_alone)])[0]

        logits = self.model.lock.read(passes)
        self.cache.advance(T)
        return logits


def _quietly(task: Callable[[], Any]) -> Any:
    with ignore_overflow():
        return task()


def ignore_overflow() -> np.errstate:
    """Silence NumPy's warnings within a pass: what is not finite is reported once, by checked_logits()."""
    return np.errstate(invalid="ignore", over="ignore")


def checked_logits(logits: np.ndarray) -> np.ndarray:
    """Check the model's own logits before a warper sees them.  Raises FloatingPointError where they are not finite."""
    if not np.isfinite(logits).all():
        raise FloatingPointError(
            "model: its scores hold NaN or infinity, expected finite numbers; check its weights with model.first_nonfinite()"
        )
    return logits
