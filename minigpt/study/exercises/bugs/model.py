"""The model of the bug lab: minigpt's GPT, put together from the layers of minigpt/nn/ so that single ones can be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ....config import GPTConfig
from ....models.gpt import GPT
from ....nn import (
    Scope,
    cross_entropy_backward,
    dropout_backward,
    embedding_backward,
    layernorm_forward,
    linear_backward,
    linear_forward,
    merge_heads,
    mlp_backward,
    mlp_forward,
    split_heads,
)

if TYPE_CHECKING:
    from .parts import Parts


class LabGPT(GPT):
    """GPT with pre-norm blocks, in float64 and by the textbook's layers; `parts` says which function does what.

    With parts.Parts() it computes what GPT computes.
    """

    def __init__(self, config: GPTConfig, parts: Parts, seed: int = 0) -> None:
        super().__init__(config, seed, np.float64, threads=1, fast=False)
        self._lab_parts = parts         # _parts is Network's

    def forward(
        self, ids: np.ndarray, s: Scope, positions: np.ndarray | None = None, key_padding_mask: np.ndarray | None = None,
        caches: Sequence[Any] | None = None, last: int | None = None,
    ) -> np.ndarray:
        """Run the embeddings and all blocks, as GPT.forward().  Raises ValueError for rows of different lengths."""
        if key_padding_mask is not None:
            raise ValueError("ids: rows of different lengths, expected equal ones; the bug lab's model knows no padding")
        positions = np.arange(ids.shape[1]) if positions is None else positions
        x = self._lab_parts.dropout(self._lab_parts.embedding(ids, positions, s), s.at("drop"), self.config.embd_pdrop)
        for i in range(self.config.n_layer):
            x = self._block(x, s.layer("h", i), caches[i] if caches else None)
        h = layernorm_forward(x, s.at("ln_f"), self.config.layer_norm_epsilon)
        return h if last is None else h[:, -last:]

    def loss_backward(self, dloss: float, s: Scope) -> None:
        """Go back from the loss to every parameter, the mirror of loss_forward."""
        dh = self._lab_parts.unembedding_backward(cross_entropy_backward(dloss, s.at("loss")), self.head(s))
        dx = self._lab_parts.layernorm_backward(dh, s.at("ln_f"))
        for i in reversed(range(self.config.n_layer)):
            dx = self._block_backward(dx, s.layer("h", i))
        dx = dropout_backward(dx, s.at("drop"))
        embedding_backward(dx.sum(axis=0), s.at("wpe"))
        embedding_backward(dx, s.at("wte"))

    def _block(self, x: np.ndarray, s: Scope, cache: Any) -> np.ndarray:
        """m = x + attn(ln_1(x)),   y = m + mlp(ln_2(m))"""
        eps, attn = self.config.layer_norm_epsilon, s.at("attn")
        h = layernorm_forward(s.record("in", x), s.at("ln_1"), eps)
        q, k, v = split_heads(linear_forward(h, attn.at("c_attn")), 3, self.config.n_head)
        if cache is not None:
            k, v = cache.append(k, v)
        o = self._lab_parts.attention_forward(q, k, v, attn)
        mid = s.record("mid", x + attn.record("out", linear_forward(merge_heads([o], attn), attn.at("c_proj"))))
        return s.record("out", mid + mlp_forward(layernorm_forward(mid, s.at("ln_2"), eps), s.at("mlp")))

    def _block_backward(self, dy: np.ndarray, s: Scope) -> np.ndarray:
        """dm = dy + ln_2ᵇ(mlpᵇ(dy)),   dx = dm + ln_1ᵇ(attnᵇ(dm)), where fᵇ is the backward of f"""
        attn, layernorm_backward = s.at("attn"), self._lab_parts.layernorm_backward
        dh = mlp_backward(s.record_grad("out", dy), s.at("mlp"))
        dmid = s.record_grad("mid", dy + layernorm_backward(dh, s.at("ln_2")))
        do = linear_backward(attn.record_grad("out", dmid), attn.at("c_proj"))
        dq, dk, dv = self._lab_parts.attention_backward(split_heads(do, 1, self.config.n_head)[0], attn)
        dh = linear_backward(merge_heads([dq, dk, dv], attn), attn.at("c_attn"))
        return s.record_grad("in", dmid + layernorm_backward(dh, s.at("ln_1")))
