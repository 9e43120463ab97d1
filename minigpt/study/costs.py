"""What a GPT costs on this machine, in words: parameters, operations, memory, time.

Articles A0 §5.1, A1 §5.2, A2 §3.3, A4 §7 计算资源.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..models.gpt import GPT, parameter_table
from ..system import machine
from ..system.language import Sentence
from ..system.progress import Bar
from ..training.trainer import Trainer
from .checks import UNCAUSAL, Finding, reports

if TYPE_CHECKING:
    from ..config import GPTConfig
    from ..training.recipe import Recipe

LONGEST_MEASURED_STEP = 6.0     # seconds, estimated; a training step that takes longer is not run
LONGEST_RUN = 30 * 86_400       # seconds; a longer training is too much for the machine
UNITS = ((Sentence("years"), 365.25 * 86_400), (Sentence("days"), 86_400), (Sentence("hours"), 3600), (Sentence("minutes"), 60))


def parameter_count(config: GPTConfig) -> Finding:
    """The number of parameters, in blocks and in embeddings."""
    sizes = {name: math.prod(shape) for name, shape, _ in parameter_table(config)}
    blocks = sum(size for name, size in sizes.items() if name.startswith("h."))
    tables = sum(size for name, size in sizes.items() if name in ("wte.weight", "wpe.weight", "lm_head.weight"))
    return reports("{n:,}: {layers} × {block:,} in blocks, {tables:,} in embeddings", n=config.n_params, layers=config.n_layer,
                   block=blocks // config.n_layer, tables=tables)


def arithmetic(config: GPTConfig) -> Finding:
    """Floating-point operations per token."""
    return reports("{flop} per token in training, a third of that in inference", flop=si(config.flops_per_token, "FLOP"))


def training_memory(config: GPTConfig, batch_size: int) -> Finding:
    """Memory that training needs, part by part, and whether the machine has enough."""
    need = config.training_bytes(batch_size)
    parts = {what: si(size, "B") for what, size in need.items()}
    text = Sentence("weights {weights}, gradients {gradients}, AdamW's moments {moments}, activations {activations} "
                    "(a batch of {B} × {T})", B=batch_size, T=config.n_positions, **parts)
    total = sum(need.values())
    return _memory(text, total, Sentence("training needs {total} of memory", total=si(total, "B")))


def generation_memory(config: GPTConfig) -> Finding:
    """Memory that generation needs, and whether the machine has enough."""
    weights, each = 4 * config.n_params, config.cache_bytes()
    if config.causal:
        context = each * config.n_positions
        text = Sentence("weights {weights}, keys and values {each} per token, {context} for a full context",
                        weights=si(weights, "B"), each=si(each, "B"), context=si(context, "B"))
    else:
        context, text = 0, Sentence("weights {weights}, no cache: {reason}", weights=si(weights, "B"), reason=UNCAUSAL)
    total = weights + context
    return _memory(text, total, Sentence("generation needs {total} of memory", total=si(total, "B")))


def _memory(text: Sentence, total: int, excess: Sentence) -> Finding:
    """The memory that something needs, and how much there is where that is less; `excess` then says so in short"""
    have = machine.memory()
    text = Sentence("{text}: together {total}", text=text, total=si(total, "B"))
    if have is None or total <= have:
        return Finding(text)
    return Finding(Sentence("{text}, more than the {have} here", text=text, have=si(have, "B")), excess=excess)


def training_time(config: GPTConfig, recipe: Recipe, flops: float, run: str) -> Finding:
    """Time a few real training steps if they are short and fit into memory; otherwise estimate from the speed of matmuls.

    flops: FLOP/s of matrix products.  run: a description of recipe.steps, "A run of 2,000 steps".
    """
    B, T = recipe.batch_size, config.n_positions
    tokens = B * T * recipe.accumulate
    seconds = tokens * config.flops_per_token / flops
    measured = fits(config, B) and seconds < LONGEST_MEASURED_STEP
    if measured:
        seconds = _step_seconds(config, recipe)
        text = Sentence("{speed:,.0f} tokens/s in batches of {B} × {T}, {flops}.", speed=tokens / seconds, B=B, T=T,
                        flops=si(config.flops_per_token * tokens / seconds, "FLOP/s"))
    else:
        text = Sentence("not run; at the speed of matrix products alone at most {speed} tokens/s.",
                        speed=_three_digits(tokens / seconds))
    total = (recipe.steps or 1) * seconds
    takes = Sentence("about {duration}" if measured else "at least {duration}", duration=duration(total))
    excess = Sentence("the training takes {duration}", duration=takes) if total > LONGEST_RUN else ""
    text = Sentence("{text} {run} takes {duration}, without evaluations and samples", text=text, run=run, duration=takes)
    return Finding(text, excess=excess)


def fits(config: GPTConfig, batch_size: int) -> bool:
    """Tell whether training takes at most half of the memory, or 2 GB where the amount of memory is unknown."""
    return sum(config.training_bytes(batch_size).values()) <= (machine.memory() or 4e9) / 2


def _step_seconds(config: GPTConfig, recipe: Recipe) -> float:
    """Median time of an update, over at most 20 updates in about 2 s; the first one allocates buffers and does not count"""
    ids = np.random.default_rng(0).integers(config.vocab_size, size=20 * (config.n_positions + 2))
    # causal or not, a step takes the same time; only run() would write to the folder
    trainer = Trainer(GPT(replace(config, causal=True)), None, ids, recipe, folder="", quiet=True)
    trainer.update()
    laps: list[float] = []
    with Bar(total=20, desc="training steps", leave=False, disable=None) as bar:
        while not laps or (len(laps) < 20 and sum(laps) < 2):
            start = time.perf_counter()
            trainer.update()
            laps.append(time.perf_counter() - start)
            bar.update()
    return float(np.median(laps))


def generation_time(model: GPT) -> Finding:
    """Time the reading of a full context in one pass, and the generation of up to 32 tokens one by one."""
    T = model.config.n_positions
    ids = np.random.default_rng(0).integers(model.config.vocab_size, size=(1, T))
    model(ids)                              # allocates buffers
    start = time.perf_counter()
    model(ids)
    reading = Sentence("reads {speed:,.0f} tokens/s", speed=T / (time.perf_counter() - start))
    if T < 3 or not model.config.causal:
        return Finding(reading)
    new = min(32, T - 2)
    tokens = model.stream(ids[0, :1], new + 1)
    next(tokens)                            # the first step reads the prompt
    start = time.perf_counter()
    new = sum(1 for _ in tokens)
    return reports("{reading}, writes {speed:,.0f} tokens/s", reading=reading, speed=new / (time.perf_counter() - start))


def si(value: float, unit: str) -> str:
    """Write a number with three digits and a prefix: si(834_304, "B") -> "834 kB"."""
    for prefix, size in (("Y", 1e24), ("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{_three_digits(value / size)} {prefix}{unit}"
    return f"{_three_digits(value)} {unit}"


def duration(seconds: float) -> Sentence:
    """Write a duration in a convenient unit: duration(5_000) -> "83.3 minutes"."""
    unit, size = next(((unit, size) for unit, size in UNITS if seconds >= 2 * size), (Sentence("seconds"), 1))
    return Sentence("{number} {unit}", number=_three_digits(seconds / size), unit=unit)


def _three_digits(value: float) -> str:
    """3.14159 -> "3.14", 31.4159 -> "31.4", 31415.9 -> "31,400" """
    value = float(f"{value:.3g}")
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"
