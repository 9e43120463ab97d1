"""The report: its figures are the model's, it holds no markup but its own, and a real browser draws it without a network."""

import base64
import hashlib
import json
import math
import re

import numpy as np
import pytest

from browser import browser, needs_browser
from cells import Cells
from minigpt import GPT, GPTConfig
from minigpt.colors import BLUE
from minigpt.study.logit_lens import logit_lens
from minigpt.study.report import PARTS, POINTS, report
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.training.log import COLUMNS

TEXT = "To be, or not to be:\nthat is the question"


@pytest.fixture(scope="module")
def model():
    return GPT.from_pretrained("shakespeare-char", dtype=np.float64)


@pytest.fixture(scope="module")
def page(model):
    return report(model, TEXT).html


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def section(page, title):
    return re.search(rf"<section><h2>{title}</h2>.*?</section>", page, re.DOTALL)[0]


def tiny(tokenizer):
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=48, n_embd=6, n_layer=1, n_head=2), seed=0)
    model.tokenizer = tokenizer
    return model


def test_surprises_are_the_scores(model, page):
    cells = Cells(section(page, "Surprise")).found
    score = model.score(TEXT)
    p = [float(re.search(r"\np ([\d.e-]+), surprise ([\d.e-]+) nats", title)[1]) for title, *_ in cells[1:]]
    np.testing.assert_allclose(p, np.exp(score.logprobs), rtol=0.005)           # three digits
    strengths = np.minimum(-score.logprobs / math.log(65), 1)
    np.testing.assert_allclose([opacity for _, opacity, _ in cells[1:]], strengths, atol=0.01)
    assert "".join(text for *_, text in cells) == TEXT.replace("\n", "⏎\n")
    assert f"loss {-score.mean:.3f} nats per token, perplexity {score.perplexity:.2f}" in page


def test_attention_is_the_models(model, page):
    data = data_of(page)
    weights = np.frombuffer(base64.b64decode(data["weights"]), np.uint8).reshape(data["layers"], data["heads"], -1)
    att = model.trace(model.tokenizer.encode_array(TEXT)[None], names="h.*.attn.att")
    queries, keys = np.tril_indices(len(TEXT))
    for i in range(4):
        np.testing.assert_allclose(weights[i] / 255, att[f"h.{i}.attn.att"].value[0][:, queries, keys], atol=0.5001 / 255)
    assert data["labels"] == [{" ": "␣", "\n": "⏎"}.get(c, c) for c in TEXT]


def test_the_lens_is_the_models(model, page):
    lens = logit_lens(model, model.tokenizer.encode_array(TEXT)[None])
    cells = Cells(section(page, "Logit lens")).found
    best = model.tokenizer.decode(lens.best[:, 0].ravel())
    assert "".join(text for *_, text in cells) == best.replace(" ", "␣").replace("\n", "⏎")
    np.testing.assert_allclose([opacity for _, opacity, _ in cells], lens.probs[:, 0].max(-1).ravel(), atol=0.01)


def test_gradient_norms_are_the_models(model, page):
    ids = model.tokenizer.encode_array(TEXT)[None]
    trace = model.trace(ids[:, :-1], ids[:, 1:])            # in the page the last token is read too, but has no target
    norms = {title.split(": ‖d‖ ")[0]: float(title.split(" ")[-1])
             for title, *_ in Cells(section(page, "Gradient norms by layer")).found}
    for i in range(4):
        for point in POINTS:
            assert norms[f"h.{i}, {point}"] == pytest.approx(np.linalg.norm(trace[f"h.{i}.{point}"].grad), rel=1e-4)
        whole = [trace[name].grad for name in trace if name in model.params and name.startswith(f"h.{i}.")]
        assert norms[f"h.{i}, all"] == pytest.approx(math.hypot(*map(np.linalg.norm, whole)), rel=1e-4)
    weight, bias = (np.linalg.norm(trace[f"h.2.mlp.c_fc.{kind}"].grad) for kind in ("weight", "bias"))
    assert norms["h.2, mlp.c_fc"] == pytest.approx(math.hypot(weight, bias), rel=1e-4)
    assert {f"h.3, {part}" for part in PARTS} | {"wte, all", "wpe, all", "ln_f, all"} <= set(norms)


def test_a_runs_log_becomes_its_curve(tmp_path):
    model = tiny(CharTokenizer.train(TEXT))
    log = tmp_path / "log.csv"
    log.write_text(",".join(COLUMNS) + "\n1,3.5,,0.1,1,9,0.1\n2,2.5,2.75,0.1,1,9,0.2\n", encoding="utf-8")
    assert "step 2: validation loss 2.7500" in section(report(model, TEXT, log=log).html, "Loss over training")
    assert "Loss over training" not in report(model, TEXT).html
    log.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"log\.csv: no steps, expected"):
        report(model, TEXT, log=log)


@pytest.mark.parametrize("text", [
    "</script><script>alert(1)</script>", "<!--<script>", "{{data}} {{title}}", "&lt;b&gt; \\u003c",
])
def test_no_text_becomes_markup(text):
    model = tiny(Tokenizer.train("ab", 257, [text]))        # a whole token: its characters stay together
    page = report(model, model.tokenizer.encode(text + "ab", allowed_special="all"), title=text).html
    assert data_of(page)["labels"] == [text.replace(" ", "␣"), "a", "b"]
    plain = report(model, [0, 1]).html
    assert page.count("<script") == plain.count("<script") == 2
    assert "<!--" not in page
    assert set(Cells(page).tags) == set(Cells(plain).tags)
    assert "".join(text for *_, text in Cells(section(page, "Surprise")).found) == text + "ab"


def test_the_page_names_its_model_and_its_colors(model, page, tmp_path):
    assert "<p>shakespeare-char: 4 layers, 5 heads," in page
    assert data_of(page)["model"] == "shakespeare-char"
    assert tuple(data_of(page)["color"]) == BLUE
    mine = tiny(CharTokenizer.train(TEXT))
    assert "<p>1 layers, " in report(mine, TEXT).html                   # made, not loaded: it has no name
    mine.save_pretrained(tmp_path / "<b>")
    assert "<p>&lt;b&gt;: 1 layers, " in report(GPT.from_pretrained(tmp_path / "<b>"), TEXT).html
    log = tmp_path / "log.csv"
    log.write_text(",".join(COLUMNS) + "\n1,3.5,,0.1,1,9,0.1\n", encoding="utf-8")
    sections = re.findall(r"<section><h2>(.*?)</h2>(.*?)</section>", report(mine, TEXT, log=log).html, re.DOTALL)
    legends = {title: body.count('class="legend"') for title, body in sections}
    assert legends == {"Surprise": 1, "Attention": 1, "Logit lens": 1, "Gradient norms by layer": 2, "Loss over training": 1}


def test_the_page_forbids_itself_the_network(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    assert not re.search(r"""https?://|//\w+\.\w|@import|\bsrc=["'](?!data:)|\bhref=""", page)


def test_64_tokens_of_20_heads_are_a_small_file(model):
    page = report(model, (TEXT * 2)[:64]).html
    assert len(page.encode()) < 250_000


@pytest.mark.parametrize("tokenizer", [Tokenizer.gpt2(), None], ids=["GPT-2's", "none"])
def test_bytes_and_ids_have_labels(tokenizer):
    model = tiny(Tokenizer.gpt2())
    ids = model.tokenizer.encode("今 a\n")
    model.tokenizer = tokenizer
    labels = ["<|endoftext|>", r"\xe4\xbb", r"\x8a", "␣a", "⏎"] if tokenizer else [f"#{id}" for id in ids]
    assert data_of(report(model, ids).html)["labels"] == labels


@pytest.mark.parametrize("changes", [
    {"bias": False, "tie_word_embeddings": False}, {"pre_norm": False}, {"attention_window": 2},
], ids=str)
def test_every_kind_of_model_has_a_report(changes):
    model = GPT(GPTConfig(vocab_size=5, n_positions=7, n_embd=6, n_layer=2, n_head=3, **changes), seed=0)
    titles = [title for title, *_ in Cells(report(model, [0, 1, 2, 3, 4]).html).found]
    owners = {name.split(".")[0] for name in model.params} - {"h"}
    for row in owners | {"h.0", "h.1"}:
        assert any(title.startswith(f"{row}, all: ‖d‖ ") for title in titles)


def test_a_text_that_starts_its_document_gets_no_second_start():
    model = tiny(Tokenizer.gpt2())
    ids = model.tokenizer.encode("<|endoftext|>a b", allowed_special="all")
    assert report(model, ids).html == report(model, "a b").html


def test_the_report_is_written_whole_or_not_at_all(tmp_path):
    model = tiny(CharTokenizer.train(TEXT))
    path = tmp_path / "report.html"
    made = report(model, TEXT, path)
    assert path.read_text(encoding="utf-8") == made.html
    with pytest.raises(ValueError, match="2 to n_positions 48"):
        report(model, TEXT * 9, path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        report(model, TEXT, tmp_path / "none" / "report.html")
    assert path.read_text(encoding="utf-8") == made.html
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("text, message", [
    ("a", "1 tokens, expected 2 to n_positions 48; give a longer"), ("a" * 49, "49 tokens.* give a shorter"),
    ([0, 7], "from 0 to 1"),
])
def test_texts_that_do_not_fit_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        report(tiny(CharTokenizer.train("ab")), text)


def test_more_attention_than_a_page_holds_is_refused():
    model = GPT(GPTConfig(vocab_size=3, n_positions=1024, n_embd=12, n_layer=12, n_head=12), seed=0)
    with pytest.raises(ValueError, match="1024 tokens, expected at most 234 for the attention of 144 heads"):
        report(model, [1] * 1024)


def test_a_notebook_shows_the_page_in_a_frame():
    made = report(tiny(CharTokenizer.train(TEXT)), TEXT)
    frame = made._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert "<script" not in frame
    assert re.fullmatch(r"Report\(\d+ kB of HTML; save\(path\) writes it\)", repr(made))


# In a browser --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as connection:
        yield connection


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    report(model, TEXT, path)
    return path


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_draws_the_page_without_complaint_or_network(chromium, path, dark, width):
    tab = chromium.open(path, dark=dark, width=width, touch=width < 500)
    assert tab.messages() == []
    assert tab.requests() == [path.resolve().as_uri()]
    assert tab.run("document.body.dataset.drawn") == "20"
    assert tab.run("document.documentElement.scrollWidth") <= width        # nothing sticks out
    # what the eye gets: the diagonal of a head that looks at the token before, blue on the page's own color
    pixels = screenshot(chromium, tab, "#heads button")
    empty = pixels[len(pixels) // 8, -len(pixels) // 4]
    blue = (pixels[..., 2].astype(int) - pixels[..., 0]) - (int(empty[2]) - empty[0])
    assert 0.005 < (blue > 60).mean() < 0.2
    for ground in (empty, screenshot(chromium, tab, "header")[0, -1]):
        assert (ground[:3] < 60).all() if dark else (ground[:3] > 200).all()


@needs_browser
def test_the_canvases_hold_every_heads_attention(chromium, path, model):
    tab = chromium.open(path)
    alpha = tab.run("""[...document.querySelectorAll("#heads canvas")].map(canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3]);
    })""")
    T = len(TEXT)
    drawn = (np.array(alpha).reshape(4, 5, T, T) / 255) ** 2
    att = model.trace(model.tokenizer.encode_array(TEXT)[None], names="h.*.attn.att")
    for i in range(4):
        np.testing.assert_allclose(drawn[i], att[f"h.{i}.attn.att"].value[0], atol=0.007)     # 1/255 twice, once under a √


@needs_browser
@pytest.mark.parametrize("width, pixel_ratio", [(1280, 1), (390, 2)])
def test_attention_is_sharp_and_labelled_with_tokens(chromium, model, tmp_path, width, pixel_ratio):
    for text in (TEXT[:20], TEXT * 4):
        report(model, text, tmp_path / "report.html")
        tab = chromium.open(tmp_path / "report.html", width=width, pixel_ratio=pixel_ratio)
        squares = tab.run("""[...document.querySelectorAll("#attention canvas")].map(canvas =>
            [canvas.getBoundingClientRect().width, getComputedStyle(canvas).imageRendering])""")
        assert len(squares) == 21
        for side, rendering in squares:
            pixels = side * pixel_ratio / len(text)         # of the screen, for each weight
            assert rendering == ("auto" if pixels < 1 else "pixelated")
            assert pixels < 1 or pixels == pytest.approx(round(pixels), abs=1e-3), side
        side = squares[-1][0]
        assert tab.run("caption.textContent") == "shakespeare-char · layer 0, head 0"
        for name, size in (("rows", "height"), ("columns", "width")):
            words = tab.run(f"window.{name}.textContent").split("\n")
            step = int(words[1].split(" ")[0]) if len(words) < len(text) else 1     # a label each, or some with their number
            assert words == [(f"{t} " if step > 1 else "") + {" ": "␣", "\n": "⏎"}.get(text[t], text[t])
                             for t in range(0, len(text), step)]
            assert side * step / len(text) >= 9
            assert tab.run(f"window.{name}.getBoundingClientRect().{size}") == pytest.approx(side, abs=0.5)
            pitch = float(tab.run(f"getComputedStyle(window.{name}).lineHeight").removesuffix("px"))
            assert pitch == pytest.approx(side * step / len(text), rel=1e-3)        # a label stands at its row
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.messages() == []


@needs_browser
def test_pointing_and_clicking_tells_which_token_looks_at_which(chromium, path, model):
    tab = chromium.open(path)
    att = model.trace(model.tokenizer.encode_array(TEXT)[None], names="h.*.attn.att")
    tab.click("#heads button:nth-of-type(8)")               # layer 1, head 2
    T = len(TEXT)
    tab.point("#large", (3 + 0.5) / T, (20 + 0.5) / T)
    weight = att["h.1.attn.att"].value[0, 2, 20, 3]
    assert tab.run("readout.textContent") == (
        f"Layer 1, head 2: “⏎” (position 20) looks at “b” (position 3) with weight {weight:.2f}.")
    tab.point("#words span:nth-child(10)")
    best = att["h.1.attn.att"].value[0, 2, 9].argmax()
    assert f"(position 9) looks at “{TEXT[best].replace(' ', '␣')}” (position {best})" in tab.run("readout.textContent")
    tab.run("large.focus()")
    tab.press("ArrowDown")
    assert "(position 10) looks at" in tab.run("readout.textContent")
    assert tab.messages() == []


@needs_browser
def test_notes_show_by_pointer_by_touch_and_by_key(chromium, path, model):
    tab = chromium.open(path)
    tab.point(".tokens span:nth-child(5)")
    assert tab.run("note.hidden || note.textContent").startswith("e (position 4)\np ")
    tab.point("h1")
    assert tab.run("note.hidden")
    tab.run("document.querySelector('.tokens').focus()")
    tab.press("ArrowRight")
    tab.press("ArrowRight")
    assert tab.run("note.hidden || note.textContent").startswith("o (position 1)\np ")
    tab.press("Escape")
    assert tab.run("note.hidden")
    tab.click(".grid tbody tr:last-child td:nth-child(3)")
    assert tab.run("note.hidden || note.textContent").startswith("h.3.out, after o (position 1)\n")


def screenshot(chromium, tab, selector):
    """The pixels of an element as the browser shows it, (rows, columns, 4); decoded by a page without the report's policy"""
    data = base64.b64encode(tab.screenshot(selector)).decode()
    size, pixels = chromium.blank().run(f"""(async () => {{
        const image = new Image();
        image.src = "data:image/png;base64,{data}";
        await image.decode();
        const canvas = Object.assign(document.createElement("canvas"), {{ width: image.width, height: image.height }});
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const data = context.getImageData(0, 0, image.width, image.height).data;
        let text = "";
        for (const byte of data) text += String.fromCharCode(byte);
        return [[image.height, image.width], btoa(text)];
    }})()""")
    return np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(*size, 4)
