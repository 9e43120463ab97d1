"""The rows of the benchmark: as a table in the terminal, as JSON, and as a bar chart where matplotlib is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


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

    def __str__(self):
        def number(value):
            if value is None:
                return ""
            return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"

        ratio = "" if self.ratio is None else "{:.2f} ({:.2f}–{:.2f})".format(*self.ratio)
        unit = f"{self.unit} (less is better)" if self.better == "less" else self.unit
        numbers = f"{self.what:36} {number(self.ours):>9} {number(self.theirs):>9}  {ratio:19}"
        return f"{numbers} {unit:26} {self.peer:22} {self.note}".rstrip()


HEADER = f"{'':36} {'minigpt':>9} {'peer':>9}  {'ratio (quartiles)':19} {'unit':26} {'peer'}"


def save_chart(path: Path, rows: list[Row], title: str) -> bool:
    """Draw the ratios to peers as bars into a picture; False, and no file, where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    shown = [row for row in rows if row.ratio and row.theirs]
    figure = Figure(figsize=(8, 0.8 + 0.34 * len(shown)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for y, row in enumerate(shown):
        assert row.ratio is not None
        middle, low, high = row.ratio
        wins = (middle >= 1) == (row.better == "more")
        axes.barh(y, middle, color="#2171b5" if wins else "#9ecae1", xerr=[[middle - low], [high - middle]],
                  error_kw={"ecolor": "#555555", "capsize": 2})
        axes.annotate(f"{middle:.2f}", (high, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1, color="#d94801", linewidth=1)
    labels = [f"{row.what.strip()} ÷ {row.peer}{' (less is better)' if row.better == 'less' else ''}" for row in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set(xlabel="minigpt ÷ peer, from quartile to quartile", title=title)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path)
    return True
