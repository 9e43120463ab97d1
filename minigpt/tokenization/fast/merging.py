"""Merging one piece: a short one in a list, a long one in a linked list, so that time grows linearly with its length."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

from ..bpe import Pair

_LONG_PIECE = 48  # bytes from which on the linked list wins
_NO_MERGE = 1 << 62  # above every id


def apply_merges(ids: list[int], merged: Mapping[Pair, int]) -> list[int]:
    """Merge the leftmost of the pairs that make the lowest id, until no pair has a merge.  Changes ids.

    ids (n,): those of a piece's bytes.  merged: each pair and the id it becomes.
    """
    if len(ids) > _LONG_PIECE:
        return _apply_merges_long(ids, merged)
    get = merged.get
    made = [get(pair, _NO_MERGE) for pair in pairwise(ids)]  # made[i]: what ids[i], ids[i + 1] would become
    while made and (new := min(made)) < _NO_MERGE:
        i = made.index(new)
        ids[i] = new
        del ids[i + 1], made[i]
        if i > 0:
            made[i - 1] = get((ids[i - 1], new), _NO_MERGE)
        if i < len(made):
            made[i] = get((new, ids[i + 1]), _NO_MERGE)
    return ids


def _apply_merges_long(ids: list[int], merged: Mapping[Pair, int]) -> list[int]:
    """Do the same in about n steps instead of n²: a linked list closes the gaps that merges leave.

    What a merge makes can only be part of higher ids.  So the ids come up in rising order, each once, with all its places:
    these were found while the higher of its two parts was made, and therefore stand from left to right.
    """
    get = merged.get
    n = len(ids)
    places: defaultdict[int, list[int]] = defaultdict(list)  # id -> where it can be made, or could
    for i, made in enumerate(map(get, pairwise(ids))):
        if made is not None:
            places[made].append(i)
    heap = list(places)
    heapq.heapify(heap)
    ids.append(-1)  # no pair with -1 has a merge: it stands behind the end, at index -1 before the start, and in gaps
    before = list(range(-1, n))
    after = [*range(1, n + 1), n]
    while heap:
        new = heapq.heappop(heap)
        for i in places.pop(new):
            j = after[i]
            if get((ids[i], ids[j])) != new:
                continue  # one of the two has been merged since
            ids[i], ids[j] = new, -1
            after[i] = after[j]
            before[after[i]] = i
            for left in (before[i], i):
                if (made := get((ids[left], ids[after[left]]))) is not None:
                    if made not in places:
                        heapq.heappush(heap, made)
                    places[made].append(left)
    return [id for id in ids if id >= 0]
