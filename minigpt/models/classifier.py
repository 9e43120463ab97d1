"""A GPT whose last token scores labels instead of tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import weights
from ..config import ConfigError, GPTConfig
from ..inputs import pad_rows, require_tokenizer
from ..nn.cross_entropy import cross_entropy_backward
from ..nn.embedding import unembedding_backward
from ..nn.scope import Scope
from ..system.json_reader import read_json
from ..system.text import printable
from .gpt import GPT, parameter_table
from .network import Table

HEAD = "score.weight"               # Hugging Face's name of the classification head
ROWS_AT_ONCE = 64                           # texts read at once when a model answers


class Classifier(GPT):
    r"""A GPT whose last token scores labels instead of tokens.

        logits = h_last Wᵀ,   P(y given x) = softmax(logits)[y]

    W is score.weight (labels, C), without a bias; h_last is the normalized output at the last token of a text.  What this is
    in transformers is called GPT2ForSequenceClassification.  Inside it is a GPT with another output table: loss() and
    loss_and_grads() take targets (B, T), labels at those positions that are asked and −100 elsewhere, as padded() makes them.
    Raises ValueError for labels that are none, or one that stands there twice.
    """

    def __init__(self, config: GPTConfig, labels: Sequence[str], seed: Any = 0, dtype: DTypeLike = np.float32,
                 threads: int | None = None, fast: bool = True) -> None:
        config.require_causal("Classifier")         # what is padded at the end is seen by no token before
        self.labels = tuple(labels)
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: {list(labels)}, expected each once and at least one")
        super().__init__(replace(config, tie_word_embeddings=True), seed, dtype, threads, fast)     # there is no lm_head

    @classmethod
    def from_model(cls, model: GPT, labels: Sequence[str], seed: Any = 0) -> Classifier:
        """Make a classifier of a trained model's weights, copied, and a new head drawn from `seed`.

        Raises ValueError for fewer than two labels, and for a model with adapters.
        """
        refuse_adapters(model)
        if len(labels) < 2:
            raise ValueError(f"labels: {list(labels)}, expected at least two, each once")
        return cls._with_body(model, labels, seed)

    @classmethod
    def _with_body(cls, model: GPT, labels: Sequence[str], seed: Any = 0) -> Classifier:
        classifier = cls(model.config, labels, seed, model.dtype, model.pool.threads, model.fast)
        for name in classifier.params.keys() - {HEAD}:
            classifier.params[name][...] = model.params[name]
        classifier.tokenizer = model.tokenizer
        return classifier

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | os.PathLike[str], *,
        dtype: DTypeLike = np.float32, threads: int | None = None, fast: bool = True, strict: bool = False,
    ) -> Classifier:
        """Load what save_pretrained() or transformers' GPT2ForSequenceClassification wrote, with its labels and its tokenizer.

        Raises what weights.pretrained.from_pretrained() does; WeightFormatError where the folder holds no such classifier.
        """
        from ..weights import pretrained, sources  # here and below: they stand above the models
        from ..weights.folder import check_together, facts_of

        path = sources.weight_file(pretrained.find(name_or_folder))
        values = read_json(path.with_name("config.json"), dict, error=ConfigError)
        config = replace(GPTConfig.from_dict(values, path.with_name("config.json")), tie_word_embeddings=True)
        config.require_causal(printable(path.with_name("config.json")))
        tensors = weights.load(path)
        head = next((tensors.pop(name) for name in list(tensors) if name.split(".")[-2:] == ["score", "weight"]), None)
        names = values.get("id2label")
        labels = _labels(names)
        if names is None and head is not None and head.ndim:        # transformers writes no names that nobody chose
            labels = [f"LABEL_{i}" for i in range(len(head))]
        if head is None or head.dtype.kind != "f" or head.shape != (len(labels), config.n_embd) or not labels:
            found = "no score.weight"
            if head is not None:
                found = f"score.weight {head.dtype} {head.shape} and id2label {printable(repr(names), 80)}"
            raise weights.WeightFormatError(
                f"{printable(path)}: {found}, expected a classifier; for a new head write "
                "Classifier.from_model(model, labels)"
            )
        model = pretrained.from_state_dict(
            tensors, config, dtype=dtype, threads=threads, fast=fast, strict=strict, source=str(path)
        )
        model.tokenizer = sources.tokenizer_of(path, config)
        classifier = cls._with_body(model, labels)
        classifier.params[HEAD][...] = head
        facts = {**facts_of(classifier.config), "labels": list(classifier.labels)}
        check_together(path, facts, model.tokenizer)
        return classifier

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the folder that from_pretrained() and transformers' GPT2ForSequenceClassification load."""
        names = {str(i): label for i, label in enumerate(self.labels)}
        from ..weights import pretrained
        from ..weights.folder import facts_of, write_folder

        config, tensors = pretrained.exported(self)
        values = json.loads(config.to_json())
        values["architectures"] = [name.replace("LMHeadModel", "ForSequenceClassification") for name in values["architectures"]]
        values |= {"id2label": names, "label2id": {label: int(i) for i, label in names.items()}}
        tensors = {**{f"transformer.{name}": array for name, array in tensors.items()}, HEAD: self.params[HEAD]}
        facts = {**facts_of(config), "labels": list(self.labels)}
        write_folder(folder, json.dumps(values, indent=2) + "\n", facts, tensors, self.tokenizer)

    def checked(self, ids: Any, targets: Any) -> tuple[np.ndarray, np.ndarray, int]:
        """Check a batch as GPT does; targets are labels.  Raises TypeError, ValueError."""
        if targets is True:
            raise TypeError("targets: True, expected labels (B, T), as padded() makes them; there are no next tokens here")
        return super().checked(ids, targets)

    def __call__(self, ids: Any, key_padding_mask: Any = None) -> np.ndarray:
        """Score the labels: ids (B, T), or what else GPT takes -> logits (B, labels), an array of the caller's own.

        key_padding_mask (B, T) booleans: False at padding, on whichever side it stands; a text's result is the same without it.
        Raises TypeError, ValueError.
        """
        ids = self.checked_ids(ids)
        if key_padding_mask is None:
            return super().__call__(ids)[:, -1].copy()
        mask = np.atleast_2d(key_padding_mask)
        if mask.shape != ids.shape or mask.dtype != bool or not mask.any(axis=-1).all():
            raise ValueError(f"key_padding_mask: {mask.dtype} of shape {mask.shape}, expected bool {ids.shape}, "
                             "True somewhere in each row")
        order = np.argsort(~mask, axis=1, kind="stable")             # the tokens move to the left, and no earlier
        logits = super().__call__(np.take_along_axis(ids, order, 1))  # token sees the padding behind it
        return logits[np.arange(len(ids)), mask.sum(axis=1) - 1]

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Answer each text with its likeliest label.  Raises ValueError for a text that the tokenizer or the model refuses."""
        rows = [require_tokenizer(self).encode(text) for text in texts]
        best: list[int] = []
        for i in range(0, len(rows), ROWS_AT_ONCE):
            batch = rows[i : i + ROWS_AT_ONCE]
            ids = pad_rows(batch, 0)
            mask = np.arange(ids.shape[1]) < np.array([[len(row)] for row in batch])
            best += self.finite("predict", self(ids, mask)).argmax(axis=1).tolist()
        return [self.labels[i] for i in best]

    @property
    def n_outputs(self) -> int:
        """How many labels there are."""
        return len(self.labels)

    def _parameter_table(self) -> Table:
        body = parameter_table(self.config)
        matrices = sum(len(shape) == 2 for _, shape, _ in body)
        head = HEAD, (self.n_outputs, self.config.n_embd), self.config.initializer_range
        return [*body[:matrices], head, *body[matrices:]]

    def head(self, s: Scope) -> Scope:
        """The scope of the output layer, score.weight."""
        return s.at("score")

    def loss_backward(self, dloss: float, s: Scope) -> None:
        """Go back from the loss, no further than to the head where it alone learns."""
        if [name for name, _, _ in self.table] != [HEAD]:
            return super().loss_backward(dloss, s)
        unembedding_backward(cross_entropy_backward(dloss, s.at("loss")), self.head(s))     # nothing below learns

    def _no_language_model_head(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Classifier: it has no language-model head, expected a GPT; load the base with GPT.from_pretrained()")

    generate = stream = stream_text = candidates = score = choose = trace = run = _no_language_model_head


def _labels(names: Any) -> list[str]:
    """The labels of an id2label, {"0": "no", "1": "yes"}; none where it is something else, or one stands there twice."""
    labels: list[Any] = [names.get(str(i)) for i in range(len(names))] if isinstance(names, dict) else []
    return labels if all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels) else []


def refuse_adapters(model: GPT) -> None:
    """Refuse a model with LoRA adapters, which belong to its own head.  Raises ValueError."""
    if any(name.endswith(".lora_A") for name in model.params):
        raise ValueError("model: it has LoRA adapters, expected plain weights; go on from merged(model)")
