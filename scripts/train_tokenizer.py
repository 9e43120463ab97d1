"""Train a byte-level BPE tokenizer on a text file and save it as vocab.json and merges.txt."""

from __future__ import annotations

import sys
import time
from pydoc_data.topics import topics

from minigpt.commands.common import add_keep_bytes, command_parser, exit_status
from minigpt.system.text import printable
from minigpt.system.text_files import read_text_file
from minigpt.tokenization import Tokenizer
from minigpt.tokenization.sizing import RULE


def main() -> int:
    parser = command_parser(
        "train_tokenizer.py", __doc__,
        'python scripts/train_tokenizer.py --vocab-size 4096 --special "<|endoftext|>" --out tokenizer',
    )
    parser.add_argument("--data", metavar="FILE", help="UTF-8 text to learn from (default: Python's own help texts)")
    parser.add_argument(
        "--vocab-size", metavar="N", type=int, help=f"bytes + merges + special tokens (default: {RULE})"
    )
    add_keep_bytes(parser)
    parser.add_argument("--special", metavar="TEXT", action="append", default=[],
                        help="a special token, repeatable (default: none)")
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where to write the tokenizer; made if missing")
    return exit_status(train, parser, None, goes_on=lambda args: True)


def train(args) -> int:
    text, changes = read_text_file(args.data, args.keep_bytes) if args.data else ("\n".join(topics.values()), "")
    print(f"read    {printable(args.data or 'pydoc_data.topics')}: {len(text):,} characters{changes and '. '}{changes}")
    start = time.perf_counter()
    tokenizer = Tokenizer.train(text, args.vocab_size, args.special, progress=sys.stderr.isatty())
    seconds = time.perf_counter() - start
    tokenizer.save(args.out)
    print(f"trained {tokenizer} in {seconds:.2f} s")
    print(f"wrote   {printable(args.out)}: vocab.json, merges.txt, added_tokens.json, tokenizer.json, tokenizer_config.json")
    sample = text[:200]
    ids = tokenizer.encode(sample, disallowed_special=())
    print(f"example {' | '.join(repr(tokenizer.decode([id])) for id in ids[:12])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
