"""Splitting a text before anything is merged: into pieces, roughly words, and at special tokens.

No merge reaches across the end of a piece, or "dog", "dog." and "dog!" would each get a token of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import regex

# Contractions; words, numbers and other signs, each with the space before them; then the white space that is left.
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def split_pieces(text: str) -> Iterator[list[str]]:
    """Split a text into pieces by GPT-2's pattern: "It's 5" -> ["It", "'s", " 5"].

    Yields lists of pieces: here one with all of them, while the twin in fast/ yields a list for each part of a long text.
    Radford et al. 2019, §2.2, where the pattern is described; it is spelled out in the code released with GPT-2.
    """
    yield regex.findall(PATTERN, text)


def split_special(text: str, special_tokens: Collection[str]) -> list[str]:
    """Split a text into plain text and special tokens in turn: "a<s>b<s>" -> ["a", "<s>", "b", "<s>", ""].

    Of two special tokens that fit at one place the longer is taken.
    """
    if not special_tokens:
        return [text]
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)
