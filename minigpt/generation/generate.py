"""From a prompt to its continuation: draw a token from what the model expects, append it, repeat.

    text = generate(model, "ROMEO:", 50, temperature=0.8, top_k=40, seed=1)

Here is the loop.  How the model reads tokens is in context.py, the options are in options.py, what they do to a distribution in
warpers.py and, token by token, in candidates.py; text while it is generated in streaming.py.  Articles A1 §3.2 推理, A2 §5.2.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np

from ..inputs import check_count, checked_row, encoded, plain, rows_of
from ..models.gpt import GPT
from ..nn.softmax import log_softmax, softmax
from ..tokenization.formats import END_OF_TEXT
from .characters import whole_characters
from .context import Context, checked_logits
from .options import Sampling
from .warpers import sample


def generate(model: Any, ids: Any, max_new_tokens: int = 100, **options: Any) -> Any:
    r"""Continue a text or a sequence of tokens, or several at once: draw a token, append it, repeat.

        x_t ~ softmax(warped(logits(x_<t)))

    Each result is the prompt and what follows it, in the form of the prompt: a text -> a text;  ids (T,) -> (T + new,);
    (B, T) -> (B, T + new);  a list of B texts or of B lists, of any lengths -> a list.  Arrays are int64, the caller's own.
    With num_samples n > 1 each prompt is continued n times, in rows side by side: (T,) -> (n, T + new), (B, T) ->
    (B n, T + new), a text -> a list of n.  With logprobs=True the result is a pair: this, and in the same form log p of each
    new token, (new,) for each row.

    Texts begin and end, unless the options say otherwise, at the tokenizer's <|endoftext|>, which is not shown: what follows a
    text is what stream_text() gives.

    max_new_tokens: how many tokens at most.  options: the fields of Sampling.

    Rows of different lengths are padded on the left; each equals what it gives alone.  An interrupted call returns nothing;
    stream() yields each token at once.
    Raises TypeError, ValueError before anything is computed; FloatingPointError where the model's logits are not finite,
    ValueError where the options leave no token to draw.
    """
    sampling = Sampling.of_call("generate()", options_for(model, ids, options))
    sampling, prompts, drawn = begin(model, ids, max_new_tokens, sampling)
    steps = list(drawn)
    rows, form = rows_of(ids, "ids")
    given = [row for row in rows.values() for _ in range(sampling.num_samples)]
    begun = [prompt for prompt in prompts for _ in range(sampling.num_samples)]
    new = np.array([tokens for tokens, _ in steps], np.int64).reshape(-1, len(begun)).T                     # (B, new)

    def whole(prompt: Any, ids: list[int], new: np.ndarray) -> Any:
        if not isinstance(prompt, str):
            return np.concatenate([np.array(ids, np.int64), new])
        shown = takewhile(lambda id: id not in sampling.stop_ids, new.tolist())
        return prompt + "".join(whole_characters(model.tokenizer, shown))

    def shaped(rows: list[Any]) -> Any:
        if form == "one" and sampling.num_samples == 1:
            return rows[0]
        return rows if form == "list" or isinstance(ids, str) else np.stack(rows)

    results = shaped([whole(*row) for row in zip(given, begun, new, strict=True)])
    if not sampling.logprobs:
        return results
    logprobs = np.array([logprobs for _, logprobs in steps], np.float64).reshape(-1, len(begun)).T.copy()
    return results, shaped([*logprobs])


def stream(model: Any, ids: Any, max_new_tokens: int = 100, **options: Any) -> Iterator[Any]:
    """Yield the new tokens of generate(), each as soon as it is drawn.

        for token in stream(model, "ROMEO:", 50): print(token)

    ids: what generate() takes.  Yields an int for one prompt, a text or (T,), else an array (B,) a step, the caller's own; with
    logprobs=True pairs of this and log p in the same form.  It can be left at any token, also by Ctrl-C.
    Text instead of tokens: streaming.stream_text().  What else could have been drawn: candidates.candidates().
    Raises what generate() does; arguments are checked by the call, not by the first step.
    """
    sampling = Sampling.of_call("stream()", options_for(model, ids, options))
    _, _, steps = begin(model, ids, max_new_tokens, sampling)
    single = rows_of(ids, "ids")[1] == "one" and sampling.num_samples == 1
    pairs = ((int(tokens[0]), float(logprobs[0])) if single else (tokens, logprobs) for tokens, logprobs in steps)
    return pairs if sampling.logprobs else (token for token, _ in pairs)


def options_for(model: Any, ids: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add with_ends() where what is given is text."""
    is_text = any(isinstance(row, str) for row in rows_of(ids, "ids")[0].values())
    return with_ends(model.tokenizer, options) if is_text else options


def with_ends(tokenizer: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Add to options that a text begins and ends at the tokenizer's <|endoftext|>, where it has one and they do not differ."""
    end = None if tokenizer is None else tokenizer.special_tokens.get(END_OF_TEXT)
    return {"start_id": end, "stop_ids": () if end is None else (end,), **options}


Watch = Callable[[str, np.ndarray], None]       # is told of each step the model's logits (B, V), then those of each option


def begin(model: GPT, ids: Any, max_new_tokens: int, sampling: Sampling,
          watch: Watch | None = None) -> tuple[Sampling, list[list[int]], Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Check everything -> the options for this model, the prompts, B lists of ids, and the steps, which compute nothing yet.

    Raises TypeError, ValueError.
    """
    config = model.config
    config.require_causal("generate")
    max_new_tokens = plain(max_new_tokens)
    check_count(max_new_tokens, 0, "max_new_tokens", "0 returns the prompt")
    if sampling.vocab_size is None and model.tokenizer is not None:
        sampling = replace(sampling, vocab_size=model.tokenizer.vocab_size)
    sampling = sampling.for_vocabulary(config.vocab_size)
    seeds = np.random.SeedSequence(sampling.seed)
    prompts = _checked_prompts(model, ids, sampling.start_id)
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
    return sampling, prompts, _steps(context, prompts, max_new_tokens, sampling, rngs, watch)


def _steps(context: Context, prompts: list[list[int]], max_new_tokens: int, sampling: Sampling,
           rngs: list[np.random.Generator], watch: Watch | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
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
        own = checked_logits(logits[active])
        if watch is not None:
            watch("model", own)
        warped = sampling.warped(own, [texts[r] for r in active], n_new, max_new_tokens - n_new, watch)
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


def _checked_prompts(model: GPT, ids: Any, start_id: int | None) -> list[list[int]]:
    """Check ids in any of the forms of generate() -> B lists of ids, copies."""
    prompts = []
    for name, row in rows_of(ids, "ids")[0].items():
        prompt = checked_row(encoded(row, model.tokenizer, name), model.config.vocab_size, name)
        if not prompt:
            if start_id is None:
                raise ValueError(f"{name}: empty, expected at least one token; give one, or start_id, where the text starts")
            prompt = [int(start_id)]
        prompts.append(prompt)
    return prompts
