"""Calling the learner's function: what it returns for inputs of several sizes, or in words why it returns nothing of use."""

from __future__ import annotations

import copy
import os
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...system.language import Sentence, joined
from ...system.text import for_terminal, printable
from .exercise import Exercise, Trial, as_lists, equal

SIZES = ((2, 3, 5), (1, 4, 7), (3, 5, 4))      # B, T, C of the arrays tried: all different, so that a shape shows its letters
PACKAGES = (f"{Path(np.__file__).parent}{os.sep}", f"{Path(__file__).parents[2]}{os.sep}")    # not the learner's code


def drawn(exercise: Exercise) -> Iterator[dict[str, Any]]:
    """The inputs to try"""
    if exercise.draw is None:
        yield from exercise.examples
    else:
        for seed, size in enumerate(SIZES):
            yield exercise.draw(np.random.default_rng(seed), *size)


def run(exercise: Exercise, function: Callable[..., Any], inputs: dict[str, Any], changed: set[str]) -> Trial | str:
    """Call the function once -> a Trial, or in words why there is none; adds the inputs changed in place to `changed`."""
    given = _copied(inputs)
    try:
        with np.errstate(all="ignore"):          # an overflow shows in the result
            result = function(*given.values())
    except Exception as error:                   # a learner's code may raise anything
        return _failure(exercise, error, inputs)
    changed |= {name for name, x in inputs.items() if not _same(x, given[name])}
    names = list(exercise.outputs)
    if result is None:
        return Sentence("your function returned None: does it end in return {outputs}?", outputs=", ".join(names))
    outputs = tuple(result) if len(names) > 1 and isinstance(result, tuple | list) else (result,)
    if len(outputs) != len(names):
        return Sentence("your function returned {many}, expected {n} in this order: {outputs}", n=len(names),
                        many=Sentence("1 array") if len(outputs) == 1 else Sentence("{n} arrays", n=len(outputs)),
                        outputs=", ".join(names))
    truth = exercise.truth(**_copied(inputs))
    truth = truth if isinstance(truth, tuple) else (truth,)
    right = {name: x if isinstance(x, list) else np.array(x) for name, x in zip(names, truth, strict=True)}
    return Trial(exercise, inputs, right, dict(zip(names, outputs, strict=True)), _sizes(exercise, inputs))


def differs_when_repeated(function: Callable[..., Any], trial: Trial) -> bool:
    """Whether the same inputs give something else the second time"""
    again = run(trial.exercise, function, trial.inputs, set())
    return isinstance(again, str) or not all(equal(again.yours[name], trial.yours[name]) or _no_numbers(trial.yours[name])
                                             for name in trial.yours)


def _no_numbers(x: Any) -> bool:
    """What equal() cannot compare: a wrong kind, or nothing finite"""
    return not isinstance(x, np.ndarray | np.generic | float | list) or (isinstance(x, np.ndarray) and (
        x.dtype.kind not in "fiub" or not np.isfinite(x).any()))


def _copied(inputs: dict[str, Any]) -> dict[str, Any]:
    """A Scope is no input to be changed, it is shared."""
    return {name: copy.deepcopy(x) if isinstance(x, np.ndarray | list | dict) else x for name, x in inputs.items()}


def _same(x: Any, y: Any) -> bool:
    return np.array_equal(x, y) if isinstance(x, np.ndarray) else not isinstance(x, list | dict) or as_lists(x) == as_lists(y)


def _failure(exercise: Exercise, error: Exception, inputs: dict[str, Any]) -> str:
    """The exception in words, with the learner's line that raised it and the shapes of the inputs"""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(PACKAGES)]
    words = for_terminal(f"{type(error).__name__}: {error}".rstrip(": "))
    if not frames:
        call = f"{exercise.name}({', '.join(exercise.inputs)})"
        return Sentence("{error}\n    it is called as {call}", error=words, call=call)
    shapes = [f"{name} {x.shape} = {exercise.inputs[name]}" if isinstance(x, np.ndarray) else f"{name} = {printable(repr(x))}"
              for name, x in inputs.items() if isinstance(x, np.ndarray | list | tuple | dict)]
    line = f"{frames[-1].lineno}: {frames[-1].line}".rstrip(": ")          # no source where it was exec'd
    return Sentence("{error}\n    on your line {line}\n    with {inputs}", error=words, line=line, inputs=joined(shapes))


def _sizes(exercise: Exercise, inputs: dict[str, Any]) -> dict[str, int]:
    """{"B": 2, "T": 3, …, "N": 6}, read off the arrays that came in"""
    sizes: dict[str, int] = {}
    for name, letters in exercise.inputs.items():
        if letters.startswith("("):
            sizes.update(zip(re.findall(r"\w+", letters), np.shape(inputs[name]), strict=True))
    if {"B", "T"} <= sizes.keys():
        sizes["N"] = sizes["B"] * sizes["T"]
    return sizes
