"""GPT-2 at its smallest size, 124M random weights: loading, decoding and prefilling, here and in transformers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigpt import GPT, GPTConfig
from minigpt.system.threads import cpu_count

from .machine import ceilings
from .race import Entry, Run, left, quartiles, race, rate, ratio
from .report import Row

PROMPT, NEW, LONG = 32, 64, 512       # tokens
PARTS = {                             # name: (row's title, tokens)
    "decode": (f"decode, prompt {PROMPT} + {NEW} new", NEW),
    "prefill": (f"prefill {LONG}", LONG),
    "load": ("load GPT-2 124M", 0),
}


def save_gpt2(folder: str) -> None:
    """Write a GPT-2 of 124M random weights, as Hugging Face lays it out."""
    GPT(GPTConfig.preset("gpt2"), seed=0).save_pretrained(folder)


def prompt(length: int, i: int) -> np.ndarray:
    """Return the i-th prompt: random tokens, (length,)."""
    return np.random.default_rng(i).integers(0, 50257, length)


def _in_turn(work: dict[str, Run], parts: Sequence[str], wake: Callable[[], None]) -> Run:
    """run(i) -> {part: what it returned, and its seconds} for work {part: function of i}

    A worker has slept while others ran: wake() gets it going before the clock starts.
    """

    def run(i: int) -> dict[str, dict[str, Any]]:
        results = {}
        for part in parts:
            wake()
            start = time.perf_counter()
            result = work[part](i)
            results[part] = {"seconds": time.perf_counter() - start, **result}      # or its own, if it has done more
        return results

    return run


def minigpt_side(folder: str, parts: Sequence[str]) -> Run:
    """Make minigpt's side of any of the parts."""
    model = GPT.from_pretrained(folder)
    measured = ceilings(["read"] if "decode" in parts else [])

    def decode(i: int) -> dict[str, Any]:
        before = measured(i)["read"]                   # how fast memory is changes within seconds: before, after, and here
        tokens: list[int] = []
        start = time.perf_counter()
        for token in model.stream(prompt(PROMPT, i), NEW, temperature=0):
            if not tokens:
                first = time.perf_counter()
            tokens.append(int(token))
        stop = time.perf_counter()
        step = (stop - first) / (NEW - 1)              # without the prompt
        return {"tokens": tokens, "seconds": stop - start, "step": step, "read": max(before, measured(i)["read"])}

    def prefill(i: int) -> dict[str, Any]:
        return {"tokens": model.generate(prompt(LONG, i), 1, temperature=0)[LONG:].tolist()}

    def load(i: int) -> dict[str, Any]:
        return {"tokens": GPT.from_pretrained(folder).config.n_params}

    def wake() -> None:
        model.generate(prompt(PROMPT, 0), 4, temperature=0)

    return _in_turn({"decode": decode, "prefill": prefill, "load": load}, parts, wake)


def transformers_side(folder: str, parts: Sequence[str]) -> Run:
    """Make transformers'; of a long prompt it computes the last position's logits alone, as minigpt does."""
    import torch
    import transformers

    torch.set_num_threads(cpu_count())
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    def from_pretrained() -> Any:
        return transformers.GPT2LMHeadModel.from_pretrained(folder).eval()

    model = from_pretrained()

    def decode(i: int) -> dict[str, Any]:
        ids = torch.from_numpy(prompt(PROMPT, i))[None]
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, min_new_tokens=NEW,
                             do_sample=False, pad_token_id=50256)
        return {"tokens": out[0, PROMPT:].tolist()}

    def prefill(i: int) -> dict[str, Any]:
        with torch.no_grad():
            logits = model(torch.from_numpy(prompt(LONG, i))[None], logits_to_keep=1).logits
        return {"tokens": [int(logits[0, -1].argmax())]}

    def load(i: int) -> dict[str, Any]:
        return {"tokens": sum(p.numel() for p in from_pretrained().parameters())}

    def wake() -> None:
        model.generate(torch.from_numpy(prompt(PROMPT, 0))[None], max_new_tokens=4, do_sample=False, pad_token_id=50256)

    return _in_turn({"decode": decode, "prefill": prefill, "load": load}, parts, wake)


def rows(parts: Sequence[str], quick: bool) -> Iterator[Row]:
    """Measure the parts that are asked for, in one race."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2(folder)
        arguments = {"folder": folder, "parts": parts}
        laps, notes = race({
            "minigpt": Entry("bench.gpt2.minigpt_side", arguments),
            "transformers": Entry("bench.gpt2.transformers_side", arguments),
        }, 1 if quick else 10, warmup=1)
    for part in parts:
        title, tokens = PARTS[part]
        ours = [result[part] for result in laps["minigpt"].results]
        seconds = [result["seconds"] for result in ours]
        row = Row(title, "tokens/s" if tokens else "s", _value(tokens, seconds), "transformers",
                  better="more" if tokens else "less", note=notes.get("transformers", ""))
        if "transformers" in laps:
            theirs = [result[part] for result in laps["transformers"].results]
            their_seconds = [result["seconds"] for result in theirs]
            row.theirs = _value(tokens, their_seconds)
            row.ratio = ratio(their_seconds, seconds) if tokens else ratio(seconds, their_seconds)
            if tokens:
                same = sum(a["tokens"] == b["tokens"] for a, b in zip(ours, theirs, strict=True))
                row.note = f"the same tokens in {same} of {len(ours)} rounds"
        yield row
        if part == "decode":
            config = GPTConfig.preset("gpt2")
            read = 4 * (config.n_params - config.n_positions * config.n_embd)      # of the positions one row is read
            bandwidths = [result["read"] for result in ours]
            share = ratio([read / b for b in bandwidths], [result["step"] for result in ours])
            yield Row("  share of the read bandwidth", "", None, "the machine", ratio=share,
                      note=f"{read / 1e6:.0f} MB a token at {quartiles(bandwidths)[0] / 1e9:.1f} GB/s; {left(share)}")


def _value(tokens: int, seconds: list[float]) -> float:
    """The median of the seconds, or of tokens per second"""
    return rate(tokens, seconds) if tokens else quartiles(seconds)[0]
