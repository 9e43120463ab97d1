"""Fine-tuning: a trained model learns a task from examples (x, y), whole, by its head alone, or by LoRA.

    max Σ log P(y given x)        over the examples; y is a label, or a text of which each token is predicted in turn

    base = GPT.from_pretrained("shakespeare-char")
    model = Classifier.from_model(base, ["comedy", "tragedy"], seed=0)
    add_lora(model, "h.*.attn.c_attn", rank=8)                      # or train_head(model), or nothing: then all of it learns
    examples = [labelled(base.tokenizer.encode(text), label) for text, label in …]
    FineTuner(model, base.tokenizer, (examples[:900], examples[900:]), Recipe(steps=300), folder).run()
    model.predict(["To be, or not to be"])

The loop, its log and its checkpoints are train.py's; an adapter's mathematics is nn/lora.py's; the tasks are tasks.py's.
Radford et al. 2018 §3.2, §3.3; articles A0 §3.2.3 微调和推理, A1 §2.4 预训练与微调, A3 §3.2, A4 §3.2.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from . import data, pretrained, weights
from .config import GPTConfig
from .model import GPT, parameter_table
from .nn.cross_entropy import IGNORED, cross_entropy_backward
from .nn.embedding import unembedding_backward
from .sampling import checked_row
from .text import tokenizer_of
from .tokenizer import CharTokenizer
from .train import Trainer

HEAD = "score.weight"               # Hugging Face's name of the classification head
MANY = 64                           # texts that are read at once when a model answers


# Examples ------------------------------------------------------------------------------------------------------------


class Example(NamedTuple):
    """What one text teaches: targets[t] is to be predicted at inputs[t], −100 where nothing is."""

    inputs: np.ndarray      # (T,)
    targets: np.ndarray     # (T,)


def labelled(ids, label: int) -> Example:
    """A text (T,) and its class: only the last token, which has seen all others, is asked for it.

    labelled([5, 2, 7], label=1) -> inputs [5, 2, 7], targets [−100, −100, 1]
    """
    inputs = np.asarray(ids, np.int64)
    if not inputs.size:
        raise ValueError("ids: empty, expected a text of at least one token; leave the example out")
    targets = np.full_like(inputs, IGNORED)
    targets[-1] = label
    return Example(inputs, targets)


def answered(prompt, answer) -> Example:
    """A prompt and the text that is to follow it: the prompt is read but carries no loss.

    answered([5, 2], [7, 8]) -> inputs [5, 2, 7], targets [−100, 7, 8]
    """
    if not len(prompt) or not len(answer):
        raise ValueError(f"prompt of {len(prompt)} tokens, answer of {len(answer)}: expected at least one in each")
    ids = np.concatenate([np.asarray(prompt, np.int64), np.asarray(answer, np.int64)])
    targets = ids[1:].copy()
    targets[: len(prompt) - 1] = IGNORED
    return Example(ids[:-1], targets)


def padded(examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Examples as a batch: inputs and targets (B, T), padded on the right, where no earlier token looks."""
    T = max(len(example.inputs) for example in examples)
    inputs, targets = np.zeros((len(examples), T), np.int64), np.full((len(examples), T), IGNORED)
    for b, example in enumerate(examples):
        inputs[b, : len(example.inputs)], targets[b, : len(example.targets)] = example
    return inputs, targets


class ExampleBatches:
    """Endless batches of examples, each once an epoch; `position` is the whole state, as in data.Batches."""

    def __init__(self, examples: Sequence[Example], batch_size: int, seed: int):
        self.examples, self.batch_size = examples, batch_size
        self.position = 0
        self._shuffled = data.Shuffled(len(examples), seed)

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets (B, T), and position advances by one."""
        batch = padded([self.examples[i] for i in self._shuffled.batch(self.position, self.batch_size)])
        self.position += 1
        return batch


# Models --------------------------------------------------------------------------------------------------------------


class Classifier(GPT):
    r"""A GPT whose last token scores labels instead of tokens.

        logits = h_last Wᵀ,   P(y given x) = softmax(logits)[y]

    W is score.weight (labels, C), without a bias; h_last is the normalised output at the last token of a text.  What this is
    in transformers is called GPT2ForSequenceClassification.  Inside it is a GPT with another output table: loss() and
    loss_and_grads() take targets (B, T), labels at those positions that are asked and −100 elsewhere, as padded() makes them.
    """

    def __init__(self, config: GPTConfig, labels: Sequence[str], seed=0, dtype=np.float32, threads=None, fast=True):
        config.require_causal("Classifier")         # what is padded at the end is seen by no token before
        self.labels = tuple(labels)
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: {list(labels)}, expected at least two, each once")
        super().__init__(replace(config, tie_word_embeddings=True), seed, dtype, threads, fast)     # there is no lm_head

    @classmethod
    def from_model(cls, model: GPT, labels: Sequence[str], seed=0) -> Classifier:
        """A classifier with a trained model's weights, copied, and a new head drawn from `seed`."""
        _refuse_adapters(model)
        classifier = cls(model.config, labels, seed, model.dtype, model.team.threads, model.fast)
        for name in classifier.params.keys() - {HEAD}:
            classifier.params[name][...] = model.params[name]
        classifier.tokenizer = model.tokenizer
        return classifier

    @classmethod
    def from_pretrained(cls, name_or_folder, *, dtype=np.float32, threads=None, fast=True, strict=False) -> Classifier:
        """What save_pretrained() or transformers' GPT2ForSequenceClassification wrote, with its labels and its tokenizer.

        Errors: pretrained.from_pretrained; WeightFormatError where the folder holds no such classifier.
        """
        folder = pretrained.find(name_or_folder)
        text = (folder / "config.json").read_text(encoding="utf-8")
        config = replace(GPTConfig.from_json(text, str(folder / "config.json")), tie_word_embeddings=True)
        tensors = weights.load(pretrained.weight_file(folder))
        head, names = tensors.pop(HEAD, None), json.loads(text).get("id2label")
        if head is None or head.ndim != 2 or not isinstance(names, dict) or len(names) != len(head):
            found = "no score.weight" if head is None else f"score.weight {head.shape} for {len(names or ())} labels"
            raise weights.WeightFormatError(
                f"{folder}: {found}, expected a classifier; for a new head write Classifier.from_model(model, labels)"
            )
        model = GPT.from_state_dict(tensors, config, dtype=dtype, threads=threads, fast=fast, strict=strict)
        model.tokenizer = pretrained.tokenizer_of(folder)
        classifier = cls.from_model(model, [names[str(i)] for i in range(len(names))])
        classifier.params[HEAD][...] = head
        return classifier

    def save_pretrained(self, folder):
        """Write the folder that from_pretrained() and transformers' GPT2ForSequenceClassification load."""
        names = {str(i): label for i, label in enumerate(self.labels)}
        config, tensors = pretrained.exported(self)
        values = json.loads(config.to_json())
        values["architectures"] = [name.replace("LMHeadModel", "ForSequenceClassification") for name in values["architectures"]]
        values |= {"id2label": names, "label2id": {label: int(i) for i, label in names.items()}}
        tensors = {**{f"transformer.{name}": array for name, array in tensors.items()}, HEAD: self.params[HEAD]}
        pretrained.write_folder(folder, json.dumps(values, indent=2) + "\n", tensors, self.tokenizer)

    def __call__(self, ids, key_padding_mask=None):
        """Scores of the labels: ids (B, T) -> logits (B, labels), an array of the caller's own.

        key_padding_mask (B, T) booleans: False at padding, on whichever side it stands; a text's result is the same without it.
        """
        ids = np.asarray(ids)
        if key_padding_mask is None:
            return super().__call__(ids)[:, -1].copy()
        mask = np.asarray(key_padding_mask)
        if mask.shape != ids.shape or mask.dtype != bool or not mask.any(axis=-1).all():
            raise ValueError(f"key_padding_mask: {mask.dtype} of shape {mask.shape}, expected bool {ids.shape}, "
                             "True somewhere in each row")
        order = np.argsort(~mask, axis=1, kind="stable")             # the tokens move to the left, and no earlier
        logits = super().__call__(np.take_along_axis(ids, order, 1))  # token sees the padding behind it
        return logits[np.arange(len(ids)), mask.sum(axis=1) - 1]

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each text."""
        rows = [np.asarray(tokenizer_of(self).encode(text), np.int64) for text in texts]
        best = np.concatenate([np.empty(0, int), *(
            self(*_side_by_side(rows[i : i + MANY])).argmax(axis=1) for i in range(0, len(rows), MANY)
        )])
        return [self.labels[i] for i in best]

    @property
    def n_outputs(self):
        return len(self.labels)

    def _parameter_table(self):
        body = parameter_table(self.config)
        matrices = sum(len(shape) == 2 for _, shape, _ in body)
        head = HEAD, (self.n_outputs, self.config.n_embd), self.config.initializer_range
        return [*body[:matrices], head, *body[matrices:]]

    def _head(self, s):
        return s.at("score")

    def _backward(self, dloss, s):
        if [name for name, _, _ in self.table] != [HEAD]:
            return super()._backward(dloss, s)
        unembedding_backward(cross_entropy_backward(dloss, s.at("loss")), self._head(s))     # nothing below learns

    def _speechless(self, *args, **options):
        raise TypeError("Classifier: it scores labels, not tokens, expected a GPT; from_pretrained() of its base speaks")

    generate = stream = stream_text = score = trace = run = _speechless


def with_characters(model: GPT, text: str, seed=0) -> GPT:
    """A copy of a model of characters that also knows those of `text`; their embeddings are new, drawn from `seed`.

    The ids of the old characters stay.  What transformers calls resize_token_embeddings().
    """
    tokenizer = tokenizer_of(model)
    if not isinstance(tokenizer, CharTokenizer):
        raise TypeError(f"tokenizer: {tokenizer!r}, expected a CharTokenizer; one of bytes knows every text already")
    chars = tokenizer.state()["chars"]
    _refuse_adapters(model)
    grown_tokenizer = CharTokenizer([*chars, *sorted(set(text) - set(chars))])
    grown = GPT(replace(model.config, vocab_size=grown_tokenizer.vocab_size), seed, model.dtype, model.team.threads, model.fast)
    for name, array in model.params.items():
        grown.params[name][: len(array)] = array
    grown.tokenizer = grown_tokenizer
    return grown


def answers(model: GPT, prompts: Sequence[str], max_new_tokens: int, end: str = "\n") -> list[str]:
    """What the model holds likeliest after each prompt, token by token, up to `end`."""
    tokenizer = tokenizer_of(model)
    (stop,) = tokenizer.encode(end)
    texts = []
    for i in range(0, len(prompts), MANY):
        rows = [tokenizer.encode(prompt) for prompt in prompts[i : i + MANY]]
        made = model.generate(rows, max_new_tokens, temperature=0, stop_ids=[stop])
        texts += [tokenizer.decode(ids[len(row) :]).split(end)[0] for row, ids in zip(rows, made, strict=True)]
    return texts


# What learns ---------------------------------------------------------------------------------------------------------


def train_head(model: GPT) -> None:
    """Only the head learns: a linear classifier of what the frozen body says of a text."""
    if not isinstance(model, Classifier):
        raise TypeError(f"model: {type(model).__name__}, expected a Classifier; a GPT's head is its embedding")
    model.train_only([row for row in model.table if row[0] == HEAD])


def add_lora(model: GPT, names: str | Iterable[str] = "h.*.attn.c_attn", rank=8, alpha=16.0, seed=0, also=()) -> None:
    r"""Give the blocks' matrices of these names an adapter; from now on only the adapters learn, and a classifier's head.

        W → W + α/r · A B,   A (Cin, r) random, B (r, Cout) zero: the first output is the base's

    names: a pattern or several, where * stands for anything: "h.*.attn.c_attn", ["h.*.attn.*", "h.3.mlp.c_fc"].  A's entries
    have variance 1/Cin.  `also` names parameters that learn as they are: after with_characters() "wte.weight", since the new
    characters' rows know nothing yet.  Hu et al. 2021 §4.1.  Raises ValueError for a pattern that matches none and an
    impossible rank.
    """
    _refuse_adapters(model)
    patterns = [names] if isinstance(names, str) else list(names)
    matrices = [(name, shape) for name, shape, _ in model.table if name.startswith("h.") and len(shape) == 2]
    shapes = {name.removesuffix(".weight"): shape for name, shape in matrices}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in shapes):
            kinds = ", ".join(dict.fromkeys(re.sub(r"\d+", "*", name) for name in shapes))
            raise ValueError(f"names: {pattern!r} matches no matrix, expected one of {kinds}, or a block's number for *")
    if unknown := sorted(set(also) - {name for name, _, _ in model.table}):
        raise ValueError(f"also: {', '.join(unknown)}, expected names of the model's parameters, such as wte.weight")
    chosen = {name: shape for name, shape in shapes.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}
    most = min(min(shape) for shape in chosen.values())
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= most:
        raise ValueError(f"rank: {rank!r}, expected a whole number from 1 to {most}, the shortest side of these matrices")
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha: {alpha}, expected a number above 0")
    table = []
    for name, (n_in, n_out) in chosen.items():
        table += [(f"{name}.lora_A", (n_in, rank), 1 / math.sqrt(n_in)), (f"{name}.lora_B", (rank, n_out), "zeros")]
    scale = {f"{name}.lora_scale": np.full(1, alpha / rank, model.dtype) for name in chosen}
    model.train_only(table + [row for row in model.table if row[0] in {HEAD, *also}], scale, seed)


def merged(model: GPT) -> GPT:
    """A plain model, all of it free to learn, whose matrices are W + α/r · A B: it computes the same and costs no more."""
    plain = _like(model)
    for name, array in plain.params.items():
        array[...] = model.params[name]
        adapter = name.removesuffix("weight") + "lora_"
        if f"{adapter}A" in model.params:
            array += (model.params[f"{adapter}A"] * model.params[f"{adapter}scale"]) @ model.params[f"{adapter}B"]
    plain.tokenizer = model.tokenizer
    return plain


# Training ------------------------------------------------------------------------------------------------------------


class FineTuner(Trainer):
    """A Trainer on examples instead of a text.

        tuner = FineTuner(model, tokenizer, (train, validation), Recipe(…), folder)
        tuner.run()
        tuner = FineTuner.resume(folder, (train, validation))       # the same run where it stopped, to the last bit

    train, validation: sequences of Example.  What of the model learns is settled before, by train_head() or add_lora().  The
    folder holds the model that was best on `validation`, adapters merged; checkpoints hold the model as it is, frozen arrays
    too, so that a run needs nothing but its examples to go on.  Each example comes once an epoch, whatever the recipe's
    order, and there are no samples.
    """

    def _read(self, examples):
        train, self.validation = examples
        n_positions, V, n_outputs = self.model.config.n_positions, self.model.config.vocab_size, self.model.n_outputs
        for kind, part in (("train", train), ("validation", self.validation)):
            if not part:
                raise ValueError(f"{kind}: no examples, expected at least one")
            for i, (inputs, targets) in enumerate(part):
                asked = targets[targets != IGNORED]
                if len(inputs) > n_positions:
                    raise ValueError(f"{kind}[{i}]: {len(inputs)} tokens exceed n_positions {n_positions}; shorten the text")
                checked_row(inputs, f"{kind}[{i}]", V)
                if not asked.size or asked.min() < 0 or asked.max() >= n_outputs:
                    raise ValueError(f"{kind}[{i}]: targets {asked}, expected at least one, from 0 to {n_outputs - 1}")
        return ExampleBatches(train, self.recipe.batch_size, self.recipe.seed)

    def _validation(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        size = self.recipe.batch_size
        return (padded(self.validation[i : i + size]) for i in range(0, len(self.validation), size))

    @staticmethod
    def _fingerprint(examples) -> str:
        rows = [row for part in examples for example in part for row in (np.array([len(example.inputs)]), *example)]
        return data.fingerprint(np.concatenate(rows)) if rows else ""

    @staticmethod
    def _model(config, facts, threads) -> GPT:
        arguments = {"seed": None, "dtype": facts["dtype"], "threads": threads, "fast": facts["fast"]}
        model = GPT(config, **arguments) if facts["labels"] is None else Classifier(config, facts["labels"], **arguments)
        scales = {name: np.ones(1, model.dtype) for name in facts["frozen"] if name not in model.params}
        model.train_only([(name, tuple(shape), initial) for name, shape, initial in facts["learning"]], scales)
        return model

    def _facts(self):
        labels = self.model.labels if isinstance(self.model, Classifier) else None
        return {"labels": labels, "learning": self.model.table, "frozen": sorted(self.model.frozen)}

    def _export(self):
        model = merged(self.model)
        model.tokenizer = self.tokenizer
        model.save_pretrained(self.folder)

    def _sample_due(self):
        return False        # a text out of nothing says nothing about a task


def _refuse_adapters(model: GPT) -> None:
    if any(name.endswith(".lora_A") for name in model.params):
        raise ValueError("model: it has LoRA adapters, expected plain weights; go on from merged(model)")


def _like(model: GPT) -> GPT:
    """A model of the same kind and sizes; its weights are zero."""
    arguments = {"seed": None, "dtype": model.dtype, "threads": model.team.threads, "fast": model.fast}
    if isinstance(model, Classifier):
        return Classifier(model.config, model.labels, **arguments)
    return GPT(model.config, **arguments)


def _side_by_side(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids as one array (B, T), and where it holds them"""
    lengths = np.array([len(row) for row in rows])
    keep = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(keep.shape, np.int64)
    ids[keep] = np.concatenate(rows)
    return ids, keep
