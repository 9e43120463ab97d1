"""Pictures as HTML: colored tokens, tables, heatmaps.

They use inline styles and PNG data, and no scripts, so that notebook viewers show them too.  Every picture has a legend; the
colors are those of colors.py, in which zero is transparent, so pictures work on light and on dark pages.
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

from ..colors import GRAY, GRAY_OPACITY, UNDER_TEXT, css, palette, shade
from ..system.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from numpy.typing import ArrayLike

HEATMAP_PIXELS, HEAD_PIXELS = 224, 168      # about the side to which a small matrix is enlarged, alone or as one of many
MAX_ROWS_SHOWN = 512                        # also columns; of a larger matrix every n-th is shown
LABEL_PIXELS = 9                            # room that a row's label needs
LONGEST_LABEL = 12                          # characters


# Tokens ---------------------------------------------------------------------------------------------------------------


def label(tokenizer: Any, id: int) -> str:
    r"""A token as one visible word: "␣the", "⏎", "\xe4\xbb" for a part of a character; "#17" where there is no tokenizer."""
    if tokenizer is None or not 0 <= id < tokenizer.vocab_size:     # a model can have more ids than its tokenizer
        return f"#{id}"
    text = tokenizer.token_bytes(int(id)).decode("utf-8", "backslashreplace")
    return printable(text.replace(" ", "␣").replace("\n", "⏎"))


def running(word: str) -> str:
    """Write a label as running text: "␣the" -> " the", and ⏎ is followed by a line break."""
    return word.replace("␣", " ").replace("⏎", "⏎\n")


def colored_tokens(labels: Sequence[str], shades: Iterable[float], notes: Sequence[str]) -> str:
    """A text with its tokens colored by shades, colors.shade(); hovering over a token shows its note."""
    spans = (
        f'<span title="{html.escape(note)}" style="border-radius:3px;margin-right:1px;background:{css(tone, UNDER_TEXT)}">'
        f"{html.escape(running(word))}</span>"
        for word, tone, note in zip(labels, shades, notes, strict=True)
    )
    return f'<div class="tokens" style="white-space:pre-wrap;font-family:monospace;line-height:1.7">{"".join(spans)}</div>'


def surprise(logprobs: ArrayLike, labels: Sequence[str], notes: Sequence[str], full: float | None = None) -> str:
    """Tokens colored by −log p; `full` nats, by default the largest value, get the full color."""
    nats = 0 - np.asarray(logprobs)         # 0 − x, so that log 1 gives 0 and not −0
    full = full or max(nats.max(), 1e-9)
    tokens = colored_tokens(labels, shade(nats, full), notes)
    return tokens + legend(full, "surprise, −log p in nats", most=UNDER_TEXT)


def likeliest(probs: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Find the k most likely ids, the most likely first, and their probabilities: probs (..., V) -> two arrays (..., k)."""
    k = min(k, probs.shape[-1])
    some = np.argpartition(-probs, k - 1, axis=-1)[..., :k]
    p = np.take_along_axis(probs, some, -1)
    order = np.argsort(-p, axis=-1, kind="stable")
    return np.take_along_axis(some, order, -1), np.take_along_axis(p, order, -1)


def ranked(tokenizer: Any, ids: Iterable[int], probs: Iterable[float]) -> str:
    """List tokens with their probabilities, for a note: "e 0.512, ␣ 0.21, …"."""
    return ", ".join(f"{label(tokenizer, id)} {p:.3g}" for id, p in zip(ids, probs, strict=True))


# Legends --------------------------------------------------------------------------------------------------------------


def legend(full: float, what: str = "", *, signed: bool = False, least: float | None = None, most: float = 1.0,
           gray: str = "") -> str:
    """A strip of the scale with its ends: 0 and full, or −full and full; with `least`, from there to full by the logarithm.

    most: the greatest opacity in the picture.  gray: what the gray places are.
    """
    tones = np.linspace(-1 if signed else 0, 1, 11 if signed else 6)
    places = tones if least is not None else tones * np.abs(tones)          # of the numbers that have these tones
    places = (places - places[0]) / (places[-1] - places[0])
    colors = ",".join(f"{css(tone, most)} {place:.0%}" for tone, place in zip(tones, places, strict=True))
    ends = number(-full if signed else least or 0.0), number(full)
    parts = [ends[0], _swatch(f"linear-gradient(to right,{colors})", 120), ends[1], html.escape(what)]
    if gray:
        parts += [_swatch(f"rgba({','.join(map(str, GRAY))},{GRAY_OPACITY})", 12), html.escape(gray)]
    return f'<div class="legend" style="font-size:12px;opacity:.85;margin-top:4px">{" ".join(filter(None, parts))}</div>'


def number(x: float, digits: int = 3) -> str:
    """Write a number with so many digits and a real minus: −0.00512; 203 with two digits is 203 still, not 2e+02."""
    text = f"{x:.0f}" if 10**digits <= abs(x) < 1e6 else f"{x:.{digits}g}"
    return text.replace("-", "−")


def _swatch(background: str, width: int) -> str:
    return (f'<span style="display:inline-block;width:{width}px;height:10px;vertical-align:-1px;outline:1px solid #8884;'
            f'background:{background}"></span>')


# Tables ---------------------------------------------------------------------------------------------------------------


def grid(rows: Sequence[str], columns: Sequence[str], shades: Any, texts: Any, notes: Any = None) -> str:
    """A table with colored cells: shades (rows, columns) as in colors.shade(); NaN is an empty cell."""
    cell = "padding:2px 5px;white-space:pre"
    head = "".join(f'<th style="{cell};text-align:center;font-weight:600">{html.escape(name)}</th>' for name in columns)
    body = []
    for i, name in enumerate(rows):
        cells = []
        for j in range(len(columns)):
            tone, note = shades[i][j], f' title="{html.escape(notes[i][j])}"' if notes else ""
            empty = math.isnan(tone)
            style = "" if empty else f"background:{css(tone, UNDER_TEXT)}"
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
    texts = [[number(x, 2) for x in row] for row in numbers]
    notes = [[f"{name}, {column}: {what} {x:.4g}" for column, x in zip(columns, row, strict=True)]
             for name, row in zip(rows, numbers, strict=True)]
    return grid(rows, columns, shade(numbers, greatest), texts, notes) + legend(greatest, what, signed=True, most=UNDER_TEXT)


def lens_grid(tokenizer: Any, names: Sequence[str], labels: Sequence[str], ids: np.ndarray, probs: np.ndarray) -> str:
    """The logit lens as a table, points of the stream × positions; ids and probs (points, T, k) are the top k tokens."""
    texts = [[label(tokenizer, best[0]) for best in row] for row in ids]
    notes = [
        [f"{name}, after {labels[t]} (position {t})\n{ranked(tokenizer, ids[i, t], probs[i, t])}" for t in range(len(labels))]
        for i, name in enumerate(names)
    ]
    table = grid(names, labels, shade(probs[..., 0]), texts, notes)
    return table + legend(1, "probability of the token shown", most=UNDER_TEXT)


# Heatmaps -------------------------------------------------------------------------------------------------------------


def png(pixels: np.ndarray, palette: ArrayLike) -> bytes:
    """Encode pixels (rows, columns) uint8, indices into palette (256, 4): red, green, blue, opacity -> the bytes of a PNG."""
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


def heatmap(
    matrix: np.ndarray, scale: float, title: str = "", rows: Sequence[str] = (), columns: Sequence[str] = (),
    side: int = HEATMAP_PIXELS,
) -> str:
    """A matrix as a picture: blue above 0, orange below, full color at ± scale; gray where a number is not finite.

    Of a large matrix every n-th row or column is shown, and the title says so.  rows, columns: their labels; where there is no
    room for all, every n-th with its number.
    """
    steps = [-(-n // MAX_ROWS_SHOWN) for n in matrix.shape]
    seen = matrix[:: steps[0], :: steps[1]]
    zoom = [max(1, min(14, round(side / n))) for n in seen.shape]
    finite = np.isfinite(seen)
    level = 128 + np.rint(127 * np.where(finite, seen, 0) / (scale or 1)).clip(-127, 127)
    pixels = np.where(finite, level, 0).astype(np.uint8).repeat(zoom[0], 0).repeat(zoom[1], 1)
    data = base64.b64encode(png(pixels, palette())).decode()
    for step, axis in zip(steps, ("row", "column"), strict=True):
        title += f", 1 {axis} in {step}" if step > 1 else ""
    picture = (f'<img alt="{html.escape(title)}" title="{html.escape(title)}" width="{pixels.shape[1]}" '
               f'height="{pixels.shape[0]}" style="display:block;margin:0;max-width:none;image-rendering:pixelated;'
               f'outline:1px solid #8884" src="data:image/png;base64,{data}">')
    if not len(rows) and not len(columns):
        return picture
    left = _labels(rows, steps[0], zoom[0], f"height:{pixels.shape[0]}px;text-align:right;padding-right:3px")
    upright = "upright" if steps[1] == 1 and all(len(word) == 1 for word in columns) and zoom[1] >= LABEL_PIXELS else "mixed"
    below = _labels(columns, steps[1], zoom[1], f"width:{pixels.shape[1]}px;writing-mode:vertical-lr;"
                    f"text-orientation:{upright};padding-top:3px")
    return ('<div style="display:grid;grid-template-columns:auto max-content;justify-content:start">'
            f"{left}{picture}<div></div>{below}</div>")


def _labels(words: Sequence[str], step: int, zoom: int, style: str) -> str:
    """The labels of a picture's rows or columns, of which every step-th is shown, `zoom` pixels wide"""
    every = -(-LABEL_PIXELS // zoom)                    # of those shown
    names = [f"{i} {short(word)}" if every * step > 1 else short(word) for i, word in enumerate(words)][:: every * step]
    pitch = every * zoom
    text = "<br>".join(map(html.escape, names))
    return f'<div style="font:{min(pitch - 2, 11)}px/{pitch}px monospace;white-space:pre;{style}">{text}</div>'


def short(word: str) -> str:
    """Shorten a label to at most LONGEST_LABEL characters."""
    return word if len(word) <= LONGEST_LABEL else f"{word[: LONGEST_LABEL - 1]}…"


def array_picture(array: np.ndarray, axes: str, labels: Sequence[str] = ()) -> str:
    """An array as heatmaps, according to its axes such as "B H T D": the first sequence of a batch, one picture per head.

    `labels` are the tokens of the first sequence and name the rows and columns of a T axis.
    """
    letters = axes.split()
    if letters[:1] == ["B"]:
        array, letters = array[0], letters[1:]
    if array.ndim == 0:
        return f"<code>{float(array):.6g}</code>"
    if array.ndim == 1:
        array, letters = array[None], ["", *letters]
    finite = array[np.isfinite(array)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    rows, columns = (labels if letter == "T" else () for letter in letters[-2:])
    size = f"{array.shape[-2]} rows ({letters[-2]}), {array.shape[-1]} columns ({letters[-1]})"
    if array.ndim == 2:
        picture = heatmap(array, scale, size if letters[-2] else f"{array.shape[-1]} numbers ({letters[-1]})", rows, columns)
    else:
        picture = row_of_pictures(
            f"<div>{heatmap(head, scale, f'head {h}: {size}', rows, columns, HEAD_PIXELS)}{_caption(f'head {h}')}</div>"
            for h, head in enumerate(array)
        )
    gray = "not finite" if finite.size < array.size else ""
    return picture + legend(scale, signed=bool((finite < 0).any()), gray=gray)


def row_of_pictures(pictures: Iterable[str]) -> str:
    """Put pictures next to each other, wrapped where the page ends."""
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start">{"".join(pictures)}</div>'


def _caption(text: str) -> str:
    return f'<div style="font-size:12px;opacity:.7;text-align:center">{html.escape(text)}</div>'
