"""What an exercise is made of: its task, its hints, and a formula with a switch for each slip that people make in it.

    def _softmax_backward(on, dy, y):
        total = (dy if "of dy" in on else dy * y).sum(-1, keepdims=True)
        return y * (dy + total if "+ sum" in on else dy - total)

With nothing `on` the formula gives the right answer.  diagnosis.py turns its switches on, one or two at a time, until it gives
what the learner's function gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...system.language import Sentence

TOLERANCE = 1e-9        # of the largest element; two ways of writing a formula differ by 1e-14
Slips = Container[str]  # the switches that are on


@dataclass(frozen=True)
class Slip:
    """A mistake that people make: what is said of it, and the number of the hint that helps."""

    words: str
    hint: int


def sentence(words: str) -> Sentence:
    """Words that can stand in another sentence and still be translated"""
    return words if isinstance(words, Sentence) else Sentence(words)


def lacks(output: str, term: str, hint: int) -> Slip:
    """A term or a factor is missing."""
    return Slip(Sentence("your {output} lacks {term}", output=output, term=sentence(term)), hint)


def should_subtract(output: str, term: str, hint: int) -> Slip:
    """A term has + where − belongs."""
    words = Sentence("a sign is wrong in your {output}: {term} is subtracted, not added", output=output, term=sentence(term))
    return Slip(words, hint)


def should_add(output: str, term: str, hint: int) -> Slip:
    """A term has − where + belongs."""
    words = Sentence("a sign is wrong in your {output}: {term} is added, not subtracted", output=output, term=sentence(term))
    return Slip(words, hint)


@dataclass(frozen=True)
class Invariant:
    """What holds of a right output whatever the numbers: measure(trial, output) is 0 everywhere, or a row for each finding."""

    output: str
    words: str
    measure: Callable[[Trial, np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    `shapes` reads "dy (B, T, C), x (B, T, C) -> dx (B, T, C)": inputs and outputs in order, each with a shape or a type.
    forward: the equations that are given; asked: in words what is asked for.  The derivation is in the hints, not here.
    hint_of: which hint speaks of an output, where no slip tells more.
    draw(rng, B, T, C) -> {input: array}, or `examples`, the inputs themselves;  truth(**inputs) -> the outputs, from the
    textbook's own functions.  formula(on, **inputs) -> the same, with slips.  sources: what shows how minigpt does it.
    large(inputs) -> inputs on which a careless formula overflows; `unstable` says so in words.
    """

    name: str
    about: str
    shapes: str
    forward: str
    asked: str
    hints: tuple[str, ...]
    truth: Callable
    formula: Callable
    slips: Mapping[str, Slip]
    sources: tuple[Callable, ...]
    draw: Callable | None = None
    examples: tuple[dict[str, Any], ...] = ()
    hint_of: Mapping[str, int] = field(default_factory=dict)
    invariants: tuple[Invariant, ...] = ()
    large: Callable | None = None
    unstable: str = ""
    tolerance: float = TOLERANCE

    @property
    def inputs(self) -> dict[str, str]:
        """The inputs in order: {name: shape or type, as text}"""
        return _letters(self.shapes.split("->")[0])

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs in order: {name: shape or type, as text}"""
        return _letters(self.shapes.split("->")[1])

    def task(self, tell: Callable[[str], str]) -> str:
        """The task as text in a language: signature, shapes, the forward, what is asked"""
        head = f"def {self.name}({', '.join(self.inputs)}):\n    ...\n    return {', '.join(self.outputs)}"
        shapes = self.shapes.replace(" -> ", "\n-> ")
        lines = [f"{self.name}: {tell(self.about)}", "", *_indented(head), "", *_indented(shapes), ""]
        return "\n".join([*lines, *_indented(self.forward), *_indented(tell(self.asked))])

    def __reduce__(self) -> tuple[Callable[[str], Exercise], tuple[str]]:
        """A copy, also a pickled one, is the exercise of that name: its functions have no names of their own."""
        return _named, (self.name,)


@dataclass(frozen=True)
class Trial:
    """The learner's outputs and the correct ones, for inputs of one size"""

    exercise: Exercise
    inputs: dict[str, Any]
    truth: dict[str, Any]
    yours: dict[str, Any]
    sizes: dict[str, int]           # {"B": 2, …}

    @property
    def call(self) -> str:
        """The call as one types it, for inputs that are short"""
        return f"{self.exercise.name}({', '.join(map(repr, self.inputs.values()))})"


def equal(a: Any, b: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two results are the same: arrays and numbers up to rounding, NaN and ∞ only where both have them; else exactly"""
    if isinstance(b, list):
        return bool(as_lists(a) == as_lists(b))
    try:
        a, b = np.asarray(a), np.asarray(b)
    except ValueError:              # lists of different lengths
        return False
    if a.shape != b.shape or not {a.dtype.kind, b.dtype.kind} <= set("biuf"):
        return False
    a, b = a.astype(float), b.astype(float)
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)) or (b.size and np.isnan(b).all()):
        return False
    return bool(np.array_equal(a[~finite], b[~finite], equal_nan=True)
                and (abs(a[finite] - b[finite]) <= tolerance * abs(b[finite]).max(initial=0)).all())


def as_lists(x: Any) -> Any:
    """Lists for tuples and Python's numbers for NumPy's, all the way down, so that == compares what was meant"""
    if isinstance(x, list | tuple):
        return [as_lists(each) for each in x]
    return x.tolist() if isinstance(x, np.ndarray | np.generic) else x


def _named(name: str) -> Exercise:
    from . import TABLE  # here, since it is made of this module

    return TABLE[name]


def _letters(text: str) -> dict[str, str]:
    """"x (B, T), n float" -> {"x": "(B, T)", "n": "float"}"""
    return dict(re.findall(r"(\w+) (\([^)]*\)|\w+)", text))


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.splitlines()]
