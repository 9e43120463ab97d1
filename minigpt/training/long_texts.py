"""Texts longer than memory: files that are read stretch by stretch, on all cores, to learn a tokenizer from and to encode.

What was learned and encoded is kept in the cache, under the fingerprint of the files' contents.  How files become a text at all
is texts.py's.
"""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..system.files import write_atomic
from ..system.processes import Work, in_order
from ..system.progress import Bar
from ..system.text_files import changes_note
from ..system.text_parts import PART, read_parts
from ..system.threads import WorkerPool, cpu_count
from ..tokenization import CharTokenizer, Tokenizer, from_state
from ..tokenization.cutting import Cuts
from ..tokenization.file_work import make_counter, make_encoder
from ..tokenization.sizing import fitting_vocab_size
from .documents import BETWEEN, separator, source_of_paths, special_between
from .token_files import TextChanged, TokenFile, locked, token_file, token_folder

MOST_PIECES = 1 << 18   # distinct ones that are counted; when there are more, the rarest are dropped
STRETCH = 4 * PART      # bytes of a file that are one job
NOTE_EVERY = 64         # jobs between two notes of what was counted
_HASHED = 1 << 24       # bytes that are hashed at a time
_FORMAT = 1             # to be raised when the same text and tokenizer give another file

Job = tuple[str, int, int]      # a file, and the stretch of it from one byte to another


class LongText:
    """Files to learn from, of any size; no more than a few stretches of them are in memory at once.

    progress: show bars.  Raises OSError for a file that cannot be read.
    """

    def __init__(self, paths: Sequence[str], keep_bytes: bool = False, progress: bool = False) -> None:
        self.paths, self.keep_bytes, self.progress = list(paths), keep_bytes, progress
        self._states = [*map(_state, paths)]
        self.n_bytes = sum(size for size, _ in self._states)
        self._digests = self._hashed()
        self.changes = ""       # a sentence on what of the bytes was read otherwise, once a tokenizer is learned

    @property
    def name(self) -> str:
        """What a run notes to read the text again."""
        return source_of_paths(self.paths)

    def characters(self) -> CharTokenizer:
        """The tokenizer of the text's characters; with several files of the separator's too."""
        learned = self._learned(None, None)
        assert isinstance(learned, CharTokenizer)
        return learned

    def bpe(self, vocab_size: int | None, special_tokens: Sequence[str] = ()) -> Tokenizer:
        """A tokenizer of byte-level BPE, by default as large as fits the text, with an end-of-text token for several files."""
        special = special_between(self.paths, special_tokens)
        learned = self._learned(special, vocab_size)
        assert isinstance(learned, Tokenizer)
        return learned

    def fingerprint(self, tokenizer: CharTokenizer | Tokenizer) -> str:
        """That of ids(tokenizer), without making them."""
        return f"file:{self._key(tokenizer.fingerprint(), separator(tokenizer, self.paths))}"

    def ids(self, tokenizer: CharTokenizer | Tokenizer) -> TokenFile:
        """The ids of all files, a separator between them, from the cache or made now."""
        name = self.fingerprint(tokenizer).removeprefix("file:")
        jobs = self._jobs()
        setup = {"tokenizer": tokenizer.state(), "keep_bytes": self.keep_bytes, "part": PART}

        def make(done: int) -> Iterator[bytes]:
            dtype = tokenizer.encode_array("").dtype.newbyteorder("<")
            between = np.array(separator(tokenizer, self.paths), dtype).tobytes()
            for i, data in enumerate(self._work(make_encoder, setup, jobs, done, "tokenizing"), start=done):
                yield (between if i and jobs[i][1] == 0 else b"") + data

        return token_file(name, tokenizer.vocab_size, len(jobs), make)

    def beginning(self, n: int) -> str:
        """The first characters."""
        parts = read_parts(self.paths[0], 0, 1, Cuts(anywhere=True), self.keep_bytes, 4 * n + 3)
        return "".join(part.text for part in parts)[:n]

    def _learned(self, special: Sequence[str] | None, vocab_size: int | None) -> Any:
        """The tokenizer that was learned before, or is now: of BPE, or without `special` of characters."""
        path = token_folder() / f"learned-{self._key(special, vocab_size)}.json"
        if (learned := _read_learned(path)) is None:
            with locked(path.with_suffix(".lock")):
                if (learned := _read_learned(path)) is None:
                    learned = self._learn(path, special, vocab_size)
        self.changes, tokenizer = learned
        return tokenizer

    def _learn(self, path: Path, special: Sequence[str] | None, vocab_size: int | None) -> tuple[str, Any]:
        """Learn a tokenizer and write it to a path"""
        note = path.with_suffix(".part")
        try:
            counts, changes = self._count(special, note)
        except TextChanged:
            note.unlink(missing_ok=True)
            raise
        tokenizer = self._characters(counts) if special is None else self._bpe(counts, changes, special, vocab_size)
        _write(path, {"changes": changes, "tokenizer": tokenizer.state()})
        note.unlink(missing_ok=True)
        return changes_note(*changes), tokenizer

    def _characters(self, counts: Counter[str]) -> CharTokenizer:
        return CharTokenizer(sorted({*counts, *(BETWEEN if len(self.paths) > 1 else "")}))

    def _bpe(self, counts: Counter[str], changes: list[int], special: Sequence[str], vocab_size: int | None) -> Tokenizer:
        if vocab_size is None:
            marks, pairs, _ = changes           # three bytes and one that are no more
            vocab_size = fitting_vocab_size(counts, self.n_bytes - 3 * marks - pairs) + len(special)
        return Tokenizer.train_on_pieces(counts, vocab_size, special, self.progress)

    def otherwise(self) -> LongText:
        """The same files with the other keep_bytes, without reading them again."""
        other = copy.copy(self)
        other.keep_bytes = not self.keep_bytes
        return other

    def _count(self, special: Sequence[str] | None, note: Path) -> tuple[Counter[str], list[int]]:
        """Count, or go on counting from what a process that was killed noted."""
        counts: Counter[str] = Counter()
        changes, done = [0, 0, 0], 0
        with suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads(note.read_bytes())
            counts, changes, done = Counter(noted["counts"]), noted["changes"], noted["jobs"]
        setup = {"special": special, "keep_bytes": self.keep_bytes, "part": PART}
        for found in map(json.loads, self._work(make_counter, setup, self._jobs(), done, "counting")):
            done += 1
            counts.update(found["counts"])
            changes = [a + b for a, b in zip(changes, found["changes"], strict=True)]
            if len(counts) > MOST_PIECES:
                counts = _frequent(counts, MOST_PIECES // 2)
            if done % NOTE_EVERY == 0:
                _write(note, {"counts": counts, "changes": changes, "jobs": done})
        return counts, changes

    def _jobs(self) -> list[Job]:
        return [(path, start, start + STRETCH) for path, (size, _) in zip(self.paths, self._states, strict=True)
                for start in range(0, size, STRETCH)]

    def _work(
        self, make_work: Callable[[bytes], Work], setup: dict[str, Any], jobs: Sequence[Job], done: int, what: str
    ) -> Iterator[bytes]:
        """The result of each job from `done` on.  Raises TextChanged where a file is another one than was hashed."""
        states = dict(zip(self.paths, self._states, strict=True))
        frames = (json.dumps(job).encode() for job in jobs[done:])
        with self._bar(what, min(done * STRETCH, self.n_bytes)) as bar:
            results = in_order(make_work, json.dumps(setup).encode(), frames, min(cpu_count(), len(jobs) - done))
            for (path, _, _), result in zip(jobs[done:], results, strict=True):
                if _state(path) != states[path]:
                    raise TextChanged(f"{path}: changed while it was read, expected it to stay; start again when it is whole")
                yield result
                bar.update(min(STRETCH, self.n_bytes - bar.n))

    def _bar(self, what: str, done: int = 0) -> Bar:
        return Bar(total=self.n_bytes, initial=done, desc=what, unit="B", unit_scale=True, disable=not self.progress)

    def _key(self, *more: Any) -> str:
        """32 hexadecimal digits that name what is made of the files, as they are, with these settings."""
        content = json.dumps([_FORMAT, self._digests, self.keep_bytes, *more])
        return blake2b(content.encode(), digest_size=16).hexdigest()

    def _hashed(self) -> list[str]:
        """A digest of each file's content"""
        pool = WorkerPool()
        digests = []
        with self._bar("reading") as bar:
            for path, (size, _) in zip(self.paths, self._states, strict=True):
                whole = blake2b(digest_size=16)
                starts = range(0, size, _HASHED)
                for i in range(0, len(starts), pool.threads):
                    for digest in pool.run([partial(_digest, path, start) for start in starts[i : i + pool.threads]]):
                        whole.update(digest)
                    bar.update(min(pool.threads * _HASHED, size - i * _HASHED))
                digests.append(whole.hexdigest())
        return digests


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(content, ensure_ascii=False).encode())


def _read_learned(path: Path) -> tuple[str, Any] | None:
    """What was read otherwise, in a sentence, and the tokenizer; None where there is none, or a damaged one."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(path.read_bytes())
        return changes_note(*found["changes"]), from_state(found["tokenizer"])
    return None


def _state(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _digest(path: str, start: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        return blake2b(file.read(_HASHED), digest_size=16).digest()


def _frequent(counts: Counter[str], most: int) -> Counter[str]:
    """The pieces that occur often enough for no more than `most` to be left (lossy counting, Manku and Motwani 2002)"""
    floor = sorted(counts.values(), reverse=True)[most]
    return Counter({piece: n for piece, n in counts.items() if n > floor})
