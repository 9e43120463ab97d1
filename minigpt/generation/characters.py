"""From bytes to characters: the text of tokens that come one at a time, some of which end within a character."""

import codecs
from collections.abc import Iterable, Iterator
from typing import Any

INCOMPLETE = ("\ufffd stands for bytes that make no whole character: a token of BPE can be a part of one, and a model has to "
              "learn which parts belong together")


def whole_characters(tokenizer: Any, ids: Iterable[int]) -> Iterator[str]:
    r"""Yield the text of ids that come one at a time, in pieces that never end within a character.

        the ids of b"a", b"\xc3", b"\xa9" -> "a", "", "é", ""

    An id beyond the vocabulary, from a model whose table is larger, has no text.
    Bytes of a character that has begun are held back until it is complete.  One piece more comes at the end: U+FFFD where the
    last character is incomplete, else "".
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for id in ids:
        yield decoder.decode(bytes_of(tokenizer, id))
    yield decoder.decode(b"", final=True)


def bytes_of(tokenizer: Any, id: int) -> bytes:
    """The bytes of a token; none for an id beyond the vocabulary."""
    return b"" if id >= tokenizer.vocab_size else tokenizer.token_bytes(id)
