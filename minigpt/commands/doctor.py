"""The command `python -m minigpt doctor`: is a GPT right, and what does it cost on this machine?  One screen.

What is asked of a model stands in checks.py, what it costs in costs.py.
"""

import argparse
import math
import sys
import textwrap
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import config as configs
from ..config import ConfigError, GPTConfig
from ..models.gpt import GPT
from ..study import checks, costs
from ..study.checks import Finding
from ..system import machine
from ..system.threads import WorkerPool, blas_threads, cpu_count
from ..training.corpora import load_corpus
from ..training.recipe import PRESETS as RUNS
from ..training.recipe import Recipe
from .common import write_utf8
from .train import DEFAULT_PRESET

SMALL = 5_000_000       # parameters up to which the checks run on the configuration itself, and not on a reduced copy
SHAKESPEARE = 65        # characters in Tiny Shakespeare
TEXT = 20_000           # characters of a text that are read
WIDTH = 80              # columns of the screen


def main(argv=None) -> int:
    """Examine as the flags say. Returns the exit status: 0 all is well, 1 something is wrong, 2 what was asked cannot be."""
    parser = argparse.ArgumentParser(
        prog="doctor", description="Is a GPT right, and what does it cost on this machine?",
        epilog="Exit status: 0 all is well, 1 something is wrong, 2 what was asked cannot be done.",
    )
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--config", metavar="PRESET", default=DEFAULT_PRESET,
                         help=f"a fresh model of this preset or config.json, before it is trained (default {DEFAULT_PRESET})")
    subject.add_argument("--model", metavar="FOLDER", help="a trained model: a folder, or a name such as shakespeare-char")
    parser.add_argument("--text", metavar="FILE", help="with --model: a text in its language (default: some of Hamlet)")
    args = parser.parse_args(argv)
    if args.text and not args.model:
        parser.error("--text: given without --model, expected a trained model to read it")
    write_utf8()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # what is not finite is said in a row
            return _trained(args.model, args.text) if args.model else _fresh(args.config)
    except BrokenPipeError:                         # as in command.exit_status(), which has no 2
        sys.stdout = None
        return 141
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, (OSError, ConfigError)) else 1
    except KeyboardInterrupt:
        return 130


def _fresh(name) -> int:
    """Examine a model that is not trained yet."""
    config, recipe, run = _configuration(name)
    small = reduced(config)
    flops = machine.matmul_flops(WorkerPool())
    quick = costs.fits(config, 1) and 256 * config.flops_per_token / flops < costs.MEASURED
    return _screen(f"minigpt doctor: a fresh model, {name}", {
        "this machine": _machine(flops),
        "is it right?": {
            **({} if small == config else {"asked of": lambda: _copy(small, quick)}),
            "first loss": lambda: checks.first_loss(GPT(config if quick else small)),
            "causality": lambda: checks.causality(GPT(small)),
            "gradients": lambda: checks.gradients(GPT(small, dtype=np.float64)),
            "one batch": lambda: checks.one_batch(GPT(small)),
        },
        "what does it cost?": {
            "parameters": lambda: costs.parameters(config),
            "arithmetic": lambda: costs.arithmetic(config),
            "training": lambda: costs.training_memory(config, recipe.batch_size),
            "generation": lambda: costs.generation_memory(config),
            "time": lambda: costs.training_time(config, recipe, flops, run),
        },
    })


def _trained(name, text_source) -> int:
    """Examine a trained model."""
    model = GPT.from_pretrained(name)
    text, source = checks.HAMLET, "Hamlet"
    if text_source is not None:
        text, source = load_corpus(text_source).text[:TEXT], text_source
    flops = machine.matmul_flops(WorkerPool())
    return _screen(f"minigpt doctor: the trained model {name}", {
        "this machine": _machine(flops),
        "is it well?": {
            "weights": lambda: checks.weights(model),
            "tokenizer": lambda: checks.vocabulary(model, text),
            "loss": lambda: checks.text_loss(model, text, source),
            "causality": lambda: checks.causality(model),
            "cache": lambda: checks.cache(model),
        },
        "what does it cost?": {
            "parameters": lambda: costs.parameters(model.config),
            "arithmetic": lambda: costs.arithmetic(model.config),
            "training": lambda: costs.training_memory(model.config, 1),
            "generation": lambda: costs.generation_memory(model.config),
            "time": lambda: costs.generation_time(model),
        },
    })


def _configuration(name):
    """A preset's or a file's configuration, how it would be trained, and that in words -> GPTConfig, Recipe, str"""
    path = Path(name)
    path = path / "config.json" if path.is_dir() else path
    if path.is_file():
        config = GPTConfig.from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))
    elif name in RUNS:
        sizes, fields = RUNS[name]
        recipe = Recipe(**fields)
        return GPTConfig(vocab_size=SHAKESPEARE, **sizes), recipe, f"A run of {recipe.steps:,} steps"
    elif name in configs.PRESETS:
        config = GPTConfig.preset(name)
    else:
        presets = ", ".join(dict.fromkeys([*RUNS, *configs.PRESETS]))
        raise ConfigError(f"--config: {name!r}, expected a config.json or one of {presets}")
    recipe = Recipe(steps=math.ceil(20 * config.n_params / config.n_positions), batch_size=1, optimizer="adamw")
    return config, recipe, "To see 20 tokens for each parameter (Hoffmann et al. 2022)"


def reduced(config):
    """A small model of the same kind: fewer blocks, heads, positions and tokens, narrower heads; small ones as they are."""
    if config.n_params <= SMALL:
        return config
    n_head = min(config.n_head, 2)
    n_embd = n_head * min(config.n_embd // config.n_head, 64)
    return replace(
        config, n_layer=min(config.n_layer, 2), n_head=n_head, n_embd=n_embd, n_positions=min(config.n_positions, 128),
        vocab_size=min(config.vocab_size, 512), n_inner=config.n_inner and max(1, config.n_inner * n_embd // config.n_embd),
    )


def _copy(small, first_loss_aside):
    """The row that says whom the checks examine"""
    aside = "; the first loss is that of the whole" if first_loss_aside else ""
    return Finding(f"a copy of {small.n_layer} blocks, {small.n_embd} channels, {small.n_positions} positions and a vocabulary "
                   f"of {small.vocab_size}{aside}")


def _machine(flops):
    """The rows about the machine"""
    pool, memory, threads = WorkerPool(), machine.memory(), blas_threads()
    have = "memory unknown" if memory is None else f"{costs.si(memory, 'B')} of memory"
    found = "its own threads, which cannot be set: work is not split" if threads is None else "each with 1 of BLAS"
    return {
        "processor": lambda: Finding(f"{machine.processor()}, {cpu_count()} cores, {have}"),
        "NumPy": lambda: Finding(f"{np.__version__}, BLAS: {machine.blas()}"),
        "threads": lambda: Finding(f"{pool.threads}, {found}; matrix products at {costs.si(flops, 'FLOP/s')}"),
    }


def _screen(title, sections) -> int:
    """Print {heading: {name: what finds it}} row by row as they are found -> 1 where something is wrong, else 0"""
    print(textwrap.fill(title, WIDTH))
    wrong = []
    for heading, rows in sections.items():
        print(f"\n{heading}")
        for name, find in rows.items():
            finding = _found(find)
            mark = {True: "ok", False: "WRONG", None: ""}[finding.ok]
            print(textwrap.fill(finding.text, WIDTH, initial_indent=f"  {mark:6}{name:12}", subsequent_indent=" " * 20,
                                break_on_hyphens=False), flush=True)
            if finding.ok is False:
                wrong.append(name)
    print(f"\nSomething is wrong: {', '.join(wrong)}." if wrong else "\nAll is well.", flush=True)
    return 1 if wrong else 0


def _found(find):
    """What a row finds; of a check that cannot go on, why and where"""
    try:
        return find()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        return Finding(f"it stopped in {where}: {type(error).__name__}: {error}", False)
