"""From a prompt to its continuation: draw a token from what the model expects, append it, repeat.

    ids = generate(model, prompt, 50, temperature=0.8, top_k=40, seed=1)

Here is the loop.  How the model reads tokens is in context.py, the options are in options.py, what they do to a distribution in
warpers.py, text instead of tokens in streaming.py.  Articles A1 §3.2 推理, A2 §5.2.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..inputs import check_count, checked_row
from ..models.gpt import GPT
from ..nn.softmax import log_softmax, softmax
from .context import Context, checked_logits
from .options import Sampling
from .warpers import sample


def generate(model: Any, ids: Any, max_new_tokens: int = 100, **options: Any) -> Any:
    r"""Continue a sequence of tokens, or several at once: draw a token, append it, repeat.

        x_t ~ softmax(warped(logits(x_<t)))

    ids (T,) -> (T + new,);  (B, T) -> (B, T + new);  a list of B lists of different lengths -> a list of B arrays.  Each is
    the prompt and what follows it, int64, the caller's own.  With num_samples n > 1 each prompt is continued n times, in rows
    side by side: (T,) -> (n, T + new), (B, T) -> (B n, T + new).  With logprobs=True the result is a pair: this, and in the
    same form log p of each new token, (new,) for each row.

    max_new_tokens: how many tokens at most.  options: the fields of Sampling.

    Rows of different lengths are padded on the left; each equals what it gives alone.  An interrupted call returns nothing;
    stream() yields each token at once.
    Raises TypeError, ValueError before anything is computed; FloatingPointError where the model's logits are not finite,
    ValueError where the options leave no token to draw.
    """
    sampling = Sampling(**options)
    prompts, drawn = _start(model, ids, max_new_tokens, sampling)
    steps = list(drawn)
    begun = [np.array(row, np.int64) for row in prompts for _ in range(sampling.num_samples)]
    new = np.array([tokens for tokens, _ in steps], np.int64).reshape(-1, len(begun)).T                     # (B, new)
    rows = [np.concatenate(pair) for pair in zip(begun, new, strict=True)]

    def shaped(rows: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
        if _is_nested(ids):
            return rows
        return rows[0] if _is_single(ids, sampling) else np.stack(rows)

    if not sampling.logprobs:
        return shaped(rows)
    logprobs = np.array([logprobs for _, logprobs in steps], np.float64).reshape(-1, len(begun)).T.copy()
    return shaped(rows), shaped([*logprobs])


def stream(model: Any, ids: Any, max_new_tokens: int = 100, **options: Any) -> Iterator[Any]:
    """Yield the new tokens of generate(), each as soon as it is drawn.

        for token in stream(model, prompt, 50): print(tokenizer.decode([token]), end="")

    Yields an int for one prompt (T,), else an array (B,) a step, the caller's own; with logprobs=True pairs of this and log p
    in the same form.  It can be left at any token, also by Ctrl-C.  Text instead of tokens: streaming.stream_text().
    Raises what generate() does; arguments are checked by the call, not by the first step.
    """
    sampling = Sampling(**options)
    _, steps = _start(model, ids, max_new_tokens, sampling)
    single = _is_single(ids, sampling)
    pairs = ((int(tokens[0]), float(logprobs[0])) if single else (tokens, logprobs) for tokens, logprobs in steps)
    return pairs if sampling.logprobs else (token for token, _ in pairs)


def _steps(context: Context, prompts: list[list[int]], max_new_tokens: int, sampling: Sampling,
           rngs: list[np.random.Generator]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the new tokens (B,) of each step and their log-probabilities (B,), until every row has ended."""
    if max_new_tokens == 0:
        return
    logits = context.read()
    if sampling.num_samples > 1:
        context.repeat(sampling.num_samples)
        logits = np.repeat(logits, sampling.num_samples, axis=0)
    texts = [row.copy() for row in prompts for _ in range(sampling.num_samples)]   # whole, where a window forgets
    ended = np.zeros(len(logits), bool)
    tokens = np.zeros(len(logits), int)
    stop_ids = np.array([*sampling.stop_ids], int)
    for n_new in range(max_new_tokens):
        active = np.flatnonzero(~ended)
        warped = sampling.warped(checked_logits(logits[active]), [texts[r] for r in active], n_new, max_new_tokens - n_new)
        tokens[active] = _choose(warped, sampling.temperature, [rngs[r] for r in active])
        logprobs = np.zeros(len(tokens))
        if sampling.logprobs:
            logprobs[active] = log_softmax(logits[active].astype(np.float64))[np.arange(len(active)), tokens[active]]
        yield tokens.copy(), logprobs
        ended |= (tokens[:, None] == stop_ids).any(-1)
        if n_new == max_new_tokens - 1 or ended.all():
            return
        for text, token in zip(texts, tokens.tolist(), strict=True):
            text.append(token)
        logits = context.append(tokens)


def _choose(logits: np.ndarray, temperature: float, rngs: list[np.random.Generator]) -> np.ndarray:
    """Choose a token in each row: warped logits (B, V) -> tokens (B,), row r drawn with rngs[r]."""
    if temperature == 0:
        return logits.argmax(-1)
    return np.array([sample(p, rng) for p, rng in zip(softmax(logits.astype(np.float64)), rngs, strict=True)])


def _start(model: GPT, ids: Any, max_new_tokens: int,
           sampling: Sampling) -> tuple[list[list[int]], Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Check everything -> the prompts, B lists of ids, and the iterator over the new tokens, which computes nothing yet."""
    config = model.config
    config.require_causal("generate")
    check_count(max_new_tokens, 0, "max_new_tokens", "0 returns the prompt")
    if sampling.vocab_size is None and model.tokenizer is not None:
        sampling = replace(sampling, vocab_size=model.tokenizer.vocab_size)
    sampling = sampling.for_vocabulary(config.vocab_size)
    seeds = np.random.SeedSequence(sampling.seed)
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


def _is_nested(ids: Any) -> bool:
    return isinstance(ids, (list, tuple)) and any(hasattr(item, "__len__") for item in ids)


def _is_single(ids: Any, sampling: Sampling) -> bool:
    """Tell whether one prompt is continued once: results then have no axis for rows."""
    return not _is_nested(ids) and np.ndim(ids) == 1 and sampling.num_samples == 1


def _checked_prompts(ids: Any, start_id: int | None, vocab_size: int) -> list[list[int]]:
    """Check ids in any of the forms of generate() -> B lists of ids, copies."""
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
        prompt = checked_row(row, vocab_size, name)
        if not prompt:
            if start_id is None:
                raise ValueError(f"{name}: empty, expected at least one token; give one, or start_id, where the text starts")
            prompt = [int(start_id)]
        prompts.append(prompt)
    return prompts
