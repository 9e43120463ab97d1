"""The log of a run: read again, and its loss curve as a PNG where matplotlib is installed, and in letters anywhere."""

from __future__ import annotations

import io
import math
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

from ..colors import BLUE, ORANGE, fraction
from ..system.files import write_atomic
from ..system.streams import say
from ..system.text import printable

_FIRST = ("step", "train_loss", "val_loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds")     # until 0.1.0
COLUMNS = (*_FIRST, "train_bits_per_byte", "val_bits_per_byte")
_MAY_BE_EMPTY = ("val_loss", "train_bits_per_byte", "val_bits_per_byte")

_HEADINGS = ",".join(COLUMNS), ",".join(_FIRST)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?")


def log_line(step: int, train_loss: float, val_loss: float | None, learning_rate: float, gradient_norm: float,
             tokens_per_second: float, seconds: float, bits_per_nat: float | None = None) -> str:
    """A row as it stands in the file; val_loss may be None, and so may bits_per_nat, by which losses are given per byte too."""
    train_bits, val_bits = (None if loss is None or bits_per_nat is None else loss * bits_per_nat
                            for loss in (train_loss, val_loss))
    return (f"{step},{train_loss:.5f},{_cell(val_loss)},{learning_rate:.6g},{gradient_norm:.4f},{tokens_per_second:.0f},"
            f"{seconds:.2f},{_cell(train_bits)},{_cell(val_bits)}\r\n")


def _cell(number: float | None) -> str:
    return "" if number is None else f"{number:.5f}"


def log_until(path: Path, step: int) -> tuple[str, list[dict[str, Any]]]:
    """What log.csv holds when a run goes on after `step`, to the byte, and its rows: the heading and the good ones up to there.

    Rows of 0.1.0 get the columns that they lack, empty.
    """
    rows = [(row, line) for row, line in _good_rows(path) if row["step"] <= step] if step and path.exists() else []
    lines = [line + "," * (len(COLUMNS) - 1 - line.count(",")) for _, line in rows]
    return "".join(f"{line}\r\n" for line in (_HEADINGS[0], *lines)), [row for row, _ in rows]


def read_log(path: str | os.PathLike[str], quiet: bool = False) -> list[dict[str, Any]]:
    """The rows of a log.csv: numbers by column name, None where val_loss or the bits per byte are empty.

    A damaged row is left out, and unless quiet a line on stderr names it.
    """
    return [row for row, _ in _good_rows(path, quiet)]


class GrowingLog:
    """A log.csv that a run writes: each look reads what was appended, or all of a file that was written anew.

    What ends without a line break is still being written, and damaged rows are left out without a word.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._begin()

    def _begin(self) -> None:
        # subtle: the last row is read again each time, since only the next one shows whether its step is in order
        self._rows: list[dict[str, Any]] = []       # all but the last
        self._read, self._mark = 0, b""             # bytes that hold them, and the last of these

    def rows(self) -> list[dict[str, Any]]:
        """All rows so far, as in read_log(); whoever calls may not change them.  Raises FileNotFoundError."""
        with self._lock, open(self._path, "rb") as file:
            file.seek(max(0, self._read - len(self._mark)))
            if file.read(len(self._mark)) != self._mark:
                self._begin()
            file.seek(self._read)
            new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            until = whole.rfind(b"\n", 0, -1) + 1       # where the last line begins
            before = self._rows[-1]["step"] if self._rows else 0
            good = _in_order(_lines(whole), before)
            is_last = bool(good) and good[-1][1] == _lines(whole[until:])[0]
            self._rows += [row for row, _ in good[: len(good) - is_last]]
            self._read, self._mark = self._read + until, (self._mark + whole[:until])[-64:]
            return self._rows + [row for row, _ in good[len(good) - is_last :]]


def _good_rows(path: str | os.PathLike[str], quiet: bool = False) -> list[tuple[dict[str, Any], str]]:
    """[(row, line)] of those whose cells are numbers and whose step lies between those of the rows around it"""
    return _in_order(_lines(Path(path).read_bytes()), 0, None if quiet else path)


def _lines(data: bytes) -> list[str]:
    """Its lines; the last is what stands behind the last line break"""
    return data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")


def _in_order(
    lines: list[str], before: int, named: str | os.PathLike[str] | None = None,
) -> list[tuple[dict[str, Any], str]]:
    """The good ones of lines that follow the step `before`; named: the file, whose other lines are told on stderr"""
    numbered = [(i, line, _row(line) if i < len(lines) else None)
                for i, line in enumerate(lines, 1) if line and line not in _HEADINGS]
    following = [row["step"] for _, _, row in reversed(numbered) if row]
    good = []
    for i, line, row in numbered:
        if row:
            following.pop()
        if row and before < row["step"] < (following[-1] if following else math.inf):
            good.append((row, line))
            before = row["step"]
        elif named is not None:
            say(f"{named}, line {i}: '{printable(line, 80)}', expected {_HEADINGS[0]} as numbers, the steps in order; the "
                "row is left out", sys.stderr)
    return good


def _row(line: str) -> dict[str, Any] | None:
    """{column: number}, or None where the line is no row"""
    cells = line.split(",")
    if len(cells) not in (len(COLUMNS), len(_FIRST)) or not re.fullmatch("[0-9]{1,15}", cells[0]):
        return None
    cells += [""] * (len(COLUMNS) - len(cells))
    row: dict[str, Any] = {}
    for name, cell in zip(COLUMNS, cells, strict=True):
        if not (_NUMBER.fullmatch(cell) or (not cell and name in _MAY_BE_EMPTY)):
            return None
        row[name] = float(cell) if cell else None
    if not all(number is None or math.isfinite(number) for number in row.values()):
        return None
    return {**row, "step": int(cells[0])}


def smooth(values: list[float], weight: float = 0.95) -> list[float]:
    """Exponential moving average, unbiased at the start: each value counts `weight` times the one after it."""
    out, total, norm = [], 0.0, 0.0
    for value in values:
        total, norm = weight * total + value, weight * norm + 1
        out.append(total / norm)
    return out


def loss_chart(rows: list[dict[str, Any]], width: int = 72, height: int = 14) -> str:
    """The curve as text: · the training loss, smoothed, and ● the validation loss, over the steps.

    rows: what read_log gives, at least one.
    """
    steps = [row["step"] for row in rows]
    train = smooth([row["train_loss"] for row in rows])
    validation = [(row["step"], row["val_loss"]) for row in rows if row["val_loss"] is not None]
    values = train + [loss for _, loss in validation]
    low, high = math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10
    high = max(high, low + 0.1)
    grid = [[" "] * width for _ in range(height)]

    def place(step: int, loss: float, mark: str) -> None:
        column = round((step - steps[0]) / max(1, steps[-1] - steps[0]) * (width - 1))
        grid[round((high - loss) / (high - low) * (height - 1))][column] = mark

    for step, loss in zip(steps, train, strict=True):
        place(step, loss, "·")
    for step, loss in validation:
        place(step, loss, "●")
    lines = [f"{high - (high - low) * i / (height - 1):6.2f} │{''.join(line)}" for i, line in enumerate(grid)]
    lines.append(" " * 7 + "└" + "─" * width)
    first, last = f"step {steps[0]}", f"step {steps[-1]}"
    lines.append(" " * 8 + first + last.rjust(width - len(first)))
    lines.append(" " * 8 + "loss in nats per token:  · training (smoothed)   ● validation")
    return "\n".join(lines)


def save_loss_png(path: Path, rows: list[dict[str, Any]], title: str) -> bool:
    """Draw the curve into a PNG; False, and no file, where matplotlib is not installed (pip install matplotlib)."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = [row["step"] for row in rows]
    train = [row["train_loss"] for row in rows]
    axes.plot(steps, train, color=fraction(BLUE), alpha=0.35, linewidth=0.6, label="training, each batch")
    axes.plot(steps, smooth(train), color=fraction(BLUE), linewidth=1.6, label="training, smoothed")
    validation = [(row["step"], row["val_loss"]) for row in rows if row["val_loss"] is not None]
    if validation:
        axes.plot(*zip(*validation, strict=True), "o-", color=fraction(ORANGE), label="validation, whole split")
        step, best = min(validation, key=lambda pair: pair[1])
        axes.annotate(f"{best:.3f}", (step, best), xytext=(0, 8), textcoords="offset points", ha="center",
                      color=fraction(ORANGE))
    axes.set(xlabel="step", ylabel="loss (nats per token)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomic(path, picture.getvalue())
    return True
