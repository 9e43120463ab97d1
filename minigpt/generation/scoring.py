"""How likely a model finds a text: the log-probability of every token, and what follows from it.

    model = GPT.from_pretrained("shakespeare-char")
    score = model.score("To be, or not to be: that is the question.")
    score                           Score(41 tokens, mean log p -1.37, perplexity 3.95)
    score.logprobs[5:].sum()        log p of the rest, given what comes before
    model.choose("My gracious ", ["lord", "lady", "lion"])              the likeliest answer first

What the models were trained to maximise; with it a model chooses among answers.  Articles A3 §4.3, A4 §3.1, A2 §7.3, §8.3.
"""

import math
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from tqdm import tqdm

from ..nn.cross_entropy import IGNORED, cross_entropy_forward
from ..nn.scope import Scope
from ..nn.softmax import log_softmax, softmax
from .generate import Context
from .options import checked_row, finite
from .streaming import END_OF_TEXT, check_texts, tokenizer_of

SHOWN = 2000        # tokens of a long text that its picture has
LOGITS = 2**27      # the most scores that are computed together, 0.5 GB in float32, where one window has fewer


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """The log-probability, in nats, of each token of a text given those before it."""

    ids: np.ndarray             # (T,), the tokens that were scored
    logprobs: np.ndarray        # (T,), float64
    tokenizer: Any = None       # the model's, for the picture and the bytes

    @property
    def total(self):
        """log p of the whole text, the sum"""
        return float(self.logprobs.sum())

    @property
    def mean(self):
        """log p per token; the loss with the other sign"""
        return self.total / len(self.logprobs)

    @property
    def perplexity(self):
        r"""exp(−mean): among how many equally likely tokens the model would have to guess as well"""
        return math.exp(-self.mean) if self.mean > -700 else math.inf      # beyond, a float cannot hold it

    @property
    def n_bytes(self):
        """How many bytes the scored tokens stand for.  ValueError where the model has no tokenizer."""
        if self.tokenizer is None:
            raise ValueError("n_bytes: no tokenizer, expected one to count the bytes of tokens with; set model.tokenizer")
        return len(b"".join(map(self.tokenizer.token_bytes, self.ids.tolist())))

    @property
    def bits_per_byte(self):
        r"""−log₂ p per byte of the text: unlike perplexity it compares models whose tokens differ.  Errors: n_bytes"""
        return -self.total / math.log(2) / self.n_bytes

    def __len__(self):
        return len(self.ids)

    def __repr__(self):
        return f"Score({len(self)} tokens, mean log p {self.mean:.3g}, perplexity {self.perplexity:.3g})"

    def _repr_html_(self):
        from ..study.pictures import (
            label,
            surprise,  # here: the arithmetic needs no pictures
        )

        logprobs = self.logprobs[:SHOWN]
        labels = [label(self.tokenizer, id) for id in self.ids[:SHOWN]]
        notes = [f"{word}: p {math.exp(p):.3g}, −log p {0 - p:.3g}" for word, p in zip(labels, logprobs, strict=True)]
        rest = f", the first {SHOWN}:" if len(self) > SHOWN else ""
        return f'<div class="tex2jax_ignore"><p>{self!r}{rest}</p>{surprise(logprobs, labels, notes)}</div>'


def score(model, text, start_id=None, progress=False):
    r"""log p(x_t given x_<t) for every token of a text.

    text: str, which the model's tokenizer encodes, or ids (T,) -> Score of T tokens.  The first token is given start_id, by
    default the tokenizer's <|endoftext|>; where there is neither, the first is only read and T − 1 tokens are scored.
    progress: show a bar, for a long text.

    A text longer than n_positions is read in windows that overlap by half: every token beyond the first window is given at
    least the n_positions/2 tokens before it (rounded down), and at most n_positions.
    Raises TypeError, ValueError for ids outside the vocabulary, where there is no token to score, and for a model that has seen
    what it should predict (causal=False).
    """
    model.config.require_causal("score")
    if isinstance(text, str):
        text = tokenizer_of(model).encode(text)
    V, n = model.config.vocab_size, model.config.n_positions
    start = _start(model, start_id)
    ids = np.array(start + checked_row(text, "text", V), np.int64)
    if len(ids) < 2:
        raise ValueError(f"text: {len(ids) - len(start)} tokens, expected at least one to score; give more, or start_id")
    T = len(ids) - 1
    width, stride = min(n, T), (n + 1) // 2
    firsts = range(0, max(1, T - n + stride), stride)               # the last window reaches the end
    inputs, targets = np.zeros((len(firsts), width), np.int64), np.full((len(firsts), width), IGNORED)
    for i, first in enumerate(firsts):
        window = ids[first : first + width + 1]
        inputs[i, : len(window) - 1], targets[i, : len(window) - 1] = window[:-1], window[1:]
    targets[1:, : n - stride] = IGNORED                             # the window before has scored them
    together = max(1, min(model.pool.threads, LOGITS // (width * V)))       # a window for each thread, while memory lasts
    logprobs = []
    with tqdm(total=T, desc="scoring", unit="token", unit_scale=True, leave=False, disable=not progress) as bar:
        for i in range(0, len(firsts), together):
            part = slice(i, i + together)
            s = Scope.of(fast=model.fast)
            cross_entropy_forward(model(inputs[part]), targets[part], s)
            logprobs.append(-s.acts["nll"][targets[part] != IGNORED].astype(np.float64))
            bar.update(len(logprobs[-1]))
    return Score(ids[1:], np.concatenate(logprobs), model.tokenizer)


@dataclass(frozen=True)
class Choice:
    """An answer and how likely it is."""

    answer: str
    logprob: float          # log p of all its tokens, given the prompt
    score: float            # what answers are ranked by: logprob, or that per token or per byte
    probability: float      # softmax of the scores of all answers


def choose(model, prompt, answers, normalize=None):
    r"""The answers to a prompt, the likeliest first.

        logprob = Σ_t log p(y_t given prompt, y_<t),   score = logprob / length,   probability = softmax of the scores

        choose(model, "My gracious ", ["lion", "lord"])[0].answer -> "lord"

    prompt, answers: texts -> list of Choice.  Examples with their answers at the head of the prompt make it few-shot.

    normalize: None     length = 1.  probability is then P(answer given the prompt and that it is one of these), as long as
                        none begins another; longer answers are less likely
               "tokens" their number; what most tasks of GPT-3 are scored by, Brown et al. 2020 §2.4
               "bytes"  their number in UTF-8, which does not depend on the tokenizer

    Prompt and answer are tokenized as one text; given are the tokens of the prompt that stand in all of these, scored are the
    others, so that it does not matter on which side the space between them is.  Of a long prompt the end is given to all.
    Raises TypeError, ValueError; FloatingPointError where the model's scores are not finite.
    """
    model.config.require_causal("choose")
    if not isinstance(prompt, str):
        raise TypeError(f"prompt: {type(prompt).__name__}, expected a text; ids can be scored by model.score(ids)")
    check_texts(answers, "answers")
    if not answers:
        raise ValueError("answers: none, expected at least one; write ['yes', 'no']")
    if normalize not in (None, "tokens", "bytes"):
        raise ValueError(f"normalize: {normalize!r}, expected None, 'tokens' or 'bytes'")
    given, rows = _shared(tokenizer_of(model), prompt, answers)
    given = _start(model) + given
    if not given:
        raise ValueError("prompt: no token before the answers, expected at least one, as there is no <|endoftext|>; give more")
    n, longest = model.config.n_positions, max(map(len, rows))
    if longest > n:
        raise ValueError(f"answers: up to {longest} tokens, expected at most n_positions {n}; give shorter ones")
    logprobs = _logprobs(model, given[-(n + 1 - longest) :], rows)
    lengths = {None: [1] * len(rows), "tokens": map(len, rows), "bytes": (len(answer.encode()) for answer in answers)}
    scores = logprobs / np.array([*lengths[normalize]])
    choices = map(Choice, answers, logprobs.tolist(), scores.tolist(), softmax(scores).tolist())
    return sorted(choices, key=lambda choice: -choice.score)


def _shared(tokenizer, prompt, answers):
    """The first tokens of prompt + answer that are the prompt's for every answer, and for each the tokens after them"""
    head = tokenizer.encode(prompt)
    rows = [tokenizer.encode(prompt + answer) for answer in answers]
    n = sum(1 for _ in takewhile(lambda column: len({*column}) == 1, zip(head, *rows, strict=False)))
    return head[:n], [row[n:] for row in rows]


def _logprobs(model, given, rows):
    """log p of each of `rows` after `given` -> (len(rows),): as in generation, but that the tokens are not drawn"""
    longest = max(map(len, rows))
    context = Context(model, [given], len(given) + longest - 1)
    logits = finite(context.read())
    context.repeat(len(rows))
    logits = np.repeat(logits, len(rows), axis=0)
    total = np.zeros(len(rows))
    for t in range(longest):
        tokens = np.array([row[min(t, len(row) - 1)] for row in rows])          # a row that is done repeats its last
        going = np.array([t < len(row) for row in rows])
        total += going * log_softmax(logits.astype(np.float64))[np.arange(len(rows)), tokens]
        if t + 1 < longest:
            logits = finite(context.append(tokens))
    return total


def _start(model, start_id=None):
    """[the id that stands before a text], or [] where there is none"""
    if start_id is None and model.tokenizer is not None:
        start_id = model.tokenizer.special_tokens.get(END_OF_TEXT)
    return [] if start_id is None else checked_row([start_id], "start_id", model.config.vocab_size)
