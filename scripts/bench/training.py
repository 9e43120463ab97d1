"""Training: one step is forward, backward, clipping and AdamW, here and in PyTorch, on the same batch and weights."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigpt import GPT, GPTConfig
from minigpt.nn import multihead
from minigpt.system.threads import cpu_count
from minigpt.training.optim import AdamW, clip_scale, gradient_norm

from .race import Entry, Run, left, quartiles, race, rate, ratio
from .report import Row

SIZES: dict[str, tuple[dict[str, Any], int, int]] = {       # (configuration, batch size, steps in a round)
    "S": (dict(vocab_size=65, n_positions=64, n_layer=4, n_head=4, n_embd=128, bias=False), 12, 10),
    "M": (dict(vocab_size=65, n_positions=256, n_layer=6, n_head=6, n_embd=384, bias=False), 16, 1),
    "L": (dict(vocab_size=50257, n_positions=256, n_layer=12, n_head=12, n_embd=768), 2, 1),
}
BUSY = """
import os, sys, threading
threading.Thread(target=lambda: os._exit(len(sys.stdin.read())), daemon=True).start()      # its end means that we are gone
while True: pass
"""
LR, BETAS, WEIGHT_DECAY, CLIP = 1e-3, (0.9, 0.95), 0.1, 1.0
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}     # glibc keeps memory: no page faults


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights that both sides start from."""
    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    array = rng.standard_normal(shape, np.float32)
    array *= 0.02
    return array


def batch(config: GPTConfig, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and targets (B, T): random tokens."""
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (batch_size, config.n_positions + 1))
    return tokens[:, :-1], tokens[:, 1:]


def minigpt_step(settings: dict[str, Any], batch_size: int, fast: bool = True) -> Callable[[], float]:
    """Make step(), which takes a training step and gives its loss; fast=False: by the textbook's layers."""
    config = GPTConfig(**settings)
    model = GPT(config, seed=None, fast=fast)
    for name, array in model.params.items():
        array[...] = weights(name, array.shape)
    optimizer = AdamW(model, betas=BETAS, weight_decay=WEIGHT_DECAY)
    ids, targets = batch(config, batch_size)

    def step() -> float:
        loss, _ = model.loss_and_grads(ids, targets)
        optimizer.step(LR, clip_scale(gradient_norm(model.flat_grads, model.pool), CLIP))
        return loss

    return step


def torch_step(settings: dict[str, Any], batch_size: int) -> Callable[[], float]:
    """Make the same in PyTorch, eager."""
    import torch

    from .torch_gpt import TorchGPT, adamw

    torch.set_num_threads(cpu_count())
    config = GPTConfig(**settings)
    model = TorchGPT(config)
    model.set_weights(weights)
    optimizer = adamw(model, LR, BETAS, WEIGHT_DECAY)
    ids, targets = (torch.from_numpy(array.copy()) for array in batch(config, batch_size))

    def step() -> float:
        loss = model(ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step


def minigpt_steps(settings: dict[str, Any], batch_size: int, steps: int, fast: bool = True) -> Run:
    """Make minigpt's side of a race."""
    return _lap(minigpt_step(settings, batch_size, fast), steps)


def torch_steps(settings: dict[str, Any], batch_size: int, steps: int) -> Run:
    """Make PyTorch's."""
    return _lap(torch_step(settings, batch_size), steps)


def _lap(step: Callable[[], float], steps: int) -> Run:
    """run(i) -> the last loss of `steps` steps, and the seconds they took

    One before them is not timed: this process has slept, and the threads of the one that ran may not have gone to sleep yet.
    And one is taken at once: both sides have all their memory after two.
    """
    step()

    def run(i: int) -> dict[str, float]:
        step()
        start = time.perf_counter()
        for _ in range(steps):
            loss = step()
        return {"loss": loss, "seconds": time.perf_counter() - start}

    return run


def floor_seconds(config: GPTConfig, batch_size: int, ceiling: dict[str, float]) -> float:
    """Return the time a step would take if every operation that the equations name ran at this machine's measured rate.

    Matrix products at the rate of large ones: 6 operations for each weight and token, attention over visible pairs alone.
    Elementwise: for each token and layer 32 C in the layer norms, 4 C in the residual stream, 18 C for biases, 2 C for the
    scale of q, 60 C and 4 C tanh in GELU, and 7 operations and one exp for each visible score; one exp for each logit.
    """
    c, N = config, batch_size * config.n_positions
    pairs = c.n_layer * N * (c.n_positions + 1) / 2                    # of query and visible key
    products = 6.0 * N * (c.n_layer * (4 * c.n_embd**2 + 2 * c.n_embd * c.mlp_width) + c.vocab_size * c.n_embd)
    products += 12 * pairs * c.n_embd                                  # two products forward, four backward
    ops = c.n_layer * N * c.n_embd * (98 + 18 * c.bias) + 7 * pairs * c.n_head + 4 * N * c.vocab_size
    ops += 14 * c.n_params                                             # AdamW
    exps = pairs * c.n_head + N * c.vocab_size
    tanhs = c.n_layer * N * c.mlp_width
    return (
        products / ceiling["gemm"] + ops / ceiling["elementwise"] + exps / ceiling["exp"] + tanhs / ceiling["tanh"]
    )


def compare(name: str, rounds: int, environment: dict[str, str] | None = None, label: str = "PyTorch") -> list[Row]:
    """Race one configuration against PyTorch -> its rows: speed, share of the floor, memory."""
    settings, batch_size, steps = SIZES[name]
    config = GPTConfig(**settings)
    arguments = dict(settings=settings, batch_size=batch_size, steps=steps)
    tokens = batch_size * config.n_positions * steps
    what = f"{name}, {config.n_embd} channels"
    laps, notes = race({
        "minigpt": Entry("bench.training.minigpt_steps", arguments),
        "PyTorch": Entry("bench.training.torch_steps", arguments, environment or {}),
        "ceiling": Entry("bench.machine.ceilings", dict(kinds=["gemm", "elementwise", "exp", "tanh"])),
    }, rounds, warmup=0)
    ours, theirs, ceilings = laps["minigpt"], laps.get("PyTorch"), laps["ceiling"].results
    seconds = [result["seconds"] for result in ours.results]
    speed = Row(f"training step {what}", "tokens/s", rate(tokens, seconds), label, note=notes.get("PyTorch", ""))
    memory = Row(f"  peak memory {name}", "MB", ours.peak and ours.peak / 1e6, label, better="less")
    if theirs:
        their_seconds = [result["seconds"] for result in theirs.results]
        speed.theirs, speed.ratio = rate(tokens, their_seconds), ratio(their_seconds, seconds)
        our_loss, their_loss = ours.results[0]["loss"], theirs.results[0]["loss"]
        if abs(their_loss - our_loss) > 1e-2:
            speed.note = f"losses differ: {our_loss:.4f}, {their_loss:.4f}"
        if ours.peak and theirs.peak:
            memory.theirs, memory.ratio = theirs.peak / 1e6, (ours.peak / theirs.peak,) * 3
    floors = [steps * floor_seconds(config, batch_size, ceiling) for ceiling in ceilings]
    gemm = quartiles([ceiling["gemm"] for ceiling in ceilings])[0]
    of_floor = ratio(floors, seconds)
    share = Row(f"  share of the floor {name}", "", None, "the machine", ratio=of_floor,
                note=f"floor {1e3 * quartiles(floors)[0] / steps:,.0f} ms, GEMM {gemm / 1e9:.0f} GFLOP/s; {left(of_floor)}")
    return [speed, share, memory]


@contextlib.contextmanager
def busy_process() -> Iterator[int]:
    """Keep one core busy with another process, until this block or this process ends -> its id."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE)
    try:
        time.sleep(0.2)
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def rows(quick: bool) -> Iterator[Row]:
    """Measure all rows of training, one after the other."""
    yield from compare("S", 3 if quick else 30)
    with busy_process():
        speed, _, _ = compare("S", 1 if quick else 10)
    speed.what = "  the same beside one busy process"
    yield speed
    yield from compare("M", 1 if quick else 8)
    yield from compare("L", 1 if quick else 10)
    if sys.platform == "linux" and not quick:
        speed, _, memory = compare("L", 6, MALLOC, "PyTorch, malloc tuned")
        yield speed
        yield memory
    for name, rounds in (("S", 10), ("M", 5), ("L", 3)):
        yield textbook_row(name, 1 if quick else rounds)
    yield from memory_over_time(quick)


def textbook_row(name: str, rounds: int) -> Row:
    """Race steps by the textbook's layers against steps by the engine's: what the tuning is worth."""
    settings, batch_size, steps = SIZES[name]
    arguments = dict(settings=settings, batch_size=batch_size, steps=steps)
    laps, _ = race({
        "textbook": Entry("bench.training.minigpt_steps", {**arguments, "fast": False}),
        "engine": Entry("bench.training.minigpt_steps", arguments),
    }, rounds, warmup=0)
    seconds = {name: [result["seconds"] for result in lap.results] for name, lap in laps.items()}
    tokens = batch_size * settings["n_positions"] * steps
    return Row(f"textbook ÷ engine, step {name}", "tokens/s", rate(tokens, seconds["textbook"]), "the engine",
               rate(tokens, seconds["engine"]), ratio(seconds["engine"], seconds["textbook"]))


def memory_over_time(quick: bool) -> Iterator[Row]:
    """Measure what later steps allocate, on one small model: nothing large in the second, nothing more in the last."""
    settings, batch_size, _ = SIZES["S"]
    step = minigpt_step({**settings, "n_layer": 1, "n_embd": 64}, batch_size)
    steps = 500 if quick else 10_000
    step()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        step()
        after, peak = tracemalloc.get_traced_memory()
        seconds = np.zeros(steps - 2)
        for i in range(len(seconds)):
            start = time.perf_counter()
            step()
            seconds[i] = time.perf_counter() - start
        end, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    tenth = len(seconds) // 10
    drift = np.median(seconds[-tenth:]) / np.median(seconds[:tenth])
    yield Row("allocated during the second step", "MB", (peak - before) / 1e6, "", better="less")
    yield Row(f"  at most in {steps:,} steps", "MB", (highest - before) / 1e6, "", better="less",
              note=f"{(end - after - seconds.nbytes) / 1e3:.0f} kB kept; last tenth of the steps ÷ first: {drift:.2f} in time")


def attention_share(n_positions: int, batch_size: int, seconds: float = 1.0) -> tuple[float, float]:
    """Return (tokens per second, attention's share of the time) of forward and backward at size S on one thread."""
    config = GPTConfig(**{**SIZES["S"][0], "n_positions": n_positions})
    model = GPT(config, threads=1)
    ids, targets = batch(config, batch_size)
    spent = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal spent
            start = time.perf_counter()
            result = function(*arguments, **options)
            spent += time.perf_counter() - start
            return result

        return run

    originals = multihead.attention_forward, multihead.attention_backward
    multihead.attention_forward, multihead.attention_backward = timed(originals[0]), timed(originals[1])
    try:
        model.loss_and_grads(ids, targets)
        spent, passes, start = 0.0, 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            model.loss_and_grads(ids, targets)
            passes += 1
        total = time.perf_counter() - start
    finally:
        multihead.attention_forward, multihead.attention_backward = originals
    return passes * ids.size / total, spent / total


def cost_table(quick: bool) -> Iterator[str]:
    """Measure tokens per second and attention's share, by context and by batch -> the lines of a table."""
    seconds = 0.2 if quick else 1.5
    yield "cost of forward and backward at size S on one thread"
    yield f"{'context':>10} {'batch':>6} {'tokens/s':>10} {'attention':>10}"
    for n_positions, batch_size in [(t, 4) for t in (64, 128, 256, 512, 1024)] + [(64, b) for b in (1, 2, 8, 16)]:
        speed, share = attention_share(n_positions, batch_size, seconds)
        yield f"{n_positions:>10} {batch_size:>6} {speed:>10,.0f} {share:>10.0%}"


