"""The machine: what it is, and how fast it multiplies matrices, goes over arrays and reads memory."""

from __future__ import annotations

import platform
import time
from importlib import metadata

import numpy as np

from minigpt.system import machine
from minigpt.system.threads import WorkerPool, cpu_count

from .reading import FLOATS, multiply_speed, read_speed

PACKAGES = ("numpy", "torch", "transformers", "peft", "transformer-lens", "glassllm", "tiktoken", "tokenizers")


def describe():
    """{fact: value} of the hardware and the software that was measured"""
    return {
        "processor": machine.processor(), "cores": cpu_count(), "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(), "blas": machine.blas(),
        **{name: _version(name) for name in PACKAGES},
    }


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def ceilings(kinds=("gemm", "elementwise", "tanh", "exp", "read")):
    """A side that measures, each round, what all cores reach together: {kind: operations or bytes per second}

    gemm         floating-point operations of products of float32 matrices, the best of several ways
    elementwise  elements a second of out = a · b on pieces that stay in a core's cache; tanh and exp likewise
    read         bytes a second from memory, the best of several ways
    """
    pool = WorkerPool()
    rng = np.random.default_rng(0)
    pieces = [[rng.standard_normal(32_768, np.float32) for _ in range(3)] for _ in range(pool.threads)]
    memory = rng.standard_normal((FLOATS // 768 if "read" in kinds else 0, 768), np.float32)   # equal pages may share memory

    def rate(amount, tasks):
        start = time.perf_counter()
        pool.run(tasks)
        return amount * pool.threads / (time.perf_counter() - start)

    def repeat(function):
        for _ in range(400):
            function()

    def measure(kind):
        if kind == "gemm":
            return multiply_speed(pool)
        if kind == "read":
            return read_speed(pool, memory)[0]
        function = {"elementwise": np.multiply, "tanh": np.tanh, "exp": np.exp}[kind]
        inputs = 2 if kind == "elementwise" else 1
        return rate(400 * 32_768, [lambda p=p: repeat(lambda: function(*p[:inputs], out=p[2])) for p in pieces])

    return lambda i: {kind: max(measure(kind), measure(kind)) for kind in kinds}     # the first may find the cores asleep
