"""Token ids: their type in arrays, and the checks of ids that callers give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

IdArray = npt.NDArray[np.unsignedinteger[Any]]  # uint16, or uint32 for vocabularies above 65,536


def id_dtype(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    """Return the type of a vocabulary's ids."""
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def checked_ids(ids: Iterable[int], vocab_size: int) -> list[int]:
    """Return the ids, an array (T,) or any iterable, as a list of integers.

    Raises TypeError for ids that are no integers; ValueError for one that is not in the vocabulary, and for several rows.
    """
    if isinstance(ids, np.ndarray):
        if ids.dtype.kind not in "iu":
            raise TypeError(f"ids: an array of {ids.dtype}, expected integers; convert it with .astype(int)")
        if ids.ndim != 1:
            raise ValueError(f"ids: an array of shape {ids.shape}, expected (T,); decode row by row")
        values: list[int] = ids.tolist()
    elif isinstance(ids, (str, bytes, bytearray)) or not isinstance(ids, Iterable):
        raise TypeError(f"ids: {ids!r}, expected a sequence of integers; put a single id into a list")
    else:
        values = list(ids)
    if set(map(type, values)) - {int} or (values and not (min(values) >= 0 and max(values) < vocab_size)):
        for i, id in enumerate(values):  # one of them may be wrong
            check_id(id, vocab_size, f"ids[{i}]")
    return values


def check_id(id: int, vocab_size: int, name: str) -> None:
    """Raise TypeError for an id that is no integer, ValueError for one that is not in the vocabulary."""
    if isinstance(id, bool) or not isinstance(id, (int, np.integer)):
        raise TypeError(f"{name}: {id!r} of type {type(id).__name__}, expected an integer; convert it")
    if not 0 <= id < vocab_size:
        raise ValueError(
            f"{name}: {id}, expected an id from 0 to {vocab_size - 1}; take the tokenizer that encoded the text"
        )
