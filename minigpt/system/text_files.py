r"""Text files, read as the text that people meant: without a byte order mark, each line end as \n.

Windows writes \r\n, the Macintosh once wrote \r; a model would learn them like letters, and draw them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .encodings import SAMPLE, is_suspicious, likely_encodings
from .shell import python, quoted
from .text import for_terminal, printable


class TextFile(NamedTuple):
    """A file's text, and a sentence on what of its bytes was read otherwise, "" where nothing was."""

    text: str
    note: str


def read_text_file(path: str | os.PathLike[str], keep_bytes: bool = False) -> TextFile:
    r"""Read a file of UTF-8.

        b"\xef\xbb\xbfone\r\ntwo" -> "one\ntwo", r"The byte order mark was left out, 1 line end \r\n became \n; --keep-bytes …"

    keep_bytes: the text is what stands there, byte for byte, zero bytes and escapes of other encodings too.
    Raises FileNotFoundError, IsADirectoryError, and ValueError for an empty file and for one in another encoding; the message
    names those that it may be in, with the command that makes UTF-8 of it.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, expected a text file; name a file inside it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file, expected a UTF-8 text; give a path, 'shakespeare' or 'python'")
    data = path.read_bytes()        # not as text: Python would turn \r\n into \n
    if not data:
        raise ValueError(f"{path}: 0 bytes, expected a text; give another file")
    _refuse_other_encodings(path, data, keep_bytes)
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
    """Raise the ValueError of read_text_file() for a file that begins as none of UTF-8 does, without reading all of it."""
    with open(path, "rb") as file:
        _refuse_other_encodings(Path(path), file.read(SAMPLE), keep_bytes)


def _refuse_other_encodings(path: Path, data: bytes, keep_bytes: bool) -> None:
    """Refuse what may be UTF-8 by its bytes, but not by its characters."""
    if not keep_bytes and is_suspicious(data) and (b"\0" in data or likely_encodings(data) != ["UTF-8"]):
        found = f"{zeros:,} zero bytes" if (zeros := data.count(0)) else "bytes that seem to stand for other characters"
        raise ValueError(f"{path}: {found}, which --keep-bytes keeps, expected UTF-8; {_remedy(path, data)}")


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
    names = likely_encodings(data)
    copy = path.with_name(f"{path.stem}-utf8{path.suffix}")
    to = f"{quoted(path)} > {quoted(copy)}"
    if not names:
        return "save the text in that encoding"
    if names == ["UTF-8"] and b"\0" in data:
        line = f"tr -d '\\000' < {to}"
        return f"this leaves them out: {for_terminal(line)}"
    if names == ["UTF-8"]:
        return f"a few bytes are damaged, which this leaves out: {for_terminal(f'iconv -c -f UTF-8 -t UTF-8 {to}')}"
    line = f"iconv -f {names[0]} -t UTF-8 {to}"
    if names == ["HZ"]:         # which not every iconv knows
        line = f"{python()} -c \"import sys; sys.stdout.buffer.write(open(sys.argv[1], encoding='HZ').read().encode())\" {to}"
    *others, last = names
    choice = f"{', '.join(others)} or {last}" if others else last
    return f"it may be {choice}; look at what this makes of it: {for_terminal(line)}"
