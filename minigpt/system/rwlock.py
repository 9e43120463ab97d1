"""A readers–writer lock: what is only read may be read by several threads, what is changed is changed by one alone."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import TypeVar

from .forks import in_forked_children
from .waiting import Line, Ticket

Result = TypeVar("Result")


class ReadWriteLock:
    """Run functions that read something at the same time, and one that changes it alone.

        lock.read(function)         beside other readers, while nobody changes anything
        lock.write(function)        alone

    Both return what the function returns.  First come, first served: a writer waits for all who came before it, a reader for
    the writers among them.  Whoever is inside may read again, and a writer write again.  Where a function ends by Ctrl-C the
    lock is free.
    """

    def __init__(self) -> None:
        self.renew()
        in_forked_children(self)

    def renew(self) -> None:
        """In a new process nobody is inside or waits: the threads that did are not there."""
        self._line = Line()
        self._callers: dict[Ticket, _Caller] = {}       # inside or waiting, in the order they came

    def read(self, function: Callable[[], Result]) -> Result:
        """Return function(), run while nobody writes."""
        return self._line.call(partial(self._admit, False), lambda _: function())

    def write(self, function: Callable[[], Result]) -> Result:
        """Return function(), run while nobody else reads or writes.

        Raises RuntimeError inside a function that only reads, which would wait for itself.
        """
        return self._line.call(partial(self._admit, True), lambda _: function())

    def _admit(self, writes: bool, ticket: Ticket, ahead: int) -> "_Caller | None":
        self._callers = {other: caller for other, caller in self._callers.items() if other.locked()}
        me = threading.get_ident()
        mine = [caller for caller in self._callers.values() if caller.thread == me and caller.inside]
        if writes and mine and not any(caller.writes for caller in mine):
            raise RuntimeError("write: called by a function that reads the same model, expected to be called after it has "
                               "returned; collect there what you need, and train afterwards")
        caller = self._callers.setdefault(ticket, _Caller(writes, me))
        before = takewhile(lambda other: other is not caller, self._callers.values())
        caller.inside = bool(mine) or not any(writes or other.writes for other in before)
        return caller if caller.inside else None


@dataclass(eq=False)
class _Caller:
    writes: bool
    thread: int
    inside: bool = False
