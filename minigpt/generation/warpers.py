"""Warpers: pure functions that reshape the distribution of the next token, and sample(), which draws from it.

Each takes logits (B, V), one row for each text, and returns new ones in float64; a token is ruled out by −∞.  Which of them
apply, and in which order, is decided in options.py.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..nn.softmax import softmax


def add_bias(logits: ArrayLike, texts: Sequence[Sequence[int]], bias: Mapping[Any, float]) -> np.ndarray:
    r"""Add a number to the logit of a token, or of the one that would complete a sequence.

        z'_v = z_v + b_v

    add_bias([[1, 1, 1]], [[0]], {(2,): 5, (0, 1): -2, (1, 1): 9}) -> [[1, -1, 6]]

    bias: {ids: b}, ids a sequence of at least one; b = −∞ rules out.  The odds p/(1 − p) of a token become e^b times as large.
    """
    logits = np.array(logits, np.float64)
    for z, text in zip(logits, texts, strict=True):
        for (*start, last), value in bias.items():
            if len(text) >= len(start) and [*text[len(text) - len(start) :]] == start:
                z[last] += value
    return logits


def penalize_repetition(logits: ArrayLike, texts: Sequence[Sequence[int]], penalty: float) -> np.ndarray:
    r"""Make tokens that occur in the text already less likely, each once however often it occurs.

        z' = z/θ where z ≥ 0, else θ z

    penalize_repetition([[2, 2, -2, -2]], [[0, 2, 0]], 2) -> [[1, 2, -4, -2]]

    θ > 0; below 1 it makes them likelier.  Keskar et al. 2019 (CTRL) §4.1, extended to negative logits.
    """
    logits = np.array(logits, np.float64)
    for z, text in zip(logits, texts, strict=True):
        seen = np.asarray(text, int)
        z[seen] = np.where(z[seen] < 0, penalty * z[seen], z[seen] / penalty)
    return logits


def forbid_repeated_ngrams(logits: ArrayLike, texts: Sequence[Sequence[int]], n: int) -> np.ndarray:
    """Rule out each token that would repeat a sequence of n tokens of the text.

        forbid_repeated_ngrams(logits, [[1, 2, 3, 1, 2]], 3) rules out 3, since the text has 1, 2, 3

    n ≥ 1.  Paulus et al. 2018 §2.5.
    """
    logits = np.array(logits, np.float64)
    for z, text in zip(logits, texts, strict=True):
        if len(text) >= n:
            ngrams = np.lib.stride_tricks.sliding_window_view(np.asarray(text, int), n)         # (len − n + 1, n), views
            begun = (ngrams[:, :-1] == ngrams[-1, 1:]).all(-1)          # for n = 1 nothing is compared: all
            z[ngrams[begun, -1]] = -np.inf
    return logits


def forbid_words(logits: ArrayLike, texts: Sequence[Sequence[int]], words: Iterable[Sequence[int]]) -> np.ndarray:
    """Rule out each token that would complete one of `words`, sequences of at least one id.

        forbid_words(logits, [[5, 1]], [[7], [1, 2], [5, 3]]) rules out 7 and 2
    """
    return add_bias(logits, texts, {tuple(word): -math.inf for word in words})


def forbid(logits: ArrayLike, ids: Any) -> np.ndarray:
    """Rule out single tokens, such as the end of text before its time."""
    logits = np.array(logits, np.float64)
    logits[..., ids] = -np.inf
    return logits


def force_words(logits: ArrayLike, outputs: Sequence[list[int]], words: Sequence[Sequence[int]], n_left: int,
                stop_ids: Iterable[int] = ()) -> np.ndarray:
    """Make sure that every one of `words`, sequences of at least one id, occurs in the output before it ends.

        force_words(logits, [[5, 1]], [[1, 2]], 9) rules out all but 2;  [[5]] and n_left = 2 rule out all but 1

    outputs: B lists, what was drawn so far; n_left: how many more tokens there may be, this one included.  No stop token is
    drawn until every word occurs.  A word begins where its first token happens to be drawn, and is then completed; or, when
    the missing words need all tokens that are left, the first of them begins.  A logit of −∞ stays: a word that has begun and
    cannot go on is abandoned and has to come later; where there is no room for that, no token is left.

    If all words fit into n_left at the first step, those still missing do so at every step.
    Hokamp and Liu 2017 place such words by beam search; here they cost one pass, and may come late.
    """
    logits = np.array(logits, np.float64)
    for z, output in zip(logits, outputs, strict=True):
        missing = [[*word] for word in words if not occurs_in(output, [*word])]
        if not missing:
            continue
        n_begun, word = max(((_n_begun(word, output), word) for word in missing), key=lambda pair: pair[0])
        following = word[n_begun]
        if sum(map(len, missing)) >= n_left or (n_begun and z[following] > -np.inf):
            logit = z[following]
            z[:] = -np.inf
            z[following] = logit
        else:
            z[list(stop_ids)] = -np.inf
    return logits


def _n_begun(word: list[int], output: list[int]) -> int:
    """Count the first tokens of `word`, fewer than all, that the output ends in."""
    return max(n for n in range(len(word)) if output[len(output) - n :] == word[:n])


def occurs_in(ids: list[int], word: list[int]) -> bool:
    """Tell whether a list of ids holds another as a run of neighbors: occurs_in([5, 1, 2], [1, 2]) -> True."""
    return any(ids[i : i + len(word)] == word for i in range(len(ids) - len(word) + 1))


def scale_by_temperature(logits: ArrayLike, temperature: float) -> np.ndarray:
    r"""Make a distribution sharper, below 1, or flatter, above 1.

        z' = (z − max z)/τ

    τ > 0.  The maximum is subtracted first, which leaves the softmax as it is, so that the smallest τ does not overflow.
    """
    logits = np.asarray(logits, np.float64)
    with np.errstate(over="ignore"):            # −∞ is right for what a tiny τ rules out
        return (logits - logits.max(-1, keepdims=True)) / temperature


def keep_top_k(logits: ArrayLike, k: int) -> np.ndarray:
    """Keep the k most likely tokens, exactly k: of equal ones the lower ids.

        keep_top_k([1, 3, 2, 2], 2) -> [−∞, 3, 2, −∞]

    k ≥ 1.  Fan et al. 2018 §5.2.
    """
    logits = np.asarray(logits, np.float64)
    V = logits.shape[-1]
    if k >= V:
        return logits
    return _keep_largest(logits, np.partition(logits, V - k)[..., V - k, None], k)


def keep_top_p(logits: ArrayLike, p: float) -> np.ndarray:
    """Keep the smallest set of tokens whose probability reaches p; the token that crosses p stays.

        keep_top_p(log([0.5, 0.3, 0.2]), 0.6) -> log([0.5, 0.3, 0])

    0 ≤ p ≤ 1.  At least one token stays, of equal ones the lower ids.  Holtzman et al. 2020 §3.1.
    """
    logits = np.asarray(logits, np.float64)
    if p >= 1:
        return logits
    ordered = np.sort(logits)[..., ::-1]
    reached = np.cumsum(softmax(np.asarray(ordered, np.float64)), axis=-1)
    count = 1 + (reached[..., :-1] < p).sum(-1, keepdims=True)      # each prefix that falls short needs one token more
    return _keep_largest(logits, np.take_along_axis(ordered, count - 1, -1), count)


def keep_min_p(logits: ArrayLike, p: float) -> np.ndarray:
    """Keep the tokens at least p times as probable as the most probable one.

        keep_min_p(log([0.5, 0.3, 0.2]), 0.5) -> log([0.5, 0.3, 0])

    0 ≤ p ≤ 1.  The surer the model, the fewer stay.  Nguyen et al. 2024 §3.
    """
    probabilities = softmax(np.asarray(logits, np.float64))
    likely = probabilities >= p * probabilities.max(-1, keepdims=True)
    return np.where(likely, np.asarray(logits, np.float64), -np.inf)


def _keep_largest(logits: np.ndarray, smallest: np.ndarray, count: np.ndarray | int) -> np.ndarray:
    """Keep the `count` largest logits, −∞ elsewhere; `smallest` is the least of them.  Both (…, 1) or numbers."""
    above, ties = logits > smallest, logits == smallest
    room = count - above.sum(-1, keepdims=True)
    return np.where(above | (ties & (np.cumsum(ties, -1) <= room)), logits, -np.inf)


def sample(probabilities: ArrayLike, rng: np.random.Generator) -> int:
    r"""Draw a token by inverting the cumulative distribution.

        token = min {v : Σ_{w ≤ v} p_w > u Σ p},   u uniform in [0, 1)

    probabilities (V,), which need not add up to 1; rng: np.random.Generator -> int.  What has probability 0 is never drawn.
    Raises ValueError where their sum is not a positive number.
    """
    cdf = np.cumsum(probabilities, dtype=np.float64)    # in float32 the tail of a large vocabulary would be rounded away
    total = cdf[-1]
    if not 0 < total < math.inf:
        raise ValueError(f"probabilities: their sum is {total}, expected a positive number")
    # subtle: u ≤ 1 − 2⁻⁵³, so u Σ p never rounds up to Σ p, where the search would run past the last token
    return int(cdf.searchsorted(rng.random() * total, side="right"))
