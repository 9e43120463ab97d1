"""What comes in from outside, checked before anything is computed: tokens in any form, numbers, texts.

Every error names the argument, what came and what was expected.  Not here: the names of arguments (system/option_names.py), and
checks that only one module needs, such as options that contradict each other (generation/options.py), configurations
(config.py), and what a tokenizer takes (tokenization/).
"""

import math
import sys
from collections.abc import Collection, Mapping, Sequence, Set
from numbers import Real
from typing import Any

import numpy as np

from .nn.cross_entropy import IGNORED
from .system.text import printable

_FORMS = "a text, ids (T,) or (B, T), or a list of B of them"


def plain(value: Any) -> Any:
    """Take a number, a boolean or a text of NumPy's, also as an array without axes, as Python has it; all else stays.

        plain(np.True_) -> True;   plain(np.array(5)) -> 5
    """
    return value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0) else value


def encoded(tokens: Any, tokenizer: Any, name: str = "ids") -> Any:
    """Replace a text by its ids; ids stay as they are.

        encoded("ROMEO", tokenizer) -> [30, 27, 25, 17, 27]

    Raises ValueError for a text where there is no tokenizer, TypeError for bytes.
    """
    if isinstance(tokens, bytes):
        raise TypeError(f"{name}: bytes, expected a text or token ids; decode them first")
    if not isinstance(tokens, str):
        return tokens
    if tokenizer is None:
        raise ValueError(f"{name}: a text, expected token ids, since the model has no tokenizer; set model.tokenizer")
    return tokenizer.encode(tokens)


def rows_of(tokens: Any, name: str) -> tuple[dict[str, Any], str]:
    """Take one sequence or several apart -> {what errors call it: row}, and "one", "array" or "list", how they came.

        rows_of("ROMEO", "ids") -> {"ids": "ROMEO"}, "one";   rows_of([[5, 2], [7]], "ids") -> {"ids[0]": [5, 2], …}, "list"

    tokens: a text or ids (T,); an array (B, T); a list of texts or of rows of ids, which may differ in length.  The rows are
    not looked at.  Raises TypeError for what is neither, ValueError for another shape.
    """
    tokens = _taken(tokens, name)
    if isinstance(tokens, (str, bytes)):
        return {name: tokens}, "one"
    if isinstance(tokens, (list, tuple)):
        several = len(tokens) > 0 and _is_row(tokens[0])        # and so are all
        return ({f"{name}[{i}]": row for i, row in enumerate(tokens)}, "list") if several else ({name: tokens}, "one")
    if np.ndim(tokens) == 1:
        return {name: tokens}, "one"
    if np.ndim(tokens) == 2 and len(tokens):
        return {f"{name}[{i}]": row for i, row in enumerate(np.asarray(tokens))}, "array"
    raise ValueError(f"{name}: shape {np.shape(tokens)}, expected {_FORMS}")


def _taken(tokens: Any, name: str) -> Any:
    """Tokens in any form that is taken, an array of texts as a list of them.  Raises TypeError for others, also mixed lists."""
    tokens = plain(tokens)
    if isinstance(tokens, np.ndarray) and tokens.dtype.kind in "UO":
        tokens = tokens.tolist()
    if isinstance(tokens, (Set, Mapping)) or not hasattr(tokens, "__len__"):
        raise TypeError(f"{name}: {_of_type(tokens)}, expected {_FORMS}")
    if isinstance(tokens, (list, tuple)) and len({*map(_is_row, {type(item): item for item in tokens}.values())}) > 1:
        i = [*map(_is_row, tokens)].index(False)
        raise TypeError(f"{name}[{i}]: {_of_type(tokens[i])} among texts or rows, expected a text or a row of ids as well")
    return tokens


def _is_row(item: Any) -> bool:
    return hasattr(item, "__len__") and not (isinstance(item, np.ndarray) and item.ndim == 0)


def only_row(tokens: Any, name: str, instead: str) -> Any:
    """Take one sequence, or the only one of several, for what cannot go on with more.  Raises ValueError."""
    rows, _ = rows_of(tokens, name)
    if len(rows) != 1:
        raise ValueError(f"{name}: {len(rows)} sequences, expected one; {instead}")
    row = next(iter(rows.values()))
    if len(rows_of(row, name)[0]) != 1:
        raise ValueError(f"{name}: rows within a row, expected one sequence; {instead}")
    return row


def as_batch(tokens: Any, tokenizer: Any, name: str = "ids") -> np.ndarray:
    """Make a batch of what people have; a single sequence, a text or ids (T,), is a batch of one.

        as_batch([5, 2, 9], None) -> [[5, 2, 9]];   as_batch(["RO", "ME"], tokenizer) -> [[30, 27], [25, 17]]

    The ids are not looked at: checked_batch().  Raises TypeError for what are no tokens, ValueError for rows of different
    lengths, and what encoded() does.
    """
    tokens = _taken(tokens, name)
    if isinstance(tokens, (list, tuple)) and any(isinstance(text, (str, bytes)) for text in tokens):
        tokens = [encoded(text, tokenizer, f"{name}[{i}]") for i, text in enumerate(tokens)]
    ids = as_array(encoded(tokens, tokenizer, name), name)
    return ids[None] if ids.ndim == 1 else ids


def as_array(value: Any, name: str) -> np.ndarray:
    """Make an array of lists within lists.  Raises ValueError for rows of different lengths or depths."""
    try:
        return np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        lengths = {len(row) if _is_row(row) else None for row in value}
        if len(lengths) > 1 and None not in lengths:
            raise ValueError(f"{name}: rows of different lengths, expected one length; give one at a time") from None
        raise ValueError(f"{name}: lists within some rows and not within others, expected one depth; flatten them") from None


def next_tokens(ids: np.ndarray) -> np.ndarray:
    """Make targets of ids (B, T): at each position the token after it, and at the last none.

        next_tokens([[5, 2, 9]]) -> [[2, 9, -100]]

    Raises ValueError for a single token.
    """
    if ids.shape[1] < 2:
        raise ValueError("ids: 1 token, expected at least 2, whose targets are the next ones; give more, or targets")
    return np.concatenate([ids[:, 1:], np.full((len(ids), 1), IGNORED)], axis=1)


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
    ids = as_array(ids, name)
    if ids.ndim != 2:
        remedy = f"; write {name}[None] for a single sequence" if ids.ndim == 1 else ""
        raise ValueError(f"{name}: shape {ids.shape}, expected (batch, time){remedy}")
    if ids.size == 0:
        raise ValueError(f"{name}: shape {ids.shape}, expected at least one token")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name}: dtype {ids.dtype}, expected integers")
    _check_range(ids, vocab_size, name)
    return ids.astype(np.intp, copy=False)       # NumPy 1.26 cannot index by uint64


def checked_targets(targets: Any, n_outputs: int) -> tuple[np.ndarray, int]:
    """Check targets of any shape: the same as an array, and how many of them count, those that are not −100.

    Raises TypeError, ValueError; also where none counts.
    """
    targets = as_array(targets, "targets")
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
        array = np.asarray(row)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            found = f"{array.dtype} of shape {array.shape}" if array.ndim else _of_type(row)
            raise TypeError(f"{name}: {found}, expected a row of integers")
        row = array.tolist()
    row = list(row) if {*map(type, row)} <= {int} else [*map(plain, row)]
    for i, id in enumerate(row):
        if isinstance(id, bool) or not isinstance(id, int):
            raise TypeError(f"{name}[{i}]: {_of_type(id)}, expected an integer")
        if not 0 <= id < vocab_size:
            raise ValueError(f"{name}[{i}]: {id}, expected an id from 0 to {vocab_size - 1}; use the model's tokenizer")
    return row


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
        raise TypeError(f"{name}: {_of_type(value)}, expected a whole number; {remedy}")
    if value < least:
        raise ValueError(f"{name}: {value}, expected a whole number from {least}; {remedy}")


def check_number(value: Any, least: float, most: float, name: str, expected: str) -> None:
    """Check a finite number from `least` to `most`.  Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: {_of_type(value)}, expected {expected}")
    try:
        number = float(value)
    except OverflowError:       # 10**400
        number = math.inf
    if not least <= number <= most or math.isinf(number):
        raise ValueError(f"{name}: {value}, expected {expected}")


def checked_texts(texts: Any, name: str) -> list[str]:
    """Check a collection of texts, none of them empty: the same as a list.  Raises TypeError, ValueError."""
    texts = plain(texts)
    if isinstance(texts, str) or not isinstance(texts, (Collection, np.ndarray)) or not all(
            isinstance(text, str) for text in texts):
        raise TypeError(f"{name}: {printable(repr(texts))}, expected a sequence of texts; write ('…',)")
    texts = [str(text) for text in texts]
    if "" in texts:
        raise ValueError(f"{name}: {printable(repr(texts))}, expected no empty text; leave it out")
    return texts


def check_flag(value: Any, name: str) -> None:
    """Check a boolean.  Raises TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {_of_type(value)}, expected True or False")


def require_tokenizer(model: Any, name: str = "model") -> Any:
    """Return the tokenizer that a model needs to take texts.  Raises ValueError where it has none."""
    if model.tokenizer is None:
        found = f"{printable(name)}: no tokenizer"
        raise ValueError(f"{found}, expected vocab.json and merges.txt, or chars.json; save one to the folder")
    return model.tokenizer


def _check_range(values: np.ndarray, n: int, name: str, otherwise: str = "") -> None:
    if values.min() < 0 or values.max() >= n:
        raise ValueError(f"{name}: values from {values.min()} to {values.max()}, expected 0 to {n - 1}{otherwise}")


def _of_type(value: object) -> str:
    return f"{printable(repr(value))} of type {type(value).__name__}"
