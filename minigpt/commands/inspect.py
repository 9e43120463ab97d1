"""The command `inspect`: say what a model's folder or file is, without loading it, on one screen.

What there is to say is gathered in weights/inspection.py.
"""

import argparse

from ..weights.inspection import inspect
from .common import command_parser, exit_status


def main(argv: list[str] | None = None) -> int:
    """Print the report on a model.  Returns the exit status: 0 if GPT.from_pretrained loads it, else 1."""
    parser = command_parser(
        "minigpt inspect", "Say what a model is: format, writer, sizes, tokenizer, special ids, what is missing, what is "
        "passed over, and whether it loads. Only headers are read, and nothing is downloaded.",
        "python -m minigpt inspect shakespeare-char", "python -m minigpt inspect out/shakespeare-char",
        notes="Exit status: 0 it loads, 1 it does not.",
    )
    parser.add_argument("what", metavar="WHAT", help="a folder, a file of weights, or a model's name such as shakespeare-char")
    return exit_status(_run, parser, argv)


def _run(args: argparse.Namespace) -> int:
    report = inspect(args.what)
    print(report)
    return 0 if report.problem is None else 1
