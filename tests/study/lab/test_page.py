"""The lab's page in a real browser: each view driven by clicks and keys, its numbers those of the library.

Elements are found by the names that stand at the top of assets/lab/lab.js.
"""

import json
import threading
from contextlib import contextmanager
from itertools import count

import numpy as np
import pytest

from browser import browser, needs_browser
from minigpt import GPT, GPTConfig
from minigpt.colors import UNDER_TEXT
from minigpt.study.lab.requests import Lab
from minigpt.study.lab.serving import Server
from minigpt.study.logit_lens import logit_lens
from minigpt.training.log import COLUMNS, log_line

pytestmark = needs_browser

TEXT = "To be, or not to be"
LOADS = count()
MARKUP = "<b>&amp;</b>"
VIEWS = ("generate", "inside", "inside&pane=attention", "inside&pane=lens", "backward", "change&edit=off h.0.attn.o head 2",
         "training")
SETTLED = """(async () => {
    do {
        await shown;
        await Promise.all([...waiting.values()].map(request => request.done));
        if (measuring) await new Promise(requestAnimationFrame);
    } while (waiting.size || measuring);
})()"""         # until nothing is asked for any more


@pytest.fixture(scope="module")
def model():
    return GPT.from_pretrained("shakespeare-char", threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder: 300 steps, two evaluations, two samples, no model yet"""
    folder = tmp_path_factory.mktemp("run")
    rows = [log_line(i, 4 - i / 100, 3.75 if i in (100, 200) else None, 1e-3, 0.5, 1000, 0.1 * i) for i in range(1, 301)]
    (folder / "log.csv").write_bytes(f"{','.join(COLUMNS)}\r\n{''.join(rows)}".encode())
    samples = f"--- step 100 ---\nfirst\n--- step 200 ---\n{MARKUP}\nof two lines\n"
    (folder / "samples.txt").write_text(samples, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(model, folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        with serving(Lab(model, folder)) as server:
            yield server


@contextmanager
def serving(lab):
    with Server(lab, port=0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile"), longest=600) as connection:
        yield connection


class Page:
    """A tab with the lab, at a view."""

    def __init__(self, tab, server, view, text=TEXT):
        self.server, self.tab = server, tab
        tab.call("Page.bringToFront")       # a tab behind another draws no frames
        tab.load(f"{server.address}?{next(LOADS)}#view={view}&text={text}")      # or only what follows # would change
        self.settle()

    def settle(self):
        self.tab.run(SETTLED)

    def go(self, view, text=TEXT):
        address = json.dumps(f"#view={view}&text={text}")       # subtle: of a new location.hash the page would hear later
        self.tab.run(f"history.replaceState(null, '', {address}); restore()")
        self.settle()

    def click(self, selector, x=0.5, y=0.5):
        self.tab.click(selector, x, y)
        self.settle()

    def press(self, *keys):
        for key in keys:
            self.tab.press(key)
        self.settle()

    def text(self, selector):
        return self.tab.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def texts(self, selector):
        return self.tab.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(element => element.textContent)")

    def data(self, selector, key="value"):
        """data-KEY of all that match"""
        return self.tab.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(element => element.dataset[{key!r}])")

    def number(self, selector, key="value"):
        (found,) = self.data(selector, key)
        return float(found)

    def opacities(self):
        """Of the colors behind the tokens; 0 where there is none"""
        return self.tab.run("""[...document.querySelectorAll("#tokens .token")].map(token =>
            Number((token.style.backgroundColor.match(/[\\d.]+/g) ?? [0, 0, 0, 0])[3] ?? 1))""")

    def set(self, selector, value):
        """As a slider or a field is moved by hand"""
        self.tab.run(f"""(() => {{
            const field = document.querySelector({json.dumps(selector)});
            field.value = {json.dumps(value)};
            for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, {{ bubbles: true }}));
        }})()""")
        self.settle()

    def check(self):
        """Nothing was complained of, and nobody else was asked"""
        assert self.tab.messages() == []
        assert all(url.startswith(self.server.address) for url in self.tab.requests())


@pytest.fixture(scope="module")
def tab(chromium, server):
    return chromium.open(server.address)


@pytest.fixture
def lab(tab, server):
    return lambda view, text=TEXT: Page(tab, server, view, text)


@pytest.mark.parametrize("dark, width", [(False, 1280), (True, 360)], ids=["light and wide", "dark and narrow"])
def test_every_view_is_drawn_without_complaint_or_other_hosts(chromium, server, dark, width):
    page = Page(chromium.open(server.address, dark=dark, width=width, touch=width < 500), server, VIEWS[0])
    for view in VIEWS:
        page.go(view)
        assert page.tab.run("document.documentElement.scrollWidth") <= width, view         # nothing sticks out
        assert page.tab.run("[...document.querySelectorAll('.error')].every(error => error.hidden)"), view
        if view.startswith("change"):
            assert page.tab.run("(box => box.scrollWidth <= box.clientWidth)(document.getElementById('edits-box'))")
        shown = page.tab.run("[...document.querySelectorAll('[role=tabpanel]:not([hidden])')].map(panel => panel.id)")
        assert shown == [f"view-{view.split('&')[0]}"]
        nameless = page.tab.run("""[...document.querySelectorAll("button, select, input")].map(field =>
            field.textContent || field.ariaLabel || field.labels?.length || !field.offsetParent || field.outerHTML)""")
        assert not [field for field in nameless if str(field).startswith("<")]
    page.check()
    red, *_ = map(int, page.tab.run("getComputedStyle(document.body).backgroundColor").strip("rgb()").split(","))
    assert red < 60 if dark else red > 200


def test_the_text_shows_its_surprise_and_what_comes_next(lab, model):
    page, found = lab("inside&name=loss"), model.run(TEXT, targets=True, names=["nll", "probs"])
    assert "".join(page.texts("#tokens .token")) == TEXT
    nll = found["nll"].value[0, :-1].tolist()
    assert [float(x) for x in page.data("#tokens .token", "nll")[1:]] == nll
    assert page.number("#text-facts", "loss") == found.loss
    wanted = UNDER_TEXT * np.sqrt(np.minimum(np.array(nll) / np.log(65), 1))
    np.testing.assert_allclose(page.opacities()[1:], wanted, atol=0.006)      # 1/255, as the browser rounds
    page.click("#token-4")
    assert page.data("#token-facts .chip") == [str(p) for p in sorted(found["probs"].value[0, 4].tolist(), reverse=True)[:5]]
    page.press("ArrowRight", "End", "ArrowLeft")
    assert page.data("#tokens [aria-selected=true]", "t") == [str(len(TEXT) - 2)]
    assert "at=17" in page.tab.run("location.hash")
    page.tab.run("for (let i = 0; i < 40; i++) change({ at: i < 39 ? 3 : 4 }); 0")   # oftener than browsers let it
    assert "at=4" not in page.tab.run("location.hash") and "at=4" in page.tab.run("address()")
    page.click("#tab-backward")
    assert "at=4" in page.tab.run("location.hash")
    page.check()


def test_a_text_is_edited_in_its_place_and_markup_stays_text(lab):
    page = lab("inside&pane=lens")
    page.click("#edit-text")
    page.tab.run("document.activeElement.select()")
    page.tab.type("ha&be\n'&-")
    page.click("#edit-text")
    assert page.texts("#tokens .token") == [*"ha&be", "⏎\n", *"'&-"]
    assert page.tab.run("[state.at, state.text, document.activeElement.id]") == [8, "ha&be\n'&-", "tokens"]
    page.go("generate", "%3Cb%3E")              # which the model cannot read
    assert "'<'" in page.text("#text-panel > .error")
    page.set("#text", "Now ok")
    page.tab.run("takeText()")
    page.settle()
    assert page.tab.run("document.querySelector('#text-panel > .error').hidden")
    page.go("training")
    assert page.texts("#samples pre") == [f"{MARKUP}\nof two lines", "first"]
    assert page.tab.run("document.querySelectorAll('#samples b').length") == 0


def plane(array, axes, head):
    """What a picture shows of an array: two axes, those of a head where there are heads"""
    letters = axes.split()
    if letters[:1] == ["B"]:
        letters, array = letters[1:], array[0]
    array = array[head] if letters[:1] == ["H"] else array
    return array.reshape(-1, 1) if letters == ["T"] else np.atleast_2d(array)


def test_pictures_hold_the_values_and_gradients_of_trace(lab, model):
    page, trace = lab("inside"), model.trace(TEXT, targets=True)
    places = {"h.2.mlp.act": (3, 51), "h.2.attn.att": (9, 4), "h.2.attn.scores": (4, 9), "h.2.ln_1.rstd": (5, 0),
              "h.2.attn.c_attn.bias": (0, 6), "h.2.in": (0, 159), "wpe.out": (2, 8), "logits": (18, 40), "loss": (0, 0)}
    page.click(".fold[data-block='2']")
    assert page.data("#diagram .node[aria-pressed=true]", "name") == ["h.2.attn.att"]
    page.click(".heads button[data-block='2'][data-head='3']")
    page.tab.run("document.querySelectorAll('#diagram details').forEach(details => { details.open = true; })")
    for name, place in places.items():
        page.click(f"#diagram .node[data-name='{name}']")
        step = trace[name]
        assert [page.text(f"#{part}") for part in ("chosen-name", "value-equation", "gradient-equation")] == [
            name, step.equation, step.backward]
        assert (page.text("#value-where"), page.text("#gradient-where")) == step.source
        for which, array in ("value", step.value), ("gradient", step.grad):
            rows, columns = page.tab.run(f"[{which}.matrix.rows, {which}.matrix.columns]")
            shown = plane(array, step.axes, head=3)
            every = -(-shown.shape[1] // columns)               # of a wide array every n-th column is shown
            page.tab.point(f"#{which} canvas", (place[1] // every + 0.5) / columns, (place[0] + 0.5) / rows)
            assert (page.number(f"#{which}-readout", "row"), page.number(f"#{which}-readout", "column")) == place
            assert page.number(f"#{which}-readout") == shown[place], (name, which)
    page.check()


def test_gradients_of_one_tokens_loss_by_keys(lab, model):
    page = lab("inside&name=h.2.mlp.act&at=7")
    targets = np.full((1, len(TEXT)), -100)
    targets[0, 6] = model.tokenizer.encode(TEXT)[7]             # the token at 7 is what follows 6
    trace = model.trace(TEXT, targets, names="h.2.mlp.act")
    page.click("#of-one-inside")
    page.tab.run("document.querySelector('#gradient .squares').focus()")
    page.press("ArrowUp", "ArrowUp", "ArrowRight")
    row, column = (int(page.number("#gradient-readout", key)) for key in ("row", "column"))
    assert (row, column) == (5, 3)
    assert page.number("#gradient-readout") == trace["h.2.mlp.act"].grad[0, row, column] != 0
    assert page.data("#value-readout", "row") == ["5"], "both pictures point at the same place"
    page.press("Enter")
    assert page.tab.run("[state.at, state.of]") == [5, 7]


def test_attention_is_drawn_small_large_and_over_the_text(lab, model):
    page = lab("inside&pane=attention")
    att = model.trace(TEXT, names="h.*.attn.att")
    T = len(TEXT)
    alpha = page.tab.run("""[...document.querySelectorAll("#heads canvas")].map(canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3]);
    })""")
    drawn = (np.array(alpha).reshape(4, 5, T, T) / 255) ** 2
    for i in range(4):
        np.testing.assert_allclose(drawn[i], att[f"h.{i}.attn.att"].value[0], atol=0.007)     # 1/255 twice, once under a √
    page.click("#heads button[data-block='1'][data-head='2']")
    assert page.data("#diagram .node[aria-pressed=true]", "name") == ["h.1.attn.att"]
    page.tab.point("#attention canvas", 3.5 / T, 12.5 / T)
    assert page.number("#attention-readout") == att["h.1.attn.att"].value[0, 2, 12, 3]
    page.tab.point("#token-9")
    np.testing.assert_allclose(page.opacities(), UNDER_TEXT * np.sqrt(att["h.1.attn.att"].value[0, 2, 9]), atol=0.006)
    assert "“n”" not in page.text("#text-color") and "position 9" in page.text("#text-color")
    back = {(i, h): max((np.diagonal(att[f"h.{i}.attn.att"].value[0, h], -n)[max(0, 8 - n):].mean(), n) for n in range(8))
            for i in range(4) for h in range(5)}
    (i, h), (share, n) = max(back.items(), key=lambda item: item[1])
    page.click(f"#heads button[data-block='{i}'][data-head='{h}']")
    assert page.text("#head-habit") == f"mostly looks {n} back: {100 * share:.0f} % of its attention here"
    assert f"h.{i} head {h} mostly looks {n} back" in page.text("#habits") and n == 1
    page.check()


def test_the_lens_is_logit_lens(lab, model):
    page, lens = lab("inside&pane=lens"), logit_lens(model, TEXT)
    np.testing.assert_array_equal(np.float32(page.data("#lens td")).reshape(len(lens.names), -1), lens.probs[:, 0].max(-1))
    page.click("#lens td[data-point='h.2.in'][data-t='4']")
    assert page.tab.run("[state.name, state.at]") == ["h.2.in", 4]
    assert page.number("#lens-readout") == lens.probs[lens.names.index("h.2.in"), 0, 4].max()


def test_the_way_back_is_stepped_through_from_the_loss_to_the_embedding(lab, model):
    page, trace = lab("backward"), model.trace(TEXT, targets=True)
    names = [name for name in trace if name not in model.params][::-1]
    assert page.data("#steps li", "name") == names
    norms = [np.linalg.norm(trace[name].grad.astype(np.float64)) for name in names]
    np.testing.assert_allclose(np.array(page.data("#steps li"), float), norms, rtol=1e-9)
    page.click("#first")
    page.click("#next")
    page.tab.run("steps.focus()")
    page.press("ArrowDown", "ArrowDown")
    assert page.text("#step-equation b") == page.tab.run("state.name") == names[3]
    assert page.text("#step-equation .equation") == trace[names[3]].backward
    assert page.data("#diagram .node[aria-pressed=true]", "name") == [names[3]]
    page.click("#diagram .node[data-name='h.0.mid']")
    page.click("#token-2")
    parts = trace["h.0.mid"].parts
    assert page.data("#ways tbody tr", "through") == list(parts)
    per_token = np.array([np.linalg.norm(part[0], axis=-1) for part in parts.values()])
    whole, at_two = (np.array(page.data("#ways tbody tr", key), float) for key in ("value", "at"))
    np.testing.assert_allclose(whole, np.linalg.norm(per_token, axis=1), rtol=1e-6)
    np.testing.assert_allclose(at_two, per_token[:, 2], rtol=1e-6)
    assert page.text("#ways tbody tr").startswith("straight on, past the MLP of block 0")
    page.check()


def test_the_loss_of_the_last_token_depends_most_on_a_token_that_is_named(lab, model):
    page = lab("backward")
    page.click("#of-one")
    targets = np.full((1, len(TEXT)), -100)
    targets[0, -2] = model.tokenizer.encode(TEXT)[-1]
    inputs = np.linalg.norm(model.trace(TEXT, targets, names="wte.out")["wte.out"].grad[0], axis=-1)
    most = int(inputs.argmax())
    assert f"(position {most})." in page.text("#inputs-words")
    np.testing.assert_allclose(page.number(f"#inputs tr[data-t='{most}']"), inputs[most], rtol=1e-6)
    page.click(f"#inputs tr[data-t='{most}'] button")
    assert page.tab.run("state.at") == most
    assert page.data("#input-ways tbody tr", "through")[0] == "h.0.mid"


def test_a_head_is_switched_off_scaled_and_patched_as_by_run(lab, model):
    page = lab("change")
    ids, before = model.tokenizer.encode(TEXT), model.run(TEXT, targets=True).loss
    page.click("#grid button[data-name='h.0.attn.o'][data-head='2']")

    def edited(new):
        def edit(o):
            o[:, 2] = new(o[:, 2])
            return o

        return model.run(TEXT, targets=True, edits={"h.0.attn.o": edit}, names=["probs", "h.0.attn.o"])

    off = edited(np.zeros_like)
    assert page.number("#edits tr[data-edit='0']") == page.number("#all-edits") == off.loss
    assert page.number("#all-edits", "change") == off.loss - before
    assert page.number("#text-facts", "loss") == off.loss, "the text above is read with the edit"
    page.click("#token-4")
    assert page.data("#after tr") == [str(p) for p in sorted(off["probs"].value[0, 4].tolist(), reverse=True)[:5]]
    assert page.data("#before tr") != page.data("#after tr")
    names = {"model": model}
    *lines, last = page.text("#code").split("\nmodel.run(")
    exec("\n".join([*lines, f"loss = model.run({last}"]), names)
    assert names["loss"] == off.loss
    page.set("#edits tr[data-edit='0'] select[aria-label=how]", "scale")
    page.set("#edits [data-field=factor]", "1.5")
    assert page.number("#all-edits") == edited(lambda o: 1.5 * o).loss
    page.set("#edits tr[data-edit='0'] select[aria-label=how]", "patch")
    other = "Do me, or not to be"
    page.tab.run(f"setEdit(0, {{ from: {json.dumps(other)} }})")
    page.settle()
    clean = model.run(other, names="h.0.attn.o")["h.0.attn.o"].value
    patched = edited(lambda o: clean[:, 2])
    assert page.number("#all-edits") == patched.loss
    page.click("#tab-inside")
    page.click(".heads button[data-block='0'][data-head='2']")
    page.click("#diagram .node[data-name='h.0.attn.o']")
    page.tab.point("#value canvas", 7.5 / 32, 1.5 / len(ids))
    assert page.number("#value-readout") == patched["h.0.attn.o"].value[0, 2, 1, 7], "pictures follow"
    assert page.tab.run("gradient.box.hidden") and "without edits" in page.text("#no-gradient")
    page.check()


def test_every_place_is_measured_alone(lab, model):
    page = lab("change")
    page.click("#measure")
    found = dict(zip(page.tab.run("[...measured.keys()]"), page.tab.run("[...measured.values()]"), strict=True))
    assert len(found) == 4 * (5 + 4) == len([value for value in page.data("#grid button") if value])
    before = model.run(TEXT, targets=True).loss
    assert found["h.1.mlp.out"] == model.run(TEXT, targets=True, edits={"h.1.mlp.out": 0}).loss - before
    page.check()


def test_generation_goes_on_back_and_another_way(lab, model):
    page = lab("generate&temperature=0.8&top_k=4&repetition_penalty=1.2&seed=3", "ROMEO:")
    options = {"temperature": 0.8, "top_k": 4, "repetition_penalty": 1.2, "seed": 3}
    for _ in range(3):
        page.click("#step")
    text = page.data("#output", "text")[0]
    assert text == model.generate("ROMEO:", 3, **options) == page.text("#output")
    step = [*model.candidates("ROMEO:", 4, n_candidates=12, **options)][3]
    assert page.data("#bars tbody tr", "id") == [str(id) for id in step.ids]
    assert page.data("#bars th[data-stage]", "stage") == list(step.probabilities)
    assert page.data("#bars th[data-stage]", "possible") == [str(n) for n in step.possible.values()]
    shown = np.array(page.data("#bars .p"), float).reshape(len(step.ids), -1)
    np.testing.assert_array_equal(shown, np.stack([*step.probabilities.values()], axis=1))
    assert page.data("#bars .drawn", "id") == [str(step.token)]
    page.click("#back")
    assert page.data("#output", "text")[0] == model.generate("ROMEO:", 2, **options)
    page.set("#speed", "40")
    page.click("#play")
    page.tab.run("(async () => { while (state.drawn < 6) await new Promise(requestAnimationFrame); })()")
    page.click("#play")
    drawn = page.tab.run("state.drawn")
    assert page.data("#output", "text")[0] == model.generate("ROMEO:", drawn, **options)
    page.tab.run("location.hash = location.hash")               # as a bookmark would
    page.tab.run("restore()")
    page.settle()
    assert page.data("#output", "text")[0] == model.generate("ROMEO:", drawn, **options)
    other = next(id for id in page.data("#bars tbody tr", "id") if id not in page.data("#bars .drawn", "id"))
    before = page.data("#output", "text")[0]
    page.click(f"#bars tr[data-id='{other}'] button")
    assert page.data("#output", "text")[0] == before + model.tokenizer.decode([int(other)])
    page.click("#back")
    page.tab.run("(({ ...step }) => { while (run.steps.length < 400) keepStep(run.steps.length, "
                 "{ ...step, piece: { text: 'x', open: '' } }); })(run.steps[0])")
    page.tab.run("change({ drawn: 399 })")
    page.settle()
    assert page.data("#output", "text")[0].endswith("xxx")
    assert page.tab.run("run.steps.filter(step => step.candidates).length") == 256, "of a long text the rest is let go"
    page.tab.run("change({ drawn: 0 })")
    page.settle()
    page.tab.run("change({ drawn: 2 })")
    page.settle()
    ids = model.tokenizer.encode("ROMEO:") + page.tab.run("state.forced")
    steps = [*model.candidates(ids, 3, n_candidates=12, **options)]
    assert page.data("#output", "text")[0] == model.tokenizer.decode([*ids, steps[0].token]) + "x"
    assert page.data("#bars tbody tr", "id") == [str(id) for id in steps[2].ids]
    page.set("#option-seed", "4")
    page.click("#step")
    assert page.data("#output", "text")[0] == model.generate("ROMEO:", 1, **{**options, "seed": 4})
    page.click("#use-output")
    assert page.tab.run("[state.text.length, state.drawn, state.forced.length]") == [7, 0, 0]
    page.check()


def test_a_run_is_shown_and_its_model_opened(lab, model, server, folder):
    page = lab("training")
    assert "step 300 " in page.text("#training-state") and "3.75 at step 100" in page.text("#training-state")
    assert page.data(".plot .readout", "step") == ["300"] * 4
    page.tab.run("document.querySelector('.plot[data-series=loss] svg').focus()")
    page.press("Home")
    assert page.data(".plot[data-series=loss] .readout") == ["3.99 3.99 "]       # training, smoothed, no validation
    assert page.texts("#samples pre") == [f"{MARKUP}\nof two lines", "first"]
    assert page.tab.run("document.querySelectorAll('#samples b').length") == 0
    assert page.tab.run("document.getElementById('open-best').hidden"), "there is no model yet"
    model.save_pretrained(folder)
    page.go("training")
    page.click("#open-best")
    assert page.tab.run("document.getElementById('open-model').value") == "run"
    page.set("#open-model", "start")
    assert page.tab.run("model.opened") == "start"
    page.check()


def test_an_address_restores_all_of_a_view_whoever_made_it(lab, server):
    page = lab("change")
    page.click("#grid button[data-name='h.1.attn.o'][data-head='4']")
    page.click("#token-5")
    page.click("#tab-inside")
    page.click("#of-one-inside")
    page.click("#pane-attention")
    hash, state = page.tab.run("location.hash"), page.tab.run("JSON.stringify(state)")
    assert "name=h.1.attn.o&head=4&of=5" in hash and "edit=off+h.1.attn.o+head+4" in hash
    page.go("generate", "Now")
    page.click("#paste-link")
    page.tab.run(f"link.value = 'http://127.0.0.1:1/another-key/{hash}'")
    page.tab.run("link.focus()")
    page.press("Enter")
    assert page.tab.run("JSON.stringify(state)") == state
    assert page.tab.run("location.pathname") == f"/{server.key}/"
    page.tab.run("new Promise(done => { addEventListener('hashchange', () => done(), { once: true }); history.back(); })")
    page.settle()
    assert page.tab.run("[state.view, state.text]") == ["generate", "Now"]
    strange = ("nowhere&name=%3Cimg%3E&head=99&at=99999&of=7777&edit=off+no.such&edit=scale+h.0.in+by+x&temperature=-1",
               "inside&pane=__proto__&name=__proto__", "generate&forced=1.x&drawn=-3&seed=NaN&top_p=7", "%E0%A4%A", "#####")
    for view in strange:
        page.go(view, "Now")
        assert page.tab.run("state.view in VIEWS && state.at < T() && state.head < 5 && state.edits.length === 0"), view
    page.check()


def test_two_tabs_at_once_each_show_their_own(chromium, server, lab, model):
    one, other = lab("inside&name=logits", "Now me"), Page(chromium.open(server.address), server, "backward", "To be")
    one.tab.run("change({ at: 1 }); 0")
    other.tab.run("change({ of: 3 }); 0")
    one.settle()
    other.settle()
    place = tuple(int(one.number("#value-readout", key)) for key in ("row", "column"))
    assert one.number("#value-readout") == model.trace("Now me", targets=True)["logits"].value[0][place]
    assert len(other.data("#steps li")) > 90
    assert (one.number("#text-facts", "loss"), other.number("#text-facts", "loss")) == (
        model.run("Now me", targets=True).loss, model.run("To be", targets=True).loss)
    other.check()


def test_it_works_by_keyboard_alone(lab):
    page = lab("generate")
    page.tab.run("document.getElementById('tab-generate').focus()")
    page.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert page.tab.run("[state.view, document.activeElement.id]") == ["change", "tab-change"]
    page.press("Tab")                           # the diagram, at the chosen name
    page.press("ArrowRight", "ArrowRight", "Enter")
    assert page.tab.run("[state.name, document.activeElement.dataset.name]") == ["h.0.attn.out"] * 2
    page.press("Tab", "Tab", "Tab", "Tab")      # two ways of new edits, to measure, the grid
    page.press("ArrowDown", "ArrowRight", "ArrowRight", "Enter")
    assert page.tab.run("state.edits.map(editText)") == ["off h.1.attn.o head 1"]
    assert page.tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("ArrowRight", "ArrowLeft", "Enter")
    assert page.tab.run("state.edits") == [], "what Enter switched off it switches on"
    page.press("Enter")
    page.tab.run("document.querySelector('#edits tbody button').focus()")
    page.press("Enter")                         # takes the only edit back, and its button with it
    page.go("generate")
    page.tab.run("document.querySelectorAll('#bars button')[3].focus()")
    page.press("Enter")
    assert page.tab.run("[...document.querySelectorAll('#bars button')].indexOf(document.activeElement)") == 3
    assert page.tab.run("state.forced.length") == 1
    page.check()


def test_a_text_longer_than_a_picture_and_a_model_without_words(tab, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path))
    model = GPT(GPTConfig(vocab_size=9, n_positions=300, n_embd=6, n_layer=2, n_head=2, pre_norm=False), threads=1)
    ids = [i % 9 for i in range(300)]
    text = " ".join(map(str, ids))
    with serving(Lab(model)) as server:
        page = Page(tab, server, "inside&name=h.1.attn.att", text)
        assert page.tab.run("[value.matrix.rows, value.matrix.columns]") == [150, 150]
        att = model.trace(ids, names="h.1.attn.att")["h.1.attn.att"].value[0, 0]
        page.tab.point("#value canvas", 20.5 / 150, 99.5 / 150)
        assert page.number("#value-readout") == att[198, 40]
        page.tab.point("#token-7")
        page.settle()
        assert "position 7" in page.text("#text-color")
        np.testing.assert_allclose(page.opacities()[:9], UNDER_TEXT * np.sqrt(att[7, :9]), atol=0.006)
        page.go("inside&pane=lens", text)
        lens = logit_lens(model, ids).probs[:, 0].max(-1)
        page.tab.run("makeLens(lens.key, document.getElementById('lens-table')); "              # as of a large vocabulary
                     "Object.assign(lens, { most: 20, missing: range(15) }); drawLens()")
        page.settle()
        seen = np.array([value is not None for value in page.data("#lens tbody tr:first-child td")])
        assert not seen[:20].any() and seen[-20:].all(), "what is out of sight is not computed"
        page.tab.run("new Promise(done => { const box = document.getElementById('lens-table'); "
                     "box.addEventListener('scroll', () => done(), { once: true }); box.scrollLeft = 0; })")
        page.settle()
        assert page.tab.run("document.getElementById('lens-table').classList.contains('more-right')")
        np.testing.assert_allclose(np.float32(page.data("#lens tbody tr:first-child td")[:20]), lens[0, :20], rtol=1e-5)
        page.go("backward&name=h.1.in", "1 2 3")
        assert page.data("#ways tbody tr", "through") == [*model.trace([1, 2, 3], targets=True)["h.1.in"].parts]
        page.go("generate&seed=1&drawn=3", "1 2 3")
        assert page.data("#output", "text")[0].split() == [str(id) for id in model.generate([1, 2, 3], 3, seed=1)]
        for view in VIEWS[1:-1]:
            page.go(view, "5")                  # a single token has no loss
        page.check()


def test_what_was_left_is_given_up(lab, model):
    page = lab("inside&name=h.0.in")
    page.tab.run("for (const name of [...names.keys()].slice(-9)) change({ name })")
    page.tab.run("change({ view: 'generate' }); change({ view: 'inside' }); 0")
    page.settle()
    last = page.tab.run("[...names.keys()].at(-1)")
    assert page.text("#chosen-name") == last == "ln_f.bias"
    place = 0, int(page.number("#value-readout", "column"))
    assert page.number("#value-readout") == model.params[last][place[1]]
    page.tab.run("fetch = () => new Promise(() => {}); change({ name: 'h.3.in' }); 0")
    page.tab.run("(async () => { while (!document.querySelector('[aria-busy]')) await new Promise(requestAnimationFrame); })()")
    assert page.tab.run("[...document.querySelectorAll('[aria-busy]')].map(box => box.id)") == ["value-and-gradient"]
    page.tab.run("change({ view: 'training' })")
    assert page.tab.run("document.querySelector('[aria-busy]')") is None


def test_what_is_too_much_or_gone_is_said_in_a_sentence(lab, server):
    page = lab("inside", "ab" * 130)
    assert "260 tokens" in page.text("#text-panel > .error")
    page.click("#text-panel .take-last")
    assert page.tab.run("[T(), state.text]") == [256, "ab" * 128]
    page.go("inside")
    page.tab.run("model.longest = 10; replies.clear(); show()")
    page.settle()
    assert page.text("#view-inside > .error") == (
        "This text has 19 tokens; pictures and gradients are shown for up to 10. Shorten it to look inside. "
        "Take the last 10 tokens")
    page.tab.run("fetch = () => Promise.reject(new TypeError('gone')); change({ view: 'generate' })")
    page.settle()
    assert "does not answer" in page.text("#bars-card > .error")
