"""Which exercises are done: remembered as empty files in the folder of cached files, one for each.

There is no file that two processes write or that can be damaged.  Where nothing can be written nothing is remembered, and
nothing else is different.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ...system.files import open_no_link
from ...weights.cache import cache_folder


def done() -> set[str]:
    """The names of what was remembered and not forgotten."""
    with suppress(OSError, ValueError):
        return {path.name for path in _folder().iterdir()}
    return set()


def remember(name: str) -> None:
    """Note that something of this name, letters, digits and hyphens, is done."""
    with suppress(OSError, ValueError):
        _folder().mkdir(parents=True, exist_ok=True)
        os.close(open_no_link(_folder() / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def forget(name: str) -> None:
    """Take the note back, if there is one."""
    with suppress(OSError, ValueError):
        (_folder() / name).unlink(missing_ok=True)


def _folder() -> Path:
    return cache_folder() / "exercises"
