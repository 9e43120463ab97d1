"""The command line of training, in this process; test_scripts.py starts it as a user does."""

import ntpath
import os
import sys

import pytest

from minigpt.commands import train
from minigpt.commands.train import main


@pytest.mark.parametrize("executable", ["D:\\Python\\python.exe", ""], ids=["another drive", "unknown"])
def test_the_advice_needs_no_path_from_here_to_this_python(tmp_path, monkeypatch, capsys, executable):
    monkeypatch.setattr(train.os.path, "relpath", lambda path: ntpath.relpath(path, "C:\\Users"))
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(train, "save_loss_png", lambda *arguments: False)
    (tmp_path / "text").write_text("to be or not to be\n" * 40, encoding="utf-8")
    sizes = ["--layers", "1", "--heads", "1", "--channels", "4", "--context", "4", "--batch-size", "2", "--sample-tokens", "0"]
    assert main(["--data", str(tmp_path / "text"), "--out", str(tmp_path / "run"), "--steps", "2", *sizes]) == 0
    advice = capsys.readouterr().out.splitlines()[-1]
    assert advice == f"  {executable or 'python'} -m minigpt generate --model {tmp_path / 'run'} \"ROMEO:\""


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no control characters in names")
def test_control_characters_of_paths_are_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "save_loss_png", lambda *arguments: False)
    (tmp_path / "text\x1b[2J").write_text("to be or not to be\n" * 40, encoding="utf-8")
    sizes = ["--layers", "1", "--heads", "1", "--channels", "4", "--context", "4", "--batch-size", "2", "--sample-tokens", "4"]
    flags = ["--data", str(tmp_path / "text\x1b[2J"), "--out", str(tmp_path / "run\x1b[31m"), "--steps", "2"]
    assert main([*flags, *sizes]) == 0
    assert main(["--out", str(tmp_path / "none\x1b[31m"), "--resume"]) == 1
    out, err = capsys.readouterr()
    assert "run\\x1b[31m" in out and "none\\x1b[31m" in err
    assert "\x1b" not in out + err
