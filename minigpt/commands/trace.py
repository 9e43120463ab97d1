"""The command `trace`: show what a model computes on a text."""

import argparse
import shutil
import sys

from ..inputs import require_tokenizer
from ..models.gpt import GPT
from ..study.export import csv_pieces, write_csv, write_npz
from ..study.report import report, with_targets
from ..study.tables import MAX_ROWS
from ..study.trace import Trace
from ..system.text import for_terminal, printable
from .common import add_model, command_parser, exit_status, write
from .unknown import refuse_unknown


def main(argv: list[str] | None = None) -> int:
    """Print what a model computes on a text, or write it into files.  Returns the exit status, 0 or 1."""
    parser = command_parser(
        "minigpt trace", "Show every activation and every gradient of a model on a text: a table of names, shapes and "
        "equations; with --names, the numbers of some of them, a head at a time, tokens along rows and columns; with --html, a "
        "page of pictures.",
        "python -m minigpt trace 'ROMEO:' --names h.0.attn.att",
        "python -m minigpt trace 'ROMEO:' --names 'h.*.attn.att' logits --grad --csv numbers.csv",
        "python -m minigpt trace 'ROMEO:' --html report.html",
        notes="The targets, from which the gradients come, are the next tokens of the text.",
    )
    parser.add_argument("text", metavar="TEXT", help="the text to read; special tokens in it are parsed")
    add_model(parser)
    parser.add_argument("--names", nargs="+", metavar="PATTERN",
                        help="show only these, with their numbers; * matches anything: 'h.*.attn.att' (default: all, in "
                        "a table without numbers)")
    parser.add_argument("--grad", action="store_true", help="with --names, --csv or --npz: the gradients too")
    parser.add_argument("--csv", metavar="FILE", help="write the numbers as CSV, a line for each, with its head, position and "
                        "token, in UTF-8, which Excel reads by its From Text/CSV; - is standard output (default: none)")
    parser.add_argument("--npz", metavar="FILE", help="write the arrays by name, for numpy.load; gradients are NAME.grad "
                        "(default: none)")
    parser.add_argument("--html", metavar="FILE", help="write an HTML page: surprise, attention, logit lens, gradients "
                        "(default: none)")
    parser.add_argument("--log", metavar="FILE", help="with --html: the log.csv of a training run, to show its loss curve "
                        "(default: none)")
    return exit_status(_run, parser, argv)


def _run(args: argparse.Namespace) -> int:
    if args.log is not None and args.html is None:
        raise ValueError("--log: no --html, expected both; the page shows the curve")
    has_numbers = any(option is not None for option in (args.names, args.csv, args.npz))
    if args.grad and not has_numbers:
        raise ValueError("--grad: no --names, --csv or --npz, expected one of them; name what to show the gradients of")
    model = GPT.from_pretrained(args.model)
    tokenizer = require_tokenizer(model, args.model)
    refuse_unknown(tokenizer, args.text, "text", args.model)
    ids = tokenizer.encode(args.text, allowed_special="all")
    inputs, targets = with_targets(model, ids)
    if args.html is not None:
        report(model, ids, args.html, log=args.log)
        _say_written(args.html, "it opens in any browser, offline")
    if has_numbers:
        _numbers(model.trace(inputs, targets, args.names or "*"), args)
    elif args.html is None:
        write(for_terminal(f"{model.trace(inputs, targets)}\n"))
    return 0


def _numbers(trace: Trace, args: argparse.Namespace) -> None:
    """Write the numbers of a trace into the files that are asked for, or else print them"""
    if args.csv == "-":
        for piece in csv_pieces(trace, args.grad):
            sys.stdout.write(piece)
    elif args.csv is not None:
        write_csv(trace, args.csv, args.grad)
        _say_written(args.csv, "a line for each number")
    if args.npz is not None:
        write_npz(trace, args.npz, args.grad)
        _say_written(args.npz, "numpy.load reads it")
    if args.csv is args.npz is None:
        _print(trace, args.grad)


def _print(trace: Trace, grad: bool) -> None:
    width, all_fit, between = shutil.get_terminal_size().columns, True, ""
    for step in trace.values():
        for is_grad in (False, True)[: 1 + grad]:
            text, is_whole = step.table(is_grad).fitted(width)
            write(for_terminal(f"{between}{text}\n"))
            all_fit, between = all_fit and is_whole, "\n"
    if not all_fit:
        print(f"… stands for what does not fit into {width} columns and {MAX_ROWS} rows; --csv FILE and --npz FILE write all, "
              "and COLUMNS=500 before the command makes room", file=sys.stderr)


def _say_written(file: str, what: str) -> None:
    print(f"wrote {printable(file)}; {what}", file=sys.stderr)
