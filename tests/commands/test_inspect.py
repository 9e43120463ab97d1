"""The command `inspect`: its screen, its exit status, and what the doctor takes from it."""

import json

import numpy as np
import pytest

from minigpt import GPT, CharTokenizer, GPTConfig, weights
from minigpt.__main__ import main
from minigpt.study.checks import Finding

CONFIG = GPTConfig(vocab_size=11, n_positions=16, n_embd=8, n_layer=1, n_head=2, eos_token_id=3)


@pytest.fixture
def folder(tmp_path):
    model = GPT(CONFIG, seed=0)
    model.tokenizer = CharTokenizer("To be,nrt\nh")
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def run(capsys, *argv):
    """(status, screen, errors)"""
    return main([*map(str, argv)]), *capsys.readouterr()


def test_a_model_that_loads_is_described_on_one_screen_with_status_0(capsys):
    status, out, err = run(capsys, "inspect", "shakespeare-char")
    assert (status, err) == (0, "")
    assert out.startswith("minigpt inspect: shakespeare-char\n\n  found in     ")
    assert out.endswith("\n\nGPT.from_pretrained loads it.\n")
    assert len(out.splitlines()) <= 24 and max(map(len, out.splitlines())) <= 80


def test_a_model_that_does_not_load_is_described_as_far_as_it_goes_with_status_1(capsys, folder):
    config = {**json.loads(CONFIG.to_json()), "n_head": 3}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    status, out, err = run(capsys, "inspect", folder)
    assert (status, err) == (1, "")
    assert "  weights      float32, 16 tensors\n  tokenizer    characters, 11 ids, from chars.json\n" in out
    assert "config.json: GPTConfig: n_embd 8 is not a multiple of n_head 3" in " ".join(out.split())


def test_where_nothing_can_be_said_there_is_an_error_and_status_1(capsys, tmp_path):
    (tmp_path / "a.safetensors").write_text("<html>", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for what, message in (("empty", "a folder without config.json and weights"), ("a.safetensors", "an HTML page"),
                          ("none", "no such folder or file")):
        status, out, err = run(capsys, "inspect", tmp_path / what)
        assert (status, out, message in err) == (1, "", True), what
        assert err.startswith("error: ") and err.count("\n") == 1, what


def test_the_doctor_says_what_a_models_files_are(capsys, folder, monkeypatch):
    monkeypatch.setattr("minigpt.system.machine.matmul_flops", lambda pool: 1e9)        # nothing is measured
    monkeypatch.setattr("minigpt.study.costs.generation_time", lambda model: Finding("short"))
    tensors = weights.load(folder / "model.safetensors")
    weights.save(folder / "model.safetensors", {**tensors, "h.0.attn.bias": np.ones((1, 1, 16, 16), bool)})
    _, out, err = run(capsys, "doctor", "--language", "en", "--model", folder)
    assert err == ""
    part = " ".join(out.partition("what are its files?")[2].partition("is it healthy?")[0].split())
    assert part.startswith("format safetensors: model.safetensors, ")
    assert "weights float32, 16 tensors special ids bos none; eos 3 (config.json); pad none passed over 1 causal mask" in part
