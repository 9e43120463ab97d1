"""Replies of the lab as bytes: JSON, or JSON followed by arrays as they lie in memory.

    length of the JSON (4 bytes, little-endian) · JSON, filled up with spaces to a multiple of 8 · arrays, float32

Each array is described in the JSON, with its place: {"offset": bytes from the end of the JSON, "dtype": "float32", …}.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable


def as_json(value: Any) -> bytes:
    """JSON of numbers, texts, lists and dictionaries; NumPy's numbers and arrays too, and null for what is not finite"""
    try:                        # most hold no infinity, and plain numbers and lists need no copy
        text = _dumps(value)
    except ValueError:
        text = _dumps(_finite(value))
    return text.encode("utf-8", "replace")


def packed(header: dict[str, Any], arrays: Iterable[tuple[dict[str, Any], np.ndarray]]) -> bytes:
    """A header and arrays, each with its description, as one sequence of bytes"""
    descriptions, pieces, offset = [], [], 0
    for description, array in arrays:
        piece = np.ascontiguousarray(array, "<f4").tobytes()
        descriptions.append({**description, "dtype": "float32", "offset": offset})
        pieces.append(piece)
        offset += len(piece)
    text = as_json({**header, "arrays": descriptions})
    text += b" " * (-(4 + len(text)) % 8)
    return b"".join([len(text).to_bytes(4, "little"), text, *pieces])


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__}: expected a number, a text, a list, a dictionary or an array")
    return value.tolist()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _finite(value.tolist())
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
