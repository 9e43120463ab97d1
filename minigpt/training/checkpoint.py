"""A training run's state in one file: saved whole or not at all, read back exactly, the newest good one found again.

A checkpoint is a safetensors file "checkpoint-00000250.safetensors" with the run's arrays (parameters, moments) and, in its
metadata, what JSON can hold (step, data position, seeds, configuration, tokenizer). trainer.py decides what belongs in it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import weights

FORMAT = 3      # raised whenever the arrays mean something else
KEPT = 2        # checkpoints kept, so that one remains if the newest is damaged


class CheckpointError(RuntimeError):
    """No checkpoint could be written or read; those that were there still are."""


@dataclass(frozen=True)
class Checkpoint:
    """A run's state after `step` steps: arrays by name, and metadata that JSON can hold."""

    step: int
    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint beside the earlier ones, then remove all but the newest two.

    Raises CheckpointError for values that are not finite and where the file cannot be written; the earlier ones stay.
    """
    path = folder / f"checkpoint-{checkpoint.step:08d}.safetensors"
    for name, array in checkpoint.arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} holds values that are not finite, expected numbers; nothing was written")
    metadata = {"format": FORMAT, "step": checkpoint.step, "sha256": _digest(checkpoint.arrays), **checkpoint.metadata}
    try:
        weights.save(path, checkpoint.arrays, {"minigpt_checkpoint": json.dumps(metadata)})
        for old in _paths(folder)[KEPT:]:
            old.unlink()
    except OSError as error:
        raise CheckpointError(f"{path}: {error}, expected to write it; make room or choose another folder") from error
    return path


def load(path: Path) -> Checkpoint:
    """Read and verify one checkpoint.  Raises CheckpointError for anything but a whole one of a format known here."""
    try:
        text = weights.read_metadata(path).get("minigpt_checkpoint")
        if text is None:
            raise CheckpointError(f"{path}: a weight file, expected a training checkpoint; name a run's folder")
        metadata = json.loads(text)
        if metadata["format"] != FORMAT:
            raise CheckpointError(f"{path}: format {metadata['format']}, expected {FORMAT}; go on with the minigpt that "
                                  "wrote it")
        arrays = weights.load(path)
    except (weights.WeightFormatError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not a whole checkpoint ({error}); use the one before it") from error
    if _digest(arrays) != metadata["sha256"]:
        raise CheckpointError(f"{path}: its content does not match its checksum; use the one before it")
    return Checkpoint(metadata["step"], arrays, metadata)


def load_newest(folder: Path) -> Checkpoint:
    """The newest good checkpoint of a run. A damaged one is renamed to "….damaged", and a line on stderr says so."""
    problems = []
    for path in _paths(folder):
        try:
            return load(path)
        except CheckpointError as error:
            if "minigpt that wrote it" in str(error):
                raise
            aside = path.with_name(path.name + ".damaged")
            path.replace(aside)
            problems.append(f"{error}")
            print(f"{error}; kept as {aside.name}, going back to the one before", file=sys.stderr)
    found = f"{len(problems)} damaged, none good" if problems else "no checkpoint"
    raise CheckpointError(f"{folder}: {found}, expected checkpoint-….safetensors; start a new run without --resume")


def exists(folder: Path) -> bool:
    """Whether the folder holds a checkpoint, good or not."""
    return bool(_paths(folder))


def _paths(folder: Path) -> list[Path]:
    """The newest first"""
    return sorted(folder.glob("checkpoint-*.safetensors"), reverse=True)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape};".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
