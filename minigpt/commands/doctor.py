"""The command `doctor`: check a GPT for mistakes and show what it costs on this machine, on one screen.

The checks are in study/checks.py, the costs in study/costs.py.
"""

import argparse
import math
import textwrap
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from .. import config as configs
from ..config import ConfigError, GPTConfig
from ..models.gpt import GPT
from ..study import checks, costs
from ..study.checks import Finding
from ..system import machine
from ..system.blas import blas_threads
from ..system.text import for_terminal
from ..system.threads import WorkerPool, cpu_count
from ..training.corpora import load_corpus
from ..training.recipe import PRESETS as RUNS
from ..training.recipe import Recipe
from ..weights.inspection import inspect
from .common import exit_status, failed
from .train import DEFAULT_PRESET

MAX_PARAMETERS = 5_000_000      # a larger model is checked as a reduced copy
SHAKESPEARE_CHARACTERS = 65     # vocabulary of the character-level presets
MAX_CHARACTERS_READ = 20_000    # of the text in --text
COLUMNS = 80                    # width of the screen

Checks = dict[str, Callable[[], Finding]]        # by name


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Check a model.  Returns the exit status: 0 all is well, 1 something is wrong, 2 the request is impossible."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Check a GPT for mistakes, and show what it costs on this machine.",
        epilog="Exit status: 0 all is well, 1 something is wrong, 2 the model or text cannot be loaded.",
    )
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--config", metavar="PRESET", default=DEFAULT_PRESET,
                         help=f"check an untrained model of this preset or config.json (default {DEFAULT_PRESET})")
    subject.add_argument("--model", metavar="FOLDER", help="check a trained model: a folder or a name such as shakespeare-char")
    parser.add_argument("--text", metavar="FILE", help="with --model: a text in its language (default: lines of Hamlet)")
    return exit_status(lambda args: _run(args, parser), parser, argv)


def _run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    if args.text and not args.model:
        parser.error("--text: given without --model; name a trained model to read it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # a row of the screen reports what is not finite
            return _trained(args.model, args.text) if args.model else _fresh(args.config)
    except (OSError, ConfigError) as error:
        return failed(error, status=2)


def _fresh(name: str) -> int:
    """Check an untrained model."""
    config, recipe, run = _configuration(name)
    small = reduced(config)
    flops = machine.matmul_flops(WorkerPool())
    quick = costs.fits(config, 1) and 256 * config.flops_per_token / flops < costs.LONGEST_MEASURED_STEP
    return _screen(f"minigpt doctor: an untrained model, {name}", {
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


def _trained(name: str, text_source: str | None) -> int:
    """Check a trained model."""
    model = GPT.from_pretrained(name)
    text, source = checks.HAMLET, "Hamlet"
    if text_source is not None:
        text, source = load_corpus(text_source).text[:MAX_CHARACTERS_READ], text_source
    flops = machine.matmul_flops(WorkerPool())
    return _screen(f"minigpt doctor: the trained model {name}", {
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


def _configuration(name: str) -> tuple[GPTConfig, Recipe, str]:
    """A preset's or file's configuration, its training recipe, and a description of the run -> GPTConfig, Recipe, str"""
    path = Path(name)
    path = path / "config.json" if path.is_dir() else path
    if path.is_file():
        config = GPTConfig.from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))
    elif name in RUNS:
        sizes, fields = RUNS[name]
        recipe = Recipe(**fields)
        return GPTConfig(vocab_size=SHAKESPEARE_CHARACTERS, **sizes), recipe, f"A run of {recipe.steps:,} steps"
    elif name in configs.PRESETS:
        config = GPTConfig.preset(name)
    else:
        presets = ", ".join(dict.fromkeys([*RUNS, *configs.PRESETS]))
        raise ConfigError(f"--config: {name!r}, expected a config.json or one of {presets}")
    recipe = Recipe(steps=math.ceil(20 * config.n_params / config.n_positions), batch_size=1, optimizer="adamw")
    return config, recipe, "To see 20 tokens for each parameter (Hoffmann et al. 2022)"


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
    exception = "; the first loss is that of the full model" if first_loss_of_whole else ""
    return Finding(f"a copy of {small.n_layer} blocks, {small.n_embd} channels, {small.n_positions} positions and a vocabulary "
                   f"of {small.vocab_size}{exception}")


def _machine(flops: float) -> Checks:
    """The rows about the machine"""
    pool, memory, threads = WorkerPool(), machine.memory(), blas_threads()
    have = "memory unknown" if memory is None else f"{costs.si(memory, 'B')} of memory"
    blas = "BLAS threads cannot be set, so work is not split" if threads is None else "each with 1 BLAS thread"
    return {
        "processor": lambda: Finding(f"{machine.processor()}, {cpu_count()} cores, {have}"),
        "NumPy": lambda: Finding(f"{np.__version__}, BLAS: {machine.blas()}"),
        "threads": lambda: Finding(f"{pool.threads}, {blas}; matrix products at {costs.si(flops, 'FLOP/s')}"),
    }


def _files(name: str) -> Checks:
    """The rows about a model's files, those of the command `inspect` that no check has"""
    wanted = ("format", "written by", "weights", "special ids", "missing", "passed over", "notes")
    rows = inspect(name).rows
    return {row: partial(Finding, rows[row]) for row in wanted if row in rows}


def _screen(title: str, sections: dict[str, Checks]) -> int:
    """Run {heading: {name: check}} and print each result as it comes -> 1 if something is wrong, else 0"""
    print(textwrap.fill(for_terminal(title), COLUMNS))
    wrong = []
    for heading, rows in sections.items():
        print(f"\n{heading}")
        for name, check in rows.items():
            finding = _result(check)
            mark = {True: "ok", False: "WRONG", None: ""}[finding.ok]
            print(textwrap.fill(for_terminal(finding.text), COLUMNS, initial_indent=f"  {mark:6}{name:12}",
                                subsequent_indent=" " * 20, break_on_hyphens=False), flush=True)
            if finding.ok is False:
                wrong.append(name)
    print(f"\nSomething is wrong: {', '.join(wrong)}." if wrong else "\nAll is well.", flush=True)
    return 1 if wrong else 0


def _result(check: Callable[[], Finding]) -> Finding:
    """A check's result; if it raises an exception, which one and where"""
    try:
        return check()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        return Finding(f"it stopped in {where}: {type(error).__name__}: {error}", False)
