"""Looking inside: activations and gradients by name, here, in TransformerLens, in glassllm and in transformers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigpt import GPT

from . import pair
from .gpt2 import prompt
from .race import Entry, Run
from .report import Row
from .same_weights import CONFIG, minigpt_model, transformer_lens_model, transformers_model

TOKENS, LONG = 64, 512


def minigpt_trace(gradients: bool) -> Run:
    """Take every activation, and with gradients every gradient too -> the loss, or without gradients a logit."""
    model = minigpt_model()

    def work(i: int) -> float:
        ids = prompt(TOKENS, i)[None]
        if gradients:
            loss = model.trace(ids, targets=_next(ids)).loss
            assert loss is not None         # as with all targets
            return loss
        return float(model.trace(ids)["logits"].value[0, -1, 0])

    return pair.timed(work, lambda: model.loss(prompt(8, 0)[None]))


def _next(ids: np.ndarray) -> np.ndarray:
    """The next token as target, of the last position none: what TransformerLens's loss asks"""
    return np.concatenate([ids[:, 1:], np.full_like(ids[:, :1], -100)], axis=1)


def transformer_lens_trace(gradients: bool) -> Run:
    """Do the same by hooks on all points, both ways."""
    import torch

    model = transformer_lens_model()

    def work(i: int) -> float:
        ids = torch.from_numpy(prompt(TOKENS, i))[None]
        if not gradients:
            with torch.no_grad():
                logits, cache = model.run_with_cache(ids)
            return float(logits[0, -1, 0])
        values: dict[str, Any] = {}
        grads: dict[str, Any] = {}
        model.zero_grad()
        with model.hooks(
            fwd_hooks=[(lambda name: True, lambda array, hook: values.update({hook.name: array.detach()}))],
            bwd_hooks=[(lambda name: True, lambda array, hook: grads.update({hook.name: array.detach()}))],
        ):
            loss = model(ids, return_type="loss")
            loss.backward()
        return loss.item()

    return pair.timed(work, lambda: model(torch.from_numpy(prompt(8, 0))[None]))


def minigpt_small() -> Run:
    """Trace the forward pass of the bundled model."""
    model = GPT.from_pretrained("shakespeare-char")

    def work(i: int) -> int:
        return len(model.trace(np.random.default_rng(i).integers(0, 65, (1, TOKENS))))

    return pair.timed(work, lambda: work(0))


def glassllm_small() -> Run:
    """Do the same with the model that comes with glassllm."""
    from glassllm import Tracer, load_pretrained, no_grad

    model, _ = load_pretrained("en")

    def work(i: int) -> int:
        tracer = Tracer()
        with no_grad():
            model.forward(np.random.default_rng(i).integers(0, model.cfg.vocab_size, TOKENS), trace=tracer)
        return len(tracer.records)

    return pair.timed(work, lambda: work(0))


def minigpt_attention() -> Run:
    """Take the weights of all heads, as arrays -> one number of them."""
    model = minigpt_model()

    def work(i: int) -> float:
        maps = model.trace(prompt(LONG, i)[None], names="h.*.attn.att")
        return float(maps[f"h.{CONFIG.n_layer - 1}.attn.att"].value[0, 0, 1, 0])

    return pair.timed(work, lambda: model.loss(prompt(8, 0)[None]))


def transformers_attention() -> Run:
    """Do the same by output_attentions."""
    import torch

    model = transformers_model(attn_implementation="eager").eval()

    def work(i: int) -> float:
        with torch.no_grad():
            maps = model(torch.from_numpy(prompt(LONG, i))[None], output_attentions=True, logits_to_keep=1).attentions
        return float([array.numpy() for array in maps][-1][0, 0, 1, 0])

    return pair.timed(work, lambda: model(torch.from_numpy(prompt(8, 0))[None]))


def trace_rows(quick: bool) -> Iterator[Row]:
    """Trace all names of GPT-2 124M, both ways and forward, then of a small model."""
    for gradients, what in ((True, f"all activations, gradients, {TOKENS}"), (False, f"all activations, {TOKENS}")):
        arguments = {"gradients": gradients}
        yield from pair.rows(what, "TransformerLens", Entry("bench.looking.minigpt_trace", arguments),
                             Entry("bench.looking.transformer_lens_trace", arguments), 1 if quick else 10, tolerance=1e-3)
    yield from pair.rows(f"trace of 4 layers, {TOKENS} tokens", "glassllm", Entry("bench.looking.minigpt_small"),
                         Entry("bench.looking.glassllm_small"), 3 if quick else 30, note="each its own 0.8M weights, forward")


def attention_rows(quick: bool) -> Iterator[Row]:
    """Take the attention maps of a long text."""
    yield from pair.rows(f"attention maps, {LONG} tokens", "transformers", Entry("bench.looking.minigpt_attention"),
                         Entry("bench.looking.transformers_attention"), 1 if quick else 10, tolerance=1e-3)
