"""Corpora and batches: which text a model learns from, and in which pieces.

    corpus = load_corpus()
    ids = np.array(tokenizer.encode(corpus.text))
    train, validation = split(ids)
    inputs, targets = Batches(train, batch_size=12, context=64).next()          # both (12, 64)

Turning text into ids is tokenizer.py's, learning from them train.py's.
"""

from __future__ import annotations

import hashlib
import operator
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .hub import DownloadError, cache_folder, fetch

_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_FILE = "tinyshakespeare.txt"
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_SHAKESPEARE_SIZE = 1_115_394  # bytes, and characters: it is ASCII


@dataclass(frozen=True)
class Corpus:
    """A text to learn from."""

    text: str
    name: str  # "shakespeare", "python" or the file's path
    note: str  # one sentence: which text this is and why


def load_corpus(source: str | os.PathLike[str] | None = None) -> Corpus:
    """Return a text to learn from.

    "shakespeare"  Tiny Shakespeare, 1.1 MB of plays, downloaded once; DownloadError where it cannot be had
    "python"       the language reference that comes with every CPython, about 0.5 MB; needs no network
    a path         any UTF-8 file; line ends and a byte order mark stay as they are ("./python" is a file)
    None           Tiny Shakespeare, or where it cannot be had the language reference, with a note that says so

    Errors for a path: FileNotFoundError, IsADirectoryError, ValueError for an empty file and for one not in UTF-8.
    """
    if source is None:
        try:
            return load_corpus("shakespeare")
        except DownloadError as failure:
            reason = " ".join(str(failure).partition("; ")[0].split())  # without its advice, which follows below
        python = load_corpus("python")
        note = (
            f"{python.note.removesuffix('.')}, in place of Tiny Shakespeare, which could not be had ({reason}): to use"
            f" that, pass a file of it with --data FILE, or put the one of SHA-256 {_SHAKESPEARE_SHA256}"
            f" at {cache_folder() / _SHAKESPEARE_FILE}."
        )
        return replace(python, note=note)
    if source == "shakespeare":
        path = fetch(_SHAKESPEARE_URL, _SHAKESPEARE_FILE, _SHAKESPEARE_SHA256, _SHAKESPEARE_SIZE)
        text = _read_text(path)
        return Corpus(text, source, f"Tiny Shakespeare, {len(text):,} characters of his plays.")
    if source == "python":
        from pydoc_data.topics import topics  # here, because it is large and seldom needed

        text = "\n\n".join(topics[topic] for topic in sorted(topics))
        version = platform.python_version()
        return Corpus(text, source, f"The language reference of Python {version}, {len(text):,} characters.")
    text = _read_text(source)
    return Corpus(text, os.fspath(source), f"The file {os.fspath(source)}, {len(text):,} characters.")


def _read_text(source: str | os.PathLike[str]) -> str:
    path = Path(source)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, expected a text file; name a file inside it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file, expected a UTF-8 text; give a path, 'shakespeare' or 'python'")
    data = path.read_bytes()  # not as text: Python would turn \r\n into \n
    if not data:
        raise ValueError(f"{path}: 0 bytes, expected a text; give another file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at offset {error.start} of {len(data):,}"
        raise ValueError(f"{path}: {found} ({error.reason}), expected UTF-8; save the text in that encoding") from error


def split(ids: np.ndarray, fraction: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Cut ids (N,) in two, views: the first `fraction` for training, the end for validation.

    split(np.arange(10)) -> [0 … 8], [9].  Raises ValueError if either part would be empty.
    """
    ids = _tokens(ids)
    cut = int(fraction * len(ids)) if 0 < fraction < 1 else 0
    if cut == 0:
        raise ValueError(f"ids: fraction {fraction} of {len(ids)} tokens, expected two parts; use 0.9 or a longer text")
    return ids[:cut], ids[cut:]


class Batches:
    """Endless batches for training: inputs and targets (B, T), int64, targets[b, t] the token after inputs[b, t].

    Row b is T + 1 consecutive tokens of ids (N,), the first T as inputs and the last T as targets.

    order="crops"    each row starts anywhere, drawn from default_rng([seed, position])
    order="windows"  an epoch visits the (N − 1) // T windows that start at 0, T, 2T, … once each, in an order drawn
                     from default_rng([seed, epoch]). Rows are taken from one epoch after the other without a break: a
                     batch that meets the end of an epoch is filled up from the next, so that every batch has B rows.
                     The last (N − 1) mod T tokens are no window's targets.

    `position`, the number of batches given so far, is the whole state: set it to go on from there, in another process
    too. ids may be a memory-mapped file: a batch reads what it needs.

    Errors: ValueError if N < T + 1, or for sizes below 1, an unknown order or a negative seed.
    """

    def __init__(
        self,
        ids: np.ndarray,
        batch_size: int,
        context: int,
        seed: int = 0,
        order: Literal["crops", "windows"] = "crops",
    ) -> None:
        if order not in ("crops", "windows"):
            raise ValueError(f"order: {order!r}, expected 'crops' or 'windows'; choose one")
        if seed < 0:
            raise ValueError(f"seed: {seed}, expected an integer ≥ 0; choose another")
        self.ids = _tokens(ids)
        _check_sizes(self.ids, batch_size, context)
        self.batch_size, self.context, self.seed, self.order = batch_size, context, seed, order
        self.position = 0
        self._shuffled = Shuffled((len(self.ids) - 1) // context, seed)

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets (B, T), int64, the caller's own, and advance position by one."""
        starts = self._crops() if self.order == "crops" else self._windows()
        at = starts[:, None] + np.arange(self.context)  # (B, T)
        batch = self.ids[at].astype(np.int64), self.ids[at + 1].astype(np.int64)
        self.position += 1
        return batch

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            yield self.next()

    def _crops(self) -> np.ndarray:
        """Where the rows of the current batch start (B,)."""
        # A generator of its own for each batch: no state but the position, so resuming is setting an integer.
        rng = np.random.default_rng([self.seed, self.position])
        return rng.integers(len(self.ids) - self.context, size=self.batch_size)  # the last start leaves one target

    def _windows(self) -> np.ndarray:
        """Where the rows of the current batch start (B,)."""
        return self._shuffled.batch(self.position, self.batch_size) * self.context


class Shuffled:
    """The numbers 0 … count − 1 in a new order each epoch, drawn from default_rng([seed, epoch]).

    Shuffled(3, seed=0).batch(position, 2) for position 0, 1, 2 -> [2, 0], [1, 2], [0, 1]
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch = (-1, np.empty(0, np.int64))  # the last epoch's number and permutation: derived, kept for speed

    def batch(self, position: int, batch_size: int) -> np.ndarray:
        """Return batch number `position`, (B,): batches follow each other through all epochs without a break."""
        rows = position * batch_size + np.arange(batch_size)
        epochs, places = rows // self.count, rows % self.count
        numbers = np.empty_like(rows)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            numbers[here] = self._permutation(epoch)[places[here]]
        return numbers

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._epoch[0] != epoch:
            self._epoch = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return self._epoch[1]


def windows(ids: np.ndarray, context: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield inputs and targets, int64, that cover ids (N,) in order: every token but the first is a target once.

    The windows of T tokens come B at a time, (B, T), the last of these batches with what is left of them; a shorter
    window at the end is a batch of its own, (1, (N − 1) mod T). A mean over all targets therefore weighs each batch by
    its targets.size.

    Errors: ValueError if N < T + 1, as for Batches.
    """
    ids = _tokens(ids)
    _check_sizes(ids, batch_size, context)
    count = (len(ids) - 1) // context
    for first in range(0, count, batch_size):
        begin, end = first * context, min(first + batch_size, count) * context
        yield _rows(ids, begin, end, context)
    if count * context < len(ids) - 1:
        yield _rows(ids, count * context, len(ids) - 1, len(ids) - 1 - count * context)


def _rows(ids: np.ndarray, begin: int, end: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = ids[begin:end], ids[begin + 1 : end + 1]
    return inputs.reshape(-1, width).astype(np.int64), targets.reshape(-1, width).astype(np.int64)


def fingerprint(ids_or_text: np.ndarray | str) -> str:
    """Return 16 hexadecimal digits of SHA-256, to notice that the data changed since a checkpoint.

    For ids the value depends on the numbers, not on their type. Other data has another value, but for an accident of
    1 in 2^64.
    """
    digest = hashlib.sha256()
    if isinstance(ids_or_text, str):
        digest.update(ids_or_text.encode("utf-8"))
    else:
        ids = _tokens(ids_or_text)
        for start in range(0, len(ids), 1 << 20):  # in pieces: all of them as int64 may not fit into memory
            digest.update(ids[start : start + (1 << 20)].astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def _tokens(ids: Any) -> np.ndarray:
    """Return ids as an array (N,) of integers, a view where it is one."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids: {ids.dtype} of shape {ids.shape}, expected integers (N,); pass one row of token ids")
    return ids


def _check_sizes(ids: np.ndarray, batch_size: int, context: int) -> None:
    for name, size in (("batch_size", batch_size), ("context", context)):
        if operator.index(size) < 1:  # a TypeError for 2.5, of which NumPy would make something
            raise ValueError(f"{name}: {size}, expected at least 1; choose a larger one")
    if len(ids) < context + 1:
        raise ValueError(
            f"ids: {len(ids)} tokens, expected at least {context + 1} (a context of {context} and one target);"
            " use a longer text or a smaller context"
        )
