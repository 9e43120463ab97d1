"""Exercises: write a part of GPT yourself; a check tells you in words what is wrong with it.

    from minigpt.study import exercises
    exercises.TABLE                                        # prints the list
    exercises.hint("softmax")                              # the task; called again, the next hint
    exercises.check("softmax", my_function)                # compares with minigpt on small arrays
    exercises.solution("softmax")                          # minigpt's own source, from minigpt/nn/

Your function takes and returns plain NumPy arrays in float64.  The other modules of this folder hold the exercises, each with
the mistakes that it recognizes; diagnosis.py compares a result with them.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import attention, layers, loss, model
from .diagnosis import Exercise, diagnose


class Table(dict):
    """Exercises by name, in the order to do them; prints one line for each"""

    def __repr__(self) -> str:
        width = max(map(len, self))
        return "\n".join(f"{name:{width}}  {exercise.about}" for name, exercise in self.items())


TABLE = Table((e.name, e) for module in (loss, layers, attention, model) for e in module.EXERCISES)
_next_hint: dict[str, int] = {}      # number of the next hint of each exercise


@dataclass(frozen=True)
class Result:
    """The result of a check, true if the function is right.  `message` is the text that was printed."""

    name: str
    right: bool
    message: str = field(repr=False)

    def __bool__(self) -> bool:
        return self.right

    def _ipython_display_(self) -> None:
        """Show nothing: check() has printed the message already."""


def hint(name: str, number: int | None = None) -> None:
    """Print an exercise's task (number 0) or one of its hints (1, 2, …); without a number, the next one.  Raises ValueError."""
    exercise = _find(name)
    last = len(exercise.hints)
    number = _next_hint.get(name, 0) if number is None else number
    if number not in range(last + 1):
        raise ValueError(f"hint: {name} has no hint {number}, expected 0 (the task) to {last}")
    _next_hint[name] = (number + 1) % (last + 1)
    print(exercise.task() if number == 0 else f"{name}, hint {number} of {last}: {exercise.hints[number - 1]}")
    if number == last:
        print(f'That was the last one; exercises.solution("{name}") shows how minigpt does it.')


def solution(name: str) -> None:
    """Print how minigpt does it: the source of its functions, each under its file and line."""
    exercise = _find(name)
    for function in exercise.sources:
        lines, first = inspect.getsourcelines(function)
        print(f"# {function.__module__.replace('.', '/')}.py, line {first}\n{''.join(lines)}")
    if "s" in inspect.signature(exercise.sources[0]).parameters:
        print("s is the layer's Scope, with arrays by name in s.params, s.acts, s.grads and s.dacts. s.record(…) and "
              "s.record_grad(…) keep an array in s.acts and s.dacts, and return it.")


def check(name: str, function: Callable[..., Any]) -> Result:
    """Compare your function with minigpt's on small random arrays of several shapes -> Result, true if it is right.

    Prints which outputs are right and, in words, what is wrong with the others.
    Raises ValueError for an unknown name, TypeError for something that is not a function.
    """
    exercise = _find(name)
    if not callable(function):
        raise TypeError(f"check: {function!r}, expected a function; write check({name!r}, my_function) without calling it")
    problems, right = diagnose(exercise, function)
    if problems:
        lines = [f"{name}: not yet.", *(f"  - {problem}" for problem in problems)]
        if right:
            lines.append(f"  Right already: {', '.join(right)}.")
        lines.append(f'exercises.hint("{name}") gives the next hint.')
    else:
        lines = [f"{name}: right. {', '.join(right)}: the same as minigpt's on every shape tried.",
                 f'exercises.solution("{name}") shows how minigpt does it.']
    message = "\n".join(lines)
    print(message)
    return Result(name, not problems, message)


def _find(name: str) -> Exercise:
    if name not in TABLE:
        raise ValueError(f"{name!r}: no such exercise, expected one of {', '.join(TABLE)}")
    return TABLE[name]
