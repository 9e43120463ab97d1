"""How a job of several processes ends where one cannot go on: with one sentence, with a status that is not 0, and all of it.

What the processes tell each other while all goes well stands in distributed.py.  Here `comm` is mpi4py's COMM_WORLD.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import numpy as np

from ..system.text import for_terminal

NAP = 0.0002            # seconds between two questions whether something has come
_GRACE = 5.0            # seconds for the others' word on where they are
_FOR_LEADER = 2.0       # seconds in which the leading rank may fail by the same error, which then only that one names
_LAST_WORDS = 0.3       # seconds for the launcher to read what was printed: with the job it drops what it has not read
_LONGEST = 1e6          # seconds that a timer takes

_ROLL_CALL = 77         # tag of the message by which a rank says that it waits too
_FAILED = 78            # and of that by which the leading rank says what it has failed by


def status_of(error: BaseException) -> int:
    """The status of a process that an error has ended, never 0: of a job that lost a rank nothing is finished."""
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    code = error.code if isinstance(error, SystemExit) else 1
    return code % 256 or 1 if isinstance(code, int) else 1


def cause_of(error: BaseException) -> str:
    """What an error says, or which signal has come."""
    number = status_of(error) - 128
    if isinstance(error, (KeyboardInterrupt, SystemExit)) and number in set(signal.Signals):
        return f"stopped by {signal.Signals(number).name}"
    return f"{type(error).__name__}: {error}"


def name_error(comm: Any, error: BaseException) -> None:
    """Print what ends this rank, unless the leading rank ends by the same and has named it."""
    said = cause_of(error)
    digest = np.frombuffer(blake2b(said.encode("utf-8", "replace"), digest_size=16).digest(), np.uint8)
    if comm.rank and _told_by_leader(comm, digest):
        time.sleep(_GRACE)                      # for it to end the job: others that do, too, make the launcher say so for each
        return
    print(for_terminal(f"rank {comm.rank}: {said}"), file=sys.stderr, flush=True)
    sent = [comm.Isend(digest, rank, _FAILED) for rank in range(1, comm.size)] if comm.rank == 0 else []
    end = time.monotonic() + _LAST_WORDS
    while time.monotonic() < end:
        for request in sent:
            request.Test()                      # nothing moves outside of MPI's calls
        time.sleep(NAP)


def _told_by_leader(comm: Any, digest: np.ndarray) -> bool:
    """Whether the leading rank fails by the same error, now."""
    end = time.monotonic() + _FOR_LEADER
    while not comm.Iprobe(0, _FAILED):
        if time.monotonic() > end:
            return False
        time.sleep(NAP)
    told = np.empty_like(digest)
    comm.Recv(told, 0, _FAILED)
    return bool(np.array_equal(told, digest))


def roll_call(comm: Any, status: Any) -> str:
    """Ask who else waits, and say who does not.  status: an MPI.Status."""
    here = np.empty(0, np.uint8)
    sent = [comm.Isend(here, rank, _ROLL_CALL) for rank in range(comm.size) if rank != comm.rank]
    missing = set(range(comm.size)) - {comm.rank}
    end = time.monotonic() + _GRACE
    while missing and time.monotonic() < end:
        if comm.Iprobe(tag=_ROLL_CALL, status=status):
            comm.Recv(here, status.source, _ROLL_CALL)
            missing.discard(status.source)
        time.sleep(NAP)
    for request in sent:
        request.Test()
    names = ", ".join(f"rank {rank}" for rank in sorted(missing))
    return f"{names} did not come" if names else "all ranks are here, but not at the same place"


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Inside, the process ends with status 1 when the time is over, whatever it does, after its stack has been printed.

    For MPI's own start, which never returns where a process of the job has ended before its own.
    """
    faulthandler.dump_traceback_later(min(seconds, _LONGEST), exit=True, file=2)     # by a thread that needs no Python to run
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
