"""Merging for vocabularies where an id says nothing about the order of the merges; bpe.py has GPT-2's own way.

    ranks = {(5, 7): (0, 3), (3, 3): (1, 9)}        the first merge makes id 3 of 5 and 7, the second id 9 of two of them
    apply_ranked([5, 7, 5, 7], ranks)               -> [9]

So are bytes without a token, tokens that several merges make, and merges that come before those of their parts.  Every rule is
that of Hugging Face's tokenizers package.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from .bpe import Pair
from .fast import PieceCache

Ranks = Mapping[Pair, tuple[int, int]]  # pair -> its place among the merges, and the id it becomes


def ranked_steps(ids: list[int], ranks: Ranks) -> Iterator[list[int]]:
    """Merge the leftmost of the pairs with the lowest rank, until no pair has one; yield the ids before and after each."""
    yield ids
    while known := [(ranks[pair][0], i) for i, pair in enumerate(pairwise(ids)) if pair in ranks]:
        _, i = min(known)
        ids = [*ids[:i], ranks[ids[i], ids[i + 1]][1], *ids[i + 2 :]]
        yield ids


def apply_ranked(ids: list[int], ranks: Ranks) -> list[int]:
    """Return the last of ranked_steps, in n log n steps for n ids: a linked list closes the gaps that merges leave."""
    n = len(ids)
    tokens: list[int | None] = list(ids)  # None where an id is now part of the one before it
    before, after = list(range(-1, n - 1)), list(range(1, n + 1))
    heap = [(*ranks[pair], i) for i, pair in enumerate(pairwise(ids)) if pair in ranks]
    heapq.heapify(heap)
    while heap:
        _, new, i = heapq.heappop(heap)
        left, j = tokens[i], after[i]
        if left is None or j == n or (right := tokens[j]) is None or ranks.get((left, right), (0, None))[1] != new:
            continue  # one of the two has been merged since
        tokens[i], tokens[j], after[i] = new, None, after[j]
        if after[j] < n:
            before[after[j]] = i
        for start in (before[i], i):
            end = after[start]
            if start >= 0 and end < n and (found := ranks.get((tokens[start], tokens[end]))):  # type: ignore[arg-type]
                heapq.heappush(heap, (*found, start))
    return [id for id in tokens if id is not None]


class RankedCache(PieceCache):
    """The ids of pieces, as in PieceCache, merged one by one.

    id_of_byte: the id of each byte that has a token; for others unknown stands, once for several in a row if they are fused, or
    they are left out where it is None.
    """

    def __init__(self, id_of_byte: Mapping[int, int], ranks: Ranks, unknown: int | None, fuse: bool) -> None:
        super().__init__({})
        self._id_of_byte, self._ranks, self._unknown, self._fuse = id_of_byte, ranks, unknown, fuse

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return RankedCache, (self._id_of_byte, self._ranks, self._unknown, self._fuse)

    def __missing__(self, piece: str) -> bytes:
        return self._kept(piece, apply_ranked([id for id, _, _ in self._starts(piece)], self._ranks))

    def steps(self, piece: str) -> list[list[int]]:
        """Return the ids of a piece's bytes, those after each merge, and last its tokens."""
        return list(ranked_steps([id for id, _, _ in self._starts(piece)], self._ranks))

    def spans(self, piece: str, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return the ids of a piece, each with the places of its first byte and behind its last.  sizes: bytes of each id."""
        starts = self._starts(piece)
        spans = []
        for id in apply_ranked([id for id, _, _ in starts], self._ranks):
            n = 1 if id == self._unknown else sizes[id]
            spans.append((id, starts[0][1], starts[n - 1][2]))
            del starts[:n]
        return spans

    def _starts(self, piece: str) -> list[tuple[int, int, int]]:
        """Return the ids from which merging starts, each with the places of its first byte and behind its last."""
        starts: list[tuple[int, int, int]] = []
        fused = False  # the byte before has no token, and this one can be part of the same
        for i, byte in enumerate(piece.encode()):
            is_known = byte in self._id_of_byte
            if fused and not is_known:
                starts[-1] = (*starts[-1][:2], i + 1)
            elif (id := self._id_of_byte.get(byte, self._unknown)) is not None:
                starts.append((id, i, i + 1))
            fused = self._fuse and not is_known
        return starts

    def _merge_together(self, pieces: set[str]) -> None:
        """Leave them to __missing__."""
