"""Token files: the ids of texts that are longer than memory, made once, kept in the cache, and read through a memory map.

    FINGERPRINT.bin     the ids of all documents in order, a separator between them, uint16 or uint32, little-endian
    FINGERPRINT.part    as much of them as there is while they are made
    FINGERPRINT.json    how much of them there is
    FINGERPRINT.lock    held by the process that makes them

Which files they are of, and the tokenizer, is long_texts.py's.
"""

from __future__ import annotations

import json
import math
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..system.files import LockedError, lock, naming, write_atomic
from ..system.text import for_terminal, printable
from ..tokenization.ids import IdArray, id_dtype
from ..weights.cache import cache_folder

SAVE_EVERY = 16         # jobs between two notes of how far the ids are: a killed process has at most so many to do again


class TextChanged(ValueError):
    """A file changed while it was read: what was made of it is worth nothing."""


class _OpenFile:
    """A file's descriptor, closed with the last object that has it; a copy opens the file anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.number)

    def __reduce__(self) -> tuple[Any, ...]:
        return _OpenFile, (self.path,)


class TokenFile:
    """The ids (N,) of a token file, or some of them in a row; as an array, which NumPy makes of it, they are a memory map.

    Each array is a map of its own: the pages that were read leave the process's memory together with it.  The file stays
    readable when its name is deleted.
    fingerprint: a name that no other ids have but for an accident: of the texts, the tokenizer and the separator.
    """

    def __init__(self, path: Path, vocab_size: int, part: range | None = None, file: _OpenFile | None = None) -> None:
        self.path, self.fingerprint = path, f"file:{path.stem}"
        self._file = _OpenFile(path) if file is None else file
        self._vocab_size = vocab_size
        self._dtype = np.dtype(id_dtype(vocab_size)).newbyteorder("<")
        self._part = range(os.fstat(self._file.number).st_size // self._dtype.itemsize) if part is None else part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> IdArray:
        start = self._part.start * self._dtype.itemsize
        with open(self._file.number, "rb", closefd=False) as file:
            ids = np.asarray(np.memmap(file, self._dtype, "r", start, (len(self),)))
        return ids if dtype is None or dtype == ids.dtype else ids.astype(dtype)

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, part: slice) -> TokenFile:
        return TokenFile(self.path, self._vocab_size, self._part[part], self._file)

    def max(self) -> int:
        """The highest id that can be there: these are one tokenizer's, and looking at all of them would read the whole file."""
        return self._vocab_size - 1


def token_folder() -> Path:
    """The folder of token files, made where there is none.  Raises OSError where it cannot be."""
    folder = cache_folder() / "tokens"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{printable(folder)}: {error}, expected a folder for the ids of a long text; set MINIGPT_CACHE to one "
                      "with room for them") from error
    return folder


def token_file(name: str, vocab_size: int, n_jobs: int, make: Callable[[int], Iterable[bytes]]) -> TokenFile:
    """Return the token file of this name; where there is none, make it, or go on making it.

    n_jobs, make: make(k) yields the bytes of job k, k + 1, … n_jobs − 1.
    A second process waits for the one that makes it.  Raises OSError where the file cannot be written.
    """
    path = token_folder() / f"{name}.bin"
    if not _is_whole(path):
        with locked(path.with_suffix(".lock")):
            if not _is_whole(path):
                _make(path, n_jobs, make)
    return TokenFile(path, vocab_size)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, for which one waits as long as it takes, and says so."""
    try:
        with lock(path):
            yield
        return
    except LockedError as error:
        print(for_terminal(f"waiting: {error}"), file=sys.stderr)
    with lock(path, timeout=math.inf):
        yield


def _make(path: Path, n_jobs: int, make: Callable[[int], Iterable[bytes]]) -> None:
    """subtle: ids are on the disk before the note that counts them, so that they are there after a power cut too."""
    part, note = path.with_suffix(".part"), path.with_suffix(".json")
    done, size = _progress(part, note)

    def make_all() -> None:
        nonlocal done
        with open(part, "r+b" if done else "wb") as file:
            file.truncate(size)
            file.seek(size)
            for data in make(done):
                file.write(data)
                done += 1
                if done % SAVE_EVERY == 0:
                    _note(file, note, done)
            _note(file, note, done)

    try:
        naming(part, make_all)
    except TextChanged:
        part.unlink()
        note.unlink(missing_ok=True)
        raise
    os.replace(part, path)


def _is_whole(path: Path) -> bool:
    """Whether a token file is as long as its note says, so that a copy cut short is made again."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        size = path.stat().st_size
        return size == json.loads(path.with_suffix(".json").read_bytes())["bytes"]
    return path.exists() and not path.with_suffix(".json").exists()         # earlier versions kept no note


def _note(file: BinaryIO, note: Path, done: int) -> None:
    file.flush()
    os.fsync(file.fileno())
    write_atomic(note, json.dumps({"jobs": done, "bytes": file.tell()}).encode())


def _progress(part: Path, note: Path) -> tuple[int, int]:
    """How many jobs are done, and their bytes; none where a note and its file do not fit together."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(note.read_bytes())
        done, size = int(found["jobs"]), int(found["bytes"])
        if part.stat().st_size >= size >= 0 <= done:
            return done, size
    return 0, 0
