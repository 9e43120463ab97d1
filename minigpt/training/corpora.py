"""Corpora: which text a model learns from."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ..system.text_files import read_text_file
from ..weights.cache import cache_folder
from ..weights.hub import DownloadError, fetch
from .batches import as_tokens
from .token_files import TokenFile

Tokens = TypeVar("Tokens", np.ndarray, TokenFile)

VALIDATION = 1 << 18        # tokens of a token file that an evaluation reads at most

_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_FILE = "tinyshakespeare.txt"
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_SHAKESPEARE_SIZE = 1_115_394  # bytes, and characters: it is ASCII


@dataclass(frozen=True)
class Corpus:
    """A text to learn from.  Raises TypeError listing every bad field."""

    text: str
    name: str  # "shakespeare", "python" or the file's path
    note: str  # a sentence or two: which text this is and why, and what of its bytes was read otherwise

    def __post_init__(self) -> None:
        if bad := [f"{name} {value!r:.80}" for name, value in vars(self).items() if not isinstance(value, str)]:
            raise TypeError(f"Corpus: {'; '.join(bad)}: expected strings; load_corpus() makes one of a file")


def load_corpus(source: str | os.PathLike[str] | None = None, keep_bytes: bool = False) -> Corpus:
    """Return a text to learn from.

    "shakespeare"  Tiny Shakespeare, 1.1 MB of plays, downloaded once; DownloadError where it cannot be had
    "python"       the language reference that comes with every CPython, about 0.5 MB; needs no network
    a path         any UTF-8 file ("./python" is a file), without a byte order mark, its line ends as \\n: the note says so
    None           Tiny Shakespeare, or where it cannot be had the language reference, with a note that says so

    keep_bytes: a file's byte order mark and line ends stay as they are.
    Raises for a path FileNotFoundError, IsADirectoryError, and ValueError for an empty file and for one not in UTF-8.
    """
    if source is None:
        try:
            return load_corpus("shakespeare")
        except DownloadError as failure:
            reason = " ".join(str(failure).partition("; ")[0].partition(", expected")[0].split())  # the advice follows below
        python = load_corpus("python")
        note = (
            f"{python.note.removesuffix('.')},\nin place of Tiny Shakespeare, which could not be had:\n  {reason}.\n"
            f"To use that, pass a file of it with --data FILE, or put the one of SHA-256\n  {_SHAKESPEARE_SHA256}\nat\n"
            f"  {cache_folder() / _SHAKESPEARE_FILE}"
        )
        return replace(python, note=note)
    if source in NAMED_TEXTS:
        return NAMED_TEXTS[str(source)]()
    text, changes = read_text_file(source, keep_bytes)
    note = f"The file {os.fspath(source)}, {len(text):,} characters."
    return Corpus(text, os.fspath(source), f"{note} {changes}".rstrip())


def _shakespeare() -> Corpus:
    path = fetch(_SHAKESPEARE_URL, _SHAKESPEARE_FILE, _SHAKESPEARE_SHA256, _SHAKESPEARE_SIZE)
    text = read_text_file(path).text
    return Corpus(text, "shakespeare", f"Tiny Shakespeare, {len(text):,} characters of his plays.")


def _python() -> Corpus:
    from pydoc_data.topics import topics  # here, because it is large and seldom needed

    text = "\n\n".join(topics[topic] for topic in sorted(topics))
    return Corpus(text, "python", f"The language reference of Python {platform.python_version()}, {len(text):,} characters.")


NAMED_TEXTS = {"shakespeare": _shakespeare, "python": _python}      # by the names of load_corpus(); others are paths


def split(ids: Tokens, fraction: float = 0.9) -> tuple[Tokens, Tokens]:
    """Cut ids (N,) in two, views: the first `fraction` for training, the end for validation.

    split(np.arange(10)) -> [0 … 8], [9].  Raises ValueError if either part would be empty.
    """
    if not isinstance(ids, TokenFile):
        ids = as_tokens(ids)
    if not 0 < fraction < 1:
        raise ValueError(f"fraction: {fraction}, expected a number between 0 and 1; 0.9 leaves a tenth for validation")
    cut = int(fraction * len(ids))
    if cut == 0:
        count = "1 token" if len(ids) == 1 else f"{len(ids)} tokens"
        raise ValueError(f"ids: {count}, expected at least {math.ceil(1 / fraction)}, some for training and some for "
                         "validation; use a longer text, or a tokenizer that makes more tokens of it")
    return ids[:cut], ids[cut:]


def spread(ids: np.ndarray | TokenFile, most: int = VALIDATION, stretches: int = 64) -> np.ndarray:
    """Return at most so many ids of (N,): all of them, a view, or as many stretches at equal distances, a copy.

    spread(np.arange(10), most=4, stretches=2) -> [0, 1, 8, 9].  An evaluation that reads all of a long text takes hours.
    """
    ids = as_tokens(ids)
    if len(ids) <= most:
        return ids
    length = most // stretches
    starts = np.linspace(0, len(ids) - length, stretches).astype(np.int64)
    return np.concatenate([ids[start : start + length] for start in starts.tolist()])


def fingerprint(ids_or_text: np.ndarray | TokenFile | str) -> str:
    """Return 16 hexadecimal digits of SHA-256, to notice that the data changed since a checkpoint.

    For ids the value depends on the numbers, not on their type. Other data has another value, but for an accident of
    1 in 2^64.  A token file has a fingerprint of its own.
    """
    if isinstance(ids_or_text, TokenFile):
        return ids_or_text.fingerprint
    digest = hashlib.sha256()
    if isinstance(ids_or_text, str):
        digest.update(ids_or_text.encode("utf-8"))
    else:
        ids = as_tokens(ids_or_text)
        for start in range(0, len(ids), 1 << 20):  # in pieces: all of them as int64 may not fit into memory
            digest.update(ids[start : start + (1 << 20)].astype("<i8").tobytes())
    return digest.hexdigest()[:16]
