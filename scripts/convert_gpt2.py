"""Convert a GPT-2, whatever wrote it, to a folder that minigpt and transformers load, or to the files of llama.cpp or llm.c."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from minigpt import GPT, GPTConfig
from minigpt.commands.common import command_parser, exit_status
from minigpt.system.files import write_atomic
from minigpt.system.text import printable
from minigpt.weights.pretrained import exported, find, find_tokenizer, save_pretrained

# What each format stores numbers as, by the names that its writer has for them; the first is the default
DTYPES = {
    "safetensors": {"float32": "float32", "float16": "float16"},
    "npz": {"float32": "float32", "float16": "float16"},
    "gguf": {"float32": "F32", "float16": "F16", "q8_0": "Q8_0"},
    "llmc": {"float32": "float32", "bfloat16": "bfloat16"},
}


REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")       # the names that Hugging Face gives
SUFFIXES = (".safetensors", ".npz", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".json")        # of files, which no model has


def main(argv: list[str] | None = None) -> int:
    parser = command_parser(
        "convert_gpt2.py", __doc__, "python scripts/convert_gpt2.py pytorch_model.bin --out gpt2 --dtype float16",
        "python scripts/convert_gpt2.py gpt2-medium --out gpt2-medium-gguf --to gguf --dtype q8_0",
    )
    parser.add_argument(
        "source", metavar="WHAT",
        help="a folder or a file: safetensors, npz, PyTorch's .bin and .pt, nanoGPT's ckpt.pt, TensorFlow's checkpoints, "
        "llm.c's .bin, .gguf (pip install gguf); or a name such as gpt2-medium, which needs transformers unless it is "
        "in Hugging Face's cache",
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where to write the model; made if missing")
    parser.add_argument("--to", choices=DTYPES, default="safetensors", help="what to write")
    parser.add_argument(
        "--dtype", choices=sorted({name for names in DTYPES.values() for name in names}), default="float32",
        help="of the stored weights; bfloat16 is llm.c's, q8_0 is GGUF's",
    )
    return exit_status(convert, parser, argv, goes_on=lambda args: True)


def convert(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    if args.dtype not in DTYPES[args.to]:
        raise ValueError(f"--dtype {args.dtype}: unknown to {args.to}, expected one of {', '.join(DTYPES[args.to])}")
    model, settings = read(args.source)
    print(f"read    {printable(args.source)}: {model.config.n_params:,} parameters")
    if args.dtype == "float16":
        with np.errstate(over="ignore"):
            too_large = [name for name, array in model.params.items() if not np.isfinite(array.astype(args.dtype)).all()]
        if too_large:
            raise ValueError(f"{', '.join(too_large)}: values beyond float16, expected finite ones; use --dtype float32")
    write(model, Path(args.out), args.to, DTYPES[args.to][args.dtype])
    if settings is not None and args.to in ("safetensors", "npz"):
        write_atomic(Path(args.out) / "generation_config.json", settings)
    files = ", ".join(sorted(printable(path.name) for path in Path(args.out).iterdir()))
    print(f"wrote   {printable(args.out)}: {files} in {time.perf_counter() - start:.1f} s")
    return 0


def read(source: str) -> tuple[GPT, bytes | None]:
    """The model of a folder or a file, or by name, and what generation_config.json beside it holds, if there is one."""
    try:
        place = find(source)
    except FileNotFoundError as error:
        if Path(source).exists() or not REPOSITORY.fullmatch(source) or source.endswith(SUFFIXES):
            raise
        return read_with_transformers(source, error)
    path = (place if place.is_dir() else place.parent) / "generation_config.json"
    return GPT.from_pretrained(place), path.read_bytes() if path.is_file() else None


def read_with_transformers(name: str, reason: FileNotFoundError) -> tuple[GPT, bytes | None]:
    """The same of a model that minigpt has no checksum for, from wherever transformers gets it."""
    try:
        from transformers import AutoTokenizer, GPT2LMHeadModel
    except ImportError:
        raise ValueError(f"{reason}; or pip install torch transformers") from None
    print(f"{printable(name)}: no such folder or file here; transformers looks for a model of this name", flush=True)
    theirs = GPT2LMHeadModel.from_pretrained(name)
    tensors = {key: tensor.float().numpy() for key, tensor in theirs.state_dict().items()}
    model = GPT.from_state_dict(tensors, GPTConfig.from_json(theirs.config.to_json_string()))
    with tempfile.TemporaryDirectory() as folder:
        try:
            AutoTokenizer.from_pretrained(name).save_pretrained(folder)
            model.tokenizer = find_tokenizer(folder)
        except (OSError, ValueError) as error:
            warnings.warn(f"the model has no tokenizer, since it cannot be read: {printable(error, 500)}", stacklevel=2)
    return model, theirs.generation_config.to_json_string().encode()      # save_pretrained refuses what does not count


def write(model: GPT, folder: Path, to: str, dtype: str) -> None:
    """Write a model to a folder in the format `to`."""
    if to in ("safetensors", "npz"):
        return save_pretrained(model, folder, model.tokenizer, dtype, to)
    if to == "gguf" and model.tokenizer is None:
        raise ValueError("the model has no tokenizer, expected one: llama.cpp has it in the same file; put it beside it")
    config, tensors = exported(model)
    folder.mkdir(parents=True, exist_ok=True)
    if to == "gguf" and model.tokenizer is not None:
        from minigpt.weights import gguf

        gguf.save(folder / "model.gguf", config, tensors, model.tokenizer, dtype)
    else:
        from minigpt.weights import llmc

        llmc.save(folder / "gpt2_124M.bin", config, tensors, dtype)         # by these names llm.c's programs open them
        if model.tokenizer is not None:
            llmc.save_vocabulary(folder / "gpt2_tokenizer.bin", *llmc.vocabulary_of(model.tokenizer, config))


if __name__ == "__main__":
    sys.exit(main())
