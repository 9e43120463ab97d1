"""What a forked process cannot take over from its parent: threads, which are not there, and locks that they held."""

import os
import weakref
from typing import Any

_to_renew: "weakref.WeakSet[Any]" = weakref.WeakSet()


def in_forked_children(thing: Any) -> None:
    """Have thing.renew() called first of all in every process that is forked from this one, as long as `thing` lives."""
    _to_renew.add(thing)


def _renew_all() -> None:
    for thing in list(_to_renew):
        thing.renew()


if hasattr(os, "register_at_fork"):         # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_renew_all)
