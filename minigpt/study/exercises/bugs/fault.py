"""What a fault and a measurement are.  They stand in data.py, mask.py, gradient.py, optimizer.py and sampling.py."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FIX = re.compile(r"\s*# right: ")


@dataclass(frozen=True)
class Measurement:
    """Something that can be measured in a new run, and is known of a right one: a count, a ratio, names."""

    question: str                       # what is measured, in words
    measure: Callable[[Any], Any]       # measure(run) -> a number or a text; uses what a learner has too

    @property
    def source(self) -> str:
        """The function that measures, as text"""
        return _source(self.measure)[0]


@dataclass(frozen=True)
class Fault:
    """One planted fault: a function that takes the place of a right one of the same arguments.

    In its source every planted line ends in "# right: …", the line that belongs there; where a line is missing, "# right: …"
    stands alone.
    """

    kind: str                       # one of KINDS
    part: str                       # the name in Parts of what it replaces
    planted: Callable[..., Any]
    words: str                      # what is wrong
    effect: str                     # what that does to a run
    hints: tuple[str, ...]          # each leads to a measurement
    shown_by: Measurement           # the measurement that shows it
    steps: int                      # of training that the first hint asks for

    @property
    def name(self) -> str:
        """The name by which a learner calls it"""
        return self.planted.__name__

    @property
    def place(self) -> str:
        """File and first line of the planted function"""
        return f"{self.planted.__module__.replace('.', '/')}.py, line {_source(self.planted)[1]}"

    @property
    def mended(self) -> str:
        """The planted function with the right lines in place of the planted ones, as text"""
        return "".join(right for _, right in self._lines())

    @property
    def difference(self) -> str:
        """The planted function as text, planted lines marked with − and the right ones beneath them with +"""
        out = []
        for planted, right in self._lines():
            out += [f"  {planted}"] if planted == right else [f"− {planted}"] * bool(planted) + [f"+ {right}"] * bool(right)
        return "".join(out)

    def _lines(self) -> list[tuple[str, str]]:
        """(planted, right) of each line of the source; one of the two is empty where it has no line there"""
        pairs = []
        for line in _source(self.planted)[0].splitlines(keepends=True):
            planted, *right = FIX.split(line)
            indent = line[: len(line) - len(line.lstrip())]
            pairs.append((f"{planted}\n" if planted.strip() else "", indent + right[0]) if right else (line, line))
        return pairs


def measurement(question: str) -> Callable[[Callable[[Any], Any]], Measurement]:
    """Make a Measurement of a function of a run: @measurement("what it measures")."""

    def made(measure: Callable[[Any], Any]) -> Measurement:
        measure.__qualname__ += ".measure"      # where pickle finds it, since its name in the module is the Measurement's
        return Measurement(question, measure)

    return made


def fault(kind: str, part: str, words: str, effect: str, hints: tuple[str, ...],
          shown_by: Measurement, steps: int = 0) -> Callable[[Callable[..., Any]], Fault]:
    """Make a Fault of the function beneath."""

    def made(planted: Callable[..., Any]) -> Fault:
        planted.__qualname__ += ".planted"      # likewise
        return Fault(kind, part, planted, words, effect, hints, shown_by, steps)

    return made


def _source(function: Callable[..., Any]) -> tuple[str, int]:
    """A function's source without its decorator, and the line of the file where it begins"""
    lines, first = inspect.getsourcelines(function)
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("def "))
    return textwrap.dedent("".join(lines[start:])), first + start
