"""The doctor: each check passes on a healthy model and finds the mistake planted for it; the command, also in Chinese."""

import ast
import inspect
import io
import re
import warnings

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt import GPT, GPTConfig
from minigpt.__main__ import main
from minigpt.commands import doctor
from minigpt.commands.chinese import CHINESE
from minigpt.config import PRESETS
from minigpt.generation import kv_cache as cache_module
from minigpt.models import gpt as model
from minigpt.nn import attention, block, embedding, multihead
from minigpt.nn.fast import attention as fast_attention
from minigpt.study import checks, costs
from minigpt.system import machine
from minigpt.system.columns import columns
from minigpt.tokenization import CharTokenizer, WordPieceTokenizer
from minigpt.training.optim import AdamW
from minigpt.training.recipe import PRESETS as RUNS
from minigpt.training.recipe import Recipe
from minigpt.training.trainer import Trainer
from sentences import assert_chinese, assert_translated, templates

SMALL = dict(vocab_size=11, n_positions=9, n_embd=16, n_layer=2, n_head=2)
CONFIGS = {
    "plain": {}, "without biases": {"bias": False}, "untied": {"tie_word_embeddings": False},
    "relu": {"activation_function": "relu", "n_embd": 128, "n_positions": 80}, "one position": {"n_positions": 1},
    "two tokens": {"vocab_size": 2}, "two tiles": {"n_positions": 80},
    "dropout": {"embd_pdrop": 0.3, "attn_pdrop": 0.3, "resid_pdrop": 0.3},
}


def fresh(dtype=np.float32, fast=True, **changes):
    return GPT(GPTConfig(**{**SMALL, **changes}), dtype=dtype, fast=fast)


@pytest.fixture(autouse=True)
def a_machine_of_known_speed(monkeypatch):
    monkeypatch.setattr(machine, "matmul_flops", lambda pool: 1e11)


@pytest.fixture
def bundled():
    return GPT.from_pretrained("shakespeare-char")


# A fresh model


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.parametrize("check", [checks.first_loss, checks.causality, checks.gradients, checks.one_batch])
def test_a_healthy_model_passes(check, changes):
    finding = check(fresh(np.float64, **changes))
    assert finding.ok is True, finding.text


def test_weights_that_start_too_large_are_found():
    net = fresh(initializer_range=1.0)
    finding = checks.first_loss(net)
    assert (finding.ok, "initial weights are too large" in finding.text) == (False, True)


def test_a_fresh_model_that_knows_too_much_is_found(monkeypatch):
    net = fresh()
    monkeypatch.setattr(net, "loss", lambda ids, targets: 1.0)          # ln 11 = 2.4
    finding = checks.first_loss(net)
    assert (finding.ok, "targets leak into the input" in finding.text) == (False, True)


def test_a_first_loss_that_is_no_number_is_found():
    net = fresh()
    net.params["h.0.ln_1.weight"][3] = np.nan
    finding = checks.first_loss(net)
    assert (finding.ok, "params h.0.ln_1.weight" in finding.text) == (False, True)


def test_attention_without_a_mask_is_found(monkeypatch):
    monkeypatch.setattr(attention, "attention_mask", lambda T, S, **options: np.ones((T, S), bool))
    finding = checks.causality(fresh(fast=False))
    assert (finding.ok, "position 0 depends on position 8, which comes later" in finding.text) == (False, True)


def test_a_mask_that_is_one_position_off_is_found(monkeypatch):
    """Each query sees one key of the future; at the end of the text there is none."""
    monkeypatch.setattr(attention, "attention_mask", lambda T, S, **options: np.tri(T, S, 1, dtype=bool))
    finding = checks.causality(fresh(fast=False))
    assert (finding.ok, "comes later" in finding.text) == (False, True)


def test_attention_that_sees_itself_alone_is_found(monkeypatch):
    monkeypatch.setattr(attention, "attention_mask", lambda T, S, **options: np.eye(T, S, dtype=bool))
    finding = checks.causality(fresh(fast=False))
    assert (finding.ok, "position 4 does not depend on position 3" in finding.text) == (False, True)


def layernorm_backward_without_its_mean(dy, s):
    dx = layernorm_backward(dy, s)
    dx += s.acts["rstd"] * (dy * s.params["weight"]).mean(-1, keepdims=True)
    return dx


def block_backward_without_the_residual(dy, s):
    return block_backward(dy, s) - dy


def unembedding_backward_without_the_table(dlogits, s):
    s.grads.add("weight", np.zeros_like(s.params["weight"]))
    return dlogits @ s.params["weight"]


def attention_backward_without_scale(do, s):
    dq, dk, dv = attention_backward(do, s)
    dq *= 3
    return dq, dk, dv


layernorm_backward, block_backward = block.layernorm_backward, model.block_backward
attention_backward = multihead.attention_backward
initialize = GPT._initialize


def initialize_50_times_too_large(self, rng):
    initialize(self, rng)
    self.flat_params *= 50


PLANTED = {      # what is replaced, by what; the first array that is wrong on the way back, the last that is right
    "a term of layer norm": (block, layernorm_backward_without_its_mean, "h.1.attn.c_proj.weight", "h.1.ln_2.bias"),
    "the residual connection": (model, block_backward_without_the_residual, "h.0.mlp.c_proj.weight", "h.1.ln_1.bias"),
    "the head's share of wte": (model, unembedding_backward_without_the_table, "wte.weight", "wpe.weight"),
    "a factor of dq": (multihead, attention_backward_without_scale, "h.1.attn.c_attn.weight", "h.1.attn.c_proj.bias"),
}


@pytest.mark.parametrize("module, mistake, wrong, right", PLANTED.values(), ids=PLANTED.keys())
@textbook_and_engine
def test_a_mistake_in_the_backward_is_found_where_it_is(module, mistake, wrong, right, fast, monkeypatch):
    monkeypatch.setattr(module, mistake.__name__.partition("_without")[0], mistake)
    finding = checks.gradients(fresh(np.float64, fast))
    assert finding.ok is False
    assert f"the first in the backward pass is {wrong}, off by " in finding.text
    assert finding.text.endswith(f"{right} is still right")


def test_the_gradient_check_leaves_the_weights_alone():
    net = fresh(np.float64)
    before = net.flat_params.copy()
    checks.gradients(net)
    np.testing.assert_array_equal(net.flat_params, before)


def test_parameters_of_ones_own_come_last():
    config = GPTConfig(**SMALL)
    names = ["h.0.scale.weight", "wte.weight", "h.0.ln_1.bias", "h.1.mlp.c_proj.bias", "ln_f.weight"]
    assert sorted(names, key=lambda name: checks._backward_rank(config, name)) == names[::-1]


def test_an_update_that_goes_uphill_is_found(monkeypatch):
    step = AdamW.step
    monkeypatch.setattr(AdamW, "step", lambda self, lr: step(self, -lr))
    finding = checks.one_batch(fresh())
    assert (finding.ok, "are not memorized" in finding.text) == (False, True)


def test_gradients_of_zero_learn_nothing(monkeypatch):
    monkeypatch.setattr(AdamW, "step", lambda self, lr: None)
    finding = checks.one_batch(fresh(), steps=5)
    assert (finding.ok, "in 5 steps" in finding.text) == (False, True)


# A trained model


@pytest.mark.parametrize("check", [checks.weights, checks.vocabulary, checks.text_loss, checks.causality, checks.cache])
def test_the_model_that_comes_along_is_well(check, bundled):
    finding = check(bundled)
    assert finding.ok is True, finding.text


def test_weights_that_are_no_numbers_are_named(bundled):
    bundled.params["h.1.mlp.c_fc.bias"][2] = np.inf
    bundled.params["ln_f.weight"][0] = np.nan
    finding = checks.weights(bundled)
    assert (finding.ok, finding.text.startswith("NaN or infinity in h.1.mlp.c_fc.bias and 1 more")) == (False, True)


def test_a_tokenizer_of_another_model_is_found(bundled):
    bundled.tokenizer = CharTokenizer([chr(i) for i in range(32, 102)])
    finding = checks.vocabulary(bundled)
    assert (finding.ok, "70 tokens, but the model has 65" in finding.text) == (False, True)


def test_a_tokenizer_that_does_not_give_the_text_back_is_found(bundled, monkeypatch):
    monkeypatch.setattr(CharTokenizer, "decode", lambda self, ids: "something else")
    assert checks.vocabulary(bundled).ok is False


def test_a_wordpiece_tokenizer_need_only_give_a_text_of_the_same_tokens(bundled, monkeypatch):
    letters = [chr(i) for i in range(97, 123)]
    bundled.tokenizer = WordPieceTokenizer(["[UNK]", *letters, *(f"##{letter}" for letter in letters)])
    finding = checks.vocabulary(bundled, "To be, or not to be")
    assert finding == checks.Finding("57 tokens, the model has 65; decoding gives a text of the same tokens", True)
    monkeypatch.setattr(WordPieceTokenizer, "decode", lambda self, ids: "something else")
    assert checks.vocabulary(bundled, "To be, or not to be").ok is False


@pytest.mark.parametrize("plant", [
    lambda net: net.params["wte.weight"].__setitem__(slice(None), net.params["wte.weight"][::-1].copy()),
    lambda net: net._initialize(np.random.default_rng(0)),
], ids=["rows out of order", "never trained"])
def test_a_model_that_does_not_know_its_language_is_found(bundled, plant):
    plant(bundled)
    finding = checks.text_loss(bundled)
    assert (finding.ok, "weights are in the wrong places" in finding.text) == (False, True)


def test_a_text_that_cannot_be_read_is_no_fault(bundled):
    finding = checks.text_loss(bundled, "今天天气很好", "a text")
    assert finding == checks.Finding("not measured: the tokenizer knows only 0 tokens of a text", None)


def test_a_text_in_another_script_than_the_vocabularys_says_nothing_about_the_weights():
    russian = [chr(i) for i in range(0x410, 0x450)]
    tokenizer = CharTokenizer.train(checks.HAMLET + "".join(russian))
    net = fresh(vocab_size=tokenizer.vocab_size)
    net.tokenizer = tokenizer
    finding = checks.text_loss(net)
    assert (finding.ok, "most letters of its vocabulary are of another script" in finding.text) == (None, True)
    assert checks.text_loss(net, 9 * "".join(russian)).ok is False


def test_without_a_tokenizer_nothing_is_said_about_texts(bundled):
    bundled.tokenizer = None
    assert (checks.vocabulary(bundled).ok, checks.text_loss(bundled).ok) == (None, None)


def test_a_cache_with_keys_in_wrong_places_is_found(bundled, monkeypatch):
    append = cache_module.ChunkLayer.append

    def shifted(self, k, v):
        k, v = append(self, k, v)
        return np.roll(k, 1, axis=2), v

    monkeypatch.setattr(cache_module.ChunkLayer, "append", shifted)
    finding = checks.cache(bundled)
    assert (finding.ok, "differs by" in finding.text) == (False, True)


@pytest.mark.parametrize("n_positions", [1, 2, 3])
def test_few_positions_are_enough(n_positions):
    net = fresh(n_positions=n_positions)
    assert checks.cache(net).ok is (None if n_positions == 1 else True)
    assert costs.generation_time(net).text.startswith("reads ")


# What it costs


@pytest.mark.parametrize("value, text", [
    (0, "0.00 B"), (999, "999 B"), (999.6, "1.00 kB"), (834_304, "834 kB"), (3.15e24, "3.15 YB"), (12_345, "12.3 kB"),
])
def test_three_digits_and_a_prefix(value, text):
    assert costs.si(value, "B") == text


@pytest.mark.parametrize("seconds, text", [
    (0.5, "0.50 seconds"), (119, "119 seconds"), (120, "2.00 minutes"), (5000, "83.3 minutes"), (86_400, "24.0 hours"),
    (10 * 86_400, "10.0 days"), (1.9e13, "602,000 years"),
])
def test_a_duration_is_said_in_the_unit_that_fits(seconds, text):
    assert costs.duration(seconds) == text


def test_training_is_measured_with_real_steps_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(costs, "_step_seconds", lambda config, recipe, real=costs._step_seconds: real(config, recipe) and 0.5)
    recipe = Recipe(steps=40, batch_size=3, accumulate=2)
    text = costs.training_time(GPTConfig(**SMALL), recipe, 1e9, "A run").text
    assert text.startswith("108 tokens/s in batches of 3 × 9")          # 2 · 3 · 9 tokens in half a second
    assert "A run takes about 20.0 seconds" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("why", ["slow", "large"])
def test_what_is_too_slow_or_too_large_is_estimated(why, monkeypatch):
    monkeypatch.setattr(costs, "_step_seconds", None)                   # nothing is run
    monkeypatch.setattr(machine, "memory", lambda: 1000 if why == "large" else None)
    config = GPTConfig(**SMALL)
    flops = config.flops_per_token * (0.5 if why == "slow" else 1000)   # tokens a second
    text = costs.training_time(config, Recipe(steps=40, batch_size=3), flops, "A run").text
    assert text.startswith("not run; at the speed of matrix products alone at most ")
    assert ("0.50 tokens/s" if why == "slow" else "1,000 tokens/s") in text
    assert "at least" in text


def test_more_memory_than_there_is_is_said(monkeypatch):
    monkeypatch.setattr(machine, "memory", lambda: 1000)
    for finding in (costs.training_memory(GPTConfig(**SMALL), 1), costs.generation_memory(GPTConfig(**SMALL)),
                    costs.generation_memory(GPTConfig(**SMALL, causal=False))):
        assert finding.text.endswith("more than the 1.00 kB here")
        assert finding.excess.endswith("B of memory")


# The copy


@pytest.mark.parametrize("name", PRESETS)
def test_a_copy_is_small_and_of_the_same_kind(name):
    config = GPTConfig.preset(name, n_inner=3 * PRESETS[name].get("n_embd", 768), bias=False, activation_function="relu")
    small = doctor.reduced(config)
    assert small.n_params < 5_000_000
    assert (small.bias, small.activation_function, small.n_head > 1) == (False, "relu", True)
    assert small.mlp_width == 3 * small.n_embd


def test_a_small_model_is_examined_itself():
    config = GPTConfig(**SMALL)
    assert doctor.reduced(config) is config


# The command


def examined(capsys, *argv, language="en"):
    """(status, screen, errors) of python -m minigpt doctor …"""
    with warnings.catch_warnings():
        status = main(["doctor", "--language", language, *map(str, argv)])
    return status, *capsys.readouterr()


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(GPTConfig(**SMALL).to_json(), encoding="utf-8")
    return path


@pytest.fixture
def huge(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(GPTConfig(n_positions=2048, n_embd=12_288, n_layer=96, n_head=96).to_json(), encoding="utf-8")
    return path


def assert_one_screen(out):
    lines = out.splitlines()
    assert len(lines) <= 40
    assert max(map(columns, lines)) <= 80


def test_all_is_well_with_the_default(capsys):
    status, out, err = examined(capsys)
    assert (status, err) == (0, "")
    assert_one_screen(out)
    assert out.startswith("minigpt doctor: an untrained model, shakespeare-char\n")
    assert out.endswith("\nAll is well.\n")
    assert re.findall(r"^  ok    (\w+)", out, re.MULTILINE) == ["first", "causality", "gradients", "one"]
    assert re.search(r"run of 3,500 steps\s+takes", " ".join(out.split()))


def test_all_is_well_with_the_model_that_comes_along(capsys):
    status, out, err = examined(capsys, "--model", "shakespeare-char")
    assert (status, err) == (0, "")
    assert_one_screen(out)
    assert len(re.findall(r"^  ok ", out, re.MULTILINE)) == 5
    assert re.search(r"reads [\d,]+ tokens/s, writes [\d,]+ tokens/s", out)


def test_a_huge_model_is_examined_without_making_it(capsys, huge, monkeypatch):
    made = []
    make = GPT.__init__

    def noted(self, config, **options):
        made.append(config)
        make(self, config, **options)

    monkeypatch.setattr(GPT, "__init__", noted)
    status, out, err = examined(capsys, "--config", huge.parent)        # the folder of a config.json will do
    assert (status, err) == (0, "")
    assert_one_screen(out)
    assert max(config.n_params for config in made) < 5_000_000
    text = " ".join(out.split())
    for part in ("174,604,259,328", "1.08 TFLOP", "weights 698 GB, gradients 698 GB, AdamW's moments 1.40 TB",
                 "a copy of 2 blocks", "keys and values 9.44 MB per token", "not run;", "Hoffmann et al. 2022", "years"):
        assert part in text


@pytest.fixture
def all_pass(monkeypatch):
    """The checks of a fresh model, which take their time, pass at once."""
    for name in ("first_loss", "causality", "gradients", "one_batch"):
        monkeypatch.setattr(checks, name, lambda model: checks.Finding("∂"))


def test_what_is_too_much_for_the_machine_is_no_mistake_but_not_well(capsys, huge, monkeypatch, all_pass):
    monkeypatch.setattr(machine, "memory", lambda: 25_300_000_000)
    status, out, _ = examined(capsys, "--config", huge)
    assert status == 0
    assert re.findall(r"^  OVER  (\w+)", out, re.MULTILINE) == ["training", "generation", "time"]
    assert " ".join(out[out.rindex("\n\n"):].split()) == (
        "No mistake was found. It is too much for this machine: training needs 3.03 TB of memory; generation needs 718 GB of "
        "memory; the training takes at least 1,190,000 years.")
    _, out, _ = examined(capsys, "--config", huge, language="zh")
    assert_a_chinese_screen(out)
    assert out.count("  超出  ") == 3
    assert out[out.rindex("\n\n"):].replace("\n", "") == (
        "没有发现错误。但本机承担不起：训练需要 3.03 TB 内存；生成需要 718 GB 内存；训练需要至少 1,190,000 年。")


@pytest.mark.parametrize("wrong, excess, verdict", [
    ([], [], "All is well."), (["loss", "cache"], [], "Something is wrong: loss, cache."),
    ([], ["a", "b"], "No mistake was found. It is too much for this machine: a; b."),
    (["loss"], ["a"], "Something is wrong: loss. It is too much for this machine: a."),
])
def test_the_last_line_says_it_all(wrong, excess, verdict):
    assert doctor._verdict(wrong, excess) == verdict


@pytest.mark.parametrize("steps, is_long", [(30 * 86_400, False), (31 * 86_400, True)])
def test_a_training_of_more_than_a_month_is_too_much(steps, is_long, monkeypatch):
    monkeypatch.setattr(costs, "fits", lambda config, batch_size: True)
    monkeypatch.setattr(costs, "_step_seconds", lambda config, recipe: 1.0)
    finding = costs.training_time(GPTConfig(**SMALL), Recipe(steps=steps), 1e12, "A run")
    assert finding.excess == ("the training takes about 31.0 days" if is_long else "")


@pytest.mark.parametrize("module, name, mistake, row", [
    (fast_attention, "_mask", lambda *arguments: None, "causality"),
    (block, "layernorm_backward", layernorm_backward_without_its_mean, "gradients"),
    (AdamW, "step", lambda self, lr, scale=1.0: None, "one batch"),
    (GPT, "_initialize", initialize_50_times_too_large, "first loss"),
])
def test_a_mistake_ends_with_status_1(capsys, config_file, monkeypatch, module, name, mistake, row):
    monkeypatch.setattr(module, name, mistake)
    status, out, err = examined(capsys, "--config", config_file)
    assert (status, err) == (1, "")
    assert re.search(f"^  WRONG {row}", out, re.MULTILINE)
    assert row in re.search(r"^Something is wrong: (.*)\.$", out, re.MULTILINE)[1]


def test_a_check_that_cannot_go_on_says_where_and_the_others_follow(capsys, config_file, monkeypatch):
    def broken(h, s):
        raise IndexError("axis 3 is out of bounds")

    monkeypatch.setattr(embedding, "unembedding_forward", broken)
    monkeypatch.setattr(model, "unembedding_forward", broken)
    status, out, err = examined(capsys, "--config", config_file)
    assert (status, err) == (1, "")
    assert re.search(r"first loss  it stopped in test_doctor.py, line \d+: IndexError: axis 3", out)
    assert "keys and values" in out


def test_a_model_with_a_broken_weight_is_named_without_a_warning(capsys, bundled, tmp_path):
    bundled.params["h.1.ln_2.bias"][3] = np.nan
    bundled.save_pretrained(tmp_path)
    status, out, err = examined(capsys, "--model", tmp_path)
    assert (status, err) == (1, "")
    assert "WRONG weights     NaN or infinity in h.1.ln_2.bias" in out


def test_a_text_of_ones_own_is_read(capsys, tmp_path):
    (tmp_path / "hut.txt").write_text("ROMEO:\nWhat, ho! good night, good night.\n日\n", encoding="utf-8")
    _, out, _ = examined(capsys, "--model", "shakespeare-char", "--text", tmp_path / "hut.txt")
    assert re.search(r"loss        \d\.\d\d nats per token on 42 tokens of", out)


def test_the_model_of_a_run_is_measured_on_what_the_run_keeps_for_validation(capsys, tmp_path):
    text, run = tmp_path / "道.txt", tmp_path / "run"
    text.write_text("道可道，非常道。名可名，非常名。\n" * 60, encoding="utf-8")
    tokenizer = CharTokenizer.train(text.read_text(encoding="utf-8"))
    net = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=8, n_embd=16, n_layer=1, n_head=1), 0)
    ids = tokenizer.encode_array(text.read_text(encoding="utf-8"))
    Trainer(net, tokenizer, ids, Recipe(steps=60, sample_tokens=0), run, text, quiet=True).run()
    status, out, _ = examined(capsys, "--model", run)
    assert (status, re.search(r"^  ok    loss  .* of\s+the end of 道\.txt", out, re.MULTILINE) is not None) == (0, True)
    text.unlink()
    status, out, _ = examined(capsys, "--model", run)
    assert (status, "Hamlet, since 道.txt, the text of this run, cannot be read" in " ".join(out.split())) == (0, True)
    for checkpoint in run.glob("checkpoint-*.safetensors"):
        checkpoint.write_bytes(b"damaged")
    assert "tokens of Hamlet" in " ".join(examined(capsys, "--model", run)[1].split())


def test_a_terminal_shows_which_check_is_running(capsys, config_file, monkeypatch, all_pass):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    _, out, _ = examined(capsys, "--config", config_file)
    rows = re.findall(r"(  …     ([\w ]+))\r( +)\r", terminal.getvalue())
    assert all(len(row) == len(space) for row, _, space in rows) and "…" not in out
    assert [name for _, name, _ in rows][2:6] == ["threads", "first loss", "causality", "gradients"]


@pytest.mark.parametrize("content, status", [("{", 2), ('{"n_layer": 0}', 2), ("\xff", 2)])
def test_a_config_that_is_none_is_refused(capsys, tmp_path, content, status):
    (tmp_path / "c.json").write_text(content, encoding="latin-1")
    found, out, err = examined(capsys, "--config", tmp_path / "c.json")
    assert (found, out) == (status, "")
    assert err.startswith("error: ")


def test_an_unknown_preset_names_those_there_are(capsys):
    status, out, err = examined(capsys, "--config", "gpt5")
    assert (status, out) == (2, "")
    assert err.startswith("error: --config: 'gpt5', expected a config.json or one of shakespeare-char, ")
    assert all(name in err for name in (*RUNS, *PRESETS))


@pytest.mark.parametrize("argv, status, message", [
    (["--model", "no-such-model"], 2, "no such folder"),
    (["--model", "shakespeare-char", "--text", "no-such-file"], 2, "no-such-file"),
])
def test_what_is_not_there_is_refused(capsys, argv, status, message):
    found, out, err = examined(capsys, *argv)
    assert (found, out) == (status, "")
    assert err.startswith("error: ")
    assert message in err


def test_a_damaged_weight_file_is_something_wrong(capsys, bundled, tmp_path):
    bundled.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"<html>")
    status, out, err = examined(capsys, "--model", tmp_path)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")


def test_who_is_stopped_says_nothing(capsys, monkeypatch):
    def stopped(name, tell):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "_fresh", stopped)
    assert examined(capsys) == (130, "", "")


@pytest.mark.parametrize("argv", [["--config", "gpt2", "--model", "gpt2"], ["--text", "x"], ["--what"]])
def test_wrong_usage_ends_with_status_2(capsys, argv):
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *argv])
    assert stop.value.code == 2
    assert "usage: minigpt doctor" in capsys.readouterr().err


@pytest.mark.parametrize("name", RUNS)
def test_presets_of_training_are_known_with_their_runs(name):
    sizes, fields = RUNS[name]
    config, recipe, run = doctor._configuration(name, str)
    assert config == GPTConfig(vocab_size=65, **sizes)
    assert recipe == Recipe(**fields)
    assert run == f"A run of {fields['steps']:,} steps"


# In Chinese

FILES = ("commands/doctor.py", "study/checks.py", "study/costs.py", "weights/inspection.py", "system/text.py")


def headings_and_rows():
    """The keys of the dictionaries that doctor.py shows, and its marks: {English: where it stands}"""
    tree = ast.parse(inspect.getsource(doctor))
    keys = [key.value for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return dict.fromkeys([*keys, *doctor.FILE_ROWS, "ok", "WRONG", "OVER"], "commands/doctor.py")


def test_every_sentence_of_the_doctor_has_its_chinese():
    assert_translated(CHINESE, headings_and_rows() | templates(*FILES, calls=("Sentence", "passes", "fails", "reports")))


def test_no_sentence_of_the_doctor_is_plain_text():
    for module in (doctor, checks, costs):
        assert not re.search(r"return Finding\(f?\"", inspect.getsource(module)), module


def assert_a_chinese_screen(out):
    assert_one_screen(out)
    assert_chinese(out)
    for line in out.splitlines()[2:-1]:
        if re.match("  (?! {18})", line):                               # a row, not its second line
            row = re.match(r"  (\S*) +(\S+(?: \S+)*?)  +(\S)", line)
            assert [columns(line[: row.start(i)]) for i in (2, 3)] == [8, 20], line
            assert not re.search("[A-Za-z]", (row[1] + row[2]).replace("NumPy", "")), line


@pytest.mark.parametrize("is_trained", [False, True], ids=["an untrained model without a mask", "a trained model"])
def test_the_screen_in_chinese(capsys, config_file, monkeypatch, is_trained):
    monkeypatch.setattr(machine, "processor", lambda: "a processor")
    if not is_trained:
        monkeypatch.setattr(fast_attention, "_mask", lambda *arguments: None)
    status, out, err = examined(capsys, *(["--model", "shakespeare-char"] if is_trained else ["--config", config_file]),
                                language="zh")
    assert (status, err) == (0 if is_trained else 1, "")
    assert_a_chinese_screen(out)
    assert out.endswith("\n\n一切正常。\n" if is_trained else "\n\n有问题：因果性。\n")


def test_the_doctor_speaks_the_language_of_the_locale(capsys, config_file, monkeypatch, all_pass):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["doctor", "--config", str(config_file)]) == 0
    assert capsys.readouterr().out.endswith("\n\n一切正常。\n")


def test_what_the_doctor_refuses_it_refuses_in_chinese(capsys):
    _, _, err = examined(capsys, "--config", "gpt5", language="zh")
    assert err.startswith("error: --config：'gpt5' 不可用，应为一个 config.json 或以下之一：shakespeare-char, ")
    with pytest.raises(SystemExit):
        examined(capsys, "--text", "hut.txt", language="zh")
    assert "没有同时给出 --model" in capsys.readouterr().err
