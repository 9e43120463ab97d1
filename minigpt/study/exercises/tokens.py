"""Exercises on tokens, before the model and behind it: a merge of BPE, learning the merges, and top-p.

merge and learn_merges work on lists of ids and dictionaries, not on arrays.
"""

from collections import Counter
from itertools import pairwise

import numpy as np

from ...generation.warpers import keep_top_p
from ...nn import softmax
from ...tokenization import bpe
from .exercise import Exercise, Slip, Slips

Pair = tuple[int, int]


def _merge(on: Slips, ids: list[int], pair: Pair, new: int) -> list[int]:
    if "backwards" in on:
        return _merge((), ids[::-1], pair[::-1], new)[::-1]
    merged: list[int] = []
    i, stop = 0, len(ids) - 1 if "last lost" in on else len(ids)
    while i < stop:
        here = tuple(ids[i : i + 2])
        found = here == pair or ("either order" in on and here == pair[::-1]) or (
            "left alone" in on and len(here) == 2 and here[0] == pair[0])
        if found and not ("first alone" in on and new in merged):
            merged += [pair[0], new] if "left stays" in on else [new, new] if "both" in on else [new]
            merged += [pair[1]] if "right stays" in on else []
            i += 1 if "overlap" in on else 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def _learn_merges(on: Slips, counts: dict[tuple[int, ...], int], n_merges: int) -> list[Pair]:
    pieces = [list(piece) for piece in counts]
    times = [1] * len(pieces) if "once" in on else list(counts.values())
    if "one piece" in on:
        pieces, times = [[id for piece, n in zip(pieces, times, strict=True) for id in piece * n]], [1]
    n_merges += 1 if "one too many" in on else -1 if "one too few" in on else 0
    merges: list[Pair] = []
    frequent: Counter[Pair] = Counter()
    for new in range(256, 256 + n_merges):
        if not merges or "counted once" not in on:
            frequent = Counter()
            for piece, n in zip(pieces, times, strict=True):
                pairs = set(pairwise(piece)) if "once a piece" in on else pairwise(piece)
                for pair in pairs:
                    frequent[pair] += n
        elif merges:
            del frequent[merges[-1]]
        if not frequent:
            break
        most = (min if "rarest" in on else max)(frequent.values())
        tied = [pair for pair, n in frequent.items() if n == most]
        best = tied[0] if "ties: first" in on else max(tied) if "ties: highest" in on else min(tied)
        id = new - 256 if "ids from 0" in on else new + 1 if "ids from 257" in on else new
        pieces = [bpe.merge(piece, best, id) for piece in pieces]
        merges.append(best)
    return merges


def _learned(counts: dict[tuple[int, ...], int], n_merges: int) -> list[Pair]:
    """minigpt's own, which takes the pieces as text"""
    texts = {bytes(bpe.BYTE_ORDER[id] for id in piece).decode("ascii"): n for piece, n in counts.items()}
    return bpe.learn_merges(texts, n_merges)


def _pieces(text: str) -> dict[tuple[int, ...], int]:
    """{the ids of each word: how often it occurs}"""
    return {tuple(bpe.byte_ids(word.encode())): n for word, n in Counter(text.split()).items()}


def _top_p(on: Slips, logits: np.ndarray, p: float) -> np.ndarray:
    probabilities = softmax(logits)
    if "whole array" in on:
        probabilities = softmax(logits.reshape(-1)).reshape(logits.shape)
    measure = logits if "no softmax" in on else np.exp(logits) if "exp alone" in on else probabilities
    if "threshold" in on:
        kept = probabilities >= p
    elif "min-p" in on:
        kept = probabilities >= p * probabilities.max(-1, keepdims=True)
    else:
        order = np.argsort(logits if "ascending" in on else -logits, axis=-1)
        reached = np.cumsum(np.take_along_axis(measure, order, -1), -1)
        before = reached if "crossing goes" in on else reached - np.take_along_axis(measure, order, -1)
        if "one more" in on:
            before = np.concatenate([np.zeros_like(before[:, :1]), before[:, :-1]], -1)
        kept = np.logical_and.accumulate(before < p, -1)
        if "count" in on:
            kept = np.broadcast_to(np.arange(logits.shape[-1]) < np.ceil(p * logits.shape[-1]), logits.shape)
        if "not put back" not in on:
            kept = np.take_along_axis(kept, np.argsort(order, -1), -1)
        if "sorted" in on:
            return np.where(np.take_along_axis(kept, order, -1), np.take_along_axis(logits, order, -1), -np.inf)
    kept = ~kept if "the others" in on else kept
    result = np.where(kept, logits, 0 if "0" in on else -np.inf)
    if "log" in on:
        return np.where(kept, np.log(probabilities), -np.inf)
    return softmax(result) if "probabilities" in on else result


ABSENT = "you merged where the pair does not stand: both ids must fit, the left one and the one after it"

EXERCISES = (
    Exercise(
        name="merge",
        about="the step that byte-level BPE repeats: a pair of neighbors becomes one token",
        shapes="ids list, pair tuple, new integer -> merged list",
        forward="merge([1, 2, 3, 1, 2], (1, 2), 4) -> [4, 3, 4]\nmerge([1, 1, 1], (1, 1), 2)       -> [2, 1]",
        asked="Replaces each occurrence of the pair by the id `new`, from left to right, and returns a new list.",
        hints=(
            "Walk through the list with an index i. Where ids[i] and ids[i + 1] are the pair, append new and go on at i + 2.",
            "Elsewhere append ids[i] and go on at i + 1. The last id has no neighbor: ask i + 1 < len(ids) first.",
            "Two occurrences cannot share an id: of [1, 1, 1] the first two become one, and the third stays.",
        ),
        examples=(
            {"ids": [1, 2, 3, 1, 2], "pair": (1, 2), "new": 4},
            {"ids": [1, 1, 1], "pair": (1, 1), "new": 2},
            {"ids": [2, 1, 3, 1], "pair": (1, 2), "new": 4},
            {"ids": [1, 2, 1, 2, 5], "pair": (1, 2), "new": 7},
            {"ids": [5, 1, 1, 1, 1], "pair": (1, 1), "new": 9},
            {"ids": [2, 1, 1, 2, 2], "pair": (1, 2), "new": 4},
            {"ids": [], "pair": (1, 2), "new": 3},
            {"ids": [1], "pair": (1, 2), "new": 3},
        ),
        truth=bpe.merge,
        formula=_merge,
        slips={
            "first alone": Slip("you replaced the first occurrence alone: go on to the end of the list", 1),
            "overlap": Slip("you went on at i + 1 after a merge, so the right id is used again: both ids are used up, go on at "
                            "i + 2", 3),
            "backwards": Slip("you went from right to left, so [1, 1, 1] becomes [1, 2]; it is from left to right", 3),
            "right stays": Slip("the right id of the pair is still there behind the new one: both are replaced", 1),
            "left stays": Slip("the left id of the pair is still there before the new one: both are replaced", 1),
            "both": Slip("you put in the new id twice, for both of the pair; the two become one", 1),
            "either order": Slip("you merged the pair in the other order too: (1, 2) is not (2, 1)", 1),
            "left alone": Slip(ABSENT, 1),
            "last lost": Slip("the last id is lost where no pair ends with it: the walk goes on to len(ids)", 2),
        },
        sources=(bpe.merge,),
    ),
    Exercise(
        name="learn_merges",
        about="how byte-level BPE gets its vocabulary: the most frequent pair, again and again",
        shapes="counts dict, n_merges integer -> merges list",
        forward="learn_merges({(75, 78, 86): 5, (75, 78): 2}, 2) -> [(75, 78), (256, 86)]",
        asked="counts holds the ids of each piece of the text, and how often it occurs. Merges the most frequent pair of "
              "neighbors in all pieces, the first one into the id 256, the next into 257, counts again, and so on: n_merges "
              "times, or until no pair is left. Of equally frequent pairs the lower one is merged, min(pairs). "
              "minigpt.tokenization.bpe.merge may be used.",
        hints=(
            "Keep the pieces as lists. For each piece and each two neighbors of it, add the piece's count to the pair's: a "
            "Counter, and itertools.pairwise.",
            "min(pairs, key=lambda pair: (-frequent[pair], pair)) is the most frequent pair, of equal ones the lowest.",
            "Then merge it in every piece, to 256 + the number of merges so far, and count all pairs anew: they have changed.",
            "No piece reaches into another, so no pair does. Where no piece has two ids any more, there is nothing to merge.",
        ),
        examples=(
            {"counts": _pieces("low low low lower lower newest widest"), "n_merges": 4},
            {"counts": _pieces("aab baa cab cab dd"), "n_merges": 5},
            {"counts": _pieces("bd ac"), "n_merges": 2},
            {"counts": _pieces("cdcd ab"), "n_merges": 2},
            {"counts": _pieces("aaaa aaaa ab b"), "n_merges": 20},
            {"counts": _pieces("to be or not to be that is the question"), "n_merges": 6},
        ),
        truth=_learned,
        formula=_learn_merges,
        slips={
            "once": Slip("you counted each piece once; a piece that occurs n times counts n times", 1),
            "once a piece": Slip("you counted a pair once for each piece; it counts as often as it stands there", 1),
            "counted once": Slip("you counted the pairs at the beginning alone: a merge makes new pairs and uses up others, so "
                                 "count again", 3),
            "one piece": Slip("you joined the pieces, so pairs reach from one into the next; each piece is merged by "
                              "itself", 4),
            "ties: first": Slip("of equally frequent pairs you took the one met first; it is the lowest pair", 2),
            "ties: highest": Slip("of equally frequent pairs you took the highest; it is the lowest pair", 2),
            "rarest": Slip("you merged the rarest pair; it is the most frequent one", 2),
            "ids from 0": Slip("your new ids begin at 0, where the bytes are; they begin at 256", 3),
            "ids from 257": Slip("your new ids begin at 257; the first is 256", 3),
            "one too many": Slip("you made one merge too many", 3),
            "one too few": Slip("you made one merge too few", 3),
        },
        sources=(bpe.learn_merges,),
    ),
    Exercise(
        name="top_p",
        about="the tokens worth sampling from: as few as reach a probability of p together",
        shapes="logits (B, V), p float -> kept (B, V)",
        forward="top_p(log([[0.5, 0.3, 0.2]]), 0.6) -> log([[0.5, 0.3, 0]])",
        asked="Of each row the most probable tokens stay, as few as have a probability of p or more together; so the token "
              "with which the sum crosses p stays. Those that stay keep their logits, the others get −∞.",
        hints=(
            "The probabilities are softmax(logits), row by row. Sort them, the largest first, and np.cumsum adds them up.",
            "A token stays where the sum of those before it is still below p. So the first one always stays.",
            "What is true of the sorted row has to go back to the tokens' own places: with order = np.argsort(-logits, -1), "
            "np.argsort(order, -1) leads back.",
        ),
        draw=lambda rng, B, T, C: {"logits": 2 * rng.standard_normal((B + 2, C + 3)), "p": 0.6},
        truth=keep_top_p,
        formula=_top_p,
        slips={
            "crossing goes": Slip("you ruled out the token with which the sum crosses p; it stays, else less than p is "
                                  "left", 2),
            "one more": Slip("you kept one token too many: where the sum has reached p, no more are needed", 2),
            "no softmax": Slip("you added up the logits themselves; p is a sum of probabilities, softmax(logits)", 1),
            "exp alone": Slip("you added up exp(logits), which does not sum to 1; divide by the sum of the row", 1),
            "whole array": Slip("your probabilities are over the whole array; each row has its own", 1),
            "ascending": Slip("you began with the least probable token; begin with the most probable one", 1),
            "not put back": Slip("your choice of tokens is still in sorted order; put it back to the tokens' own places", 3),
            "sorted": Slip("your logits are sorted; each token keeps its place", 3),
            "the others": Slip("you kept the tokens that should go, and the other way round", 2),
            "0": Slip("you set the logits that go to 0, which is still a probability: exp(0) = 1; it must be −∞", 2),
            "probabilities": Slip("you returned probabilities; logits are asked for, with −∞ where a token goes", 1),
            "log": Slip("you returned log-probabilities; those that stay keep their logits as they are", 1),
            "threshold": Slip("you kept each token whose own probability is p or more; p is for their sum", 1),
            "min-p": Slip("this is min-p, p times the largest probability; top-p is about the sum of the probabilities", 1),
            "count": Slip("you kept p of the tokens by number; p is for the sum of their probabilities", 1),
        },
        sources=(keep_top_p,),
    ),
)
