"""The forward pass of a training run: what each position gets to see; and the faults in it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ....nn import Scope, attention_forward, dropout_forward, embedding_forward, softmax
from ....nn.cross_entropy import IGNORED
from .fault import fault, measurement

if TYPE_CHECKING:
    from .run import Run


# The right parts; attention_forward is minigpt/nn/'s own


def embedding(ids: np.ndarray, positions: np.ndarray, s: Scope) -> np.ndarray:
    """Each token's vector and its position's: ids (B, T), positions (T,) -> (B, T, C)"""
    return embedding_forward(ids, s.at("wte")) + embedding_forward(positions, s.at("wpe"))


def dropout(x: np.ndarray, s: Scope, p: float) -> np.ndarray:
    """Drop with probability p in training, whose passes have a dropout_key; else nothing: x -> the same shape"""
    return dropout_forward(x, s, p)


# Measurements


@measurement("how far ahead of a position a changed token changes its loss: while evaluating, and in training")
def positions_ahead(run: Run) -> str:
    ids, targets = (x[:1, :8] for x in run.batch())
    targets = np.where(np.arange(8) == 0, targets, IGNORED)         # the loss of position 0 alone

    def ahead(dropout_key: tuple[int, ...] | None) -> int:          # a pass with a key is one of training
        def loss(ids: np.ndarray) -> float:
            return run.model.loss_and_grads(ids, targets, dropout_key=dropout_key)[0]

        changed = [np.where(np.arange(8) == t, ids + 1, ids) % run.tokenizer.vocab_size for t in range(8)]
        return max(t for t in range(8) if abs(loss(changed[t]) - loss(ids)) > 1e-12)

    return f"{ahead(None)}, {ahead((0,))}"


@measurement("what the products of queries and keys are multiplied by")
def scale(run: Run) -> float:
    trace = run.model.trace(run.batch()[0], names="h.0.attn.*")
    q, k, scores = (trace[f"h.0.attn.{name}"].value[0, 0, -1] for name in ("q", "k", "scores"))
    return float(scores[-1] / (q @ k))


@measurement("how many different vectors of position there are in a row")
def different_positions(run: Run) -> int:
    trace = run.model.trace(run.batch()[0], names="wpe.out")
    return len(np.unique(trace["wpe.out"].value, axis=0))


@measurement("the share of zeros in what the first block gets, outside training")
def zeros(run: Run) -> float:
    trace = run.model.trace(run.batch()[0], names="h.0.in")
    return float(np.mean(trace["h.0.in"].value == 0))


# The faults


@fault(
    "mask", "attention_forward",
    words="the causal mask is off by one: each position also sees the one after it",
    effect="The input after a position is its target. Attention learns to look there, and the loss falls far below what "
           "guessing allows. A text that is being written has no next token to look at, so samples are as bad as ever.",
    hints=(
        "Train 300 steps: the loss falls far below that of a right run, in validation too. Then look at run.sample().",
        'Look at the weights of a head, run.model.trace(ids, names="h.0.attn.att")["h.0.attn.att"].value[0, 0].round(2): '
        'which is the last in each row that is not 0?',
    ),
    shown_by=positions_ahead,
    steps=300,
)
def mask_sees_next(q: np.ndarray, k: np.ndarray, v: np.ndarray, s: Scope) -> np.ndarray:
    q, k, v = s.record("q", q), s.record("k", k), s.record("v", v)
    T, S, D = q.shape[-2], *k.shape[-2:]
    scale = s.saved["scale"] = 1 / math.sqrt(D)
    seen = np.tri(T, S, S - T + 1, bool)        # right: seen = np.tri(T, S, S - T, bool)
    scores = s.record("scores", np.where(seen, scale * (q @ k.swapaxes(-1, -2)), -np.inf))
    att = s.record("att", softmax(scores))
    s.acts["drop"] = np.ones(())
    return s.record("o", att @ v)


@fault(
    "mask", "attention_forward",
    words="the causal mask is missing while evaluating",
    effect="Training is right, but the loss of validation is that of another model, one that also averages over the tokens "
           "to come, as it has never learned to: the number is too high, and samples are better than it says.",
    hints=(
        "Training sees what it should. So compare what the model does in training and outside: run.model.loss_and_grads(ids, "
        "targets, dropout_key=(0,)) and run.model.loss(ids, targets).",
        'Look at the weights of a head, run.model.trace(ids, names="h.0.attn.att")["h.0.attn.att"].value[0, 0].round(2): '
        'what is above the diagonal?',
    ),
    shown_by=positions_ahead,
)
def mask_missing_at_evaluation(q: np.ndarray, k: np.ndarray, v: np.ndarray, s: Scope) -> np.ndarray:
    training = s.run.dropout_key is not None
    return attention_forward(q, k, v, s, causal=training)           # right: return attention_forward(q, k, v, s)


@fault(
    "mask", "attention_forward",
    words="attention's scores lack the factor 1/√D",
    effect="Scores are √D times too large, so that the softmax soon puts all its weight on one key and hardly has a "
           "gradient. A model as small as this one learns almost as well; wide ones, with D = 64 and more, learn worse.",
    hints=(
        "Nothing is seen in the loss, and the gradients are right: the function itself is another one. Read a trace against "
        "the equations that print(trace) shows.",
        'Take q, k and scores of "h.0.attn" from a trace and compare scores with q @ k.swapaxes(-1, -2).',
    ),
    shown_by=scale,
)
def scale_missing(q: np.ndarray, k: np.ndarray, v: np.ndarray, s: Scope) -> np.ndarray:
    return attention_forward(q, k, v, s, scale=1.0)                 # right: return attention_forward(q, k, v, s)


@fault(
    "mask", "embedding",
    words="positions begin again at 0 in the middle of a row",
    effect="Positions that are half a row apart have the same vector, so attention cannot tell how far back a token stands. "
           "The second half of the table never learns.",
    hints=(
        "A gradient that is 0 where it should not be tells much: after loss, grads = run.gradient(*run.batch()) look at the "
        "rows of each array.",
        'Count the rows of grads["wpe.weight"] that are not 0, or the different rows of "wpe.out" in a trace.',
    ),
    shown_by=different_positions,
)
def positions_restart(ids: np.ndarray, positions: np.ndarray, s: Scope) -> np.ndarray:
    n_positions = len(s.params["wpe.weight"])
    positions = positions % (n_positions // 2)                      # right: positions = positions % n_positions
    return embedding_forward(ids, s.at("wte")) + embedding_forward(positions, s.at("wpe"))


@fault(
    "mask", "dropout",
    words="dropout also drops while evaluating",
    effect="A tenth of all numbers is thrown away in validation and sampling too: the validation loss is too high, and "
           "samples are worse than the model.",
    hints=(
        "Compare what the model does in training and outside: what should be there in training alone?",
        "Outside training h.0.in is wte.out + wpe.out, to the last bit. Compare the three in a trace.",
    ),
    shown_by=zeros,
)
def dropout_at_evaluation(x: np.ndarray, s: Scope, p: float) -> np.ndarray:
    key = s.run.dropout_key or (0,)         # right: key = s.run.dropout_key
    run = replace(s.run, dropout_key=key)
    return dropout_forward(x, Scope(s.params, s.grads, s.acts, s.dacts, run, s.name), p)


FAULTS = (mask_sees_next, mask_missing_at_evaluation, scale_missing, positions_restart, dropout_at_evaluation)
