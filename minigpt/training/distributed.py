"""One model trained by several processes: what they tell each other, over MPI, and the same words for one process alone.

    mpiexec -n 4 python scripts/train_shakespeare.py

Each process, a rank, has a whole model and reads its rows of every batch.  The sum of the ranks' gradients is the gradient of
the whole batch, so after the same update all models are equal again.  MPI itself is not ours: mpi4py calls the library of
the system, or the one that `pip install mpi4py mpich` brings.
Message Passing Interface Forum 2021, MPI 4.0, §6 (collective operations), §6.12 (nonblocking ones).
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from hashlib import blake2b
from typing import Any, NoReturn, TypeVar, cast

import numpy as np

from ..models.network import Network
from ..system.threads import cpu_count
from .ending import NAP, ended_after, name_error, roll_call, status_of

Result = TypeVar("Result")

TIMEOUT = 300.0         # seconds that a rank waits for the others before it ends the job
_SPIN = 0.002           # seconds of asking again and again before sleeping in between
_LONG_NAP = 0.05        # seconds between two questions in a wait of minutes or hours

# What launchers tell their processes: Open MPI; MPICH and Intel MPI; Slurm's srun
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")


class DistributedError(Exception):
    """The ranks cannot go on together: one of them is gone, hangs, or has another model."""


class Alone:
    """One process: all there is to share stays where it is.

    What it has, Ranks has for several; whoever uses one of them asks for nothing else.
    """

    rank = 0        # the number of this process
    size = 1        # how many there are

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes files and speaks."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """The rows of a batch of `count` that this rank reads."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def total(self, *values: float) -> list[float]:
        """The sums of some numbers over all ranks, in float64."""
        return list(values)

    def of_leader(self, text: str) -> str:
        """The path that the leading rank has here, on all of them."""
        return text

    def first(self, work: Callable[[], Result]) -> Result:
        """The result of some work on files that all ranks need: the leading rank does it first, then the others."""
        return work()

    def block_done(self, model: Network, name: str) -> None:
        """Begin to add up the gradients of a block's matrices over all ranks: they travel while the backward pass goes on."""

    def finish_gradients(self, model: Network) -> None:
        """Add up all other gradients too, and wait until flat_grads holds the sums over all ranks."""

    def exchange(self, arrays: Sequence[np.ndarray]) -> None:
        """Send each rank's own arrays, those at rank, rank + size, … of the list, to all the others, in place."""

    def check_equal(self, array: np.ndarray, what: str) -> None:
        """Compare an array's bits between all ranks.  Raises DistributedError that names the ranks that differ from rank 0."""

    def wait(self) -> None:
        """Wait until all ranks are here."""

    def wait_for_files(self) -> None:
        """Wait until all ranks have read their files, however long that takes: a text may be larger than memory."""

    def threads(self) -> int | None:
        """How many threads this rank should use, its share of the machine's cores; None for all there are."""
        return None

    def check_threads(self, threads: int) -> str:
        """A warning where so many threads a rank are more than the machine has cores for, else ""."""
        return ""

    def end(self, error: BaseException) -> NoReturn:
        """Go down with an error, and take the other ranks along.  Raises it where there are none."""
        raise error


ALONE = Alone()


class Ranks(Alone):
    """The processes that mpiexec has started, by mpi4py's COMM_WORLD.

    timeout: seconds to wait for the others; then the job ends with a sentence that names those who did not come.
    Every call but rows() is one that all ranks make, in the same order.
    Raises DistributedError where mpi4py or an MPI library is missing.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        try:
            with ended_after(timeout) if launched() else nullcontext():     # the import waits for the other processes
                from mpi4py import MPI
        except (ImportError, RuntimeError) as error:        # RuntimeError: mpi4py finds no library
            raise DistributedError(
                f"mpi4py: {error}, expected it with an MPI library; pip install mpi4py mpich, and start with its mpiexec"
            ) from error
        self._mpi, self.timeout = MPI, timeout
        self._comm = MPI.COMM_WORLD
        self.rank, self.size = self._comm.rank, self._comm.size
        if self.size == 1 and launched():
            raise DistributedError("mpi4py: a library of another MPI than the launcher's, so each process is alone; "
                                   "use the mpiexec beside this Python")
        self.waited = 0.0       # seconds in which this rank did nothing but wait for the others, so far
        self._sums: list[Any] = []          # requests
        self._begun: list[slice] = []       # the parts of flat_grads that they add up
        self._lock = threading.Lock()       # sums are begun and pushed by worker threads
        if self.size > 1:
            self._end_with_others(sys.excepthook)

    def _end_with_others(self, hook: Callable[[Any, Any, Any], Any]) -> None:
        """Have an exception that nobody catches end the job: else Python would wait for the others to end as well."""

        def end(kind: Any, error: Any, trace: Any) -> None:
            hook(kind, error, trace)
            self.end(error)

        sys.excepthook = end

    def total(self, *values: float) -> list[float]:
        sums = np.array(values, np.float64)
        self._await(self._comm.Iallreduce(self._mpi.IN_PLACE, sums), "a sum")
        return sums.tolist()

    def of_leader(self, text: str) -> str:
        data = np.frombuffer(os.fsencode(text), np.uint8).copy()
        size = np.array([data.size])
        self._await(self._comm.Ibcast(size, 0), "the leader's word")
        data = data if self.leads else np.empty(int(size[0]), np.uint8)
        self._await(self._comm.Ibcast(data, 0), "the leader's word")
        return os.fsdecode(data.tobytes())

    def first(self, work: Callable[[], Result]) -> Result:
        result = work() if self.leads else None
        self.wait_for_files()
        result = result if self.leads else work()
        self.wait_for_files()
        return cast(Result, result)

    def block_done(self, model: Network, name: str) -> None:
        with self._lock:
            for part in _ranges(model, name):
                self._begun.append(part)
                self._sums.append(self._comm.Iallreduce(self._mpi.IN_PLACE, model.flat_grads[part]))
            self._mpi.Request.Testall(self._sums)       # nothing moves outside of MPI's calls

    def finish_gradients(self, model: Network) -> None:
        start = 0
        for part in sorted([*self._begun, slice(model.flat_grads.size, None)], key=lambda part: part.start):
            if start < part.start:
                self._sums.append(self._comm.Iallreduce(self._mpi.IN_PLACE, model.flat_grads[start : part.start]))
            start = part.stop
        for request in self._sums:
            self._await(request, "the gradient")
        self._sums, self._begun = [], []

    def exchange(self, arrays: Sequence[np.ndarray]) -> None:
        parts = [arrays[rank :: self.size] for rank in range(self.size)]
        counts = [sum(array.size for array in part) for part in parts]
        starts = [sum(counts[:rank]) for rank in range(self.size)]
        whole = np.empty(sum(counts), arrays[0].dtype)
        own = whole[starts[self.rank] : starts[self.rank] + counts[self.rank]]
        np.concatenate([array.reshape(-1) for array in parts[self.rank]] or [own[:0]], out=own)
        request = self._comm.Iallgatherv(self._mpi.IN_PLACE, (whole, (counts, starts)))
        self._await(request, "the other ranks' matrices")
        for rank, part in enumerate(parts):
            at = starts[rank]
            for array in part if rank != self.rank else ():
                array[...] = whole[at : at + array.size].reshape(array.shape)
                at += array.size

    def check_equal(self, array: np.ndarray, what: str) -> None:
        digest = np.frombuffer(blake2b(np.ascontiguousarray(array).data, digest_size=16).digest(), np.uint8)
        digests = np.empty((self.size, 16), np.uint8)
        self._await(self._comm.Iallgather(digest, digests), "the ranks' digests")
        if other := [rank for rank in range(self.size) if not np.array_equal(digests[rank], digests[0])]:
            names = ", ".join(map(str, other))
            raise DistributedError(f"{what}: rank {names} has other bits than rank 0, expected the same; go on from the last "
                                   "checkpoint, with the same software on all machines")

    def wait(self) -> None:
        self._await(self._comm.Ibarrier(), "all ranks")

    def wait_for_files(self) -> None:
        self._await(self._comm.Ibarrier(), "another rank to read its files", patiently=True)

    def threads(self) -> int:
        return max(1, len(self._cores()) // self._sharers())

    def check_threads(self, threads: int) -> str:
        cores, sharers = len(self._cores()), self._sharers()
        if threads * sharers <= cores:
            return ""
        each = f"{threads} thread{'s' * (threads > 1)}"
        way = "leave out --threads or start fewer processes" if sharers <= cores else "start fewer processes"
        return (f"{sharers} processes with {each} each share {cores} core{'s' * (cores > 1)}, on which they wait for each "
                f"other; {way}")

    def _cores(self) -> frozenset[int]:
        return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset(range(cpu_count()))

    def _sharers(self) -> int:
        """How many ranks use the cores of this one: all on its machine, unless the launcher gives each its own."""
        self.wait()             # the calls below wait for ever
        node = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        cores = self._cores()
        sharers = node.allgather(cores).count(cores)
        node.Free()
        return int(sharers)

    def end(self, error: BaseException) -> NoReturn:
        """Say which rank failed and how, and end the whole job: the others would wait for this one for ever."""
        status = status_of(error)
        try:
            name_error(self._comm, error)
        finally:
            self._comm.Abort(status)
            os._exit(status)        # some libraries come back from there

    def _await(self, request: Any, what: str, patiently: bool = False) -> None:
        """Wait for a request, but not for ever; patiently: as long as it takes, and say so."""
        start, limit, nap = time.monotonic(), self.timeout, NAP
        while not request.Test():
            waited = time.monotonic() - start
            if waited > limit and not patiently:
                where = roll_call(self._comm, self._mpi.Status())
                self.end(DistributedError(f"waited {waited:.0f} s for {what}; {where}"))
            if waited > limit:
                limit, nap = math.inf, _LONG_NAP
                if self.rank < 2:           # one that waits, whichever does not
                    print(f"rank {self.rank}: waiting for {what}", file=sys.stderr, flush=True)
            time.sleep(0 if waited < _SPIN else nap)
        self.waited += time.monotonic() - start


def _ranges(model: Network, block: str) -> Iterator[slice]:
    """The parts of the flat buffers where a block's matrices lie: one, since they follow each other."""
    start = end = 0
    for name, shape, _ in model.table:
        size = math.prod(shape)
        if name.startswith(f"{block}.") and len(shape) == 2:
            end = end if end else start
            end += size
        elif end:
            break
        if not end:
            start += size
    if start < end:
        yield slice(start, end)


def launched() -> bool:
    """Whether a launcher of MPI has started this process as one of several."""
    return any(os.environ.get(name, "1") != "1" for name in _SIZES)


def starts_first() -> bool:
    """Whether this process is alone or, by its launcher's word, the first: the one that speaks before MPI has started."""
    return not launched() or all(os.environ.get(name, "0") == "0" for name in _RANKS)


def ranks(mpi: bool | None = None, timeout: float = TIMEOUT) -> Alone:
    """The processes to train with: those that a launcher has started, or this one alone.

    mpi: True asks for MPI without a launcher too, False does without; None looks at the launcher.  mpi4py is imported only
    then.  Raises DistributedError where it is missing.
    """
    if not timeout > 0:
        raise ValueError(f"timeout: {timeout}, expected seconds above 0")
    return Ranks(timeout) if (launched() if mpi is None else mpi) else ALONE
