"""Splitting a text before anything is merged: into pieces, roughly words, and at special tokens.

No merge reaches across the end of a piece, or "dog", "dog." and "dog!" would each get a token of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache

from .unicode_classes import LETTERS, NUMBERS, WHITE_SPACE

# Contractions; words, numbers and other signs, each with the space before them; then the white space that is left.
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|[\s]+(?![^\s])|[\s]+"


def split_pieces(text: str) -> Iterator[list[str]]:
    """Split a text into pieces by GPT-2's pattern: "It's 5" -> ["It", "'s", " 5"].

    Yields lists of pieces: here one with all of them, while the twin in fast/ yields a list for each part of a long text.
    Radford et al. 2019, §2.2, where the pattern is described; it is spelled out in the code released with GPT-2.
    """
    yield with_classes(PATTERN).findall(text)


@cache
def with_classes(pattern: str, last: int = 0x10FFFF) -> re.Pattern[str]:
    r"""Compile a pattern in which \p{L}, \p{N} and \s stand within brackets for letters, numbers and white space.

    The characters are those of tiktoken, whatever Python knows of Unicode.  last: take none above it for one of the three.
    """
    for name, table in ((r"\p{L}", LETTERS), (r"\p{N}", NUMBERS), (r"\s", WHITE_SPACE)):
        pattern = pattern.replace(name, char_ranges(table, last))
    return re.compile(pattern)


def code_ranges(table: str) -> list[tuple[int, int]]:
    """Read a table of code points: "41-5A AA" -> [(65, 90), (170, 170)], the first and the last of each run."""
    runs = [run.partition("-") for run in table.split()]
    return [(int(first, 16), int(last or first, 16)) for first, _, last in runs]


def char_ranges(table: str, last: int = 0x10FFFF) -> str:
    """Write a table of code points for use within a pattern's brackets: "41-5A AA" -> "A-Zª-ª"."""
    escaped = [(re.escape(chr(a)), re.escape(chr(b))) for a, b in code_ranges(table) if b <= last]
    return "".join(f"{first}-{final}" for first, final in escaped)


def split_special(text: str, special_tokens: Collection[str]) -> list[str]:
    """Split a text into plain text and special tokens in turn: "a<s>b<s>" -> ["a", "<s>", "b", "<s>", ""].

    Of two special tokens that fit at one place the longer is taken.
    """
    if not special_tokens:
        return [text]
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)
