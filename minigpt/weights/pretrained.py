"""Pretrained models: a state dict or a folder in Hugging Face's layout to a GPT and back, and where a name leads.

Such a folder holds config.json, model.safetensors (or model.npz) and the tokenizer's files. How arrays lie in a file is
written in safetensors.py and npz.py, how a file is downloaded in hub.py.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .. import weights
from ..config import GPTConfig
from ..models.gpt import GPT, parameter_table
from ..system.files import write_atomic
from ..system.text import listed, printable
from ..tokenization import CharTokenizer, Tokenizer
from ..tokenization import load as load_tokenizer
from . import cache, hub
from .folder import check_together, facts_of, write_folder

BUNDLED = ("shakespeare-char",)     # folders of assets/, found by name

# The names of Hugging Face's repositories, and the short ones by which everybody calls them
REPOSITORIES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
}


class Pin(NamedTuple):
    """One exact revision of a repository: a download is accepted only if its bytes are these."""

    revision: str
    files: dict[str, tuple[str, int | None]]        # SHA-256, and the size in bytes where known
    config: GPTConfig


PINS = {
    "openai-community/gpt2": Pin(
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        {
            "vocab.json": ("196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783", None),
            "merges.txt": ("1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5", None),
            "model.safetensors": ("248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707", 548_105_171),
        },
        GPTConfig.preset("gpt2", embd_pdrop=0.1, attn_pdrop=0.1, resid_pdrop=0.1),
    ),
}

_GPT1_NAMES = {"wte.weight": "tokens_embed.weight", "wpe.weight": "positions_embed.weight"}    # as transformers calls them

# Buffers of the causal mask in transformers' older files, nanoGPT's and minGPT's. Careful: c_attn.bias is a parameter.
_MASK = re.compile(r"h\.\d+\.attn\.(masked_)?bias")


def save_pretrained(
    model: GPT, folder: str | os.PathLike[str], tokenizer: Tokenizer | CharTokenizer | None = None,
    dtype: DTypeLike | None = None, weight_format: str = "safetensors",
) -> None:
    """Write a folder that from_pretrained() and Hugging Face's GPT2LMHeadModel load.

    A model without biases is written with biases of zero, since GPT-2 has them; it computes the same.

    dtype: of the stored weights, by default the model's own.
    weight_format: "npz" writes model.npz instead of model.safetensors; numpy.load reads it, transformers does not.
        A file of the other format, left by an earlier model, is removed.

    Raises: ValueError for another weight_format, OSError; each file is then whole or unchanged: folder.write_folder().
    """
    if weight_format not in ("safetensors", "npz"):
        raise ValueError(f"weight_format: {weight_format!r}, expected 'safetensors' or 'npz'")
    config, tensors = exported(model, dtype)
    write_folder(folder, config.to_json(), facts_of(config), tensors, tokenizer, weight_format)


def exported(model: GPT, dtype: DTypeLike | None = None) -> tuple[GPTConfig, dict[str, np.ndarray]]:
    """Return configuration and arrays, by GPT-2's or GPT-1's names, of a model with biases that computes the same.

    Raises: ValueError for a model with LoRA adapters, for which GPT-2 has no names.
    """
    if any(name.endswith(".lora_A") for name in model.params):
        raise ValueError("model: LoRA adapters beside its weights, expected plain weights; save finetune.merged(model)")
    dtype = model.dtype if dtype is None else dtype
    config = GPTConfig(**{**model.config.to_dict(), "bias": True})
    names = {} if config.pre_norm else _GPT1_NAMES
    return config, {
        names.get(name, name): model.params[name].astype(dtype, copy=False) if name in model.params else np.zeros(shape, dtype)
        for name, shape, _ in parameter_table(config)
    }


def from_state_dict(
    tensors: Mapping[str, np.ndarray], config: GPTConfig, linear_layout: str = "in_out", *,
    dtype: DTypeLike = np.float32, threads: int | None = None, fast: bool = True, strict: bool = False,
    source: str = "state dict",
) -> GPT:
    """Make a model with a copy of these weights.

        from_state_dict(weights.load("model.safetensors"), config)                          GPT-2's
        from_state_dict(torch_model.state_dict(), config, linear_layout="out_in")           nanoGPT's, minGPT's

    tensors: float arrays of any precision, by GPT-2's or GPT-1's names, with or without `transformer.` in front. The
        buffers attn.bias and attn.masked_bias are no weights and are skipped. lm_head.weight may be there although
        config ties it to wte.weight, if the two are equal.
    linear_layout: the shape of the linear layers' weights: "in_out" as GPT-2 stores them, y = x W, or "out_in" as
        torch.nn.Linear does, y = x Wᵀ; the embeddings and lm_head are (V, C) in both. It is not guessed, since
        attn.c_proj is square.
    dtype, threads, fast: as GPT().  strict: raise for NaN and infinities instead of warning.
    source: where the tensors come from, for messages.

    Raises: weights.WeightFormatError that lists the missing, unexpected or misshapen tensors; ValueError for another
    linear_layout.
    """
    if linear_layout not in ("in_out", "out_in"):
        raise ValueError(f"linear_layout: {linear_layout!r}, expected 'in_out' (GPT-2) or 'out_in' (nanoGPT, torch.nn.Linear)")
    arrays, problems = _renamed(tensors)
    shapes = {name: shape for name, shape, _ in parameter_table(config)}
    tied_copy = arrays.pop("lm_head.weight", None) if config.tie_word_embeddings else None
    transposed = {name for name, shape in shapes.items() if linear_layout == "out_in" and _is_linear(name, shape)}
    problems += [f"{name} is missing" for name in shapes if name not in arrays]
    for name, array in arrays.items():
        if name not in shapes:
            problems.append(f"{name} is unexpected")
            continue
        shape = shapes[name][::-1] if name in transposed else shapes[name]
        if array.shape != shape:
            other = "in_out" if linear_layout == "out_in" else "out_in"
            is_other = _is_linear(name, shape) and array.shape == shape[::-1]
            hint = f" (transposed: linear_layout={other!r}?)" if is_other else ""
            problems.append(f"{name} has shape {array.shape}, expected {shape}{hint}")
        elif array.dtype.kind != "f":
            problems.append(f"{name} has dtype {array.dtype}, expected floats")
    if tied_copy is not None and not np.array_equal(tied_copy, arrays.get("wte.weight", tied_copy), equal_nan=True):
        problems.append("lm_head.weight differs from wte.weight, expected equal or tie_word_embeddings=False")
    if problems:
        raise weights.WeightFormatError(f"{printable(source)}: {listed(problems, '; ')}; check the file and its config")
    model = GPT(config, seed=None, dtype=dtype, threads=threads, fast=fast)
    waiting, infinite = iter(sorted(shapes, key=lambda name: -arrays[name].size)), set()

    def fill() -> None:
        with np.errstate(over="ignore"):        # what becomes infinite is reported below, by name
            for name in waiting:
                parameter, array = model.params[name], arrays[name].T if name in transposed else arrays[name]
                for i in range(0, len(array), 256):      # rows that stay in the cache, should one of the two lie transposed
                    parameter[i : i + 256] = array[i : i + 256]
                if not np.isfinite([parameter.min(), parameter.max()]).all():       # NaN is the least and the largest
                    infinite.add(name)

    model.pool.run([fill] * model.pool.threads)     # most of the time goes into touching new memory, which all cores can do
    if bad := [name for name in shapes if name in infinite]:
        message = f"{source}: NaN or infinity in {listed(bad)}, expected finite weights; download or save them again"
        if strict:
            raise weights.WeightFormatError(message)
        warnings.warn(message, stacklevel=3)
    return model


def from_pretrained(
    name_or_folder: str | os.PathLike[str], *,
    dtype: DTypeLike = np.float32, threads: int | None = None, fast: bool = True, strict: bool = False,
) -> GPT:
    """Load a model; its `tokenizer` attribute is the folder's tokenizer, or None where the folder has none.

        model = from_pretrained("shakespeare-char")         the small model that comes with minigpt
        model = from_pretrained("gpt2")                     downloaded once, 548 MB; find() says where from

    dtype, threads, fast: as GPT().  strict: raise for NaN and infinities among the weights instead of warning.

    Raises: FileNotFoundError for an unknown name or a folder without weights, hub.DownloadError, ConfigError,
    weights.WeightFormatError that lists the missing, unexpected or misshapen tensors, or files that do not belong together.
    """
    folder = find(name_or_folder)
    config = GPTConfig.from_file(folder / "config.json")
    path = weight_file(folder)
    tensors = weights.load(path)
    model = from_state_dict(tensors, config, dtype=dtype, threads=threads, fast=fast, strict=strict, source=str(path))
    model.tokenizer = tokenizer_of(folder)
    check_together(path, facts_of(config), model.tokenizer)
    return model


def find(name_or_folder: str | os.PathLike[str]) -> Path:
    """Return the folder of a model: a folder itself, that of a bundled model, or that of a Hugging Face name.

    A name is looked for in Hugging Face's own cache first, where transformers or huggingface_hub may have put it; GPT-2
    small ("gpt2") is downloaded if it is not there.

    Raises: hub.DownloadError, FileNotFoundError for anything else that is not there.
    """
    folder, name = Path(name_or_folder), str(name_or_folder)
    if (folder / "config.json").is_file():
        return folder
    if name in BUNDLED:
        return Path(__file__).parents[1] / "assets" / name
    if folder.is_dir():
        raise _unknown(name, "a folder without config.json")
    repository = REPOSITORIES.get(name, name)
    pin = PINS.get(repository)
    if found := cache.hugging_face_snapshot(repository, ("config.json", "model.safetensors"), pin and pin.revision):
        return found
    if pin is not None:
        return _download(repository, pin)
    if repository in REPOSITORIES.values():
        raise FileNotFoundError(
            f"model {name!r}: not in {cache.hugging_face_cache()}, expected it there, since minigpt has no checksum to "
            f"download it by; put config.json and model.safetensors of https://huggingface.co/{repository} into a folder "
            "and name that"
        )
    raise _unknown(name, "no such folder")


def _unknown(name: str, found: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"model {name!r}: {found}, expected one written by training or save_pretrained or downloaded from Hugging Face, "
        f"or one of {', '.join((*BUNDLED, *REPOSITORIES))}"
    )


def _download(repository: str, pin: Pin) -> Path:
    """Return the folder of a pinned model in minigpt's cache, after fetching the files that are not there yet."""
    subfolder = f"{repository.replace('/', '--')}-{pin.revision[:8]}"
    for filename, (sha256, size) in pin.files.items():
        url = f"https://huggingface.co/{repository}/resolve/{pin.revision}/{filename}"
        folder = hub.fetch(url, f"{subfolder}/{filename}", sha256, size).parent
    if not (folder / "config.json").is_file():      # written here: the pin holds all that it says
        write_atomic(folder / "config.json", pin.config.to_json().encode("utf-8"))
    return folder


def tokenizer_of(folder: Path) -> Tokenizer | CharTokenizer | None:
    """Return the folder's tokenizer, None where it has none."""
    try:
        return load_tokenizer(folder)
    except FileNotFoundError:
        return None


def weight_file(folder: Path) -> Path:
    """Return the file of a folder that holds its weights.

    Raises: weights.WeightFormatError where there is only PyTorch's pickle, FileNotFoundError where there is no file.
    """
    for filename in ("model.safetensors", "model.npz"):
        if (folder / filename).is_file():
            return folder / filename
    for filename in ("pytorch_model.bin", "ckpt.pt"):
        if (folder / filename).is_file():
            raise weights.WeightFormatError(
                f"{folder / filename}: PyTorch's pickle, expected model.safetensors or model.npz; "
                f"convert it with scripts/convert_gpt2.py {folder / filename} --out FOLDER"
            )
    raise FileNotFoundError(f"{folder}: no model.safetensors and no model.npz, expected one of them beside config.json")


def _renamed(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays by GPT-2's bare names, without causal masks, and a problem for each name that is then there twice."""
    arrays: dict[str, np.ndarray] = {}
    problems = []
    for name, tensor in tensors.items():
        # torch.compile, which nanoGPT saves through, puts _orig_mod. in front.
        bare = str(name).removeprefix("_orig_mod.").removeprefix("transformer.")
        if _MASK.fullmatch(bare):
            continue
        bare = {theirs: ours for ours, theirs in _GPT1_NAMES.items()}.get(bare, bare)
        if bare in arrays:
            problems.append(f"{bare} is there twice, with and without a prefix")
        arrays[bare] = np.asarray(tensor)
    return arrays, problems


def _is_linear(name: str, shape: tuple[int, ...]) -> bool:
    return name.startswith("h.") and len(shape) == 2
