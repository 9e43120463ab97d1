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
from typing import Any

import numpy as np


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
    """How many threads BLAS uses now; None where that is not known."""
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


class WorkerPool:
    """Threads that share out independent tasks.

        WorkerPool(2).run([task_a, task_b])  ->  [task_a(), task_b()]

    Where BLAS's thread count cannot be set the pool has one thread, since BLAS would start its own in each.
    """

    def __init__(self, threads=None):
        threads = cpu_count() if threads is None else threads
        if threads < 1:
            raise ValueError(f"threads: {threads}, expected at least 1; None takes all cores")
        self.threads = threads if _openblas() is not None else 1
        self._pool: ThreadPoolExecutor | None = None

    def __reduce__(self):
        """A copy, also in another process, has threads of its own."""
        return WorkerPool, (self.threads,)

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
