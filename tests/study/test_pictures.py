"""The pictures' building blocks: what is drawn equals the numbers, and no text becomes markup."""

import base64
import re
import struct
import zlib

import numpy as np
import pytest

from cells import Cells
from minigpt import GPT, GPTConfig, colors
from minigpt.study import pictures
from minigpt.study.attribution import direct_logit_attribution
from minigpt.study.logit_lens import logit_lens
from minigpt.study.patching import activation_patching
from minigpt.tokenization import CharTokenizer, Tokenizer

NASTY = '<b>"&</b> </script>\n'


def read_png(data):
    """pixels (rows, columns) and palette (256, 4) of what pictures.png() writes"""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        (size,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        chunks[kind] = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + chunks[kind]),)
        at += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()                # no filter
    colors = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(256, 3)
    return lines[:, 1:], np.column_stack([colors, np.frombuffer(chunks[b"tRNS"], np.uint8)])


def drawn(page):
    """(pixels, palette) of each PNG in a page"""
    return [read_png(base64.b64decode(data)) for data in re.findall(r"data:image/png;base64,([\w+/=]+)", page)]


def example(tokenizer=None, dtype=np.float64):
    model = GPT(GPTConfig(vocab_size=300, n_positions=8, n_embd=6, n_layer=2, n_head=3), seed=0, dtype=dtype)
    model.tokenizer = tokenizer
    rng = np.random.default_rng(0)
    for array in model.params.values():
        array[...] = rng.standard_normal(array.shape)
    return model, rng.integers(0, 20, (2, 5))


def test_a_heatmaps_pixels_are_the_matrix():
    matrix = np.random.default_rng(0).standard_normal((5, 3))
    matrix[1, 2] = -np.inf
    scale = abs(matrix[np.isfinite(matrix)]).max()
    (pixels, palette), = drawn(pictures.heatmap(matrix, scale))
    seen = palette[pixels[:: len(pixels) // 5, :: pixels.shape[1] // 3]].astype(float)
    assert seen.shape == (5, 3, 4)
    assert tuple(seen[1, 2]) == (128, 128, 128, 41)                 # not a number: gray
    sign = np.where((seen[..., :3] == colors.BLUE).all(-1), 1, -1)
    value = sign * (seen[..., 3] / 255) ** 2 * scale
    matrix[1, 2] = value[1, 2]
    np.testing.assert_allclose(value, matrix, atol=0.012 * scale)   # 1/254 by the palette, 1/127 by √ in 8 bits


def test_a_large_matrix_shows_one_row_in_several_and_says_so():
    page = pictures.heatmap(np.ones((2000, 3)), 1.0, "weights")
    (pixels, _), = drawn(page)
    assert pixels.shape[0] == 500
    assert 'title="weights, 1 row in 4"' in page


def test_zero_is_the_page_and_a_matrix_of_zeros_is_drawn():
    (pixels, palette), = drawn(pictures.heatmap(np.zeros((2, 2)), 0.0))
    assert (palette[pixels][..., 3] == 0).all()


@pytest.mark.parametrize("axes, shape, count", [
    ("B T C", (2, 4, 6), 1), ("B H T T", (2, 3, 4, 4), 3), ("B T 1", (2, 4, 1), 1), ("C", (6,), 1), ("V C", (7, 6), 1),
    ("B T", (2, 4), 1), ("", (), 0),
])
def test_an_array_is_drawn_by_its_axes(axes, shape, count):
    page = pictures.array_picture(np.random.default_rng(0).standard_normal(shape), axes, list("ab<d"))
    assert len(drawn(page)) == count
    assert page.count("&lt;") == axes.removeprefix("B").count("T") * (3 if "H" in axes else 1)     # tokens along each T axis
    assert page.count('class="legend"') == (axes != "")                         # one: all heads have one scale


def test_a_picture_is_enlarged_by_whole_numbers_and_stays_sharp():
    for n in (3, 12, 95, 300):
        page = pictures.heatmap(np.eye(n), 1.0, side=168)
        (pixels, _), = drawn(page)
        assert "image-rendering:pixelated" in page
        assert f'width="{len(pixels)}" height="{len(pixels)}"' in page
        zoom = len(pixels) // n
        np.testing.assert_array_equal(pixels == 255, np.kron(np.eye(n), np.ones((zoom, zoom))))
        assert n > 168 or 112 <= len(pixels) <= 252 or zoom == 14, n


def test_labels_that_have_no_room_are_every_nth_with_its_number():
    words = [f"w{i}" for i in range(95)]
    page = pictures.array_picture(np.zeros((1, 1, 95, 95)), "B H T T", words)
    assert page.count("0 w0<br>5 w5<br>10 w10<br>") == 2                # two pixels for each, so every fifth
    assert page.count("90 w90<") == 2
    page = pictures.heatmap(np.zeros((1024, 2)), 1.0, rows=[f"w{i}" for i in range(1024)])
    assert "0 w0<br>18 w18<br>" in page                                 # of rows of which every second is shown
    assert "␣internatio…<br>b" in pictures.array_picture(np.zeros((2, 2)), "T C", ["␣internationally", "b"])


def test_a_legend_has_the_scale_and_its_ends():
    def read(page):
        """(text, [(place, opacity with the sign of its color)])"""
        stops = re.findall(r"rgba\((\d+),\d+,\d+,([\d.]+)\) (\d+)%", page)
        return re.sub(r"<[^>]+>", "", page).split(), [
            (int(at) / 100, float(opacity) * (1 if red == "47" else -1)) for red, opacity, at in stops]

    text, stops = read(pictures.legend(4.2, "nats"))
    assert text == ["0", "4.2", "nats"]
    np.testing.assert_allclose([tone**2 for _, tone in stops], [place for place, _ in stops], atol=0.006)      # 1 %
    text, stops = read(pictures.legend(0.5, "<b>", signed=True, gray="−∞"))
    assert text == ["−0.5", "0.5", "&lt;b&gt;", "−∞"]
    np.testing.assert_allclose([tone * abs(tone) for _, tone in stops], [2 * place - 1 for place, _ in stops], atol=0.011)
    text, stops = read(pictures.legend(203, least=0.01, most=0.72))
    assert text == ["0.01", "203"]
    np.testing.assert_allclose([tone for _, tone in stops], [0.72 * place for place, _ in stops], atol=0.001)


def test_every_picture_has_a_legend_that_fits_its_numbers():
    scores = np.array([[-0.5, -np.inf], [2.0, 1.0]])
    page = pictures.array_picture(scores, "T T", "ab")
    assert "−2" in page and ">not finite" in re.sub(r"</span> ", ">", page)
    assert "−1" not in pictures.array_picture(abs(scores[1:]), "T C", "a")           # an amount has the blue half alone
    assert 'class="legend"' in pictures.surprise([-1.0], ["a"], ["a"])
    assert "surprise" in pictures.surprise([-1.0], ["a"], ["a"])
    assert "effect" in pictures.number_grid(["a"], ["b"], [[1.0]], "effect").split('class="legend"')[1]
    lens = pictures.lens_grid(None, ["h.0.in"], ["a"], np.zeros((1, 1, 1), int), np.ones((1, 1, 1)))
    assert "probability" in lens.split('class="legend"')[1]


def test_tokens_are_colored_by_their_surprise():
    tokenizer = CharTokenizer.train(NASTY)
    ids = tokenizer.encode(NASTY)
    logprobs = -np.linspace(0, 3, len(ids))
    cells = Cells(pictures.surprise(logprobs, [pictures.label(tokenizer, id) for id in ids], list(NASTY)))
    assert set(cells.tags) == {"div", "span"}                       # no <b>, no script
    assert [title for title, _, _ in cells.found] == list(NASTY)
    assert "".join(text for *_, text in cells.found) == NASTY.replace("\n", "⏎\n")
    np.testing.assert_allclose([opacity for _, opacity, _ in cells.found], -logprobs / 3, atol=0.01)   # two decimals


def test_no_label_and_no_note_becomes_markup():
    words = ["<b>", "&amp;", '"x"', "</div>"]
    half = [0.5] * 4
    for page in (pictures.colored_tokens(words, half, words), pictures.grid(["<b>"], words, [half], [words], [words]),
                 pictures.array_picture(np.ones((4, 3)), "T C", words)):
        assert set(Cells(page).tags) <= {"div", "span", "table", "thead", "tbody", "tr", "th", "td", "img", "br"}
        assert all(title == text for title, _, text in Cells(page).found)
        assert "&amp;amp;" in page


def test_labels_show_spaces_line_ends_and_parts_of_characters():
    tokenizer = Tokenizer.gpt2()
    labels = [pictures.label(tokenizer, id) for id in tokenizer.encode(" the\n今\t")]
    assert labels == ["␣the", "⏎", r"\xe4\xbb", r"\x8a", r"\t"]
    assert pictures.label(None, 17) == "#17"
    assert pictures.label(CharTokenizer.train("ab"), 2) == "#2"     # a model may have more ids than its tokenizer


def test_the_likeliest_come_in_their_order():
    probs = np.random.default_rng(0).dirichlet(np.ones(9), (2, 4))
    ids, p = pictures.likeliest(probs, 3)
    np.testing.assert_array_equal(ids, np.argsort(-probs)[..., :3])
    np.testing.assert_array_equal(p, -np.sort(-probs)[..., :3])
    assert pictures.likeliest(probs, 99)[0].shape == (2, 4, 9)


def test_numbers_stand_in_their_table():
    cells = Cells(pictures.number_grid(["a", "<b>"], ["x", "y"], [[1.0, -2.0], [0.5, np.nan]], "effect"))
    assert cells.found == [["a, x: effect 1", pytest.approx(0.5, abs=0.01), "1"],
                           ["a, y: effect -2", pytest.approx(1, abs=0.01), "−2"],
                           ["<b>, x: effect 0.5", pytest.approx(0.25, abs=0.01), "0.5"]]
    assert "b" not in cells.tags


@pytest.mark.parametrize("name", [
    "h.0.attn.att", "h.0.attn.scores", "h.1.in", "wpe.out", "wte.weight", "h.0.ln_1.rstd", "nll", "loss",
])
def test_a_step_shows_its_value_and_its_gradient(name):
    model, ids = example()
    model.name = "<mine>"
    step = model.trace(ids, ids)[name]
    page = step._repr_html_()
    axes = step.axes.split()
    assert len(drawn(page)) == {"loss": 0}.get(name, 2 * (3 if "H" in axes else 1))
    assert ("the first of 2 sequences" in page) == ("B" in axes)
    assert page.startswith(f'<div class="tex2jax_ignore"><p><b><code>{name}</code></b> of &lt;mine&gt; (')
    assert "<b>gradient</b>" in page


def test_without_targets_a_step_shows_no_gradient():
    model, ids = example()
    assert "<b>gradient</b>" not in model.trace(ids)["h.0.attn.att"]._repr_html_()


def test_the_table_of_a_trace_opens_one_block_of_many():
    model, ids = example()
    page = model.trace(ids, ids)._repr_html_()
    opened = dict((name, bool(flag)) for flag, name in re.findall(r"<details( open)?><summary>([^:]+):", page))
    assert opened == {"embeddings": True, "h.0": True, "h.1": False, "output": True, "parameters, embeddings": False,
                      "parameters, h.0": False, "parameters, h.1": False, "parameters, output": False}
    assert "gradient" not in model.trace(ids)._repr_html_()


def test_the_lens_shows_the_likeliest_token_at_each_point():
    model, ids = example(Tokenizer.train("to be or not to be", 260))
    lens = logit_lens(model, ids)
    cells = Cells(lens._repr_html_()).found
    assert [text for *_, text in cells] == [pictures.label(model.tokenizer, id) for id in lens.best[:, 0].ravel()]
    np.testing.assert_allclose([opacity for _, opacity, _ in cells], lens.probs[:, 0].max(-1).ravel(), atol=0.01)


def test_effects_and_parts_are_dictionaries_that_show_as_tables():
    model, ids = example()
    targets = np.roll(ids, -1, axis=1)
    effects = activation_patching(model, ids, ids[::-1], targets, ["h.0.in", "h.1.attn.o"])
    titles = [title for title, *_ in Cells(effects._repr_html_()).found]
    assert len(titles) == 5 + 3 * 5
    assert f"h.1.attn.o.2, #{ids[0, 4]}: effect {effects['h.1.attn.o'][2, 4]:.4g}" in titles
    parts = direct_logit_attribution(model, ids, 3)
    titles = [title for title, *_ in Cells(parts._repr_html_()).found]
    assert len(titles) == len(parts)
    assert f"h.1, attn.o.2: adds {parts['h.1.attn.o.2'][0]:.4g}" in titles


def test_a_score_shows_its_tokens():
    model, _ = example(CharTokenizer.train(NASTY))
    score = model.score(NASTY[:7])
    cells = Cells(score._repr_html_())
    assert "".join(text for *_, text in cells.found) == NASTY[1:7]
    np.testing.assert_allclose([opacity for _, opacity, _ in cells.found], score.logprobs / score.logprobs.min(), atol=0.01)
    assert "b" not in cells.tags
