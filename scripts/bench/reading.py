"""How fast this machine reads memory and multiplies matrices: the best of several ways, since nothing exceeds a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minigpt.system.threads import WorkerPool

FLOATS = 123_600_000        # 494 MB, what a token of GPT-2 124M reads: a large cache keeps as much of the one as of the other
PASSES = 3
OPERATIONS = 2**32          # of each thread, in each way to multiply


def read_ways(columns: int) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return {name: function that reads a matrix (rows, columns) once}, by sums, dot products and both layouts of a matrix."""
    x = np.ones(columns, np.float32)
    return {
        "sum": lambda m: m.sum(),
        "dot": lambda m: np.dot(m.reshape(-1), m.reshape(-1)),
        "matrix · vector": lambda m: m @ x,
        "vector · matrix": lambda m: np.ones(len(m), np.float32) @ m,
    }


def read_speed(pool: WorkerPool, memory: np.ndarray) -> tuple[float, str]:
    """Return (bytes a second, the way) of the fastest pass over memory (rows, columns), on one thread and on all."""
    best = (0.0, "")
    for threads in sorted({1, pool.threads}):
        parts = np.array_split(memory, threads)
        for name, way in read_ways(memory.shape[1]).items():
            for _ in range(PASSES):
                seconds = _seconds(pool, [partial(way, part) for part in parts])
                best = max(best, (memory.nbytes / seconds, f"{name}, {threads} thread{'s' * (threads > 1)}"))
    return best


def multiply_speed(pool: WorkerPool) -> float:
    """Return the floating-point operations a second of the fastest products of float32 matrices, all threads together.

    Square ones of three sizes; of the middle one also both products of a backward pass, with one of the two transposed.
    """
    rng = np.random.default_rng(0)
    best = 0.0
    for n in (512, 1024, 1536):
        repeats = max(1, round(OPERATIONS / (2 * n**3)))
        matrices = [[rng.standard_normal((n, n), np.float32) for _ in range(3)] for _ in range(pool.threads)]
        for ways in ((False, False), (False, True), (True, False)) if n == 1024 else ((False, False),):
            turned = [[a.T if ways[0] else a, b.T if ways[1] else b, out] for a, b, out in matrices]
            seconds = _seconds(pool, [partial(_multiply, a, b, out, repeats) for a, b, out in turned])
            best = max(best, repeats * 2 * n**3 * pool.threads / seconds)
    return best


def _multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray, repeats: int) -> None:
    for _ in range(repeats):
        np.dot(a, b, out=out)


def _seconds(pool: WorkerPool, tasks: Sequence[Callable[[], Any]]) -> float:
    start = time.perf_counter()
    pool.run(tasks)
    return time.perf_counter() - start
