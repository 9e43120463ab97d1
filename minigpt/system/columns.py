r"""Text on a terminal's columns: a Chinese character takes two of them, a combining or an invisible one none.

    columns("今天 x̂") -> 6          to_width("今天", 6) -> "今天  "
"""

from __future__ import annotations

import re
import unicodedata

_OPENING, _CLOSING = "（「『《【", "，。；：、！？）」』》】"     # no line ends with the former or begins with the latter
_WIDE = "\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\U0001f300-\U0003fffd"
# Of category Cf, "format", yet drawn: the soft hyphen, and signs that stand before Arabic and other numbers
_DRAWN = "\u00ad\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
_PIECE = re.compile(rf"[{_OPENING}]*(?:[{_WIDE}]|[^\s{_WIDE}]+)[{_CLOSING}]*")


def columns(text: str) -> int:
    """Count the columns that a text takes."""
    if text.isascii():
        return len(text)
    none = ("Mn", "Me", "Cf")
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text
               if c in _DRAWN or unicodedata.category(c) not in none)


def to_width(text: str, width: int, right: bool = False) -> str:
    """Put spaces after a text up to this width, or with `right` before it."""
    space = " " * (width - columns(text))
    return space + text if right else text + space


def filled(text: str, width: int, begin: str = "") -> str:
    """Lines of at most this width, the first beginning with `begin` and the others indented as far; it leaves two columns free.

    Lines break at spaces and on either side of a Chinese character, but not before a comma.
    """
    indent = " " * columns(begin)
    lines, is_empty = [begin], True
    for piece in _PIECE.finditer(text):
        word, space = piece[0], "" if is_empty or not text[piece.start() - 1].isspace() else " "
        if columns(lines[-1] + space + word) > width and columns(indent + word) <= width:
            lines, space = [*lines, indent], ""
        while word and columns(lines[-1] + space + word) > width:       # longer than a line
            n = sum(columns(lines[-1] + space + word[:n]) <= width for n in range(1, len(word)))
            n = n or int(lines[-1] == indent)       # where not even one character fits
            lines[-1] += space + word[:n] if n else ""
            lines, word, space = [*lines, indent], word[n:], ""
        lines[-1] += space + word
        is_empty = False
    return "\n".join(lines)
