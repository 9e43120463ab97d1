"""Exercises: write a part of GPT yourself; a check tells you in words what is wrong with it.

    from minigpt.study import exercises
    exercises.TABLE                                        # prints the list; a ✓ stands before those that you have done
    exercises.hint("softmax")                              # the task; called again, the next hint
    exercises.check("softmax", my_function)                # compares with minigpt on small inputs
    exercises.solution("softmax")                          # minigpt's own source
    exercises.start_over()                                 # takes the ✓ away
    run = exercises.bugs.start()                           # a training run with a planted fault to find

Your function takes and returns plain NumPy arrays in float64, or what the task says.  check(), hint() and solution() speak
Chinese with language="zh", or where the locale is Chinese.  Modules named after parts of GPT hold the exercises, each a formula
with the slips that people make in it; diagnosis.py finds out which of them you made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...inputs import is_whole, plain
from ...system import language as languages
from ...system.language import Sentence, joined, spoken
from ...system.text import printable
from . import attention, layernorm, layers, loss, memory, model, optimizers, progress, tokens
from . import bugs as bugs
from .chinese import CHINESE
from .diagnosis import diagnose
from .exercise import Exercise

__all__ = ["TABLE", "bugs", "check", "hint", "solution", "start_over"]


def __dir__() -> list[str]:
    """What one uses, for completion with Tab; the modules are read"""
    return __all__


class Table(dict[str, Exercise]):
    """Exercises by name, in the order to do them; prints one line for each"""

    def __repr__(self) -> str:
        tell, width, done = _translator(None), max(map(len, self)), progress.done() & self.keys()
        mark = {name: ("✓ " if name in done else "  ") if done else "" for name in self}
        lines = [f"{mark[name]}{name:{width}}  {tell(exercise.about)}" for name, exercise in self.items()]
        return "\n".join([*lines, *([tell(Sentence("{n} of {all} done", n=len(done), all=len(self)))] if done else [])])


TABLE = Table((e.name, e) for module in (tokens, loss, layers, layernorm, attention, memory, model, optimizers)
              for e in module.EXERCISES)
_hints_to_come: dict[str, list[int]] = {}      # of each exercise, the next one first


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


def hint(name: str, number: int | None = None, *, language: str | None = None) -> None:
    """Print an exercise's task (number 0) or one of its hints (1, 2, …); without a number, the next one.

    After a check the next hint is one that speaks of what was wrong.  Raises ValueError.
    """
    exercise, tell = _find(name), _translator(language)
    last = len(exercise.hints)
    number = plain(number)
    if number is None:
        number, *to_come = _hints_to_come.get(name) or range(last + 1)
    elif is_whole(number, 0, last):
        to_come = [*range(number + 1, last + 1)]
    else:
        raise ValueError(f"hint: {name} has no hint {printable(repr(number))}, expected 0 (the task) to {last}")
    _hints_to_come[name] = to_come
    print(exercise.task(tell) if number == 0 else tell(Sentence(
        "{name}, hint {number} of {last}: {hint}", name=name, number=number, last=last, hint=tell(exercise.hints[number - 1]))))
    if not to_come:
        print(tell(Sentence('That was the last one; exercises.solution("{name}"{again}) shows how minigpt does it.', name=name,
                            again=spoken(language))))


def solution(name: str, *, language: str | None = None) -> None:
    """Print how minigpt does it: the source of its functions, each under its file and line.  Raises ValueError."""
    exercise, tell = _find(name), _translator(language)
    for function in exercise.sources:
        lines, first = inspect.getsourcelines(function)
        place = tell(Sentence("{file}, line {line}", file=f"{function.__module__.replace('.', '/')}.py", line=first))
        print(f"# {place}\n{''.join(lines)}")
    if "s" in inspect.signature(exercise.sources[0]).parameters:
        print(tell(Sentence("s is the layer's Scope, with arrays by name in s.params, s.acts, s.grads and s.dacts. s.record(…) "
                            "and s.record_grad(…) keep an array in s.acts and s.dacts, and return it.")))


def check(name: str, function: Callable[..., Any], *, language: str | None = None) -> Result:
    """Compare your function with minigpt's on small random inputs of several sizes -> Result, true if it is right.

    Prints which outputs are right and, in words, what is wrong with the others.
    Raises ValueError for an unknown name, TypeError for something that is not a function.
    """
    exercise, tell = _find(name), _translator(language)
    if not callable(function):
        raise TypeError(f"check: {printable(repr(function))}, expected a function; write check({name!r}, my_function) without "
                        "calling it")
    diagnosis = diagnose(exercise, function)
    right = joined(diagnosis.right)
    if diagnosis.problems:
        lines = [tell(Sentence("{name}: not yet.", name=name)), *(f"  - {tell(problem)}" for problem in diagnosis.problems)]
        if right:
            lines.append(tell(Sentence("  Right already: {outputs}.", outputs=right)))
        lines.append(tell(Sentence('exercises.hint("{name}"{again}) gives the next hint.', name=name, again=spoken(language))))
        others = [number for number in range(1, len(exercise.hints) + 1) if number not in diagnosis.hints]
        _hints_to_come[name] = [*diagnosis.hints, *others]
    else:
        lines = [tell(Sentence("{name}: right. {outputs}: the same as minigpt's on every shape "
                               "tried.", name=name, outputs=right)),
                 tell(Sentence('exercises.solution("{name}"{again}) shows how minigpt does it.', name=name,
                               again=spoken(language)))]
        progress.remember(name)
    message = "\n".join(lines)
    print(message)
    return Result(name, not diagnosis.problems, message)


def start_over(name: str | None = None) -> None:
    """Forget that an exercise is done, or all of them.  Raises ValueError for an unknown name."""
    for each in TABLE if name is None else [_find(name).name]:
        progress.forget(each)


def _translator(language: str | None) -> Callable[[str], str]:
    return languages.translator(languages.language(language), CHINESE)


def _find(name: Any) -> Exercise:
    if not isinstance(name, str) or name not in TABLE:
        raise ValueError(f"{printable(repr(name))}: no such exercise, expected one of {', '.join(TABLE)}")
    return TABLE[name]
