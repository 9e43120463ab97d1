r"""Text from outside, such as names in a file or what a model wrote, made safe to show on a terminal or in a message.

    printable("h.0\x1b[2J") -> "h.0\\x1b[2J", eight characters that clear no screen
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate

from .language import Sentence, joined

# What a terminal obeys, the controls but newline and tab, and what turns the order of letters; half pairs no encoding holds.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object, most: int = 200) -> str:
    r"""Return the text on one line and of bounded length, for a message that names what came from outside.

    Whatever str.isprintable refuses is escaped as in Python's source: \n, \x1b, \u202e, half a surrogate pair. Of more than
    `most` characters, counted before the escapes, the first and the last stay, with "…" between them.
    text: a str, or a path or name that str() turns into one.
    """
    text = str(text)
    if len(text) > most:
        head = most // 2
        text = f"{text[:head]}…{text[len(text) - (most - head - 1):]}"
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def for_terminal(text: str) -> str:
    """Return text of many lines with the characters escaped that a terminal would obey; newlines and tabs stay."""
    return _OBEYED.sub(lambda match: _escape(match[0]), text)


def counted(n: int, what: str) -> str:
    """How many there are: counted(1, "token") -> "1 token", counted(2000, "token") -> "2,000 tokens"."""
    return f"{n:,} {what}" + "s" * (n != 1)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def listed(items: Iterable[object], separator: str = ", ", most: int = 700) -> str:
    """Return the items as text that is safe to print: as many as fit into about `most` characters, and how many more."""
    texts = [printable(item) for item in items]
    ends = [*accumulate(len(text) + len(separator) for text in texts)]
    n = max(1, sum(end <= most for end in ends))
    rest = [Sentence("and {n:,} more", n=len(texts) - n)] if len(texts) > n else []
    return joined([*texts[:n], *rest], separator)
