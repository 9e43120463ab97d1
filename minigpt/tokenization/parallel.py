"""Encoding one long text in memory on all cores: in parts, each by a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..system.processes import Work, in_order
from ..system.threads import cpu_count

if TYPE_CHECKING:
    from .tokenizer import Tokenizer

LONG = 1 << 25          # characters from which other processes, half a second after their start, have something left to do
_PART = 1 << 21         # characters, about


def processes_for(text: object) -> int:
    """How many processes should encode a text: all cores' for a long one."""
    return cpu_count() if isinstance(text, str) and len(text) >= LONG else 1


def encode_long(tokenizer: Tokenizer, text: str, allowed: Sequence[str], processes: int) -> Iterator[bytes]:
    """Yield the ids of a text, which can be written in UTF-8 and has nothing to refuse, in four bytes each.

    allowed: the special tokens to parse.  The ids are those of the text in one piece.
    """
    setup = json.dumps({"tokenizer": tokenizer.state(), "allowed": allowed}).encode()
    return in_order(make_encoder, setup, _parts(tokenizer, text), processes, _encoder(tokenizer, allowed))


def make_encoder(setup: bytes) -> Work:
    """What a helper process does: UTF-8 -> ids in four bytes each."""
    from .tokenizer import Tokenizer

    given = json.loads(setup)
    return _encoder(Tokenizer.from_state(given["tokenizer"]), given["allowed"])


def _encoder(tokenizer: Tokenizer, allowed: Sequence[str]) -> Work:
    return lambda part: tokenizer.encode_part(part.decode(), allowed)


def _parts(tokenizer: Tokenizer, text: str) -> Iterator[bytes]:
    cuts = tokenizer.cuts
    start = 0
    while start < len(text):
        end = cuts.find(text, start + _PART) or len(text)
        yield text[start:end].encode()
        start = end
