"""Merging for vocabularies where an id says nothing about the order of the merges; bpe.py has GPT-2's own way.

    ranks = {(5, 7): (0, 3), (3, 3): (1, 9)}        the first merge makes id 3 of 5 and 7, the second id 9 of two of them
    apply_ranked([5, 7, 5, 7], ranks)               -> [9]

So are tokens that several merges make, merges that come before those of their parts, and an unknown token that is merged too.
Every rule is that of Hugging Face's tokenizers package.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from .bpe import Pair
from .gapped import GappedCache

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


class RankedCache(GappedCache):
    """The ids of pieces, as in GappedCache, merged one by one.

    id_of_byte: the id of each byte that has a token; unknown, fuse: as in GappedCache.
    """

    def __init__(self, ranks: Ranks, id_of_byte: Mapping[int, int], unknown: int | None, fuse: bool) -> None:
        super().__init__({}, id_of_byte, unknown, fuse)
        self._ranks = ranks

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return RankedCache, (self._ranks, self._number_of_byte, self._unknown, self._fuse)

    def __missing__(self, piece: str) -> bytes:
        return self._kept(piece, self._apply([id for id, _, _ in self._starts(piece)]))

    def _apply(self, numbers: list[int]) -> list[int]:
        return apply_ranked(numbers, self._ranks)

    def _steps(self, numbers: list[int]) -> list[list[int]]:
        return [*ranked_steps(numbers, self._ranks)]

    def _merge_together(self, pieces: Iterable[str]) -> None:
        """Leave them to __missing__."""
