"""From a prompt to its continuation: warpers that reshape a distribution, a draw from it, and the loop over tokens.

    ids = generate(model, prompt, 50, temperature=0.8, top_k=40, seed=1)

Keys and values of earlier positions are kept in cache.py.  Articles A1 §3.2 推理, A2 §5.2.
"""

import math
from collections.abc import Iterator
from numbers import Real

import numpy as np

from .cache import Cache
from .nn.embedding import unembedding_forward
from .nn.scope import Gradients, Pass, Scope
from .parallel import use_blas_threads

PREFILL = 256  # tokens of a prompt read at once: as fast as all together, but a long prompt's activations fit in memory
TWO_CORES = 256  # channels from which a second BLAS thread pays: below, the matrices are too small to share, even for a prompt


def generate(model, ids, max_new_tokens=100, *, temperature=1.0, top_k=None, top_p=None, seed=None, num_samples=1,
             start_id=None, stop_ids=(), sliding_window=False):
    r"""Continue a sequence of tokens, or several at once: draw a token, append it, repeat.

        x_t ~ softmax(warped(logits(x_<t)))

    ids (T,) -> (T + new,);  (B, T) -> (B, T + new);  a list of B lists of different lengths -> a list of B arrays.  Each is
    the prompt and what follows it, int64, the caller's own.

    max_new_tokens   how many tokens at most
    temperature      logits are divided by it; 0 takes the most likely token, the lowest id of several
    top_k, top_p     keep_top_k() and keep_top_p(), in this order after the temperature; None, and top_k 0, keep all
    seed             a number, or several; None draws a new one.  Row r uses the r-th child of np.random.SeedSequence(seed),
                     so that its tokens do not depend on how many rows run beside it, but for rounding
    num_samples      n > 1 continues each prompt n times, in rows side by side: (T,) -> (n, T + new), (B, T) -> (B n, T + new)
    start_id         the token from which an empty prompt starts, such as that of <|endoftext|>
    stop_ids         tokens that end a row; it keeps the token and repeats it as long as other rows go on
    sliding_window   when a row has n_positions tokens, forget the older half of them (rounded up) and go on.  The others are
                     read anew from position 0, at the cost of one prompt every n_positions/2 tokens; so the text after such
                     a step is what a model sees that never read the forgotten half.  Of a longer prompt the end is read

    Rows of different lengths are padded at the left and equal their solo runs.  All arguments are checked before anything
    is computed: TypeError, ValueError; FloatingPointError where the model's scores are not finite.
    An interrupted call returns nothing; stream() hands over each token at once.
    """
    prompts, new = _start(model, ids, max_new_tokens, temperature, top_k, top_p, seed, num_samples, start_id, stop_ids,
                          sliding_window)
    prompts = [np.array(row, np.int64) for row in prompts for _ in range(num_samples)]
    new = np.array([*new], np.int64).reshape(-1, len(prompts)).T                        # (B, new)
    rows = [np.concatenate(pair) for pair in zip(prompts, new, strict=True)]
    if _is_nested(ids):
        return rows
    return np.stack(rows) if np.ndim(ids) == 2 or num_samples > 1 else rows[0]


def stream(model, ids, max_new_tokens=100, *, temperature=1.0, top_k=None, top_p=None, seed=None, num_samples=1,
           start_id=None, stop_ids=(), sliding_window=False):
    """The new tokens of generate(), each as soon as it is drawn.

        for token in stream(model, prompt, 50): print(tokenizer.decode([token]), end="")

    Yields an int for one prompt (T,), else an array (B,) a step, the caller's own.  Arguments and errors are those of
    generate(); they are checked by the call, not by the first step.  It can be left at any token, also by Ctrl-C.
    """
    _, new = _start(model, ids, max_new_tokens, temperature, top_k, top_p, seed, num_samples, start_id, stop_ids,
                    sliding_window)
    one = not _is_nested(ids) and np.ndim(ids) == 1 and num_samples == 1
    return (int(tokens[0]) for tokens in new) if one else new


# Warpers: logits (V,) or (B, V) -> float64 of the same shape, −∞ at what is ruled out --------------------------------


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
    reached = np.cumsum(softmax(ordered), axis=-1)
    count = 1 + (reached[..., :-1] < p).sum(-1, keepdims=True)      # each prefix that falls short needs one token more
    return _keep_largest(logits, np.take_along_axis(ordered, count - 1, -1), count)


def _keep_largest(logits, smallest, count):
    """The `count` largest logits, −∞ elsewhere; `smallest` is the least of them.  Both (…, 1) or numbers"""
    above, ties = logits > smallest, logits == smallest
    room = count - above.sum(-1, keepdims=True)
    return np.where(above | (ties & (np.cumsum(ties, -1) <= room)), logits, -np.inf)


def softmax(logits):
    r"""p = exp(z − max z)/Σ exp(z − max z)   over the last axis, in float64"""
    logits = np.asarray(logits, np.float64)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p


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


class _Context:
    """The tokens that each row sees, read into a cache."""

    def __init__(self, model, rows, capacity):
        self.model = model
        self.rows = rows
        self.capacity = capacity
        self.threads = model.team.threads if model.config.n_embd >= TWO_CORES else 1
        self.scope = Scope(model.params, Gradients(), run=Pass(backward=False))

    def read(self):
        """Read every row from its first token -> the scores of its next one, logits (B, V), a buffer"""
        lengths = np.array([len(row) for row in self.rows])
        T = lengths.max()
        ids = np.zeros((len(self.rows), T), int)                    # what stands in the padding is never looked at
        for padded, row in zip(ids, self.rows, strict=True):
            padded[T - len(row) :] = row
        self.cache = Cache(self.model.config, len(ids), self.capacity, self.model.dtype, padding=T - lengths)
        step = max(1, PREFILL // len(ids))
        for start in range(0, T, step):
            logits = self._logits(ids[:, start : start + step])
        return logits

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
        self.cache = self.cache.repeat(n)

    def _logits(self, ids):
        model, s, T = self.model, self.scope, ids.shape[1]
        # what is not finite is reported once, by _choose(); the settings are the caller's again at every yield
        with use_blas_threads(self.threads), np.errstate(invalid="ignore", over="ignore"):
            h = model._forward(ids, s, self.cache.positions(T), self.cache.keep(T), self.cache.layers)
            self.cache.advance(T)
            return unembedding_forward(h[:, -1], self.model._head(s))


def _steps(context, max_new_tokens, temperature, top_k, top_p, rngs, num_samples, stop_ids) -> Iterator[np.ndarray]:
    """The new tokens (B,) of each step, until every row has ended"""
    if max_new_tokens == 0:
        return
    logits = context.read()
    if num_samples > 1:
        context.repeat(num_samples)
        logits = np.repeat(logits, num_samples, axis=0)
    ended = np.zeros(len(logits), bool)
    tokens = None
    for left in range(max_new_tokens - 1, -1, -1):
        chosen = _choose(logits, temperature, top_k, top_p, rngs)
        tokens = chosen if tokens is None else np.where(ended, tokens, chosen)
        ended |= np.isin(tokens, stop_ids)
        yield tokens.copy()
        if left == 0 or ended.all():
            return
        logits = context.append(tokens)


def _choose(logits, temperature, top_k, top_p, rngs):
    """logits (B, V) -> tokens (B,), row r drawn with rngs[r]"""
    if not np.isfinite(logits).all():
        raise FloatingPointError(
            "generate: the model's scores hold NaN or infinity, expected finite numbers; check its weights with "
            "model.first_nonfinite()"
        )
    if temperature == 0:
        return logits.argmax(-1)
    logits = scale_by_temperature(logits, temperature)
    if top_k:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return np.array([sample(p, rng) for p, rng in zip(softmax(logits), rngs, strict=True)])


# Checks --------------------------------------------------------------------------------------------------------------


def _start(model, ids, max_new_tokens, temperature, top_k, top_p, seed, num_samples, start_id, stop_ids, sliding_window):
    """Check everything -> the prompts, B lists of ids, and the iterator over the new tokens, which computes nothing yet"""
    config = model.config
    _check_number("temperature", temperature, 0, math.inf, "a finite number from 0; 0 takes the most likely token")
    if top_p is not None:
        _check_number("top_p", top_p, 0, 1, "a probability from 0 to 1; None keeps all tokens")
    if top_k is not None:
        _check_count("top_k", top_k, 0, "None keeps all tokens")
    _check_count("max_new_tokens", max_new_tokens, 0, "0 returns the prompt")
    _check_count("num_samples", num_samples, 1, "1 continues each prompt once")
    if start_id is not None:
        _checked_row([start_id], "start_id", config.vocab_size)
    if not np.iterable(stop_ids):
        raise TypeError(f"stop_ids: {stop_ids!r}, expected a sequence of ids; write ({stop_ids!r},)")
    stop_ids = _checked_row(list(stop_ids), "stop_ids", config.vocab_size)
    try:
        seeds = np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed: {seed!r}, expected a whole number from 0, or several; None draws a new one") from None
    prompts = _checked_prompts(ids, start_id, config.vocab_size)
    longest = max(map(len, prompts))
    n = config.n_positions
    if longest + max_new_tokens > n and not sliding_window:
        raise ValueError(
            f"ids: {longest} tokens and max_new_tokens {max_new_tokens}, expected at most n_positions {n} together; "
            f"ask for {max(0, n - longest)} new tokens or fewer, or pass sliding_window=True to forget the oldest"
        )
    context = _Context(model, [row[-n:] for row in prompts], min(n, longest + max_new_tokens))
    rngs = [np.random.default_rng(child) for child in seeds.spawn(num_samples * len(prompts))]
    return prompts, _steps(context, max_new_tokens, temperature, top_k, top_p, rngs, num_samples, stop_ids)


def _is_nested(ids):
    return isinstance(ids, (list, tuple)) and any(hasattr(item, "__len__") for item in ids)


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
        prompt = _checked_row(row, name, vocab_size)
        if not prompt and start_id is None:
            raise ValueError(f"{name}: empty, expected at least one token; give one, or start_id, where the text starts")
        prompts.append(prompt or [int(start_id)])
    return prompts


def _checked_row(row, name, vocab_size):
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
