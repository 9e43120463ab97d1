"""What the commands that train share where mpiexec has started several of them: two flags, and one frame around the work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import redirect_stdout

from ..system.signals import end_signals, stop_signals
from ..training.distributed import TIMEOUT, Alone, ranks


def add_mpi(parser: argparse._ActionsContainer) -> None:
    """Add the flags --mpi and --mpi-timeout."""
    parser.add_argument("--mpi", action="store_true", default=None, help="train on all the processes that mpiexec has started "
                        "(default: where a launcher is recognized)")
    parser.add_argument("--mpi-timeout", type=_seconds, default=TIMEOUT, metavar="S", help="seconds to wait for the other "
                        "processes before all end")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r}, expected seconds above 0")
    return value


def on_processes(work: Callable[[Alone], int], mpi: bool | None, timeout: float) -> int:
    """Do a command's work on all processes, of which the leading one prints -> its status.

    An error or a signal at one of them ends all, at any moment; Trainer.run() takes signals otherwise while it trains.
    """
    with stop_signals() as noted:               # MPI's start cannot be left half way
        group = ranks(mpi, timeout)
        try:
            with end_signals(noted), redirect_stdout(sys.stdout if group.leads else None):      # None: it goes nowhere
                status = work(group)
                group.wait()                    # a process that has left would notice no signal
                return status
        except BaseException as error:
            group.end(error)


def threads_of(group: Alone, threads: int | None) -> int | None:
    """How many threads each process uses, with --threads or without; says so where they are more than there are cores."""
    threads = group.threads() if threads is None else threads
    if threads is not None and (warning := group.check_threads(threads)):
        print(f"warning: {warning}")
    return threads
