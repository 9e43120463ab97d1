"""Race minigpt against PyTorch, transformers, tiktoken and tokenizers on this machine, side by side, and print the ratios.

Each side runs in a fresh process of its own; they work in turn on the same inputs, and a ratio is the median over the
rounds.  Needs the bench extra: pip install ".[bench]"; without a peer its rows say so and ours still print.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from bench import generation, machine, report, starting, tokenizing, training

PARTS = ("train", "decode", "prefill", "tokenize", "train-tokenizer", "load", "import")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART", nargs="+", choices=PARTS, default=PARTS, help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under two minutes instead of about ten")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured to this file")
    parser.add_argument(
        "--chart", metavar="FILE", default="benchmark.png", help="the bar chart (default: benchmark.png; needs matplotlib)"
    )
    parser.add_argument(
        "--data", metavar="FILE", default="python",
        help="text to train a vocabulary on (default: the language reference that every Python carries)",
    )
    args = parser.parse_args()
    start = time.perf_counter()
    facts = machine.describe()
    for name, value in facts.items():
        print(f"{name:14} {value or 'not installed'}")
    rows: list[report.Row] = []
    print(f"\n{report.HEADER}")
    with tempfile.TemporaryDirectory() as folder, tqdm(total=len(args.only), unit="part", disable=None) as bar:
        if {"decode", "prefill", "load"} & set(args.only):
            generation.save_gpt2(folder)
        measure = {
            "train": lambda: training.rows(args.quick),
            "decode": lambda: generation.decode_rows(folder, args.quick),
            "prefill": lambda: generation.prefill_rows(folder, args.quick),
            "tokenize": lambda: tokenizing.encode_rows(args.quick),
            "train-tokenizer": lambda: tokenizing.train_rows(args.data, args.quick),
            "load": lambda: starting.load_rows(folder, args.quick),
            "import": lambda: starting.import_rows(args.quick),
        }
        for part in (part for part in PARTS if part in args.only):
            bar.set_postfix_str(part)
            for row in measure[part]():
                rows.append(row)
                bar.write(str(row))
            if part == "train":
                for line in training.cost_table(args.quick):
                    bar.write(line)
            bar.update()
    print(f"\n{time.perf_counter() - start:.0f} s")
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": facts, "rows": [asdict(row) for row in rows]}, indent=2) + "\n",
                                   encoding="utf-8")
        print(f"wrote {args.json}")
    title = f"minigpt and its peers, {facts['cores']} cores of {facts['processor']}"
    if report.save_chart(Path(args.chart), rows, title):
        print(f"wrote {args.chart}")


if __name__ == "__main__":
    main()
