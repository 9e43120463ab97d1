"""The numbers of a trace on a terminal, with the tokens beside them.

    trace["h.0.attn.att"].table()               a square for each head, tokens along its rows and its columns
    trace["h.0.mlp.act"].table(grad=True)       the gradient; tokens along the rows, channels along the columns

The names, their equations and the numbers come from trace.py.  Pictures of them are in pictures.py, files in export.py.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..system.columns import columns, to_width
from .pictures import label

if TYPE_CHECKING:
    from .trace import Step

MAX_ROWS = 60               # of a square on screen; of more the first and the last are shown
_MAX_LABEL = 14             # columns of the terminal that a token may take
_MARK = "…"                 # stands for rows and columns that are left out


class Axis(NamedTuple):
    """One axis of an array: what its indices are, how many there are, and (sequence, index) -> the token there."""

    name: str
    size: int
    token: Tokens | None


class Tokens:
    """The tokens along an axis, as labels: (sequence, index) -> label.  ids (B, T), or None where an index is an id."""

    def __init__(self, tokenizer: Any, ids: np.ndarray | None) -> None:
        self.tokenizer, self.ids = tokenizer, ids
        self._labels: dict[int, str] = {}       # of those that were asked for

    def __call__(self, sequence: int, index: int) -> str:
        id = index if self.ids is None else int(self.ids[sequence, index])
        if id not in self._labels:
            self._labels[id] = label(self.tokenizer, id)
        return self._labels[id]


def axes_of(step: Step) -> list[Axis]:
    """The axes of a step's arrays by what they are, without those of size 1 that are no sequences, heads or positions.

        "B H T T" -> sequence, head, position, key      "B T V" -> sequence, position, id      "C 3C" -> input, channel
    """
    trace, letters = step.trace, step.axes.split()
    token_at, token_of = Tokens(trace.tokenizer, trace.ids), Tokens(trace.tokenizer, None)
    has_one_text = "B" in letters or len(trace.ids) == 1    # wpe.out (T, C) is the same for all sequences
    kinds = {"B": "sequence", "H": "head", "T": "position", "V": "id", "n_positions": "position"}
    axes: list[Axis] = []
    for i, (letter, size) in enumerate(zip(letters, step.value.shape, strict=True)):
        name = kinds.get(letter, "channel" if i == len(letters) - 1 else "input")
        if name == "position" and any(axis.name == "position" for axis in axes):
            name = "key"
        token = token_of if letter == "V" else token_at if letter == "T" and has_one_text else None
        if letter != "1":
            axes.append(Axis(name, size, token))
    return axes


class Table:
    """The numbers of one array of a trace; printed as far as they fit into the terminal, text() has them all.

    array: as in the trace.  title: name, shape and equation.  Raises ValueError for a gradient that the trace lacks.
    """

    def __init__(self, step: Step, grad: bool = False) -> None:
        self.array = step.grad if grad else step.value
        self.title = f"{'gradient of ' * grad}{step.name} {step.shape}  {step.backward if grad else step.equation}"
        self._axes = axes_of(step)

    def __repr__(self) -> str:
        text, is_whole = self.fitted(shutil.get_terminal_size().columns)
        return text if is_whole else f"{text}\n({_MARK} stands for what does not fit; print(table.text()) shows all)"

    def text(self) -> str:
        """Every number, however many there are."""
        return self.fitted(None)[0]

    def fitted(self, width: int | None) -> tuple[str, bool]:
        """What fits into `width` columns of a terminal and MAX_ROWS rows for each head, and whether that is everything."""
        array = self.array.reshape([axis.size for axis in self._axes])
        if array.ndim == 0:
            return f"{self.title}\n{array!s}", True
        n = sum(axis.name in ("sequence", "head") for axis in self._axes)
        down, across = (None if len(self._axes) == n + 1 else self._axes[n]), self._axes[-1]
        if down is None and across.token is not None:          # nll (B, T): tokens are always along the rows
            array, down, across = array[..., None], across, Axis("", 1, None)
        write, lines, is_whole = _writer(array), [self.title], True
        for index in np.ndindex(array.shape[:n]):
            named = zip((axis.name for axis in self._axes), index, self._axes[:n], strict=False)
            corner = ", ".join(f"{name} {i}" for name, i, axis in named if name == "head" or axis.size > 1)
            square = array[index].reshape(-1, across.size)
            block, fits = _square(square, down, across, index[0] if n else 0, corner, write, width)
            lines += ["", *block] if corner else block
            is_whole &= fits
        return "\n".join(lines), is_whole


def _writer(array: np.ndarray) -> Callable[[float], str]:
    """How all numbers of an array are written: alike, the largest with four digits or so; an exact zero as "0" """
    finite = np.abs(array[np.isfinite(array)])
    largest = float(finite.max(initial=0))
    form = f".{max(0, 3 - math.floor(math.log10(largest)))}f" if 1e-3 <= largest < 1e5 else ".2e"
    return lambda x: "0" if x == 0 else format(x, form)


def _square(
    square: np.ndarray, down: Axis | None, across: Axis, sequence: int, corner: str, write: Callable[[float], str],
    width: int | None,
) -> tuple[list[str], bool]:
    """The lines of a matrix with its labels, and whether all of it is there"""
    shown = _ends(len(square), len(square) if width is None else MAX_ROWS)
    labels = [corner, *(_MARK if i is None else _row_label(down, sequence, i) for i in shown)]
    margin = max(map(columns, labels))

    def cells(j: int) -> list[str]:
        return [_heading(across, sequence, j), *(_MARK if i is None else write(square[i, j]) for i in shown)]

    n, room = across.size, math.inf if width is None else width - margin
    candidates = {j: cells(j) for j in _ends(n, n if width is None else width // 3 + 2) if j is not None}
    widths = {j: max(map(columns, texts)) for j, texts in candidates.items()}
    fitting = _fitting(n, {j: 2 + w for j, w in widths.items()}, room)
    lines = [to_width(name, margin) for name in labels]
    for j in fitting:
        texts, w = ([_MARK] * len(lines), 1) if j is None else (candidates[j], widths[j])
        lines = [f"{line}  {to_width(text, w, right=True)}" for line, text in zip(lines, texts, strict=True)]
    return [line.rstrip() for line in lines if line.strip()], None not in (*shown, *fitting)


def _row_label(down: Axis | None, sequence: int, i: int) -> str:
    if down is None:
        return ""
    number = f"{i:{len(str(down.size - 1))}}"
    return number if down.token is None else f"{number} {_cut(down.token(sequence, i))}"


def _heading(across: Axis, sequence: int, j: int) -> str:
    if across.token is None:
        return str(j) if across.name else ""
    return _cut(across.token(sequence, j))


def _cut(name: str) -> str:
    """The name, or of a long one what fits into _MAX_LABEL columns with a mark behind it"""
    if columns(name) <= _MAX_LABEL:
        return name
    while columns(name) >= _MAX_LABEL:
        name = name[:-1]
    return name + _MARK


def _ends(n: int, most: int) -> list[int | None]:
    """0 … n−1, or of more than `most` the first and the last with None between them: _ends(9, 4) -> [0, 1, None, 7, 8]"""
    return [*range(n)] if n <= most else [*range((most + 1) // 2), None, *range(n - most // 2, n)]


def _fitting(n: int, widths: dict[int, int], room: float) -> list[int | None]:
    """Those of n columns that fit into the room, from both ends, with None where some are left out; at least the first"""
    if n == 1 or (len(widths) == n and sum(widths.values()) <= room):
        return [*range(n)]
    count, used = 0, 3                              # of the mark, with the blanks before it
    while count < min(n, len(widths)) - 1:
        used += widths[n - 1 - count // 2 if count % 2 else count // 2]         # 0, n−1, 1, n−2, …
        if count and used > room:
            break
        count += 1
    return _ends(n, count)
