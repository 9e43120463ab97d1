"""Progress bars that an interrupt, another thread or a fork cannot stop for ever."""

import threading
from typing import Any, ClassVar
from weakref import WeakSet

from tqdm import tqdm

from .forks import in_forked_children


class Bar(tqdm):
    """tqdm with a lock of its own, which no interrupt leaves held, and without the thread that watches over slow bars.

    tqdm's lock is shared by all threads and forked children, and stays held where Ctrl-C comes while a bar is drawn.
    """

    monitor_interval = 0
    start_t = last_print_t = 0.0        # older versions of tqdm miss them when a bar ends that was interrupted as it began
    _instances: ClassVar[Any] = WeakSet()
    _lock = threading.RLock()

    @classmethod
    def renew(cls) -> None:
        """In a new process nobody draws."""
        cls._lock = threading.RLock()

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> None:
        """Draw the bar again."""
        with self._lock:
            super().refresh(nolock=True)

    def clear(self, nolock: bool = False) -> None:
        """Take the bar off the screen."""
        with self._lock:
            super().clear(nolock=True)


in_forked_children(Bar)
