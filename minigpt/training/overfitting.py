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
    """Looks at the losses of a run and speaks once, and again only if a new minimum has shown that it was wrong.

        rising:  val_n > val_(n−1) > min val,  val_n ≥ 1.01 min val,  the mean training loss fell since that minimum,
                 and that was a quarter of all steps ago: where evaluations are a step or two apart, losses go up and down

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
        if now is best:
            self._spoke = False
        rises = now.val_loss > before.val_loss > best.val_loss and now.val_loss >= RISE * best.val_loss
        is_long_ago = 4 * (now.step - best.step) >= now.step
        if self._spoke or not rises or not is_long_ago or now.train_loss >= best.train_loss:
            return None
        self._spoke = True
        return (f"since step {best.step} the validation loss has risen, {best.val_loss:.3f} to {now.val_loss:.3f}, while the "
                f"training loss fell, {best.train_loss:.3f} to {now.train_loss:.3f}: it begins to know its text by heart")
