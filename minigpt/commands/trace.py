"""The command line of trace."""

import argparse
import sys

from ..generation.streaming import tokenizer_of
from ..models.gpt import GPT
from ..study.report import next_tokens, report
from .common import add_model, exit_status, write


def main(argv=None) -> int:
    """Show what a model computes on a text, by name, or write it as a page. Returns the exit status, 0 or 1."""
    parser = argparse.ArgumentParser(
        prog="trace", description="Show every activation and every gradient of a model on a text: a table of names, shapes and "
        "equations, with --names the numbers of some, with --html a page of pictures.",
        epilog="The targets are the text's own next tokens. Example: trace 'To be' --names 'h.0.attn.*' loss",
    )
    parser.add_argument("text", metavar="TEXT", help="the text to read; special tokens in it count as such")
    add_model(parser)
    parser.add_argument("--names", nargs="+", metavar="PATTERN", help="show these in full; * is anything: 'h.*.attn.att'")
    parser.add_argument("--html", metavar="FILE", help="write a page instead: surprise, attention, logit lens, gradients")
    parser.add_argument("--log", metavar="FILE", help="with --html: the log.csv of a training run, for the curve of its loss")
    return exit_status(_run, parser, argv)


def _run(args):
    if args.log is not None and args.html is None:
        raise ValueError("--log: no --html, expected both; the curve is drawn in the page")
    model = GPT.from_pretrained(args.model)
    ids = tokenizer_of(model, args.model).encode(args.text, allowed_special="all")
    if args.html is not None:
        report(model, ids, args.html, log=args.log)
        print(f"{args.html} written; it opens in any browser, offline", file=sys.stderr)
    inputs, targets = next_tokens(model, ids)
    if args.names is not None:
        steps = model.trace(inputs, targets, args.names)
        write("\n\n".join(map(repr, steps.values())) + "\n")
    elif args.html is None:
        write(f"{model.trace(inputs, targets)}\n")
    return 0
