"""Pictures of which source words a target was made from: PNGs where matplotlib is installed, and letters anywhere."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..colors import amounts
from ..system.columns import columns, to_width
from ..system.files import write_atomic

_CHINESE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
                  "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Droid Sans Fallback")
_WIDTH = 3              # cells of the narrowest column


def alignment_chart(source: list[str], target: list[str], att: np.ndarray) -> str:
    """An attention map as text: a row for each target piece, a column for each source piece, the darker the more attention.

    att (T, S): rows that sum to 1, as translation.Alignment has them.
    """
    shades = " ·░▒▓█"
    margin = max(map(columns, target)) + 2
    lines = [" " * margin + " ".join(word.center(_WIDTH) for word in source)]
    for piece, row in zip(target, att, strict=True):
        cells = (shades[min(int(weight * len(shades)), len(shades) - 1)] * max(len(word), _WIDTH)
                 for word, weight in zip(source, row, strict=True))
        lines.append(to_width(piece, margin - 1, right=True) + " " + " ".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def save_alignment_png(path: Path, source: list[str], target: list[str], att: np.ndarray, gloss: dict[str, str]) -> bool:
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
    image = axes.imshow(att, **amounts(1), aspect="auto")
    axes.set_xticks(range(len(source)), source, rotation=45, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(target)), labels, family=family)
    axes.xaxis.tick_top()
    figure.colorbar(image, label="attention")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomic(path, picture.getvalue())
    return True
