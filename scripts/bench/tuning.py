"""Fine-tuning GPT-2 124M: the head, LoRA and the whole model, here and in transformers with peft, on the same batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt import GPT
from minigpt.models.classifier import Classifier
from minigpt.training.adapters import add_lora, train_head
from minigpt.training.optim import AdamW

from . import pair
from .race import Entry, Run
from .report import Row
from .same_weights import minigpt_model, transformers_model

ROWS, TOKENS = 4, 128
WAYS = {"head": "head alone", "lora": "LoRA, rank 8", "whole": "all weights"}
LR, BETAS, WEIGHT_DECAY = 1e-4, (0.9, 0.95), 0.1


def _ids(i: int) -> np.ndarray:
    """(ROWS, TOKENS): never the last token of the vocabulary, which pads in transformers"""
    return np.random.default_rng(i).integers(0, 50256, (ROWS, TOKENS))


def _shifted(ids: np.ndarray) -> np.ndarray:
    """The next tokens as targets, as transformers' loss takes them"""
    return np.concatenate([ids[:, 1:], np.full_like(ids[:, :1], -100)], axis=1)


def minigpt_tuning(way: str) -> Run:
    """Make minigpt's side: a step of AdamW -> the loss."""
    model: GPT | Classifier = minigpt_model()
    if way == "head":
        model = Classifier.from_model(model, ["no", "yes"])
        train_head(model)
    elif way == "lora":
        add_lora(model, rank=8, alpha=16)
    optimizer = AdamW(model, betas=BETAS, weight_decay=WEIGHT_DECAY)

    def work(i: int) -> float:
        ids = _ids(i)
        targets = _shifted(ids)
        if way == "head":
            targets = np.full_like(ids, -100)
            targets[:, -1] = np.arange(ROWS) % 2
        loss, _ = model.loss_and_grads(ids, targets)
        optimizer.step(LR)
        return float(loss)

    return pair.timed(work, lambda: model.loss(_ids(0)[:1, :8], np.zeros((1, 8), int)))


def transformers_tuning(way: str) -> Run:
    """Make transformers', with peft's adapters."""
    import torch

    if way == "head":
        model = transformers_model("GPT2ForSequenceClassification", num_labels=2, pad_token_id=50256)
        model.transformer.requires_grad_(False)
    else:
        model = transformers_model()
        if way == "lora":
            from peft import LoraConfig, get_peft_model

            model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["c_attn"], fan_in_fan_out=True))
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=LR, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True)
    model.train()

    def work(i: int) -> float:
        ids = torch.from_numpy(_ids(i))
        loss = model(input_ids=ids, labels=torch.arange(ROWS) % 2 if way == "head" else ids).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    def wake() -> None:
        with torch.no_grad():
            model(input_ids=torch.from_numpy(_ids(0)[:1, :8]))

    return pair.timed(work, wake)


def rows(quick: bool) -> Iterator[Row]:
    """Race each way."""
    for way, label in WAYS.items():
        yield from pair.rows(
            f"fine-tune 124M, {label}", "transformers + peft" if way == "lora" else "transformers",
            Entry("bench.tuning.minigpt_tuning", {"way": way}), Entry("bench.tuning.transformers_tuning", {"way": way}),
            1 if quick else 10, amount=ROWS * TOKENS, unit="tokens/s",
            tolerance=None if way == "head" else 1e-2,      # heads start from random numbers of their own
        )
