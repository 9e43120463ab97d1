"""The log of a run: read again, and its loss curve as a PNG where matplotlib is installed, and in letters anywhere."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from ..system.files import write_atomic

COLUMNS = ("step", "train_loss", "val_loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds")


def read_log(path) -> list[dict]:
    """The rows of a log.csv: numbers by column name, None where a cell is empty; a torn last line is left out."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]

    def number(name, cell):
        return None if cell == "" else int(cell) if name == "step" else float(cell)

    return [
        {name: number(name, cell) for name, cell in zip(COLUMNS, row, strict=True)} for row in rows if row[0].isdigit()
    ]


def smooth(values: list[float], weight: float = 0.95) -> list[float]:
    """Exponential moving average, unbiased at the start: each value counts `weight` times the one after it."""
    out, total, norm = [], 0.0, 0.0
    for value in values:
        total, norm = weight * total + value, weight * norm + 1
        out.append(total / norm)
    return out


def loss_chart(rows: list[dict], width: int = 72, height: int = 14) -> str:
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

    def place(step, loss, mark):
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


def save_loss_png(path: Path, rows: list[dict], title: str) -> bool:
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
    axes.plot(steps, train, color="#9ecae1", linewidth=0.6, label="training, each batch")
    axes.plot(steps, smooth(train), color="#2171b5", linewidth=1.6, label="training, smoothed")
    validation = [(row["step"], row["val_loss"]) for row in rows if row["val_loss"] is not None]
    if validation:
        axes.plot(*zip(*validation, strict=True), "o-", color="#d94801", label="validation, whole split")
        step, best = min(validation, key=lambda pair: pair[1])
        axes.annotate(f"{best:.3f}", (step, best), xytext=(0, 8), textcoords="offset points", ha="center", color="#d94801")
    axes.set(xlabel="step", ylabel="loss (nats per token)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomic(path, picture.getvalue())
    return True
