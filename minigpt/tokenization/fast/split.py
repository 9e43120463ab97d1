"""Splitting a text into pieces: by the standard library's re where it can, and part by part, to save memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import regex

# The textbook's pattern, written so that every alternative begins with a character or a class, which re checks before it
# tries the alternative: " ?(?:…)" would be slower.
_RUN = r"[\p{L}]+|[\p{N}]+|[^\s\p{L}\p{N}]+"
_PATTERN = rf"'(?:[sdmt]|ll|ve|re)| (?:{_RUN})|{_RUN}|[\s]+(?![^\s])|[\s]+"
_split_any = regex.compile(_PATTERN).findall
_HIGHER = re.compile(r"[\U00010000-\U0010ffff]+")  # emoji, seldom letters
_has_word = regex.compile(r"[\p{L}\p{N}]").search


@cache
def _split_basic() -> Callable[[str], list[str]]:
    """Compile the pattern for characters up to U+FFFF with the standard library's re, which is faster than regex.

    re does not know the classes of letters and numbers: they are spelled out as regex has them.  It takes all higher
    characters for signs.
    """
    plane = np.r_[0:0xD800, 0xE000:0x10000].astype("<u2").tobytes().decode("utf-16-le")  # all but surrogates
    pattern = _PATTERN
    for name in (r"\p{L}", r"\p{N}", r"\s"):
        pattern = pattern.replace(name, "".join(f"{run[0]}-{run[-1]}" for run in regex.findall(f"[{name}]+", plane)))
    return re.compile(pattern).findall


# A piece ends at the end of a run of letters or of digits, and of signs before white space: there a text can be cut.
# subtle: regex, not re, whose \s also takes U+001C to U+001F.
_to_cut = regex.compile(r"\s*+[^\s\p{L}\p{N}]*+(?:\p{L}++|\p{N}++)?").match
_PART_LENGTH = 8192  # characters: all pieces of a long text at once would take many times its memory


def split_pieces(text: str) -> Iterator[list[str]]:
    """Split a text into pieces by GPT-2's pattern, yielding a list for each part of about _PART_LENGTH characters."""
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > _PART_LENGTH and (cut := _to_cut(text, start + _PART_LENGTH)):
            end = cut.end()
        part = text[start:end]
        is_basic = part.isascii() or not _has_word("".join(_HIGHER.findall(part)))
        yield (_split_basic() if is_basic else _split_any)(part)
        start = end
