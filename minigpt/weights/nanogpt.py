"""nanoGPT's and minGPT's runs: their sizes in our words. Their weights have GPT-2's names, linear layers as torch has them.

    nanoGPT     ckpt.pt, with {"model_args": {"n_layer": 12, "block_size": 1024, "bias": False, …}}
    minGPT      model.pt, and beside it config.json, {"model": {"model_type": "gpt-mini", "n_layer": null, …}, "trainer": …}

Source: github.com/karpathy/nanoGPT, model.py and train.py; github.com/karpathy/minGPT, mingpt/model.py and mingpt/utils.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..config import ConfigError, GPTConfig
from ..system.text import printable

# What minGPT's model_type stands for: n_layer, n_head, n_embd
_MINGPT_TYPES = {
    "openai-gpt": (12, 12, 768), "gpt2": (12, 12, 768), "gpt2-medium": (24, 16, 1024), "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600), "gopher-44m": (8, 16, 512), "gpt-mini": (6, 6, 192), "gpt-micro": (4, 4, 128),
    "gpt-nano": (3, 3, 48),
}


def nanogpt_config(model_args: Mapping[str, Any], path: str | os.PathLike[str]) -> GPTConfig:
    """Return the configuration of a nanoGPT checkpoint: exact GELU, tied output layer, with biases unless it says otherwise.

    Raises: ConfigError for sizes that are missing or impossible.
    """
    names = ("vocab_size", "block_size", "n_embd", "n_layer", "n_head")
    if missing := [name for name in names if name not in model_args]:
        found = f"{printable(path)}: model_args without {', '.join(missing)}"
        raise ConfigError(f"{found}, expected nanoGPT's; save it again with them")
    sizes = {"n_positions" if name == "block_size" else name: model_args[name] for name in names}
    values = {"model_type": "gpt2", **sizes, "bias": model_args.get("bias", True), "activation_function": "gelu"}
    return GPTConfig.from_dict(values, path)


def mingpt_config(model: Mapping[str, Any], tensors: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> GPTConfig:
    """Return the configuration of a minGPT run, of which config.json, written before the data is known, lacks the vocabulary.

    Raises: ConfigError for sizes that are missing or impossible.
    """
    names, kind = ("n_layer", "n_head", "n_embd"), str(model.get("model_type"))
    sizes: dict[str, Any] = dict(zip(names, _MINGPT_TYPES.get(kind, ()), strict=False))
    sizes |= {name: model[name] for name in names if model.get(name) is not None}
    if missing := [name for name in names if name not in sizes]:
        found = f"{printable(path)}: model without {', '.join(missing)} and without a known model_type"
        raise ConfigError(f"{found}, expected minGPT's; write them there")
    for name, table in (("vocab_size", "wte.weight"), ("n_positions", "wpe.weight")):
        sizes[name] = next((len(tensor) for other, tensor in tensors.items() if other.endswith(table) and tensor.ndim), None)
    return GPTConfig.from_dict({"model_type": "gpt2", **sizes, "tie_word_embeddings": False}, path)
