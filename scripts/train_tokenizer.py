"""Train a byte-level BPE tokenizer on a text file and save it as vocab.json and merges.txt."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from pydoc_data.topics import topics

from minigpt.commands.common import exit_status
from minigpt.system.text import printable
from minigpt.tokenization import Tokenizer


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python scripts/train_tokenizer.py --vocab-size 4096 --special "<|endoftext|>" --out tokenizer',
    )
    parser.add_argument("--data", metavar="FILE", help="UTF-8 text to learn from (default: Python's own help texts)")
    parser.add_argument(
        "--vocab-size", metavar="N", type=int, default=1024, help="bytes + merges + special tokens (default: 1024)"
    )
    parser.add_argument("--special", metavar="TEXT", action="append", default=[], help="a special token, repeatable")
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where to write the tokenizer; made if missing")
    return exit_status(train, parser, None, goes_on=lambda args: True)


def train(args) -> int:
    text = Path(args.data).read_bytes().decode("utf-8") if args.data else "\n".join(topics.values())
    print(f"read    {printable(args.data or 'pydoc_data.topics')}: {len(text):,} characters")
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
