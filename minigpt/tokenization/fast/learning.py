"""Learning the merges of a text without counting all of it again for each merge."""

from __future__ import annotations

import gc
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

import numpy as np

from ...system.forks import in_forked_children
from ...system.progress import Bar
from ..bpe import BYTE_IDS, Pair


def learn_merges(counts: Mapping[str, int], n_merges: int, progress: bool = False) -> list[Pair]:
    """Merge the most frequent pair of neighbors, n_merges times, looking only at the pieces that hold the merged pair.

    counts: each piece of the text and how often it occurs.  progress: show a progress bar.  Returns the merged pairs in order.
    """
    collector = _Collector()
    in_forked_children(collector)  # another thread may fork meanwhile: nobody there would turn it on again
    try:
        gc.disable()  # here no cycles of garbage are made, and looking for them through all the lists takes time
        return _learn_merges(counts, n_merges, progress)
    finally:
        if collector.was_on:
            gc.enable()


class _Collector:
    def __init__(self) -> None:
        self.was_on = gc.isenabled()

    def renew(self) -> None:
        if self.was_on:
            gc.enable()


def _learn_merges(counts: Mapping[str, int], n_merges: int, progress: bool) -> list[Pair]:
    """Do that.  An id is written as the character of that code here, a pair as two, a piece as a str.

    str.replace and str.find are faster than loops over lists.
    """
    pieces = _as_characters(counts)
    frequency = list(counts.values())
    pair_counts, places = _count_pairs(pieces, frequency)
    # subtle: ties break low.  Of equal counts the heap gives the lower pair of ids, in whatever order they were pushed.
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    for new in map(chr, Bar(range(256, 256 + n_merges), desc="merges", disable=not progress)):
        # A pair's count only falls after the step that made it.  So each has one entry in the heap, never too low:
        # where it is too high it goes back with its present count.
        while heap:
            count, pair = heapq.heappop(heap)
            if pair_counts[pair] == -count:
                break
            if pair_counts[pair]:
                heapq.heappush(heap, (-pair_counts[pair], pair))
        else:
            break
        left, right = pair[0], pair[1]
        merges.append((ord(left), ord(right)))
        holders: defaultdict[str, list[int]] = defaultdict(list)  # pair with the new id -> the pieces that hold it
        for i in set(places.pop(pair)):
            piece = pieces[i] = pieces[i].replace(pair, new)
            j = piece.find(new)
            while j >= 0:
                if j > 0:
                    before = piece[j - 1]
                    pair_counts[(right if before == new else before) + left] -= frequency[i]
                    pair_counts[before + new] += frequency[i]
                    holders[before + new].append(i)
                after = piece[j + 1 : j + 2]
                if after and after != new:  # a new one after it looks back itself
                    pair_counts[right + after] -= frequency[i]
                    pair_counts[new + after] += frequency[i]
                    holders[new + after].append(i)
                j = piece.find(new, j + 1)
        places.update(holders)
        for neighbors in holders:
            heapq.heappush(heap, (-pair_counts[neighbors], neighbors))
    return merges


def _as_characters(pieces: Iterable[str]) -> list[str]:
    """Write each piece with one character for a byte, the one whose code is the byte's id."""
    encoded = [piece.encode() for piece in pieces]
    ids = b"".join(encoded).translate(BYTE_IDS).decode("latin-1")
    ends = [0, *accumulate(map(len, encoded))]
    return [ids[start:end] for start, end in pairwise(ends)]


def _count_pairs(pieces: list[str], frequency: list[int]) -> tuple[defaultdict[str, int], defaultdict[str, list[int]]]:
    """Count each pair of neighbors and find its places: the pieces that hold it, some repeatedly.

    All pairs of the text are sorted at once, which is faster than a loop over them.
    """
    ids = np.frombuffer("".join(pieces).encode("latin-1"), np.uint8)
    owner = np.repeat(np.arange(len(pieces)), np.fromiter(map(len, pieces), np.int64, len(pieces)))
    pairs = ids[:-1].astype(np.uint16) << 8 | ids[1:]
    inside = np.flatnonzero(owner[:-1] == owner[1:])
    order = inside[np.argsort(pairs[inside], kind="stable")]
    pairs, owner = pairs[order], owner[order]
    starts = np.flatnonzero(np.diff(pairs, prepend=~pairs[:1]))
    names = [chr(pair >> 8) + chr(pair & 0xFF) for pair in pairs[starts].tolist()]
    totals = np.add.reduceat(np.array(frequency, np.int64)[owner], starts) if len(starts) else starts
    holders = owner.tolist()
    runs = pairwise([*starts.tolist(), len(holders)])
    places = {name: holders[i:j] for name, (i, j) in zip(names, runs, strict=bool(names))}
    return defaultdict(int, zip(names, totals.tolist(), strict=True)), defaultdict(list, places)
