"""The lab's answers are the numbers of the public functions; what is wrong with a request is said in a sentence."""

import json
import threading

import numpy as np
import pytest

from minigpt import GPT, CharTokenizer, GPTConfig, Tokenizer
from minigpt.nn import softmax
from minigpt.study.lab.labels import Labels
from minigpt.study.lab.packing import as_json
from minigpt.study.lab.passes import TooLong
from minigpt.study.lab.requests import Abandoned, Lab, UnknownRequest
from minigpt.study.logit_lens import logit_lens
from minigpt.training.log import COLUMNS, log_line

TEXT = "To be, or not to be"


@pytest.fixture(scope="module")
def model():
    return GPT.from_pretrained("shakespeare-char", threads=1)


@pytest.fixture(scope="module")
def lab(model):
    return Lab(model)


def ask(lab, name, **request):
    kind, body = lab.answer(name, json.loads(json.dumps(request)))
    if kind == "application/json":
        return json.loads(body)
    n = int.from_bytes(body[:4], "little")
    header = json.loads(body[4 : 4 + n])
    assert (4 + n) % 8 == 0
    arrays = {}
    for about in header["arrays"]:
        count = int(np.prod(about["shown"]))
        array = np.frombuffer(body, "<f4", count, 4 + n + about["offset"]).reshape(about["shown"])
        arrays[about["name"], about.get("which", "norms")] = about, array
    return {**header, **arrays}


def test_predictions_and_losses_are_those_of_run(lab, model):
    found, step = ask(lab, "pass", text=TEXT), model.run(TEXT, targets=True, names=["probs", "nll"])
    assert "".join(token["label"] for token in found["tokens"]) == TEXT.replace(" ", "␣")
    assert found["loss"] == step.loss
    assert found["nll"] == [None, *step["nll"].value[0, :-1].tolist()]
    for row, probs in zip(found["predictions"], step["probs"].value[0], strict=True):
        assert [entry["id"] for entry in row] == np.argsort(-probs, kind="stable")[:5].tolist()
        assert [entry["p"] for entry in row] == sorted(probs.tolist(), reverse=True)[:5]


def test_arrays_are_those_of_trace_with_their_gradients_to_the_bit(lab, model):
    trace = model.trace(TEXT, targets=True)
    names = ["h.0.attn.att", "h.1.in", "h.2.ln_1.rstd", "wpe.out", "nll", "loss", "logits", "h.1.attn.c_attn.weight",
             "ln_f.bias"]
    found = ask(lab, "arrays", text=TEXT, names=names, grad=True, most=1024)
    for name in names:
        for which, whole in ("value", trace[name].value), ("gradient", trace[name].grad):
            about, array = found[name, which]
            whole = whole[0] if trace[name].axes.startswith("B") else whole
            assert about["shape"] == list(whole.shape)
            np.testing.assert_array_equal(array.ravel(), whole.ravel(), err_msg=f"{name} {which}")
            finite = whole[np.isfinite(whole)].astype(np.float64)
            assert about["greatest"] == finite.max() and about["least"] == finite.min()


def test_of_a_large_array_a_part_is_sent_that_says_which(lab, model):
    trace = model.trace(TEXT, targets=True, names="h.0.mlp.act")
    about, array = ask(lab, "arrays", text=TEXT, names=["h.0.mlp.act"], most=10)["h.0.mlp.act", "value"]
    assert len(about["rows"]) == len(about["columns"]) == 10
    np.testing.assert_array_equal(array, trace["h.0.mlp.act"].value[0][np.ix_(about["rows"], about["columns"])])
    about, array = ask(lab, "arrays", text=TEXT, names=["h.0.mlp.act"], rows=[3, 5], columns=[7, 9])["h.0.mlp.act", "value"]
    assert (about["rows"], about["columns"]) == ([3, 4], [7, 8])
    about, _ = ask(lab, "arrays", text=TEXT, names=["logits"], most=20)["logits", "value"]
    assert {*model.tokenizer.encode(TEXT)} <= {*about["columns"]} and len(about["columns"]) == 20


def test_the_lens_is_logit_lens(lab, model, monkeypatch):
    found, lens = ask(lab, "lens", text=TEXT), logit_lens(model, TEXT)
    assert found["points"] == lens.names
    for row, probs in zip(found["best"], lens.probs[:, 0], strict=True):
        np.testing.assert_array_equal(np.float32([cell["p"] for cell in row]), probs.max(-1))
    monkeypatch.setattr("minigpt.study.lab.passes.LARGEST_LENS", 65 * 4)        # four positions
    part = ask(lab, "lens", text=TEXT, positions=[8, 99])
    assert part["first"] == 8 and [len(row) for row in part["best"]] == [len(TEXT) - 8] * len(lens.names)
    np.testing.assert_allclose([[cell["p"] for cell in row] for row in part["best"]], lens.probs[:, 0, 8:].max(-1), rtol=1e-5)


def test_the_way_back_has_the_norm_of_every_gradient_and_of_its_parts(lab, model):
    found, trace = ask(lab, "backward", text=TEXT), model.trace(TEXT, targets=True)
    names = [name for name in trace if name not in model.params]
    assert [step["name"] for step in found["steps"]] == names[::-1]
    for step in found["steps"]:
        assert step["norm"] == pytest.approx(np.linalg.norm(trace[step["name"]].grad.astype(np.float64)), rel=1e-9)
        parts = trace[step["name"]].parts
        assert [part["through"] for part in step["parts"]] == list(parts)
        if parts:
            norms = [np.linalg.norm(part[0], axis=-1) for part in parts.values()]
            np.testing.assert_array_equal(found[step["name"], "norms"][1], norms)
    np.testing.assert_array_equal(found["inputs", "norms"][1][0], np.linalg.norm(trace["wte.out"].grad[0], axis=-1))


def test_the_loss_of_one_token_reaches_only_what_comes_before_it(lab, model):
    found = ask(lab, "backward", text=TEXT, of=5)
    assert found["loss"] == ask(lab, "pass", text=TEXT)["nll"][5]
    _, (inputs,) = found["inputs", "norms"]
    assert all(inputs[:5]) and not any(inputs[5:])


EDITS = {
    "a head": [{"name": "h.0.attn.o", "head": 2, "how": "off"}],
    "all of an MLP": [{"name": "h.1.mlp.out", "how": "off"}],
    "a head at a position, twice as much": [{"name": "h.1.attn.o", "head": 0, "position": 4, "how": "scale", "factor": 2.0}],
    "a query's attention": [{"name": "h.1.attn.att", "head": 0, "position": 4, "how": "off"}],
    "a patch": [{"name": "h.1.in", "position": 3, "how": "patch", "from": "To me, or not to be"}],
    "several, two of one name": [
        {"name": "h.0.attn.o", "head": 2, "how": "off"}, {"name": "h.0.attn.o", "position": 3, "how": "scale", "factor": -0.5},
        {"name": "h.2.in", "how": "patch", "from": "Do be, or not to be"}, {"name": "h.3.attn.scores", "head": 1, "how": "off"},
        {"name": "wpe.out", "position": 1, "how": "off"},
    ],
}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_edits_do_what_the_python_beside_them_does(lab, model, edits):
    found = ask(lab, "edits", text=TEXT, edits=edits)
    *before, last = found["code"].split("\nmodel.run(")
    names = {"model": model}
    exec("\n".join([before[0], f"loss = model.run({last}"]) if len(before) == 1 else found["code"], names)
    assert names["loss"] == found["all"]["loss"] != found["before"]["loss"]
    assert found["all"]["change"] == found["all"]["loss"] - found["before"]["loss"]
    assert ask(lab, "pass", text=TEXT, edits=edits)["loss"] == found["all"]["loss"]
    for edit, row in zip(edits, found["rows"], strict=True):
        assert row["loss"] == ask(lab, "pass", text=TEXT, edits=[edit])["loss"]


def test_what_an_edit_does_alone_is_computed_once(model):
    lab, seen = Lab(model), []
    edits = EDITS["several, two of one name"]
    ask(lab, "pass", text=TEXT)
    first = ask(lab, "edits", text=TEXT, edits=edits)
    for some in edits[:-1], edits[1:]:                          # as the page asks after a click
        lab.answer("pass", {"text": TEXT, "edits": some}, lambda: seen.append(1))
        n = len(seen)
        lab.answer("edits", {"text": TEXT, "edits": some}, lambda: seen.append(1))
        assert len(seen) == n, "neither without edits nor with each alone"
        seen.clear()
    assert ask(lab, "edits", text=TEXT, edits=edits) == first


def test_a_head_that_is_switched_off_writes_nothing_and_the_others_what_they_did(lab, model):
    _, before = ask(lab, "arrays", text=TEXT, names=["h.0.attn.o"])["h.0.attn.o", "value"]
    _, after = ask(lab, "arrays", text=TEXT, names=["h.0.attn.o"], edits=EDITS["a head"])["h.0.attn.o", "value"]
    assert before[2].any() and not after[2].any()
    np.testing.assert_array_equal(np.delete(after, 2, 0), np.delete(before, 2, 0))


def test_tokens_are_those_of_generate_and_what_each_option_rules_out_is_counted(lab, model):
    options = {"temperature": 0.8, "top_k": 5, "top_p": 0.9, "repetition_penalty": 1.2, "seed": 3}
    steps = [ask(lab, "next", text="ROMEO:", drawn=i, options=options) for i in range(8)]
    text = model.generate("ROMEO:", 8, sliding_window=True, **options)
    assert "ROMEO:" + "".join(step["piece"]["text"] for step in steps) == text
    assert steps[2] == ask(lab, "next", text="ROMEO:", drawn=2, options=options)        # going back shows the same
    first = steps[0]
    assert first["stages"] == ["model", "repetition_penalty", "temperature", "top_k", "top_p"]
    assert first["possible"]["model"] == 65 and first["possible"]["top_k"] == 5 >= first["possible"]["top_p"] >= 1
    probs = softmax(model("ROMEO:")[0, -1].astype(np.float64))
    for candidate in first["candidates"]:
        assert candidate["p"][0] == pytest.approx(probs[candidate["id"]], rel=1e-4)


def test_a_token_that_is_taken_instead_goes_before_what_is_drawn(lab, model):
    taken = model.tokenizer.encode("x")
    step = ask(lab, "next", text="ROMEO:", forced=taken, drawn=0, options={"seed": 1})
    assert "ROMEO:" + step["before"]["text"] + step["piece"]["text"] == model.generate("ROMEO:x", 1, seed=1)


def test_generation_goes_on_where_a_generator_was_given_up(lab):
    def step(i, seed):
        return ask(lab, "next", text="A", drawn=i, options={"seed": seed})

    first = step(3, 0)
    for seed in range(1, 8):
        step(0, seed)
    assert step(3, 0) == first


WRONG = {
    "no text": ("pass", {}, "text: None"),
    "an empty text": ("pass", {"text": ""}, "text: empty"),
    "a character it has not met": ("pass", {"text": "中"}, "中"),
    "a long text": ("pass", {"text": "a" * 300}, "300 tokens, expected at most 256"),
    "a text of a gigabyte": ("pass", {"text": "a" * 100_001}, "100,001 characters"),
    "one token, backward": ("backward", {"text": "a"}, "one token"),
    "one token, edits": ("edits", {"text": "a", "edits": EDITS["a head"]}, "one token"),
    "the loss of the first token": ("backward", {"text": TEXT, "of": 0}, "of: 0, expected"),
    "the loss of no token": ("backward", {"text": TEXT, "of": True}, "of: True"),
    "no names": ("arrays", {"text": TEXT}, "names: []"),
    "an unknown name": ("arrays", {"text": TEXT, "names": ["h.9.in"]}, "h.9.in"),
    "names that are none": ("arrays", {"text": TEXT, "names": [["h.0.in"]]}, "names"),
    "too many rows": ("arrays", {"text": TEXT, "names": ["logits"], "most": 10**9}, "most"),
    "rows that are not there": ("arrays", {"text": TEXT, "names": ["logits"], "rows": [90, 99]}, "rows"),
    "rows that are no pair": ("arrays", {"text": TEXT, "names": ["logits"], "rows": 3}, "rows"),
    "gradients under edits": ("arrays", {"text": TEXT, "names": ["loss"], "grad": True, "edits": EDITS["a head"]}, "edits off"),
    "an edit of nothing": ("edits", {"text": TEXT, "edits": [{"name": "h.0.attn.z", "how": "off"}]}, "edits[0].name"),
    "an edit of the loss": ("edits", {"text": TEXT, "edits": [{"name": "loss", "how": "off"}]}, "edits[0].name"),
    "an edit that is none": ("edits", {"text": TEXT, "edits": [3]}, "edits[0]"),
    "an edit without how": ("edits", {"text": TEXT, "edits": [{"name": "h.0.in"}]}, "edits[0].how"),
    "a head that is not there": ("edits", {"text": TEXT, "edits": [{"name": "h.0.attn.o", "head": 5, "how": "off"}]}, "0 to 4"),
    "a head of the stream": ("edits", {"text": TEXT, "edits": [{"name": "h.0.in", "head": 0, "how": "off"}]}, "no heads"),
    "a position outside": ("edits", {"text": TEXT, "edits": [{"name": "h.0.in", "position": 99, "how": "off"}]}, "position"),
    "no factor": ("edits", {"text": TEXT, "edits": [{"name": "h.0.in", "how": "scale", "factor": "2"}]}, "factor"),
    "a patch of another length": ("edits", {"text": TEXT, "edits": [{"name": "h.0.in", "how": "patch", "from": "T"}]}, "1 tok"),
    "many edits": ("edits", {"text": TEXT, "edits": EDITS["a head"] * 17}, "17"),
    "positions that are not there": ("lens", {"text": TEXT, "positions": [30, 40]}, "positions"),
    "edits that are no list": ("edits", {"text": TEXT, "edits": "all"}, "edits"),
    "an unknown option": ("next", {"text": TEXT, "options": {"stop_ids": [1]}}, "stop_ids"),
    "a bad option": ("next", {"text": TEXT, "options": {"temperature": -1}}, "temperature"),
    "options that are none": ("next", {"text": TEXT, "options": 3}, "options"),
    "a token that is not there": ("next", {"text": TEXT, "forced": [65]}, "forced"),
    "too far": ("next", {"text": TEXT, "drawn": 10_001}, "drawn"),
    "a model that is not there": ("open", {"which": "run"}, "no model"),
    "a model of no kind": ("open", {"which": "other"}, "start or run"),
}


@pytest.mark.parametrize(("name", "request_", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_refused_with_a_sentence(lab, name, request_, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        ask(lab, name, **request_)
    assert sentence in str(error.value) and len(str(error.value)) < 500


def test_what_there_is_not_is_another_error(lab):
    for name in ("training", "passes", "__init__", "_use"):
        with pytest.raises(UnknownRequest):
            ask(lab, name)


def test_a_request_that_the_page_gave_up_stops_at_the_next_activation_and_leaves_the_lab_as_it_was(model):
    lab, asked = Lab(model), []

    def is_gone():
        asked.append(1)
        return len(asked) > 10

    with pytest.raises(Abandoned):
        lab.answer("backward", {"text": TEXT}, is_gone)
    assert len(asked) == 11                                                     # of some 130
    assert ask(lab, "backward", text=TEXT)["loss"] == pytest.approx(model.loss(TEXT))


def test_one_request_computes_at_a_time_in_the_order_in_which_they_came(model):
    lab, order, inside = Lab(model), [], threading.Event()
    go = threading.Event()

    def first_is_gone():
        inside.set()
        go.wait(60)
        return False

    def request(number, is_gone):
        try:
            lab.answer("pass", {"text": TEXT}, is_gone)
            order.append(number)
        except Abandoned:
            order.append(f"{number} left")

    threads = [threading.Thread(target=request, args=(0, first_is_gone))]
    threads[0].start()
    assert inside.wait(60)
    for number, is_gone, in_line in (1, lambda: True, 1), (2, lambda: False, 2), (3, lambda: False, 3):
        threads.append(threading.Thread(target=request, args=(number, is_gone)))
        threads[-1].start()
        if number == 1:
            threads[-1].join(60)
        while len(lab.waiting) < in_line:
            pass
    go.set()
    for thread in threads:
        thread.join(60)
    assert order == ["1 left", 0, 2, 3]


def test_ids_are_the_text_of_a_model_without_a_tokenizer():
    lab = Lab(GPT(GPTConfig(vocab_size=9, n_positions=6, n_embd=4, n_layer=1, n_head=2), threads=1))
    assert ask(lab, "model")["text"] == "4 3 2"
    assert [token["label"] for token in ask(lab, "pass", text="4 3 2")["tokens"]] == ["#4", "#3", "#2"]
    steps = [ask(lab, "next", text="4 3", drawn=i, forced=[7], options={"seed": 0}) for i in range(2)]
    assert " ".join(map(str, [7, *(step["token"]["id"] for step in steps)])) == steps[0]["before"]["text"] + "".join(
        step["piece"]["text"] for step in steps)
    with pytest.raises(ValueError, match="17 4 62"):
        ask(lab, "pass", text="To be")


def test_a_text_that_is_too_long_says_what_there_is_room_for_and_its_end_has_so_many_whole_characters():
    tokenizer = Tokenizer.train("abab" + 9 * "\ufffd", 259)        # what stands for a part of a character is one token
    model = GPT(GPTConfig(vocab_size=259, n_positions=6, n_embd=4, n_layer=1, n_head=2), threads=1)
    model.tokenizer = tokenizer
    lab = Lab(model)
    with pytest.raises(TooLong) as error:
        ask(lab, "pass", text="ab中国x")
    assert error.value.most == 6
    assert ask(lab, "last", text="ab中国x", most=6)["text"] == "国x", "of 中 there would be a part"
    assert ask(lab, "last", text="abab", most=6)["text"] == "abab"
    found = ask(lab, "pass", text="ab国x")
    assert [token["label"] for token in found["tokens"]] == ["a", "b", "国 1/3 [e5]", "国 2/3 [9b]", "国 3/3 [bd]", "x"]
    assert Labels(tokenizer).of(found["tokens"][2]["id"]) == "[e5]", "of a token that may be drawn"
    first, second, third = tokenizer.encode("国")
    begun = ask(lab, "next", text="a", forced=[first, second], options={"seed": 0})
    assert begun["before"] == {"text": "", "open": "\ufffd"}
    whole = ask(lab, "next", text="a", forced=[first, second, third], options={"seed": 0})
    assert whole["before"] == {"text": "国", "open": ""}
    model.tokenizer = None
    assert ask(Lab(model), "last", text="1 2 3", most=2)["text"] == "2 3"


def test_an_empty_prompt_starts_where_texts_start():
    tokenizer = Tokenizer.train("a b a b", 258, ["<|endoftext|>"])
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=6, n_embd=4, n_layer=1, n_head=2), threads=1)
    model.tokenizer = tokenizer
    lab = Lab(model)
    assert ask(lab, "next", text="", options={"seed": 0}) == ask(lab, "next", text="<|endoftext|>", options={"seed": 0})


def test_norms_at_the_end_and_untied_layers_have_all_views():
    config = GPTConfig(vocab_size=9, n_positions=6, n_embd=4, n_layer=2, n_head=2, pre_norm=False, bias=False,
                       tie_word_embeddings=False)
    lab = Lab(GPT(config, threads=1))
    names = [row["name"] for row in ask(lab, "model")["names"]]
    ask(lab, "arrays", text="1 2 3", names=names, grad=True)
    assert ask(lab, "backward", text="1 2 3", of=2)["loss"] > 0


def test_a_text_of_which_the_gradients_have_no_room_is_refused_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr("minigpt.study.lab.passes.LARGEST", 20_000)
    model = GPT(GPTConfig(vocab_size=9, n_positions=64, n_embd=8, n_layer=1, n_head=2), threads=1)
    lab = Lab(model)
    longest = ask(lab, "model")["longest"]
    assert 1 < longest < 64
    ask(lab, "backward", text=" ".join("1" * longest))
    for name in "backward", "arrays":
        with pytest.raises(ValueError, match=f"at most {longest}"):
            ask(lab, name, text=" ".join("1" * (longest + 1)), names=["logits"])
    assert ask(lab, "pass", text=" ".join("1" * 64))["loss"] > 0               # which keeps little


def test_a_model_that_looks_ahead_is_refused():
    with pytest.raises(ValueError, match="causal"):
        Lab(GPT(GPTConfig(vocab_size=9, n_positions=6, n_embd=4, n_layer=1, n_head=2, causal=False)))


def test_json_has_null_for_what_is_no_number_and_keeps_texts():
    value = {"a": [np.float32("nan"), float("inf"), np.arange(2)], "b": "</script> 中 \ud800"}
    assert json.loads(as_json(value)) == {"a": [None, None, [0, 1]], "b": "</script> 中 ?"}


# Runs -----------------------------------------------------------------------------------------------------------------


def test_a_run_is_shown_from_its_folder_before_while_and_after_it_trains(model, tmp_path):
    lab = Lab(model, tmp_path)
    assert ask(lab, "training")["state"] == "waiting"
    rows = [log_line(i + 1, 4 - i / 1000, 3.5 if i % 500 == 499 else None, 1e-3, 1.0, 1000, 0.1 * i) for i in range(2500)]
    (tmp_path / "log.csv").write_bytes(f"{','.join(COLUMNS)}\r\n{''.join(rows)}".encode())
    (tmp_path / "samples.txt").write_text("".join(f"--- step {i} ---\nsample\n{i}\n" for i in range(30)), encoding="utf-8")
    (tmp_path / "run.lock").write_text("123")
    found = ask(lab, "training")
    assert found["state"] == "running" and found["left"] is None                # no checkpoint yet that says how long
    assert found["best"] == {"step": 500, "val_loss": 3.5} and len(found["rows"]) <= 1010
    assert found["rows"][0][:2] == [1, 4.0] and found["rows"][-1][0] == 2500
    assert len(found["samples"]) == 20 and found["samples"][-1] == {"step": 29, "text": "sample\n29"}
    (tmp_path / "run.lock").write_text("")
    assert ask(lab, "training")["state"] == "stopped"


def test_a_run_that_is_gone_or_overwritten_is_said_to_be_and_no_row_twice(model, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    lab = Lab(model, folder)
    row = log_line(1, 4.0, None, 1e-3, 1.0, 1000, 0.1)
    (folder / "log.csv").write_text(f"{','.join(COLUMNS)}\n{row}damaged\n", encoding="utf-8")
    assert [ask(lab, "training")["rows"][0][:2] for _ in range(2)] == [[1, 4.0]] * 2
    assert capsys.readouterr().err == ""
    (folder / "log.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no row that can be read"):
        ask(lab, "training")
    (folder / "log.csv").unlink()
    folder.rmdir()
    with pytest.raises(ValueError, match="no folder any more"):
        ask(lab, "training")


def test_the_model_of_a_run_opens_in_the_other_views(model, tmp_path):
    small = GPT(GPTConfig(vocab_size=3, n_positions=8, n_embd=4, n_layer=1, n_head=1), threads=1)
    small.tokenizer = CharTokenizer.train("abc")
    lab = Lab(model, tmp_path)
    assert [entry["key"] for entry in ask(lab, "model")["models"]] == ["start"]
    with pytest.raises(ValueError, match="reload the page"):
        ask(lab, "pass", text="abc", model="run")
    small.save_pretrained(tmp_path)
    opened = ask(lab, "open", which="run")
    assert (opened["opened"], opened["text"], opened["parameters"]) == ("run", "ab", small.config.n_params)
    assert ask(lab, "pass", text="abc", model="run")["loss"] == pytest.approx(small.loss("abc"))
    assert ask(lab, "pass", text=TEXT, model="start")["loss"] == ask(Lab(model), "pass", text=TEXT)["loss"]     # another tab
    assert ask(lab, "open", which="start")["parameters"] == model.config.n_params


def test_time_left_comes_from_the_newest_checkpoint(model, tmp_path):
    from minigpt import Recipe, Trainer

    small = GPT(GPTConfig(vocab_size=3, n_positions=8, n_embd=4, n_layer=1, n_head=1), threads=1)
    tokenizer = CharTokenizer.train("abc")
    ids = tokenizer.encode_array("abcabcab" * 40)
    trainer = Trainer(small, tokenizer, ids, Recipe(steps=8, batch_size=2, sample_tokens=3), tmp_path, quiet=True)
    trainer.run()
    found = ask(Lab(model, tmp_path), "training")
    assert (found["state"], found["steps"], found["left"], found["ready"]) == ("ended", 8, None, True)
    (tmp_path / "log.csv").write_text("".join((tmp_path / "log.csv").read_text().splitlines(True)[:5]))
    (tmp_path / "run.lock").write_text("123")
    found = ask(Lab(model, tmp_path), "training")
    assert found["state"] == "running" and found["left"] >= 0
