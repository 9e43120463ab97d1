"""How likely a model finds a text: the log-probability of every token, and what follows from it.

    model = GPT.from_pretrained("shakespeare-char")
    score = model.score("To be, or not to be: that is the question.")
    score                           Score(41 tokens, mean log p -1.37, perplexity 3.95)
    score.logprobs[5:].sum()        log p of the rest, given what comes before
    model.choose("My gracious ", ["lord", "lady", "lion"])              the likeliest answer first

It is what the models were trained to maximize; with it a model chooses among answers.  Nothing is drawn here: generate.py.
Articles A3 §4.3, A4 §3.1, A2 §7.3, §8.3.
"""

import math
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from ..inputs import check_flag, checked_row, encoded, pad_rows, plain, require_tokenizer, rows_of
from ..models.gpt import GPT
from ..nn.cross_entropy import IGNORED, cross_entropy_forward
from ..nn.scope import Scope
from ..nn.softmax import log_softmax, softmax
from ..system.progress import Bar
from ..system.streams import Tolerant
from ..system.text import printable
from ..tokenization.formats import END_OF_TEXT
from .context import Context, checked_logits, ignore_overflow

MAX_SHOWN_TOKENS = 2000     # tokens of a long text in its picture
MAX_LOGITS = 2**27          # logits computed at once, 0.5 GB in float32; more only where a single window has more


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """How likely a text is: the log-probability, in nats, of each token given those before it."""

    ids: np.ndarray             # (T,), the tokens that were scored
    logprobs: np.ndarray        # (T,), float64
    tokenizer: Any = None       # the model's, for the picture and the bytes

    @property
    def total(self) -> float:
        """log p of the whole text: the sum over its tokens."""
        return float(self.logprobs.sum())

    @property
    def mean(self) -> float:
        """log p per token: the negative loss."""
        return self.total / len(self.logprobs)

    @property
    def perplexity(self) -> float:
        """exp(−mean): guessing among so many equally likely tokens would be as hard."""
        return math.exp(-self.mean) if self.mean > -700 else math.inf      # beyond, a float cannot hold it

    @property
    def n_bytes(self) -> int:
        """How many bytes the scored tokens stand for.  Raises ValueError where the model has no tokenizer."""
        if self.tokenizer is None:
            raise ValueError("n_bytes: no tokenizer, expected one to count the bytes of tokens with; set model.tokenizer")
        return len(b"".join(map(self.tokenizer.token_bytes, self.ids.tolist())))

    @property
    def bits_per_byte(self) -> float:
        """−log₂ p per byte of the text: unlike perplexity it compares models whose tokens differ.  Raises what n_bytes does."""
        return -self.total / math.log(2) / self.n_bytes

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Score({len(self)} tokens, mean log p {self.mean:.3g}, perplexity {self.perplexity:.3g})"

    def _repr_html_(self) -> str:
        from ..study.pictures import label, surprise  # here, since the arithmetic needs no pictures

        logprobs = self.logprobs[:MAX_SHOWN_TOKENS]
        labels = [label(self.tokenizer, id) for id in self.ids[:MAX_SHOWN_TOKENS]]
        notes = [f"{word}: p {math.exp(p):.3g}, −log p {0 - p:.3g}" for word, p in zip(labels, logprobs, strict=True)]
        rest = f", the first {MAX_SHOWN_TOKENS}:" if len(self) > MAX_SHOWN_TOKENS else ""
        return f'<div class="tex2jax_ignore"><p>{self!r}{rest}</p>{surprise(logprobs, labels, notes)}</div>'


def score(model: Any, text: Any, start_id: int | None = None, progress: bool = False) -> Any:
    """Compute the log-probability of every token of a text.

        log p(x_t | x_<t)

    text: str, which the model's tokenizer encodes, or ids (T,) -> Score of T tokens; several, a list of texts or of rows of
    ids or an array (B, T) -> a list of Scores.  Before the first token stands start_id, by default the tokenizer's
    <|endoftext|>; where there is neither, the first is only read and T − 1 tokens are scored.
    progress: show a bar, for a long text.

    A text longer than n_positions is read in windows that overlap by half: every token beyond the first window is predicted
    from at least the n_positions/2 tokens before it (rounded down), and at most n_positions.
    Raises TypeError, ValueError for ids outside the vocabulary, where there is no token to score, and for a model that sees
    what it should predict (causal=False); FloatingPointError, naming the token, for a log-probability that is not finite.
    """
    model.config.require_causal("score")
    start_id, progress = plain(start_id), plain(progress)
    check_flag(progress, "progress")
    texts, form = rows_of(text, "text")
    start = _start(model, start_id)
    rows = {name: _checked(model, row, name) for name, row in texts.items()}
    for name, row in rows.items():
        if len(start + row) < 2:
            raise ValueError(f"{name}: {len(row)} tokens, expected at least two, since nothing stands before the first; give "
                             "more, or start_id")
    scores = [_score(model, start, row, name, progress) for name, row in rows.items()]
    return scores[0] if form == "one" else scores


def _score(model: GPT, start: list[int], row: list[int], name: str, progress: bool) -> Score:
    V, n = model.config.vocab_size, model.config.n_positions
    ids = np.array(start + row, np.int64)
    T = len(ids) - 1
    width, stride = min(n, T), (n + 1) // 2
    firsts = range(0, max(1, T - n + stride), stride)               # the last window reaches the end
    windows = [ids[first : first + width + 1] for first in firsts]
    inputs, targets = pad_rows([window[:-1] for window in windows], 0), pad_rows([window[1:] for window in windows], IGNORED)
    targets[1:, : n - stride] = IGNORED                             # the previous window has scored them
    at_once = max(1, min(model.pool.threads, MAX_LOGITS // (width * V)))    # a window for each thread, while memory lasts
    parts = []
    with Bar(total=T, desc="scoring", unit="token", unit_scale=True, leave=False, disable=not progress,
              file=Tolerant(sys.stderr)) as bar:
        for i in range(0, len(firsts), at_once):
            batch = slice(i, i + at_once)
            s = Scope.of(fast=model.fast)
            with ignore_overflow():
                cross_entropy_forward(model(inputs[batch]), targets[batch], s)
            parts.append(-s.acts["nll"][targets[batch] != IGNORED].astype(np.float64))
            bar.update(len(parts[-1]))
    logprobs = np.concatenate(parts)
    finite = np.isfinite(logprobs)
    if not finite.all():
        place = finite.argmin() + 1 - len(start)
        raise FloatingPointError(f"{name}[{place}]: log p is {logprobs[finite.argmin()]}, expected a finite number; check the "
                                 "model's weights with model.first_nonfinite()")
    return Score(ids[1:], logprobs, model.tokenizer)


@dataclass(frozen=True)
class Choice:
    """An answer and how likely it is."""

    answer: Any             # as it was given: a text, or ids
    logprob: float          # log p of all its tokens, given the prompt
    score: float            # what answers are ranked by: logprob, or that per token or per byte
    probability: float      # softmax of the scores of all answers


def choose(model: Any, prompt: Any, answers: Collection[Any], normalize: str | None = None) -> Any:
    """Rank the answers to a prompt, the likeliest first.

        logprob = Σ_t log p(y_t | prompt, y_<t),   score = logprob / length,   probability = softmax of the scores

        choose(model, "My gracious ", ["lion", "lord"])[0].answer -> "lord"

    prompt, answers: texts -> list of Choice.  Examples with their answers at the head of the prompt make it few-shot.
    Both may also be ids; several prompts, a list or an array (B, T) -> a list of such lists.

    normalize: None     length = 1.  probability is then P(answer | the prompt, and that it is one of these), as long as
                        none begins another; longer answers are less likely
               "tokens" length in tokens, by which most tasks of GPT-3 are scored, Brown et al. 2020 §2.4
               "bytes"  length in bytes of UTF-8, which does not depend on the tokenizer

    Prompt and answer are tokenized as one text.  The tokens that the prompt then shares with all of these texts are given and
    the others scored, so it does not matter on which side the space between them is.  Ids are taken as they are: after a prompt
    of ids each answer is tokenized by itself.  Longer prompts are truncated on the left, for all answers alike.
    Raises TypeError, ValueError; FloatingPointError where the model's logits are not finite.
    """
    model.config.require_causal("choose")
    prompts, form = rows_of(prompt, "prompt")
    answers, normalize = _checked_answers(answers), plain(normalize)
    if normalize is not None and not (isinstance(normalize, str) and normalize in ("tokens", "bytes")):
        raise ValueError(f"normalize: {printable(repr(normalize))}, expected None, 'tokens' or 'bytes'")
    choices = [_choose(model, name, row, answers, normalize) for name, row in prompts.items()]
    return choices[0] if form == "one" else choices


def _checked_answers(answers: Any) -> list[Any]:
    """Texts or rows of ids, at least one and none empty, as a list.  Raises TypeError, ValueError for others."""
    answers = plain(answers)
    if isinstance(answers, str) or not isinstance(answers, (Collection, np.ndarray)) or not all(
            isinstance(answer, (str, Sequence)) or (isinstance(answer, np.ndarray) and answer.ndim) for answer in answers):
        raise TypeError(f"answers: {printable(repr(answers))}, expected a sequence of texts; write ('…',)")
    if len(answers) == 0:
        raise ValueError("answers: none, expected at least one; write ['yes', 'no']")
    if any(len(answer) == 0 for answer in answers):
        raise ValueError(f"answers: {printable(repr(answers))}, expected no empty text; leave it out")
    return list(answers)


def _choose(model: GPT, name: str, prompt: Any, answers: Collection[Any], normalize: str | None) -> list[Choice]:
    given, rows = _given_and_rows(model, name, prompt, answers)
    given = _start(model) + given
    if not given:
        raise ValueError(f"{name}: no token before the answers, expected at least one, as there is no <|endoftext|>; give more")
    n, longest = model.config.n_positions, max(map(len, rows))
    if longest > n:
        raise ValueError(f"answers: up to {longest} tokens, expected at most n_positions {n}; give shorter ones")
    logprobs = _logprobs(model, given[-(n + 1 - longest) :], rows)
    lengths = [1] * len(rows)
    if normalize == "tokens":
        lengths = [len(row) for row in rows]
    elif normalize == "bytes":
        lengths = [_n_bytes(model, answer) for answer in answers]
    scores = logprobs / np.array(lengths)
    choices = map(Choice, answers, logprobs.tolist(), scores.tolist(), softmax(scores).tolist())
    return sorted(choices, key=lambda choice: -choice.score)


def _given_and_rows(model: GPT, name: str, prompt: Any, answers: Collection[Any]) -> tuple[list[int], list[list[int]]]:
    """Encode what is given before the answers, and each answer -> ids, and for each answer ids.

    Where all are texts, prompt + answer are tokenized for each: what all share with the prompt is given, the rest scored.
    """
    if not all(isinstance(text, str) for text in (prompt, *answers)):
        rows = [_checked(model, answer, f"answers[{i}]") for i, answer in enumerate(answers)]
        return _checked(model, prompt, name), rows
    head = encoded(prompt, model.tokenizer, name)
    rows = [encoded(prompt + answer, model.tokenizer) for answer in answers]
    n = sum(1 for _ in takewhile(lambda column: len({*column}) == 1, zip(head, *rows, strict=False)))
    return head[:n], [row[n:] for row in rows]


def _checked(model: GPT, row: Any, name: str) -> list[int]:
    """Check one text or row of ids -> ids."""
    return checked_row(encoded(row, model.tokenizer, name), model.config.vocab_size, name)


def _n_bytes(model: GPT, answer: Any) -> int:
    if isinstance(answer, str):
        return len(answer.encode())
    return len(b"".join(map(require_tokenizer(model).token_bytes, answer)))


def _logprobs(model: GPT, given: list[int], rows: list[list[int]]) -> np.ndarray:
    """Compute log p of each of `rows` after `given` -> (len(rows),): as in generation, but that the tokens are not drawn."""
    longest = max(map(len, rows))
    context = Context(model, [given], len(given) + longest - 1)
    logits = checked_logits(context.read())
    context.repeat(len(rows))
    logits = np.repeat(logits, len(rows), axis=0)
    total = np.zeros(len(rows))
    for t in range(longest):
        tokens = np.array([row[min(t, len(row) - 1)] for row in rows])          # a shorter row repeats its last
        active = np.array([t < len(row) for row in rows])
        total += active * log_softmax(logits.astype(np.float64))[np.arange(len(rows)), tokens]
        if t + 1 < longest:
            logits = checked_logits(context.append(tokens))
    return total


def _start(model: GPT, start_id: int | None = None) -> list[int]:
    """Return [the id that stands before a text], or [] where there is none."""
    if start_id is None and model.tokenizer is not None:
        start_id = model.tokenizer.special_tokens.get(END_OF_TEXT)
    return [] if start_id is None else checked_row([start_id], model.config.vocab_size, "start_id")
