r"""Text files, read as the text that people meant: without a byte order mark, each line end as \n.

Windows writes \r\n, the Macintosh once wrote \r; a model would learn them like letters, and draw them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .encodings import SAMPLE, guess_encoding
from .shell import quoted
from .text import for_terminal, printable


class TextFile(NamedTuple):
    """A file's text, and a sentence on what of its bytes was read otherwise, "" where nothing was."""

    text: str
    note: str


def read_text_file(path: str | os.PathLike[str], keep_bytes: bool = False) -> TextFile:
    r"""Read a file of UTF-8.

        b"\xef\xbb\xbfone\r\ntwo" -> "one\ntwo", r"The byte order mark was left out, 1 line end \r\n became \n; --keep-bytes …"

    keep_bytes: the text is what stands there, byte for byte.
    Raises FileNotFoundError, IsADirectoryError, and ValueError for an empty file and for one in another encoding; where that
    can be guessed, the message names it, with the command that makes UTF-8 of it.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, expected a text file; name a file inside it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file, expected a UTF-8 text; give a path, 'shakespeare' or 'python'")
    data = path.read_bytes()        # not as text: Python would turn \r\n into \n
    if not data:
        raise ValueError(f"{path}: 0 bytes, expected a text; give another file")
    _refuse_utf_16(path, data, keep_bytes)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(path, data, error) from error
    read = TextFile(text, "") if keep_bytes else _as_meant(text)
    if not read.text:
        raise ValueError(f"{path}: a byte order mark and nothing after it, expected a text; give another file")
    return read


def not_utf8(path: Path, data: bytes, error: UnicodeDecodeError, start: int = 0, size: int | None = None) -> ValueError:
    """The error of a text in another encoding.  start, size: where in the file data begins, and how many bytes that has."""
    found = f"byte 0x{data[error.start]:02x} at offset {start + error.start} of {len(data) if size is None else size:,}"
    return ValueError(f"{path}: {found} ({error.reason}), expected UTF-8; {_remedy(path, data)}")


def check_start(path: str | os.PathLike[str], keep_bytes: bool = False) -> None:
    """Raise the ValueError of read_text_file() for a file that begins as UTF-16 does, without reading all of it."""
    with open(path, "rb") as file:
        _refuse_utf_16(Path(path), file.read(SAMPLE), keep_bytes)


def _refuse_utf_16(path: Path, data: bytes, keep_bytes: bool) -> None:
    if not keep_bytes and b"\0" in data and (guess_encoding(data) or "").startswith("UTF-16"):     # it may be UTF-8 as well
        raise ValueError(f"{path}: zero bytes in it, expected UTF-8; {_remedy(path, data)}")


def _as_meant(text: str) -> TextFile:
    marks = int(text.startswith("\ufeff"))
    text = text[marks:]
    counts = []
    for end in ("\r\n", "\r"):
        counts.append(text.count(end))
        text = text.replace(end, "\n")
    return TextFile(text, changes_note(marks, *counts))


def changes_note(marks: int, pairs: int, returns: int) -> str:
    r"""A sentence on what was read otherwise, "" for nothing: byte order marks, line ends \r\n and \r, how many of each."""
    changes = [f"{'the byte order mark was' if marks == 1 else f'{marks:,} byte order marks were'} left out"] if marks else []
    for n, end in ((pairs, "\r\n"), (returns, "\r")):
        if n:
            changes.append(f"{n:,} line {'end' if n == 1 else 'ends'} {printable(end)} became \\n")
    note = f"{', '.join(changes)}; --keep-bytes keeps every byte." if changes else ""
    return note[:1].upper() + note[1:]


def _remedy(path: Path, data: bytes) -> str:
    """What to do about a text that is not UTF-8"""
    encoding = guess_encoding(data)
    if encoding is None:
        return "save the text in that encoding"
    copy = path.with_name(f"{path.stem}-utf8{path.suffix}")
    line = f"iconv {'-c ' if encoding == 'UTF-8' else ''}-f {encoding} -t UTF-8 {quoted(path)} > {quoted(copy)}"
    damaged = encoding == "UTF-8"
    what = "a few bytes are damaged, which this leaves out" if damaged else f"it looks like {encoding}, and this makes UTF-8"
    return f"{what}: {for_terminal(line)}"
