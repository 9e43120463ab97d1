"""Work on several cores: Python threads that each run NumPy with one BLAS thread.

NumPy lets other threads run while it is in BLAS or in an elementwise loop, so a batch split by rows over Python threads uses
the cores better than BLAS's own threads, which only help inside a matrix product.
"""

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from .nn.scope import Gradients


def cpu_count():
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def openblas_functions(*names):
    """Functions of the OpenBLAS inside NumPy's own wheel: ("get_corename",) -> [function]; None where it has no such ones."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for file in sorted(folder.glob("*openblas*")):
            try:
                library = ctypes.CDLL(str(file))
            except OSError:
                continue
            for prefix, suffix in (("scipy_", "64_"), ("", "64_"), ("scipy_", ""), ("", "")):
                symbols = [f"{prefix}openblas_{name}{suffix}" for name in names]
                if all(hasattr(library, symbol) for symbol in symbols):
                    return [getattr(library, symbol) for symbol in symbols]
    return None


@lru_cache(maxsize=1)
def _openblas():
    """(get, set) of OpenBLAS's thread count; None where NumPy was built otherwise."""
    return openblas_functions("get_num_threads", "set_num_threads")


def blas_threads():
    """How many threads BLAS uses now; None where that cannot be told."""
    blas = _openblas()
    return None if blas is None else blas[0]()


@contextmanager
def use_blas_threads(n) -> Iterator[None]:
    """Let BLAS use n threads inside this block, and as many as before afterwards, however the block ends."""
    blas = _openblas()
    if blas is None or (before := blas[0]()) == n:
        yield
        return
    blas[1](ctypes.c_int(n))
    try:
        yield
    finally:
        blas[1](ctypes.c_int(before))


class Team:
    """Threads that share out independent tasks.

        Team(2).run([task_a, task_b])  ->  [task_a(), task_b()]

    Where BLAS's thread count cannot be set the team has one thread, since BLAS would start its own in each.
    """

    def __init__(self, threads=None):
        threads = cpu_count() if threads is None else threads
        if threads < 1:
            raise ValueError(f"threads: {threads}, expected at least 1; None takes all cores")
        self.threads = threads if _openblas() is not None else 1
        self._pool: ThreadPoolExecutor | None = None

    def run(self, tasks: Sequence[Callable[[], Any]]):
        """All results in the order of the tasks. The first error is raised, once no task is running."""
        if len(tasks) == 1 or self.threads == 1:
            with use_blas_threads(self.threads):
                return [task() for task in tasks]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="minigpt")
        with use_blas_threads(1):
            futures = [self._pool.submit(task) for task in tasks[1:]]
            try:
                first = tasks[0]()
            finally:
                wait(futures)
            return [first, *(future.result() for future in futures)]

    def run_ranges(self, function, size):
        """[function(start, stop), …] over 0 … size cut into as many equal ranges as there are threads."""
        edges = [size * i // self.threads for i in range(self.threads + 1)]
        return self.run([partial(function, *edge) for edge in pairwise(edges)])


class Order:
    """Turns at any number of places, for threads that pass them one after the other.

        order.wait(place, i);  ...;  order.pass_on(place, i)        the i-th turn at this place, from 0

    Whoever comes in time only looks at a number; who comes too early leaves a hand, into which the one before puts the turn.
    """

    def __init__(self):
        self.passes = 0
        self.begin(1)

    def begin(self, n):
        """Start afresh with n threads."""
        self.passes += 1
        self.n, self._abandoned = n, False
        self.visits = [dict[str, int]() for _ in range(n)]      # how often each thread has come to each place
        self.begun = dict[str, int]()                           # who has begun there
        self._turn = dict[Any, int]()
        self._hands = dict[Any, SimpleQueue]()

    def abandon(self):
        """Nobody waits any more: a thread has failed."""
        self._abandoned = True
        for hand in list(self._hands.values()):
            hand.put(None)

    def wait(self, place, i):
        """Until the i-th turn at this place has come"""
        if self._turn.get(place, 0) != i:
            hand = self._hands[place, i] = SimpleQueue()
            if self._turn.get(place, 0) != i and not self._abandoned:       # subtle: asked again now that the hand is known
                hand.get()

    def pass_on(self, place, i):
        """The i-th turn is over."""
        self._turn[place] = i + 1
        if (hand := self._hands.get((place, i + 1))) is not None:
            hand.put(None)


class SharedGradients(Gradients):
    """Gradients that the parts of a batch add to at the same time, and yet so that equal runs give equal sums.

    Every part has one of these, over the same arrays and the same `written`.  Parts add in the order of their numbers; while it
    is not its turn a part works on its next product.  Only who of the first two begins is left to chance, since a + b = b + a
    to the last bit: where the second had to wait for the first, a step of size S took 1.03 of its time.
    """

    def __init__(self, arrays, part, order, written, frozen=()):
        super().__init__(arrays, frozen)
        self._part, self._order = part, order
        self._written = written                             # shared by all parts

    def _join(self, name, as_a_whole=True):
        key, order, line = self._prefix + name, self._order, self._part
        visits = order.visits[self._part]
        visit = visits[key] = visits.get(key, -1) + 1
        is_new = visit == 0 and self._written.setdefault(key, order.passes) == order.passes
        if is_new and as_a_whole and line < 2:
            line = int(order.begun.setdefault(key, line) != line)
        return is_new and line == 0, visit * order.n + line

    def _wait(self, name, block, turn):
        self._order.wait((self._prefix + name, block), turn)

    def _pass_on(self, name, block, turn):
        self._order.pass_on((self._prefix + name, block), turn)
