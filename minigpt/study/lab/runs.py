"""A training run as the page shows it, read from the run's folder while it goes on or after its end."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from ...training.checkpoint import newest_metadata
from ...training.log import COLUMNS, GrowingLog, smooth

MOST_ROWS = 1000        # points of a curve
MOST_SAMPLES = 20
SILENT = 300            # seconds without a new step after which a run counts as stopped, whatever its lock says
_SAMPLE = re.compile(r"^--- step (\d+) ---\n", re.MULTILINE)
_SHOWN = ("step", "train_loss", "smooth", "val_loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds")


class Run:
    """The folder of a run, looked at again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._log = folder, GrowingLog(folder / "log.csv")

    def training(self) -> dict[str, Any]:
        """What there is of the run: curves, samples, how far it is, the best loss.

        A folder without log.csv is one in which training has yet to begin.  Raises ValueError for a folder that is gone.
        """
        return _training(self.folder, self._log)


def _training(folder: Path, growing: GrowingLog) -> dict[str, Any]:
    log = folder / "log.csv"
    if not folder.is_dir():
        raise ValueError(f"{folder}: no folder any more, expected that of a training run; start the lab with another --run")
    try:
        age = time.time() - log.stat().st_mtime
        rows = _rows(log, growing)
    except FileNotFoundError:
        rows, age = [], 0.0
    rows = [{**row, "smooth": loss} for row, loss in zip(rows, smooth([row["train_loss"] for row in rows]), strict=True)]
    recipe = newest_metadata(folder).get("recipe", {})
    steps, minutes = recipe.get("steps"), recipe.get("minutes")
    last = rows[-1] if rows else None
    left = None
    if last and steps:
        left = (steps - last["step"]) * last["seconds"] / max(1, last["step"])
    elif last and minutes:
        left = 60 * minutes - last["seconds"]
    has_ended = bool(last and left is not None and left <= 0)
    is_locked = _text(folder / "run.lock", 20).strip().isdigit()       # a run writes its process there, and clears it
    state = ("running" if is_locked and age < SILENT and not has_ended else "waiting" if not rows
             else "ended" if has_ended else "stopped")
    evaluated = [row for row in rows if row["val_loss"] is not None]
    best = min(evaluated, key=lambda row: row["val_loss"], default=None)
    return {
        "state": state, "columns": list(_SHOWN), "rows": [[row[name] for name in _SHOWN] for row in _thinned(rows)],
        "steps": steps, "minutes": minutes, "left": max(0.0, left) if left is not None and state == "running" else None,
        "best": best and {"step": best["step"], "val_loss": best["val_loss"]}, "samples": _samples(folder / "samples.txt"),
        "ready": is_ready(folder),
    }


def _rows(log: Path, growing: GrowingLog) -> list[dict[str, Any]]:
    """The rows of a log.  Raises ValueError for one in which no line is a row."""
    rows = growing.rows()
    if not rows and len(log.read_bytes().splitlines()) > 1:
        raise ValueError(f"{log}: no row that can be read, expected {', '.join(COLUMNS[:3])}, …; it was overwritten")
    return rows


def is_ready(folder: Path) -> bool:
    """Whether the best model so far can be opened"""
    return (folder / "config.json").is_file() and (folder / "model.safetensors").is_file()


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every n-th row, those with an evaluation, and the last"""
    every = -(-len(rows) // MOST_ROWS)
    return [row for i, row in enumerate(rows) if i % every == 0 or row["val_loss"] is not None or i == len(rows) - 1]


def _samples(path: Path) -> list[dict[str, Any]]:
    parts = _SAMPLE.split(_text(path, 200_000))[1:]
    samples = [{"step": int(step), "text": text.rstrip("\n")} for step, text in zip(parts[::2], parts[1::2], strict=True)]
    return samples[-MOST_SAMPLES:]


def _text(path: Path, most: int) -> str:
    """The last `most` bytes of a file as text; "" where there is none"""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - most))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
