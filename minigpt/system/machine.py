"""The machine: its processor, its memory, the BLAS that NumPy found on it, and how fast that multiplies matrices."""

import contextlib
import ctypes
import os
import platform
import time
from functools import partial
from pathlib import Path

import numpy as np

from .blas import openblas_functions
from .threads import WorkerPool

# Where Linux says how much memory a container may use, in its newer way and its older one
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def processor() -> str:
    """Return the processor's name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> int | None:
    """Bytes of memory, or of the share that a container has of it; None where the system does not say, as on Windows."""
    if not hasattr(os, "sysconf"):
        return None
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):          # no such file, or the word "max"
            sizes.append(int(Path(path).read_text(encoding="utf-8")))
    return min(sizes)


def blas() -> str:
    """Name NumPy's BLAS with its version and, of OpenBLAS, the kernel that it chose for this processor."""
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    name = f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()
    if functions := openblas_functions("get_corename"):
        functions[0].restype = ctypes.c_char_p
        name += f", kernel {functions[0]().decode()}"
    return name


def matmul_flops(pool: WorkerPool, n: int = 1024, repeats: int = 8) -> float:
    """Floating-point operations a second of products of float32 matrices (n, n), all of a pool's threads together."""
    rng = np.random.default_rng(0)
    matrices = [[rng.standard_normal((n, n), np.float32) for _ in range(3)] for _ in range(pool.threads)]

    def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        for _ in range(repeats):
            np.dot(a, b, out=out)

    def measure() -> float:
        start = time.perf_counter()
        pool.run([partial(multiply, *m) for m in matrices])
        return repeats * 2 * n**3 * pool.threads / (time.perf_counter() - start)

    return max(measure(), measure())        # the first may find the cores asleep
