"""Pictures of a loss curve and of an alignment: as PNGs where matplotlib is installed, and in letters anywhere."""

from __future__ import annotations

import io
import math
import unicodedata
from pathlib import Path

from ..system.files import write_atomic


def smooth(values: list[float], weight: float = 0.95) -> list[float]:
    """Exponential moving average, unbiased at the start: each value counts `weight` times the one after it."""
    out, total, norm = [], 0.0, 0.0
    for value in values:
        total, norm = weight * total + value, weight * norm + 1
        out.append(total / norm)
    return out


def loss_chart(rows: list[dict], width: int = 72, height: int = 14) -> str:
    """The curve as text: · the training loss, smoothed, and ● the validation loss, over the steps.

    rows: what train.read_log gives, at least one.
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


def alignment_chart(source: list[str], target: list[str], att) -> str:
    """An attention map as text: a row for each target piece, a column for each source piece, the darker the more attention.

    att (T, S): rows that sum to 1, as translation.Alignment has them.
    """
    shades = " ·░▒▓█"
    margin = max(map(_cells, target)) + 2
    lines = [" " * margin + " ".join(word.center(_WIDTH) for word in source)]
    for piece, row in zip(target, att, strict=True):
        cells = (shades[min(int(weight * len(shades)), len(shades) - 1)] * max(len(word), _WIDTH)
                 for word, weight in zip(source, row, strict=True))
        lines.append(" " * (margin - 1 - _cells(piece)) + piece + " " + " ".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def save_alignment_png(path: Path, source: list[str], target: list[str], att, gloss: dict[str, str]) -> bool:
    """Draw the map of alignment_chart() into a PNG; False, and no file, where matplotlib is not installed.

    gloss: what stands for a target piece where no font that is installed here has its characters.
    """
    try:
        from matplotlib import font_manager
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    fonts = {font.name for font in font_manager.fontManager.ttflist}
    family = next((name for name in _CHINESE_FONTS if name in fonts), None)
    labels = target if family else [gloss.get(piece, piece) for piece in target]
    figure = Figure(figsize=(2 + 0.55 * len(source), 1.6 + 0.36 * len(target)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(att, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), source, rotation=45, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(target)), labels, family=family)
    axes.xaxis.tick_top()
    figure.colorbar(image, label="attention")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomic(path, picture.getvalue())
    return True


_WIDTH = 3              # cells of the narrowest column
_CHINESE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
                  "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Droid Sans Fallback")


def _cells(text):
    """How wide a text is on a terminal: Chinese characters take two cells"""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
