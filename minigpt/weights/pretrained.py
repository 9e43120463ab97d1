"""Pretrained models: a folder or a file to a GPT and back, and where a name leads.

save_pretrained() writes Hugging Face's layout: config.json, model.safetensors (or model.npz) and the tokenizer's files. What
else is read is listed in sources.py, how arrays become a GPT is in state_dict.py, how a file is downloaded in hub.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..config import GPTConfig
from ..models.gpt import GPT, parameter_table
from ..system.files import write_atomic
from ..system.option_names import nearest
from ..system.text import printable
from ..tokenization import CharTokenizer, Settings, Tokenizer
from ..tokenization.formats import GPT2_REPOSITORIES, means_gpt2
from ..tokenization.settings import END_OF_TEXT
from . import cache, hub
from .folder import check_together, facts_of, write_folder
from .kinds import is_checkpoint_name
from .sources import config_of, has_weights, parameters_of, tokenizer_at, tokenizer_of, weight_file
from .state_dict import GPT1_NAMES, build, from_state_dict, linear_layout_of
from .strangers import what_is

__all__ = ["exported", "find", "find_tokenizer", "from_pretrained", "from_state_dict", "save_pretrained"]

BUNDLED = ("shakespeare-char",)     # folders of assets/, found by name


def _stock_config(name: str) -> GPTConfig:
    """Return what the config.json of OpenAI's and Hugging Face's own models says."""
    return GPTConfig.preset(
        name, embd_pdrop=0.1, attn_pdrop=0.1, resid_pdrop=0.1, bos_token_id=50_256, eos_token_id=50_256
    )


class Pin(NamedTuple):
    """One exact revision of a repository: a download is accepted only if its bytes are these.  GPT-2's tokenizer is bundled."""

    revision: str
    files: dict[str, tuple[str, int | None]]        # SHA-256, and the size in bytes where known
    config: GPTConfig


PINS = {
    "openai-community/gpt2": Pin(
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        {
            "model.safetensors": ("248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707", 548_105_171),
        },
        _stock_config("gpt2"),
    ),
}

def save_pretrained(
    model: GPT, folder: str | os.PathLike[str], tokenizer: Tokenizer | CharTokenizer | None = None,
    dtype: DTypeLike | None = None, weight_format: str = "safetensors",
) -> None:
    """Write a folder that from_pretrained() and Hugging Face's GPT2LMHeadModel load.

    A model without biases is written with biases of zero, since GPT-2 has them; it computes the same.  config.json names no
    special ids beyond the vocabulary; where it would name no eos_token_id, it names those of the tokenizer's bos and eos.

    dtype: of the stored weights, by default the model's own.
    weight_format: "npz" writes model.npz instead of model.safetensors; numpy.load reads it, transformers does not.
        A file of the other format, left by an earlier model, is removed.

    Raises: ValueError for another weight_format, OSError; each file is then whole or unchanged: folder.write_folder().
    """
    if weight_format not in ("safetensors", "npz"):
        raise ValueError(f"weight_format: {weight_format!r}, expected 'safetensors' or 'npz'")
    config, tensors = exported(model, dtype)
    write_folder(folder, _with_ends(config, tokenizer).to_json(), facts_of(config), tensors, tokenizer, weight_format)


def _with_ends(config: GPTConfig, tokenizer: Any) -> GPTConfig:
    """Return a configuration whose special ids are ids of the model, with the tokenizer's bos and eos where it has no eos."""
    ids: dict[str, Any] = {}
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        given = getattr(config, key)
        given = given if isinstance(given, tuple) else (given,)
        known = tuple(id for id in given if id is not None and id < config.vocab_size)
        ids[key] = known if len(known) > 1 else next(iter(known), None)
    if ids["eos_token_id"] is None and tokenizer is not None:
        settings = getattr(tokenizer, "settings", None) or Settings(bos_token=END_OF_TEXT, eos_token=END_OF_TEXT)
        found = settings.roles(tokenizer.special_tokens)
        ids |= {key: found[key] for key in ("bos_token_id", "eos_token_id")
                if ids[key] is None and found.get(key, config.vocab_size) < config.vocab_size}
    return replace(config, **ids)


def exported(model: GPT, dtype: DTypeLike | None = None) -> tuple[GPTConfig, dict[str, np.ndarray]]:
    """Return configuration and arrays, by GPT-2's or GPT-1's names, of a model with biases that computes the same.

    Raises: ValueError for a model with LoRA adapters, for which GPT-2 has no names.
    """
    if any(name.endswith(".lora_A") for name in model.params):
        raise ValueError("model: LoRA adapters beside its weights, expected plain weights; save finetune.merged(model)")
    dtype, params = model.dtype if dtype is None else dtype, model.params
    config = GPTConfig(**{**model.config.to_dict(), "bias": True})
    names = {} if config.pre_norm else GPT1_NAMES
    return config, {
        names.get(name, name): params[name].astype(dtype, copy=False) if name in params else np.zeros(shape, dtype)
        for name, shape, _ in parameter_table(config)
    }


def from_pretrained(
    what: str | os.PathLike[str], *,
    dtype: DTypeLike = np.float32, threads: int | None = None, fast: bool = True, strict: bool = False,
) -> GPT:
    """Load a model from a folder or a file, or by name; its `tokenizer` attribute is the one found there, or None.

        model = from_pretrained("shakespeare-char")         the small model that comes with minigpt
        model = from_pretrained("gpt2")                     downloaded once, 548 MB; find() says where from
        model = from_pretrained("ckpt.pt")                  nanoGPT's; sources.py lists what else there is

    A tokenizer that cannot be read, or that the folder lacks, is no obstacle: the first warns.

    dtype, threads, fast: as GPT().  strict: raise for NaN and infinities among the weights instead of warning.

    Raises: FileNotFoundError for an unknown name or a folder without weights, hub.DownloadError, ConfigError,
    weights.WeightFormatError that lists the missing, unexpected or misshapen tensors, or files that do not belong together.
    """
    file = weight_file(find(what))
    tensors = parameters_of(file)
    config, is_gpt2 = configuration(file, tensors)
    layout = linear_layout_of(tensors)
    model = build(tensors, config, layout, dtype=dtype, threads=threads, fast=fast, strict=strict, source=str(file), spent=True)
    model.tokenizer = tokenizer_of(file, config, is_gpt2)
    model.name = os.path.basename(os.path.abspath(what))
    check_together(file, facts_of(config), model.tokenizer)
    return model


def configuration(file: Path, tensors: Mapping[str, np.ndarray]) -> tuple[GPTConfig, bool]:
    """Return the configuration of a file of weights with these tensors, and whether it is one of OpenAI's GPT-2s.

    Of these a cache may hold only the files that somebody asked for, without config.json and tokenizer.
    Raises: as sources.config_of().
    """
    cached = _name_in_cache(file)
    if cached and not file.with_name("config.json").is_file():
        return _stock_config(cached), True
    return config_of(file, tensors), cached is not None


def find(what: str | os.PathLike[str], downloads: bool = True) -> Path:
    """Return the folder or the file of a model: what is there by this name, a bundled model, or that of a Hugging Face name.

    A name is looked for in Hugging Face's own cache first, where transformers or huggingface_hub may have put it; GPT-2
    small ("gpt2") is downloaded if it is not there, from $HF_ENDPOINT or https://huggingface.co.

    downloads: False raises FileNotFoundError instead, and takes the files that were downloaded as they are.

    Raises: hub.DownloadError, FileNotFoundError for anything else that is not there.
    """
    path, name = Path(what), str(what)
    if path.is_file() or (name and is_checkpoint_name(path)) or (path / "config.json").is_file():
        return path
    if name in BUNDLED:
        return Path(__file__).parents[1] / "assets" / name
    if name and path.is_dir():
        if has_weights(path):
            return path
        if stranger := what_is(path):
            raise FileNotFoundError(f"{printable(path)}: {stranger}")
        raise _unknown(name, "a folder without config.json and weights")
    repository = GPT2_REPOSITORIES.get(name, name)
    pin = PINS.get(repository)
    if found := cache.hugging_face_snapshot(repository, has_weights, pin and pin.revision):
        return found
    if pin is not None:
        return _download(repository, pin) if downloads else _downloaded(name, repository, pin)
    if repository in GPT2_REPOSITORIES.values():
        raise FileNotFoundError(
            f"model {name!r}: not in {cache.hugging_face_cache()}, expected it there, since minigpt has no checksum to "
            "download it by; put tokenizer.json, config.json and model.safetensors of "
            f"https://huggingface.co/{repository} into a folder and name that"
        )
    if "://" in name or name.startswith(("huggingface.co/", "hf.co/")):
        raise FileNotFoundError(f"model {printable(repr(name))}: a web address, expected a folder, a file or a name such as "
                                "'gpt2'; download the model's folder, and name that")
    raise _unknown(name, "no such folder or file")


def find_tokenizer(what: str | os.PathLike[str]) -> Any:
    """Return the tokenizer of a folder, or of a model that find() finds; of GPT-2, all sizes of which share it, without files.

    Raises: as find(), FileNotFoundError where there is no tokenizer, ValueError for one that cannot be read.
    """
    if means_gpt2(what):
        return Tokenizer.gpt2()
    return tokenizer_at(Path(what) if str(what) and Path(what).is_dir() else find(what))


def _name_in_cache(file: Path) -> str | None:
    """Return the name in GPT2_REPOSITORIES of a model in Hugging Face's cache or minigpt's, None for everything else."""
    for name, repository in GPT2_REPOSITORIES.items():
        ours = {_subfolder(repository, PINS[repository])} if repository in PINS else set()
        if {f"models--{name}", f"models--{repository.replace('/', '--')}", *ours} & {*file.parts}:
            return name
    return None


def _unknown(name: str, found: str) -> FileNotFoundError:
    known = (*BUNDLED, *GPT2_REPOSITORIES)
    base = os.path.basename(name)
    near = nearest(base, known) if base else ""
    return FileNotFoundError(
        f"model {printable(repr(name))}: {found}, expected a model's folder or file, as training, save_pretrained and other "
        f"programs write them, or one of {', '.join(known)}{f'; the nearest is {near!r}' if near in known else ''}"
    )


def _downloaded(name: str, repository: str, pin: Pin) -> Path:
    """Return the folder of a pinned model in minigpt's cache, where all files are there; their content is not checked."""
    folder = cache.cache_folder() / _subfolder(repository, pin)
    if all((folder / filename).is_file() for filename in (*pin.files, "config.json")):
        return folder
    size = sum(size or 0 for _, size in pin.files.values())
    raise FileNotFoundError(f"model {name!r}: not on this machine, expected its files; GPT.from_pretrained({name!r}) downloads "
                            f"{size / 1e6:,.0f} MB")


def _subfolder(repository: str, pin: Pin) -> str:
    return f"{repository.replace('/', '--')}-{pin.revision[:8]}"


def _download(repository: str, pin: Pin) -> Path:
    """Return the folder of a pinned model in minigpt's cache, after fetching the files that are not there yet."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    subfolder = _subfolder(repository, pin)
    for filename, (sha256, size) in pin.files.items():
        url = f"{endpoint.rstrip('/')}/{repository}/resolve/{pin.revision}/{filename}"
        folder = hub.fetch(url, f"{subfolder}/{filename}", sha256, size).parent
    if not (folder / "config.json").is_file():      # written here: the pin holds all that it says
        write_atomic(folder / "config.json", pin.config.to_json().encode("utf-8"))
    return folder
