"""Splitting a text into pieces part by part, to save memory, and without looking through all of Unicode's ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from ..split import code_ranges, with_classes
from ..unicode_classes import LETTERS, NUMBERS

# The textbook's pattern, written so that every alternative begins with a character or a class, which re checks before it
# tries the alternative: " ?(?:…)" would be slower.
_RUN = r"[\p{L}]+|[\p{N}]+|[^\s\p{L}\p{N}]+"
_PATTERN = rf"'(?:[sdmt]|ll|ve|re)| (?:{_RUN})|{_RUN}|[\s]+(?![^\s])|[\s]+"
_BASIC = 0xFFFF  # up to here re looks a character up, above it goes through the ranges one by one
_HIGHER = re.compile(r"[\U00010000-\U0010ffff]")  # emoji, seldom letters

# A piece ends at the end of a run of letters or of digits, and of signs before white space: there a text can be cut.
_TO_CUT = r"[\s]*[^\s\p{L}\p{N}]*(?:[\p{L}]+|[\p{N}]+)?"
_PART_LENGTH = 8192  # characters: all pieces of a long text at once would take many times its memory


def split_pieces(text: str) -> Iterator[list[str]]:
    """Split a text into pieces by GPT-2's pattern, yielding a list for each part of about _PART_LENGTH characters."""
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > _PART_LENGTH and (cut := with_classes(_TO_CUT).match(text, start + _PART_LENGTH)):
            end = cut.end()
        yield _split(text[start:end])
        start = end


def _split(part: str) -> list[str]:
    """Split with a letter and a digit up to U+FFFF in the place of the higher ones."""
    findall = with_classes(_PATTERN, _BASIC).findall
    if part.isascii() or not _HIGHER.search(part):
        return findall(part)
    like = _with_basic_words(part)
    if like == part:
        return findall(part)
    ends = accumulate(map(len, findall(like)), initial=0)
    return [part[start:end] for start, end in pairwise(ends)]


def _with_basic_words(text: str) -> str:
    """Replace each letter above U+FFFF by "a" and each number by "1": all other characters there are signs to the pattern."""
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4").copy()
    higher = np.flatnonzero(codes > _BASIC)
    bounds, kinds = _higher_words()
    kind = kinds[np.searchsorted(bounds, codes[higher], side="right")]
    codes[higher] = np.where(kind, kind, codes[higher])
    return codes.tobytes().decode("utf-32-le")


@cache
def _higher_words() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Return where the runs of letters and numbers above U+FFFF begin and end, in order, and what follows: "a", "1" or 0."""
    runs = sorted((run, ord(like)) for like, table in (("a", LETTERS), ("1", NUMBERS)) for run in code_ranges(table))
    changes = [(code, kind) for (first, last), like in runs if first > _BASIC for code, kind in ((first, like), (last + 1, 0))]
    bounds, kinds = np.array([(0, 0), *changes], np.uint32).T
    return bounds[1:], kinds
