"""Adding up gradients: products written where they belong, and the parts of a batch taking turns on several threads."""

import functools
import math
from collections.abc import Hashable, Iterable, Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np

from ..scope import Gradients, Store

BLOCK = 2**21  # elements of a gradient that are worked on at once


class FastGradients(Gradients):
    """Gradients as the engine adds them up.

    NumPy's products cannot add to their output, so the first contribution after a reset is written and only later ones are
    added, in blocks, so that a product that is to be added never takes much memory.  Contributions to frozen parameters are
    skipped, not even computed.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray] | None = None, frozen: Iterable[str] = ()) -> None:
        super().__init__(arrays, frozen)
        self._written: dict[str, int] = {}      # the names since reset(), and in which pass each came first
        self._spare = Store()

    def reset(self) -> None:
        """Forget all contributions; costs nothing, since the next pass overwrites."""
        self._written.clear()

    def add(self, name: str, value: np.ndarray) -> None:
        """Add to a gradient: grads[name] += value."""
        if self.is_frozen(name):
            return
        if name not in self:
            self[name] = np.empty_like(value)
        out = self[name]
        if not out.flags.c_contiguous:       # as in add_product()
            out, value = out.T, value.T
        first, turn = self._join(name)
        for block, where in enumerate(blocks(out)):
            self._wait(name, block, turn)
            if first:
                out[where] = value[where]
            else:
                out[where] += value[where]
            self._pass_on(name, block, turn)

    def add_product(self, name: str, a: np.ndarray, b: np.ndarray) -> None:
        """Add a product of matrices: grads[name] += a @ b, a (K, M), b (M, N)."""
        if self.is_frozen(name):
            return
        if name not in self:
            self[name] = np.empty((a.shape[0], b.shape[1]), a.dtype)
        out = self[name]
        if not out.flags.c_contiguous:       # as it lies in memory: (a b)ᵀ = bᵀ aᵀ
            a, b, out = b.T, a.T, out.T
        first, turn = self._join(name)
        for block, (rows, columns) in enumerate(blocks(out)):
            part = out[rows, columns]
            if first:
                self._wait(name, block, turn)
                np.matmul(a[rows], b[:, columns], out=part)
            else:
                product = self._spare.empty("product", part.shape, out.dtype)
                np.matmul(a[rows], b[:, columns], out=product)
                self._wait(name, block, turn)
                part += product
            self._pass_on(name, block, turn)

    def add_rows(self, name: str, shape: tuple[int, ...], ids: np.ndarray, values: np.ndarray) -> None:
        """Add to rows of a table of this shape: grads[name][ids[i]] += values[i] for each i, 0 where nothing is added."""
        if self.is_frozen(name):
            return
        if name not in self:
            self[name] = np.empty(shape, values.dtype)
        table = self[name]
        n = len(blocks(table))
        first, turn = self._join(name, as_a_whole=False)
        for block in range(n):
            self._wait(name, block, turn)
        if first:
            table.fill(0)
        for id, value in zip(ids.tolist(), values, strict=True):
            table[id] += value
        for block in range(n):
            self._pass_on(name, block, turn)

    def _join(self, name: str, as_a_whole: bool = True) -> tuple[bool, int]:
        """Whether this is the first contribution since reset(), and which turn it has.  as_a_whole=False: it is added piece by
        piece.  Between _wait and _pass_on it goes into one block; with threads SharedGradients waits there."""
        key = self._prefix + name
        first = key not in self._written
        self._written[key] = 0
        return first, 0

    def _wait(self, name: str, block: int, turn: int) -> None:
        pass

    def _pass_on(self, name: str, block: int, turn: int) -> None:
        pass


def blocks(array: np.ndarray) -> list[tuple[slice, ...]]:
    """Cut an array into blocks of at most BLOCK elements, across its longer side: [(rows, columns), …] of a matrix.

    Across the shorter side the blocks of a wide matrix would be a few rows each, and BLAS slow on them.
    """
    return _blocks(array.shape, BLOCK)


@functools.lru_cache(maxsize=256)
def _blocks(shape: tuple[int, ...], most: int) -> list[tuple[slice, ...]]:
    n = max(shape)
    axis = shape.index(n)
    step = max(1, most * n // math.prod(shape))
    before, after = (slice(None),) * axis, (slice(None),) * (len(shape) - axis - 1)
    return [(*before, slice(start, start + step), *after) for start in range(0, n, step)]


class TurnTaker:
    """Turns at any number of places, for threads that pass them one after the other.

        order.wait(place, i);  ...;  order.pass_on(place, i)        the i-th turn at this place, from 0

    A thread whose turn has come only reads a counter; an early one registers a queue that its predecessor signals.
    """

    def __init__(self) -> None:
        self.passes = 0
        self.begin(1)

    def begin(self, n: int) -> None:
        """Start afresh with n threads."""
        self.passes += 1
        self.n, self._abandoned = n, False
        self.visits = [dict[str, int]() for _ in range(n)]      # how often each thread has come to each place
        self.begun = dict[str, int]()                           # who has begun there
        self._turn = dict[Any, int]()
        self._waiters = dict[Any, SimpleQueue]()

    def abandon(self) -> None:
        """Nobody waits any more: a thread has failed."""
        self._abandoned = True
        for waiter in list(self._waiters.values()):
            waiter.put(None)

    def wait(self, place: Hashable, i: int) -> None:
        """Wait until the i-th turn at this place has come."""
        if self._turn.get(place, 0) != i:
            waiter = self._waiters[place, i] = SimpleQueue()
            if self._turn.get(place, 0) != i and not self._abandoned:       # subtle: asked again now that the waiter is known
                waiter.get()

    def pass_on(self, place: Hashable, i: int) -> None:
        """The i-th turn is over."""
        self._turn[place] = i + 1
        if (waiter := self._waiters.get((place, i + 1))) is not None:
            waiter.put(None)


class SharedGradients(FastGradients):
    """Gradients that the parts of a batch add to at the same time, and yet so that equal runs give equal sums.

    Every part has one of these, over the same arrays and the same `written`.  Parts add in the order of their numbers; while it
    is not its turn a part works on its next product.  Only which of the first two adds first varies; a + b = b + a to the last
    bit, so the result does not.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], part: int, order: TurnTaker, written: dict[str, int],
                 frozen: Iterable[str] = ()) -> None:
        super().__init__(arrays, frozen)
        self._part, self._order = part, order
        self._written = written                             # shared by all parts

    def _join(self, name: str, as_a_whole: bool = True) -> tuple[bool, int]:
        key, order, line = self._prefix + name, self._order, self._part
        visits = order.visits[self._part]
        visit = visits[key] = visits.get(key, -1) + 1
        is_new = visit == 0 and self._written.setdefault(key, order.passes) == order.passes
        if is_new and as_a_whole and line < 2:
            line = int(order.begun.setdefault(key, line) != line)
        return is_new and line == 0, visit * order.n + line

    def _wait(self, name: str, block: int, turn: int) -> None:
        self._order.wait((self._prefix + name, block), turn)

    def _pass_on(self, name: str, block: int, turn: int) -> None:
        self._order.pass_on((self._prefix + name, block), turn)
