"""Warpers: pure functions that reshape the distribution of the next token."""

import math

import numpy as np

from ..nn.softmax import softmax


def add_bias(logits, texts, bias):
    r"""Add a number to the score of a token, or of the one that would complete a sequence.

        z'_v = z_v + b_v

    add_bias([[1, 1, 1]], [[0]], {(2,): 5, (0, 1): -2, (1, 1): 9}) -> [[1, -1, 6]]

    bias: {ids: b}, ids a sequence of at least one; b = −∞ rules out.  The odds p/(1 − p) of a token become e^b times as large.
    """
    logits = np.array(logits, np.float64)
    for z, text in zip(logits, texts, strict=True):
        for (*begun, last), value in bias.items():
            if len(text) >= len(begun) and [*text[len(text) - len(begun) :]] == begun:
                z[last] += value
    return logits


def penalize_repetition(logits, texts, penalty):
    r"""Make tokens that stand in the text already less likely, each once however often it stands there.

        z' = z/θ where z ≥ 0, else θ z

    penalize_repetition([[2, 2, -2, -2]], [[0, 2, 0]], 2) -> [[1, 2, -4, -2]]

    θ > 0; below 1 it makes them likelier.  Keskar et al. 2019 (CTRL) §4.1, with the sign seen to.
    """
    logits = np.array(logits, np.float64)
    for z, text in zip(logits, texts, strict=True):
        seen = np.asarray(text, int)
        z[seen] = np.where(z[seen] < 0, penalty * z[seen], z[seen] / penalty)
    return logits


def forbid_repeated_ngrams(logits, texts, n):
    """Rule out each token that would end a sequence of n tokens seen before.  n ≥ 1.  Paulus et al. 2018 §2.5.

    forbid_repeated_ngrams(logits, [[1, 2, 3, 1, 2]], 3) rules out 3, since 1, 2, 3 has been said
    """
    logits = np.array(logits, np.float64)
    for z, text in zip(logits, texts, strict=True):
        if len(text) >= n:
            ngrams = np.lib.stride_tricks.sliding_window_view(np.asarray(text, int), n)         # (len − n + 1, n), views
            started = (ngrams[:, :-1] == ngrams[-1, 1:]).all(-1)        # for n = 1 there is nothing to start: all
            z[ngrams[started, -1]] = -np.inf
    return logits


def forbid_words(logits, texts, words):
    """Rule out each token that would complete one of `words`, sequences of at least one id.

    forbid_words(logits, [[5, 1]], [[7], [1, 2], [5, 3]]) rules out 7 and 2
    """
    return add_bias(logits, texts, {tuple(word): -math.inf for word in words})


def forbid(logits, ids):
    """Rule out single tokens, such as the end of text before its time."""
    logits = np.array(logits, np.float64)
    logits[..., ids] = -np.inf
    return logits


def force_words(logits, outputs, words, n_left, stop_ids=()):
    """Let every one of `words`, sequences of at least one id, stand in the output before it ends.

    force_words(logits, [[5, 1]], [[1, 2]], 9) rules out all but 2;  [[5]] and n_left = 2 rule out all but 1

    outputs: B lists, what was drawn so far; n_left: how many more tokens there may be, this one included.  Until every word
    was said no stop token is drawn.  A word begins where its first token is drawn freely, and is then said to its end; or,
    of those still to say the first, when there is room for nothing else.  A score of −∞ stays: a word that has begun and
    cannot go on is given up, to be said later, and where it may not be later no token is left.

    Called at every step with room for all words at first, it keeps this: what the words still lack fits into n_left.
    Hokamp and Liu 2017 place such words by beam search; here they cost one pass, and may come late.
    """
    logits = np.array(logits, np.float64)
    for z, output in zip(logits, outputs, strict=True):
        waiting = [[*word] for word in words if not _stands_in([*word], output)]
        if not waiting:
            continue
        said, word = max(((_begun(word, output), word) for word in waiting), key=lambda pair: pair[0])
        following = word[said]
        if sum(map(len, waiting)) >= n_left or (said and z[following] > -np.inf):
            kept = z[following]
            z[:] = -np.inf
            z[following] = kept
        else:
            z[list(stop_ids)] = -np.inf
    return logits


def _begun(word, output):
    """How many of the first tokens of `word`, fewer than all, the output ends in"""
    return max(n for n in range(len(word)) if output[len(output) - n :] == word[:n])


def _stands_in(word, ids):
    return any(ids[i : i + len(word)] == word for i in range(len(ids) - len(word) + 1))


def scale_by_temperature(logits, temperature):
    r"""Make a distribution sharper, below 1, or flatter, above 1.

        z' = (z − max z)/τ

    τ > 0.  The maximum is subtracted first, which no softmax notices, so that the smallest τ makes no infinity of it.
    """
    logits = np.asarray(logits, np.float64)
    with np.errstate(over="ignore"):            # −∞ is right for what a tiny τ rules out
        return (logits - logits.max(-1, keepdims=True)) / temperature


def keep_top_k(logits, k):
    """Keep the k most likely tokens, exactly k: of equal ones the lower ids.  k ≥ 1.  Fan et al. 2018 §5.2.

    keep_top_k([1, 3, 2, 2], 2) -> [−∞, 3, 2, −∞]
    """
    logits = np.asarray(logits, np.float64)
    V = logits.shape[-1]
    if k >= V:
        return logits
    return _keep_largest(logits, np.partition(logits, V - k)[..., V - k, None], k)


def keep_top_p(logits, p):
    """Keep the smallest set of tokens whose probability reaches p; the token that crosses p stays.  0 ≤ p ≤ 1.

    keep_top_p(log([0.5, 0.3, 0.2]), 0.6) -> log([0.5, 0.3, 0])

    At least one token stays, of equal ones the lower ids.  Holtzman et al. 2020 §3.1.
    """
    logits = np.asarray(logits, np.float64)
    if p >= 1:
        return logits
    ordered = np.sort(logits)[..., ::-1]
    reached = np.cumsum(softmax(np.asarray(ordered, np.float64)), axis=-1)
    count = 1 + (reached[..., :-1] < p).sum(-1, keepdims=True)      # each prefix that falls short needs one token more
    return _keep_largest(logits, np.take_along_axis(ordered, count - 1, -1), count)


def keep_min_p(logits, p):
    """Keep the tokens at least p times as probable as the most probable one.  0 ≤ p ≤ 1.

    keep_min_p(log([0.5, 0.3, 0.2]), 0.5) -> log([0.5, 0.3, 0])

    The surer the model, the fewer stay.  Nguyen et al. 2024 §3.
    """
    probabilities = softmax(np.asarray(logits, np.float64))
    kept = probabilities >= p * probabilities.max(-1, keepdims=True)
    return np.where(kept, np.asarray(logits, np.float64), -np.inf)


def _keep_largest(logits, smallest, count):
    """The `count` largest logits, −∞ elsewhere; `smallest` is the least of them.  Both (…, 1) or numbers"""
    above, ties = logits > smallest, logits == smallest
    room = count - above.sum(-1, keepdims=True)
    return np.where(above | (ties & (np.cumsum(ties, -1) <= room)), logits, -np.inf)


def sample(probabilities, rng):
    r"""Draw a token by the inverse of the distribution function.

        token = min {v : Σ_{w ≤ v} p_w > u Σ p},   u uniform in [0, 1)

    probabilities (V,), which need not add up to 1; rng: np.random.Generator -> int.  What has probability 0 is never drawn.
    """
    cdf = np.cumsum(probabilities, dtype=np.float64)    # in float32 the tail of a large vocabulary would be rounded away
    total = cdf[-1]
    if not 0 < total < math.inf:
        raise ValueError(f"probabilities: their sum is {total}, expected a positive number")
    # subtle: u ≤ 1 − 2⁻⁵³, so u Σ p never rounds up to Σ p, where the search would run past the last token
    return int(np.searchsorted(cdf, rng.random() * total, side="right"))
