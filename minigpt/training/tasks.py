"""Tasks to fine-tune a model on, each with examples that no two of its splits share, and the baselines it has to beat.

    task = chapters()
    task.train[0]                           ("Note: If the object is a class instance", "data model")
    majority(task), bag_of_words(task)      what they answer to each of task.test, to be compared with what stands there

All but the speakers come with every Python.  How a model learns a task stands in finetune.py.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..inputs import is_text
from ..models.network import Table, named_views
from ..nn.cross_entropy import cross_entropy_backward, cross_entropy_forward
from ..nn.fast.gradients import FastGradients
from ..nn.linear import linear_backward, linear_forward
from ..nn.scope import Pass, Scope, Store
from ..system.rwlock import ReadWriteLock
from ..system.threads import WorkerPool
from .corpora import load_corpus
from .optim import AdamW

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Task:
    """Pairs (x, y) of texts to learn from, to choose the best model by, and to test it on.

    Raises TypeError listing every bad field.
    """

    name: str
    note: str                       # one sentence: what x and y are, and how many
    train: Pairs
    validation: Pairs
    test: Pairs
    labels: tuple[str, ...] | None  # what y can be; None where it is any text

    def __post_init__(self) -> None:
        bad = [f"{name} {getattr(self, name)!r:.80}, expected a text" for name in ("name", "note")
               if not isinstance(getattr(self, name), str)]
        bad += [f"{name} {getattr(self, name)!r:.80}, expected pairs of texts" for name in ("train", "validation", "test")
                if not _are(getattr(self, name), lambda pair: _are(pair, is_text) and len(pair) == 2)]
        if self.labels is not None and not _are(self.labels, is_text):
            bad.append(f"labels {self.labels!r:.80}, expected texts, or None")
        if bad:
            raise TypeError(f"Task: {'; '.join(bad)}")


def _are(values: object, right: Callable[[Any], bool]) -> bool:
    return isinstance(values, (list, tuple)) and all(map(right, values))


# Chapters ------------------------------------------------------------------------------------------------------------

# The chapters of Python's documentation that pydoc's topics are cut from, by topic; a version may lack some of them.
CHAPTERS = {
    "built-in types": "bltin-code-objects bltin-ellipsis-object bltin-null-object bltin-type-objects specialattrs "
                      "string-methods truth typesfunctions typesmapping typesmethods typesmodules typesseq typesseq-mutable",
    "data model": "objects specialnames types",
    "debugger": "debugger",
    "execution model": "execmodel",
    "expressions": "atom-identifiers atom-literals attribute-references await binary bitwise booleans calls comparisons "
                   "conversions dict exprlists in lambda lists operator-summary power shifting slicings subscriptions unary",
    "format strings": "formatstrings",
    "lexical analysis": "floating id-classes identifiers imaginary integers numbers strings",
    "statements": "assert assignment augassign break compound continue del global import nonlocal pass raise return yield",
}
LINE = range(20, 73)        # characters of a line that can be distinguished from others


def chapters(seed: int = 0) -> Task:
    """Make a task of Python's documentation: from which chapter is this line?

    A paragraph's lines are all in the same split, and a paragraph that stands in two chapters is in none.
    """
    from pydoc_data.topics import topics  # here, because it is large and seldom needed

    where: dict[str, set[str]] = {}
    for chapter, names in CHAPTERS.items():
        for name in names.split():
            for paragraph in re.split(r"\n\s*\n", topics.get(name, "")):
                where.setdefault(paragraph.strip(), set()).add(chapter)
    groups = []
    seen: set[str] = set()
    for paragraph, found in where.items():
        lines = [line for line in map(str.strip, paragraph.split("\n")) if len(line) in LINE and re.search("[a-z]{2}", line)]
        if len(found) == 1 and (fresh := [line for line in dict.fromkeys(lines) if line not in seen]):
            seen.update(fresh)
            groups.append([(line, min(found)) for line in fresh])
    train, validation, test = _split(groups, seed)
    note = (f"a line of the documentation of Python {platform.python_version()} -> its chapter, one of {len(CHAPTERS)}: "
            f"{len(train):,} lines to learn from, {len(validation)} to choose the model by, {len(test)} to test it")
    return Task("chapters", note, train, validation, test, tuple(CHAPTERS))


# Speakers ------------------------------------------------------------------------------------------------------------


def speakers(path: str | os.PathLike[str], n_speakers: int = 6, seed: int = 0) -> Task:
    """Make a task of a play: who says this line?

    The lines are those of the text's last tenth, which a model trained on the text has not learned from.  The text is as Tiny
    Shakespeare is: speeches between empty lines, each begun by a name and a colon.  A speech's lines are all in the same split.
    Raises ValueError where there are not so many speakers, and what load_corpus() does.
    """
    corpus = load_corpus(path)
    speeches = re.findall(r"^([A-Z][\w' ]+):\n((?:.+\n?)+)", corpus.text[len(corpus.text) * 9 // 10 :], re.MULTILINE)
    count = Counter(name for name, speech in speeches for _ in speech.split("\n"))
    labels = tuple(sorted(name for name, _ in count.most_common(n_speakers)))
    if len(labels) < n_speakers:
        raise ValueError(f"{path}: {len(labels)} speakers in its last tenth, expected {n_speakers} or more; give a longer play")
    chosen = [(name, speech.split("\n")) for name, speech in speeches if name in labels]
    groups = [[(line, name) for line in lines if len(line) in LINE] for name, lines in chosen]
    train, validation, test = _split([group for group in groups if group], seed)
    note = (f"a line of the last tenth of {corpus.name} -> its speaker, one of {n_speakers}: {len(train):,} lines to learn "
            f"from, {len(validation)} to choose the model by, {len(test)} to test it")
    return Task("speakers", note, train, validation, test, labels)


# Dates ---------------------------------------------------------------------------------------------------------------

ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth",
    "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth",
)
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)


def dates(n_train: int = 6000, n_validation: int = 200, n_test: int = 500, seed: int = 0) -> Task:
    """Make a task of dates, as people write them to ISO 8601: "the third of March 1999" -> "1999-03-03".

    Dates from 1900 to 2099, each at most once, so that no date of one split is in another.
    """
    rng = np.random.default_rng(seed)
    first = datetime.date(1900, 1, 1).toordinal()
    n = n_train + n_validation + n_test
    days = rng.choice(datetime.date(2100, 1, 1).toordinal() - first, n, replace=False) + first
    pairs = []
    for day in days.tolist():
        date = datetime.date.fromordinal(day)
        pairs.append((wording(date, rng), date.isoformat()))
    note = (f"a date from 1900 to 2099 in words -> ISO 8601: {n_train:,} to learn from, {n_validation} to choose the model by, "
            f"{n_test} other dates to test it")
    return Task("dates", note, pairs[:n_train], pairs[n_train:-n_test], pairs[-n_test:], None)


def wording(date: datetime.date, rng: np.random.Generator) -> str:
    """Write a date in one of several ways, the day before a month that is numbered.

    "the third of March 1999", "March the 3rd, nineteen ninety-nine", "3 March 1999", "the third of the 12th, 1999", "3.12.1999"
    """
    month = MONTHS[date.month - 1]
    year = str(date.year) if rng.random() < 0.5 else year_in_words(date.year)
    day, numbered = (ordinal_in_words(n) if rng.random() < 0.5 else ordinal(n) for n in (date.day, date.month))
    return (f"the {day} of {month} {year}", f"{month} the {day}, {year}", f"{date.day} {month} {year}",
            f"the {day} of the {numbered}, {year}", f"{date.day}.{date.month}.{date.year}")[rng.integers(5)]


def ordinal(n: int) -> str:
    """Write an ordinal number in digits: ordinal(23) -> "23rd"."""
    return f"{n}{'th' if n % 100 // 10 == 1 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def ordinal_in_words(n: int) -> str:
    """Write an ordinal number from 1 to 39 in words: ordinal_in_words(23) -> "twenty-third"."""
    if n <= 20:
        return ORDINALS[n - 1]
    return "thirtieth" if n == 30 else f"{TENS[n // 10 - 2]}-{ORDINALS[n % 10 - 1]}"


def year_in_words(year: int) -> str:
    """Write a year as it is spoken.

    1999 -> "nineteen ninety-nine", 1905 -> "nineteen oh five", 2007 -> "two thousand and seven"
    """
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return "two thousand" + (f" and {ONES[rest]}" if rest else "")
    front = ONES[century] if century < 20 else TENS[century // 10 - 2]
    if rest < 10:
        return f"{front} oh {ONES[rest]}" if rest else f"{front} hundred"
    tens = TENS[rest // 10 - 2]
    return f"{front} {ONES[rest] if rest < 20 else tens if rest % 10 == 0 else f'{tens}-{ONES[rest % 10]}'}"


def _split(groups: Sequence[Pairs], seed: int) -> tuple[Pairs, Pairs, Pairs]:
    """Seven tenths, one tenth and two tenths of the groups, drawn, each as pairs in an order drawn."""
    rng = np.random.default_rng(seed)
    order, n = rng.permutation(len(groups)), len(groups)
    parts = [[pair for i in part for pair in groups[i]] for part in np.split(order, [7 * n // 10, 8 * n // 10])]
    for part in parts:
        rng.shuffle(part)
    train, validation, test = parts
    return train, validation, test


TASKS: dict[str, Callable[..., Task]] = {"chapters": chapters, "dates": dates, "speakers": speakers}


# Baselines -----------------------------------------------------------------------------------------------------------


def accuracy(found: Sequence[str], pairs: Pairs) -> float:
    """The share of answers that are right, to the last character."""
    return sum(a == y for a, (_, y) in zip(found, pairs, strict=True)) / len(pairs)


def majority(task: Task) -> list[str]:
    """The commonest answer of the training pairs, whatever is asked."""
    ((commonest, _),) = Counter(y for _, y in task.train).most_common(1)
    return [commonest] * len(task.test)


def bag_of_words(task: Task, steps: int = 300, lr: float = 0.05) -> list[str]:
    r"""Logistic regression on how often each word occurs, wherever it stands: what can be known without order.

        P(y given x) = softmax(counts(x)/√n W + b),   n the words of x

    Where answers are texts of equal length each character is a class of its own, with its own softmax.  Trained on all pairs
    at once by AdamW.  Raises FloatingPointError where it diverges.
    """
    texts = [x for x, _ in task.train]
    count = Counter(word for text in texts for word in set(_words(text)))
    column = {word: i for i, word in enumerate(word for word, n in count.items() if n > 1)}
    answers = [(y,) if task.labels else tuple(y) for _, y in task.train]
    classes = [sorted(set(slot)) for slot in zip(*answers, strict=True)]
    edges = np.cumsum([0, *map(len, classes)]).tolist()
    parts = [slice(a, b) for a, b in pairwise(edges)]
    targets = np.array([[names.index(c) for names, c in zip(classes, answer, strict=True)] for answer in answers])
    model = _Regression(len(column), edges[-1])
    adamw = AdamW(model, betas=(0.9, 0.99), weight_decay=1e-3)
    x = _counts(texts, column)
    for _ in range(steps):
        model.s.grads.reset()
        scores = linear_forward(x, model.s)
        dscores = np.empty_like(scores)
        for i, part in enumerate(parts):
            s = model.s.at(f"slot.{i}")
            cross_entropy_forward(scores[:, part], targets[:, i], s)
            dscores[:, part] = cross_entropy_backward(1.0, s)
        linear_backward(dscores, model.s)
        adamw.step(lr)
    scores = linear_forward(_counts([x for x, _ in task.test], column), model.s)
    if not np.isfinite(scores).all():
        raise FloatingPointError("bag_of_words: its scores are not finite, expected numbers; lower lr")
    best = [scores[:, part].argmax(axis=1) for part in parts]
    return ["".join(names[i] for names, i in zip(classes, row, strict=True)) for row in zip(*best, strict=True)]


class _Regression:
    """The one linear layer of the baseline, with what AdamW wants to see of a model"""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.table: Table = [("weight", (n_in, n_out), "zeros"), ("bias", (n_out,), "zeros")]
        self.flat_params, self.flat_grads = np.zeros((2, (n_in + 1) * n_out), np.float32)
        self.pool, self.lock = WorkerPool(1), ReadWriteLock()
        params, grads = (named_views(self.table, flat) for flat in (self.flat_params, self.flat_grads))
        self.s = Scope(Store(params), FastGradients(grads), run=Pass(fast=True))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+|\d+|[^\w\s]|_", text.lower())


def _counts(texts: Sequence[str], column: dict[str, int]) -> np.ndarray:
    """(texts, words): how often each word occurs, over √ of the text's words"""
    counts = np.zeros((len(texts), len(column)), np.float32)
    for row, text in zip(counts, texts, strict=True):
        words = _words(text)
        for word in words:
            if word in column:
                row[column[word]] += 1 / np.sqrt(len(words))
    return counts
