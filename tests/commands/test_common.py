"""What every command line has in common: errors, exit status, UTF-8."""

import argparse
import io
import sys

import pytest

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


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_who_is_stopped_says_nothing(capsys, monkeypatch, error, status):
    monkeypatch.setattr(sys, "stdout", sys.stdout)      # to be put back: a closed one is taken away
    assert exit_status(fails_with(error), argparse.ArgumentParser(), []) == status
    assert capsys.readouterr() == ("", "")


def test_a_mistake_of_the_program_keeps_its_traceback():
    with pytest.raises(TypeError, match="a bug"):
        exit_status(fails_with(TypeError("a bug")), argparse.ArgumentParser(), [])


def test_the_status_and_the_flags_pass_through():
    parser = argparse.ArgumentParser()
    parser.add_argument("--status", type=int)
    assert exit_status(lambda args: args.status, parser, ["--status", "7"]) == 7


def test_output_is_utf8_whatever_the_system_takes(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert exit_status(lambda args: print("注意", flush=True) or 0, argparse.ArgumentParser(), []) == 0
    assert written.getvalue().decode("utf-8").strip() == "注意"
