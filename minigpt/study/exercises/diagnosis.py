"""The diagnosis of a learner's function: what is wrong with it, in words, and which hints speak of that.

The function is run (running.py) and compared with the truth.  Where an output differs, guesses.py looks for the slips that give
the same numbers; what it does not find is described by wording.py, with what a right output always fulfills and this does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...system.language import Sentence, joined
from .exercise import Exercise, Invariant, Trial, equal, sentence
from .guesses import Guesses
from .running import SIZES, differs_when_repeated, drawn, run
from .wording import index, not_finite, unknown, wrong_kind, wrong_shape


@dataclass(frozen=True)
class Diagnosis:
    """problems: in words, none where the function is right; right: the right outputs; hints: numbers of those that help."""

    problems: tuple[str, ...]
    right: tuple[str, ...] = ()
    hints: tuple[int, ...] = ()


@np.errstate(all="ignore")      # what overflows shows in the results
def diagnose(exercise: Exercise, function: Callable[..., Any]) -> Diagnosis:
    """Test a learner's function."""
    trials: list[Trial] = []
    changed: set[str] = set()
    for inputs in drawn(exercise):
        trial = run(exercise, function, inputs, changed)
        if isinstance(trial, str):
            return Diagnosis((trial,))
        trials.append(trial)
    wrong: list[str] = []
    right: list[str] = []
    for name in exercise.outputs:
        same = all(wrong_kind(name, t.yours[name], t.truth[name]) is None
                   and equal(t.yours[name], t.truth[name], exercise.tolerance) for t in trials)
        (right if same else wrong).append(name)
    found = _explained(exercise, wrong, trials)
    problems, hints = [words for words, _ in found], [hint for _, hint in found if hint is not None]
    if not wrong and exercise.large is not None and not _right_on_large_numbers(exercise, function, changed):
        reason = sentence(exercise.unstable)
        problems.append(Sentence("right on ordinary numbers, but not on large ones: {reason}", reason=reason))
        hints.append(len(exercise.hints))
        right = []
    if differs_when_repeated(function, trials[0]):
        problems.append(Sentence("called a second time with the same inputs, your function gives something else: does it add "
                                 "to what an earlier call left, or draw random numbers?"))
    if changed:
        names = joined([name for name in exercise.inputs if name in changed])
        problems.append(Sentence("you changed your input in place: {names}. The caller may still need it: write x = x * 2 "
                                 "instead of x *= 2, or work on x.copy()", names=names))
    return Diagnosis(tuple(dict.fromkeys(problems)), tuple(right), tuple(dict.fromkeys(hints)))


def _explained(exercise: Exercise, wrong: list[str], trials: list[Trial]) -> list[tuple[str, int | None]]:
    """[(what is wrong, the number of the hint that speaks of it), …], in the order of the outputs"""
    kinds = {name: words for name in wrong for t in trials
             if (words := wrong_kind(name, t.yours[name], t.truth[name])) is not None}
    comparable = [name for name in wrong if name not in kinds and (isinstance(trials[0].truth[name], list)
                                                                   or any(np.any(t.yours[name]) for t in trials))]
    explanations = Guesses(exercise, trials).explain(comparable)
    with_factor = {slips[-1].words: factor for slips, factor in explanations.values() if slips and factor is not None}
    found: list[tuple[str, int | None]] = []
    for name in wrong:
        hint = exercise.hint_of.get(name)
        if name in kinds:
            found.append((kinds[name], None))
        elif name not in explanations:
            found += [(words, hint) for words in _described(exercise, name, trials)]
        elif slips := explanations[name][0]:
            found += [(_beside(slip.words, with_factor.get(slip.words)), slip.hint) for slip in slips]
        else:
            found.append((Sentence("your {output} is right but for {factor}", output=name, factor=explanations[name][1]), hint))
    return found


def _beside(words: str, factor: str | None) -> str:
    return words if factor is None else Sentence("{words}; besides, there is {factor}", words=sentence(words), factor=factor)


def _described(exercise: Exercise, name: str, trials: list[Trial]) -> list[str]:
    """What is wrong with an output that no guess explains, and which invariants it breaks"""
    bad = [t for t in trials if not equal(t.yours[name], t.truth[name], exercise.tolerance)]
    if isinstance(bad[0].truth[name], list):
        return [unknown(name, bad, trials)]
    for trial in bad:
        if np.shape(trial.yours[name]) != trial.truth[name].shape:
            return [wrong_shape(name, exercise.outputs[name], trial)]
    for trial in bad:
        if np.isfinite(trial.truth[name]).all() and not np.isfinite(trial.yours[name]).all():
            return [not_finite(name, trial)]
    if not any(np.any(t.yours[name]) for t in trials):
        return [Sentence("your {output} is zero everywhere", output=name)]
    return [unknown(name, bad, trials), *(words for invariant in exercise.invariants if invariant.output == name
                                          for words in _broken(invariant, bad))]


def _broken(invariant: Invariant, trials: list[Trial]) -> list[str]:
    """In words that an invariant does not hold, with the largest deviation; nothing where it holds"""
    for trial in trials:
        off = invariant.measure(trial, np.asarray(trial.yours[invariant.output]))
        if off is not None and (worst := np.max(abs(off), initial=0)) > 1e-6:
            at = index(np.argwhere(abs(off) == worst)[0])
            return [Sentence("{invariant}; here it is off by {worst:.3g}{at}", invariant=sentence(invariant.words), worst=worst,
                             at=Sentence(" at {at}", at=at) if at else "")]
    return []


def _right_on_large_numbers(exercise: Exercise, function: Callable[..., Any], changed: set[str]) -> bool:
    assert exercise.large is not None and exercise.draw is not None
    trial = run(exercise, function, exercise.large(exercise.draw(np.random.default_rng(0), *SIZES[0])), changed)
    return not isinstance(trial, str) and all(equal(trial.yours[name], trial.truth[name]) for name in exercise.outputs)
