"""Scoring: how likely a thousand answers to one prompt are, here and in transformers batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt.generation.scoring import choose

from . import pair
from .gpt2 import prompt
from .race import Entry, Run
from .report import Row
from .same_weights import minigpt_model, transformers_model

ANSWERS, LENGTH, PROMPT, BATCH = 1000, 4, 32, 32


def _answers(i: int) -> np.ndarray:
    return np.random.default_rng(1000 + i).integers(0, 50257, (ANSWERS, LENGTH))


def minigpt_scoring() -> Run:
    """Make minigpt's side: log p of the likeliest answer."""
    model = minigpt_model()
    return pair.timed(lambda i: float(choose(model, prompt(PROMPT, i), _answers(i).tolist())[0].logprob),
                      lambda: model.loss(prompt(8, 0)[None]))


def transformers_scoring() -> Run:
    """Make transformers', which computes logits only where an answer is asked for."""
    import torch

    model = transformers_model().eval()

    def work(i: int) -> float:
        given, answers = torch.from_numpy(prompt(PROMPT, i)), torch.from_numpy(_answers(i))
        found = []
        with torch.no_grad():
            for part in answers.split(BATCH):
                ids = torch.cat([given.expand(len(part), -1), part], dim=1)
                logp = model(ids, logits_to_keep=LENGTH + 1).logits[:, :-1].log_softmax(-1)
                found.append(logp.gather(2, part[..., None]).sum((1, 2)))
        return float(torch.cat(found).max())

    return pair.timed(work, lambda: model(torch.from_numpy(prompt(8, 0))[None]))


def rows(quick: bool) -> Iterator[Row]:
    """Race the two."""
    yield from pair.rows(
        f"score {ANSWERS:,} answers of {LENGTH} tokens", "transformers", Entry("bench.scoring.minigpt_scoring"),
        Entry("bench.scoring.transformers_scoring"), 1 if quick else 5, amount=ANSWERS, unit="answers/s", tolerance=1e-3,
        note=f"after a prompt of {PROMPT} tokens; theirs in batches of {BATCH}",
    )
