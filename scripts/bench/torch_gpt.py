"""GPT-2 in PyTorch, straightforward and with its fused operations: what minigpt races against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minigpt import GPTConfig


class Block(nn.Module):
    """Attention and MLP, each behind its layer norm."""

    def __init__(self, C: int, n_head: int, bias: bool) -> None:
        super().__init__()
        self.n_head = n_head
        self.ln_1, self.ln_2 = nn.LayerNorm(C, bias=bias), nn.LayerNorm(C, bias=bias)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(C, 3 * C, bias), "c_proj": nn.Linear(C, C, bias)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(C, 4 * C, bias), "c_proj": nn.Linear(4 * C, C, bias)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = self.attn["c_attn"](self.ln_1(x)).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](o.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh"))


class TorchGPT(nn.Module):
    """forward(ids, targets) -> the mean cross-entropy; parameters carry GPT-2's names, matrices (out, in)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        C = config.n_embd
        self.wte, self.wpe = nn.Embedding(config.vocab_size, C), nn.Embedding(config.n_positions, C)
        self.h = nn.ModuleList(Block(C, config.n_head, config.bias) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(C, bias=config.bias)

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.h:
            x = block(x)
        logits = self.ln_f(x) @ self.wte.weight.T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def set_weights(self, weights: Callable[[str, tuple[int, ...]], np.ndarray]) -> None:
        """Take weights(name, shape), arrays in GPT-2's layout, one after the other."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                turned = parameter.ndim == 2 and not name.startswith("w")       # GPT-2 stores linear layers (in, out)
                array = weights(name, tuple(parameter.shape[::-1] if turned else parameter.shape))
                parameter.copy_(torch.from_numpy(array.T if turned else array))


def adamw(model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> torch.optim.Optimizer:
    """Make torch's AdamW, fused, with weight decay on matrices alone."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim == 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)
