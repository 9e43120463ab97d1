"""The rows of the benchmark: as a table in the terminal, as JSON, and as a bar chart where matplotlib is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minigpt.colors import BLUE, ORANGE, fraction


@dataclass
class Row:
    """One measured thing: our median, a peer's, and the ratio ours ÷ theirs (median, lower and upper quartile)."""

    what: str
    unit: str
    ours: float | None
    peer: str
    theirs: float | None = None
    ratio: tuple[float, float, float] | None = None
    better: Literal["more", "less"] = "more"
    note: str = ""

    def __str__(self) -> str:
        def number(value: float | None) -> str:
            if value is None:
                return ""
            return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"

        ratio = "" if self.ratio is None else "{:.2f} ({:.2f}–{:.2f})".format(*self.ratio)
        unit = f"{self.unit} (less is better)" if self.better == "less" else self.unit
        numbers = f"{self.what:36} {number(self.ours):>9} {number(self.theirs):>9}  {ratio:19}"
        return f"{numbers} {unit:26} {self.peer:22} {self.note}".rstrip()


HEADER = f"{'':36} {'minigpt':>9} {'peer':>9}  {'ratio (quartiles)':19} {'unit':26} {'peer'}"


def save_chart(path: Path, rows: list[Row], title: str) -> bool:
    """Draw how many times better minigpt is as bars from 1; False, and no file, where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
    except ImportError:
        return False
    shown = [row for row in rows if row.ratio and row.theirs]
    figure = Figure(figsize=(8, 1 + 0.3 * len(shown)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for y, row in enumerate(shown):
        assert row.ratio is not None
        middle, low, high = row.ratio if row.better == "more" else [1 / row.ratio[i] for i in (0, 2, 1)]
        axes.barh(y, middle - 1, left=1, color=fraction(BLUE if middle >= 1 else ORANGE))
        axes.plot([low, high], [y, y], color="black", linewidth=1)
        right = middle >= 1
        axes.annotate(f"{middle:.2f}", (high if right else low, y), xytext=(4 if right else -4, 0), fontsize=8, va="center",
                      textcoords="offset points", ha="left" if right else "right")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(shown)), [f"{row.what.strip()} · {row.peer}" for row in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(FixedLocator([0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} ×"))
    axes.set(xlabel="times as fast, or as little memory, as the peer", title=title)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path)
    return True
