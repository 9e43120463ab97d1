"""What a long computation writes for those who watch it: whatever becomes of a terminal or a pipe, the computation goes on."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TextIO


class Tolerant:
    """A text stream to which everything can be written.

    What a closed, full or absent one (None) does not take is dropped; characters that its encoding lacks appear as \\u escapes.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what can be written -> the length of the text, as of any stream."""
        if self._stream is not None:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            with suppress(OSError, ValueError):         # ValueError: it is closed
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether somebody watches at a terminal."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False


def say(text: str, stream: TextIO | None, bar: Any = None) -> None:
    """Write a line and flush; above a progress bar, where there is one."""
    tolerant = Tolerant(stream)
    if bar is not None:
        bar.clear()
    tolerant.write(f"{text}\n")
    tolerant.flush()
    if bar is not None:
        bar.refresh()
