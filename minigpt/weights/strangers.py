"""Folders and files that are no model for minigpt: what they are, and what to do with them.

    what_is("out")      -> "a folder around checkpoint-500, expected one that holds weights itself; name that folder"

Nothing is loaded: names tell, and of an adapter its settings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..system.json_reader import read_json
from ..system.text import listed, printable

_OWN = "take model.safetensors or pytorch_model.bin of the same model"
_CONVERT = f"{_OWN}, or let transformers 4 write it: GPT2LMHeadModel.from_pretrained(FOLDER, {{}}=True).save_pretrained(OUT)"
_EXPECTED = "expected weights that minigpt reads"

# A file's or a folder's name, what that is, and what to do
_EXPORTED = (
    (r".*\.h5", "Keras' weights", _CONVERT.format("from_tf")),
    (r".*\.msgpack", "Flax's weights", _CONVERT.format("from_flax")),
    (r".*\.(ot|tflite|onnx|mlpackage|mlmodel|engine)|onnx|openvino_.*|saved_model\.pb", "a model exported for another program",
     _OWN),
)
_KNOWN = (      # what stands further up goes before
    (r".*\.(incomplete|part|partial|crdownload|download|aria2)", "a download that has not ended", "download it again"),
    (r".*\.(zip|tar|tgz|tar\.gz|tar\.bz2|tar\.xz|7z|rar)", "an archive", "unpack it, and name the folder"),
    (r".*-\d{5}-of-\d{5}\.(safetensors|bin)", "parts of a model without the index.json that lists them",
     "put that beside them"),
    (r"mp_rank_.*|.*_model_states\.pt|zero_to_fp32\.py|global_step\d+", "DeepSpeed's parts of a model",
     "join them with the zero_to_fp32.py that lies there"),
    *_EXPORTED,
    (r"optimizer.*|scheduler.*|scaler.*|rng_state.*|trainer_state\.json|training_args\.bin",
     "what training keeps beside a model", "name the folder with the model's weights"),
    (r"_METADATA|checkpoint", "a checkpoint of JAX or TensorFlow without its data", "copy all of its files"),
    (r"tokenizer.*\.json|vocab\.(json|txt)|merges\.txt|chars\.json", "a tokenizer without a model",
     "put config.json and model.safetensors beside it"),
)


def what_is(place: str | os.PathLike[str]) -> str | None:
    """Say what a folder without weights, or a file that is none, is instead and what to do; None for what is not known."""
    path = Path(place)
    if not path.is_dir():
        return _described([path.name], _EXPORTED)
    names = sorted(child.name for child in path.iterdir())
    if "adapter_config.json" in names or any(name.startswith("adapter_model.") for name in names):
        return (f"an adapter without its model{_base(path)}, {_EXPECTED}; load both with peft, and save what "
                "model.merge_and_unload() returns")
    return _inside(path) or _described(names, _KNOWN)


def _base(folder: Path) -> str:
    """Which model an adapter belongs to, as far as it says so."""
    try:
        name = read_json(folder / "adapter_config.json", dict).get("base_model_name_or_path")
    except (ValueError, OSError):
        name = None
    return f", {printable(name, 80)}" if isinstance(name, str) and name else ""


def _inside(folder: Path) -> str | None:
    """Name the folders one or two levels below in which a model lies."""
    below = [*folder.glob("*/config.json"), *folder.glob("*/*/config.json")]
    models = [path.parent.relative_to(folder).as_posix() for path in below if path.parent.name != "onnx"]
    if not models:
        return None
    models.sort(key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
    one_of = "that folder" if len(models) == 1 else "one of these folders"
    return f"a folder around {listed(models)}, expected one that holds weights itself; name {one_of}"


def _described(names: list[str], known: Iterable[tuple[str, str, str]]) -> str | None:
    for pattern, what, remedy in known:
        if found := [name for name in names if re.fullmatch(pattern, name)]:
            return f"{listed(found)}, {what}, {_EXPECTED}; {remedy}"
    return None
