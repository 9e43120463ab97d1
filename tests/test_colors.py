"""The colors: one scale that says what the numbers are, that color-blind readers can read, and that nobody else defines."""

import ast
import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from minigpt import colors

ROOT = Path(__file__).parents[1]

# what a normal eye, one without red cones and one without green cones see: Machado et al. 2009, table 1, severity 1
EYES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
JUST_SEEN = 2.3         # the distance in CIELAB that is just noticeable


def seen(color, eye):
    """A color from 0 to 1 as a place in CIELAB, whose distances are those that this eye sees"""
    color = np.asarray(color, float)
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4) @ np.transpose(EYES[eye])
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear.clip(0, 1) @ np.transpose(to_xyz) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def on(ground, color, opacity):
    return ground * (1 - opacity) + np.array(color) / 255 * opacity


@pytest.mark.parametrize("eye", EYES)
def test_the_scale_is_read_by_every_eye_on_white_and_on_black(eye):
    for ground in (1.0, 0.06):
        for opacity in (0.3, 0.5, colors.UNDER_TEXT, 1):
            blue, orange = (seen(on(ground, color, opacity), eye) for color in (colors.BLUE, colors.ORANGE))
            assert np.linalg.norm(blue - orange) > 6 * JUST_SEEN, (ground, opacity)
        for color in (colors.BLUE, colors.ORANGE):          # ten steps of each half can be told apart
            steps = [seen(on(ground, color, k / 10), eye) for k in range(11)]
            assert min(np.linalg.norm(np.diff(steps, axis=0), axis=1)) > JUST_SEEN, (ground, color)


@pytest.mark.parametrize("eye", EYES)
def test_lines_can_be_told_apart_by_every_eye(eye):
    places = [seen(np.array(color) / 255, eye) for color in colors.LINES]
    assert min(np.linalg.norm(a - b) for a, b in combinations(places, 2)) > 10 * JUST_SEEN


def test_a_shade_is_the_sign_and_the_root_of_the_size():
    np.testing.assert_allclose(colors.shade([-4, -1, 0, 0.25, 1, 9, np.nan], 4), [-1, -0.5, 0, 0.25, 0.5, 1, np.nan])
    np.testing.assert_array_equal(colors.shade([0, 0.0], 0), [0, 0])
    assert colors.css(1) == "rgba(47,129,247,1.000)"
    assert colors.css(-0.5, 0.72) == "rgba(232,98,32,0.360)"


def test_matplotlibs_pictures_have_the_same_colors():
    pytest.importorskip("matplotlib")
    for options, numbers in ((colors.signed(3), [-3, -0.5, 0, 1, 3]), (colors.amounts(3), [0, 0.2, 1, 3])):
        cmap, low, high = options["cmap"], options["vmin"], options["vmax"]
        for x in numbers:
            color = colors.BLUE if x >= 0 else colors.ORANGE
            drawn = cmap((x - low) / (high - low))[:3]
            np.testing.assert_allclose(drawn, on(1, color, abs(colors.shade(x, 3))), atol=0.07)     # √ is steep in 255 levels
    assert tuple(colors.signed(1)["cmap"](0.5)[:3]) == tuple(colors.amounts(1)["cmap"](0.0)[:3]) == (1, 1, 1)
    gray = colors.signed(1)["cmap"](np.nan)[:3]
    assert len(set(gray)) == 1 and gray[0] < 1
    powers = colors.amounts(100, least=0.01)
    np.testing.assert_allclose(powers["cmap"](float(powers["norm"](1)))[:3], on(1, colors.BLUE, 0.5), atol=0.01)


# Nobody else -----------------------------------------------------------------------------------------------------------

OWN_COLORS = re.compile("|".join([
    r"""cmap\s*=\s*["']|"cmap":|plt\.cm\b|colormaps\b|["']tab:""",
    r"""(?<!edge)color\s*=\s*["'](?!C[0-3]["']|grey|light|black|white|k["'])""",        # the lines' colors C0 … C3, and grays
    r"""["']\#[0-9a-fA-F]{3,8}["']|rgba?\((?:\d|\{\d)""",
    r"""interpolation\s*=\s*["'](?!nearest)""",
]))
OTHERS = {"minigpt/colors.py"}


def sources():
    """(name, code) of every file and of every notebook cell that could draw"""
    for folder in ("minigpt", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield f"notebooks/{path.name} {cell.get('id', '')}", "".join(cell["source"])


def test_all_pictures_take_their_colors_from_here():
    own = [(name, found[0]) for name, code in sources() if name not in OTHERS for found in OWN_COLORS.finditer(code)]
    assert own == []


def test_every_picture_of_a_matrix_in_a_notebook_has_a_legend():
    bare = []
    for name, code in sources():
        if not name.startswith("notebooks/") or "plt.show()" not in code:
            continue
        called = {getattr(node.func, "attr", getattr(node.func, "id", "")) for node in ast.walk(ast.parse(code))
                  if isinstance(node, ast.Call)}
        numbers = re.search(r"numbers=True|ax\.text\(.*(digit|:\.2f)|draw\(|grey is|blue: ", code)      # or words say it
        if called & {"imshow", "heatmap"} and "colorbar" not in called and not numbers:
            bare.append(name)
    assert bare == []


def test_the_page_of_the_report_names_no_color_of_the_scale():
    page = (ROOT / "minigpt/assets/report.html").read_text(encoding="utf-8")
    assert "47, 129" not in page
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgba?\(\d", page.replace(style, ""))         # only the page's own grays, in :root
    assert set(re.findall(r"--(\w+): #", style)) == {"text", "page", "panel", "line", "accent"}
    assert len(re.findall(r"#[0-9a-f]{3,6}\b", style)) == 10
