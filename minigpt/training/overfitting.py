"""Overfitting, noticed: the validation loss rises while the training loss falls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

RISE = 1.01         # a validation loss this many times the best one is no chance


class Evaluation(NamedTuple):
    """What was known at one evaluation, in nats per token"""

    step: int
    train_loss: float       # mean since the evaluation before
    val_loss: float


class Watch:
    """Looks at the losses of a run and speaks once.

        rising:  val_n > val_(n−1) > min val,  val_n ≥ 1.01 min val,  and the mean training loss fell since that minimum

        watch = Watch(rows)                     # those that the log has from earlier sittings, if any
        watch.add(step, train_loss, None)       # after each step; val_loss where there was an evaluation
        watch.add(step, train_loss, val_loss) -> a sentence, or None
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._losses: list[float] = []          # of the steps since the last evaluation
        self._evaluations: list[Evaluation] = []
        self._spoke = False
        for row in rows:
            self.add(row["step"], row["train_loss"], row["val_loss"])

    def add(self, step: int, train_loss: float, val_loss: float | None) -> str | None:
        """Note a step -> what is to be said after it."""
        self._losses.append(train_loss)
        if val_loss is None:
            return None
        self._evaluations.append(Evaluation(step, sum(self._losses) / len(self._losses), val_loss))
        self._losses.clear()
        best = min(self._evaluations, key=lambda evaluation: evaluation.val_loss)
        *_, before, now = (best, *self._evaluations)
        rises = now.val_loss > before.val_loss > best.val_loss and now.val_loss >= RISE * best.val_loss
        if self._spoke or not rises or now.train_loss >= best.train_loss:
            return None
        self._spoke = True
        return (f"since step {best.step} the validation loss has risen, {best.val_loss:.3f} to {now.val_loss:.3f}, while the "
                f"training loss fell, {best.train_loss:.3f} to {now.train_loss:.3f}: it begins to know its text by heart")
