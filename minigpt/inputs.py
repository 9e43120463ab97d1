"""What comes in from outside, checked before anything is computed: ids, numbers, texts; and rows padded to one length.

Every error names the argument, what came and what was expected.  Not here: checks that only one module needs, such as options
that contradict each other (generation/options.py), configurations (config.py), and what a tokenizer takes (tokenization/).
"""

import math
import sys
from collections.abc import Collection, Sequence
from numbers import Real
from typing import Any

import numpy as np

from .nn.cross_entropy import IGNORED
from .system.text import printable


def pad_rows(rows: Sequence[Any], fill: int, *, length: int = 0, left: bool = False) -> np.ndarray:
    """Pad rows of integers to the length of the longest, or to `length` where that is more.

        pad_rows([[5, 2], [7]], 0) -> [[5, 2], [7, 0]];   left=True -> [[5, 2], [0, 7]]

    rows: B sequences -> (B, T) int64, the caller's own
    """
    T = max(length, *map(len, rows)) if len(rows) else length
    array = np.full((len(rows), T), fill, np.int64)
    for padded, row in zip(array, rows, strict=True):
        padded[T - len(row) if left else 0 :][: len(row)] = row
    return array


def checked_batch(ids: Any, vocab_size: int, name: str = "ids") -> np.ndarray:
    """Check a batch of ids: the same as an array (B, T) that tables can be indexed with.

    Raises TypeError, ValueError.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2:
        raise ValueError(f"{name}: shape {ids.shape}, expected (batch, time); write {name}[None] for a single sequence")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name}: dtype {ids.dtype}, expected integers")
    if ids.size == 0:
        raise ValueError(f"{name}: shape {ids.shape}, expected at least one token")
    _check_range(ids, vocab_size, name)
    return ids.astype(np.intp, copy=False)       # NumPy 1.26 cannot index by uint64


def checked_targets(targets: Any, n_outputs: int) -> tuple[np.ndarray, int]:
    """Check targets of any shape: the same as an array, and how many of them count, those that are not −100.

    Raises TypeError, ValueError; also where none counts.
    """
    targets = np.asarray(targets)
    if targets.dtype.kind not in "iu":
        raise TypeError(f"targets: dtype {targets.dtype}, expected integers")
    valid = targets[targets != IGNORED]
    if valid.size == 0:
        raise ValueError(f"targets: all are {IGNORED}, expected at least one that counts")
    _check_range(valid, n_outputs, "targets", f" or {IGNORED}")
    return targets, valid.size


def checked_row(row: Any, vocab_size: int, name: str) -> list[int]:
    """Check a single sequence of ids, (T,) or a list, which may be empty: the same as a list of ints.

    Raises TypeError, ValueError, which name the id that is wrong.
    """
    if not isinstance(row, (list, tuple)):
        row = np.asarray(row)
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise TypeError(f"{name}: {row.dtype} of shape {row.shape}, expected a row of integers")
        row = row.tolist()
    for i, id in enumerate(row):
        if isinstance(id, bool) or not isinstance(id, (int, np.integer)):
            raise TypeError(f"{name}[{i}]: {id!r} of type {type(id).__name__}, expected an integer")
        if not 0 <= id < vocab_size:
            raise ValueError(f"{name}[{i}]: {id}, expected an id from 0 to {vocab_size - 1}; use the model's tokenizer")
    return [int(id) for id in row]


def is_whole(value: object, least: int, most: float = math.inf) -> bool:
    """Tell whether a value is an int in a range.  Not True, not 3.0, nor NumPy's integers, which JSON files cannot hold."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: object) -> bool:
    """Tell whether a value is an int or float that is finite, as JSON holds it.  Not True, NumPy's float32, nor 10**400."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_text(value: object) -> bool:
    """Tell whether a value is a string."""
    return isinstance(value, str)


def check_count(value: Any, least: int, name: str, remedy: str) -> None:
    """Check a whole number, Python's or NumPy's, of at least `least`.  Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: {value!r} of type {type(value).__name__}, expected a whole number; {remedy}")
    if value < least:
        raise ValueError(f"{name}: {value}, expected a whole number from {least}; {remedy}")


def check_number(value: Any, least: float, most: float, name: str, expected: str) -> None:
    """Check a finite number from `least` to `most`.  Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: {value!r} of type {type(value).__name__}, expected {expected}")
    try:
        number = float(value)
    except OverflowError:       # 10**400
        number = math.inf
    if not least <= number <= most or math.isinf(number):
        raise ValueError(f"{name}: {value}, expected {expected}")


def check_texts(texts: Any, name: str) -> None:
    """Check a collection of texts, none of them empty.  Raises TypeError, ValueError."""
    if isinstance(texts, str) or not isinstance(texts, Collection) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name}: {texts!r}, expected a sequence of texts; write ('…',)")
    if "" in texts:
        raise ValueError(f"{name}: {texts!r}, expected no empty text; leave it out")


def require_tokenizer(model: Any, name: str = "model") -> Any:
    """Return the tokenizer that a model needs to take texts.  Raises ValueError where it has none."""
    if model.tokenizer is None:
        found = f"{printable(name)}: no tokenizer"
        raise ValueError(f"{found}, expected vocab.json and merges.txt, or chars.json; save one to the folder")
    return model.tokenizer


def _check_range(values: np.ndarray, n: int, name: str, otherwise: str = "") -> None:
    if values.min() < 0 or values.max() >= n:
        raise ValueError(f"{name}: values from {values.min()} to {values.max()}, expected 0 to {n - 1}{otherwise}")
