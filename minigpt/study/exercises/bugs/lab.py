"""The game of the bug lab: a run with a fault by its number, hints, the learner's answer, and what every measurement shows."""

from __future__ import annotations

import difflib
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ....inputs import check_count, plain
from ....system.columns import to_width
from ....system.language import Sentence, language, spoken, translator
from ....system.text import printable
from .. import progress
from . import data, gradient, mask, optimizer, sampling
from .chinese import CHINESE
from .fault import Fault, Measurement
from .parts import Parts
from .run import Run

KINDS = {
    "data": "which windows of the text a step reads",
    "mask": "what a position gets to see on the way forward: attention's mask and scale, positions, dropout",
    "gradient": "what comes back from the loss, and what is added up",
    "optimizer": "what a step makes of the gradients",
    "sampling": "how logits become the next character",
}
FAULTS = {fault.name: fault for module in (data, mask, gradient, optimizer, sampling) for fault in module.FAULTS}
NUMBERED = sorted(FAULTS.values(), key=lambda fault: zlib.crc32(fault.name.encode()))      # an order that tells nothing


@dataclass
class _Game:
    """What was said of a bug since it was started."""

    hints: list[int] = field(default_factory=list)      # their indices
    wrong: int = 0                                      # answers


_games: defaultdict[int, _Game] = defaultdict(_Game)    # by the bug's number


class Bug(Run):
    """A run with one fault, bugs.start(7): all that a Run has, and choices(), answer("…"), hint() and solution().

        run.text, run.tokenizer, run.ids, run.validation_ids        what is learned
        run.batch(), run.gradient(ids, targets), run.train(300)     a batch, its loss and gradients by name, some steps
        run.loss(), run.sample(), run.sampler(top_k=5)              validation, a text, the same step by step
        run.model                                                   a GPT: trace, loss, loss_and_grads, generate, params
        run.optimizer                                               step(grads), rate(t), clipped(grads), t, m, v
    """

    def __init__(self, number: int, *, language: str | None = None) -> None:
        fault = _find(number)
        super().__init__(_parts(fault), language=language)
        self.number = number

    def choices(self) -> None:
        """Print what can be answered: the kinds, and the faults of each."""
        choices(language=self.language)

    def answer(self, what: str) -> None:
        """Say what is wrong, first its kind and then the fault, by the names that choices() prints.  Raises ValueError."""
        name(self.number, what, language=self.language)

    def hint(self) -> None:
        """Print the next hint; one that asks for training waits for the others where so much has been trained."""
        _give_hint(self.number, self.optimizer.t, self.language)

    def solution(self) -> None:
        """Print what is wrong, where, and what shows it."""
        solution(self.number, language=self.language)

    def __repr__(self) -> str:
        return f"<bug {self.number}: {self.model.config.n_params:,} parameters, {self.optimizer.t} steps>"


def start(number: int | None = None, *, language: str | None = None) -> Bug:
    """A small training run with one planted fault, 1 … 20; without a number the first one that is not solved.

    language: "en" or "zh", that of the locale by default.  Raises ValueError.
    """
    unsolved = [i for i, fault in enumerate(NUMBERED, 1) if fault.name not in progress.done()]
    bug, tell = Bug([*unsolved, 1][0] if number is None else number, language=language), _tell(language)
    _games.pop(bug.number, None)        # hints begin with the first again
    print(tell(Sentence(
        "Bug {number} of {n}, {solved} solved: a training run with one fault. Its kind is one of {kinds}.\n"
        "  run.train(300) trains it; help(run) lists what else it has, bugs.healthy() is the same run without a fault.\n"
        "  run.choices() prints the faults there are; run.answer(\"…\") names one, first its kind; run.hint() helps.",
        number=bug.number, n=len(NUMBERED), solved=len(NUMBERED) - len(unsolved), kinds=", ".join(KINDS),
    )))
    return bug


def healthy(*, language: str | None = None) -> Run:
    """The same run without a fault, to compare with"""
    return Run(language=language)


def choices(*, language: str | None = None) -> None:
    """Print what can be answered: the kinds, and the faults of each."""
    tell = _tell(language)
    for kind, about in KINDS.items():
        print("\n".join([f"{kind}: {tell(about)}", *_list(kind, tell), ""]))


def hint(number: int, *, language: str | None = None) -> None:
    """Print the next hint; the last one is a measurement that shows the fault.  Raises ValueError."""
    _give_hint(number, 0, language)


def _give_hint(number: int, trained: int, language: str | None) -> None:
    """Print the next hint for a run that was trained for so many steps."""
    fault, tell = _find(number), _tell(language)
    n = len(fault.hints) + 1
    given = _games[plain(number)].hints
    if len(given) == n:
        given.clear()
    has_trained = 0 < fault.steps <= trained
    i = min((i for i in range(n) if i not in given), key=lambda i: (i == n - 1, has_trained and i == 0, i))
    given.append(i)
    last = Sentence("measure {question}:\n\n{source}", question=tell(fault.shown_by.question), source=fault.shown_by.source)
    print(tell(Sentence("Bug {number}, hint {i} of {n}: {words}", number=number, i=i + 1, n=n,
                        words=tell(fault.hints[i] if i < n - 1 else last))))


def name(number: int, what: Any, *, language: str | None = None) -> None:
    """Say what is wrong with a bug, first its kind and then the fault, by the names that choices() prints.

    Prints whether it is right, and what measurements show here and in a run without a fault.  Raises ValueError.
    """
    fault, tell = _find(number), _tell(language)
    if not isinstance(what, str) or (what not in KINDS and what not in FAULTS):
        close = difflib.get_close_matches(str(what), [*KINDS, *FAULTS], 1)
        raise ValueError(f"answer: {printable(repr(what))}, expected a kind or a fault as choices() prints them; "
                         + (f"write {close[0]!r}" if close else f"the kinds are {', '.join(KINDS)}"))
    game = _games[plain(number)]
    game.wrong += what not in (fault.name, fault.kind)
    if what == fault.name:
        progress.remember(what)
        print(tell(Sentence("Bug {number}: right, {words}.", number=number, words=tell(fault.words))))
        _explain(fault, tell)
        print(tell(Sentence("Hints: {hints}, wrong answers: {wrong}. bugs.solution({number}{again}) shows the planted lines.",
                            hints=len(game.hints), wrong=game.wrong, number=number, again=spoken(language))))
    elif what == fault.kind:
        head = Sentence("Bug {number}: the kind is right, {kind}. Which of these is it?", number=number, kind=what)
        print("\n".join([tell(head), *_list(what, tell)]))
    elif what in KINDS:
        measured = next(other.shown_by for other in FAULTS.values() if other.kind == what)
        right, here = _shown(measured, None), _shown(measured, fault)
        print(tell(Sentence(
            "Bug {number}: its kind is not {kind}. One measurement of that kind, {question}:\n"
            "  a right run has {right}, this one has {here}.",
            number=number, kind=what, question=tell(measured.question), right=right, here=here,
        )))
        if right != here:
            print(tell(Sentence("That differs because of the fault, but is not where it lies.")))
    else:
        other = FAULTS[what]
        right, there, here = (_shown(other.shown_by, which) for which in (None, other, fault))
        print(tell(Sentence(
            "Bug {number}: it is not {what}. That would show in {question}:\n"
            "  a right run has {right}, one with {what} has {there}, this one has {here}.\n"
            "run.hint() leads to the next measurement.",
            number=number, what=what, question=tell(other.shown_by.question), right=right, there=there, here=here,
        )))


def solution(number: int, *, language: str | None = None) -> None:
    """Print what is wrong with a bug, what measurements show, and the planted lines beside the right.  Raises ValueError."""
    fault, tell = _find(number), _tell(language)
    print(tell(Sentence("Bug {number} is {name}, of the kind {kind}: {words}.", number=number, name=fault.name,
                        kind=fault.kind, words=tell(fault.words))))
    _explain(fault, tell)
    print(tell(Sentence("{place}, planted lines with −, right ones with +:", place=fault.place)))
    print(fault.difference)
    print(tell(Sentence("The measurement that shows it:")))
    print(fault.shown_by.source)


def start_over(number: int | None = None) -> None:
    """Forget that a bug is solved, or all of them.  Raises ValueError."""
    for fault in NUMBERED if number is None else [_find(number)]:
        progress.forget(fault.name)


def _explain(fault: Fault, tell: Callable[[str], str]) -> None:
    """Print what a fault does to a run, and what every measurement gives in a right run and in this one."""
    print(f"{tell(fault.effect)}\n")
    rows = []
    for measured in dict.fromkeys(other.shown_by for other in FAULTS.values()):
        right, here = (_shown(measured, which) for which in (None, fault))
        rows.append((right, here, " " if right == here else "≠", tell(measured.question)))
    rows.sort(key=lambda row: row[2], reverse=True)         # what differs stands first
    head = tell(Sentence("right run")), tell(Sentence("here")), " ", tell(Sentence("what is measured"))
    for right, here, mark, words in (head, *rows):
        print(f"  {to_width(right, 10)}{to_width(here, 28)}{mark} {words}")
    print()


@cache
def _shown(measured: Measurement, fault: Fault | None) -> str:
    """What a measurement shows in a new run with this fault, as text"""
    value = measured.measure(Run(_parts(fault)))
    return "—" if value is None else f"{round(value, 6):.3g}" if isinstance(value, float) else str(value)


def _list(kind: str, tell: Callable[[str], str]) -> list[str]:
    """A line for each fault of a kind"""
    return [f"  {name:28}{tell(fault.words)}" for name, fault in FAULTS.items() if fault.kind == kind]


def _parts(fault: Fault | None) -> Parts:
    changed: dict[str, Any] = {} if fault is None else {fault.part: fault.planted}
    return Parts(**changed)


def _find(number: int) -> Fault:
    number = plain(number)
    check_count(number, 1, "number", f"there are bugs 1 to {len(NUMBERED)}")
    if number > len(NUMBERED):
        raise ValueError(f"number: {number}, expected a bug from 1 to {len(NUMBERED)}; start() gives the next one")
    return NUMBERED[number - 1]


def _tell(given: str | None) -> Callable[[str], str]:
    return translator(language(given), CHINESE)
