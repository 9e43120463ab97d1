"""What a tokenizer with Hugging Face's calls returns, and how its rows are padded and become arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..inputs import pad_rows
from ..tokenization.checks import shortened

PADDINGS = {False: None, "do_not_pad": None, True: "longest", "longest": "longest", "max_length": "max_length"}
TRUNCATIONS = {False: False, "do_not_truncate": False, True: True, "longest_first": True, "only_first": True}


class Encoding(dict):
    """The input_ids and the attention_mask of a text, by key and by attribute."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"Encoding has no {name!r}, expected one of {', '.join(self)}")

    def to(self, device: Any) -> "Encoding":
        """Return itself for "cpu".  Raises ValueError for any other device."""
        if str(device) != "cpu":
            raise ValueError(f"to: {device!r}, expected 'cpu', where NumPy computes; leave it out")
        return self


def padded(columns: Mapping[str, list[Any]], pad_id: int, length: int, left: bool) -> dict[str, list[Any]]:
    """Fill rows up to `length`: input_ids with pad_id, the mask and the types with 0; other columns stay.

    Row by row, since without truncation some may be longer.
    """
    fills = {"input_ids": pad_id, "attention_mask": 0, "token_type_ids": 0}
    return {name: [pad_rows([row], fills[name], length=length, left=left)[0].tolist() for row in rows]
            if name in fills else rows for name, rows in columns.items()}


def as_arrays(columns: Mapping[str, list[Any]]) -> Encoding:
    """Rows of one length -> int64 arrays (B, T).  Raises ValueError for rows of several."""
    rows = columns["input_ids"]
    if len(lengths := sorted({len(row) for row in rows})) > 1:
        raise ValueError(
            f"return_tensors: rows of {lengths[0]} to {lengths[-1]} tokens, expected equal lengths; pass padding=True"
        )
    shape = len(rows), (lengths or [0])[0]
    return Encoding({name: np.array(column, np.int64).reshape(shape) for name, column in columns.items()})


def choice(choices: Mapping[Any, Any], value: Any, name: str) -> Any:
    """Look an option up.  Raises ValueError for one that there is not."""
    if isinstance(value, (bool, str)) and value in choices:
        return choices[value]
    names = ", ".join(repr(name) for name in choices if isinstance(name, str))
    raise ValueError(f"{name}: {shortened(value)}, expected True, False, {names}")
