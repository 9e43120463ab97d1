"""What a GPT costs on this machine, in words: parameters, operations, memory, time.  The formulas are config.py's.

Articles A0 §5.1, A1 §5.2, A2 §3.3, A4 §7 计算资源.
"""

import math
import time
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from ..models.gpt import GPT, parameter_table
from ..system import machine
from ..training.trainer import Trainer
from .checks import UNCAUSAL, Finding

MEASURED = 6.0          # seconds that a training step may take, by the arithmetic, to be measured


def parameters(config) -> Finding:
    """How many there are, and where."""
    sizes = {name: math.prod(shape) for name, shape, _ in parameter_table(config)}
    blocks = sum(size for name, size in sizes.items() if name.startswith("h."))
    tables = sum(size for name, size in sizes.items() if name in ("wte.weight", "wpe.weight", "lm_head.weight"))
    return Finding(f"{config.n_params:,}: {config.n_layer} × {blocks // config.n_layer:,} in blocks, {tables:,} in embeddings")


def arithmetic(config) -> Finding:
    """Operations for each token."""
    return Finding(f"{si(config.flops_per_token, 'FLOP')} to train on a token, a third of that to read one")


def training_memory(config, batch_size) -> Finding:
    """Bytes of training, part by part, and whether they are to be had."""
    need, have = config.training_bytes(batch_size), machine.memory()
    total = sum(need.values())
    parts = [f"{what} {si(size, 'B')}" for what, size in need.items()]
    parts[2] = f"AdamW's {parts[2]}"
    text = f"{', '.join(parts)} (a batch of {batch_size} × {config.n_positions}): together {si(total, 'B')}"
    return Finding(text + (f", more than the {si(have, 'B')} here" if have is not None and total > have else ""))


def generation_memory(config) -> Finding:
    """Bytes of generation, beside the weights."""
    if not config.causal:
        return Finding(f"none: {UNCAUSAL}")
    each = config.cache_bytes()
    return Finding(f"keys and values {si(each, 'B')} a token, {si(each * config.n_positions, 'B')} for a full context")


def training_time(config, recipe, flops, run) -> Finding:
    """A few real steps where they fit into memory and are over soon, else an estimate from the rate of matrix products.

    `run` says in words what recipe.steps are.
    """
    B, T = recipe.batch_size, config.n_positions
    tokens = B * T * recipe.accumulate
    seconds = tokens * config.flops_per_token / flops
    measured = fits(config, B) and seconds < MEASURED
    if measured:
        seconds = _step_seconds(config, recipe)
        text = f"{tokens / seconds:,.0f} tokens/s in batches of {B} × {T}, "
        text += f"{si(config.flops_per_token * tokens / seconds, 'FLOP/s')}."
    else:
        text = f"not run; at the speed of matrix products alone at most {_three_digits(tokens / seconds)} tokens/s."
    about = "about" if measured else "at least"
    return Finding(f"{text} {run} takes {about} {duration(recipe.steps * seconds)}, evaluations and samples aside")


def fits(config, batch_size):
    """Whether training takes at most half of the memory; where nobody knows how much there is, 2 GB"""
    return sum(config.training_bytes(batch_size).values()) <= (machine.memory() or 4e9) / 2


def _step_seconds(config, recipe):
    """The median time of an update, over at most 20 in about 2 s after one that allocates"""
    ids = np.random.default_rng(0).integers(config.vocab_size, size=20 * (config.n_positions + 2))
    # what a token sees changes little in the time, what a batch asks nothing; only run() would write to the folder
    trainer = Trainer(GPT(replace(config, causal=True)), None, ids, recipe, folder="", quiet=True)
    trainer.update()
    laps: list[float] = []
    with tqdm(total=20, desc="training steps", leave=False, disable=None) as bar:
        while not laps or (len(laps) < 20 and sum(laps) < 2):
            start = time.perf_counter()
            trainer.update()
            laps.append(time.perf_counter() - start)
            bar.update()
    return float(np.median(laps))


def generation_time(model) -> Finding:
    """A full context read at once, and up to 32 tokens written one by one."""
    T = model.config.n_positions
    ids = np.random.default_rng(0).integers(model.config.vocab_size, size=(1, T))
    model(ids)                              # allocates
    start = time.perf_counter()
    model(ids)
    text = f"reads {T / (time.perf_counter() - start):,.0f} tokens/s"
    if T < 3 or not model.config.causal:
        return Finding(text)
    new = min(32, T - 2)
    tokens = model.stream(ids[0, :1], new + 1)
    next(tokens)                            # reads the prompt
    start = time.perf_counter()
    new = sum(1 for _ in tokens)
    return Finding(f"{text}, writes {new / (time.perf_counter() - start):,.0f} tokens/s")


def si(value, unit):
    """Three digits and a prefix: si(834_304, "B") -> "834 kB" """
    for prefix, size in (("Y", 1e24), ("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{_three_digits(value / size)} {prefix}{unit}"
    return f"{_three_digits(value)} {unit}"


def duration(seconds):
    """A time as people say it: duration(5_000) -> "83 minutes" """
    for unit, size in (("years", 365.25 * 86_400), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds)} seconds"


def _three_digits(value):
    """3.14159 -> "3.14", 31.4159 -> "31.4", 31415.9 -> "31,400" """
    value = float(f"{value:.3g}")
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"
