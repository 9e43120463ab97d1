"""The machine: what it is, and how fast it multiplies matrices, goes over arrays and reads memory."""

from __future__ import annotations

import platform
import time
from importlib import metadata

import numpy as np

from minigpt.system import machine
from minigpt.system.threads import WorkerPool, cpu_count

PACKAGES = ("numpy", "torch", "transformers", "tiktoken", "tokenizers")


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

    gemm         floating-point operations of float32 matrices of 1024 × 1024
    elementwise  elements a second of out = a · b on pieces that stay in a core's cache; tanh and exp likewise
    read         bytes a second from memory, in a sum over 512 MB
    """
    pool = WorkerPool()
    rng = np.random.default_rng(0)
    pieces = [[rng.standard_normal(32_768, np.float32) for _ in range(3)] for _ in range(pool.threads)]
    memory = rng.standard_normal(2**27 if "read" in kinds else 0, np.float32)      # equal pages a system may keep but once

    def rate(amount, tasks):
        start = time.perf_counter()
        pool.run(tasks)
        return amount * pool.threads / (time.perf_counter() - start)

    def repeat(function):
        for _ in range(400):
            function()

    def measure(kind):
        if kind == "gemm":
            return machine.matmul_flops(pool)
        if kind == "read":
            parts = np.array_split(memory, pool.threads)
            return rate(parts[0].nbytes, [lambda p=p: np.dot(p, p) for p in parts])
        function = {"elementwise": np.multiply, "tanh": np.tanh, "exp": np.exp}[kind]
        inputs = 2 if kind == "elementwise" else 1
        return rate(400 * 32_768, [lambda p=p: repeat(lambda: function(*p[:inputs], out=p[2])) for p in pieces])

    return lambda i: {kind: max(measure(kind), measure(kind)) for kind in kinds}     # the first may find the cores asleep
