"""The class Exercise, and the diagnosis of a learner's function: what is wrong with it, in words.

A result is compared with the correct one.  If it differs, it is compared with the results of the exercise's known mistakes,
then with general ones: a constant factor, a wrong sign, a missing sum, two results swapped.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SIZES = ((2, 3, 5), (1, 4, 7), (3, 5, 4))      # B, T, C of the arrays tried: all different, so that a shape shows its letters
TOLERANCE = 1e-9                               # of the largest element; two ways of writing a formula differ by 1e-14
PACKAGES = (f"{Path(np.__file__).parent}{os.sep}", f"{Path(__file__).parents[2]}{os.sep}")    # not the learner's code


class Mistake:
    """A known mistake in one output: its description, and the wrong formulas that it leads to, as functions of the inputs."""

    def __init__(self, output: str, words: str, *formulas: Callable) -> None:
        self.output, self.words, self.formulas = output, words, formulas


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    `shapes` reads "dy (B, T, C), x (B, T, C) -> dx (B, T, C)": inputs and outputs in order, each with a shape or a type.
    draw(rng, B, T, C) -> {input: array};  truth(**inputs) -> the outputs, from the textbook's own functions.
    sources: what shows how minigpt does it.
    large(inputs) -> inputs on which a careless formula overflows; `unstable` says so in words.
    """

    name: str
    about: str
    shapes: str
    equation: str
    hints: tuple[str, ...]
    draw: Callable
    truth: Callable
    mistakes: tuple[Mistake, ...]
    sources: tuple[Callable, ...]
    large: Callable | None = None
    unstable: str = ""

    @property
    def inputs(self) -> dict[str, str]:
        """The inputs in order: {name: shape or type, as text}"""
        return _letters(self.shapes.split("->")[0])

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs in order: {name: shape or type, as text}"""
        return _letters(self.shapes.split("->")[1])

    def task(self) -> str:
        """The task as text: signature, shapes, equation"""
        head = f"def {self.name}({', '.join(self.inputs)}):\n    ...\n    return {', '.join(self.outputs)}"
        lines = [f"{self.name}: {self.about}", "", *_indented(head), "", *_indented(self.shapes.replace(" -> ", "\n-> ")), ""]
        return "\n".join([*lines, *_indented(self.equation)])


@dataclass(frozen=True)
class Trial:
    """The learner's outputs and the correct ones, for arrays of one size"""

    inputs: dict
    truth: dict
    yours: dict
    sizes: dict              # {"B": 2, …}


def diagnose(exercise: Exercise, function: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """Test a learner's function -> (problems in words, names of the right outputs); no problems means that it is right."""
    trials: list[Trial] = []
    changed: set[str] = set()
    for seed, size in enumerate(SIZES):
        trial = _try(exercise, function, exercise.draw(np.random.default_rng(seed), *size), changed)
        if isinstance(trial, str):
            return [trial], []
        trials.append(trial)
    wrong = {name: words for name in exercise.outputs if (words := _diagnose_output(exercise, name, trials)) is not None}
    problems = list(dict.fromkeys(wrong.values()))
    if not wrong and exercise.large is not None:
        inputs = exercise.large(exercise.draw(np.random.default_rng(0), *SIZES[0]))
        trial = _try(exercise, function, inputs, changed)
        if isinstance(trial, str) or not all(equal(trial.yours[name], trial.truth[name]) for name in exercise.outputs):
            problems.append(f"right on ordinary numbers, but not on large ones: {exercise.unstable}")
    if changed:
        names = ", ".join(name for name in exercise.inputs if name in changed)
        problems.append(f"you changed your input in place: {names}. The caller may still need it: write x = x * 2 instead of "
                        "x *= 2, or work on x.copy()")
    return problems, [name for name in exercise.outputs if name not in wrong]


def equal(a: Any, b: Any) -> bool:
    """Whether two arrays have the same shape and the same numbers, up to rounding"""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or not np.isfinite(a).all() or not np.isfinite(b).all():
        return False
    return bool(np.all(abs(a - b) <= TOLERANCE * abs(b).max()))


def matches(formula: Callable[..., Any], name: str, trials: list[Trial]) -> bool:
    """Whether this wrong formula gives the learner's output in every trial"""
    return all(equal(trial.yours[name], _evaluate(formula, trial)) for trial in trials)


# Running the learner's function


def _try(exercise: Exercise, function: Callable[..., Any], inputs: dict[str, Any], changed: set[str]) -> Trial | str:
    """Call the function once -> a Trial, or in words why there is none; adds the inputs changed in place to `changed`."""
    given = {name: x.copy() if isinstance(x, np.ndarray) else x for name, x in inputs.items()}
    try:
        with np.errstate(all="ignore"):          # an overflow shows in the result
            result = function(*given.values())
    except Exception as error:                   # a learner's code may raise anything
        return _failure(exercise, error, inputs)
    changed |= {name for name, x in inputs.items() if isinstance(x, np.ndarray) and not np.array_equal(x, given[name])}
    names = list(exercise.outputs)
    if result is None:
        return f"your function returned None: does it end in return {', '.join(names)}?"
    outputs = tuple(result) if len(names) > 1 and isinstance(result, (tuple, list)) else (result,)
    if len(outputs) != len(names):
        many = "1 array" if len(outputs) == 1 else f"{len(outputs)} arrays"
        return f"your function returned {many}, expected {len(names)} in this order: {', '.join(names)}"
    yours = dict(zip(names, outputs, strict=True))
    truth = exercise.truth(**inputs)
    truth = truth if isinstance(truth, tuple) else (truth,)
    return Trial(inputs, {name: np.array(x) for name, x in zip(names, truth, strict=True)}, yours, _sizes(exercise, inputs))


def _failure(exercise: Exercise, error: Exception, inputs: dict[str, Any]) -> str:
    """The exception in words, with the learner's line that raised it and the shapes of the inputs"""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(PACKAGES)]
    words = f"{type(error).__name__}: {error}".rstrip(": ")
    if not frames:
        return f"{words}\n    it is called as {exercise.name}({', '.join(exercise.inputs)})"
    shapes = ", ".join(f"{name} {x.shape} = {exercise.inputs[name]}" for name, x in inputs.items() if isinstance(x, np.ndarray))
    line = f"on your line {frames[-1].lineno}: {frames[-1].line}".rstrip(": ")          # no source where it was exec'd
    return f"{words}\n    {line}\n    with {shapes}"


# Words for one output


def _diagnose_output(exercise: Exercise, name: str, trials: list[Trial]) -> str | None:
    """What is wrong with one output, in words; None where it is right"""
    letters = exercise.outputs[name]
    for trial in trials:
        if (words := _wrong_kind(name, trial.yours[name], trial.truth[name])) is not None:
            return words
    if all(equal(trial.yours[name], trial.truth[name]) for trial in trials):
        return None
    mistakes = [mistake for mistake in exercise.mistakes if mistake.output == name]
    for mistake in mistakes:
        if any(matches(formula, name, trials) for formula in mistake.formulas):
            return mistake.words
    for trial in trials:
        if np.shape(trial.yours[name]) != trial.truth[name].shape:
            return _wrong_shape(name, letters, trial)
    for trial in trials:
        if not np.isfinite(trial.yours[name]).all():
            yours = np.asarray(trial.yours[name])
            at = _index(np.argwhere(~np.isfinite(yours))[0])
            return f"your {name}{at} is {yours[~np.isfinite(yours)][0]}: look for 0/0, ∞ − ∞, 0 · ∞ and log 0"
    if not any(np.any(trial.yours[name]) for trial in trials):
        return f"your {name} is zero everywhere"
    if (words := _factor(name, [(t.yours[name], t.truth[name]) for t in trials], trials)) is not None:
        return f"your {name} is right but for {words}"
    for mistake in mistakes:
        for formula in mistake.formulas:
            if (words := _factor(name, [(t.yours[name], _evaluate(formula, t)) for t in trials], trials)) is not None:
                return f"{mistake.words}; besides, there is {words}"
    for other in exercise.outputs:
        if other != name and all(equal(trial.yours[name], trial.truth[other]) for trial in trials):
            return f"your {name} is what {other} should be: return {', '.join(exercise.outputs)} in this order"
    return _unknown(name, trials)


def _wrong_kind(name: str, yours: Any, truth: np.ndarray) -> str | None:
    """In words why the output is not an array of float64; None where it is one"""
    if yours is None:
        return f"your {name} is None"
    if truth.ndim == 0 and isinstance(yours, float):
        return None
    if not isinstance(yours, np.ndarray | np.generic):
        return f"your {name} is a {type(yours).__name__}, expected {'a float' if truth.ndim == 0 else 'an array'}"
    if yours.dtype != np.float64:
        return (f"your {name} is {yours.dtype}, expected float64, as the inputs are: "
                "np.zeros_like(x) takes its dtype from x, and x.astype(…) changes it")
    return None


def _wrong_shape(name: str, letters: str, trial: Trial) -> str:
    yours, truth = np.asarray(trial.yours[name]), trial.truth[name]
    words = f"your {name} has shape {yours.shape}{_as_letters(yours.shape, trial.sizes)}, expected {truth.shape} = {letters}"
    if yours.size == truth.size and equal(yours.reshape(truth.shape), truth):
        return f"{words}: the numbers are right, so leave out keepdims=True or reshape"
    if yours.ndim > 1 and equal(yours.swapaxes(-1, -2), truth):
        return f"{words}: it is transposed"
    for n in range(1, yours.ndim):
        for axes in itertools.combinations(range(yours.ndim), n):
            if equal(yours.sum(axes), truth):
                over = " and ".join(_letter(yours.shape[axis], trial.sizes) for axis in axes)
                return f"{words}: it is not summed over {over} yet"
    return words


def _factor(name: str, pairs: list[tuple[Any, Any]], trials: list[Trial]) -> str | None:
    """In words the constant factor by which `yours` is off; None where more than a factor is wrong"""
    factors = []
    for yours, other in pairs:
        yours, other = np.asarray(yours), np.asarray(other)
        if yours.shape != other.shape or not np.isfinite(other).all() or not np.any(other):
            return None
        factor = float((yours * other).sum() / (other * other).sum())
        if factor == 0 or not equal(yours, factor * other):
            return None
        factors.append(factor)
    signs = {math.copysign(1, factor) for factor in factors}
    if len(signs) > 1:
        return None
    sign = " and the wrong sign" if signs == {-1} else ""
    factors = [abs(factor) for factor in factors]
    if np.allclose(factors, 1, rtol=TOLERANCE, atol=0):
        return "the wrong sign"
    for text, values in _named_numbers(trials):
        for large, missing in ((True, f"1/{text}"), (False, text)):
            if np.allclose(factors, values if large else 1 / values, rtol=TOLERANCE, atol=0):
                return f"the factor {missing}: yours is {text} times too {'large' if large else 'small'}{sign}"
    if np.allclose(factors, factors[0], rtol=TOLERANCE, atol=0):
        return f"a factor: yours is {factors[0]:.6g} times too large{sign}"
    return None


def _named_numbers(trials: list[Trial]) -> list[tuple[str, np.ndarray]]:
    """[("√D", its value in each trial), …]"""
    numbers = [("2", np.full(len(trials), 2.0))]
    for letter in trials[0].sizes:
        values = np.array([trial.sizes[letter] for trial in trials], float)
        text = "N (= B·T)" if letter == "N" else letter
        numbers += [(text, values), (f"√{letter}", np.sqrt(values))]
    return numbers


def _unknown(name: str, trials: list[Trial]) -> str:
    """The message for an unknown mistake: the first wrong number, and the sizes for which the output is right"""
    bad = [trial for trial in trials if not equal(trial.yours[name], trial.truth[name])]
    yours, truth = np.asarray(bad[0].yours[name]), bad[0].truth[name]
    difference = abs(yours - truth)
    largest = difference.max() / abs(truth).max()
    if largest < 1e-4:
        return f"your {name} is nearly right, off by {largest:.0e} of its largest number: is there a float32, or an ε too many?"
    places = np.argwhere(difference > TOLERANCE * abs(truth).max())
    at = tuple(places[0])
    words = f"your {name} differs from the truth in {len(places)} of {truth.size} numbers"
    if truth.ndim:
        words += f", first at {_index(at)}"
    words += f": yours is {yours[at]:.6g}, expected {truth[at]:.6g}"
    if len(bad) < len(trials):
        good = next(trial for trial in trials if all(trial is not other for other in bad))
        words += f"; that is with {_sizes_text(bad[0])}, while it is right with {_sizes_text(good)}"
    return words


# Letters


def _letters(text: str) -> dict[str, str]:
    """"x (B, T), n float" -> {"x": "(B, T)", "n": "float"}"""
    return dict(re.findall(r"(\w+) (\([^)]*\)|\w+)", text))


def _sizes(exercise: Exercise, inputs: dict[str, Any]) -> dict[str, int]:
    """{"B": 2, "T": 3, …, "N": 6}, read off the arrays that came in"""
    sizes: dict[str, int] = {}
    for name, letters in exercise.inputs.items():
        if letters.startswith("("):
            sizes.update(zip(re.findall(r"\w+", letters), np.shape(inputs[name]), strict=True))
    if {"B", "T"} <= sizes.keys():
        sizes["N"] = sizes["B"] * sizes["T"]
    return sizes


def _letter(size: int, sizes: dict[str, int]) -> str:
    return next((letter for letter, value in sizes.items() if value == size), str(size))


def _as_letters(shape: tuple[int, ...], sizes: dict[str, int]) -> str:
    if not shape or any(size not in sizes.values() for size in shape):
        return ""
    return f" = ({', '.join(_letter(size, sizes) for size in shape)}{',' * (len(shape) == 1)})"


def _sizes_text(trial: Trial) -> str:
    return ", ".join(f"{letter} = {size}" for letter, size in trial.sizes.items() if letter != "N")


def _index(place: np.ndarray | tuple[int, ...]) -> str:
    return f"[{', '.join(str(int(i)) for i in place)}]" if len(place) else ""


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.splitlines()]


def _evaluate(formula: Callable[..., Any], trial: Trial) -> Any:
    with np.errstate(all="ignore"):
        return formula(**trial.inputs)
