"""The machine: what it is, and how fast it multiplies matrices, goes over arrays and reads memory."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import time
from importlib import metadata
from pathlib import Path

import numpy as np

from minigpt.parallel import Team, cpu_count, openblas_functions

PACKAGES = ("numpy", "torch", "transformers", "tiktoken", "tokenizers")


def describe():
    """{fact: value} of the hardware and the software that was measured"""
    return {
        "processor": _processor(), "cores": cpu_count(), "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(), "blas": _blas_kernel(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor():
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _blas_kernel():
    """NumPy's BLAS with its version and, of OpenBLAS, the kernel that it chose for this processor"""
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    name = f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()
    if functions := openblas_functions("get_corename"):
        functions[0].restype = ctypes.c_char_p
        name += f", kernel {functions[0]().decode()}"
    return name


def ceilings(kinds=("gemm", "elementwise", "tanh", "exp", "read")):
    """A side that measures, each round, what all cores reach together: {kind: operations or bytes per second}

    gemm         floating-point operations of float32 matrices of 1024 × 1024
    elementwise  elements a second of out = a · b on pieces that stay in a core's cache; tanh and exp likewise
    read         bytes a second from memory, in a sum over 512 MB
    """
    team = Team()
    n = 1024
    rng = np.random.default_rng(0)
    matrices = [[rng.standard_normal((n, n), np.float32) for _ in range(3)] for _ in range(team.threads)]
    pieces = [[rng.standard_normal(32_768, np.float32) for _ in range(3)] for _ in range(team.threads)]
    memory = rng.standard_normal(2**27 if "read" in kinds else 0, np.float32)      # equal pages a system may keep but once

    def rate(amount, tasks):
        start = time.perf_counter()
        team.run(tasks)
        return amount * team.threads / (time.perf_counter() - start)

    def gemm(a, b, out):
        for _ in range(8):
            np.dot(a, b, out=out)

    def repeat(function):
        for _ in range(400):
            function()

    def measure(kind):
        if kind == "gemm":
            return rate(8 * 2 * n**3, [lambda m=m: gemm(*m) for m in matrices])
        if kind == "read":
            parts = np.array_split(memory, team.threads)
            return rate(parts[0].nbytes, [lambda p=p: np.dot(p, p) for p in parts])
        function = {"elementwise": np.multiply, "tanh": np.tanh, "exp": np.exp}[kind]
        inputs = 2 if kind == "elementwise" else 1
        return rate(400 * 32_768, [lambda p=p: repeat(lambda: function(*p[:inputs], out=p[2])) for p in pieces])

    return lambda i: {kind: max(measure(kind), measure(kind)) for kind in kinds}     # the first may find the cores asleep
