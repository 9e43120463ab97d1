"""The command line of tokenize."""

import argparse
import sys

from ..tokenization import tokenizer as tokenizers
from ..weights.pretrained import find
from .common import add_model, exit_status, write


def main(argv=None) -> int:
    """Show the tokens of a text, one a line: id, then what it stands for. Returns the exit status, 0 or 1."""
    parser = argparse.ArgumentParser(prog="tokenize", description="Show the tokens of a text: each id and its bytes.")
    parser.add_argument("text", metavar="TEXT", help="the text to tokenize; special tokens in it count as such")
    add_model(parser)
    return exit_status(_run, parser, argv)


def _run(args):
    tokenizer = tokenizers.load(find(args.model))
    ids = tokenizer.encode(args.text, allowed_special="all")
    write("".join(f"{id:6}  {tokenizer.token_bytes(id).decode('utf-8', 'backslashreplace')!r}\n" for id in ids))
    print(f"{len(ids)} tokens, {len(args.text)} characters", file=sys.stderr)
    return 0
