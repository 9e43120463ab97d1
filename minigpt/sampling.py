"""From a prompt to its continuation: warpers that reshape a distribution, a draw from it, and the loop over tokens.

    ids = generate(model, prompt, 50, temperature=0.8, top_k=40, seed=1)

Keys and values of earlier positions are kept in cache.py.  Articles A1 §3.2 推理, A2 §5.2.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from .cache import Cache
from .nn.embedding import unembedding_forward
from .nn.scope import Gradients, Pass, Scope
from .nn.softmax import log_softmax, softmax
from .parallel import use_blas_threads

PREFILL = 256  # tokens of a prompt read at once: as fast as all together, but a long prompt's activations fit in memory
SHARED = 64  # and fewer where more threads can then take part, down to this: 512 tokens in two parts take 0.8 of the time


def generate(model, ids, max_new_tokens=100, **options):
    r"""Continue a sequence of tokens, or several at once: draw a token, append it, repeat.

        x_t ~ softmax(warped(logits(x_<t)))

    ids (T,) -> (T + new,);  (B, T) -> (B, T + new);  a list of B lists of different lengths -> a list of B arrays.  Each is
    the prompt and what follows it, int64, the caller's own.  With num_samples n > 1 each prompt is continued n times, in rows
    side by side: (T,) -> (n, T + new), (B, T) -> (B n, T + new).  With logprobs=True the result is a pair: this, and in the
    same form log p of each new token, (new,) for each row.

    max_new_tokens: how many tokens at most.  options: the fields of Sampling.

    Rows of different lengths are padded at the left and equal their solo runs.  All arguments are checked before anything
    is computed: TypeError, ValueError; FloatingPointError where the model's scores are not finite, ValueError where the
    options leave no token to draw.  An interrupted call returns nothing; stream() hands over each token at once.
    """
    sampling = Sampling(**options)
    prompts, steps = _start(model, ids, max_new_tokens, sampling)
    prompts = [np.array(row, np.int64) for row in prompts for _ in range(sampling.num_samples)]
    steps = list(steps)
    new = np.array([tokens for tokens, _ in steps], np.int64).reshape(-1, len(prompts)).T                   # (B, new)
    rows = [np.concatenate(pair) for pair in zip(prompts, new, strict=True)]

    def shaped(rows):
        if _is_nested(ids):
            return rows
        return rows[0] if _is_alone(ids, sampling) else np.stack(rows)

    if not sampling.logprobs:
        return shaped(rows)
    logprobs = np.array([logprobs for _, logprobs in steps], np.float64).reshape(-1, len(prompts)).T.copy()
    return shaped(rows), shaped([*logprobs])


def stream(model, ids, max_new_tokens=100, **options):
    """The new tokens of generate(), each as soon as it is drawn.

        for token in stream(model, prompt, 50): print(tokenizer.decode([token]), end="")

    Yields an int for one prompt (T,), else an array (B,) a step, the caller's own; with logprobs=True pairs of this and log p
    in the same form.  Arguments and errors are those of generate(); they are checked by the call, not by the first step.
    It can be left at any token, also by Ctrl-C.  Text instead of tokens: text.stream_text().
    """
    sampling = Sampling(**options)
    _, steps = _start(model, ids, max_new_tokens, sampling)
    alone = _is_alone(ids, sampling)
    pairs = ((int(tokens[0]), float(logprobs[0])) if alone else (tokens, logprobs) for tokens, logprobs in steps)
    return pairs if sampling.logprobs else (token for token, _ in pairs)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen, and when a row ends: the options of generate() and stream().

    warped() says in which order they apply.  Raises TypeError and ValueError for what no model could take.
    """

    temperature: float = 1.0            # logits are divided by it; 0 takes the most likely token, the lowest id of several
    top_k: int | None = None            # keep_top_k(); None and 0 keep all
    top_p: float | None = None          # keep_top_p(); None keeps all
    min_p: float | None = None          # keep_min_p(); None keeps all
    repetition_penalty: float = 1.0     # penalise_repetition(), over prompt and output; 1 changes nothing
    no_repeat_ngram_size: int = 0       # forbid_repeated_ngrams() of this length, over prompt and output; 0 forbids none
    bad_words_ids: Sequence[Sequence[int]] = ()     # forbid_words(): sequences of tokens that are never completed
    force_words_ids: Sequence[Sequence[int]] = ()   # force_words(): sequences that stand in each row's output before it ends
    # add_bias(): {id: value}, or {(id, …): value}; +100 all but forces a token, −100 or −∞ rules it out, and ±5 steers
    logit_bias: Mapping[int | tuple[int, ...], float] | None = None
    # f(ids, logits) -> logits, or several in turn: what a row says so far, ids (T,) int64 with its prompt, and the scores of
    # its next token, logits (V,) float64, which f may overwrite.  Each row comes alone, without padding
    logits_processor: Callable | Sequence[Callable] = ()
    min_new_tokens: int = 0             # until so many were drawn, no stop token is
    stop_ids: Iterable[int] = ()        # tokens that end a row; it keeps the token and repeats it as long as other rows go on
    start_id: int | None = None         # the token from which an empty prompt starts, such as that of <|endoftext|>
    # A number, or several; None draws a new one.  Row r uses the r-th child of np.random.SeedSequence(seed), so that its
    # tokens do not depend on how many rows run beside it, but for rounding
    seed: int | Sequence[int] | None = None
    num_samples: int = 1                # n > 1 continues each prompt n times
    # log p of each new token under the model itself, before any warper, as in GPT.score(); 0 where a row had ended
    logprobs: bool = False
    # When a row has n_positions tokens, forget the older half of them (rounded up) and go on.  The others are read anew from
    # position 0, at the cost of one prompt every n_positions/2 tokens; so the text after such a step is what a model sees
    # that never read the forgotten half.  Of a longer prompt the end is read
    sliding_window: bool = False

    def __post_init__(self):
        _check_number("temperature", self.temperature, 0, math.inf, "a finite number from 0; 0 takes the most likely token")
        for name, value in (("top_p", self.top_p), ("min_p", self.min_p)):
            if value is not None:
                _check_number(name, value, 0, 1, "a probability from 0 to 1; None keeps all tokens")
        if self.top_k is not None:
            _check_count("top_k", self.top_k, 0, "None keeps all tokens")
        _check_number("repetition_penalty", self.repetition_penalty, math.ulp(0), math.inf,
                      "a finite number above 0; 1 changes nothing")
        _check_count("no_repeat_ngram_size", self.no_repeat_ngram_size, 0, "0 forbids none")
        _check_count("min_new_tokens", self.min_new_tokens, 0, "0 lets a row end at once")
        _check_count("num_samples", self.num_samples, 1, "1 continues each prompt once")
        if not np.iterable(self.stop_ids):
            raise TypeError(f"stop_ids: {self.stop_ids!r}, expected a sequence of ids; write ({self.stop_ids!r},)")

    def for_vocabulary(self, vocab_size):
        """The same with all ids checked against a vocabulary, in lists of their own."""
        if self.start_id is not None:
            checked_row([self.start_id], "start_id", vocab_size)
        bias = self._checked_bias(vocab_size)
        bad_words = _checked_words(self.bad_words_ids, "bad_words_ids", vocab_size)
        stop_ids = checked_row(list(self.stop_ids), "stop_ids", vocab_size)
        banned = [*bad_words, *(list(word) for word, value in bias.items() if value == -math.inf), *([id] for id in stop_ids)]
        forced = _checked_words(self.force_words_ids, "force_words_ids", vocab_size)
        for i, word in enumerate(forced):
            if found := [other for other in banned if _stands_in(other, word)]:
                raise ValueError(
                    f"force_words_ids[{i}]: {word}, expected none with {found[0]} in it, since bad_words_ids, logit_bias or "
                    "stop_ids rule that out; remove one of the two"
                )
        processors: Any = (self.logits_processor,) if callable(self.logits_processor) else self.logits_processor
        if not (np.iterable(processors) and all(map(callable, processors))):
            raise TypeError(f"logits_processor: {self.logits_processor!r}, expected f(ids, logits) -> logits, or several")
        return replace(self, bad_words_ids=bad_words, force_words_ids=forced, logit_bias=bias, stop_ids=stop_ids,
                       logits_processor=tuple(processors))

    def _checked_bias(self, vocab_size):
        """logit_bias as {ids: value}"""
        if not isinstance(self.logit_bias, Mapping | None):
            raise TypeError(f"logit_bias: {self.logit_bias!r}, expected {{id: value}}; write {{42: -100}}")
        bias = {}
        for ids, value in (self.logit_bias or {}).items():
            word = checked_row(ids if isinstance(ids, tuple) else (ids,), "logit_bias key", vocab_size)
            if not word:
                raise ValueError("logit_bias: key (), expected an id, or a tuple of at least one; remove it")
            if value != -math.inf:
                _check_number(f"logit_bias[{ids!r}]", value, -math.inf, math.inf, "a finite number or -inf; 100 forces as well")
            bias[tuple(word)] = float(value)
        return bias

    def warped(self, logits, texts, n_new, n_left):
        """Every warper that is asked for, in Hugging Face's order, which matters; forced words, which it has not, before τ.

        logits (B, V); texts: B lists of ids, prompt and output so far, of which n_new were drawn and n_left may still be
        -> float64 (B, V).  For what for_vocabulary() gives.
        Where temperature is 0 the most likely token is wanted, and what comes after the temperature cannot change it.
        ValueError where no token is left.
        """
        if self.logit_bias:
            logits = add_bias(logits, texts, self.logit_bias)
        if self.repetition_penalty != 1:
            logits = penalise_repetition(logits, texts, self.repetition_penalty)
        if self.no_repeat_ngram_size:
            logits = forbid_repeated_ngrams(logits, texts, self.no_repeat_ngram_size)
        if self.bad_words_ids:
            logits = forbid_words(logits, texts, self.bad_words_ids)
        if n_new < self.min_new_tokens:
            logits = forbid(logits, self.stop_ids)
        if self.logits_processor:
            logits = _processed(logits, texts, self.logits_processor)
        if self.force_words_ids:
            outputs = [text[len(text) - n_new :] for text in texts]
            logits = force_words(logits, outputs, self.force_words_ids, n_left, self.stop_ids)
        if (logits.max(-1) == -np.inf).any():
            raise ValueError(
                f"generate: every token is ruled out after {n_new} new ones, expected at least one to draw; loosen "
                "no_repeat_ngram_size, bad_words_ids, min_new_tokens, logit_bias, logits_processor or force_words_ids"
            )
        if self.temperature == 0:
            return logits
        logits = scale_by_temperature(logits, self.temperature)
        if self.top_k:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = keep_top_p(logits, self.top_p)
        return logits if self.min_p is None else keep_min_p(logits, self.min_p)


# Warpers: logits (V,) or (B, V) -> float64 of the same shape, −∞ at what is ruled out --------------------------------
# Those that look back take (B, V) and `texts`, B sequences of ids: the prompt and the output so far.


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


def penalise_repetition(logits, texts, penalty):
    r"""Make tokens that stand in the text already less likely, each once however often it stands there.

        z' = z/θ where z ≥ 0, else θ z

    penalise_repetition([[2, 2, -2, -2]], [[0, 2, 0]], 2) -> [[1, 2, -4, -2]]

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


# The loop ------------------------------------------------------------------------------------------------------------


class Context:
    """The tokens that each row sees, read into a cache."""

    def __init__(self, model, rows, capacity):
        self.model = model
        self.rows = rows
        self.capacity = capacity
        self.team = model.solo_team
        self.scopes = [Scope(model.params, Gradients(), run=Pass(fast=model.fast, backward=False))
                       for _ in range(self.team.threads)]

    def read(self):
        """Read every row from its first token -> the scores of its next one, logits (B, V), a buffer"""
        lengths = np.array([len(row) for row in self.rows])
        T = lengths.max()
        ids = np.zeros((len(self.rows), T), int)                    # what stands in the padding is never looked at
        for padded, row in zip(ids, self.rows, strict=True):
            padded[T - len(row) :] = row
        self.cache = Cache(self.model.config, len(ids), self.capacity, self.model.dtype, padding=T - lengths)
        return self._logits(ids)

    def append(self, tokens):
        """One more token in each row, (B,) -> logits (B, V), a buffer"""
        n_positions = self.model.config.n_positions
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.append(token)
        if max(map(len, self.rows)) <= n_positions:
            return self._logits(tokens[:, None])
        for row in self.rows:
            if len(row) > n_positions:
                del row[: (n_positions + 1) // 2]
        return self.read()

    def repeat(self, n):
        """Each row n times in succession"""
        self.rows = [row.copy() for row in self.rows for _ in range(n)]
        self.cache = self.cache.take(np.repeat(np.arange(len(self.cache.padding)), n))

    def _logits(self, ids):
        """Read ids (B, T) behind what the cache holds -> the scores after the last, logits (B, V), a buffer"""
        start, T = self.cache.length, ids.shape[1]
        size = min(PREFILL, max(SHARED, -(-T // self.team.threads))) // len(ids)
        parts = self.cache.parts(T, max(1, size))
        waiting, last = iter(parts), []

        def read(scope):
            for part in waiting:            # in their order, whichever thread is free: so those before it are under way
                with part, _quiet():
                    h = self.model._forward(ids[:, part.start - start : part.stop - start], scope, part.positions,
                                            part.key_padding_mask, part.layers, last=1)
                if part is parts[-1]:
                    last.append(h[:, -1])

        self.team.run([partial(read, scope) for scope in self.scopes[: len(parts)]])
        self.cache.advance(T)
        with use_blas_threads(self.team.threads), _quiet():
            return unembedding_forward(last[0], self.model._head(self.scopes[0]))


def _steps(context, prompts, max_new_tokens, sampling, rngs) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The new tokens (B,) of each step and their log-probabilities (B,), until every row has ended"""
    if max_new_tokens == 0:
        return
    logits = context.read()
    if sampling.num_samples > 1:
        context.repeat(sampling.num_samples)
        logits = np.repeat(logits, sampling.num_samples, axis=0)
    texts = [row.copy() for row in prompts for _ in range(sampling.num_samples)]   # whole, where a window forgets
    ended = np.zeros(len(logits), bool)
    tokens = np.zeros(len(logits), int)
    for n_new in range(max_new_tokens):
        going = np.flatnonzero(~ended)
        warped = sampling.warped(finite(logits[going]), [texts[r] for r in going], n_new, max_new_tokens - n_new)
        tokens[going] = _choose(warped, sampling.temperature, [rngs[r] for r in going])
        logprobs = np.zeros(len(tokens))
        if sampling.logprobs:
            logprobs[going] = log_softmax(logits[going].astype(np.float64))[np.arange(len(going)), tokens[going]]
        yield tokens.copy(), logprobs
        ended |= np.isin(tokens, sampling.stop_ids)
        if n_new == max_new_tokens - 1 or ended.all():
            return
        for text, token in zip(texts, tokens.tolist(), strict=True):
            text.append(token)
        logits = context.append(tokens)


def _processed(logits, texts, processors):
    """Each row of logits (B, V) after the caller's processors, in turn; that it can be drawn from is checked"""
    logits = np.array(logits, np.float64)
    for z, text in zip(logits, texts, strict=True):
        for process in processors:
            new = process(np.array(text, np.int64), z.copy())
            if np.shape(new) != z.shape:
                found = "None" if new is None else f"shape {np.shape(new)}"
                raise ValueError(f"logits_processor: returned {found}, expected logits {z.shape}; return those given, changed")
            z[:] = new
    if not (logits < np.inf).all():
        raise ValueError("logits_processor: returned NaN or infinity, expected finite numbers; -inf rules a token out")
    return logits


def _quiet():
    return np.errstate(invalid="ignore", over="ignore")     # what is not finite is reported once, by finite()


def finite(logits):
    """The model's own scores, looked at before anything is made of them"""
    if not np.isfinite(logits).all():
        raise FloatingPointError(
            "model: its scores hold NaN or infinity, expected finite numbers; check its weights with model.first_nonfinite()"
        )
    return logits


def _choose(logits, temperature, rngs):
    """Warped logits (B, V) -> tokens (B,), row r drawn with rngs[r]"""
    if temperature == 0:
        return logits.argmax(-1)
    return np.array([sample(p, rng) for p, rng in zip(softmax(logits.astype(np.float64)), rngs, strict=True)])


# Checks --------------------------------------------------------------------------------------------------------------


def _start(model, ids, max_new_tokens, sampling):
    """Check everything -> the prompts, B lists of ids, and the iterator over the new tokens, which computes nothing yet"""
    config = model.config
    config.require_causal("generate")
    _check_count("max_new_tokens", max_new_tokens, 0, "0 returns the prompt")
    sampling = sampling.for_vocabulary(config.vocab_size)
    try:
        seeds = np.random.SeedSequence(sampling.seed)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"seed: {sampling.seed!r}, expected a whole number from 0, or several; None draws a new one"
        ) from None
    prompts = _checked_prompts(ids, sampling.start_id, config.vocab_size)
    longest = max(map(len, prompts))
    n = config.n_positions
    if longest + max_new_tokens > n and not sampling.sliding_window:
        raise ValueError(
            f"ids: {longest} tokens and max_new_tokens {max_new_tokens}, expected at most n_positions {n} together; "
            f"ask for {max(0, n - longest)} new tokens or fewer, or pass sliding_window=True to forget the oldest"
        )
    if (n_forced := sum(map(len, sampling.force_words_ids))) > max_new_tokens:
        raise ValueError(
            f"force_words_ids: {n_forced} tokens, expected at most max_new_tokens {max_new_tokens}, where all must stand; "
            "allow more new tokens"
        )
    context = Context(model, [row[-n:] for row in prompts], min(n, longest + max_new_tokens))
    rngs = [np.random.default_rng(child) for child in seeds.spawn(sampling.num_samples * len(prompts))]
    return prompts, _steps(context, prompts, max_new_tokens, sampling, rngs)


def _is_nested(ids):
    return isinstance(ids, (list, tuple)) and any(hasattr(item, "__len__") for item in ids)


def _is_alone(ids, sampling):
    """One prompt, continued once: results come without an axis for rows"""
    return not _is_nested(ids) and np.ndim(ids) == 1 and sampling.num_samples == 1


def _checked_prompts(ids, start_id, vocab_size):
    """ids in any of the forms of generate() -> B lists of ids, the caller's own untouched"""
    if isinstance(ids, (str, bytes)):
        raise TypeError(f"ids: {type(ids).__name__}, expected token ids; encode the text with the model's tokenizer")
    if _is_nested(ids):
        rows = {f"ids[{i}]": row for i, row in enumerate(ids)}
    elif isinstance(ids, (list, tuple)) or np.ndim(ids) == 1:
        rows = {"ids": ids}
    elif np.ndim(ids) == 2 and len(ids):
        rows = {f"ids[{i}]": row for i, row in enumerate(np.asarray(ids))}
    else:
        raise ValueError(f"ids: shape {np.shape(ids)}, expected (T,), (B, T) or a list of B lists")
    prompts = []
    for name, row in rows.items():
        prompt = checked_row(row, name, vocab_size)
        if not prompt and start_id is None:
            raise ValueError(f"{name}: empty, expected at least one token; give one, or start_id, where the text starts")
        prompts.append(prompt or [int(start_id)])
    return prompts


def _checked_words(words, name, vocab_size):
    """Lists of ids, none empty"""
    if not np.iterable(words):
        raise TypeError(f"{name}: {words!r}, expected a sequence of lists of ids")
    checked = [checked_row(word, f"{name}[{i}]", vocab_size) for i, word in enumerate(words)]
    if [] in checked:
        raise ValueError(f"{name}[{checked.index([])}]: empty, expected at least one token; remove it")
    return checked


def checked_row(row, name, vocab_size):
    """A list of ids that can be looked up"""
    if not isinstance(row, (list, tuple)):
        row = np.asarray(row)
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise TypeError(f"{name}: {row.dtype} of shape {row.shape}, expected a row of integers")
        row = row.tolist()
    for i, token in enumerate(row):
        if isinstance(token, bool) or not isinstance(token, (int, np.integer)):
            raise TypeError(f"{name}[{i}]: {token!r} of type {type(token).__name__}, expected an integer")
        if not 0 <= token < vocab_size:
            raise ValueError(f"{name}[{i}]: {token}, expected an id from 0 to {vocab_size - 1}; use the model's tokenizer")
    return [int(token) for token in row]


def _check_number(name, value, least, most, expected):
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: {value!r} of type {type(value).__name__}, expected {expected}")
    if not least <= value <= most or math.isinf(value):
        raise ValueError(f"{name}: {value}, expected {expected}")


def _check_count(name, value, least, remedy):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: {value!r} of type {type(value).__name__}, expected a whole number; {remedy}")
    if value < least:
        raise ValueError(f"{name}: {value}, expected a whole number from {least}; {remedy}")
