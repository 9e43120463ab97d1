"""The algorithm of byte-level BPE on pieces of text and lists of ids: splitting, merging, learning the merges.

The tokenizers around it, their files and their special tokens, are in tokenizer.py.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import regex
from tqdm import tqdm

Pair = tuple[int, int]
_Ints = npt.NDArray[np.int64]

# GPT-2's alphabet --------------------------------------------------------------------------------------------------
# vocab.json has to write any byte as a visible character. Those that are one in Latin-1 stand for themselves and come
# first; the other 68, spaces and controls, borrow the characters from U+0100 on. A byte's id is its place in this list.

_VISIBLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
BYTE_ORDER = [*_VISIBLE, *(byte for byte in range(256) if byte not in _VISIBLE)]  # id -> byte
BYTE_NAMES = [*map(chr, _VISIBLE), *(chr(256 + i) for i in range(256 - len(_VISIBLE)))]  # id -> name in vocab.json
_BYTE_IDS = bytes(BYTE_ORDER.index(byte) for byte in range(256))  # byte -> id, for bytes.translate
_NAME_OF_BYTE = dict(zip(BYTE_ORDER, BYTE_NAMES, strict=True))
_BYTE_OF_NAME = {ord(name): byte for byte, name in _NAME_OF_BYTE.items()}


def name_of_bytes(data: bytes) -> str:
    """How vocab.json writes a token: b" the" -> "Ġthe"."""
    return data.decode("latin-1").translate(_NAME_OF_BYTE)


def bytes_of_name(name: str) -> bytes | None:
    """The token that vocab.json writes so: "Ġthe" -> b" the"; None where a character is not of the alphabet."""
    if any(ord(char) not in _BYTE_OF_NAME for char in name):
        return None
    return name.translate(_BYTE_OF_NAME).encode("latin-1")


def byte_ids(data: bytes) -> list[int]:
    """The ids of single bytes, which merging starts from."""
    return list(data.translate(_BYTE_IDS))


# Splitting into pieces ---------------------------------------------------------------------------------------------

# Contractions; words, numbers and other signs, with a space before them or without; then the white space that is left.
# Every alternative begins with a character or a class, at which re looks before it tries it: 0.9 of the time of " ?(?:…)".
_RUN = r"[\p{L}]+|[\p{N}]+|[^\s\p{L}\p{N}]+"
_PATTERN = rf"'(?:[sdmt]|ll|ve|re)| (?:{_RUN})|{_RUN}|[\s]+(?![^\s])|[\s]+"
_split_any = regex.compile(_PATTERN).findall
_HIGHER = re.compile(r"[\U00010000-\U0010ffff]+")  # emoji, seldom letters
_has_word = regex.compile(r"[\p{L}\p{N}]").search


@cache
def _split_basic() -> Callable[[str], list[str]]:
    """The same for characters up to U+FFFF, by the standard library's re, nearly twice as fast as regex.

    It does not know the classes: they are spelled out as regex has them, within 10 ms. Higher characters are signs to it.
    """
    plane = np.r_[0:0xD800, 0xE000:0x10000].astype("<u2").tobytes().decode("utf-16-le")  # all but surrogates
    pattern = _PATTERN
    for name in (r"\p{L}", r"\p{N}", r"\s"):
        pattern = pattern.replace(name, "".join(f"{run[0]}-{run[-1]}" for run in regex.findall(f"[{name}]+", plane)))
    return re.compile(pattern).findall


# Where white space follows another character a piece always ends: there a text can be cut.
# subtle: regex, not re, whose \s also takes U+001C to U+001F. 20 times faster than \S(?=\s) where there is none.
_CUT = regex.compile(r"(?<=\S)\s")
_CHUNK = 8192  # characters: all pieces of a long text at once would take 14 times its memory


def split_pieces(text: str) -> Iterator[list[str]]:
    """The pieces of a text by GPT-2's pattern, in lists of about _CHUNK characters: "It's 5" -> "It", "'s", " 5"."""
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > _CHUNK and (cut := _CUT.search(text, start + _CHUNK)):
            end = cut.start()
        chunk = text[start:end]
        is_basic = chunk.isascii() or not _has_word("".join(_HIGHER.findall(chunk)))
        yield (_split_basic() if is_basic else _split_any)(chunk)
        start = end


def split_special(text: str, special_tokens: Collection[str]) -> list[str]:
    """Plain text and special tokens in turn: "a<s>b<s>" -> ["a", "<s>", "b", "<s>", ""]."""
    if not special_tokens:
        return [text]
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)


# Merging -----------------------------------------------------------------------------------------------------------


def merge(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """Replace each occurrence of a pair, from left to right, by one new id: the step that BPE repeats.

    merge([1, 2, 3, 1, 2], (1, 2), 4) -> [4, 3, 4]
    merge([1, 1, 1], (1, 1), 2)       -> [2, 1]

    Sennrich et al. 2016, algorithm 1.
    """
    left, right = pair
    merged = []
    i = 0
    while i < len(ids):
        if ids[i] == left and i + 1 < len(ids) and ids[i + 1] == right:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


_CACHED_PIECES = 1 << 16  # in ordinary text about 12 MB
_CACHED_LENGTH = 80  # characters, a ruled line; longer pieces hardly ever come back
_MANY = 50  # new pieces from which on merging them together wins
_ENOUGH = 2000  # new pieces that are merged before others are looked for: their arrays fit the processor's cache
_MOST_STEPS = 16  # of pieces merged together; those that need more are merged one by one
_LONG_PIECE = 48  # bytes from which on the linked list wins
_NO_MERGE = 1 << 62  # above every id


class PieceCache(dict[str, bytes]):
    """The ids of pieces seen before: most words of a text come back, and a look-up is 100 times faster than merging.

    Ids stand in bytes, four each: joining these, not tuples, saves 7 of 70 ns for a byte of text, and arrays read them.
    Threads may share it: each operation on a dict is atomic, and an entry lost is only computed again.
    """

    def __init__(self, merged: dict[Pair, int]) -> None:
        super().__init__()
        self._merged = merged

    def ids(self, chunks: Iterable[tuple[list[str], bool]], special: Mapping[str, int]) -> Iterator[bytes]:
        """The ids of all pieces in order. The pieces of a chunk are special tokens where its second part is true."""
        found: list[bytes] = []
        new: list[str] = []
        places: list[int] = []  # where in found the ids of the new pieces belong
        for pieces, is_special in chunks:
            if is_special:
                found.append(array("I", map(special.__getitem__, pieces)).tobytes())
                continue
            known: list[Any] = list(map(self.get, pieces))  # None where a piece is new
            if not all(known):
                missing = [i for i, ids in enumerate(known) if ids is None]
                new += [pieces[i] for i in missing]
                places += [len(found) + i for i in missing]
            found += known
            if len(new) >= _ENOUGH or len(found) >= 32 * _ENOUGH:
                yield self._completed(found, new, places)
                found, new, places = [], [], []
        yield self._completed(found, new, places)

    def _completed(self, found: list[bytes], new: list[str], places: list[int]) -> bytes:
        if len(new) >= _MANY:
            self._merge_together(set(new))
        for i, piece in zip(places, new, strict=True):
            found[i] = self[piece]
        return b"".join(found)

    def _merge_together(self, pieces: set[str]) -> None:
        """Put pieces into the cache, but for those that need many steps, very long ones and those of white space."""
        words = [piece for piece in pieces if len(piece) <= _CACHED_LENGTH and not piece.isspace()]
        if len(self._merged) < _NO_ID - 256:  # a larger vocabulary does not fit the table's numbers
            merged = zip(words, self._table.merge(words), strict=True)
            self._keep({piece: ids for piece, ids in merged if ids})

    def __missing__(self, piece: str) -> bytes:
        ids = array("I", apply_merges(byte_ids(piece.encode()), self._merged)).tobytes()
        if len(piece) <= _CACHED_LENGTH:
            self._keep({piece: ids})
        return ids

    def _keep(self, ids: dict[str, bytes]) -> None:
        if len(self) + len(ids) > _CACHED_PIECES:
            self.clear()  # frequent words are back at once; dropping one by one would cost on each look-up
        self.update(ids)

    @cached_property
    def _table(self) -> PairTable:
        return PairTable(self._merged)


def apply_merges(ids: list[int], merged: dict[Pair, int]) -> list[int]:
    """Merge the leftmost of the pairs that give the lowest id, until no pair has a merge. Changes ids."""
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


def _apply_merges_long(ids: list[int], merged: dict[Pair, int]) -> list[int]:
    """The same in about n steps instead of n²: a linked list closes the gaps that merges leave.

    What a merge makes can only be part of higher ids. So the ids come up in rising order, each once, with all its places:
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


# Merging many pieces at once ---------------------------------------------------------------------------------------

_ID_BITS = 21  # three ids fill an int64
_NO_ID = (1 << _ID_BITS) - 1  # above every id; as an id it stands between pieces, and no pair with it has a merge
_GONE = -1  # stands where an id was that is now part of the one before it
_NOTHING = np.iinfo(np.int64).max


class PairTable:
    """The merges in arrays: NumPy takes one step of thousands of pieces at a time, 5 times faster than piece by piece.

    A pair stands at one of two places, one in each table, or nowhere: so a look-up reads twice and needs no loop (cuckoo
    hashing, Pagh and Rodler 2004). What stands there is left, right and made id in one number.
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
            self._tables = np.full((2, 1 << bits), _NOTHING, np.int64)
            if self._all_placed(entries):
                break
        self._id_of_byte = np.array(byte_ids(bytes(range(256))), np.int64)
        self._made_of_bytes = self._made(np.repeat(self._id_of_byte, 256), np.tile(self._id_of_byte, 256))
        self._meet = self._meeting_bytes(pairs, made)

    def _all_placed(self, entries: _Ints) -> bool:
        """Put the entries into the tables; an entry drives out what stood at its place, and that goes to the other table."""
        for side in 50 * (0, 1):
            place = self._place(side, entries & ~_NO_ID)
            evicted = self._tables[side, place]
            self._tables[side, place] = entries
            settled = self._tables[side, place] == entries  # of several for one place only the last
            entries = np.concatenate([entries[~settled], evicted[settled & (evicted != _NOTHING)]])
        return not len(entries)

    def _meeting_bytes(self, pairs: _Ints, made: _Ints) -> npt.NDArray[np.bool_]:
        """Which two bytes stand side by side within a token, (65536,): of 65,536 pairs GPT-2's vocabulary has 2,689.

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

    def _place(self, side: int, key: _Ints) -> _Ints:
        return (key.view(np.uint64) * self._factors[side] >> self._shift).view(np.int64)

    def _made(self, left: _Ints, right: _Ints) -> _Ints:
        """What the pairs become; no less than _NO_ID where they have no merge."""
        key = _key(left, right)
        first, second = (self._tables[side].take(self._place(side, key)) for side in (0, 1))
        return np.minimum(first ^ key, second ^ key)  # of the entry of the same pair, exclusive or leaves the made id

    def merge(self, pieces: list[str]) -> list[bytes]:
        """The ids of pieces that have no line feed, as apply_merges gives them, in bytes; b"" for one that needs many steps.

        A step merges a pair in every span between bytes that never meet in a token: a word, a Chinese character.
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
        for _ in range(_MOST_STEPS):
            lowest = np.minimum.reduceat(steps, starts) if len(starts) else steps[:0]  # of each span
            unfinished = lowest != _NOTHING
            starts, lowest = starts[unfinished], lowest[unfinished]
            if not len(starts):
                break
            new, i = lowest >> 32, lowest & 0xFFFFFFFF
            j = after[i]
            left, right = before[i], after[j]
            ids[i], ids[j], steps[j] = new, _GONE, _NOTHING
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


def _key(left: _Ints, right: _Ints) -> _Ints:
    return left << 2 * _ID_BITS | right << _ID_BITS


def _steps(made: _Ints, places: _Ints) -> _Ints:
    """Made id and place in one number: the lowest is the leftmost of the pairs that make the lowest id."""
    return np.where(made < _NO_ID, made << 32 | places, _NOTHING)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Python's search for cycles of garbage off: none are made here, and looking through the lists takes 5 % of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _as_characters(pieces: Iterable[str]) -> list[str]:
    """Each piece with one character for a byte, the one whose code is the byte's id"""
    encoded = [piece.encode() for piece in pieces]
    ids = b"".join(encoded).translate(_BYTE_IDS).decode("latin-1")
    ends = [0, *accumulate(map(len, encoded))]
    return [ids[start:end] for start, end in pairwise(ends)]


def _count_pairs(pieces: list[str], frequency: list[int]) -> tuple[defaultdict[str, int], defaultdict[str, list[int]]]:
    """How often each pair of neighbours occurs, and its places: the pieces that hold it, some repeatedly.

    All pairs of the text are sorted at once, in 0.3 of the time that a loop over them takes.
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


@_no_collection()
def learn_merges(counts: Counter[str], n_merges: int, progress: bool) -> list[Pair]:
    """The merges of a text, given how often each piece occurs in it; fewer than n_merges where the pairs run out.

    Each step looks only at the pieces that hold the merged pair, instead of counting the whole text again: minutes
    become a third of a second on 1 MB. An id is written as the character of that code here, a pair as two, a piece as a str:
    with str.replace and find learning takes 0.7 of the time it takes with lists.
    """
    pieces = _as_characters(counts)
    frequency = list(counts.values())
    pair_counts, places = _count_pairs(pieces, frequency)
    # subtle: ties break low. Of equal counts the heap gives the lower pair of ids, in whatever order they were pushed.
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    for new in map(chr, tqdm(range(256, 256 + n_merges), desc="merges", disable=not progress)):
        # A pair's count only falls after the step that made it. So each has one entry in the heap, never too low:
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
        born: defaultdict[str, list[int]] = defaultdict(list)  # pair with the new id -> the pieces that hold it
        for i in set(places.pop(pair)):
            piece = pieces[i] = pieces[i].replace(pair, new)
            j = piece.find(new)
            while j >= 0:
                if j > 0:
                    before = piece[j - 1]
                    pair_counts[(right if before == new else before) + left] -= frequency[i]
                    pair_counts[before + new] += frequency[i]
                    born[before + new].append(i)
                after = piece[j + 1 : j + 2]
                if after and after != new:  # a new one after it looks back itself
                    pair_counts[right + after] -= frequency[i]
                    pair_counts[new + after] += frequency[i]
                    born[new + after].append(i)
                j = piece.find(new, j + 1)
        places.update(born)
        for neighbours in born:
            heapq.heappush(heap, (-pair_counts[neighbours], neighbours))
    return merges
