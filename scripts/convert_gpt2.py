"""Convert a GPT-2 or nanoGPT model to a folder that minigpt loads: PyTorch's pickles, safetensors, npz, or a model by name."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from minigpt import GPT, ConfigError, GPTConfig, weights
from minigpt.commands.common import exit_status
from minigpt.system.text import printable
from minigpt.tokenization import load as load_tokenizer
from minigpt.weights.pretrained import find, save_pretrained


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python scripts/convert_gpt2.py pytorch_model.bin --out gpt2 --dtype float16",
    )
    parser.add_argument(
        "source", metavar="NAME_OR_FILE",
        help="a folder, a .safetensors, .npz, .bin or .pt file (with its config.json beside it; nanoGPT's ckpt.pt needs none), "
        "or a name such as gpt2-medium. Pickles need torch; a name that minigpt cannot download needs transformers",
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where to write the model; made if missing")
    parser.add_argument(
        "--format", choices=("safetensors", "npz"), default="safetensors", help="of the weights (default: safetensors)"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float16"), default="float32", help="of the stored weights (default: float32)"
    )
    return exit_status(convert, parser, None, goes_on=lambda args: True)


def convert(args) -> int:
    start = time.perf_counter()
    model = read(args.source)
    print(f"read    {printable(args.source)}: {model.config.n_params:,} parameters")
    with np.errstate(over="ignore"):
        too_large = [name for name, array in model.params.items() if not np.isfinite(array.astype(args.dtype)).all()]
    if too_large:
        raise ValueError(f"{', '.join(too_large)}: values beyond {args.dtype}, expected finite ones; use --dtype float32")
    save_pretrained(model, args.out, model.tokenizer, args.dtype, args.format)
    files = ", ".join(sorted(printable(path.name) for path in Path(args.out).iterdir()))
    print(f"wrote   {printable(args.out)}: {files} in {time.perf_counter() - start:.1f} s")
    return 0


def read(source: str) -> GPT:
    """The model of a file, of a folder or by name."""
    path = Path(source)
    if path.is_dir():
        pickles = [path / name for name in ("pytorch_model.bin", "ckpt.pt") if (path / name).is_file()]
        ready = any((path / name).is_file() for name in ("model.safetensors", "model.npz"))
        return read_file(pickles[0]) if pickles and not ready else GPT.from_pretrained(path)
    if path.is_file():
        return read_file(path)
    try:
        folder = find(source)
    except FileNotFoundError as error:
        return read_with_transformers(source, error)
    return GPT.from_pretrained(folder)


def read_file(path: Path) -> GPT:
    """The model of one file of weights."""
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        model = read_pickle(path)
    else:
        model = GPT.from_state_dict(weights.load(path), read_config(path))
    try:
        model.tokenizer = load_tokenizer(path.parent)
    except FileNotFoundError:
        model.tokenizer = None
    return model


def read_pickle(path: Path) -> GPT:
    """GPT-2's state dict or nanoGPT's checkpoint, with torch, which refuses pickles of anything but arrays and numbers."""
    try:
        import torch
    except ImportError:
        remedy = "pip install torch, or get the model as safetensors"
        raise ValueError(f"{printable(path)}: a pickle and no torch here, expected torch to read it with; {remedy}") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the unpickler meets
        reason = f"{type(error).__name__} from torch.load, expected a state dict ({printable(error, 1000)})"
        raise ValueError(f"{printable(path)}: {reason}") from error
    sizes = content.get("model_args") if isinstance(content, dict) else None
    if isinstance(sizes, dict) and isinstance(content.get("model"), dict):      # nanoGPT's train.py
        names = ("vocab_size", "block_size", "n_embd", "n_layer", "n_head", "bias")
        if missing := [name for name in names if name not in sizes]:
            raise ConfigError(f"{printable(path)}: model_args without {', '.join(missing)}, expected nanoGPT's; save it again "
                              "with them")
        vocab_size, n_positions, n_embd, n_layer, n_head, bias = (sizes[name] for name in names)
        config = GPTConfig(vocab_size, n_positions, n_embd, n_layer, n_head, bias=bias, activation_function="gelu")
        return GPT.from_state_dict(to_arrays(content["model"]), config, linear_layout="out_in")
    return GPT.from_state_dict(to_arrays(content), read_config(path))


def read_config(path: Path) -> GPTConfig:
    """The config.json beside a file of weights; which sizes fit is never guessed."""
    config = path.with_name("config.json")
    if not config.is_file():
        raise ConfigError(f"{printable(config)}: absent, expected the sizes of {printable(path.name)}; put the model's "
                          "config.json there")
    return GPTConfig.from_json(config.read_text(encoding="utf-8"), str(config))


def read_with_transformers(name: str, reason: FileNotFoundError) -> GPT:
    """A model that minigpt has no checksum for, from wherever transformers gets it."""
    try:
        from transformers import GPT2LMHeadModel
    except ImportError:
        raise ValueError(f"{reason}; or pip install torch transformers") from None
    theirs = GPT2LMHeadModel.from_pretrained(name)
    return GPT.from_state_dict(to_arrays(theirs.state_dict()), GPTConfig.from_json(theirs.config.to_json_string()))


def to_arrays(state_dict) -> dict[str, np.ndarray]:
    """NumPy has no bfloat16, so every tensor comes as float32; masks and the like stay what they are."""
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy() for name, tensor in state_dict.items()
    }


if __name__ == "__main__":
    sys.exit(main())
