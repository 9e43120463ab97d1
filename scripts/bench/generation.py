"""Generation: GPT-2 at its smallest size, 124M random weights, decoding and prefilling here and in transformers."""

from __future__ import annotations

import time

import numpy as np

from minigpt import GPT, GPTConfig
from minigpt.parallel import cpu_count

from .race import Entry, race, rate, ratio, spread
from .report import Row

PROMPT, NEW, LONG = 32, 64, 512       # tokens


def save_gpt2(folder):
    """Write a GPT-2 of 124M random weights, as Hugging Face lays it out."""
    GPT(GPTConfig.preset("gpt2"), seed=0).save_pretrained(folder)


def prompt(length, i):
    """The i-th prompt: random tokens, (length,)"""
    return np.random.default_rng(i).integers(0, 50257, length)


def minigpt_decode(folder):
    """run(i) -> the new tokens, and the seconds for each but the first"""
    model = GPT.from_pretrained(folder)

    def run(i):
        tokens: list[int] = []
        for token in model.stream(prompt(PROMPT, i), NEW, temperature=0):
            if not tokens:
                start = time.perf_counter()
            tokens.append(int(token))
        return {"tokens": tokens, "step": (time.perf_counter() - start) / (NEW - 1)}

    return run


def minigpt_prefill(folder):
    """run(i) -> the likeliest token after a long prompt"""
    model = GPT.from_pretrained(folder)
    return lambda i: {"tokens": [int(model.generate(prompt(LONG, i), 1, temperature=0)[-1])]}


def _transformers(folder):
    import torch
    import transformers

    torch.set_num_threads(cpu_count())
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    return torch, model


def transformers_decode(folder):
    """run(i) -> the new tokens"""
    torch, model = _transformers(folder)

    def run(i):
        ids = torch.from_numpy(prompt(PROMPT, i))[None]
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, min_new_tokens=NEW,
                             do_sample=False, pad_token_id=50256)
        return {"tokens": out[0, PROMPT:].tolist()}

    return run


def transformers_prefill(folder):
    """run(i) -> the likeliest token after a long prompt, from the last position's logits alone"""
    torch, model = _transformers(folder)

    def run(i):
        with torch.no_grad():
            logits = model(torch.from_numpy(prompt(LONG, i))[None], logits_to_keep=1).logits
        return {"tokens": [int(logits[0, -1].argmax())]}

    return run


def _compare(function, row, tokens, rounds, folder):
    """Fill a row from a race -> the laps of all sides"""
    folder = {"folder": str(folder)}
    laps, notes = race({
        "minigpt": Entry(f"bench.generation.minigpt_{function}", folder),
        "transformers": Entry(f"bench.generation.transformers_{function}", folder),
        "ceiling": Entry("bench.machine.ceilings", dict(kinds=["read"])),
    }, rounds, warmup=1)
    ours, theirs = laps["minigpt"], laps.get("transformers")
    row.ours, row.note = rate(tokens, ours), notes.get("transformers", "")
    if theirs:
        row.theirs, row.ratio = rate(tokens, theirs), ratio(theirs.seconds, ours.seconds)
        same = sum(a["tokens"] == b["tokens"] for a, b in zip(ours.results, theirs.results, strict=True))
        row.note = f"the same tokens in {same} of {rounds} rounds"
    return laps


def decode_rows(folder, quick):
    """Decoding against transformers, and as a share of what reading all weights once a token allows"""
    row = Row(f"decode, prompt {PROMPT} + {NEW} new", "tokens/s", None, "transformers")
    laps = _compare("decode", row, NEW, 3 if quick else 10, folder)
    yield row
    config = GPTConfig.preset("gpt2")
    read = 4 * (config.n_params - config.n_positions * config.n_embd)      # of the positions one row is read
    bandwidths = [ceiling["read"] for ceiling in laps["ceiling"].results]
    yield Row("  share of the read bandwidth", "", None, "the machine",
              ratio=ratio([read / b for b in bandwidths], [result["step"] for result in laps["minigpt"].results]),
              note=f"{read / 1e6:.0f} MB a token at {spread(bandwidths)[0] / 1e9:.1f} GB/s")


def prefill_rows(folder, quick):
    """Reading a long prompt, the last position's logits"""
    row = Row(f"prefill {LONG}", "tokens/s", None, "transformers")
    _compare("prefill", row, LONG, 4 if quick else 12, folder)
    yield row
