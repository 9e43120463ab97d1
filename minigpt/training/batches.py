"""Batches: in which pieces a model learns from a text.

    corpus = load_corpus()
    ids = np.array(tokenizer.encode(corpus.text))
    train, validation = split(ids)
    inputs, targets = Batches(train, batch_size=12, context=64).next()          # both (12, 64)

Turning text into ids is tokenization/tokenizer.py's, learning from them trainer.py's.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, Literal, Protocol

import numpy as np

from .token_files import TokenFile

ORDERS = ("crops", "windows", "shifted")


class BatchSource(Protocol):
    """What a step of training reads: endless batches, and how many were given so far."""

    position: int

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets, the caller's own, and advance position by one."""
        ...


class Batches:
    """Endless batches of a text for training.

    Inputs and targets are (B, T), int64, targets[b, t] the token after inputs[b, t]. Row b is T + 1 consecutive tokens of
    ids (N,), the first T as inputs and the last T as targets.

    order="crops"    each row starts anywhere, drawn from default_rng([seed, position])
    order="windows"  an epoch visits the (N − 1) // T windows that start at 0, T, 2T, … once each, in an order drawn
                     from default_rng([seed, epoch]). Rows are taken from one epoch after the other without a break: a
                     batch that meets the end of an epoch is filled up from the next, so that every batch has B rows.
                     The last (N − 1) mod T tokens are no window's targets.
    order="shifted"  the same, but an epoch's windows start at o, o + T, o + 2T, …, o drawn from
                     default_rng([seed, epoch, 1]): a token is at another position in each epoch, after other tokens.
                     They are n = max(1, N // T − 1), so that they fit at any o below N − n T.

    `position`, the number of batches given so far, is the whole state: set it to go on from there, in another process
    too. ids may be a memory-mapped file: a batch reads what it needs. Of a TokenFile none of it stays in memory.

    Raises ValueError if N < T + 1, or for sizes below 1, an unknown order or a negative seed.
    """

    def __init__(
        self,
        ids: np.ndarray | TokenFile,
        batch_size: int,
        context: int,
        seed: int = 0,
        order: Literal["crops", "windows", "shifted"] = "crops",
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order: {order!r}, expected {', '.join(map(repr, ORDERS))}; choose one")
        if seed < 0:
            raise ValueError(f"seed: {seed}, expected an integer ≥ 0; choose another")
        self.ids = ids if isinstance(ids, TokenFile) else as_tokens(ids)
        _check_sizes(self.ids, batch_size, context)
        self.batch_size, self.context, self.seed, self.order = batch_size, context, seed, order
        self.position = 0
        count = max(1, len(self.ids) // context - 1) if order == "shifted" else (len(self.ids) - 1) // context
        self._shuffled = Shuffled(count, seed)

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets (B, T), int64, the caller's own, and advance position by one."""
        starts = getattr(self, f"_{self.order}")()
        at = starts[:, None] + np.arange(self.context)  # (B, T)
        ids = as_tokens(self.ids)
        batch = ids[at].astype(np.int64), ids[at + 1].astype(np.int64)
        self.position += 1
        return batch

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            yield self.next()

    def _crops(self) -> np.ndarray:
        """Where the rows of the current batch start (B,)."""
        # A generator of its own for each batch: no state but the position, so resuming is setting an integer.
        rng = np.random.default_rng([self.seed, self.position])
        return rng.integers(len(self.ids) - self.context, size=self.batch_size)  # the last start leaves one target

    def _windows(self) -> np.ndarray:
        """Where the rows of the current batch start (B,)."""
        return self._shuffled.batch(self.position, self.batch_size) * self.context

    def _shifted(self) -> np.ndarray:
        """Where the rows of the current batch start (B,)."""
        epochs = self._shuffled.epochs(self.position, self.batch_size)
        below = len(self.ids) - self._shuffled.count * self.context
        offsets = {n: np.random.default_rng([self.seed, n, 1]).integers(below) for n in np.unique(epochs).tolist()}
        return self._windows() + np.array([offsets[n] for n in epochs.tolist()])


class Shuffled:
    """The numbers 0 … count − 1 in a new order each epoch, drawn from default_rng([seed, epoch]).

    Shuffled(3, seed=0).batch(position, 2) for position 0, 1, 2 -> [2, 0], [1, 2], [0, 1]
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch = (-1, np.empty(0, np.int64))  # the last epoch's number and permutation: derived, kept for speed

    def batch(self, position: int, batch_size: int) -> np.ndarray:
        """Return batch number `position`, (B,): batches follow each other through all epochs without a break."""
        epochs = self.epochs(position, batch_size)
        places = (position * batch_size + np.arange(batch_size)) % self.count
        numbers = np.empty_like(places)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            numbers[here] = self._permutation(epoch)[places[here]]
        return numbers

    def epochs(self, position: int, batch_size: int) -> np.ndarray:
        """Return the epoch of each row of batch number `position`, (B,)."""
        return (position * batch_size + np.arange(batch_size)) // self.count

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._epoch[0] != epoch:
            self._epoch = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return self._epoch[1]


def windows(ids: np.ndarray, context: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield inputs and targets, int64, that cover ids (N,) in order: every token but the first is a target once.

    The windows of T tokens come B at a time, (B, T), the last of these batches with what is left of them; a shorter
    window at the end is a batch of its own, (1, (N − 1) mod T). A mean over all targets therefore weighs each batch by
    its targets.size.

    Raises ValueError if N < T + 1, as for Batches.
    """
    ids = as_tokens(ids)
    _check_sizes(ids, batch_size, context)
    count = (len(ids) - 1) // context
    for first in range(0, count, batch_size):
        begin, end = first * context, min(first + batch_size, count) * context
        yield _rows(ids, begin, end, context)
    if count * context < len(ids) - 1:
        yield _rows(ids, count * context, len(ids) - 1, len(ids) - 1 - count * context)


def _rows(ids: np.ndarray, begin: int, end: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = ids[begin:end], ids[begin + 1 : end + 1]
    return inputs.reshape(-1, width).astype(np.int64), targets.reshape(-1, width).astype(np.int64)


def as_tokens(ids: Any) -> np.ndarray:
    """Return ids as an array (N,) of integers, a view where it is one.  Raises ValueError for any other shape or type."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids: {ids.dtype} of shape {ids.shape}, expected integers (N,); pass one row of token ids")
    return ids


def _check_sizes(ids: np.ndarray | TokenFile, batch_size: int, context: int) -> None:
    for name, size in (("batch_size", batch_size), ("context", context)):
        if operator.index(size) < 1:  # a TypeError for 2.5, of which NumPy would make something
            raise ValueError(f"{name}: {size}, expected at least 1; choose a larger one")
    if len(ids) < context + 1:
        raise ValueError(
            f"ids: {len(ids)} tokens, expected at least {context + 1} (a context of {context} and one target);"
            " use a longer text or a smaller context"
        )
