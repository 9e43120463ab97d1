"""Encoding whole texts: most pieces of a text have been seen before, and looking one up is far cheaper than merging it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..bpe import Pair, byte_ids
from .merging import apply_merges
from .pair_table import MAX_ID, PairTable

_MAX_PIECES = 1 << 16  # in ordinary text about 12 MB
_MAX_LENGTH = 80  # characters, a ruled line; longer pieces hardly ever come back
_MIN_TOGETHER = 50  # new pieces from which on merging them together wins
_NEW_PER_ROUND = 2000  # new pieces that are merged before others are looked up: their arrays fit the processor's cache
_FOUND_PER_ROUND = 64_000  # pieces that are looked up at most before their ids are handed out


class PieceCache(dict[str, bytes]):
    """The ids of pieces seen before, and of new ones as they come.

    Ids stand in bytes, four each: bytes are faster to join than tuples, and arrays read them.  Threads may share a cache, and
    an interrupt leaves it whole: each operation on a dict is atomic, and an entry lost is only computed again.

    merged: each pair and the id it becomes.
    """

    def __init__(self, merged: dict[Pair, int]) -> None:
        super().__init__()
        self._merged = merged
        self._table: PairTable | None = None  # made for the first text that has enough new pieces

    def __reduce__(self) -> tuple[type[PieceCache], tuple[dict[Pair, int]]]:
        return PieceCache, (self._merged,)  # a copy starts empty: this one may change while it is copied

    def ids(self, parts: Iterable[tuple[list[str], bool]], special: Mapping[str, int]) -> Iterator[bytes]:
        """Yield the ids of all pieces in order, a few thousand at a time.

        parts: lists of pieces with False, lists of special tokens with True.  special: special token -> id.
        """
        found: list[bytes] = []
        new: list[str] = []
        places: list[int] = []  # where in found the ids of the new pieces belong
        for pieces, is_special in parts:
            if is_special:
                found.append(array("I", map(special.__getitem__, pieces)).tobytes())
                continue
            known: list[Any] = list(map(self.get, pieces))  # None where a piece is new
            if not all(known):
                missing = [i for i, ids in enumerate(known) if ids is None]
                new += [pieces[i] for i in missing]
                places += [len(found) + i for i in missing]
            found += known
            if len(new) >= _NEW_PER_ROUND or len(found) >= _FOUND_PER_ROUND:
                yield self._completed(found, new, places)
                found, new, places = [], [], []
        yield self._completed(found, new, places)

    def _completed(self, found: list[bytes], new: list[str], places: list[int]) -> bytes:
        if len(new) >= _MIN_TOGETHER:
            self._merge_together(set(new))
        for i, piece in zip(places, new, strict=True):
            found[i] = self[piece]
        return b"".join(found)

    def _merge_together(self, pieces: set[str]) -> None:
        """Put pieces into the cache, except those that need many steps, very long ones and those of white space."""
        words = [piece for piece in pieces if len(piece) <= _MAX_LENGTH and not piece.isspace()]
        if len(self._merged) <= MAX_ID - 256:  # a larger vocabulary does not fit the table's numbers
            if self._table is None:
                self._table = PairTable(self._merged)
            merged = zip(words, self._table.merge(words), strict=True)
            self._keep({piece: ids for piece, ids in merged if ids})

    def __missing__(self, piece: str) -> bytes:
        return self._kept(piece, apply_merges(byte_ids(piece.encode()), self._merged))

    def _kept(self, piece: str, ids: list[int]) -> bytes:
        data = array("I", ids).tobytes()
        if len(piece) <= _MAX_LENGTH:
            self._keep({piece: data})
        return data

    def _keep(self, ids: dict[str, bytes]) -> None:
        if len(self) + len(ids) > _MAX_PIECES:
            self.clear()  # frequent words are back at once; dropping one by one would cost on each look-up
        self.update(ids)
