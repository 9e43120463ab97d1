"""Ctrl-C and SIGTERM as notes, so that a long computation ends where it can go on from."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# SIGUSR1 is what a job scheduler sends before the time is up, and what every mpiexec passes on and waits for
STOPPING = (signal.SIGTERM, signal.SIGINT, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Inside, Ctrl-C, SIGTERM and SIGUSR1 are noted in the list this gives; a second one ends what is being done at once."""
    noted: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        noted.append(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        try:
            for number in STOPPING:
                # only the main thread may; and a handler that is not Python's, None, could not be restored
                if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is not None:
                    before[number] = signal.getsignal(number)
                    signal.signal(number, note)
            yield noted
        finally:
            restore()
    except BaseException:
        restore()       # subtle: an interrupt may have come when the line above was about to begin
        raise
