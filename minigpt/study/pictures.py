"""Pictures as HTML: colored tokens, tables, heatmaps, curves.

They use inline styles, PNG data and SVG, and no scripts, so that notebook viewers show them too.  A color's opacity stands
for a number's size: zero is transparent, so pictures work on light and on dark pages.
The numbers come from elsewhere: trace.py, patching.py, logit_lens.py, attribution.py, report.py, generation/scoring.py.
"""

from __future__ import annotations

import base64
import html
import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from ..system.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from numpy.typing import ArrayLike

    Color = tuple[int, int, int]

BLUE, ORANGE = (47, 129, 247), (232, 98, 32)        # for numbers above zero and below; readable on white and on black
HEATMAP_PIXELS, HEAD_PIXELS = 224, 168              # side length to which a small matrix is enlarged, alone or as one of many
MAX_ROWS_SHOWN = 512                                # also columns; of a larger matrix every n-th is shown


# Tokens ---------------------------------------------------------------------------------------------------------------


def label(tokenizer: Any, id: int) -> str:
    r"""A token as one visible word: "␣the", "⏎", "\xe4\xbb" for a part of a character; "#17" where there is no tokenizer."""
    if tokenizer is None or not 0 <= id < tokenizer.vocab_size:     # a model can have more ids than its tokenizer
        return f"#{id}"
    text = tokenizer.token_bytes(int(id)).decode("utf-8", "backslashreplace")
    return printable(text.replace(" ", "␣").replace("\n", "⏎"))


def running(word: str) -> str:
    """A label as running text: "␣the" -> " the", and ⏎ is followed by a line break"""
    return word.replace("␣", " ").replace("⏎", "⏎\n")


def colored_tokens(labels: Sequence[str], strengths: Iterable[float], notes: Sequence[str], color: Color = ORANGE) -> str:
    """A text with its tokens colored by strengths from 0 to 1; hovering over a token shows its note."""
    spans = (
        f'<span title="{html.escape(note)}" style="border-radius:3px;margin-right:1px;{_background(strength, color)}">'
        f"{html.escape(running(word))}</span>"
        for word, strength, note in zip(labels, strengths, notes, strict=True)
    )
    return f'<div class="tokens" style="white-space:pre-wrap;font-family:monospace;line-height:1.7">{"".join(spans)}</div>'


def surprise(logprobs: ArrayLike, labels: Sequence[str], notes: Sequence[str], full: float | None = None) -> str:
    """Tokens colored by −log p; `full` nats, by default the largest value, get the full color."""
    nats = 0 - np.asarray(logprobs)         # 0 − x, so that log 1 gives 0 and not −0
    return colored_tokens(labels, np.clip(nats / (full or max(nats.max(), 1e-9)), 0, 1), notes)


def likeliest(probs: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The k most likely ids, the most likely first, and their probabilities: probs (..., V) -> two arrays (..., k)"""
    k = min(k, probs.shape[-1])
    some = np.argpartition(-probs, k - 1, axis=-1)[..., :k]
    p = np.take_along_axis(probs, some, -1)
    order = np.argsort(-p, axis=-1, kind="stable")
    return np.take_along_axis(some, order, -1), np.take_along_axis(p, order, -1)


def ranked(tokenizer: Any, ids: Iterable[int], probs: Iterable[float]) -> str:
    """Tokens with their probabilities, for a note: "e 0.512, ␣ 0.21, …" """
    return ", ".join(f"{label(tokenizer, id)} {p:.3g}" for id, p in zip(ids, probs, strict=True))


# Tables ---------------------------------------------------------------------------------------------------------------


def grid(rows: Sequence[str], columns: Sequence[str], strengths: Any, texts: Any, notes: Any = None) -> str:
    """A table with colored cells: strengths (rows, columns) from −1, orange, to 1, blue; NaN is an empty cell."""
    cell = "padding:2px 5px;white-space:pre"
    head = "".join(f'<th style="{cell};text-align:center;font-weight:600">{html.escape(name)}</th>' for name in columns)
    body = []
    for i, name in enumerate(rows):
        cells = []
        for j in range(len(columns)):
            strength, note = strengths[i][j], f' title="{html.escape(notes[i][j])}"' if notes else ""
            empty = math.isnan(strength)
            style = "" if empty else _background(abs(strength), BLUE if strength >= 0 else ORANGE)
            text = "" if empty else html.escape(texts[i][j])
            cells.append(f'<td{"" if empty else note} style="{cell};text-align:center;{style}">{text}</td>')
        body.append(f'<tr style="background:none"><th style="{cell};text-align:right;font-weight:600">{html.escape(name)}</th>'
                    f'{"".join(cells)}</tr>')
    return (
        '<div class="grid" style="overflow-x:auto"><table style="border-collapse:separate;border-spacing:1px;'
        'font:12px/1.3 monospace;color:inherit"><thead style="border:0"><tr style="background:none"><th></th>'
        f'{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def number_grid(rows: Sequence[str], columns: Sequence[str], numbers: ArrayLike, what: str) -> str:
    """A table of signed numbers, colored by their size relative to the largest; NaN is an empty cell."""
    numbers = np.asarray(numbers, np.float64)
    greatest = np.nanmax(np.abs(numbers), initial=1e-300)
    texts = [[f"{x:.2g}" for x in row] for row in numbers]
    notes = [[f"{name}, {column}: {what} {x:.4g}" for column, x in zip(columns, row, strict=True)]
             for name, row in zip(rows, numbers, strict=True)]
    return grid(rows, columns, numbers / greatest, texts, notes)


def lens_grid(tokenizer: Any, names: Sequence[str], labels: Sequence[str], ids: np.ndarray, probs: np.ndarray) -> str:
    """The logit lens as a table, points of the stream × positions; ids and probs (points, T, k) are the top k tokens."""
    texts = [[label(tokenizer, best[0]) for best in row] for row in ids]
    notes = [
        [f"{name}, after {labels[t]} (position {t})\n{ranked(tokenizer, ids[i, t], probs[i, t])}" for t in range(len(labels))]
        for i, name in enumerate(names)
    ]
    return grid(names, labels, probs[..., 0], texts, notes)


# Heatmaps -------------------------------------------------------------------------------------------------------------


def png(pixels: np.ndarray, palette: ArrayLike) -> bytes:
    """Encode pixels (rows, columns) uint8, indices into palette (256, 4): red, green, blue, opacity -> the bytes of a PNG"""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    n_rows, n_columns = pixels.shape
    lines = np.zeros((n_rows, n_columns + 1), np.uint8)         # each line begins with its filter's number, 0 for none
    lines[:, 1:] = pixels
    palette = np.asarray(palette, np.uint8)
    return b"".join([
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", n_columns, n_rows, 8, 3, 0, 0, 0)),      # 8 bits, by palette
        chunk(b"PLTE", palette[:, :3].tobytes()), chunk(b"tRNS", palette[:, 3].tobytes()),
        chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), chunk(b"IEND", b""),
    ])


def _signed_palette() -> np.ndarray:
    """Entry 0 is gray, for NaN; 1 … 255 go from orange through transparent (128) to blue, by √ so that small values show"""
    palette = np.zeros((256, 4), np.uint8)
    signed = (np.arange(256) - 128) / 127
    palette[:128, :3], palette[128:, :3] = ORANGE, BLUE
    palette[:, 3] = np.rint(255 * np.sqrt(np.minimum(np.abs(signed), 1)))
    palette[0] = 128, 128, 128, 40
    return palette


def heatmap(
    matrix: np.ndarray, scale: float, title: str = "", labels: Sequence[str] = (), side: int = HEATMAP_PIXELS,
) -> str:
    """A matrix as a picture: blue above 0, orange below, full color at ± scale; gray where a number is not finite.

    Of a large matrix every n-th row or column is shown, and the title says so.  `labels` name the rows where there is room.
    """
    steps = [-(-n // MAX_ROWS_SHOWN) for n in matrix.shape]
    seen = matrix[:: steps[0], :: steps[1]]
    zoom = [max(1, min(14, side // n)) for n in seen.shape]
    finite = np.isfinite(seen)
    level = 128 + np.rint(127 * np.where(finite, seen, 0) / (scale or 1)).clip(-127, 127)
    pixels = np.where(finite, level, 0).astype(np.uint8).repeat(zoom[0], 0).repeat(zoom[1], 1)
    data = base64.b64encode(png(pixels, _signed_palette())).decode()
    for step, axis in zip(steps, ("row", "column"), strict=True):
        title += f", 1 {axis} in {step}" if step > 1 else ""
    picture = (f'<img alt="{html.escape(title)}" title="{html.escape(title)}" width="{pixels.shape[1]}" '
               f'height="{pixels.shape[0]}" style="display:block;margin:0;max-width:none;outline:1px solid #8884" '
               f'src="data:image/png;base64,{data}">')
    if not len(labels) or zoom[0] < 9:
        return picture
    names = "<br>".join(html.escape(word[:12]) for word in labels)
    return (f'<div style="display:flex"><div style="font:{zoom[0] - 3}px/{zoom[0]}px monospace;white-space:pre;'
            f'text-align:right;padding-right:3px">{names}</div>{picture}</div>')


def array_picture(array: np.ndarray, axes: str, labels: Sequence[str] = ()) -> str:
    """An array as heatmaps, according to its axes such as "B H T D": the first sequence of a batch, one picture per head.

    `labels` are the tokens of the first sequence and name the rows of a T axis.
    """
    letters = axes.split()
    if letters[:1] == ["B"]:
        array, letters = array[0], letters[1:]
    if array.ndim == 0:
        return f"<code>{float(array):.6g}</code>"
    if array.ndim == 1:
        array, letters = array[None], ["", *letters]
    finite = np.abs(array[np.isfinite(array)])
    scale = float(finite.max()) if finite.size else 0.0
    names = labels if letters[-2] == "T" else ()
    size = f"{array.shape[-2]} rows ({letters[-2]}), {array.shape[-1]} columns ({letters[-1]})"
    if array.ndim == 2:
        return heatmap(array, scale, size if letters[-2] else f"{array.shape[-1]} numbers ({letters[-1]})", names)
    return row_of_pictures(
        f"<div>{heatmap(head, scale, f'head {h}: {size}', names, HEAD_PIXELS)}{_caption(f'head {h}')}</div>"
        for h, head in enumerate(array)
    )


def row_of_pictures(pictures: Iterable[str]) -> str:
    """Pictures next to each other, wrapped where the page ends"""
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start">{"".join(pictures)}</div>'


def _caption(text: str) -> str:
    return f'<div style="font-size:12px;opacity:.7;text-align:center">{html.escape(text)}</div>'


# Curves ---------------------------------------------------------------------------------------------------------------


def loss_curve(
    steps: Sequence[int], losses: Sequence[float], smoothed: Sequence[float], validation: Sequence[tuple[int, float]],
) -> str:
    """A run's loss as SVG: each batch (pale), their running mean, and validation losses [(step, loss), …] as dots."""
    width, height, left, bottom, top = 720, 300, 46, 34, 12
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
    return ('<div style="overflow-x:auto"><svg role="img" aria-label="loss over the steps of training" fill="currentColor" '
            f'viewBox="0 0 {width} {height}" font-size="12" font-family="sans-serif" style="width:100%;min-width:480px;'
            f'max-width:{width}px;height:auto">{"".join(parts)}</svg></div>')


def _ticks(low: float, high: float) -> list[float]:
    """Between one and nine round numbers within [low, high]"""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-6)))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if (high - low) / s <= 8)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1)] or [low]


def _background(strength: float, color: Color) -> str:
    """A background color, never fully opaque, so that the text on it stays readable"""
    return f"background:rgba({','.join(map(str, color))},{0.72 * float(strength):.2f})"
