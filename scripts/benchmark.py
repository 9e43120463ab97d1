"""Race minigpt against what people would pick instead on this machine, side by side, and print the ratios.

Each side runs in a fresh process of its own; they work in turn on the same inputs, and a ratio is the median over the
rounds.  Needs the bench extra: pip install ".[bench,peers]"; without a peer its rows say so and ours still print.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from bench import gpt2, importing, looking, machine, report, scoring, tokenizing, training, tuning
from minigpt.commands.common import command_parser, exit_status
from minigpt.system.text import printable

PARTS = ("train", "decode", "prefill", "load", "trace", "attention", "finetune", "score", "tokenize", "train-tokenizer",
         "import")      # in this order


def measurements(parts: Collection[str], quick: bool, data: str) -> Iterator[tuple[str, report.Row | str]]:
    """Measure one part after the other -> (part, row or line of a table)."""
    if "train" in parts:
        yield from (("train", row) for row in training.rows(quick))
        yield from (("train", line) for line in training.cost_table(quick))
    if pretrained := [part for part in gpt2.PARTS if part in parts]:
        yield from ((pretrained[-1], row) for row in gpt2.rows(pretrained, quick))
    for part, rows in (("trace", looking.trace_rows), ("attention", looking.attention_rows), ("finetune", tuning.rows),
                       ("score", scoring.rows)):
        if part in parts:
            yield from ((part, row) for row in rows(quick))
    if "tokenize" in parts:
        yield from (("tokenize", row) for row in tokenizing.encode_rows(data))
    if "train-tokenizer" in parts:
        yield from (("train-tokenizer", row) for row in tokenizing.train_rows(data, quick))
    if "import" in parts:
        yield from (("import", row) for row in importing.rows(quick))


def main() -> int:
    parser = command_parser("benchmark.py", __doc__, "python scripts/benchmark.py --only train decode --quick")
    parser.add_argument("--only", metavar="PART", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about two minutes instead of ten")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured to this file (default: none)")
    parser.add_argument(
        "--chart", metavar="FILE", default="benchmark.png", help="the bar chart; needs matplotlib"
    )
    parser.add_argument(
        "--data", metavar="FILE", default="python",
        help="English to encode and to train a vocabulary on (default: python, the language reference that comes with it)",
    )
    return exit_status(race, parser, None)


def race(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    facts = machine.describe()
    for name, value in facts.items():
        print(f"{name:14} {value or 'not installed'}")
    print(f"\n{report.HEADER}")
    rows: list[report.Row] = []
    with tqdm(total=len(PARTS), unit="part", disable=None) as bar:
        for part, item in measurements(args.only, args.quick, args.data):
            bar.update(PARTS.index(part) - bar.n)
            bar.write(str(item))
            if isinstance(item, report.Row):
                rows.append(item)
    print(f"\n{time.perf_counter() - start:.0f} s")
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": facts, "rows": [asdict(row) for row in rows]}, indent=2) + "\n",
                                   encoding="utf-8")
        print(f"wrote {printable(args.json)}")
    title = f"minigpt and its peers, {facts['cores']} cores of {facts['processor']}"
    if report.save_chart(Path(args.chart), rows, title):
        print(f"wrote {printable(args.chart)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
