"""What all commands share: their --help, errors and exit status, their output whatever becomes of it, the flags of several."""

import io
import os
import re
import sys
import textwrap
import warnings
from argparse import (
    SUPPRESS,
    Action,
    ArgumentParser,
    BooleanOptionalAction,
    Namespace,
    RawDescriptionHelpFormatter,
    _ActionsContainer,
)
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from difflib import get_close_matches
from functools import partial
from typing import Any, NoReturn

from ..system.files import LockedError
from ..system.streams import Tolerant
from ..system.text import for_terminal
from ..training.checkpoint import CheckpointError
from ..training.distributed import DistributedError, starts_first


def command_parser(prog: str, description: str, *examples: str, notes: str = "", defaults: Mapping[str, object] | None = None,
                   **options: Any) -> ArgumentParser:
    """A parser whose --help says everything: the command's name, each flag's default, examples that work.

        command_parser("minigpt score", "Measure …", 'python -m minigpt score "My gracious " --answers lord lady')

    prog: the same name however the command is started.  notes: what stands above the examples; as in the description, lines
    that begin with a space stay as they are, others are filled.  defaults: {dest: value} for flags whose default the command
    itself fills in.  Where no value says it, a flag's help does: "(default: all)".
    """
    heading = "example:" if len(examples) == 1 else "examples:"
    epilog = "\n".join([*([notes, ""] if notes else []), heading, *(f"  {example}" for example in examples)])
    return _Parser(prog=prog, description=description, epilog=epilog,
                   formatter_class=partial(_HelpFormatter, defaults=defaults or {}), **options)


class _HelpFormatter(RawDescriptionHelpFormatter):
    """Adds "(default: …)" to the help of each flag that has a default and does not speak of it."""

    def __init__(self, prog: str, defaults: Mapping[str, object], **options: Any) -> None:
        super().__init__(prog, **options)
        self._defaults = defaults

    def _get_help_string(self, action: Action) -> str:
        text, default = action.help or "", self._defaults.get(action.dest, action.default)
        if isinstance(action, BooleanOptionalAction) and isinstance(default, bool):
            default = action.option_strings[0 if default else -1]
        if "(default" in text or default in (None, SUPPRESS, []) or isinstance(default, bool):
            return text
        shown = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
        return f"{text} (default: {shown.replace('%', '%%')})"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = re.sub(r"(?<=\S)\n(?=\S)", " ", text).splitlines()
        return "\n".join(line if line.startswith(" ") else textwrap.fill(line, width) for line in lines)


class _Parser(ArgumentParser):
    """Names the nearest flag to one that it does not know; of several processes with one mistake only the first does."""

    def error(self, message: str) -> NoReturn:
        if not starts_first():
            self.exit(2)
        unknown = re.match(r"unrecognized arguments: .*?(--[\w-]+)", message)
        flags = ["--help", *re.findall(r"--[\w-]+", self.format_usage())]
        near = get_close_matches(unknown[1], flags, 1) if unknown else []
        super().error(f"{message}; did you mean {near[0]}?" if near else message)


class OutputError(Exception):
    """Standard output does not take what a command prints.  No OSError: it has nothing to do with the command's files."""


class _Output(Tolerant):
    """Standard output of a command whose result is what it prints: the command ends where that cannot be written."""

    def write(self, text: str) -> int:
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        self._try("flush")

    def _try(self, action: str, *arguments: str) -> None:
        if self._stream is None:
            raise OutputError("standard output: closed, expected a terminal, a file or a pipe; open one")
        try:
            getattr(self._stream, action)(*arguments)
        except (OSError, ValueError) as error:          # ValueError: it is closed
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"standard output: {reason}, expected to write to it; give another file or pipe") from error


def exit_status(
    run: Callable[[Namespace], int], parser: ArgumentParser, argv: list[str] | None,
    goes_on: Callable[[Namespace], bool] = lambda args: False,
) -> int:
    """Run a command -> its exit status: 1 after an error (one line on stderr), 130 after Ctrl-C, 141 after a closed pipe.

    goes_on: whether the command works on without a standard output, since its result is what it writes into files.
    What stderr does not take is always dropped.
    """
    write_utf8()
    stdout = sys.stdout
    try:
        with redirect_stdout(_Output(stdout)) as output, redirect_stderr(Tolerant(sys.stderr)):
            try:
                try:
                    args = parser.parse_args(argv)
                    _refuse_empty_names(parser, args)
                except SystemExit:                      # after --help, which has printed something, and after a mistake
                    output.flush()
                    raise
                with redirect_stdout(Tolerant(stdout) if goes_on(args) else output) as stream, warnings.catch_warnings():
                    warnings.showwarning = _warn        # without the line of minigpt's code that warns
                    status = run(args)
                    stream.flush()
                return status
            except OutputError as error:                # of a closed pipe nothing is said: its reader, such as head, has enough
                return 141 if isinstance(error.__cause__, BrokenPipeError) else failed(error)
            except (ValueError, OSError, FloatingPointError, CheckpointError, LockedError, DistributedError) as error:
                return failed(error)
            except KeyboardInterrupt:                   # a command with results to keep handles Ctrl-C itself
                return 130
    finally:
        for name in ("stdout", "stderr"):
            _let_go(name)


def _refuse_empty_names(parser: ArgumentParser, args: Namespace) -> None:
    """End the program where a file's or folder's name is empty: it would mean the folder here."""
    for action in parser._actions:
        given = getattr(args, action.dest, None)
        if action.metavar in ("FILE", "FOLDER", "PRESET", "WHAT") and "" in (given if isinstance(given, list) else [given]):
            parser.error(f"argument {(action.option_strings or [action.metavar])[0]}: empty, expected a name; give one")


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {for_terminal(str(message))}", file=sys.stderr)


def failed(error: BaseException, status: int = 1) -> int:
    """Say what went wrong and return the status."""
    print(f"error: {for_terminal(str(error))}", file=sys.stderr)
    return status


def _let_go(name: str) -> None:
    """Take away a stream that cannot be flushed: Python would try again at its exit, complain, and end with status 120."""
    stream = getattr(sys, name)
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        setattr(sys, name, None)


def write_utf8() -> None:
    """Write UTF-8 to pipes and files on Windows too, where the default code page lacks most characters.

    A terminal keeps its encoding, and so does whoever chose one; the characters that it lacks appear as escapes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        chosen = sys.stdout.isatty() or "PYTHONIOENCODING" in os.environ
        sys.stdout.reconfigure(encoding=None if chosen else "utf-8", errors="backslashreplace")


def add_model(parser: ArgumentParser) -> None:
    """Add the flag --model."""
    parser.add_argument("--model", default="shakespeare-char", metavar="FOLDER",
                        help="a folder written by training, or a model's name")


def add_raw(parser: ArgumentParser) -> None:
    """Add the flag --raw."""
    parser.add_argument("--raw", action="store_true", help="write control characters of the model's text as they are; without "
                        "it they are shown as escapes such as \\x1b, since a terminal obeys them")


def add_keep_bytes(parser: _ActionsContainer) -> None:
    """Add the flag --keep-bytes."""
    parser.add_argument("--keep-bytes", action="store_true", help="read a file's byte order mark and line ends, \\r\\n or "
                        "\\r, as they are; without it the mark is left out and every line end is \\n")


def shown(args: Namespace) -> Callable[[str], str]:
    """How --raw wants a model's text written."""
    return str if args.raw else for_terminal


def write(text: str) -> None:
    """Write a piece of text and flush, so that it appears immediately."""
    sys.stdout.write(text)
    sys.stdout.flush()
