"""What the command lines have in common: errors and exit status, output in UTF-8, the flag that names a model."""

import io
import sys

from ..system.files import LockedError
from ..training.checkpoint import CheckpointError


def exit_status(run, parser, argv):
    """run(args) -> its exit status; an error becomes a line on stderr and 1, Ctrl-C 130, a reader that has gone 141"""
    args = parser.parse_args(argv)
    write_utf8()
    try:
        return run(args)
    except BrokenPipeError:                         # the reader, such as head, has seen enough
        sys.stdout = None
        return 141
    except (ValueError, OSError, FloatingPointError, CheckpointError, LockedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:                       # a command that keeps what it has until then sees to it itself
        return 130


def write_utf8():
    """On Windows a pipe or a file would get the system's code page, in which most characters are missing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def add_model(parser):
    """The flag --model"""
    parser.add_argument("--model", default="shakespeare-char", metavar="FOLDER",
                        help="a folder written by training, or the name of a model (default shakespeare-char)")


def write(text):
    """Write a piece of text at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
