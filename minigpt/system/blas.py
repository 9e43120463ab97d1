"""How many threads the BLAS inside NumPy uses: one number for the whole process, which several threads may want to change."""

import ctypes
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .forks import in_forked_children

Result = TypeVar("Result")


def openblas_functions(*names: str) -> list[Any] | None:
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
def _openblas() -> list[Any] | None:
    """(get, set) of OpenBLAS's thread count; None where NumPy was built otherwise."""
    return openblas_functions("get_num_threads", "set_num_threads")


def blas_threads() -> int | None:
    """How many threads BLAS uses now; None where that is not known."""
    blas = _openblas()
    return None if blas is None else blas[0]()


class _Wishes:
    """Who wants how many BLAS threads at the moment, by Python thread.  BLAS has the smallest of these numbers."""

    def __init__(self) -> None:
        self.by_thread: dict[int, int] = {}
        self.before: int | None = None      # what BLAS had when nobody wanted anything
        self.renew()
        in_forked_children(self)

    def renew(self) -> None:
        """In a new process only this thread is left, and it is not inside with_blas_threads()."""
        self.lock = threading.RLock()       # reentrant, since a signal's handler may call a model
        if self.by_thread:
            self.by_thread = {}
            self.set(self.before)

    def change(self, thread: int, n: int | None) -> None:
        """Note that a thread wants n BLAS threads, or None: it does not care.

        May be called again where an interrupt has divided it: what is noted changes last.
        """
        with self.lock:
            wishes = self.by_thread.copy()
            if n is None:
                wishes.pop(thread, None)
            else:
                wishes[thread] = n
                if not self.by_thread:
                    self.before = blas_threads()
            self.set(min(wishes.values(), default=self.before))
            self.by_thread = wishes

    def set(self, n: int | None) -> None:
        if (blas := _openblas()) is not None and n is not None and blas[0]() != n:
            blas[1](ctypes.c_int(n))


_wishes = _Wishes()


def with_blas_threads(n: int, task: Callable[[], Result]) -> Result:
    """Return task(), during which BLAS uses n threads; afterwards, however it ends, as many as before.

    Where several Python threads want different numbers at the same time, all get the smallest.
    """
    if _openblas() is None:
        return task()
    me = threading.get_ident()
    earlier = _wishes.by_thread.get(me)
    try:
        try:
            _wishes.change(me, n)
            return task()
        finally:
            _wishes.change(me, earlier)
    except BaseException:
        _wishes.change(me, earlier)     # subtle: an interrupt may have come when the line above was about to begin
        raise
