"""The command `tokenize`: show the tokens of a text."""

import argparse
import sys

from ..weights.pretrained import find
from ..weights.sources import tokenizer_at
from .common import add_model, exit_status, write


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Print the tokens of a text, one per line: id and text.  Returns the exit status, 0 or 1."""
    parser = argparse.ArgumentParser(prog=prog, description="Show the tokens of a text, one per line: id and text.")
    parser.add_argument("text", metavar="TEXT", help="the text to tokenize; special tokens in it are parsed")
    add_model(parser)
    return exit_status(_run, parser, argv)


def _run(args: argparse.Namespace) -> int:
    tokenizer = tokenizer_at(find(args.model))
    ids = tokenizer.encode(args.text, allowed_special="all")
    write("".join(f"{id:6}  {tokenizer.token_bytes(id).decode('utf-8', 'backslashreplace')!r}\n" for id in ids))
    print(f"{len(ids)} tokens, {len(args.text)} characters", file=sys.stderr)
    return 0
