"""How likely a model finds a text: the log-probability of every token, and what follows from it.

    model = GPT.from_pretrained("shakespeare-char")
    score = model.score("To be, or not to be: that is the question.")
    score                           Score(41 tokens, mean log p -1.37, perplexity 3.95)
    score.logprobs[5:].sum()        log p of the rest, given what comes before

What the models were trained to maximise; with it a model chooses among answers.  Articles A3 §4.3, A4 §3.1, A2 §8.3.
"""

import math
from dataclasses import dataclass

import numpy as np

from .nn.loss import cross_entropy_forward
from .nn.scope import Scope
from .sampling import checked_row
from .text import END_OF_TEXT, tokenizer_of


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """The log-probability, in nats, of each token of a text given those before it."""

    ids: np.ndarray             # (T,), the tokens that were scored
    logprobs: np.ndarray        # (T,), float64
    tokenizer: object = None    # the model's, for the picture

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

    def __len__(self):
        return len(self.ids)

    def __repr__(self):
        return f"Score({len(self)} tokens, mean log p {self.mean:.3g}, perplexity {self.perplexity:.3g})"

    def _repr_html_(self):
        from .study.pictures import label, surprise  # here: the arithmetic needs no pictures

        labels = [label(self.tokenizer, id) for id in self.ids]
        notes = [f"{word}: p {math.exp(p):.3g}, −log p {0 - p:.3g}" for word, p in zip(labels, self.logprobs, strict=True)]
        return f'<div class="tex2jax_ignore"><p>{self!r}</p>{surprise(self.logprobs, labels, notes)}</div>'


def score(model, text, start_id=None):
    r"""log p(x_t given x_<t) for every token of a text.

    text: str, which the model's tokenizer encodes, or ids (T,) -> Score of T tokens.  The first token is given start_id, by
    default the tokenizer's <|endoftext|>; where there is neither, the first is only read and T − 1 tokens are scored.

    A text longer than n_positions is read in windows that overlap by half: every token beyond the first window is given at
    least the n_positions/2 tokens before it (rounded down), and at most n_positions.
    Raises TypeError, ValueError for ids outside the vocabulary, and where there is no token to score.
    """
    if isinstance(text, str):
        text = tokenizer_of(model).encode(text)
    if start_id is None and model.tokenizer is not None:
        start_id = model.tokenizer.special_tokens.get(END_OF_TEXT)
    V, n = model.config.vocab_size, model.config.n_positions
    start = [] if start_id is None else checked_row([start_id], "start_id", V)
    ids = np.array(start + checked_row(text, "text", V), np.int64)
    if len(ids) < 2:
        raise ValueError(f"text: {len(ids) - len(start)} tokens, expected at least one to score; give more, or start_id")
    logprobs = np.empty(len(ids) - 1)
    done = first = 0
    while done < len(logprobs):
        targets = ids[None, first + 1 : first + n + 1]
        s = Scope.of(study=False)
        cross_entropy_forward(model(ids[None, first : first + targets.size]), targets, s)
        logprobs[done : first + targets.size] = -s.acts["nll"][0, done - first :]
        done = first + targets.size
        first += (n + 1) // 2
    return Score(ids[1:], logprobs, model.tokenizer)
