"""Merging one piece: a short one in a list, a long one in a linked list, so that time grows linearly with its length."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

from ..bpe import Pair

_LONG_PIECE = 48  # bytes from which on the linked list wins
_WINDOW = 8192  # bytes that are linked at a time: their lists fit the processor's cache
_NO_MERGE = 1 << 62  # above every id


def apply_merges(ids: list[int], merged: Mapping[Pair, int]) -> list[int]:
    """Merge the leftmost of the pairs that make the lowest id, until no pair has a merge.  Changes ids.

    ids (n,): those of a piece's bytes -> (at most n,).  merged: each pair and the id it becomes, above both of its parts.
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
    """Do the same in windows, wider ones where a token depends on bytes far to its right, in little more memory than ids."""
    size = _WINDOW
    while (tokens := _merge_in_windows(ids, merged, size)) is None:
        size *= 16
    return tokens


def _merge_in_windows(ids: list[int], merged: Mapping[Pair, int], size: int) -> list[int] | None:
    """Merge each window of so many bytes by itself; None where their tokens do not fit together.

    Whether a merge reaches across the end of a token depends on that token and the next alone, for what lies beyond the two is
    merged by itself.  So these are the tokens of the whole piece if each two neighbors are neighbors in some window: they are
    where a window begins, near the end of the one before, with the token that also stands there.
    """
    tokens: list[int] = []
    start = 0
    window = _merge_linked(ids[:size], merged)
    while start + size < len(ids):
        cut = size - size // 8
        while window[cut] < 0:
            cut -= 1
        following = _merge_linked(ids[start + cut : start + cut + size], merged)
        if cut == 0 or following[0] != window[cut]:
            return None
        tokens += [id for id in window[:cut] if id >= 0]
        start, window = start + cut, following
    return tokens + [id for id in window if id >= 0]


def _merge_linked(ids: list[int], merged: Mapping[Pair, int]) -> list[int]:
    """Merge in about n steps instead of n²: a linked list closes the gaps that merges leave.  Changes ids.

    What a merge makes can only be part of higher ids.  So the ids come up in rising order, each once, with all its places:
    these were found while the higher of its two parts was made, and therefore stand from left to right.
    Returns each token at the place of its first byte, -1 at the others.
    """
    get = merged.get
    n = len(ids)
    made = [*map(get, pairwise(ids)), None, None]  # made[i]: what the token at i and the next would become
    places: defaultdict[int, list[int]] = defaultdict(list)  # id -> where it can be made, or could
    for i, new in enumerate(made):
        if new is not None:
            places[new].append(i)
    if not places:
        return ids
    heap = list(places)
    heapq.heapify(heap)
    ids.append(-1)  # no pair with -1 has a merge: it stands behind the end, at index -1 before the start, and in gaps
    before = list(range(-1, n))
    after = [*range(1, n + 1), n]
    while heap:
        new = heapq.heappop(heap)
        for i in places.pop(new):
            if made[i] != new:
                continue  # one of the two has been merged since
            left, j = before[i], after[i]
            right = after[j]
            ids[i], ids[j], made[j] = new, -1, None
            after[i], before[right] = right, i
            if (found := get((ids[left], new))) is not None:
                if found not in places:
                    heapq.heappush(heap, found)
                places[found].append(left)
            made[left] = found
            if (found := get((new, ids[right]))) is not None:
                if found not in places:
                    heapq.heappush(heap, found)
                places[found].append(i)
            made[i] = found
    ids.pop()
    return ids
