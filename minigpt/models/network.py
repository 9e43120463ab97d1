"""What all models share: parameters in one buffer, and passes over the parts of a batch on several cores.

Which parameters there are and what a pass computes is the model's own: gpt.py, transformer.py.
"""

import math
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..nn.fast.gradients import SharedGradients, TurnTaker
from ..nn.scope import Gradients, Pass, Scope, Store
from ..system import machine
from ..system.lanes import Lanes
from ..system.rwlock import ReadWriteLock
from ..system.threads import WorkerPool, cpu_count

# Width from which BLAS multithreading pays: below, the matrices are too small to share, and BLAS's threads wait for each other
# by spinning, which costs most beside a busy process.
MULTITHREADED_WIDTH = 256

Table = Sequence[tuple[str, tuple[int, ...], str | float]]      # (name, shape, initial) of each parameter
Run = Callable[[Scope, slice], Any]                             # what is done with a part of a batch

_ONE_THREAD = WorkerPool(1)

MOST_LANES = max(2, cpu_count())        # passes without gradients at the same time; more wait, since they would be no faster


class Network:
    """Parameters and gradients by name, and batches that are split over threads.

    `table` lists the parameters in storage order: [(name, shape, initial)], initial "zeros", "ones" or a standard deviation.
    Matrices come first, those of the blocks before the embeddings, so that an optimizer's groups are ranges of one buffer.
    `params` and `grads` map the names to arrays, views of the flat buffers `flat_params` and `flat_grads`.  `seed` draws the
    initial weights; None leaves them zero, for whoever fills them.  `threads` is how many cores a pass may use, by default all.
    `fast` chooses the engine, nn/fast/; without it the layers of nn/ run, on the whole batch at once.

    Several Python threads may use one network, `lock` keeps them apart: passes without gradients run at the same time; a pass
    with gradients, an optimizer's step and train_only() wait until they are alone.  Arrays that one changes oneself, params
    and grads, are one's own to keep apart.  Copies, also pickled ones, are whole networks with buffers of their own.
    """

    config: Any     # the model's own, with n_embd

    def __init__(self, table: Table, seed: Any = 0, dtype: DTypeLike = np.float32, threads: int | None = None,
                 fast: bool = True) -> None:
        self.dtype = np.dtype(dtype)
        self._fast = fast
        self.pool = WorkerPool(threads)
        self.lock = ReadWriteLock()
        self._warn_if_too_large(sum(math.prod(shape) for _, shape, _ in table))
        self._lay_out(table)
        if seed is not None:
            self._initialize(np.random.default_rng(seed))

    def train_only(self, table: Table, added: Mapping[str, np.ndarray] | None = None, seed: Any = 0) -> None:
        """From now on only the parameters of `table` learn: rows (name, shape, initial) as above, matrices first.

        Names the network has keep their values, new ones get their initial; `added` are new arrays that do not learn.  The
        others of its parameters stay as they are in memory, named in `frozen`: they have no gradient and are in no flat
        buffer, so an optimizer that is made afterwards does not see them.
        """
        before = {**self.params, **(added or {})}
        learning = {name for name, _, _ in table}

        def change() -> None:
            self._lay_out(table, {name: array for name, array in before.items() if name not in learning})
            self._initialize(np.random.default_rng(seed))
            for name in learning & before.keys():
                self.params[name][...] = before[name]

        self.lock.write(change)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: the values of all arrays, without the views, threads and locks that belong to this one"""
        own = ("params", "lock", "pool", "frozen", "_order", "_parts", "_lanes", "_n_parts", "_written")

        def arrays() -> dict[str, Any]:
            return {"flat_params": self.flat_params.copy(), "_flat_grads": self._flat_grads.copy(),
                    "frozen": {name: self.params[name].copy() for name in self.frozen}}

        rest = {name: value for name, value in self.__dict__.items() if name not in own}
        return {**rest, **self.lock.read(arrays), "threads": self.pool.threads, "written": list(self._written)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Become a whole network: parameters and gradients are views of buffers of its own."""
        state = dict(state)
        flat, grads, written = state.pop("flat_params"), state.pop("_flat_grads"), state.pop("written")
        frozen, self.pool = state.pop("frozen"), WorkerPool(state.pop("threads"))
        self.__dict__.update(state)
        self.lock = ReadWriteLock()
        self._lay_out(self.table, frozen)
        self.flat_params[...] = flat
        if grads.size:
            self.flat_grads[...] = grads
        self._written.update(dict.fromkeys(written, 0))

    @property
    def fast(self) -> bool:
        """Whether the engine, nn/fast/, runs; chosen when the model is made."""
        return self._fast

    @property
    def solo_pool(self) -> WorkerPool:
        """The pool for what is not split, such as a single sequence: with all of BLAS's threads only in wide models."""
        return self.pool if self.config.n_embd >= MULTITHREADED_WIDTH else _ONE_THREAD

    @property
    def grads(self) -> Gradients:
        """Gradients by parameter name, views of flat_grads."""
        return self._parts.scopes(1)[0].grads

    @property
    def flat_grads(self) -> np.ndarray:
        """All gradients in one buffer, in the order of flat_params."""
        self._parts.scopes(1)
        return self._flat_grads

    def first_nonfinite(self) -> str | None:
        """The name of the first array that holds a NaN or an infinity, or None: parameters, the last pass, gradients.

        Activations are looked at after loss_and_grads() alone; in other passes the layers overwrite each other's.
        """
        for name, array in self.params.items():
            if not np.isfinite(array).all():
                return f"params {name}"
        for s in self._parts.scopes(self._n_parts):
            for name, array in s.acts.items():
                # attention's exp, scores and mask may hold −∞ by design; what it makes of them may not
                if not name.endswith(".scores") and array.dtype.kind == "f" and not np.isfinite(array).all():
                    return f"acts {name}"
        for name, array in self.grads.items():
            if not np.isfinite(array).all():
                return f"grads {name}"
        return None

    def finite(self, what: str, value: Any) -> Any:
        """The value if all of it is finite.  Raises FloatingPointError that names where numbers stop being so."""
        if not np.isfinite(value).all():
            name = self.first_nonfinite()
            where = f"the first array that is not finite is {name}" if name else "its activations are too large"
            raise FloatingPointError(f"{what}: NaN or infinity, expected finite numbers; {where}")
        return value

    def _warn_if_too_large(self, size: int) -> None:
        """Say so before memory runs out, not after."""
        memory = machine.memory()
        if memory is not None and (need := self.dtype.itemsize * size) > memory:
            warnings.warn(
                f"{type(self).__name__}: the parameters alone take {need / 1e9:.1f} GB, this machine has "
                f"{memory / 1e9:.1f} GB; choose a smaller preset",
                stacklevel=4,
            )

    def _lay_out(self, table: Table, frozen: Mapping[str, np.ndarray] | None = None) -> None:
        """Memory for what learns, one flat buffer, beside the arrays that do not"""
        frozen = {} if frozen is None else frozen
        self.table = list(table)
        self.frozen = frozenset(frozen)
        self.flat_params = np.zeros(sum(math.prod(shape) for _, shape, _ in table), self.dtype)
        self.params = Store({**frozen, **named_views(table, self.flat_params)})
        self._flat_grads = np.empty(0, self.dtype)      # made when first asked for: generation needs none
        own = weakref.proxy(self)       # a network that nobody has is gone at once, and its memory free for the next
        self._parts = Parts(lambda i: own._part(i))     # of a pass with gradients; others may use the same memory
        self._lanes = Lanes(self._parts, lambda: Parts(lambda i: own._part_without_grads(i)), MOST_LANES)
        self._order = TurnTaker()
        self._written: dict[str, int] = {}              # which gradients there are, shared by the parts
        self._n_parts = 0       # how many hold the activations of the last pass with gradients

    def _initialize(self, rng: np.random.Generator) -> None:
        for name, shape, initial in self.table:
            if initial == "ones":
                self.params[name].fill(1)
            elif initial != "zeros":
                self.params[name][...] = initial * rng.standard_normal(shape)

    def _part(self, i: int) -> Scope:
        """The scope of the i-th part of a batch, with gradients: parameters shared, everything else its own"""
        if i == 0:
            self._flat_grads = np.zeros_like(self.flat_params)
        arrays = named_views(self.table, self._flat_grads)
        grads = (SharedGradients(arrays, i, self._order, self._written, self.frozen) if self.fast
                 else Gradients(arrays, self.frozen))
        return Scope(self.params, grads, run=Pass(fast=self.fast))

    def _part_without_grads(self, i: int) -> Scope:
        return Scope(self.params, Gradients(), run=Pass(fast=self.fast))

    def map_parts(self, run: Run, batch_size: int) -> list[Any]:
        """Run as many parts of the batch as there are threads -> [run(scope, slice)], no gradients; beside other passes."""
        return self.lock.read(partial(self._lanes.use, partial(self._run_parts, run, batch_size, backward=False)))

    def map_parts_with_grads(
        self, run: Run, batch_size: int, accumulate: bool = False, dropout_key: tuple[int, ...] | None = None,
        first_row: int = 0, finished: Callable[[str], None] | None = None,
    ) -> list[Any]:
        """Do the same with gradients, alone on this network; they begin at 0, unless they accumulate.

        first_row: the number of the first row in the batch that these rows are a part of, for dropout.  finished: is called
        with a layer's name once every part has its gradients, by one thread at a time.
        """

        def passes() -> list[Any]:
            if not accumulate:
                self.grads.reset()
            return self._run_parts(run, batch_size, self._parts, True, dropout_key, first_row, finished)

        return self.lock.write(passes)

    def _run_parts(self, run: Run, batch_size: int, parts: "Parts", backward: bool,
                   dropout_key: tuple[int, ...] | None = None, first_row: int = 0,
                   finished: Callable[[str], None] | None = None) -> list[Any]:
        n = min(self.pool.threads, batch_size) if self.fast else 1
        edges = [batch_size * i // n for i in range(n + 1)]
        if parts is self._parts:
            self._n_parts = n if backward else 0
        if backward:
            self._order.begin(n)
        if finished is not None:
            finished = _LastOf(n, finished)

        def part(i: int, s: Scope) -> Any:
            s.run.backward = backward
            s.run.dropout_key, s.run.first_row, s.run.finished = dropout_key, first_row + edges[i], finished
            try:
                return run(s, slice(edges[i], edges[i + 1]))
            except BaseException:
                if backward:
                    self._order.abandon()
                raise

        pool = self.pool if n > 1 else self.solo_pool
        return pool.run([partial(part, i, s) for i, s in enumerate(parts.scopes(n))])


class _LastOf:
    """Calls done(name) as soon as it was called with that name so many times."""

    def __init__(self, n: int, done: Callable[[str], None]) -> None:
        self._n, self._done, self._lock = n, done, threading.Lock()
        self._counts: dict[str, int] = {}

    def __call__(self, name: str) -> None:
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1
            if self._counts[name] == self._n:
                self._done(name)


class Parts:
    """The scopes of the parts of a batch, made by new(i) when first needed."""

    def __init__(self, new: Callable[[int], Scope]) -> None:
        self._new = new
        self._scopes: list[Scope] = []

    def scopes(self, n: int) -> list[Scope]:
        """Return the scopes of n parts."""
        while len(self._scopes) < n:
            self._scopes.append(self._new(len(self._scopes)))
        return self._scopes[:n]


def named_views(table: Table, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Return {name: view of `flat`} for a table's names and shapes, in its order.

    A matrix with no more columns than rows lies transposed in memory, so that its longer side runs on there: a product with a
    single token then reads it faster.
    """
    views, start = {}, 0
    for name, shape, _ in table:
        size = math.prod(shape)
        part = flat[start : start + size]
        tall = len(shape) == 2 and shape[0] >= shape[1]
        views[name] = part.reshape(shape[::-1]).T if tall else part.reshape(shape)
        start += size
    return views
