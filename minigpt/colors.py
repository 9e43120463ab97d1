"""The colors of all pictures: one scale for numbers, in HTML, in PNGs and in matplotlib, and a few colors for lines.

    zero is the page; blue above it, orange below; the opacity is √(|x| / full), so that small numbers show too

An amount, such as a probability or a surprise, has the blue half alone.  Numbers that are not finite are gray.  Blue and
orange stay far apart for readers who confuse red and green: tests/test_colors.py measures it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    Color = tuple[int, int, int]

BLUE, ORANGE, GRAY = (47, 129, 247), (232, 98, 32), (128, 128, 128)     # BLUE and ORANGE are readable on white and on black
GRAY_OPACITY = 0.16
LINES = (BLUE, ORANGE, (64, 64, 64), (0, 158, 115))     # of a plot, in this order
UNDER_TEXT = 0.72                                       # the greatest opacity behind a text, which stays readable


def shade(x: ArrayLike, full: float = 1.0) -> np.ndarray:
    """Place numbers on the scale: sign(x) √(|x| / full), from −1, full orange, to 1, full blue; NaN stays NaN."""
    x = np.asarray(x, np.float64)
    return np.sign(x) * np.sqrt(np.minimum(np.abs(x) / (full or 1.0), 1))


def css(shade: float, greatest_opacity: float = 1.0) -> str:
    """Name the color of a shade as style sheets do."""
    red, green, blue = BLUE if shade >= 0 else ORANGE
    return f"rgba({red},{green},{blue},{greatest_opacity * min(abs(shade), 1):.3f})"


def palette() -> np.ndarray:
    """Return the scale as 256 colors (red, green, blue, opacity) uint8: entry 0 is gray, 1 … 255 are −full … full, 128 is 0."""
    shades = shade((np.arange(256) - 128) / 127)
    colors = np.zeros((256, 4), np.uint8)
    colors[:128, :3], colors[128:, :3] = ORANGE, BLUE
    colors[:, 3] = np.rint(255 * np.abs(shades))
    colors[0] = *GRAY, round(255 * GRAY_OPACITY)
    return colors


# Matplotlib, where it is installed ------------------------------------------------------------------------------------


def signed(full: float) -> dict[str, Any]:
    """The scale from −full to full as options of imshow(): image = ax.imshow(x, **signed(3)); its legend is colorbar(image)."""
    return {"cmap": _colormap(_on_white(palette()[1:])), "vmin": -full, "vmax": full, "interpolation": "nearest"}


def amounts(full: float, least: float | None = None) -> dict[str, Any]:
    """The scale from 0 to full as options of imshow(); with `least`, from there to full by the logarithm."""
    options = {"cmap": _colormap(_on_white(palette()[128:])), "vmin": 0, "vmax": full, "interpolation": "nearest"}
    if least is None:
        return options
    from matplotlib.colors import LogNorm

    even = np.column_stack([np.tile(BLUE, (128, 1)), np.linspace(0, 255, 128)])
    return {"cmap": _colormap(_on_white(even)), "norm": LogNorm(least, full), "interpolation": "nearest"}


def plot_style() -> dict[str, Any]:
    """Return matplotlib's settings for the notebooks: plt.rcParams.update(plot_style())."""
    from matplotlib.rcsetup import cycler

    return {
        "figure.dpi": 80, "axes.spines.top": False, "axes.spines.right": False, "image.interpolation": "nearest",
        "axes.prop_cycle": cycler(color=[fraction(color) for color in LINES]),
    }


def fraction(color: Color) -> tuple[float, ...]:
    """Return a color as matplotlib takes it, from 0 to 1."""
    return tuple(part / 255 for part in color)


def _on_white(colors: np.ndarray) -> np.ndarray:
    """Colors with opacity (n, 4) as they look on white: (n, 3), from 0 to 1"""
    opacity = colors[:, 3:] / 255
    return 1 - opacity + opacity * colors[:, :3] / 255


def _colormap(colors: np.ndarray) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(colors).with_extremes(bad=tuple(_on_white(np.array([[*GRAY, 255 * GRAY_OPACITY]]))[0]))
