"""What a process does with a stretch of a text file: encode it, or count its pieces or find its characters, part by part.

Work is described in JSON, since it goes to helper processes; what it amounts to for whole files is training/token_files.py's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..system.processes import Work
from ..system.text_parts import Cutter, Part, read_parts
from . import from_state
from .char import CharTokenizer
from .cutting import Cuts
from .fast import split_pieces
from .split import split_special
from .tokenizer import Tokenizer


def make_encoder(setup: bytes) -> Work:
    """Work that makes ids of stretches: setup {"tokenizer", "keep_bytes", "part"}, job [path, start, stop] -> ids in bytes."""
    given = json.loads(setup)
    tokenizer = from_state(given["tokenizer"])
    assert isinstance(tokenizer, (CharTokenizer, Tokenizer))

    def encode(job: bytes) -> bytes:
        return b"".join(map(ids_of, _parts(job, given, tokenizer.cuts)))

    def ids_of(part: Part) -> bytes:
        ids = tokenizer.encode_array(part.text, allowed_special="all")
        return ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes()

    return encode


def make_counter(setup: bytes) -> Work:
    """Work that counts: setup {"special", "keep_bytes", "part"}, job [path, start, stop] -> {"counts", "characters", …}.

    special: the special tokens, which are no part of the text; None to have only the distinct characters, each with a 1.
    """
    given = json.loads(setup)
    special = given["special"]
    cuts = Cuts(anywhere=True) if special is None else Cuts(tokens=tuple(special))

    def count(job: bytes) -> bytes:
        counts: Counter[str] = Counter()
        characters = 0
        changes = np.zeros(3, np.int64)
        for part in _parts(job, given, cuts):
            characters += len(part.text)
            changes += part[1:]
            if special is None:
                counts.update(dict.fromkeys(set(part.text) - counts.keys(), 1))
                continue
            for document in split_special(part.text, special)[::2]:
                for pieces in split_pieces(document):
                    counts.update(pieces)
        found = {"counts": counts, "characters": characters, "changes": changes.tolist()}
        return json.dumps(found, ensure_ascii=False).encode()

    return count


def _parts(job: bytes, given: dict[str, Any], cutter: Cutter) -> Iterator[Part]:
    path, start, stop = json.loads(job)
    return read_parts(path, start, stop, cutter, given["keep_bytes"], given["part"])
