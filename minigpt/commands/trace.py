"""The command `trace`: show what a model computes on a text."""

import argparse
import sys

from ..inputs import require_tokenizer
from ..models.gpt import GPT
from ..study.report import next_tokens, report
from ..system.text import for_terminal, printable
from .common import add_model, exit_status, write


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Print what a model computes on a text, or write it as an HTML page.  Returns the exit status, 0 or 1."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Show every activation and every gradient of a model on a text: a table of names, shapes and "
        "equations; with --names, the values of some of them; with --html, a page of pictures.",
        epilog="The targets are the next tokens of the text. "
        "Example: python -m minigpt trace 'To be' --names 'h.0.attn.*' loss",
    )
    parser.add_argument("text", metavar="TEXT", help="the text to read; special tokens in it are parsed")
    add_model(parser)
    parser.add_argument("--names", nargs="+", metavar="PATTERN",
                        help="show only these, with their values; * matches anything: 'h.*.attn.att'")
    parser.add_argument("--html", metavar="FILE", help="write an HTML page instead: surprise, attention, logit lens, gradients")
    parser.add_argument("--log", metavar="FILE", help="with --html: the log.csv of a training run, to show its loss curve")
    return exit_status(_run, parser, argv)


def _run(args: argparse.Namespace) -> int:
    if args.log is not None and args.html is None:
        raise ValueError("--log: no --html, expected both; the page shows the curve")
    model = GPT.from_pretrained(args.model)
    ids = require_tokenizer(model, args.model).encode(args.text, allowed_special="all")
    if args.html is not None:
        report(model, ids, args.html, log=args.log)
        print(f"wrote {printable(args.html)}; it opens in any browser, offline", file=sys.stderr)
    inputs, targets = next_tokens(model, ids)
    if args.names is not None:
        steps = model.trace(inputs, targets, args.names)
        write(for_terminal("\n\n".join(map(repr, steps.values())) + "\n"))
    elif args.html is None:
        write(for_terminal(f"{model.trace(inputs, targets)}\n"))
    return 0
