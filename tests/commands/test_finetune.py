"""The command line of fine-tuning, in this process, on a tiny model and small tasks."""

import re

import pytest

from minigpt import GPT, GPTConfig
from minigpt.__main__ import main
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.training import checkpoint, tasks
from play import play


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = CharTokenizer.train("abcdefghijklmnopqrstuvwxyz \n")
    base = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=80, n_embd=12, n_layer=1, n_head=2))
    base.tokenizer = tokenizer
    base.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("play") / "play.txt"
    path.write_text(play(n_speeches=100), encoding="utf-8")
    return path


@pytest.fixture
def few_dates(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "dates", lambda seed: tasks.dates(40, 6, 5, seed))


def finetune(capsys, *argv):
    """(status, text, messages)"""
    status = main(["finetune", *map(str, argv)])
    return status, *capsys.readouterr()


def table(text):
    """{row: (parameters, percent right)}"""
    rows = re.findall(r"^(\S.*?) {2,}([\d,]*) +([\d.]+)% +\d+ s$", text, re.MULTILINE)
    return {name: (learning, float(right)) for name, learning, right in rows}


def test_a_classification_ends_in_a_table_of_all_ways_and_baselines(capsys, tmp_path, model, script):
    status, out, err = finetune(capsys, "speakers", "--data", script, "--model", model, "--steps", 3, "--out", tmp_path)
    assert (status, err) == (0, "")
    rows = table(out)
    assert list(rows) == ["the commonest answer", "bag of words", "all of a new model", f"all of {model}",
                          f"{model} with LoRA", f"the head of {model}"]
    assert rows["bag of words"][1] > 95 > rows["the commonest answer"][1]     # a name's word gives it away
    assert rows[f"the head of {model}"][0] == "72"                               # 6 speakers, 12 channels
    assert "\n--steps 3 is a short run, in which the bag of words, trained to its end, may still be ahead; the default" in out
    assert {path.name for path in tmp_path.iterdir()} == {"scratch", "whole", "lora", "head"}


def test_dates_have_no_head_of_their_own(capsys, tmp_path, model, few_dates):
    status, out, err = finetune(capsys, "dates", "--model", model, "--steps", 2, "--out", tmp_path)
    assert (status, err) == (0, "")
    assert len(table(out)) == 5
    assert "  ->  " in out


def test_a_run_that_was_stopped_goes_on_and_gives_the_same_table(capsys, tmp_path, model, few_dates):
    flags = ["dates", "--model", model, "--ways", "whole"]
    _, whole, _ = finetune(capsys, *flags, "--steps", 4, "--out", tmp_path / "a")
    finetune(capsys, *flags, "--steps", 2, "--out", tmp_path / "b")
    status, parts, _ = finetune(capsys, *flags, "--steps", 4, "--out", tmp_path / "b", "--resume")
    assert status == 0
    assert checkpoint.load_newest(tmp_path / "b" / "whole").step == 4
    assert "is a short run" not in parts + whole        # all have 0 %
    assert table(parts).keys() == table(whole).keys()


@pytest.mark.parametrize(("flags", "message"), [
    (["speakers"], "--data: absent with the task speakers, expected a play"),
    (["dates", "--data", "x.txt"], "--data: x.txt with the task dates, expected a play, and only for speakers"),
    (["dates", "--ways", "lora", "--lora", "attn"], "names: 'attn' matches no matrix"),
    (["dates", "--ways", "whole", "lora", "--rank", "0"], "rank: 0, expected a whole number from 1"),
    (["dates", "--ways", "whole", "head"], "--ways: head with the task dates, expected other methods"),
    (["dates", "--steps", "0"], "steps 0, expected a whole number of at least 1"),
    (["dates", "--model", "no-such-model"], "model 'no-such-model': no such folder"),
    (["dates", "--threads", "0"], "threads: 0, expected at least 1"),
])
def test_bad_flags_get_one_clear_line(capsys, tmp_path, model, few_dates, flags, message):
    name, *rest = flags
    status, _, err = finetune(capsys, name, "--model", model, *rest, "--out", tmp_path / "out")
    assert status == 1
    assert "error: " in err and message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()      # nothing was trained before the error


def test_a_model_of_bytes_is_refused_with_a_reason(capsys, tmp_path, few_dates):
    base = GPT(GPTConfig(vocab_size=256, n_positions=80, n_embd=12, n_layer=1, n_head=2))
    base.tokenizer = Tokenizer()
    base.save_pretrained(tmp_path / "bytes")
    status, _, err = finetune(capsys, "dates", "--model", tmp_path / "bytes", "--out", tmp_path / "out")
    assert status == 1
    assert err.startswith("error: --model: tokenizer: ") and "expected a CharTokenizer" in err
