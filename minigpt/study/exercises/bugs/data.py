"""The data of a training run: which windows of the text a step reads; and the faults in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ....training.batches import Batches
from ....training.corpora import split
from .fault import fault, measurement

if TYPE_CHECKING:
    from .run import Run

FRACTION = 0.8          # of the text is for training, the end for validation


# The right parts


def training_ids(ids: np.ndarray) -> np.ndarray:
    """The part of all ids (N,) that batches are taken from"""
    return split(ids, FRACTION)[0]


def next_batch(batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets (B, T) of the next step: each row consecutive tokens, each target the token after its input"""
    return batches.next()


# Measurements


@measurement("how many places the targets lie ahead of the inputs, the same in all rows")
def shift(run: Run) -> int | None:
    ids, targets = run.batch()
    T = ids.shape[1]
    return next((k for k in range(T) if np.array_equal(targets[:, : T - k], ids[:, k:])), None)


@measurement("how many of 4 rows, decoded, are a piece of the text")
def rows_of_text(run: Run) -> int:
    ids, _ = run.batch()
    return sum(run.tokenizer.decode(row) in run.text for row in ids)


@measurement("how many of 400 rows of training end in text that belongs to validation")
def rows_of_validation(run: Run) -> int:
    validation = run.tokenizer.decode(run.validation_ids)
    return sum(run.tokenizer.decode(row[-16:]) in validation for _ in range(100) for row in run.batch()[0])


# The faults


@fault(
    "data", "next_batch",
    words="the targets are the inputs themselves: nothing is shifted",
    effect="The model is asked for the token that it has just read, and learns to copy it: its loss falls almost to 0. "
           "Validation asks for the next token, of which it has learned nothing: that loss rises far above that of a guess. "
           "What is sampled repeats one character.",
    hints=(
        "Train 300 steps and look at both losses, and at run.sample(): can anyone guess each next letter of a sonnet?",
        "Take ids, targets = run.batch() and decode a row of both with run.tokenizer.decode(…): how far is one ahead?",
    ),
    shown_by=shift,
    steps=300,
)
def targets_not_shifted(batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = batches.next()
    return inputs, inputs           # right: return inputs, targets


@fault(
    "data", "training_ids",
    words="the windows of training are taken from the whole text, the validation part included",
    effect="The model has seen what it is tested on: the validation loss falls with the training loss, and no overfitting is "
           "ever seen. The number says nothing about new text.",
    hints=(
        "A right run has a higher loss in validation than in training. Train 300 steps, twice, here and in bugs.healthy(), "
        "and compare: which of the four numbers is too good?",
        "Decode rows of run.batch() and look for them in the text of run.validation_ids.",
    ),
    shown_by=rows_of_validation,
    steps=300,
)
def training_reads_validation(ids: np.ndarray) -> np.ndarray:
    return ids                      # right: return split(ids, FRACTION)[0]


@fault(
    "data", "next_batch",
    words="the rows of a batch are cut across: each mixes tokens of several places",
    effect="Each input is still followed by its target, so the model learns which letter follows which, and at first the "
           "loss falls as it should. But what stands before in a row is not what stood before in the text, so no word is "
           "ever learned.",
    hints=(
        "The losses of the first 300 steps are those of bugs.healthy(), and gradients and steps are right. What is left is "
        "what the model reads.",
        "Take ids, targets = run.batch() and read a row, run.tokenizer.decode(ids[0]).",
    ),
    shown_by=rows_of_text,
)
def rows_scrambled(batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = batches.next()
    B, T = inputs.shape
    inputs, targets = (x.reshape(T, B).T for x in (inputs, targets))        # right: inputs, targets = inputs, targets
    return inputs, targets


FAULTS = (targets_not_shifted, training_reads_validation, rows_scrambled)
