"""What a model is made of, be it a folder or one file: where the weights are, and where the sizes and the tokenizer.

    transformers      config.json, model.safetensors or pytorch_model.bin or the index.json of several, the tokenizer's files
    nanoGPT           ckpt.pt, which holds the sizes              minGPT      model.pt, config.json
    OpenAI            model.ckpt.index, model.ckpt.data-00000-of-00001, hparams.json, encoder.json, vocab.bpe
    llm.c             gpt2_124M.bin, which holds the sizes        llama.cpp   NAME.gguf, which holds sizes and tokenizer
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import weights
from ..config import ConfigError, GPTConfig
from ..system.files import naming
from ..system.json_reader import read_json
from ..system.text import listed, printable
from ..tokenization import Tokenizer
from ..tokenization import load as load_tokenizer
from . import llmc, tensorflow, torch_zip
from .kinds import is_checkpoint_name, kind_of
from .nanogpt import mingpt_config, nanogpt_config
from .strangers import what_is
from .validation import WeightFormatError

_NAMES = ("model.safetensors", "model.npz", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
          "ckpt.pt")
_SUFFIXES = (".safetensors", ".npz", ".bin", ".pt", ".pth", ".ckpt", ".gguf")
# What training and other programs leave beside a model
_NO_MODEL = re.compile(r"(checkpoint-|optimizer|scheduler|scaler|training_args|rng_state|adapter_model).*|.*(tokenizer|-of-).*")
_TOKENIZERS = ("chars.json", "tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")
_GPT2S_VOCABULARY = (50_257, 50_304)     # GPT-2's, and as nanoGPT pads it


def weight_file(path: Path) -> Path:
    """Return the file that holds a model's weights: of a folder the one with a known name, or else the only one.

    Raises: FileNotFoundError where there is none, WeightFormatError for several of which none has a known name.
    """
    if path.is_file() or is_checkpoint_name(path):
        return path
    for name in _NAMES:
        if (path / name).is_file():
            return path / name
    if any(path.glob("*.index")):
        return tensorflow.newest(path)
    others = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and not _NO_MODEL.fullmatch(file.name))
    if len(others) > 1:
        found = f"{printable(path)}: {listed(file.name for file in others)}"
        raise WeightFormatError(f"{found}, expected one file of weights; name the one that you mean")
    if not others and (stranger := what_is(path)):
        raise FileNotFoundError(f"{printable(path)}: {stranger}")
    if not others:
        found = listed(sorted(file.name for file in path.iterdir()), most=200) if any(path.iterdir()) else "an empty folder"
        raise FileNotFoundError(f"{printable(path)}: {found}, expected weights: {', '.join(_NAMES)}, a TensorFlow checkpoint "
                                "or one file of PyTorch's, llm.c's or llama.cpp's")
    return others[0]


def has_weights(path: Path) -> bool:
    """Whether a folder holds files of weights, possibly several."""
    try:
        weight_file(path)
    except FileNotFoundError:
        return False
    except WeightFormatError:
        return True
    return True


def parameters_of(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file of weights, by GPT-2's names.  Raises as weights.load()."""
    tensors = weights.load(file)
    return tensorflow.gpt2_parameters(tensors, file) if naming(file, lambda: kind_of(file)) == "tensorflow" else tensors


def config_of(file: Path, tensors: Mapping[str, np.ndarray]) -> GPTConfig:
    """Return the configuration of a file of weights with these tensors: its own, or that of the config.json beside it.

    Raises: ConfigError where there is none, or an impossible one; as the readers of the formats; OSError.
    """
    return naming(file, lambda: _config_of(file, tensors))


def _config_of(file: Path, tensors: Mapping[str, np.ndarray]) -> GPTConfig:
    kind = kind_of(file)
    if kind == "llmc":
        return GPTConfig.from_dict({"model_type": "gpt2", **llmc.read_config(file)}, file)
    if kind == "gguf":
        is_tied = "lm_head.weight" not in tensors if tensors else None      # who has read them has compared them
        return GPTConfig.from_dict(import_module(".gguf", __package__).read_config(file, is_tied), file)
    if kind == "torch_zip" and (model_args := torch_zip.read_config(file)) is not None:
        return nanogpt_config(model_args, file)
    if kind == "tensorflow" and (hparams := file.with_name("hparams.json")).is_file():
        return GPTConfig.from_dict({"model_type": "gpt2", **tensorflow.read_config(hparams)}, hparams)
    path = file.with_name("config.json")
    if not path.is_file():
        name = "hparams.json" if kind == "tensorflow" else "config.json"
        raise ConfigError(f"{printable(path.with_name(name))}: absent, expected the sizes of {printable(file.name)}; put the "
                          f"model's {name} there")
    values = read_json(path, dict, error=ConfigError)
    if isinstance(values.get("model"), dict) and "n_embd" not in values:
        return mingpt_config(values["model"], tensors, path)
    return GPTConfig.from_dict(values, path)


def tokenizer_at(place: Path) -> Any:
    """Return the tokenizer of a folder, or that in a file of weights or beside it.

    Raises: FileNotFoundError where there is none, ValueError for one that cannot be read, OSError from the disk.
    """
    if place.is_dir():
        try:
            return load_tokenizer(place)
        except FileNotFoundError:
            files = [*place.glob("*.gguf")]
            if len(files) != 1:
                raise
            place = files[0]

    def read() -> Any:
        return import_module(".gguf", __package__).read_tokenizer(place) if kind_of(place) == "gguf" else None

    tokenizer = naming(place, read)
    return load_tokenizer(place.parent) if tokenizer is None else tokenizer


def tokenizer_of(file: Path, config: GPTConfig, is_gpt2: bool = False) -> Any:
    """Return the tokenizer in a file of weights or beside it, None where there is none; one that cannot be read warns.

    A model that is_gpt2 gets GPT-2's instead, and so does one of nanoGPT, llm.c or OpenAI's release with a vocabulary of its
    size, as these have no tokenizer of their own.
    Raises: OSError from the disk.
    """
    try:
        return tokenizer_at(file)
    except (ValueError, FileNotFoundError) as error:
        kind = naming(file, lambda: kind_of(file))
        is_there = any(file.with_name(name).exists() for name in _TOKENIZERS)
        has_none = kind in ("llmc", "tensorflow") or (kind == "torch_zip" and not file.with_name("config.json").is_file())
        if is_gpt2 or (has_none and not is_there and config.vocab_size in _GPT2S_VOCABULARY):
            return Tokenizer.gpt2()
        if is_there:
            warnings.warn(f"the model has no tokenizer, since it cannot be read: {printable(error, 500)}", stacklevel=4)
        return None
