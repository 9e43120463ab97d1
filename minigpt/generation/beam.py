"""Beam search: the best few beginnings of a target are extended side by side, and the best complete one is taken.

What it searches with is models/transformer.py's; sampling from a GPT is generate.py's.
"""

import math
from typing import Any

import numpy as np

from ..inputs import check_count, check_number, checked_batch, plain
from ..models.transformer import Transformer
from ..nn.scope import Scope
from ..nn.softmax import log_softmax
from .kv_cache import KVCache, MemoryCache


def beam_search(model: Transformer, source: Any, *, beams: int = 4, length_penalty: float = 0.6,
                max_new_tokens: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    r"""Search for the target y that scores best, with at most `beams` hypotheses at a time.

        score(y) = log P(y | x) / lp(y),   lp(y) = ((5 + |y|)/6)^α

    source (B, S) integers -> tokens (B, beams, T), padded behind eos_token_id, and scores (B, beams), best first.
    α is `length_penalty`: 0 compares plain probabilities, which favors short targets.  |y| counts eos.  At each step the
    extensions of all hypotheses are ranked by score; one that has ended stays as it is and takes up a place.  A target is
    complete when it has ended or has `max_new_tokens` tokens, by default S + 50.  A row is done when no unfinished hypothesis
    can overtake the best one: the first of a row is final, those behind it are what the beam held then.  With beams=1 this is
    greedy decoding; with as many beams as there are targets it is exhaustive.  Places without a hypothesis score −∞.
    Raises TypeError, ValueError.
    Wu et al. 2016, eq. 14, without coverage; the defaults are those of Vaswani et al. 2017 §6.1.
    """
    source = checked_batch(source, model.config.vocab_size, "source")
    beams, length_penalty, max_new_tokens = plain(beams), plain(length_penalty), plain(max_new_tokens)
    steps = source.shape[1] + 50 if max_new_tokens is None else max_new_tokens
    check_count(beams, 1, "beams", "1 decodes greedily")
    check_count(steps, 1, "max_new_tokens", "None takes 50 more than the source has")
    check_number(length_penalty, 0, math.inf, "length_penalty", "a finite number from 0; 0 compares plain probabilities")

    def run(s: Scope, batch: slice) -> tuple[np.ndarray, np.ndarray, int]:
        return _search(model, source[batch], s, beams, length_penalty, steps)

    results = model.map_parts(run, len(source))
    longest = max(length for _, _, length in results)
    tokens = np.concatenate([tokens[..., :longest] for tokens, _, _ in results])
    return tokens, np.concatenate([scores for _, scores, _ in results])


def _search(model: Transformer, source: np.ndarray, s: Scope, K: int, alpha: float,
            steps: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Search for some rows: source (B, S) -> tokens (B, K, steps), scores (B, K), and after how many steps it ended."""
    c, B = model.config, len(source)
    memory, key_padding_mask = (np.repeat(array, K, axis=0) for array in model.encode(source, s))      # K rows for each
    cache = KVCache(c, B * K, steps, model.dtype)
    memory_caches = [MemoryCache() for _ in range(c.n_layer)]
    first_row = np.arange(B)[:, None] * K
    tokens = np.full((B, K, steps), c.pad_token_id)
    last = np.full((B, K), c.bos_token_id)
    lengths = np.zeros((B, K), int)
    ended = np.zeros((B, K), bool)
    logp = np.full((B, K), -np.inf)
    logp[:, 0] = 0                                      # only one empty beginning: K equal ones would stay equal
    for t in range(steps):
        (chunk,) = cache.chunks(1, size=1)
        with chunk:
            caches = list(zip(chunk.layers, memory_caches, strict=True))
            logits = model.decode(last.reshape(-1, 1), memory, key_padding_mask, s, first=t, caches=caches)
        cache.advance(1)
        logits = model.finite("translate", logits)
        extended = logp[..., None] + log_softmax(logits.astype(np.float64)).reshape(B, K, -1)      # (B, K, V)
        extended[ended] = -np.inf                       # a hypothesis that has ended has one extension: a pad token
        extended[ended, c.pad_token_id] = logp[ended]
        lengths += ~ended
        scores = extended / _lp(lengths[..., None], alpha)
        best = np.argsort(-scores.reshape(B, -1), axis=1, kind="stable")[:, :K]     # stable: ties break low
        parent, last = np.divmod(best, extended.shape[2])
        tokens, lengths, ended = (np.take_along_axis(a, parent.reshape(B, K, *[1] * (a.ndim - 2)), 1)
                                  for a in (tokens, lengths, ended))
        tokens[..., t] = last
        ended |= last == c.eos_token_id
        logp, scores = (np.take_along_axis(a.reshape(B, -1), best, 1) for a in (extended, scores))
        bound = np.where(ended, -np.inf, logp).max(1) / _lp(steps, alpha)           # log P can only fall, lp only rise
        if (ended[:, 0] & (bound <= scores[:, 0])).all():
            break
        cache = cache.take((first_row + parent).reshape(-1))
    return tokens, scores, t + 1


def _lp(length: np.ndarray | int, alpha: float) -> np.ndarray | float:
    return ((5 + length) / 6) ** alpha
