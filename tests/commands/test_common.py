"""What every command line has in common: errors, exit status, UTF-8."""

import argparse
import io
import sys

import pytest

from minigpt.__main__ import main
from minigpt.commands.common import exit_status
from minigpt.system.files import LockedError
from minigpt.training.checkpoint import CheckpointError


def fails_with(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize("error", [ValueError("bad"), OSError("bad"), FloatingPointError("bad"), CheckpointError("bad"),
                                   LockedError("bad")])
def test_an_expected_error_is_one_line_and_status_1(capsys, error):
    assert exit_status(fails_with(error), argparse.ArgumentParser(), []) == 1
    assert capsys.readouterr() == ("", "error: bad\n")


def test_an_error_shows_the_control_characters_of_a_name(capsys):
    assert exit_status(fails_with(ValueError("a\x1b[2J\r: bad\n  b")), argparse.ArgumentParser(), []) == 1
    assert capsys.readouterr() == ("", "error: a\\x1b[2J\\r: bad\n  b\n")


def test_who_is_stopped_says_nothing(capsys):
    assert exit_status(fails_with(KeyboardInterrupt()), argparse.ArgumentParser(), []) == 130
    assert capsys.readouterr() == ("", "")


def test_a_mistake_of_the_program_keeps_its_traceback():
    with pytest.raises(TypeError, match="a bug"):
        exit_status(fails_with(TypeError("a bug")), argparse.ArgumentParser(), [])


def test_the_status_and_the_flags_pass_through():
    parser = argparse.ArgumentParser()
    parser.add_argument("--status", type=int)
    assert exit_status(lambda args: args.status, parser, ["--status", "7"]) == 7


class Terminal(io.BytesIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("kind", "chosen", "written"), [
    (io.BytesIO, None, "注意 é".encode()),
    (io.BytesIO, "cp1252", b"\\u6ce8\\u610f \xe9"),
    (Terminal, None, b"\\u6ce8\\u610f \xe9"),
], ids=["pipe", "pipe with a chosen encoding", "terminal"])
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_pipe_gets_utf8_and_a_terminal_escapes_of_what_it_cannot_show(monkeypatch, kind, chosen, written, goes_on):
    if chosen is None:
        monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    else:
        monkeypatch.setenv("PYTHONIOENCODING", chosen)
    output = kind()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="cp1252", newline=""))
    said = exit_status(lambda args: print("注意 é", end="") or 0, argparse.ArgumentParser(), [], lambda args: goes_on)
    assert (said, output.getvalue()) == (0, written)


def test_half_a_character_of_a_file_name_can_be_printed(monkeypatch):
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="utf-8", newline=""))
    assert exit_status(lambda args: print("\udcff", end="") or 0, argparse.ArgumentParser(), []) == 0
    assert output.getvalue() == b"\\udcff"


def test_an_empty_name_of_a_file_is_refused_before_it_means_the_folder_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for argv, name in [
        (["trace", "to", "--csv", ""], "--csv"), (["trace", "to", "--html="], "--html"),
        (["train", "--data", ""], "--data"), (["train", "--out", ""], "--out"), (["generate", "to", "--model", ""], "--model"),
        (["doctor", "--config", ""], "--config"), (["inspect", ""], "WHAT"),
    ]:
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 2
        assert f"error: argument {name}: empty, expected a name; give one" in capsys.readouterr().err, argv
    assert list(tmp_path.iterdir()) == []
