"""Byte-level BPE as one reads it: the bytes, merging a pair, learning the merges of a text, applying them to a piece.

    merges = learn_merges(Counter(["low", " low", " lower"]), n_merges=2)       -> [(75, 78), (256, 86)], "lo" and "low"
    merged = {pair: new for new, pair in enumerate(merges, start=256)}
    apply_merges(byte_ids(b"slow"), merged)                                     -> [82, 257]

Ids 0 … 255 are the bytes, 256 + i is made by merges[i].  Here is only the algorithm: how a text becomes pieces is in split.py,
the tokenizer with its special tokens in tokenizer.py, which runs the twins of learn_merges and apply_merges in fast/.
Sennrich et al. 2016, algorithm 1; on bytes, Radford et al. 2019, §2.2; A2 §2, A1 §3.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

Pair = tuple[int, int]

# vocab.json has to write any byte as a visible character.  The bytes that Latin-1 shows as one stand for themselves and come
# first; the other 68, spaces and control characters, borrow the characters from U+0100 on.  A byte's id is its place here.
_VISIBLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
BYTE_ORDER = [*_VISIBLE, *(byte for byte in range(256) if byte not in _VISIBLE)]  # id -> byte
BYTE_NAMES = [*map(chr, _VISIBLE), *(chr(256 + i) for i in range(256 - len(_VISIBLE)))]  # id -> name in vocab.json
BYTE_IDS = bytes(BYTE_ORDER.index(byte) for byte in range(256))  # byte -> id, for bytes.translate
_NAME_OF_BYTE = dict(zip(BYTE_ORDER, BYTE_NAMES, strict=True))
_BYTE_OF_NAME = {ord(name): byte for byte, name in _NAME_OF_BYTE.items()}


def name_of_bytes(data: bytes) -> str:
    """Write a token as vocab.json does: b" the" -> "Ġthe"."""
    return data.decode("latin-1").translate(_NAME_OF_BYTE)


def bytes_of_name(name: str) -> bytes | None:
    """Read a token that vocab.json wrote: "Ġthe" -> b" the"; None where a character stands for no byte."""
    if any(ord(char) not in _BYTE_OF_NAME for char in name):
        return None
    return name.translate(_BYTE_OF_NAME).encode("latin-1")


def byte_ids(data: bytes) -> list[int]:
    """Give each byte its id, from which merging starts: b"low" -> [75, 78, 86]."""
    return list(data.translate(BYTE_IDS))


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


def learn_merges(counts: Mapping[str, int], n_merges: int) -> list[Pair]:
    """Merge the most frequent pair of neighbors in all pieces, then count again, n_merges times.

        (a, b) = argmax count(a b),   a b -> the new id 256, 257, …

    counts: each piece of the text and how often it occurs.  Returns the merged pairs in order, fewer than n_merges where no
    pairs are left.  Of equally frequent pairs the lower pair of ids is merged, so the same text gives the same merges
    everywhere.  Sennrich et al. 2016, algorithm 1.
    """
    pieces = [byte_ids(piece.encode()) for piece in counts]
    merges: list[Pair] = []
    for new in range(256, 256 + n_merges):
        pair_counts: Counter[Pair] = Counter()
        for ids, count in zip(pieces, counts.values(), strict=True):
            for pair in pairwise(ids):
                pair_counts[pair] += count
        if not pair_counts:
            break
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))  # subtle: ties break low
        pieces = [merge(ids, best, new) for ids in pieces]
        merges.append(best)
    return merges


def merge_steps(ids: list[int], merged: Mapping[Pair, int]) -> Iterator[list[int]]:
    """Merge the pair that was learned earliest, until no two neighbors have a merge; yield the ids before and after each.

        merge_steps([75, 78, 86], {(75, 78): 256, (256, 86): 257}) -> [75, 78, 86], [256, 86], [257]

    merged: each pair and the id it becomes.  The earliest merge made the lowest id.
    """
    yield ids
    while known := merged.keys() & set(pairwise(ids)):
        earliest = min(known, key=merged.__getitem__)
        ids = merge(ids, earliest, merged[earliest])
        yield ids


def apply_merges(ids: list[int], merged: Mapping[Pair, int]) -> list[int]:
    """Encode one piece, given the ids of its bytes: the last of merge_steps.

    ids (n,) -> (at most n,).  merged: each pair and the id it becomes.
    """
    *_, tokens = merge_steps(ids, merged)
    return tokens
