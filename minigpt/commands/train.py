"""The command `train`: turn flags into a model and a recipe, run the training loop, print a summary."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..config import GPTConfig
from ..models.gpt import GPT
from ..system.text import for_terminal, printable
from ..tokenization import CharTokenizer, Tokenizer
from ..training import checkpoint
from ..training.corpora import load_corpus
from ..training.log import loss_chart, read_log, save_loss_png
from ..training.optim import SCHEDULES
from ..training.recipe import PRESETS, Recipe
from ..training.trainer import Trainer
from .common import exit_status

RUNS = Path("out")                      # default folder of runs
DEFAULT_PRESET = "shakespeare-char"


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Train a GPT.  Returns the exit status: 0, 1 after an error, 130 or 143 when stopped by a signal."""
    return exit_status(_train, _parser(prog), argv, goes_on=lambda args: True)


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, argument_default=argparse.SUPPRESS, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train a GPT on a text, with gradients written by hand in NumPy, and sample from it.",
        epilog="Without flags: a character-level model of Tiny Shakespeare, in about three minutes on two cores.\n"
        "Without internet, it trains on the language reference that comes with Python. Ctrl-C saves, --resume continues.",
    )
    text = parser.add_argument_group("the text")
    text.add_argument("--data", metavar="FILE", help="a UTF-8 file, or the name shakespeare or python")
    text.add_argument("--tokenizer", choices=("char", "bpe"), help="characters (default) or byte-level BPE")
    text.add_argument("--vocab-size", type=int, metavar="N", help="tokens of the BPE vocabulary (default 512)")
    run = parser.add_argument_group("the run")
    run.add_argument("--preset", choices=tuple(PRESETS), help=f"model sizes and recipe; the flags below override single "
                     f"values (default {DEFAULT_PRESET})")
    run.add_argument("--out", metavar="FOLDER", help="folder of the run (default: a new one in out/)")
    run.add_argument("--resume", action="store_true", help="continue the run in --out (default: the latest in out/)")
    length = run.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="weight updates")
    length.add_argument("--minutes", type=float, metavar="M", help="training time; the schedule follows the clock")
    run.add_argument("--seed", type=int, metavar="N", help="seed of weights, batches and dropout (default 1337)")
    run.add_argument("--textbook", action="store_true", help="train with the textbook's layers, minigpt/nn/, instead of "
                     "their tuned twins: the same model, slower")
    run.add_argument("--threads", type=int, metavar="N", help="CPU cores to use (default: all)")
    run.add_argument("--eval-interval", type=int, metavar="N", help="steps between evaluations; each writes a checkpoint")
    run.add_argument("--sample-tokens", type=int, metavar="N", help="length of the samples during training, 0 for none")
    size = parser.add_argument_group("the model")
    size.add_argument("--layers", dest="n_layer", type=int, metavar="L", help="blocks")
    size.add_argument("--heads", dest="n_head", type=int, metavar="H", help="attention heads in each")
    size.add_argument("--channels", dest="n_embd", type=int, metavar="C", help="width of the residual stream")
    size.add_argument("--context", dest="n_positions", type=int, metavar="T", help="context length in tokens")
    size.add_argument("--dropout", type=float, metavar="P", help="dropout probability, at all three places")
    size.add_argument("--bias", action=argparse.BooleanOptionalAction, help="biases in linear layers and norms")
    learn = parser.add_argument_group("the optimization")
    learn.add_argument("--batch-size", type=int, metavar="B", help="sequences in a batch")
    learn.add_argument("--accumulate", type=int, metavar="N", help="batches per update")
    learn.add_argument("--order", choices=("crops", "windows"), help="random crops, or each window once per epoch")
    learn.add_argument("--optimizer", choices=("muon", "adamw"), help="Muon for the blocks' matrices and AdamW for the "
                       "rest, or AdamW for all")
    learn.add_argument("--lr", type=float, metavar="R", help="peak learning rate of AdamW")
    learn.add_argument("--muon-lr", type=float, metavar="R", help="peak learning rate of Muon")
    learn.add_argument("--schedule", choices=SCHEDULES, help="how the learning rates fall after the warm-up")
    learn.add_argument("--warmup-steps", type=int, metavar="N", help="steps over which the learning rates rise")
    learn.add_argument("--weight-decay", type=float, metavar="D", help="weight decay of matrices")
    learn.add_argument("--clip", type=float, metavar="G", help="clip the gradient norm of the parameters that AdamW updates")
    return parser


def _train(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    given = vars(args)                              # only the flags on the command line
    resume, out, threads = given.pop("resume", False), given.pop("out", None), given.pop("threads", None)
    if "dropout" in given:
        given.update(dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), given.pop("dropout")))
    trainer = _resumed(given, out, threads) if resume else _new(given, out, threads)
    layers = f"{trainer.model.pool.threads} threads" if trainer.model.fast else "the textbook's layers"
    print(f"{trainer.model.config.n_params:,} parameters, {layers}, ready after {time.perf_counter() - start:.1f} s; "
          f"the run is saved in {printable(trainer.folder)}{os.sep}", flush=True)
    status = trainer.run()
    _summarize(trainer)
    return status


def _new(given: dict[str, Any], out: str | None, threads: int | None) -> Trainer:
    """Start a run in a new folder"""
    preset = given.pop("preset", DEFAULT_PRESET)
    source, kind, vocab_size = given.pop("data", None), given.pop("tokenizer", "char"), given.pop("vocab_size", 512)
    if {"steps", "minutes"} & given.keys():
        given = {"steps": None, "minutes": None, **given}
    model_fields, recipe_fields = PRESETS[preset]
    recipe = Recipe(**{**recipe_fields, **_fields_of(Recipe, given)})
    model_fields = {**model_fields, **_fields_of(GPTConfig, given)}
    GPTConfig(**model_fields)                           # check the sizes before any text is read
    folder = Path(out) if out else _free_folder(preset)
    corpus = load_corpus(source)
    print(for_terminal(corpus.note))
    tokenizer = (
        CharTokenizer.train(corpus.text) if kind == "char"
        else Tokenizer.train(corpus.text, vocab_size, progress=sys.stderr.isatty())
    )
    config = GPTConfig(vocab_size=tokenizer.vocab_size, **model_fields)
    name = corpus.name if corpus.name in ("shakespeare", "python") else os.path.abspath(corpus.name)
    model = GPT(config, recipe.seed, threads=threads, fast=not given.get("textbook", False))
    return Trainer(model, tokenizer, tokenizer.encode_array(corpus.text), recipe, folder, name)


def _resumed(given: dict[str, Any], out: str | os.PathLike[str] | None, threads: int | None) -> Trainer:
    """Continue the run of a folder, by default of the latest"""
    for name in ("preset", "data", "tokenizer", "vocab_size", "textbook"):
        if name in given:
            raise ValueError(f"--{name.replace('_', '-')}: cannot change with --resume; leave it out")
    if out is None:
        runs = sorted((path.stat().st_mtime, path.parent) for path in RUNS.glob("*/log.csv"))
        if not runs:
            raise checkpoint.CheckpointError(f"{RUNS}: no run, expected one to resume; name its folder with --out")
        out = runs[-1][1]
    trainer = Trainer.resume(out, threads=threads, **given)
    print(f"continuing after step {trainer.step} of {printable(out)}, {trainer.seconds:.0f} s into the run")
    return trainer


def _summarize(trainer: Trainer) -> None:
    """Print the loss curve, the best loss, the files written and how to sample from the model"""
    folder, best = trainer.folder, trainer.best
    rows = read_log(folder / "log.csv")
    written = "checkpoints and log.csv"
    if rows:
        print(loss_chart(rows))
        text = Path(trainer.data_source).name
        title = f"{text}: validation loss {best['val_loss']:.3f}" if best else text
        if save_loss_png(folder / "loss.png", rows, title):
            written += " and loss.png"
    if best is None:
        print(f"wrote {written} in {printable(folder)}{os.sep}")
        return
    print(f"best validation loss {best['val_loss']:.4f} nats per token, at step {best['step']}, {best['seconds']:.0f} s after "
          f"the start")
    print(f"wrote that model, {written} in {printable(folder)}{os.sep}")
    print("Sample from it:")
    print(f'  {_python()} -m minigpt generate --model {printable(folder)} "ROMEO:"')


def _python() -> str:
    """How to call this Python from here"""
    try:
        return os.path.relpath(sys.executable)
    except ValueError:                              # on another drive of Windows, or no path at all
        return sys.executable or "python"


def _fields_of(kind: type[Recipe] | type[GPTConfig], given: dict[str, Any]) -> dict[str, Any]:
    """The given values whose names are fields of this dataclass"""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in given.items() if name in names}


def _free_folder(name: str) -> Path:
    """out/name, or if that holds a run, out/name-2, out/name-3, …"""
    number, folder = 1, RUNS / name
    while checkpoint.exists(folder):
        number += 1
        folder = RUNS / f"{name}-{number}"
    return folder
