"""Encoding whole texts by WordPiece: single characters are looked up all at once, and words are remembered."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from ..bert_classes import BLANKS
from ..bert_text import alone
from ..split import char_ranges, code_ranges

_PART_LENGTH = 8192  # characters of a long text that are encoded at a time
_MAX_WORDS = 1 << 16  # in ordinary text about 12 MB
_MAX_LENGTH = 80  # characters; longer words hardly ever come back

_BLANK, _PART_OF_A_WORD, _NEW = -1, -2, -3  # in place of an id; _NEW: a word by itself that is still to be looked up


class WordCache(dict[str, bytes]):
    """The ids of words seen before, and of new ones as they come.

    Ids stand in bytes, four each.  Threads may share a cache, and an interrupt leaves it whole, as with PieceCache.

    tokenize_chinese_chars: each ideograph is a word.  ids_of: gives the ids of a chunk of text without blanks.
    """

    def __init__(self, tokenize_chinese_chars: bool, ids_of: Callable[[str], list[int]]) -> None:
        super().__init__()
        self._ids_of = ids_of
        self._of_code = _kinds(tokenize_chinese_chars).copy()  # code point -> id, or one of the three
        self._find_words, self._find_end = _patterns(tokenize_chinese_chars)

    def ids(self, text: str) -> Iterator[npt.NDArray[np.int32]]:
        """Yield the ids of a text in order, a few thousand at a time."""
        start = 0
        while start < len(text):
            end = len(text)
            if end - start > _PART_LENGTH and (after := self._find_end(text, start + _PART_LENGTH)):
                end = after.start()
            yield self._ids_of_part(text[start:end])
            start = end

    def _ids_of_part(self, part: str) -> npt.NDArray[np.int32]:
        codes = np.frombuffer(part.encode("utf-32-le"), "<u4")
        single = self._of_code[codes]
        if len(new := np.unique(codes[single == _NEW])):
            for code in new.tolist():
                (self._of_code[code],) = self._ids_of(chr(code))
            single = self._of_code[codes]
        in_word = single == _PART_OF_A_WORD
        begins = in_word.copy()
        begins[1:] &= ~in_word[:-1]
        words = list(map(self.__getitem__, self._find_words(part)))
        counts = (single >= 0).astype(np.intp)  # of ids at each character
        counts[begins] = np.array(list(map(len, words)), np.intp) // 4
        ids = np.repeat(single, counts)
        ids[ids == _PART_OF_A_WORD] = np.frombuffer(b"".join(words), np.int32)
        return ids

    def __missing__(self, word: str) -> bytes:
        ids = array("i", self._ids_of(word)).tobytes()
        if len(word) <= _MAX_LENGTH:
            if len(self) >= _MAX_WORDS:
                self.clear()
            self[word] = ids
        return ids


@cache
def _patterns(ideographs: bool) -> tuple[Callable[[str], list[str]], Callable[[str, int], re.Match[str] | None]]:
    """Return what finds all words but single characters, and what finds a place where no such word goes on."""
    ends = char_ranges(f"{BLANKS} {alone(ideographs)}")
    return re.compile(f"[^{ends}]+").findall, re.compile(f"[{ends}]").search


@cache
def _kinds(ideographs: bool) -> npt.NDArray[np.int32]:
    kinds = np.full(0x110000, _PART_OF_A_WORD, np.int32)
    for kind, table in ((_BLANK, BLANKS), (_NEW, alone(ideographs))):
        for first, last in code_ranges(table):
            kinds[first : last + 1] = kind
    return kinds
