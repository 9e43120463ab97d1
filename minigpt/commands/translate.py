"""The command `translate`: without a text it trains a Transformer on numbers in words, with texts it translates them."""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path

import numpy as np

from ..system.text import printable
from ..training import numerals
from ..training.alignment import alignment_chart, save_alignment_png
from ..training.distributed import Alone
from ..training.translation import Translator, exact_match, train
from .common import add_raw, command_parser, exit_status, shown
from .processes import add_mpi, on_processes, threads_of

FOLDER = Path("out", "translation")
EXAMPLE = "three hundred forty-two thousand five hundred seventeen"
EXAMPLES_SHOWN = 5      # test numbers printed after training


def main(argv: list[str] | None = None) -> int:
    """Train or translate.  Returns the exit status: 0, 1 after an error, 130 after Ctrl-C."""
    return exit_status(_run, _parser(), argv, goes_on=lambda args: not args.texts)


def _run(args: argparse.Namespace) -> int:
    if not args.texts:
        return on_processes(partial(_train_on, args), args.mpi, args.mpi_timeout)
    _translate(args)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "minigpt translate", "Translate numbers from English words to Chinese numerals with the Transformer of 2017.",
        "python -m minigpt translate", f'python -m minigpt translate "{EXAMPLE}"',
        notes="Without TEXT, a model is trained for about a minute, tested on numbers not seen in training, and saved; with "
        "it, that model translates.",
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help='a number up to 999,999 in words, such as "forty-two" '
                        "(default: train)")
    parser.add_argument("--model", type=Path, default=FOLDER, metavar="FOLDER", help="the model's folder")
    parser.add_argument("--beams", type=int, default=1, metavar="K", help="hypotheses of the beam search, 1 is greedy")
    parser.add_argument("--attention", action="store_true", help="show which words each character attends to")
    add_raw(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="CPU cores to use (default: all)")
    training = parser.add_argument_group("training, without TEXT")
    training.add_argument("--steps", type=int, default=400, metavar="N", help="weight updates")
    training.add_argument("--pairs", type=int, default=10_000, metavar="N", help="numbers to train on")
    training.add_argument("--tested", type=int, default=2_000, metavar="N", help="other numbers to test on")
    training.add_argument("--seed", type=int, default=0, metavar="N", help="seed of numbers, weights and batches")
    add_mpi(training)
    return parser


def _train_on(args: argparse.Namespace, group: Alone) -> int:
    config = args.model / "config.json"
    if config.exists():
        raise ValueError(f"{printable(args.model)}: holds a model, expected a new folder; give a TEXT to translate, or another "
                         f"--model")
    for name, least in (("steps", 1), ("pairs", 101), ("tested", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise ValueError(f"--{name}: {getattr(args, name)}, expected at least {least}")
    pairs, unseen = numerals.draw(args.pairs, args.tested, np.random.default_rng(args.seed))
    translator = Translator.new(pairs, args.seed, threads=threads_of(group, args.threads))
    model = translator.model
    threads = f"{model.pool.threads} threads" if group.size == 1 else f"{group.size} processes × {model.pool.threads} threads"
    print(f"{len(pairs):,} numbers to train on, {model.flat_params.size:,} parameters, {threads}", flush=True)
    show = shown(args)
    start = time.perf_counter()
    losses = train(translator, pairs, steps=args.steps, seed=args.seed, progress=True, group=group)
    print(f"{args.steps} steps in {time.perf_counter() - start:.1f} s, loss {losses[0]:.3f} to {losses[-1]:.4f}", flush=True)
    score, wrong = exact_match(translator, unseen, beams=args.beams, group=group)
    if not group.leads:
        return 0
    print(f"exact match on {len(unseen):,} numbers not seen in training: {score:.2%}\n")
    for text, right, given in wrong[:EXAMPLES_SHOWN]:
        print(show(f"  {text}: {given}, expected {right}"))
    for text, right in unseen[group.rows(len(unseen))][:EXAMPLES_SHOWN]:       # those that this process has tried
        if (text, right) not in [row[:2] for row in wrong]:
            print(f"  {text}: {right}")
    translator.save(args.model)
    alignment = translator.alignment(EXAMPLE, translator([EXAMPLE], beams=args.beams)[0])
    picture = args.model / "alignment.png"
    drawn = save_alignment_png(picture, alignment.source, alignment.target, alignment.att, numerals.MEANING)
    print(f"\nThe words that each character attends to{f' (also in {printable(picture)})' if drawn else ''}:\n")
    print(alignment_chart(alignment.source, alignment.target, alignment.att))
    print(f"\nsaved the model in {printable(args.model)}{os.sep}")
    return 0


def _translate(args: argparse.Namespace) -> None:
    if not (args.model / "config.json").exists():
        raise FileNotFoundError(f"{printable(args.model)}: no model, expected one; train it with: python -m minigpt translate")
    translator, show = Translator.load(args.model, threads=args.threads), shown(args)
    for text, translation in zip(args.texts, translator(args.texts, beams=args.beams), strict=True):
        print(show(translation))
        if args.attention:
            alignment = translator.alignment(text, translation)
            print("\n" + show(alignment_chart(alignment.source, alignment.target, alignment.att)) + "\n")
