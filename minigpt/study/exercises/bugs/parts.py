"""What a training run is made of: one right function for each thing it does, which a fault can take the place of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ....nn import attention_backward, attention_forward, layernorm_backward, unembedding_backward
from . import data, gradient, mask, optimizer, sampling

Part = Callable[..., Any]


@dataclass(frozen=True)
class Parts:
    """The parts of a right run: Parts().  A run with a fault: Parts(rate=warmup_in_tokens.planted)."""

    # data.py
    training_ids: Part = data.training_ids
    next_batch: Part = data.next_batch
    # mask.py
    embedding: Part = mask.embedding
    dropout: Part = mask.dropout
    attention_forward: Part = attention_forward
    # gradient.py
    gradient: Part = gradient.gradient
    unembedding_backward: Part = unembedding_backward
    layernorm_backward: Part = layernorm_backward
    attention_backward: Part = attention_backward
    # optimizer.py
    rate: Part = optimizer.rate
    clip: Part = optimizer.clip
    corrected: Part = optimizer.corrected
    decays: Part = optimizer.decays
    # sampling.py
    of_next: Part = sampling.of_next
    scaled: Part = sampling.scaled
    kept: Part = sampling.kept
    advance: Part = sampling.advance
