"""Waiting for one's turn, first come, first served, in a way that an interrupt at any point leaves nobody waiting for ever."""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

Result = TypeVar("Result")
Admitted = TypeVar("Admitted")
Ticket = threading.Lock         # what a caller holds from the moment it comes until it leaves


class Line:
    """Callers who wait until they are admitted to something.

        line.call(admit, function)      function(x) as soon as admit(ticket, ahead) has given an x other than None

    `ahead` is how many wait in front.  A ticket is held, as a lock, while its caller waits and while its function runs;
    what admit() keeps of it says whether it is still held: one that is free belongs to a caller who has gone.
    """

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._bells: dict[Ticket, SimpleQueue[None]] = {}

    def call(self, admit: Callable[[Ticket, int], Admitted | None], function: Callable[[Admitted], Result]) -> Result:
        """Wait to be admitted and return function(what admit gave); admit is never called by two threads at a time."""
        ticket = threading.Lock()
        try:
            with ticket:        # subtle: a `with` of a lock written in C is what no interrupt leaves held
                return function(self._wait(ticket, admit))
        finally:
            with self._looking:
                for bell in self._bells.values():
                    bell.put(None)

    def _wait(self, ticket: Ticket, admit: Callable[[Ticket, int], Admitted | None]) -> Admitted:
        while True:
            with self._looking:
                self._bells = {other: bell for other, bell in self._bells.items() if other.locked()}
                waiting = list(self._bells)
                admitted = admit(ticket, waiting.index(ticket) if ticket in self._bells else len(waiting))
                if admitted is not None:
                    self._bells.pop(ticket, None)
                    return admitted
                bell = self._bells.setdefault(ticket, SimpleQueue())
            with suppress(Empty):
                bell.get(timeout=1)     # a look from time to time, should an interrupt have kept somebody from ringing
