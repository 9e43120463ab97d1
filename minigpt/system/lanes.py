"""Room for a limited number of callers at the same time, each with something of its own to work in."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .forks import in_forked_children
from .waiting import Line, Ticket

Room = TypeVar("Room")
Result = TypeVar("Result")


class Lanes(Generic[Room]):
    """Things that one caller at a time may use: a first one, and others made by new() when they are needed.

        lanes = Lanes(first, new, most=2)
        lanes.use(function)         function(thing), with one that nobody else has meanwhile; a third caller waits

    First come, first served.  Where the function ends by Ctrl-C its thing is free again.
    """

    def __init__(self, first: Room, new: Callable[[], Room], most: int):
        self._new, self._most = new, most
        self._lanes = [_Lane(first, threading.Lock())]
        self.renew()
        in_forked_children(self)

    def renew(self) -> None:
        """In a new process nobody uses any: the threads that did are not there."""
        self._line = Line()
        for lane in self._lanes:
            lane.holder = threading.Lock()

    def __len__(self) -> int:
        return len(self._lanes)

    def use(self, function: Callable[[Room], Result]) -> Result:
        """Return function(thing) with a thing that is free, or becomes free."""
        return self._line.call(self._admit, lambda lane: function(lane.room))

    def _admit(self, ticket: Ticket, ahead: int) -> "_Lane[Room] | None":
        free = [lane for lane in self._lanes if not lane.holder.locked()]
        if ahead >= len(free) + self._most - len(self._lanes):
            return None
        if not free:
            free = [_Lane(self._new(), ticket)]
            self._lanes += free
        free[0].holder = ticket
        return free[0]


@dataclass
class _Lane(Generic[Room]):
    """One of the things, in use as long as its holder's ticket is held"""

    room: Room
    holder: Ticket
