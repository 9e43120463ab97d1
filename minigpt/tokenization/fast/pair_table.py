"""Merging many pieces at once: NumPy takes one step of thousands of pieces at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..bpe import BYTE_ORDER, Pair, byte_ids

_Ints = npt.NDArray[np.int64]

_ID_BITS = 21  # three ids fill an int64
_NO_ID = (1 << _ID_BITS) - 1  # above every id; as an id it stands between pieces, and no pair with it has a merge
MAX_ID = _NO_ID - 1  # the highest that a table can hold
_GONE = -1  # stands where an id was that is now part of the one before it
_EMPTY = np.iinfo(np.int64).max  # a place of the table without an entry, a place of the text without a step
_MAX_STEPS = 16  # of pieces merged together; those that need more are merged one by one


class PairTable:
    """The merges in arrays, to look up thousands of pairs at a time.

    A pair stands at one of two places, one in each table, or nowhere: so a look-up reads twice and needs no loop (cuckoo
    hashing, Pagh and Rodler 2004).  What stands there is left, right and made id in one number.

    merged: each pair and the id it becomes, at most MAX_ID.
    """

    def __init__(self, merged: dict[Pair, int]) -> None:
        pairs = np.array(list(merged), np.int64).reshape(-1, 2)
        made = np.fromiter(merged.values(), np.int64)
        entries = _key(pairs[:, 0], pairs[:, 1]) | made
        bits = (len(entries) * 5 // 4 + 1).bit_length()  # tables at most 0.4 full; at 0.5 there would be no place for all
        self._shift = np.uint64(64 - bits)
        rng = np.random.default_rng(0)
        while True:
            self._factors = rng.integers(1 << 63, size=2, dtype=np.uint64)
            self._tables = np.full((2, 1 << bits), _EMPTY, np.int64)
            if self._all_placed(entries):
                break
        self._id_of_byte = np.array(byte_ids(bytes(range(256))), np.int64)
        self._made_of_bytes = self._made(np.repeat(self._id_of_byte, 256), np.tile(self._id_of_byte, 256))
        self._meet = self._meeting_bytes(pairs, made)

    def merge(self, pieces: list[str]) -> list[bytes]:
        """Encode pieces that have no line feed: for each its ids in bytes, or b"" where it needs many steps.

        A step merges one pair in every span of bytes, where a span ends between two bytes that no token has side by side: a
        word, a Chinese character.  The ids are those of apply_merges, four bytes each.
        """
        data = np.frombuffer("\n".join(["", *pieces, ""]).encode(), np.uint8)
        places = np.arange(len(data), dtype=np.int64)
        is_end = data == ord("\n")
        ids = np.where(is_end, _NO_ID, self._id_of_byte[data])
        bytes_met = data[:-1].astype(np.uint16) << 8 | data[1:]
        made = self._made_of_bytes.take(bytes_met)
        made[is_end[:-1] | is_end[1:]] = _NO_ID
        steps = _steps(made, places[:-1])
        starts = np.flatnonzero((is_end[:-1] | ~self._meet.take(bytes_met)) & ~is_end[1:]) + 1
        before, after = places - 1, places + 1
        before[starts] = after[starts - 1] = 0  # every span is between ends: place 0 is one
        for _ in range(_MAX_STEPS):
            lowest = np.minimum.reduceat(steps, starts) if len(starts) else steps[:0]  # of each span
            unfinished = lowest != _EMPTY
            starts, lowest = starts[unfinished], lowest[unfinished]
            if not len(starts):
                break
            new, i = lowest >> 32, lowest & 0xFFFFFFFF
            j = after[i]
            left, right = before[i], after[j]
            ids[i], ids[j], steps[j] = new, _GONE, _EMPTY
            after[i], before[right] = right, i
            changed = np.concatenate([left, i])
            made = self._made(ids[changed], np.concatenate([new, ids[right]]))
            steps[changed] = _steps(made, changed)
        piece_ends = np.flatnonzero(is_end)
        given_up = np.zeros(len(pieces), bool)
        given_up[np.searchsorted(piece_ends, starts) - 1] = True  # the spans that are left, finished or not
        ids = ids[ids != _GONE]
        ends = 4 * np.flatnonzero(ids == _NO_ID)
        result = ids.astype(np.uint32).tobytes()
        spans = pairwise(ends.tolist())
        return [b"" if bad else result[start + 4 : end] for (start, end), bad in zip(spans, given_up.tolist(), strict=True)]

    def _made(self, left: _Ints, right: _Ints) -> _Ints:
        """Look up what the pairs become; no less than _NO_ID where they have no merge."""
        key = _key(left, right)
        first, second = (self._tables[side].take(self._place(side, key)) for side in (0, 1))
        return np.minimum(first ^ key, second ^ key)  # of the entry of the same pair, exclusive or leaves the made id

    def _place(self, side: int, key: _Ints) -> _Ints:
        return (key.view(np.uint64) * self._factors[side] >> self._shift).view(np.int64)

    def _all_placed(self, entries: _Ints) -> bool:
        """Put the entries into the tables; an entry drives out what stood at its place, and that goes to the other table."""
        for side in 50 * (0, 1):
            place = self._place(side, entries & ~_NO_ID)
            evicted = self._tables[side, place]
            self._tables[side, place] = entries
            settled = self._tables[side, place] == entries  # of several for one place only the last
            entries = np.concatenate([entries[~settled], evicted[settled & (evicted != _EMPTY)]])
        return not len(entries)

    def _meeting_bytes(self, pairs: _Ints, made: _Ints) -> npt.NDArray[np.bool_]:
        """Find which two bytes stand side by side within a token, (65536,): GPT-2's vocabulary has 2,689 of all pairs.

        Between any other two no merge ever reaches across, so what stands left and right of them is merged by itself.
        """
        meet = np.zeros((256, 256), bool)
        ends = []  # the last byte of each left part, the first of each right part
        for side in (1, 0):
            part = np.arange(max([255, *made.tolist()]) + 1)
            part[made] = pairs[:, side]
            while (part[part] != part).any():  # of the part its own part, until it is a byte
                part = part[part]
            ends.append(np.array(BYTE_ORDER)[part[pairs[:, 1 - side]]])
        meet[ends[0], ends[1]] = True
        return meet.reshape(-1)


def _key(left: _Ints, right: _Ints) -> _Ints:
    return left << 2 * _ID_BITS | right << _ID_BITS


def _steps(made: _Ints, places: _Ints) -> _Ints:
    """Put made id and place in one number: the lowest is the leftmost of the pairs that make the lowest id."""
    return np.where(made < _NO_ID, made << 32 | places, _EMPTY)
