"""Arrays as a picture needs them: two axes, or three with heads, and no more rows and columns than it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Part:
    """Which rows and columns of an array are sent: at most `most` of each, evenly apart, from all or from a range."""

    most: int
    rows: Sequence[int] | None = None           # [from, until]
    columns: Sequence[int] | None = None
    tokens: Sequence[int] | None = None         # those of a vocabulary

    def of_vocabulary(self, tokens: Sequence[int]) -> Part:
        """The same part, with these tokens where an axis is the vocabulary"""
        return replace(self, tokens=tokens)

    def indices(self, axis: str, size: int, wanted: Sequence[int] | None) -> list[int]:
        """The indices that are sent of an axis.  Raises ValueError for a range outside of it."""
        if axis == "V" and self.tokens is not None:
            return list(self.tokens)
        first, last = (0, size) if wanted is None else (max(0, wanted[0]), min(size, wanted[1]))
        if first >= last:
            raise ValueError(f"rows, columns: from {first} to {last}, expected a part of 0 to {size}")
        return list(range(first, last, -(-(last - first) // self.most)))


def picture(
    name: str, which: str, axes: str, array: np.ndarray, part: Part, label: Callable[[int], str],
) -> tuple[dict[str, Any], np.ndarray]:
    """What a picture tells of an array, and the numbers that it shows.  label: of a token of the vocabulary."""
    letters = axes.split()
    if letters[:1] == ["B"]:
        letters, array = letters[1:], array[0]
    shape = array.shape
    finite = array[np.isfinite(array)].astype(np.float64)
    if len(letters) == 0:
        letters, array = ["1", "1"], array.reshape(1, 1)
    elif len(letters) == 1:
        letters, array = (["T", "1"], array[:, None]) if letters == ["T"] else (["1", *letters], array[None])
    row_axis, column_axis = letters[-2:]
    rows = part.indices(row_axis, array.shape[-2], part.rows)
    columns = part.indices(column_axis, array.shape[-1], part.columns)
    array = array[..., rows, :][..., columns]

    def words(axis: str, places: list[int]) -> list[str] | None:
        return list(map(label, places)) if axis == "V" else None

    return {
        "name": name, "which": which, "axes": axes, "shape": shape, "shown": array.shape, "rows": rows, "columns": columns,
        "row_axis": row_axis, "column_axis": column_axis, "row_labels": words(row_axis, rows),
        "column_labels": words(column_axis, columns),
        "least": finite.min() if finite.size else None, "greatest": finite.max() if finite.size else None,
        "rms": math.sqrt((finite**2).mean()) if finite.size else None,
    }, array


def tokens_that_matter(ids: np.ndarray, probs: np.ndarray, most: int) -> list[int]:
    """Those of a vocabulary that a picture shows where it has no room for all: of the text, ids (T,), and likely ones, by id.

    probs (T, V)
    """
    V = probs.shape[-1]
    if most >= V:
        return list(range(V))
    chosen = dict.fromkeys(ids.tolist()[:most])
    for id in np.argsort(-probs.max(0), kind="stable").tolist():
        if len(chosen) >= most:
            break
        chosen[id] = None
    return sorted(chosen)
