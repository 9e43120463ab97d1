"""From a prompt to its continuation: warpers that reshape a distribution, a draw from it, and the loop over tokens.

    ids = generate(model, prompt, 50, temperature=0.8, top_k=40, seed=1)

Keys and values of earlier positions are kept in cache.py.  Articles A1 §3.2 推理, A2 §5.2.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from ..nn.embedding import unembedding_forward
from ..nn.scope import Gradients, Pass, Scope
from ..nn.softmax import log_softmax, softmax
from ..system.threads import use_blas_threads
from .kv_cache import Cache
from .options import Sampling, _check_count, checked_row, finite
from .warpers import sample

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





class Context:
    """The tokens that each row sees, read into a cache."""

    def __init__(self, model, rows, capacity):
        self.model = model
        self.rows = rows
        self.capacity = capacity
        self.pool = model.solo_pool
        self.scopes = [Scope(model.params, Gradients(), run=Pass(fast=model.fast, backward=False))
                       for _ in range(self.pool.threads)]

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
        size = min(PREFILL, max(SHARED, -(-T // self.pool.threads))) // len(ids)
        parts = self.cache.parts(T, max(1, size))
        waiting, last = iter(parts), []

        def read(scope):
            for part in waiting:            # in their order, whichever thread is free: so those before it are under way
                with part, _quiet():
                    h = self.model.forward(ids[:, part.start - start : part.stop - start], scope, part.positions,
                                            part.key_padding_mask, part.layers, last=1)
                if part is parts[-1]:
                    last.append(h[:, -1])

        self.pool.run([partial(read, scope) for scope in self.scopes[: len(parts)]])
        self.cache.advance(T)
        with use_blas_threads(self.pool.threads), _quiet():
            return unembedding_forward(last[0], self.model.head(self.scopes[0]))


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


def _quiet():
    return np.errstate(invalid="ignore", over="ignore")     # what is not finite is reported once, by finite()


def _choose(logits, temperature, rngs):
    """Warped logits (B, V) -> tokens (B,), row r drawn with rngs[r]"""
    if temperature == 0:
        return logits.argmax(-1)
    return np.array([sample(p, rng) for p, rng in zip(softmax(logits.astype(np.float64)), rngs, strict=True)])





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
