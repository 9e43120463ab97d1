"""The command `tokenize`: show the tokens of a text, and how they come about."""

import argparse
import sys

from ..system.text import counted, for_terminal
from ..tokenization import CharTokenizer
from ..tokenization.explain import shown_tokens
from ..weights.pretrained import find_tokenizer
from .common import add_model, command_parser, exit_status, write
from .unknown import refuse_unknown


def main(argv: list[str] | None = None) -> int:
    """Print the tokens of a text, one per line: id and text.  Returns the exit status, 0 or 1."""
    parser = command_parser(
        "minigpt tokenize", "Show the tokens of a text, one per line: id and text. Where several tokens share a character, "
        "each line says which of them it is, and its bytes: 今 1/2 [e4 bb]. Only the model's tokenizer is read; GPT-2's is "
        "bundled.",
        "python -m minigpt tokenize --model gpt2 '今天天气很好'", "python -m minigpt tokenize --model gpt2 ' lowest' --merges",
    )
    parser.add_argument("text", metavar="TEXT", help="the text to tokenize; special tokens in it are parsed")
    add_model(parser)
    parser.add_argument("--merges", action="store_true", help="show instead how each piece of the text becomes its tokens: the "
                        "learned merges one by one, or the longest pieces that WordPiece cuts off")
    return exit_status(_run, parser, argv)


def _run(args: argparse.Namespace) -> int:
    tokenizer = find_tokenizer(args.model)
    refuse_unknown(tokenizer, args.text, "text", args.model)
    ids = tokenizer.encode(args.text, allowed_special="all")
    if args.merges:
        write(for_terminal(f"{tokenizer.explain(args.text, allowed_special='all')}\n"))
        if isinstance(tokenizer, CharTokenizer):
            print("no merges: each character is a token", file=sys.stderr)
    else:
        write("".join(f"{id:6}  {text}\n" for id, text in zip(ids, shown_tokens(tokenizer, ids), strict=True)))
    print(f"{counted(len(ids), 'token')}, {counted(len(args.text), 'character')}", file=sys.stderr)
    return 0
