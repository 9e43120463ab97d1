"""Work on several cores in Python itself, which threads cannot share: jobs for helper processes and for this one.

A helper is a new Python that imports one module and nothing of the user's: in a notebook, a script without a main guard and
a program with threads alike.  It ends with the pipe from its parent, however that ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any

Work = Callable[[bytes], bytes]

_AHEAD = 2              # jobs for each process that are done or under way before their results are asked for
_LOOK = 1.0             # seconds after which the waiting thread looks up: on Windows nothing else lets Ctrl-C through
_CODE = """import sys
sys.path[:] = {path!r}
from minigpt.system.processes import serve
serve({module!r}, {name!r})
"""


def in_order(
    make_work: Callable[[bytes], Work], setup: bytes, jobs: Iterable[bytes], processes: int, here: Work | None = None
) -> Iterator[bytes]:
    """Yield make_work(setup)(job) for all jobs in their order, done by so many processes, this one among them.

    make_work: a function of a module of minigpt.  A helper makes its own work of `setup`; one that cannot be started, or fails
    at a job, leaves the job to this process, which raises the error if there is one.  here: the work of this process, where
    that is made already.  Few jobs are ahead of what was asked for, so memory does not grow with their number.
    """
    if processes <= 1:
        yield from map(here or make_work(setup), jobs)
        return
    team = _Team(jobs, _AHEAD * processes)
    try:
        for _ in range(processes - 1):
            team.start(make_work, setup)
        work = here or make_work(setup)
        while True:
            if (result := team.next_result()) is not None:
                yield result
            elif (task := team.take(here=True)) is not None:
                team.put(task[0], work(task[1]))
            elif team.finished():
                return
            else:
                team.wait()
    finally:
        team.end()


class _Team:
    """The jobs under way, and the helpers, each with a thread that hands it jobs."""

    def __init__(self, jobs: Iterable[bytes], ahead: int) -> None:
        self._jobs, self._ahead = iter(jobs), ahead
        self._changed = threading.Condition()
        self._taken = self._given = 0                       # jobs taken, results given on
        self._left: list[tuple[int, bytes]] = []            # jobs of helpers that failed
        self._results: dict[int, bytes] = {}
        self._all_taken = self._ended = False
        self._error: BaseException | None = None            # of what makes the jobs
        self._helpers: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self._owner = os.getpid()

    def start(self, make_work: Callable[[bytes], Work], setup: bytes) -> None:
        code = _CODE.format(path=sys.path, module=make_work.__module__, name=make_work.__name__)
        one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        own_group: dict[str, Any] = {"start_new_session": True}         # Ctrl-C in the terminal is for the parent
        if sys.platform == "win32":
            own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        with suppress(OSError, ValueError):                 # without a Python to start, this process does all the work
            helper = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      env={**os.environ, **one_thread}, **own_group)
            self._helpers.append(helper)
            thread = threading.Thread(target=self._serve, args=(helper, setup), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, helper: subprocess.Popen[bytes], setup: bytes) -> None:
        assert helper.stdin is not None and helper.stdout is not None
        task = None
        try:
            write_frame(helper.stdin, setup)
            while (task := self.take(here=False)) is not None:
                write_frame(helper.stdin, task[1])
                self.put(task[0], read_frame(helper.stdout))
                task = None
        except (OSError, EOFError, ValueError):             # ValueError: end() has closed the pipe
            pass
        finally:
            with self._changed:
                if task is not None:
                    self._left.append(task)
                self._changed.notify_all()

    def take(self, here: bool) -> tuple[int, bytes] | None:
        """The next job with its number; None where there is none: for this process at the moment, for a helper for ever."""
        with self._changed:
            while not (self._ended or self._all_taken):
                if here and self._left:
                    return self._left.pop()
                if self._taken - self._given < self._ahead:
                    if (job := self._next_job()) is not None:
                        self._taken += 1
                        return self._taken - 1, job
                elif here:
                    return None
                else:
                    self._changed.wait()
            if here and self._error is not None:
                raise self._error
            return self._left.pop() if here and self._left else None

    def _next_job(self) -> bytes | None:
        try:
            job = next(self._jobs, None)
        except BaseException as error:                      # perhaps in a helper's thread: this process raises it
            job, self._error = None, error
        if job is None:
            self._all_taken = True
            self._changed.notify_all()
        return job

    def put(self, number: int, result: bytes) -> None:
        with self._changed:
            self._results[number] = result
            self._changed.notify_all()

    def next_result(self) -> bytes | None:
        with self._changed:
            result = self._results.pop(self._given, None)
            if result is not None:
                self._given += 1
                self._changed.notify_all()
            return result

    def finished(self) -> bool:
        with self._changed:
            return self._all_taken and self._given == self._taken

    def wait(self) -> None:
        with self._changed:
            if self._given not in self._results and not self._left:
                self._changed.wait(_LOOK)

    def end(self) -> None:
        """End the helpers and the threads.  A process that was forked meanwhile has neither."""
        if os.getpid() != self._owner:
            return
        self._ended = True
        for helper in self._helpers:
            helper.kill()
        for helper in self._helpers:
            helper.wait()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for helper in self._helpers:
            for pipe in (helper.stdin, helper.stdout):
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()


def serve(module: str, name: str) -> None:
    """Be a helper: do the jobs that come, until no more come."""
    from importlib import import_module

    jobs, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)               # whatever is printed goes to stderr
    with suppress(Exception, KeyboardInterrupt):         # the parent does the job again, and has the error for itself
        work = getattr(import_module(module), name)(read_frame(jobs))
        while True:
            write_frame(results, work(read_frame(jobs)))


def write_frame(pipe: IO[bytes], data: bytes) -> None:
    """Write bytes with their number before them."""
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes:
    """Read what write_frame() has written.  Raises EOFError where the other end is closed."""
    head = pipe.read(8)
    data = pipe.read(int.from_bytes(head, "little")) if len(head) == 8 else b""
    if len(head) < 8 or len(data) < int.from_bytes(head, "little"):
        raise EOFError("the pipe ended")
    return data
