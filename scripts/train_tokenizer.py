"""Train a byte-level BPE tokenizer on text files of any size and save it as vocab.json and merges.txt."""

from __future__ import annotations

import argparse
import sys
import time
from pydoc_data.topics import topics

from minigpt.commands.common import add_keep_bytes, command_parser, exit_status
from minigpt.system.text import for_terminal, printable
from minigpt.tokenization.sizing import RULE
from minigpt.training.corpora import Corpus
from minigpt.training.texts import ShortText, open_files


def main() -> int:
    parser = command_parser(
        "train_tokenizer.py", __doc__,
        'python scripts/train_tokenizer.py --vocab-size 4096 --special "<|endoftext|>" --out tokenizer',
    )
    parser.add_argument("--data", metavar="FILE", nargs="+",
                        help='UTF-8 texts to learn from, or patterns such as "books/*.txt" (default: Python\'s own help texts)')
    parser.add_argument(
        "--vocab-size", metavar="N", type=int, help=f"bytes + merges + special tokens (default: {RULE})"
    )
    add_keep_bytes(parser)
    parser.add_argument("--special", metavar="TEXT", action="append", default=[],
                        help="a special token, repeatable (default: none; with several files <|endoftext|>)")
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where to write the tokenizer; made if missing")
    return exit_status(train, parser, None, goes_on=lambda args: True)


def train(args: argparse.Namespace) -> int:
    progress = sys.stderr.isatty()
    if args.data:
        text, note = open_files(args.data, args.keep_bytes, progress)
    else:
        corpus = Corpus("\n".join(topics.values()), "python", "Python's help texts.")
        text = ShortText([corpus], corpus.name, progress)
        note = f"{corpus.note.removesuffix('.')}, {len(corpus.text):,} characters."
    print(f"read    {for_terminal(note)}")
    start = time.perf_counter()
    tokenizer = text.bpe(args.vocab_size, args.special)
    seconds = time.perf_counter() - start
    tokenizer.save(args.out)
    if text.changes:
        print(f"        {for_terminal(text.changes)}")
    print(f"trained {tokenizer} in {seconds:.2f} s")
    print(f"wrote   {printable(args.out)}: vocab.json, merges.txt, added_tokens.json, tokenizer.json, tokenizer_config.json")
    ids = tokenizer.encode(text.beginning(200), disallowed_special=())
    print(f"example {' | '.join(repr(tokenizer.decode([id])) for id in ids[:12])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
