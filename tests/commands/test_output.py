"""Every command on a stdout or stderr that is absent, closed, full, or a pipe that nobody reads any more."""

import errno
import io
import sys

import pytest

from minigpt import GPT, GPTConfig
from minigpt.__main__ import COMMANDS, main
from minigpt.commands import doctor, train, translate
from minigpt.study.checks import Finding
from minigpt.tokenization import CharTokenizer
from minigpt.training import tasks
from minigpt.training.tasks import Task
from minigpt.training.translation import Translator


class Refusing(io.StringIO):
    """Takes nothing: at each write or, as one that has a buffer, at each flush"""

    def __init__(self, error, buffered=False):
        super().__init__()
        self.error, self.buffered = error, buffered

    def write(self, text):
        if not self.buffered:
            raise self.error
        return len(text)

    def flush(self):
        raise self.error


def full(buffered=False):
    return Refusing(OSError(errno.ENOSPC, "No space left on device"), buffered)


def unread():
    return Refusing(BrokenPipeError(errno.EPIPE, "Broken pipe"))


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


BAD = {"absent": lambda: None, "closed": closed, "full": full, "full with a buffer": lambda: full(True), "unread": unread}
PRINTING = ["generate", "score", "tokenize", "trace", "inspect", "doctor", "translate"]
WRITING = ["train", "finetune", "translate"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A language model, a translator, a configuration and a text"""
    path = tmp_path_factory.mktemp("models")
    tokenizer = CharTokenizer.train("to be or not to be\n0123456789:abcdefghijklmnopqrstuvwxyz")
    config = GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    model = GPT(config, seed=0)
    model.tokenizer = tokenizer
    model.save_pretrained(path / "gpt")
    Translator.new([("ten", "十")], n_embd=8, n_layer=1, n_head=2).save(path / "translator")
    (path / "text.txt").write_text("to be or not to be\n" * 40, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A task of ten examples in place of the one with thousands, no checks and measurements, no drawings"""
    pairs = [(f"day {i}", f"{i}") for i in range(10)]
    monkeypatch.setitem(tasks.TASKS, "dates", lambda seed: Task("dates", "ten days", pairs, pairs[:2], pairs[:2], None))
    monkeypatch.setattr(doctor, "_result", lambda check: Finding("well"))
    monkeypatch.setattr(doctor.machine, "matmul_flops", lambda pool: 1e9)
    monkeypatch.setattr(train, "save_loss_png", lambda *arguments: False)
    monkeypatch.setattr(translate, "save_alignment_png", lambda *arguments: False)


def run(command, folder, out, writing=False):
    gpt, text = str(folder / "gpt"), str(folder / "text.txt")
    sizes = ["--layers", "1", "--heads", "1", "--channels", "4", "--context", "4", "--batch-size", "2", "--sample-tokens", "4"]
    arguments = {
        "generate": ["to", "--model", gpt, "--max-new-tokens", "3"],
        "score": ["to be", "--model", gpt],
        "tokenize": ["to be", "--model", gpt],
        "trace": ["to be", "--model", gpt],
        "inspect": [gpt],
        "doctor": ["--config", str(folder / "gpt" / "config.json")],
        "translate": ["ten", "--model", str(folder / "translator")],
        "train": ["--data", text, "--out", str(out), "--steps", "2", *sizes],
        "finetune": ["dates", "--model", gpt, "--out", str(out), "--steps", "2", "--ways", "whole"],
    }[command]
    if command == "translate" and writing:
        arguments = ["--model", str(out), "--steps", "2", "--pairs", "120", "--tested", "2", "--threads", "1"]
    return main([command, *arguments])


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", PRINTING)
def test_a_command_that_cannot_print_its_result_says_so(command, kind, folder, tmp_path, monkeypatch):
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", BAD[kind]())
    monkeypatch.setattr(sys, "stderr", errors)
    assert run(command, folder, tmp_path) == (141 if kind == "unread" else 1)
    said = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
    assert [line[:24] for line in said] == ([] if kind == "unread" else ["error: standard output: "])


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", WRITING)
def test_a_command_that_writes_files_goes_on_without_a_stdout(command, kind, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", BAD[kind]())
    assert run(command, folder, tmp_path / "run", writing=True) == 0
    assert list((tmp_path / "run").glob("**/config.json"))


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "lab"])       # which serves until Ctrl-C
def test_what_stderr_does_not_take_is_dropped(command, kind, folder, tmp_path, monkeypatch):
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setattr(sys, "stderr", BAD[kind]())
    assert run(command, folder, tmp_path / "run") == 0
    assert printed.getvalue()


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(("argv", "status"), [(["tokenize", "to", "--model", "none"], 1), (["score", "--what"], 2), (["x"], 2)])
def test_an_error_keeps_its_status_where_it_cannot_be_said(argv, status, kind, monkeypatch):
    monkeypatch.setattr(sys, "stderr", BAD[kind]())
    try:
        found = main(argv)
    except SystemExit as stop:
        found = stop.code
    assert found == status


@pytest.mark.parametrize("argv", [["--help"], [], *([name, "--help"] for name in COMMANDS)])
def test_help_that_cannot_be_printed_is_an_error(argv, monkeypatch):
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", full(buffered=True))
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(argv) == 1
    assert errors.getvalue().startswith("error: standard output: No space left on device")


@pytest.mark.parametrize("kind", ["full", "full with a buffer", "unread"])
def test_a_stream_that_cannot_be_flushed_is_taken_away_before_python_tries(kind, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", BAD[kind]())
    monkeypatch.setattr(sys, "stderr", BAD[kind]())
    run("score", folder, tmp_path)
    assert (sys.stdout, sys.stderr) == (None, None)
