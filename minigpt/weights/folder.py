"""A model's folder as one thing: config.json, the weights and the tokenizer, written together and known to belong together.

The weight file's metadata holds what it was saved with, so that a mixture of two models' files is refused: the left-over of a
save that was cut off, or of copying a part.  Folders of other writers have no such note and are taken as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import weights
from ..config import GPTConfig
from ..system.files import remove_atomic, write_atomic, write_together
from ..system.json_reader import parse_json
from ..system.text import printable

# What one may change in a GPT's config.json without changing what the weights compute
_FREE = ("embd_pdrop", "attn_pdrop", "resid_pdrop", "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id")


def facts_of(config: GPTConfig) -> dict[str, Any]:
    """Return the fields of a configuration that belong to the weights."""
    return {name: value for name, value in config.to_dict().items() if name not in _FREE}


class Vocabulary(Protocol):
    """What gives ids their meaning: a tokenizer, or the words of a translator"""

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write its files."""

    def fingerprint(self) -> str:
        """Return a hash of the tokens in the order of their ids."""


def write_folder(
    folder: str | os.PathLike[str], config: str, facts: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    tokenizer: Vocabulary | None, weight_format: str = "safetensors",
) -> None:
    """Write config.json, the weights and, if there is one, the tokenizer: all of them to the disk before any takes its name.

    config: the text of config.json.  facts: what of it the weights depend on, which check_together() will compare.
    Raises: OSError; each file is then whole or unchanged, and what could be a mixture is refused when it is loaded.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    note = {"config": facts, "tokenizer": None if tokenizer is None else tokenizer.fingerprint()}

    def write() -> None:        # the weights first, since their note says what else must be there
        weights.save(folder / f"model.{weight_format}", tensors, {"format": "pt", "minigpt": json.dumps(note)})
        if tokenizer is not None:
            tokenizer.save(folder)
        write_atomic(folder / "config.json", config.encode("utf-8"))
        # An earlier model's weights in the other format could be loaded in place of these.
        remove_atomic(folder / ("model.npz" if weight_format == "safetensors" else "model.safetensors"))

    write_together(write)


def check_together(path: Path, facts: Mapping[str, Any], tokenizer: Vocabulary | None) -> None:
    """Compare what a weight file was saved with and what is beside it: the facts of config.json, and the tokenizer if any.

    Raises: WeightFormatError that says what differs and what to do.
    """
    try:
        note = parse_json(weights.read_metadata(path)["minigpt"], path, dict)
        saved, fingerprint = dict(note["config"]), note["tokenizer"]
    except (KeyError, TypeError, ValueError):
        return      # another writer's
    found = json.loads(json.dumps(facts))        # as the saved ones came back
    wrong = [f"{name} {found[name]!r} in config.json, but {saved[name]!r} with the weights"
             for name in found if name in saved and saved[name] != found[name]]
    if tokenizer is not None and fingerprint not in (None, tokenizer.fingerprint()):
        wrong.append("another tokenizer than the weights were saved with")
    if wrong:
        raise weights.WeightFormatError(
            f"{printable(path.parent)}: {printable('; '.join(wrong))}, expected files that were saved together; a save was cut "
            "off or a file replaced: save the model once more, or remove the tokenizer's files to load the weights alone"
        )
