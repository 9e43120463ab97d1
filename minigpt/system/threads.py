"""Work on several cores: Python threads that each run NumPy with one BLAS thread.

NumPy lets other threads run while it is in BLAS or in an elementwise loop, so a batch split by rows over Python threads uses
the cores better than BLAS's own threads, which only help inside a matrix product.
"""

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from itertools import pairwise
from queue import Empty, SimpleQueue
from typing import Any

from .blas import blas_threads, with_blas_threads
from .forks import in_forked_children


def cpu_count() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerPool:
    """Threads that share out independent tasks.

        WorkerPool(2).run([task_a, task_b])  ->  [task_a(), task_b()]

    Where BLAS's thread count cannot be set the pool has one thread, since BLAS would start its own in each.
    Several threads may call run() at the same time.  Raises ValueError for fewer than one thread.
    """

    def __init__(self, threads: int | None = None) -> None:
        threads = cpu_count() if threads is None else threads
        if threads < 1:
            raise ValueError(f"threads: {threads}, expected at least 1; None takes all cores")
        self.threads = threads if blas_threads() is not None else 1
        self.renew()
        in_forked_children(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, also in another process, has threads of its own."""
        return WorkerPool, (self.threads,)

    def renew(self) -> None:
        """Begin without threads; they are started when first needed."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._starting = threading.Lock()

    def run(self, tasks: Sequence[Callable[[], Any]], whole: bool = False) -> list[Any]:
        """All results in the order of the tasks.  The first error is raised, once no task is running.

        Several tasks are run by the pool's threads alone, not by the caller's: Ctrl-C, which Python raises in the main thread,
        then never stops one of them halfway while others wait for it.
        whole: a single task, or a single thread's tasks, too: for what changes something, of which half must not be done.
        """
        if not whole and (len(tasks) == 1 or self.threads == 1):
            return with_blas_threads(self.threads, partial(copy_context().run, _in_turn, tasks))
        with self._starting:
            if not self._workers:
                weakref.finalize(self, _dismiss, self._jobs, self._workers)
            while len(self._workers) < self.threads:
                worker = threading.Thread(target=_work, args=(self._jobs,), name="minigpt", daemon=True)
                worker.start()
                self._workers.append(worker)        # only now: interrupted before, it is one too many, not one too few
        job = _Job(tasks, min(self.threads, len(tasks)))
        try:
            self._jobs.put(job)
            return job.results()
        except BaseException:
            job.cancelled = True            # as long as it has not begun; else no part of it may be missing
            while job.begun and len(job.ended) < job.hands:
                try:
                    job.signal.get(timeout=1)
                except (Empty, KeyboardInterrupt):
                    continue
            raise

    def run_ranges(self, function: Callable[[int, int], Any], size: int, whole: bool = False) -> list[Any]:
        """Cut 0 … size into as many equal ranges as there are threads -> [function(start, stop), …]; whole: as run()."""
        edges = [size * i // self.threads for i in range(self.threads + 1)]
        return self.run([partial(function, *edge) for edge in pairwise(edges)], whole)


def _in_turn(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    return [task() for task in tasks]


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    """What a worker does until it is dismissed"""
    while (job := jobs.get()) is not None:
        job.take_part(jobs)
        del job         # or what it refers to, perhaps the pool itself, would live until the next one comes


def _dismiss(jobs: "SimpleQueue[_Job | None]", workers: list[threading.Thread]) -> None:
    for _ in workers:
        jobs.put(None)


class _Job:
    """Tasks that several workers, its hands, take part in.

    The job is put into the queue once, by one operation that an interrupt cannot divide; each hand puts it there for the next.
    So either no task is run, or all are.
    """

    def __init__(self, tasks: Sequence[Callable[[], Any]], hands: int) -> None:
        # each in a copy of the caller's context, which holds what np.errstate() was set to
        self.waiting = deque(enumerate([(copy_context(), task) for task in tasks]))
        self.hands = hands
        self.taken = 0                      # hands so far; each is counted by the one that puts the job back
        self.done: dict[int, Any] = {}
        self.failed: dict[int, BaseException] = {}
        self.begun = self.cancelled = False
        self.ended: list[None] = []         # one for each hand
        self.signal: SimpleQueue[None] = SimpleQueue()

    def take_part(self, jobs: "SimpleQueue[_Job | None]") -> None:
        """Run tasks until none is waiting."""
        if not self.begun:
            self.begun = True               # subtle: first this, then the question; whoever cancels asks the other way round
            if self.cancelled:
                self.begun = False
                return
        self.taken += 1
        if self.taken < self.hands:
            jobs.put(self)
        with_blas_threads(1, self._run_tasks)
        self.ended.append(None)
        self.signal.put(None)

    def _run_tasks(self) -> None:
        while self.waiting:
            try:
                i, (context, task) = self.waiting.popleft()
            except IndexError:              # another hand was faster
                return
            try:
                self.done[i] = context.run(task)
            except BaseException as error:
                self.failed[i] = error

    def results(self) -> list[Any]:
        """Wait for all hands -> the results in the order of the tasks.  Raises the first error."""
        for _ in range(self.hands):
            self.signal.get()
        try:
            if self.failed:
                raise self.failed[min(self.failed)]
            return [self.done[i] for i in range(len(self.done))]
        finally:
            self.failed.clear()             # an error refers to its frames, which refer to this job: a cycle
