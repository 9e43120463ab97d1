"""The command `doctor`: check a GPT for mistakes and show what it costs on this machine, on one screen.

The checks are in study/checks.py, the costs in study/costs.py, all sentences in Chinese in chinese.py.
"""

import argparse
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from .. import config as configs
from ..config import ConfigError, GPTConfig
from ..models.gpt import GPT
from ..study import checks, costs
from ..study.checks import Finding, fails, reports
from ..system import machine
from ..system.blas import blas_threads
from ..system.columns import columns, filled, to_width
from ..system.language import LANGUAGES, Sentence, joined, language, translator
from ..system.streams import Tolerant
from ..system.text import for_terminal
from ..system.threads import WorkerPool, cpu_count
from ..training import checkpoint
from ..training.corpora import load_corpus
from ..training.recipe import PRESETS as RUNS
from ..training.recipe import Recipe
from ..weights.inspection import inspect
from .chinese import CHINESE
from .common import command_parser, exit_status, failed
from .train import DEFAULT_PRESET

MAX_PARAMETERS = 5_000_000      # a larger model is checked as a reduced copy
SHAKESPEARE_CHARACTERS = 65     # vocabulary of the character-level presets
MAX_CHARACTERS_READ = 20_000    # of the text in --text
COLUMNS = 80                    # width of the screen
FILE_ROWS = ("format", "written by", "weights", "special ids", "missing", "passed over", "notes")     # shown of inspect()'s

Checks = dict[str, Callable[[], Finding]]        # by name
Tell = Callable[[str], str]                      # says a sentence in the language that was asked for


def main(argv: list[str] | None = None) -> int:
    """Check a model.  Returns the exit status: 0 no mistake was found, 1 something is wrong, 2 the request is impossible."""
    parser = command_parser(
        "minigpt doctor", "Check a GPT for mistakes, and show what it costs on this machine.",
        "python -m minigpt doctor --config gpt2", "python -m minigpt doctor --model shakespeare-char --text hamlet.txt",
        notes="Exit status: 0 no mistake was found, 1 something is wrong, 2 the model or text cannot be loaded.",
    )
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--config", metavar="PRESET", default=DEFAULT_PRESET,
                         help="check an untrained model of this preset or config.json")
    subject.add_argument("--model", metavar="FOLDER", help="check a trained model: a folder or a name such as "
                         "shakespeare-char (default: an untrained one is checked)")
    parser.add_argument("--text", metavar="FILE", help="with --model: a text in its language (default: what a "
                        "run keeps for validation, of other models lines of Hamlet)")
    parser.add_argument("--language", choices=LANGUAGES, help="English or Chinese (default: that of the locale)")
    return exit_status(lambda args: _run(args, parser), parser, argv)


def _run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    tell = translator(language(args.language), CHINESE)
    if args.text and not args.model:
        parser.error(tell(Sentence("--text: given without --model; name a trained model to read it")))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # a row of the screen reports what is not finite
            return _trained(args.model, args.text, tell) if args.model else _fresh(args.config, tell)
    except (OSError, ConfigError) as error:
        return failed(error, status=2)


def _fresh(name: str, tell: Tell) -> int:
    """Check an untrained model."""
    config, recipe, run = _configuration(name, tell)
    small = reduced(config)
    flops = machine.matmul_flops(WorkerPool())
    quick = costs.fits(config, 1) and 256 * config.flops_per_token / flops < costs.LONGEST_MEASURED_STEP
    return _screen(tell, Sentence("minigpt doctor: an untrained model, {name}", name=name), {
        "this machine": _machine(flops),
        "is it correct?": {
            **({} if small == config else {"checked": lambda: _reduced_copy(small, quick)}),
            "first loss": lambda: checks.first_loss(GPT(config if quick else small)),
            "causality": lambda: checks.causality(GPT(small)),
            "gradients": lambda: checks.gradients(GPT(small, dtype=np.float64)),
            "one batch": lambda: checks.one_batch(GPT(small)),
        },
        "what does it cost?": {
            "parameters": lambda: costs.parameter_count(config),
            "arithmetic": lambda: costs.arithmetic(config),
            "training": lambda: costs.training_memory(config, recipe.batch_size),
            "generation": lambda: costs.generation_memory(config),
            "time": lambda: costs.training_time(config, recipe, flops, run),
        },
    })


def _trained(name: str, text_source: str | None, tell: Tell) -> int:
    """Check a trained model."""
    model = GPT.from_pretrained(name)
    text, source = _text_to_read(name, text_source)
    flops = machine.matmul_flops(WorkerPool())
    return _screen(tell, Sentence("minigpt doctor: the trained model {name}", name=name), {
        "this machine": _machine(flops),
        "what are its files?": _files(name),
        "is it healthy?": {
            "weights": lambda: checks.weights(model),
            "tokenizer": lambda: checks.vocabulary(model, text),
            "loss": lambda: checks.text_loss(model, text, source),
            "causality": lambda: checks.causality(model),
            "cache": lambda: checks.cache(model),
        },
        "what does it cost?": {
            "parameters": lambda: costs.parameter_count(model.config),
            "arithmetic": lambda: costs.arithmetic(model.config),
            "training": lambda: costs.training_memory(model.config, 1),
            "generation": lambda: costs.generation_memory(model.config),
            "time": lambda: costs.generation_time(model),
        },
    })


def _text_to_read(name: str, given: str | None) -> tuple[str, Sentence]:
    """A text in the language of a model, and what it is: the one given, else what a run keeps for validation, else Hamlet."""
    if given is not None:
        return load_corpus(given).text[:MAX_CHARACTERS_READ], Sentence("{file}", file=given)
    path = checkpoint.newest_metadata(Path(name)).get("data_source")
    if not isinstance(path, str):
        return checks.HAMLET, Sentence("Hamlet")
    try:
        text = load_corpus(path).text
    except (OSError, ValueError):
        return checks.HAMLET, Sentence("Hamlet, since {file}, the text of this run, cannot be read", file=Path(path).name)
    return text[-max(1, min(MAX_CHARACTERS_READ, len(text) // 10)) :], Sentence("the end of {file}", file=Path(path).name)


def _configuration(name: str, tell: Tell) -> tuple[GPTConfig, Recipe, str]:
    """A preset's or file's configuration, its training recipe, and a description of the run -> GPTConfig, Recipe, str"""
    path = Path(name)
    path = path / "config.json" if path.is_dir() else path
    if path.is_file():
        config = GPTConfig.from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))
    elif name in RUNS:
        sizes, fields = RUNS[name]
        recipe = Recipe(**fields)
        return GPTConfig(vocab_size=SHAKESPEARE_CHARACTERS, **sizes), recipe, Sentence(
            "A run of {steps:,} steps", steps=recipe.steps)
    elif name in configs.PRESETS:
        config = GPTConfig.preset(name)
    else:
        presets = ", ".join(dict.fromkeys([*RUNS, *configs.PRESETS]))
        raise ConfigError(tell(Sentence("--config: {name!r}, expected a config.json or one of {presets}", name=name,
                                        presets=presets)))
    recipe = Recipe(steps=math.ceil(20 * config.n_params / config.n_positions), batch_size=1, optimizer="adamw")
    return config, recipe, Sentence("To see 20 tokens for each parameter (Hoffmann et al. 2022)")


def reduced(config: GPTConfig) -> GPTConfig:
    """A smaller model of the same kind: fewer blocks, heads, positions and tokens, narrower heads; a small one is unchanged."""
    if config.n_params <= MAX_PARAMETERS:
        return config
    n_head = min(config.n_head, 2)
    n_embd = n_head * min(config.n_embd // config.n_head, 64)
    return replace(
        config, n_layer=min(config.n_layer, 2), n_head=n_head, n_embd=n_embd, n_positions=min(config.n_positions, 128),
        vocab_size=min(config.vocab_size, 512), n_inner=config.n_inner and max(1, config.n_inner * n_embd // config.n_embd),
    )


def _reduced_copy(small: GPTConfig, first_loss_of_whole: bool) -> Finding:
    """The row that describes the reduced copy"""
    exception = Sentence("; the first loss is that of the full model") if first_loss_of_whole else ""
    return reports("a copy of {blocks} blocks, {channels} channels, {positions} positions and a vocabulary of {V}{exception}",
                   blocks=small.n_layer, channels=small.n_embd, positions=small.n_positions, V=small.vocab_size,
                   exception=exception)


def _machine(flops: float) -> Checks:
    """The rows about the machine"""
    pool, memory, threads = WorkerPool(), machine.memory(), blas_threads()
    have = Sentence("memory unknown") if memory is None else Sentence("{size} of memory", size=costs.si(memory, "B"))
    blas = Sentence("BLAS threads cannot be set, so work is not split" if threads is None else "each with 1 BLAS thread")
    return {
        "processor": lambda: reports("{processor}, {cores} cores, {memory}", processor=machine.processor(), cores=cpu_count(),
                                     memory=have),
        "NumPy": lambda: reports("{version}, BLAS: {blas}", version=np.__version__, blas=machine.blas()),
        "threads": lambda: reports("{n}, {blas}; matrix products at {speed}", n=pool.threads, blas=blas,
                                   speed=costs.si(flops, "FLOP/s")),
    }


def _files(name: str) -> Checks:
    """The rows about a model's files, those of the command `inspect` that no check has"""
    rows = inspect(name).rows
    return {row: partial(Finding, rows[row]) for row in FILE_ROWS if row in rows}


def _screen(tell: Tell, title: str, sections: dict[str, Checks]) -> int:
    """Run {heading: {name: check}} and print each result as it comes -> 1 if something is wrong, else 0

    A terminal shows which check is running.
    """
    print(filled(for_terminal(tell(title)), COLUMNS), flush=True)
    wrong, excess = [], []
    for heading, rows in sections.items():
        print(f"\n{tell(heading)}", flush=True)
        for name, check in rows.items():
            with _announced(tell(name)):
                finding = _result(check)
            mark = "OVER" if finding.excess else {True: "ok", False: "WRONG", None: ""}[finding.ok]
            begin = f"  {to_width(tell(mark), 6)}{to_width(tell(name), 12)}"
            print(filled(for_terminal(tell(finding.text)), COLUMNS, begin), flush=True)
            wrong += [Sentence(name)] if finding.ok is False else []
            excess += [finding.excess] if finding.excess else []
    print(f"\n{filled(tell(_verdict(wrong, excess)), COLUMNS)}", flush=True)
    return 1 if wrong else 0


@contextmanager
def _announced(name: str) -> Iterator[None]:
    """Show on a terminal that a check is running; afterwards its row stands there."""
    terminal, row = Tolerant(sys.stderr), f"  {to_width('…', 6)}{name}"
    if not terminal.isatty():
        yield
        return
    terminal.write(row)
    terminal.flush()
    try:
        yield
    finally:
        terminal.write(f"\r{' ' * columns(row)}\r")
        terminal.flush()


def _verdict(wrong: list[Sentence], excess: list[str]) -> Sentence:
    """The last line: what is wrong, and what the machine is too small for"""
    if not wrong and not excess:
        return Sentence("All is well.")
    found = Sentence("Something is wrong: {names}.", names=joined(wrong)) if wrong else Sentence("No mistake was found.")
    if not excess:
        return found
    return Sentence("{found} It is too much for this machine: {reasons}.", found=found, reasons=joined(excess, "; "))


def _result(check: Callable[[], Finding]) -> Finding:
    """A check's result; if it raises an exception, which one and where"""
    try:
        return check()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return fails("it stopped in {file}, line {line}: {kind}: {error}", file=Path(place.filename).name, line=place.lineno,
                     kind=type(error).__name__, error=error)
