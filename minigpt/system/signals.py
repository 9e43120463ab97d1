"""Ctrl-C and SIGTERM as notes or exceptions, so that a long computation ends where it can go on from."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

# SIGUSR1 is what a job scheduler sends before the time is up, and what every mpiexec passes on and waits for
STOPPING = (signal.SIGTERM, signal.SIGINT, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))


def stop_signals() -> AbstractContextManager[list[int]]:
    """Inside, Ctrl-C, SIGTERM and SIGUSR1 are noted in the list this gives; a second one ends what is being done at once."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            _raise(number)
        noted.append(number)

    return _handled(note, noted)


@contextmanager
def end_signals(noted: Sequence[int] = ()) -> Iterator[None]:
    """Inside, the first of these signals ends what is being done at once, by KeyboardInterrupt or SystemExit(128 + number).

    noted: what stop_signals() gave around this; a signal that came before is raised here.
    """
    with _handled(lambda number, frame: _raise(number), []):
        if noted:
            _raise(noted[0])
        yield


def _raise(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], noted: list[int]) -> Iterator[list[int]]:
    """Have these signals call a handler, inside."""
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, other in before.items():
            signal.signal(number, other)

    try:
        try:
            for number in STOPPING:
                # only the main thread may; and a handler that is not Python's, None, could not be restored
                if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is not None:
                    before[number] = signal.getsignal(number)
                    signal.signal(number, handler)
            yield noted
        finally:
            restore()
    except BaseException:
        restore()       # subtle: an interrupt may have come when the line above was about to begin
        raise
