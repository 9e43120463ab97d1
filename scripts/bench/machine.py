"""The machine: what it is, and how fast it multiplies matrices, goes over arrays and reads memory."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

from minigpt.system import machine
from minigpt.system.threads import WorkerPool, cpu_count

from .race import Run
from .reading import FLOATS, multiply_speed, read_speed

PACKAGES = ("numpy", "torch", "transformers", "peft", "transformer-lens", "glassllm", "tiktoken", "tokenizers")


def describe() -> dict[str, Any]:
    """Return {fact: value} of the hardware and the software that is measured."""
    return {
        "processor": machine.processor(), "cores": cpu_count(), "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(), "blas": machine.blas(),
        **{name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def ceilings(kinds: Sequence[str] = ("gemm", "elementwise", "tanh", "exp", "read")) -> Run:
    """Make a side that measures, each round, what all cores reach together: {kind: operations or bytes per second}.

    gemm         floating-point operations of products of float32 matrices, the best of several ways
    elementwise  elements a second of out = a · b on pieces that stay in a core's cache; tanh and exp likewise
    read         bytes a second from memory, the best of several ways
    """
    pool = WorkerPool()
    rng = np.random.default_rng(0)
    pieces = [[rng.standard_normal(32_768, np.float32) for _ in range(3)] for _ in range(pool.threads)]
    memory = rng.standard_normal((FLOATS // 768 if "read" in kinds else 0, 768), np.float32)   # equal pages may share memory

    def rate(amount: float, tasks: list[Callable[[], Any]]) -> float:
        start = time.perf_counter()
        pool.run(tasks)
        return amount * pool.threads / (time.perf_counter() - start)

    def repeat(function: np.ufunc, inputs: list[np.ndarray], out: np.ndarray) -> None:
        for _ in range(400):
            function(*inputs, out=out)

    def measure(kind: str) -> float:
        if kind == "gemm":
            return multiply_speed(pool)
        if kind == "read":
            return read_speed(pool, memory)[0]
        function: np.ufunc = {"elementwise": np.multiply, "tanh": np.tanh, "exp": np.exp}[kind]
        inputs = 2 if kind == "elementwise" else 1
        return rate(400 * 32_768, [partial(repeat, function, piece[:inputs], piece[2]) for piece in pieces])

    return lambda i: {kind: max(measure(kind), measure(kind)) for kind in kinds}     # the first may find the cores asleep
