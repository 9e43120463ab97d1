"""The loss of a training run as an SVG, without a script."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..colors import BLUE, ORANGE

if TYPE_CHECKING:
    from collections.abc import Sequence


def loss_curve(
    steps: Sequence[int], losses: Sequence[float], smoothed: Sequence[float], validation: Sequence[tuple[int, float]],
) -> str:
    """A run's loss as SVG: each batch (pale), their running mean, and validation losses [(step, loss), …] as dots."""
    width, height, left, bottom, top = 720, 324, 46, 34, 36
    values = [*losses, *(loss for _, loss in validation)]
    y_ticks, x_ticks = _ticks(min(values), max(values)), _ticks(steps[0], steps[-1])
    low, high = min(y_ticks[0], *values), max(y_ticks[-1], *values)
    span = max(steps[-1] - steps[0], 1)

    def x(step: float) -> float:
        return left + (width - left - 30) * (step - steps[0]) / span

    def y(loss: float) -> float:
        return top + (height - top - bottom) * (high - loss) / max(high - low, 1e-9)

    def line(ys: Sequence[float], style: str) -> str:
        every = len(steps) // 800 + 1                   # about one point for each pixel
        points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in list(zip(steps, ys, strict=True))[::every])
        return f'<polyline points="{points}" fill="none" stroke="rgb{BLUE}" {style}/>'

    def text(x: float, y: float, words: str, anchor: str) -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'

    parts = [f'<path d="M{left} {y(t):.1f}H{width - 30}" stroke="currentColor" opacity=".15"/>' for t in y_ticks]
    parts += [text(left - 8, y(t) + 4, f"{t:g}", "end") for t in y_ticks]
    parts += [text(x(t), height - bottom + 18, f"{t:g}", "middle") for t in x_ticks if steps[0] <= t <= steps[-1]]
    parts += [line(losses, 'stroke-width="1" opacity=".35"'), line(smoothed, 'stroke-width="2"')]
    parts += [f'<circle cx="{x(s):.1f}" cy="{y(v):.1f}" r="4" fill="rgb{ORANGE}">'
              f"<title>step {s}: validation loss {v:.4f}</title></circle>" for s, v in validation]
    if validation:
        step, best = min(validation, key=lambda pair: pair[1])
        parts.append(text(x(step), y(best) - 10, f"{best:.3f}", "end"))
    parts.append(text(width - 30, height - 3, "step", "end"))
    parts.append(_legend(left, width - 30, bool(validation)))
    return ('<div style="overflow-x:auto"><svg role="img" aria-label="loss over the steps of training" fill="currentColor" '
            f'viewBox="0 0 {width} {height}" font-size="12" font-family="sans-serif" style="width:100%;min-width:480px;'
            f'max-width:{width}px;height:auto">{"".join(parts)}</svg></div>')


def _legend(left: float, right: float, validation: bool) -> str:
    """The words for the lines, above the picture"""
    marks = [
        ("each batch", f'<path d="M0 8H22" stroke="rgb{BLUE}" opacity=".35"/>'),
        ("running mean", f'<path d="M0 8H22" stroke="rgb{BLUE}" stroke-width="2"/>'),
        ("validation", f'<circle cx="11" cy="8" r="4" fill="rgb{ORANGE}"/>'),
    ]
    items = (f'<g transform="translate({left + 120 * i} 4)">{mark}<text x="28" y="12">{words}</text></g>'
             for i, (words, mark) in enumerate(marks[: 2 + validation]))
    return f'<g class="legend">{"".join(items)}<text x="{right}" y="16" text-anchor="end">loss in nats per token</text></g>'


def _ticks(low: float, high: float) -> list[float]:
    """Between one and nine round numbers within [low, high]"""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-6)))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if (high - low) / s <= 8)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1)] or [low]
