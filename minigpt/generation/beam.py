"""Beam search: the several likeliest beginnings of a target are continued side by side, and the best whole one is taken."""

import math

import numpy as np

from ..models.network import checked_ids
from ..nn.softmax import log_softmax
from .kv_cache import Cache, MemoryCache


def beam_search(model, source, *, beams=4, length_penalty=0.6, max_new_tokens=None):
    r"""Search for the target y that scores best, with at most `beams` hypotheses at a time.

        score(y) = log P(y | x) / lp(y),   lp(y) = ((5 + |y|)/6)^α

    source (B, S) integers -> tokens (B, beams, T), padded behind eos_token_id, and scores (B, beams), best first.
    α is `length_penalty`: 0 compares plain probabilities, which favours short targets.  |y| counts eos.  At each step the
    extensions of all hypotheses are ranked by score; one that has ended stays as it is and takes up a place.  A target is
    whole when it has ended or has `max_new_tokens` tokens, by default S + 50.  A row is done when no hypothesis that goes on
    can overtake the best one: the first of a row is final, those behind it are what the beam held then.  With beams=1 this is
    greedy decoding; with as many beams as there are targets it is exhaustive, and hypotheses that there are not score −∞.
    Wu et al. 2016, eq. 14, without coverage; the defaults are those of Vaswani et al. 2017 §6.1.
    """
    source = checked_ids(source, model.config.vocab_size, "source")
    steps = source.shape[1] + 50 if max_new_tokens is None else max_new_tokens
    for name, value in (("beams", beams), ("max_new_tokens", steps)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}: {value!r}, expected a whole number of at least 1")
    if not 0 <= length_penalty < math.inf:
        raise ValueError(f"length_penalty: {length_penalty}, expected a number from 0; 0 compares plain probabilities")

    def run(s, batch):
        return _search(model, source[batch], s, beams, length_penalty, steps)

    parts = model._split(run, len(source), backward=False)
    longest = max(tokens.shape[2] for tokens, _ in parts)
    tokens = np.full((len(source), beams, longest), model.config.pad_token_id)
    start = 0
    for part, _ in parts:
        tokens[start : start + len(part), :, : part.shape[2]] = part
        start += len(part)
    return tokens, np.concatenate([scores for _, scores in parts])


def _search(model, source, s, K, alpha, steps):
    """source (B, S) -> tokens (B, K, T), scores (B, K)"""
    c, B = model.config, len(source)
    memory, key_padding_mask = (np.repeat(array, K, axis=0) for array in model.encode(source, s))      # K rows for each
    cache = Cache(c, B * K, steps, model.dtype)
    crosses = [MemoryCache() for _ in range(c.n_layer)]
    first_row = np.arange(B)[:, None] * K
    tokens = np.full((B, K, steps), c.pad_token_id)
    last = np.full((B, K), c.bos_token_id)
    lengths = np.zeros((B, K), int)
    ended = np.zeros((B, K), bool)
    logp = np.full((B, K), -np.inf)
    logp[:, 0] = 0                                      # there is one beginning: K equal ones would stay equal
    for t in range(steps):
        (part,) = cache.parts(1, size=1)
        with part:
            caches = list(zip(part.layers, crosses, strict=True))
            logits = model.decode(last.reshape(-1, 1), memory, key_padding_mask, s, first=t, caches=caches)
        cache.advance(1)
        longer = logp[..., None] + log_softmax(logits.astype(np.float64)).reshape(B, K, -1)        # (B, K, V)
        longer[ended] = -np.inf                         # one that has ended goes on in one way: as it is
        longer[ended, c.pad_token_id] = logp[ended]
        lengths += ~ended
        scores = longer / _lp(lengths, alpha)[..., None]
        best = np.argsort(-scores.reshape(B, -1), axis=1, kind="stable")[:, :K]     # stable: of equal ones the lowest token
        parent, last = np.divmod(best, longer.shape[2])
        tokens, lengths, ended = (np.take_along_axis(a, parent.reshape(B, K, *[1] * (a.ndim - 2)), 1)
                                  for a in (tokens, lengths, ended))
        tokens[..., t] = last
        ended |= last == c.eos_token_id
        logp, scores = (np.take_along_axis(a.reshape(B, -1), best, 1) for a in (longer, scores))
        hope = np.where(ended, -np.inf, logp).max(1) / _lp(steps, alpha)            # log P can only fall, lp only rise
        if (ended[:, 0] & (hope <= scores[:, 0])).all():
            break
        cache = cache.take((first_row + parent).reshape(-1))
    return tokens[..., : t + 1], scores


def _lp(length, alpha):
    return ((5 + length) / 6) ** alpha
