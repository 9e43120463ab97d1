"""Guessing what a learner did: slips of the exercise and general ones, alone, with a factor, or two at once.

A guess is tried by making the slip in the exercise's own formula.  It is right when the result is the learner's, number by
number, at every size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...nn import softmax
from ...system.language import Sentence
from .exercise import Exercise, Slips, Trial, equal
from .wording import factor


@dataclass(frozen=True)
class Guess:
    """One slip: a switch of the formula, or a change of its inputs, or something done to its result"""

    words: str
    hint: int
    key: str
    change: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    wrap: Callable[[Any], Any] | None = None


Guessed = tuple[Guess, ...]
Explanation = tuple[Guessed, "str | None"]      # the slips, and in words a factor beside them

WRAPS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    (Sentence("the exponential"), np.exp),
    (Sentence("the logarithm"), np.log),
    (Sentence("the square"), np.square),
    (Sentence("the square root"), np.sqrt),
    (Sentence("the inverse, 1/x,"), np.reciprocal),
    (Sentence("the softmax"), lambda x: softmax(x) if np.ndim(x) else np.ones(())),
    (Sentence("the absolute value"), np.abs),
    (Sentence("the positive part"), lambda x: np.maximum(x, 0)),
)


class Guesses:
    """All guesses at one learner's function"""

    def __init__(self, exercise: Exercise, trials: list[Trial]) -> None:
        self.exercise, self.trials = exercise, trials
        self.slips = [Guess(slip.words, slip.hint, key) for key, slip in exercise.slips.items()]
        self._cache: dict[tuple[frozenset[str], int], dict[str, Any] | None] = {}

    def explain(self, wrong: Sequence[str]) -> dict[str, Explanation]:
        """{output: what explains it} for those of the wrong outputs that some guess explains"""
        found: dict[str, Explanation] = {}
        for search in (self._one, self._with_a_factor, self._general, self._one_more, self._two, self._one_more):
            for name in wrong:
                if name not in found and (explanation := search(name, [guessed for guessed, _ in found.values()])) is not None:
                    found[name] = explanation
        return found

    def _one(self, name: str, others: list[Guessed]) -> Explanation | None:
        return next((((slip,), None) for slip in self.slips if self._gives((slip,), name)), None)

    def _with_a_factor(self, name: str, others: list[Guessed]) -> Explanation | None:
        """Nothing but a factor is wrong, or one slip and a factor"""
        for guessed in ((), *((slip,) for slip in self.slips)):
            if (words := factor([(t.yours[name], self._output(guessed, i, name)) for i, t in enumerate(self.trials)],
                                self.trials)) is not None:
                return guessed, words
        return None

    def _general(self, name: str, others: list[Guessed]) -> Explanation | None:
        for other in self.exercise.outputs:
            if other != name and all(equal(trial.yours[name], trial.truth[other]) for trial in self.trials):
                words = Sentence("your {output} is what {other} should be: return {outputs} in this "
                                 "order", output=name, other=other,
                                 outputs=", ".join(self.exercise.outputs))
                return (Guess(words, 0, ""),), None
        return next((((guess,), None) for guess in self._possible_anywhere(name) if self._gives((guess,), name)), None)

    def _two(self, name: str, others: list[Guessed]) -> Explanation | None:
        general = self._possible_anywhere(name)
        two = itertools.chain(itertools.combinations(self.slips, 2), itertools.product(self.slips, general))
        return next(((guessed, None) for guessed in two if self._gives(guessed, name)), None)

    def _one_more(self, name: str, others: list[Guessed]) -> Explanation | None:
        """What was found in another output, and one slip more"""
        more = ((*guessed, guess) for guessed in others for guess in (*self.slips, *self._possible_anywhere(name)))
        return next(((guessed, None) for guessed in more if self._gives(guessed, name)), None)

    def _possible_anywhere(self, name: str) -> Iterator[Guess]:
        """Slips that are possible in any exercise"""
        inputs, letters = self.trials[0].inputs, self.exercise.inputs
        for a, b in itertools.combinations(inputs, 2):
            if letters[a] == letters[b] and isinstance(inputs[a], np.ndarray | float):
                words = Sentence("{a} and {b} have changed places; the arguments come in the order {order}", a=a, b=b,
                                 order=", ".join(inputs))
                yield Guess(words, 0, f"{a} for {b}", change=partial(_swapped, a, b))
        for a, x in inputs.items():
            for value in (1, 0) if isinstance(x, np.ndarray) and x.dtype == np.float64 else ():
                words = Sentence("your {output} takes no notice of {input}: it is what comes out with {value} everywhere in "
                                 "its place", output=name, input=a, value=value)
                yield Guess(words, 0, f"{a} is {value}", change=partial(_filled, a, value))
        if isinstance(self.trials[0].truth[name], np.ndarray):
            for what, wrap in WRAPS:
                yield Guess(Sentence("your {output} is {what} of the right one", output=name, what=what), 0, what, wrap=wrap)

    def _gives(self, guessed: Guessed, name: str) -> bool:
        """Whether with these slips the formula gives the learner's output in every trial"""
        for i, trial in enumerate(self.trials):
            output = self._output(guessed, i, name)
            if output is None or not equal(trial.yours[name], output, self.exercise.tolerance):
                return False
        return True

    def _output(self, guessed: Guessed, i: int, name: str) -> Any:
        """One output of the formula in trial i with these slips, None where it fails"""
        key = frozenset(guess.key for guess in guessed if guess.wrap is None), i
        if key not in self._cache:
            inputs = self.trials[i].inputs
            for guess in guessed:
                inputs = guess.change(inputs) if guess.change else inputs
            self._cache[key] = with_slips(self.exercise, key[0], inputs)
        outputs = self._cache[key]
        result = None if outputs is None else outputs[name]
        for guess in guessed:
            if guess.wrap and result is not None:
                result = guess.wrap(result)
        return result


def _swapped(a: str, b: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {**inputs, a: inputs[b], b: inputs[a]}


def _filled(a: str, value: float, inputs: dict[str, Any]) -> dict[str, Any]:
    return {**inputs, a: np.full_like(inputs[a], value)}


def with_slips(exercise: Exercise, on: Slips, inputs: dict[str, Any]) -> dict[str, Any] | None:
    """What an exercise's formula gives with some of its switches on, {output: value}; None where they contradict each other"""
    try:
        with np.errstate(all="ignore"):
            result = exercise.formula(on, **inputs)
    except (ArithmeticError, IndexError, TypeError, ValueError):        # LinAlgError is a ValueError
        return None
    return dict(zip(exercise.outputs, result if isinstance(result, tuple) else (result,), strict=True))
