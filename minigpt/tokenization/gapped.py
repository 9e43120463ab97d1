"""Vocabularies in which some bytes have no token: what such bytes become before anything is merged.

They are left out, or stand as the unknown token, once for several in a row if these are fused.  The rules are those of Hugging
Face's tokenizers package.  All other pieces are merged as GPT-2's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .bpe import Pair, merge_steps
from .fast import PieceCache, apply_merges


class GappedCache(PieceCache):
    """The numbers of pieces, as in PieceCache, where some bytes have none.

    merged: each pair and the number it becomes.  number_of_byte: of the bytes that have one.  unknown: stands for each other
    byte, None leaves them out.  fuse: once for several in a row.
    """

    def __init__(self, merged: dict[Pair, int], number_of_byte: Mapping[int, int], unknown: int | None, fuse: bool) -> None:
        super().__init__(merged)
        self._number_of_byte, self._unknown, self._fuse = number_of_byte, unknown, fuse and unknown is not None
        missing = bytes(byte for byte in range(256) if byte not in number_of_byte)
        self._find_missing = re.compile(b"[" + re.escape(missing) + b"]" if missing else b"(?!)").search

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return GappedCache, (self._merged, self._number_of_byte, self._unknown, self._fuse)

    def __missing__(self, piece: str) -> bytes:
        if not self._find_missing(piece.encode()):
            return super().__missing__(piece)
        return self._kept(piece, self._apply([number for number, _, _ in self._starts(piece)]))

    def steps(self, piece: str) -> list[list[int]]:
        """Return the numbers of a piece's bytes, those after each merge, and last its tokens."""
        return self._steps([number for number, _, _ in self._starts(piece)])

    def spans(self, piece: str, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return the numbers of a piece, each with the places of its first byte and behind its last.  sizes: bytes of each."""
        starts = self._starts(piece)
        spans, i = [], 0
        for number in self._apply([number for number, _, _ in starts]):
            n = 1 if number == self._unknown else sizes[number]
            spans.append((number, starts[i][1], starts[i + n - 1][2]))
            i += n
        return spans

    def _starts(self, piece: str) -> list[tuple[int, int, int]]:
        """Return the numbers from which merging starts, each with the places of its first byte and behind its last."""
        starts: list[tuple[int, int, int]] = []
        fused = False  # the byte before has no token, and this one can be part of the same
        for i, byte in enumerate(piece.encode()):
            is_known = byte in self._number_of_byte
            if fused and not is_known:
                starts[-1] = (*starts[-1][:2], i + 1)
            elif (number := self._number_of_byte.get(byte, self._unknown)) is not None:
                starts.append((number, i, i + 1))
            fused = self._fuse and not is_known
        return starts

    def _apply(self, numbers: list[int]) -> list[int]:
        return apply_merges(numbers, self._merged)

    def _steps(self, numbers: list[int]) -> list[list[int]]:
        return [*merge_steps(numbers, self._merged)]

    def _merge_together(self, pieces: Iterable[str]) -> None:
        """Put the pieces that have all their bytes into the cache; the others are left to __missing__."""
        super()._merge_together({piece for piece in pieces if not self._find_missing(piece.encode())})
