"""What --help says of every command and script: its name, each default, and examples that can be typed."""

import argparse
import importlib
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

import minigpt
from minigpt.__main__ import COMMANDS, main
from minigpt.commands.common import command_parser, exit_status

ROOT = Path(__file__).parents[2]
SCRIPTS = {path.name: path for path in sorted(ROOT.glob("scripts/*.py"))}
COMMAND_OF = {"generate.py": "minigpt generate", "train_shakespeare.py": "minigpt train",
              "train_translation.py": "minigpt translate"}


@pytest.fixture(scope="module")
def programs():
    """{what is typed after python: its parser, its help}"""
    found = []

    def caught(parser, *_):
        found.append(parser)
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", caught)
        patch.setenv("COLUMNS", "1000")             # an entry of the help is then one line, or two
        for argv in ([], *([name] for name in COMMANDS)):
            with pytest.raises(SystemExit):
                main(argv)
        for path in SCRIPTS.values():
            patch.setattr(sys, "argv", [str(path)])
            with pytest.raises(SystemExit):
                runpy.run_path(str(path), run_name="__main__")
        typed = ["-m minigpt", *(f"-m minigpt {name}" for name in COMMANDS), *(f"scripts/{name}" for name in SCRIPTS)]
        return {name: (parser, parser.format_help()) for name, parser in zip(typed, found, strict=True)}


def test_the_usage_begins_with_the_commands_name_however_it_is_started(programs):
    for typed, (_, shown) in programs.items():
        name = typed.removeprefix("-m ").removeprefix("scripts/")
        assert shown.startswith(f"usage: {COMMAND_OF.get(name, name)} ["), typed


def test_every_flag_that_takes_a_value_shows_its_default(programs):
    for typed, (parser, shown) in programs.items():
        entries = re.split(r"\n  (?=\S)", shown)
        for action in parser._actions:
            if action.nargs == 0 and not isinstance(action, argparse.BooleanOptionalAction):
                continue
            name = action.option_strings[0] if action.option_strings else action.metavar
            (entry,) = (entry for entry in entries if re.match(rf"{name}(?![\w-])", entry))
            optional = not action.required or action.nargs in ("?", "*")
            assert ("(default: " in entry) == optional, f"python {typed}: {entry}"
            values = action.default if isinstance(action.default, (list, tuple)) else [action.default]
            missing = [value for value in values if value not in (None, argparse.SUPPRESS) and str(value) not in entry]
            assert not missing, f"python {typed}: {entry}"


def test_training_shows_the_defaults_of_its_preset(programs):
    _, shown = programs["-m minigpt train"]
    for flag, default in {"--layers L": 2, "--lr R": 0.0033, "--dropout P": 0.0, "--bias, --no-bias": "--bias",
                          "--seed N": 1337, "--preset": "shakespeare-char", "--optimizer": "normuon"}.items():
        assert re.search(rf"\n  {flag}\b[^(]*\(default: {default}\)", shown), flag


def test_every_help_has_an_example_that_its_command_takes(programs):
    for typed, (_, shown) in programs.items():
        _, examples = re.split(r"\nexamples?:\n", shown)
        for example in examples.splitlines():
            assert example.startswith("  python "), f"python {typed}: {example}"
            words = shlex.split(example)[1:]
            n = 3 if words[0] == "-m" else 1
            parser, _ = programs[" ".join(words[:n])]
            parser.parse_args(words[n:])


def test_lines_are_filled_but_for_those_that_begin_with_a_space(monkeypatch):
    monkeypatch.setenv("COLUMNS", "32")
    notes = "A list:\n  100 % as it is, however long this is"
    parser = command_parser("a", "One two three four\nfive six seven.", "a b", notes=notes)
    _, *lines = parser.format_help().split("\n\n")
    assert lines[0] == "One two three four five six\nseven."
    assert lines[2] == "A list:\n  100 % as it is, however long this is"


def test_the_flag_nearest_to_a_misspelt_one_is_named(capsys):
    parser = command_parser("a", "…", "a")
    parser.add_argument("--top-k")
    parser.add_argument("--top-p")
    for argv, said in ((["--topk", "3"], "unrecognized arguments: --topk 3; did you mean --top-k?"),
                       (["--hlp"], "unrecognized arguments: --hlp; did you mean --help?"),
                       (["x", "--zebra"], "unrecognized arguments: x --zebra"), (["x"], "unrecognized arguments: x")):
        with pytest.raises(SystemExit) as stop:
            exit_status(lambda args: 0, parser, argv)
        assert (stop.value.code, capsys.readouterr().err.splitlines()[-1]) == (2, f"a: error: {said}")


def test_the_installed_command_is_that_of_the_package(capsys):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ((module, function),) = re.findall(r'\[project.scripts]\nminigpt = "([\w.]+):(\w+)"\n', project)
    command = getattr(importlib.import_module(module), function)
    assert command is main
    with pytest.raises(SystemExit) as stop:
        command(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"minigpt {minigpt.__version__}\n")


def test_every_module_with_a_main_is_a_command():
    modules = {path.stem for path in ROOT.glob("minigpt/commands/*.py") if "\ndef main(" in path.read_text(encoding="utf-8")}
    assert modules == set(COMMANDS)
