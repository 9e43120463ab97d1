"""What all models share: parameters in one buffer, and passes over the parts of a batch on several cores.

Which parameters there are and what a pass computes is the model's own: gpt.py, transformer.py.
"""

import math
import warnings
from functools import partial
from typing import Any

import numpy as np

from ..nn.fast.gradients import SharedGradients, TurnTaker
from ..nn.scope import Gradients, Pass, Scope, Store
from ..system import machine
from ..system.threads import WorkerPool

# Width from which BLAS multithreading pays: below, the matrices are too small to share, and BLAS's threads wait for each other
# by spinning, which costs most beside a busy process.
MULTITHREADED_WIDTH = 256


class Network:
    """Parameters and gradients by name, and batches that are split over threads.

    `table` lists the parameters in storage order: [(name, shape, initial)], initial "zeros", "ones" or a standard deviation.
    Matrices come first, those of the blocks before the embeddings, so that an optimizer's groups are ranges of one buffer.
    `params` and `grads` map the names to arrays, views of the flat buffers `flat_params` and `flat_grads`.  `seed` draws the
    initial weights; None leaves them zero, for whoever fills them.  `threads` is how many cores a pass may use, by default all.
    `fast` chooses the engine, nn/fast/; without it the layers of nn/ run, on the whole batch at once.
    """

    config: Any     # the model's own, with n_embd

    def __init__(self, table, seed=0, dtype=np.float32, threads=None, fast=True):
        self.dtype = np.dtype(dtype)
        self._fast = fast
        self.pool = WorkerPool(threads)
        self._warn_if_too_large(sum(math.prod(shape) for _, shape, _ in table))
        self._lay_out(table)
        if seed is not None:
            self._initialize(np.random.default_rng(seed))
        self._order = TurnTaker()

    def train_only(self, table, added=None, seed=0):
        """From now on only the parameters of `table` learn: rows (name, shape, initial) as above, matrices first.

        Names the network has keep their values, new ones get their initial; `added` are new arrays that do not learn.  The
        others of its parameters stay as they are in memory, named in `frozen`: they have no gradient and are in no flat
        buffer, so an optimizer that is made afterwards does not see them.
        """
        before = {**self.params, **(added or {})}
        learning = {name for name, _, _ in table}
        self._lay_out(table, {name: array for name, array in before.items() if name not in learning})
        self._initialize(np.random.default_rng(seed))
        for name in learning & before.keys():
            self.params[name][...] = before[name]

    @property
    def fast(self):
        """Whether the engine, nn/fast/, runs; chosen when the model is made"""
        return self._fast

    @property
    def solo_pool(self):
        """The pool for what is not split, such as a single sequence: with all of BLAS's threads only in wide models."""
        return self.pool if self.config.n_embd >= MULTITHREADED_WIDTH else WorkerPool(1)

    @property
    def grads(self) -> Gradients:
        """Gradients by parameter name, views of flat_grads"""
        return self._shard(0).grads

    @property
    def flat_grads(self):
        """All gradients in one buffer, in the order of flat_params"""
        self._shard(0)
        return self._flat_grads

    def first_nonfinite(self):
        """The name of the first array that holds a NaN or an infinity, or None: parameters, the last pass, gradients.

        Activations are looked at after loss_and_grads() alone; in other passes the layers overwrite each other's.
        """
        for name, array in self.params.items():
            if not np.isfinite(array).all():
                return f"params {name}"
        for shard in self._shards[: self._n_parts]:
            for name, array in shard.acts.items():
                # attention's exp, scores and mask may hold −∞ by design; what it makes of them may not
                if not name.endswith(".scores") and array.dtype.kind == "f" and not np.isfinite(array).all():
                    return f"acts {name}"
        for name, array in self.grads.items():
            if not np.isfinite(array).all():
                return f"grads {name}"
        return None

    def _warn_if_too_large(self, size):
        """Say so before memory runs out, not after."""
        memory = machine.memory()
        if memory is not None and (need := self.dtype.itemsize * size) > memory:
            warnings.warn(
                f"{type(self).__name__}: the parameters alone take {need / 1e9:.1f} GB, this machine has "
                f"{memory / 1e9:.1f} GB; choose a smaller preset",
                stacklevel=4,
            )

    def _lay_out(self, table, frozen=None):
        """Memory for what learns, one flat buffer, beside the arrays that do not"""
        frozen = {} if frozen is None else frozen
        self.table, self.frozen = table, frozenset(frozen)
        self.flat_params = np.zeros(sum(math.prod(shape) for _, shape, _ in table), self.dtype)
        self.params = Store({**frozen, **named_views(table, self.flat_params)})
        self._flat_grads = np.empty(0, self.dtype)      # made when first asked for: generation needs none
        self._shards: list[Scope] = []
        self._written: dict[str, int] = {}              # which gradients there are, shared by the shards
        self._n_parts = 0       # shards that hold the activations of the last pass

    def _initialize(self, rng):
        for name, shape, initial in self.table:
            if initial == "ones":
                self.params[name].fill(1)
            elif initial != "zeros":
                self.params[name][...] = initial * rng.standard_normal(shape)

    def _shard(self, i):
        """The scope of the i-th part of a batch: parameters shared, everything else its own."""
        if not self._shards:
            self._flat_grads = np.zeros_like(self.flat_params)
        while len(self._shards) <= i:
            arrays = named_views(self.table, self._flat_grads)
            grads = (SharedGradients(arrays, len(self._shards), self._order, self._written, self.frozen) if self.fast
                     else Gradients(arrays, self.frozen))
            self._shards.append(Scope(self.params, grads, run=Pass(fast=self.fast)))
        return self._shards[i]

    def map_parts(self, run, batch_size, backward, dropout_key=None):
        """[run(scope, slice)] over as many parts of the batch as there are threads."""
        n = min(self.pool.threads, batch_size) if self.fast else 1
        self._n_parts = n if backward else 0
        edges = [batch_size * i // n for i in range(n + 1)]
        self._order.begin(n)

        def part(i):
            s = self._shard(i)
            s.run.backward = backward
            s.run.dropout_key, s.run.first_row = dropout_key, edges[i]
            try:
                return run(s, slice(edges[i], edges[i + 1]))
            except BaseException:
                self._order.abandon()
                raise

        self._shard(n - 1)
        pool = self.pool if n > 1 else self.solo_pool
        return pool.run([partial(part, i) for i in range(n)])


def named_views(table, flat):
    """{name: view of `flat`} for a table's names and shapes, in its order

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
