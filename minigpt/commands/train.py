"""The command `train`: turn flags into a model and a recipe, run the training loop, print a summary."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config import ConfigError, GPTConfig
from ..models.gpt import GPT
from ..nn.activations import ACTIVATIONS
from ..system.shell import python, quoted
from ..system.text import for_terminal, printable
from ..tokenization import CharTokenizer
from ..tokenization.sizing import RULE
from ..training import checkpoint
from ..training.batches import ORDERS, Batches
from ..training.distributed import Alone
from ..training.documents import paths_of, shared_name, shown_source, source_of_paths
from ..training.log import loss_chart, read_log, save_loss_png
from ..training.optim import OPTIMIZERS, SCHEDULES
from ..training.recipe import PRESETS, Recipe
from ..training.texts import open_text
from ..training.trainer import EVALUATIONS, Trainer
from .common import add_keep_bytes, command_parser, exit_status
from .processes import add_mpi, on_processes, threads_of
from .runs import RUNS, free_folder, name_of_text, newest, sampling_command

DEFAULT_PRESET = "shakespeare-char"


def main(argv: list[str] | None = None) -> int:
    """Train a GPT.  Returns the exit status: 0, 1 after an error, 130 or 143 when stopped by a signal."""
    return exit_status(_train, _parser(), argv, goes_on=lambda args: True)


def _parser() -> argparse.ArgumentParser:
    sizes, recipe = PRESETS[DEFAULT_PRESET]
    parser = command_parser(
        "minigpt train", "Train a GPT on a text, with gradients written by hand in NumPy, and sample from it.",
        "python -m minigpt train --data my.txt --minutes 10", "python -m minigpt train --resume --steps 4000",
        notes="Without flags: a character-level model of Tiny Shakespeare, in about three minutes on two cores.\n"
        "Without internet, it trains on the language reference that comes with Python. Ctrl-C saves, --resume continues.\n"
        f"Defaults of sizes and recipe are those of {DEFAULT_PRESET}; another --preset has its own.",
        defaults={"preset": DEFAULT_PRESET, "dropout": 0.0, **asdict(GPTConfig(**sizes)), **asdict(Recipe(**recipe))},
        argument_default=argparse.SUPPRESS,
    )
    text = parser.add_argument_group("the text")
    text.add_argument("--data", metavar="FILE", nargs="+", help="UTF-8 files of any size, patterns such as "
                      "'books/*.txt', or the name shakespeare or python (default: shakespeare)")
    text.add_argument("--tokenizer", choices=("char", "bpe"), help="characters or byte-level BPE (default: char)")
    add_keep_bytes(text)
    text.add_argument("--vocab-size", type=int, metavar="N", help=f"tokens of the BPE vocabulary (default: {RULE})")
    run = parser.add_argument_group("the run")
    run.add_argument("--preset", choices=tuple(PRESETS), help="model sizes and recipe; the flags below override single values")
    run.add_argument("--out", metavar="FOLDER", help="folder of the run (default: a new one in out/, named after the text)")
    run.add_argument("--resume", action="store_true", help="continue the run in --out (default: the latest in out/)")
    length = run.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="weight updates")
    length.add_argument("--minutes", type=float, metavar="M", help="time for training; evaluations and samples come on "
                        "top, and the schedule follows it (default: --steps)")
    run.add_argument("--seed", type=int, metavar="N", help="seed of weights, batches and dropout")
    run.add_argument("--textbook", action="store_true", help="train with the textbook's layers, minigpt/nn/, instead of "
                     "their tuned twins: the same model, slower")
    add_mpi(run)
    run.add_argument("--lab", action="store_true", help="open a page with the curves and samples as they come; it stays open "
                     "until Ctrl-C")
    run.add_argument("--threads", type=int, metavar="N", help="CPU cores to use (default: all)")
    run.add_argument("--eval-interval", type=int, metavar="N", help="steps between evaluations; each writes a checkpoint "
                     "(default: an eighth of the run, of --steps or of --minutes)")
    run.add_argument("--sample-tokens", type=int, metavar="N", help="length of the samples during training, 0 for none")
    size = parser.add_argument_group("the model")
    size.add_argument("--layers", dest="n_layer", type=int, metavar="L", help="blocks")
    size.add_argument("--heads", dest="n_head", type=int, metavar="H", help="attention heads in each")
    size.add_argument("--channels", dest="n_embd", type=int, metavar="C", help="width of the residual stream")
    size.add_argument("--context", dest="n_positions", type=int, metavar="T", help="context length in tokens")
    size.add_argument("--activation", dest="activation_function", choices=tuple(ACTIVATIONS), help="the MLP's function")
    size.add_argument("--dropout", type=float, metavar="P", help="dropout probability, at all three places")
    size.add_argument("--bias", action=argparse.BooleanOptionalAction, help="biases in linear layers and norms")
    learn = parser.add_argument_group("the optimization")
    learn.add_argument("--batch-size", type=int, metavar="B", help="sequences in a batch")
    learn.add_argument("--accumulate", type=int, metavar="N", help="batches per update")
    learn.add_argument("--order", choices=ORDERS, help="crops from anywhere, or windows of the text, each once an epoch; "
                       "shifted: they start elsewhere in each")
    learn.add_argument("--optimizer", choices=OPTIMIZERS, help="NorMuon or Muon for the blocks' matrices and "
                       "AdamW for the rest, or AdamW for all")
    learn.add_argument("--lr", type=float, metavar="R", help="peak learning rate of AdamW")
    learn.add_argument("--muon-lr", type=float, metavar="R", help="peak learning rate of Muon and NorMuon")
    learn.add_argument("--schedule", choices=SCHEDULES, help="how the learning rates fall after the warm-up")
    learn.add_argument("--warmup-steps", type=int, metavar="N", help="steps over which the learning rates rise")
    learn.add_argument("--weight-decay", type=float, metavar="D", help="weight decay of matrices")
    learn.add_argument("--clip", type=float, metavar="G", help="clip the gradient norm of the parameters that AdamW updates")
    return parser


def _train(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    given = vars(args)                              # only the flags on the command line
    resume, out, threads = given.pop("resume", False), given.pop("out", None), given.pop("threads", None)
    lab = given.pop("lab", False)
    if "dropout" in given:
        given.update(dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), given.pop("dropout")))
    mpi, timeout = given.pop("mpi"), given.pop("mpi_timeout")
    return on_processes(lambda group: _train_on(group, given, resume, out, threads, lab, start), mpi, timeout)


def _train_on(
    group: Alone, given: dict[str, Any], resume: bool, out: str | None, threads: int | None, lab: bool, start: float
) -> int:
    threads = threads_of(group, threads)
    trainer = _resumed(given, out, threads, group) if resume else _new(given, out, threads, group)
    threads = trainer.model.pool.threads
    layers = f"{threads} thread{'s' * (threads > 1)}" if trainer.model.fast else "the textbook's layers"
    layers = f"{group.size} processes with {layers} each" if group.size > 1 else layers
    kind = "characters" if isinstance(trainer.tokenizer, CharTokenizer) else "tokens"
    print(f"{trainer.tokenizer.vocab_size:,} {kind}, {trainer.model.config.n_params:,} parameters, {layers}, ready after "
          f"{time.perf_counter() - start:.1f} s; the run is saved in {printable(trainer.folder)}{os.sep}", flush=True)
    if not group.leads:
        return trainer.run()
    if not lab:
        return _run(trainer)
    from .lab import lab_of_run  # a server, which other runs need not load

    with lab_of_run(trainer.folder) as stay_open:
        status = _run(trainer)
        if status == 0 and group.size == 1:         # else a signal ended it, or other processes wait
            stay_open()
    return status


def _run(trainer: Trainer) -> int:
    status = trainer.run()
    _summarize(trainer)
    return status


def _new(given: dict[str, Any], out: str | None, threads: int | None, group: Alone) -> Trainer:
    """Start a run in a new folder"""
    preset = given.pop("preset", DEFAULT_PRESET)
    sources, kind, vocab_size = given.pop("data", None), given.pop("tokenizer", "char"), given.pop("vocab_size", None)
    if {"steps", "minutes"} & given.keys():
        given = {"steps": None, "minutes": None, **given}
    model_fields, recipe_fields = PRESETS[preset]
    model_fields = {**model_fields, **_fields_of(GPTConfig, given)}
    try:
        recipe = Recipe(**{**recipe_fields, **_fields_of(Recipe, given)})
        GPTConfig(**model_fields)                       # check the sizes before any text is read
    except ConfigError as error:
        raise ConfigError(_with_flags(str(error))) from None
    progress = group.leads and sys.stderr.isatty()
    text, note = group.first(partial(open_text, sources, given.pop("keep_bytes", False), progress))
    print(for_terminal(note))
    folder = Path(out) if out else free_folder(preset if text.name == "shakespeare" else name_of_text(shared_name(text.paths)))
    folder = Path(group.of_leader(str(folder)))
    tokenizer = text.characters() if kind == "char" else text.bpe(vocab_size)
    ids = text.ids(tokenizer)
    group.wait_for_files()              # each machine may have a cache of its own
    if text.changes:
        print(for_terminal(text.changes))
    config = GPTConfig(vocab_size=tokenizer.vocab_size, **model_fields)
    model = GPT(config, recipe.seed, threads=threads, fast=not given.get("textbook", False))
    return Trainer(model, tokenizer, ids, recipe, folder, text.name, group=group)


def _resumed(given: dict[str, Any], out: str | os.PathLike[str] | None, threads: int | None, group: Alone) -> Trainer:
    """Continue the run of a folder, by default of the latest"""
    for name in ("preset", "keep_bytes", "tokenizer", "vocab_size", "textbook"):
        if name in given:
            raise ValueError(f"--{name.replace('_', '-')}: cannot change with --resume; leave it out")
    out = out or newest()
    if out is None:
        raise checkpoint.CheckpointError(f"{RUNS}: no run, expected one to resume; name its folder with --out")
    if (data := given.pop("data", None)) is not None:
        learned = checkpoint.newest_metadata(Path(out)).get("data_source", "")
        if data != [learned] and source_of_paths(paths_of(data)) != learned:
            found = " ".join(map(printable, data))
            raise ValueError(f"--data: {found}, expected {printable(shown_source(learned))}, from which the run in "
                             f"{printable(out)} learns; leave it out, or start a new run without --resume")
    trainer = Trainer.resume(out, threads=threads, group=group, **given)
    print(f"continuing after step {trainer.step} of {printable(out)}, {trainer.seconds:.0f} s into the run")
    return trainer


def _summarize(trainer: Trainer) -> None:
    """Print the loss curve, the best loss, the files written and how to sample from the model"""
    folder, best = trainer.folder, trainer.best
    rows = read_log(folder / "log.csv")
    written = "checkpoints and log.csv"
    if rows:
        print(loss_chart(rows))
        name = Path(shown_source(trainer.data_source)).name
        name = printable(name).replace("$", r"\$")                  # between two $ matplotlib reads formulas
        name = name if max(name, default="") < "\u0530" else "training"         # the letters that matplotlib's own font has
        title = f"{name}: validation loss {best['val_loss']:.3f}" if best else name
        if save_loss_png(folder / "loss.png", rows, title):
            written += " and loss.png"
        else:
            print("This curve is only here, since matplotlib is not installed. For loss.png too:")
            print(for_terminal(f"  {python()} -m pip install matplotlib"))
            print(for_terminal(f"  {python()} -m minigpt train --resume --out {quoted(folder)}"))
    if best is None:
        print(f"wrote {written} in {printable(folder)}{os.sep}")
        return
    bits = f", {best['val_loss'] * trainer.bits_per_nat:.4f} bits per byte" if trainer.bits_per_nat is not None else ""
    print(f"best validation loss {best['val_loss']:.4f} nats per token{bits}, at step {best['step']}, {best['seconds']:.0f} s "
          f"after the start")
    if spare := _spare(trainer, rows):
        print(spare)
    print(f"wrote that model, {written} in {printable(folder)}{os.sep}")
    print("Sample from it:")
    print(f"  {sampling_command(folder, _beginning(trainer))}")


def _spare(trainer: Trainer, rows: list[dict[str, Any]]) -> str:
    """What to say of a run that did not get better in its second half or longer; "" of any other, and of a short one"""
    best = trainer.best["step"] if trainer.best else 0
    later = [row["step"] for row in rows if row["step"] > best and row["val_loss"] is not None]
    if 2 * best > trainer.step or len(later) < EVALUATIONS // 2:
        return ""
    minutes = trainer.recipe.minutes
    enough = f"--steps {best}" if minutes is None else f"--minutes {minutes * best / trainer.step:.1g}"
    return (f"the {trainer.step - best:,} steps after that brought nothing: {enough} would do, with a learning rate that falls "
            "by then; a longer text or --dropout 0.2 may bring more")


def _beginning(trainer: Trainer) -> str:
    """The first lines of the text that a run learns from"""
    batches = trainer.batches
    text: str = trainer.tokenizer.decode(np.asarray(batches.ids[:1000])) if isinstance(batches, Batches) else ""
    return text


def _with_flags(message: str) -> str:
    """What is wrong with fields of Recipe or GPTConfig, told by the flags that set them: "--layers 0, expected …"."""
    flags = {action.dest: action.option_strings[0] for action in _parser()._actions}
    flags |= dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), flags["dropout"])
    told = re.sub(r"(?:^\w+: |(?<=; )|(?<= and )|(?<= of ))(\w+)(?= )", lambda match: flags.get(match[1], match[1]), message)
    return "; ".join(dict.fromkeys(told.split("; ")))


def _fields_of(kind: type[Recipe] | type[GPTConfig], given: dict[str, Any]) -> dict[str, Any]:
    """The given values whose names are fields of this dataclass"""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in given.items() if name in names}
