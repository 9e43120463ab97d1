"""The options of generation: how the next token is chosen, and when a row ends; their checks, and their order.

What an option does to a distribution is in warpers.py; the loop that applies them is in generate.py.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..inputs import check_count, check_number, checked_row, plain
from ..system.option_names import check_options, names_options
from .warpers import (
    add_bias,
    forbid,
    forbid_repeated_ngrams,
    forbid_words,
    force_words,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    occurs_in,
    penalize_repetition,
    scale_by_temperature,
)


@names_options
@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The options of generate() and stream(): how the next token is chosen, and when a row ends.

    warped() applies them, in the order of stages().
    Raises TypeError, ValueError for what no model could take, listing all of it.
    """

    temperature: float = 1.0            # logits are divided by it; 0 takes the most likely token, the lowest id of several
    top_k: int | None = None            # keep_top_k(); None and 0 keep all
    top_p: float | None = None          # keep_top_p(); None keeps all
    min_p: float | None = None          # keep_min_p(); None keeps all
    repetition_penalty: float = 1.0     # penalize_repetition(), over prompt and output; 1 changes nothing
    no_repeat_ngram_size: int = 0       # forbid_repeated_ngrams() of this length, over prompt and output; 0 forbids none
    bad_words_ids: Sequence[Sequence[int]] = ()     # forbid_words(): sequences of tokens that are never completed
    force_words_ids: Sequence[Sequence[int]] = ()   # force_words(): sequences that occur in each row's output before it ends
    # add_bias(): {id: value}, or {(id, …): value}; +100 all but forces a token, −100 or −∞ rules it out, and ±5 steers
    logit_bias: Mapping[int | tuple[int, ...], float] | None = None
    # f(ids, logits) -> logits, or several in turn: a row's ids so far (T,) int64, prompt included, and the logits (V,) float64
    # of its next token, which f may overwrite.  Each row comes alone, without padding
    logits_processor: Callable | Sequence[Callable] = ()
    min_new_tokens: int = 0             # no stop token is drawn before so many others
    stop_ids: Iterable[int] = ()        # tokens that end a sequence; kept, then repeated as padding until all sequences end
    start_id: int | None = None         # the token from which an empty prompt starts, such as that of <|endoftext|>
    # A number, or several; None draws a new one.  Row r uses the r-th child of np.random.SeedSequence(seed), so except for
    # rounding its tokens do not depend on how many rows run beside it
    seed: int | Sequence[int] | None = None
    num_samples: int = 1                # n > 1 continues each prompt n times
    # also return log p of each new token under the model itself, before any warper, as in GPT.score(); 0 where a row had ended
    logprobs: bool = False
    # Ids from here on are never drawn.  None: those that model.tokenizer has no text for, where the model's table is padded
    vocab_size: int | None = None
    # When a row has n_positions tokens, forget the older half of them (rounded up) and go on.  The others are read anew from
    # position 0, at the cost of one prompt every n_positions/2 tokens, and nothing of the forgotten half has an effect any
    # more.  Longer prompts are truncated on the left
    sliding_window: bool = False

    def __post_init__(self) -> None:
        bad: list[Exception] = []
        for name in OPTION_NAMES:
            object.__setattr__(self, name, plain(getattr(self, name)))

        def check(how: Callable[..., Any], *arguments: Any) -> None:
            try:
                how(*arguments)
            except (TypeError, ValueError) as error:
                bad.append(error)

        check(check_number, self.temperature, 0, math.inf, "temperature",
              "a finite number from 0; 0 takes the most likely token")
        for name, value in (("top_p", self.top_p), ("min_p", self.min_p)):
            if value is not None:
                check(check_number, value, 0, 1, name, "a probability from 0 to 1; None keeps all tokens")
        if self.top_k is not None:
            check(check_count, self.top_k, 0, "top_k", "None keeps all tokens")
        check(check_number, self.repetition_penalty, math.ulp(0), math.inf, "repetition_penalty",
              "a finite number above 0; 1 changes nothing")
        check(check_count, self.no_repeat_ngram_size, 0, "no_repeat_ngram_size", "0 forbids none")
        for name in ("bad_words_ids", "force_words_ids"):
            check(_check_is, np.iterable(getattr(self, name)), self, name, "a sequence of lists of ids")
        check(_check_is, isinstance(self.logit_bias, Mapping | None), self, "logit_bias", "{id: value}; write {42: -100}")
        processors: Any = self.logits_processor
        check(_check_is, callable(processors) or (isinstance(processors, Sequence) and all(map(callable, processors))),
              self, "logits_processor", "f(ids, logits) -> logits, or several")
        check(check_count, self.min_new_tokens, 0, "min_new_tokens", "0 lets a row end at once")
        check(_check_is, np.iterable(self.stop_ids), self, "stop_ids", f"a sequence of ids; write ({self.stop_ids!r},)")
        if self.start_id is not None:
            check(check_count, self.start_id, 0, "start_id", "give an id, or None")
        check(_check_seed, self.seed)
        check(check_count, self.num_samples, 1, "num_samples", "1 continues each prompt once")
        if self.vocab_size is not None:
            check(check_count, self.vocab_size, 1, "vocab_size", "None leaves out ids without text")
        for name in ("logprobs", "sliding_window"):
            check(_check_is, isinstance(getattr(self, name), bool), self, name, "True or False")
        if bad:     # one of them keeps its kind; of several, a wrong type counts more than a wrong value
            kind = TypeError if any(isinstance(error, TypeError) for error in bad) else ValueError
            raise kind("; ".join(map(str, bad)))

    @classmethod
    def of_call(cls, who: str, options: Mapping[str, Any]) -> "Sampling":
        """Make them of the options of a call.  Raises TypeError that names the nearest for one that there is not."""
        check_options(options, ["max_new_tokens", *OPTION_NAMES], who)
        return cls(**options)

    def for_vocabulary(self, vocab_size: int) -> "Sampling":
        """Check all ids against a vocabulary -> the same options, with the ids in lists of their own.

        Raises TypeError, ValueError.
        """
        if self.start_id is not None:
            checked_row([self.start_id], vocab_size, "start_id")
        bias = self._checked_bias(vocab_size)
        bad_words = _checked_words(self.bad_words_ids, "bad_words_ids", vocab_size)
        stop_ids = checked_row(list(self.stop_ids), vocab_size, "stop_ids")
        banned = [*bad_words, *(list(word) for word, value in bias.items() if value == -math.inf), *([id] for id in stop_ids)]
        drawn = vocab_size if self.vocab_size is None else min(self.vocab_size, vocab_size)
        forced = _checked_words(self.force_words_ids, "force_words_ids", drawn)
        for i, word in enumerate(forced):
            if found := [other for other in banned if occurs_in(word, other)]:
                raise ValueError(
                    f"force_words_ids[{i}]: {word}, expected none with {found[0]} in it, since bad_words_ids, logit_bias or "
                    "stop_ids rule that out; remove one of the two"
                )
        processors: Any = (self.logits_processor,) if callable(self.logits_processor) else self.logits_processor
        return replace(self, bad_words_ids=bad_words, force_words_ids=forced, logit_bias=bias, stop_ids=stop_ids,
                       logits_processor=tuple(processors), vocab_size=drawn)

    def _checked_bias(self, vocab_size: int) -> dict[Any, float]:
        """Check logit_bias -> {ids: value}, ids a tuple."""
        bias = {}
        for ids, value in (self.logit_bias or {}).items():
            word = checked_row(ids if isinstance(ids, tuple) else (ids,), vocab_size, "logit_bias key")
            if not word:
                raise ValueError("logit_bias: key (), expected an id, or a tuple of at least one; remove it")
            if value != -math.inf:
                check_number(value, -math.inf, math.inf, f"logit_bias[{ids!r}]", "a finite number or -inf; 100 forces as well")
            bias[tuple(word)] = float(value)
        return bias

    def warped(self, logits: np.ndarray, texts: Sequence[list[int]], n_new: int, n_left: int,
               watch: Callable[[str, np.ndarray], None] | None = None) -> np.ndarray:
        """Apply all stages(): logits (B, V) -> (B, V) float64.  watch(name, logits) is told what each of them made of it."""
        warped = logits
        for name, warped in self.stages(logits, texts, n_new, n_left):
            if watch is not None:
                watch(name, warped)
        return warped

    def stages(self, logits: np.ndarray, texts: Sequence[list[int]], n_new: int,
               n_left: int) -> Iterator[tuple[str, np.ndarray]]:
        """Apply every option that is asked for, in Hugging Face's order, which matters; yield its name and the new logits.

        logits (B, V) -> (B, V) float64.  texts: B lists of ids, prompt and output so far, of which n_new were drawn; n_left
        more may be.  self is what for_vocabulary() returned.  Forced words, which Hugging Face has not, come before the
        temperature.  A temperature of 0 ends it there: what follows cannot change which token is the most likely.
        Raises ValueError where no token is left.
        """
        if self.vocab_size is not None and self.vocab_size < logits.shape[-1]:
            yield "vocab_size", (logits := forbid(logits, slice(self.vocab_size, None)))
        if self.logit_bias:
            yield "logit_bias", (logits := add_bias(logits, texts, self.logit_bias))
        if self.repetition_penalty != 1:
            yield "repetition_penalty", (logits := penalize_repetition(logits, texts, self.repetition_penalty))
        if self.no_repeat_ngram_size:
            yield "no_repeat_ngram_size", (logits := forbid_repeated_ngrams(logits, texts, self.no_repeat_ngram_size))
        if self.bad_words_ids:
            yield "bad_words_ids", (logits := forbid_words(logits, texts, self.bad_words_ids))
        if n_new < self.min_new_tokens:
            yield "min_new_tokens", (logits := forbid(logits, self.stop_ids))
        if self.logits_processor:
            yield "logits_processor", (logits := _processed(logits, texts, self.logits_processor))
        if self.force_words_ids:
            outputs = [text[len(text) - n_new :] for text in texts]
            yield "force_words_ids", (logits := force_words(logits, outputs, self.force_words_ids, n_left, self.stop_ids))
        if (logits.max(-1) == -np.inf).any():
            raise ValueError(
                f"generate: every token is ruled out after {n_new} new ones, expected at least one to draw; loosen "
                "no_repeat_ngram_size, bad_words_ids, min_new_tokens, logit_bias, logits_processor or force_words_ids"
            )
        if self.temperature == 0:
            return
        yield "temperature", (logits := scale_by_temperature(logits, self.temperature))
        if self.top_k:
            yield "top_k", (logits := keep_top_k(logits, self.top_k))
        if self.top_p is not None:
            yield "top_p", (logits := keep_top_p(logits, self.top_p))
        if self.min_p is not None:
            yield "min_p", keep_min_p(logits, self.min_p)


OPTION_NAMES = tuple(field.name for field in fields(Sampling))


def _check_is(right: bool, options: "Sampling", name: str, expected: str) -> None:
    if not right:
        raise TypeError(f"{name}: {getattr(options, name)!r}, expected {expected}")


def _check_seed(seed: Any) -> None:
    try:
        np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed: {seed!r}, expected a whole number from 0, or several; None draws a new one") from None


def _processed(logits: np.ndarray, texts: Sequence[Any], processors: Any) -> np.ndarray:
    """Apply the caller's processors to each row of logits (B, V), in turn, and check what they return."""
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


def _checked_words(words: Iterable[Any], name: str, vocab_size: int) -> list[list[int]]:
    """Check sequences of ids, none empty -> lists."""
    checked = [checked_row(word, vocab_size, f"{name}[{i}]") for i, word in enumerate(words)]
    if [] in checked:
        raise ValueError(f"{name}[{checked.index([])}]: empty, expected at least one token; remove it")
    return checked
