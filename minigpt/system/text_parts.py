r"""Parts of text files that are too long to be in memory: from one place where a text can be cut to the next.

What reads a whole file as people meant it is text_files.py; a part of one is read so as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from .text_files import not_utf8

PART = 1 << 20          # bytes, about: from each multiple to the first cut after it
_WINDOW = 1 << 14       # bytes in which a cut is looked for first
_BOM = "\ufeff"


class Cutter(Protocol):
    """Knows where a text can be cut: margin characters around a place decide."""

    @property
    def margin(self) -> int:
        """The number of these characters."""
        ...

    def find(self, text: str, start: int) -> int | None:
        """Return the first cut after `start` that is inside the text, None where there is none."""
        ...


class Part(NamedTuple):
    r"""A text, and what of its bytes was read otherwise: byte order marks, line ends \r\n, line ends \r."""

    text: str
    marks: int
    pairs: int
    returns: int


def read_parts(
    path: str | os.PathLike[str], start: int, stop: int, cutter: Cutter, keep_bytes: bool, part: int = PART
) -> Iterator[Part]:
    """Yield the text between the first cuts after two bytes of a file, in parts; whoever reads on from `stop` has the rest.

    start, stop: any bytes of the file, 0 and its size or more for all of it.  part: bytes of a part, about.
    Raises ValueError, which names the encoding where it can be guessed, for a text that is not UTF-8.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        end = _cut_after(file, start, size, cutter)
        for place in range(start + part, stop + part, part):
            begin, end = end, _cut_after(file, min(place, stop), size, cutter)
            if begin < end:
                yield _read(file, begin, end, size, keep_bytes)


def _read(file: BinaryIO, begin: int, end: int, size: int, keep_bytes: bool) -> Part:
    file.seek(begin)
    data = file.read(end - begin)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(Path(file.name), data, error, begin, size) from error
    if keep_bytes:
        return Part(text, 0, 0, 0)
    mark = begin == 0 and text.startswith(_BOM)
    pairs = text.count("\r\n")
    text = text[mark:].replace("\r\n", "\n")
    returns = text.count("\r")
    return Part(text.replace("\r", "\n"), int(mark), pairs, returns)


def _cut_after(file: BinaryIO, place: int, size: int, cutter: Cutter) -> int:
    """Return the byte of the first cut after a place; the file's start and end are cuts too."""
    if place <= 0 or place >= size:
        return min(max(place, 0), size)
    window = _WINDOW
    while True:
        file.seek(place)
        data = file.read(window)
        ended = place + len(data) >= size
        torn = len(data) if len(data) < 4 else 0        # at the file's end there may be no next character
        skipped = next((i for i, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), torn)
        text = data[skipped:].decode("utf-8", "surrogateescape")    # what is no UTF-8 is refused when the part is read
        cut = cutter.find(text, min(cutter.margin, len(text)))
        whole = len(text) if ended else len(text) - cutter.margin - 3       # at the window's end a character may be torn
        if cut is not None and cut <= whole:
            return place + skipped + len(text[:cut].encode("utf-8", "surrogateescape"))
        if ended:
            return size
        window *= 4
