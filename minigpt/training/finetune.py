"""Fine-tuning: a trained model learns a task from examples (x, y), whole, by its head alone, or by LoRA.

    max Σ log P(y given x)        over the examples; y is a label, or a text of which each token is predicted in turn

    base = GPT.from_pretrained("shakespeare-char")
    model = Classifier.from_model(base, ["comedy", "tragedy"], seed=0)
    add_lora(model, "h.*.attn.c_attn", rank=8)                      # or train_head(model), or nothing: then all of it learns
    examples = [labeled(base.tokenizer.encode(text), label) for text, label in …]
    FineTuner(model, base.tokenizer, (examples[:900], examples[900:]), Recipe(steps=300), folder).run()
    model.predict(["To be, or not to be"])

The loop, its log and its checkpoints are trainer.py's; adapters are adapters.py's, their mathematics nn/lora.py's; the
tasks are tasks.py's.
Radford et al. 2018 §3.2, §3.3; articles A0 §3.2.3 微调和推理, A1 §2.4 预训练与微调, A3 §3.2, A4 §3.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..config import GPTConfig
from ..inputs import checked_row, is_number, is_text, is_whole, pad_rows, require_tokenizer
from ..models.classifier import ROWS_AT_ONCE, Classifier
from ..models.gpt import GPT
from ..nn.cross_entropy import IGNORED
from .adapters import merged
from .batches import Shuffled
from .corpora import fingerprint
from .facts import READERS, Readers, which
from .trainer import Trainer


class Example(NamedTuple):
    """What one text teaches: targets[t] is to be predicted at inputs[t], −100 where nothing is."""

    inputs: np.ndarray      # (T,)
    targets: np.ndarray     # (T,)


def labeled(ids: ArrayLike, label: int) -> Example:
    """A text (T,) and its class: only the last token, which has seen all others, is asked for it.

        labeled([5, 2, 7], label=1) -> inputs [5, 2, 7], targets [−100, −100, 1]

    Raises ValueError for an empty text.
    """
    inputs = np.asarray(ids, np.int64)
    if not inputs.size:
        raise ValueError("ids: empty, expected a text of at least one token; leave the example out")
    targets = np.full_like(inputs, IGNORED)
    targets[-1] = label
    return Example(inputs, targets)


def answered(prompt: Sequence[int] | np.ndarray, answer: Sequence[int] | np.ndarray) -> Example:
    """A prompt and the text that is to follow it: the prompt is read but carries no loss.

        answered([5, 2], [7, 8]) -> inputs [5, 2, 7], targets [−100, 7, 8]

    Raises ValueError where one of the two is empty.
    """
    if not len(prompt) or not len(answer):
        raise ValueError(f"prompt of {len(prompt)} tokens, answer of {len(answer)}: expected at least one in each")
    ids = np.concatenate([np.asarray(prompt, np.int64), np.asarray(answer, np.int64)])
    targets = ids[1:].copy()
    targets[: len(prompt) - 1] = IGNORED
    return Example(ids[:-1], targets)


def padded(examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Make a batch of examples: inputs and targets (B, T), padded on the right, where no earlier token looks."""
    return pad_rows([example.inputs for example in examples], 0), pad_rows([example.targets for example in examples], IGNORED)


class ExampleBatches:
    """Endless batches of examples, each once an epoch; `position` is the whole state, as in batches.Batches."""

    def __init__(self, examples: Sequence[Example], batch_size: int, seed: int) -> None:
        self.examples, self.batch_size = examples, batch_size
        self.position = 0
        self._shuffled = Shuffled(len(examples), seed)

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the next batch, inputs and targets (B, T), and advance position by one."""
        batch = padded([self.examples[i] for i in self._shuffled.batch(self.position, self.batch_size)])
        self.position += 1
        return batch


def answers(model: GPT, prompts: Sequence[str], max_new_tokens: int, end: str = "\n") -> list[str]:
    """What the model holds likeliest after each prompt, token by token, up to `end`."""
    tokenizer = require_tokenizer(model)
    (stop,) = tokenizer.encode(end)
    texts = []
    for i in range(0, len(prompts), ROWS_AT_ONCE):
        rows = [tokenizer.encode(prompt) for prompt in prompts[i : i + ROWS_AT_ONCE]]
        made = model.generate(rows, max_new_tokens, temperature=0, stop_ids=[stop])
        texts += [tokenizer.decode(ids[len(row) :]).split(end)[0] for row, ids in zip(rows, made, strict=True)]
    return texts


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def _are_labels(value: object) -> bool:
    return value is None or (isinstance(value, list) and len(value) > 1 and _are_texts(value))


def _is_table(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 3 and is_text(row[0]) and (is_text(row[2]) or is_number(row[2]))
        and isinstance(row[1], list) and all(is_whole(size, 1) for size in row[1]) for row in value)


class FineTuner(Trainer):
    """A Trainer on examples instead of a text.

        tuner = FineTuner(model, tokenizer, (train, validation), Recipe(…), folder)
        tuner.run()
        tuner = FineTuner.resume(folder, (train, validation))       # the same run where it stopped, to the last bit

    train, validation: sequences of Example.  What of the model learns is settled before, by train_head() or add_lora().  The
    folder holds the model that was best on `validation`, adapters merged; checkpoints hold the model as it is, frozen arrays
    too, so that a run needs nothing but its examples to go on.  Each example comes once an epoch, whatever the recipe's
    order, and there are no samples.
    Raises TypeError, ValueError for examples that the model cannot take.
    """

    READERS: ClassVar[Readers] = {
        **READERS, "labels": which(_are_labels), "learning": which(_is_table), "frozen": which(_are_texts),
    }

    AGAINST_OVERFITTING: ClassVar[str] = "more examples, fewer --steps, or fewer parameters that learn"

    def _read(self, examples: tuple[Sequence[Example], Sequence[Example]]) -> ExampleBatches:
        train, self.validation = examples
        n_positions, V, n_outputs = self.model.config.n_positions, self.model.config.vocab_size, self.model.n_outputs
        for kind, part in (("train", train), ("validation", self.validation)):
            if not part:
                raise ValueError(f"{kind}: no examples, expected at least one")
            for i, (inputs, targets) in enumerate(part):
                asked = targets[targets != IGNORED]
                if len(inputs) > n_positions:
                    raise ValueError(f"{kind}[{i}]: {len(inputs)} tokens exceed n_positions {n_positions}; shorten the text")
                checked_row(inputs, V, f"{kind}[{i}]")
                if not asked.size or asked.min() < 0 or asked.max() >= n_outputs:
                    raise ValueError(f"{kind}[{i}]: targets {asked}, expected at least one, from 0 to {n_outputs - 1}")
        return ExampleBatches(train, self.recipe.batch_size, self.recipe.seed)

    def _validation(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        size = self.recipe.batch_size
        return (padded(self.validation[i : i + size]) for i in range(0, len(self.validation), size))

    @staticmethod
    def _fingerprint(examples: tuple[Sequence[Example], Sequence[Example]]) -> str:
        rows = [row for part in examples for example in part for row in (np.array([len(example.inputs)]), *example)]
        return fingerprint(np.concatenate(rows)) if rows else ""

    @staticmethod
    def _model(config: GPTConfig, metadata: Mapping[str, Any], threads: int | None) -> GPT:
        arguments: dict[str, Any] = {"seed": None, "dtype": metadata["dtype"], "threads": threads, "fast": metadata["fast"]}
        model = GPT(config, **arguments) if metadata["labels"] is None else Classifier(config, metadata["labels"], **arguments)
        scales = {name: np.ones(1, model.dtype) for name in metadata["frozen"] if name not in model.params}
        model.train_only([(name, tuple(shape), initial) for name, shape, initial in metadata["learning"]], scales)
        return model

    def _metadata(self) -> dict[str, Any]:
        labels = self.model.labels if isinstance(self.model, Classifier) else None
        return {"labels": labels, "learning": self.model.table, "frozen": sorted(self.model.frozen)}

    def _export(self) -> None:
        model = merged(self.model)
        model.tokenizer = self.tokenizer
        model.save_pretrained(self.folder)

    def _bits_per_nat(self) -> None:
        """A label has no bytes, and of an answer only some tokens are asked for."""

    def _sample_due(self, evaluated: bool) -> bool:
        return False        # a text out of nothing says nothing about a task
