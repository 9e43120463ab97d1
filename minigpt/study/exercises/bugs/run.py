"""A small training run: a text, a model of characters, its loss, gradient, optimizer and samples."""

from __future__ import annotations

import numpy as np

from ....config import GPTConfig
from ....generation.warpers import sample
from ....inputs import check_count
from ....nn import Gradients
from ....system.language import Sentence, language, translator
from ....tokenization import CharTokenizer
from ....training.batches import Batches, windows
from ....training.corpora import split
from .chinese import CHINESE
from .data import FRACTION
from .model import LabGPT
from .optimizer import Optimizer
from .parts import Parts
from .sampling import Sampler
from .text import TEXT

BATCH, CONTEXT = 4, 32


class Run:
    """A training run of a model of some thousand parameters on five sonnets; `parts` says what does each thing.

        run.train(300)                      # 300 steps, printed -> the losses of these batches
        run.loss()                          # of the validation part
        ids, targets = run.batch()          # the next batch, (B, T) each
        loss, grads = run.gradient(ids, targets)        # what a step uses, gradients by name
        run.optimizer.step(grads)           # one update; also rate(t), clipped(grads), t, m, v
        run.sample("Shall I")               # a text; run.sampler() goes step by step
        run.model                           # a GPT: trace, loss, loss_and_grads, generate, params, grads
    """

    def __init__(self, parts: Parts | None = None, *, language: str | None = None) -> None:
        parts = Parts() if parts is None else parts
        self.language = language        # "en" or "zh", None for that of the locale
        self.text = TEXT
        self.tokenizer = CharTokenizer.train(self.text)
        self.ids = np.array(self.tokenizer.encode(self.text))
        self.validation_ids = split(self.ids, FRACTION)[1]
        self.batches = Batches(parts.training_ids(self.ids), BATCH, CONTEXT)
        config = GPTConfig(self.tokenizer.vocab_size, CONTEXT, n_embd=16, n_layer=2, n_head=2, embd_pdrop=0.1)
        self.model = LabGPT(config, parts)
        self.model.tokenizer = self.tokenizer
        self.optimizer = Optimizer(self.model, parts)
        self._parts = parts

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """The next batch: inputs and targets, (B, T) each"""
        return self._parts.next_batch(self.batches)

    def gradient(self, ids: np.ndarray, targets: np.ndarray) -> tuple[float, Gradients]:
        """The loss of a batch, with dropout, and the gradients that a step uses, by name; the next call overwrites them"""
        return self._parts.gradient(self.model, ids, targets, (0, self.optimizer.t))

    def train(self, steps: int = 100) -> list[float]:
        """Train for so many steps and print the mean loss of the last ten -> the loss of each batch, in nats."""
        check_count(steps, 1, "steps", "100 take about a second")
        losses = []
        for _ in range(steps):
            loss, grads = self.gradient(*self.batch())
            self.optimizer.step(grads)
            losses.append(loss)
        tell = translator(language(self.language), CHINESE)
        print(tell(Sentence("after {t} steps: loss {loss:.2f} in training, {validation:.2f} in validation", t=self.optimizer.t,
                            loss=np.mean(losses[-10:]), validation=self.loss())))
        return losses

    def loss(self) -> float:
        """The mean loss of the validation part, in nats"""
        batches = [*windows(self.validation_ids, CONTEXT, BATCH)]
        total = sum(self.model.loss(ids, targets) * targets.size for ids, targets in batches)
        return total / sum(targets.size for _, targets in batches)

    def sampler(self, temperature: float = 1.0, top_k: int | None = None) -> Sampler:
        """What sample() reads and draws with, at the beginning of a text"""
        return Sampler(self.model, self._parts, temperature, top_k)

    def sample(self, prompt: str = "Shall I", *, temperature: float = 1.0, top_k: int | None = None, seed: int = 0) -> str:
        """The prompt and what follows it, 32 characters together.  Raises ValueError for another prompt than it can read."""
        ids = self.tokenizer.encode(prompt)
        if not 0 < len(ids) <= CONTEXT:
            raise ValueError(f"prompt: {len(ids)} characters, expected 1 to {CONTEXT}; the model can read no more")
        rng, sampler = np.random.default_rng(seed), self.sampler(temperature, top_k)
        logits = sampler.read(np.array(ids))
        while len(ids) < CONTEXT:
            ids.append(sample(sampler.probabilities(logits), rng))
            logits = sampler.read(np.array(ids[-1:]))
        return self.tokenizer.decode(ids)
