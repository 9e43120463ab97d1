"""Places where a text can be cut, so that its parts are split into pieces, and encoded, each by itself.

What reads a long text part by part: encode in tokenizer.py, from memory; file_parts.py, from files.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .split import with_classes

# The end of a run of letters or of digits, and signs before white space: in no match of the pattern does anything follow these.
_ENDS = r"[\p{L}](?=[^\p{L}])|[\p{N}](?=[^\p{N}])|[^\s\p{L}\p{N}](?=[\s])"
_ENDS_BEFORE_SPACE = r"[^\s](?=[ ])"


@dataclass(frozen=True)
class Cuts:
    r"""The places where text can be cut for one tokenizer.

        Cuts().find("don't  stop", 5)                -> 5, behind "don't": encode(text) == encode(text[:5]) + encode(text[5:])

    anywhere: each character is a token; a cut only avoids the middle of \r\n, which a file may have for one line end.
    tokens: the texts of added tokens, which no cut touches.
    before_space: a part that begins with no space would get one, so every cut is before a space.
    """

    anywhere: bool = False
    tokens: tuple[str, ...] = ()
    before_space: bool = False

    @property
    def margin(self) -> int:
        """How many characters left and right of a cut decide whether it is one."""
        return max(map(len, self.tokens), default=0) + 1

    def find(self, text: str, start: int) -> int | None:
        """Return the first cut after `start` that is inside the text, None where there is none."""
        if self.anywhere:
            cut = start + 1 + (text[start : start + 2] == "\r\n")
            return cut if cut < len(text) else None
        for end in with_classes(_ENDS_BEFORE_SPACE if self.before_space else _ENDS).finditer(text, start):
            if not _touches(text, end.end(), self.tokens):
                return end.end()
        return None


def _touches(text: str, cut: int, tokens: Collection[str]) -> bool:
    """Whether one of these texts stands across a place or ends or begins there"""
    return any(text.find(token, max(0, cut - len(token)), cut + len(token)) >= 0 for token in tokens)
