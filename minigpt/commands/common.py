"""What all commands share: errors and exit status, output in UTF-8, the flag that names a model."""

import io
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from ..system.files import LockedError
from ..training.checkpoint import CheckpointError


def exit_status(run: Callable[[Namespace], int], parser: ArgumentParser, argv: list[str] | None) -> int:
    """Run a command -> its exit status: 1 after an error (one line on stderr), 130 after Ctrl-C, 141 after a closed pipe."""
    args = parser.parse_args(argv)
    write_utf8()
    try:
        return run(args)
    except BrokenPipeError:                         # the reading program, such as head, has stopped
        sys.stdout = None
        return 141
    except (ValueError, OSError, FloatingPointError, CheckpointError, LockedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:                       # a command with results to keep handles Ctrl-C itself
        return 130


def write_utf8() -> None:
    """Write UTF-8 to pipes and files on Windows too, where the default code page lacks most characters."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def add_model(parser: ArgumentParser) -> None:
    """Add the flag --model."""
    parser.add_argument("--model", default="shakespeare-char", metavar="FOLDER",
                        help="a folder written by training, or a model's name (default shakespeare-char)")


def write(text: str) -> None:
    """Write a piece of text and flush, so that it appears immediately."""
    sys.stdout.write(text)
    sys.stdout.flush()
