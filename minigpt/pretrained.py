"""A model and its tokenizer as a folder in Hugging Face's layout: config.json, model.safetensors, the tokenizer's files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from . import tokenizer as tokenizers
from . import weights
from .config import ConfigError, GPTConfig
from .files import write_atomic
from .model import GPT, parameter_table

BUNDLED = ("shakespeare-char",)     # folders of assets/, found by name


def save_pretrained(model: GPT, folder: str | os.PathLike[str], tokenizer=None, dtype=None) -> None:
    """Write a folder that from_pretrained() and Hugging Face's GPT2LMHeadModel load.

    A model without biases is written with biases of zero, since GPT-2 has them; it computes the same.
    `dtype` is that of the stored weights, by default the model's own.  Raises OSError; each file is whole or unchanged.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dtype = model.dtype if dtype is None else dtype
    config = GPTConfig(**{**model.config.to_dict(), "bias": True})
    tensors = {
        name: model.params[name].astype(dtype, copy=False) if name in model.params else np.zeros(shape, dtype)
        for name, shape, _ in parameter_table(config)
    }
    if tokenizer is not None:
        tokenizer.save(folder)
    write_atomic(folder / "config.json", config.to_json().encode("utf-8"))
    weights.save(folder / "model.safetensors", tensors, {"format": "pt"})


def from_pretrained(name_or_folder: str | os.PathLike[str], *, dtype=np.float32, threads=None) -> GPT:
    """Load a model; its `tokenizer` attribute is the folder's tokenizer, or None where the folder has none.

        model = from_pretrained("shakespeare-char")         the small model that comes with minigpt

    Raises ConfigError, weights.WeightFormatError listing every missing, unexpected or misshapen tensor, FileNotFoundError.
    """
    folder = find(name_or_folder)
    config_path = folder / "config.json"
    try:
        config = GPTConfig.from_json(config_path.read_text(encoding="utf-8"), source=str(config_path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{config_path}: not UTF-8 ({error.reason} at byte {error.start}), expected JSON") from None
    path = folder / "model.safetensors"
    tensors = weights.load(path)
    model = GPT(config, seed=None, dtype=dtype, threads=threads)
    _check_tensors(path, tensors, {name: shape for name, shape, _ in model.table})
    for name in model.params:
        model.params[name][...] = tensors[name]
    try:
        model.tokenizer = tokenizers.load(folder)
    except FileNotFoundError:
        model.tokenizer = None
    return model


def find(name_or_folder: str | os.PathLike[str]) -> Path:
    """The folder of a model: itself, or that of a model that comes along.  Raises FileNotFoundError."""
    folder = Path(name_or_folder)
    if (folder / "config.json").is_file():
        return folder
    if str(name_or_folder) in BUNDLED:
        return Path(__file__).parent / "assets" / str(name_or_folder)
    found = "a folder without config.json" if folder.is_dir() else "no such folder"
    raise FileNotFoundError(
        f"model {str(name_or_folder)!r}: {found}, expected a folder written by training or save_pretrained, "
        f"or one of {', '.join(BUNDLED)}"
    )


def _check_tensors(path: Path, tensors, shapes) -> None:
    problems = [f"{name} is missing" for name in shapes if name not in tensors]
    for name, array in tensors.items():
        if name not in shapes:
            problems.append(f"{name} is unexpected")
        elif array.shape != shapes[name]:
            problems.append(f"{name} has shape {array.shape}, expected {shapes[name]}")
    if problems:
        raise weights.WeightFormatError(f"{path}: {'; '.join(problems)}; it does not fit its config.json")
