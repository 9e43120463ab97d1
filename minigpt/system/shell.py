"""Commands to be copied from a message into a shell."""

import os
import shlex
import subprocess
import sys


def quoted(word: str | os.PathLike[str]) -> str:
    """Return a word such as a path as a shell here reads it: unchanged where it has nothing special, else in quotes."""
    word = os.fspath(word)
    return subprocess.list2cmdline([word]) if os.name == "nt" else shlex.quote(word)


def python() -> str:
    """How to call this Python from here."""
    try:
        path = os.path.relpath(sys.executable)
    except ValueError:                              # on another drive of Windows, or no path at all
        path = sys.executable or "python"
    return quoted(path)
