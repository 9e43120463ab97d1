"""Added tokens: texts that are found before anything else, special or not, and get one id each.

    split_added("a <s>b", [AddedToken("<s>", lstrip=True)])  -> ("a", 0, 1, None), (" <s>", 1, 5, the token), ("b", 5, 6, None)

The rules are those of Hugging Face's tokenizers package, whose tokenizer.json writes them down.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import regex

from .checks import shortened

_SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_is_word = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]").match


@dataclass(frozen=True)
class AddedToken:
    """A text that is one token, wherever it stands.

    special: it is no text of a document, such as "<|endoftext|>".
    lstrip, rstrip: the white space before it, after it, belongs to it.
    single_word: it counts only where no letter, digit or "_" stands next to it.
    normalized: it is looked for after all those that are not.
    """

    text: str
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False


Span = tuple[str, int, int, AddedToken | None]  # a part of a text, where it starts and ends, and the token it is


def split_added(text: str, tokens: Collection[AddedToken]) -> Iterator[Span]:
    """Split a text at its added tokens: yield all parts in order, those that are plain text with None.

    Of two tokens that fit at one place the longer is taken.
    """
    first, second = ([token for token in tokens if token.normalized is late] for late in (False, True))
    for part, start, end, token in _found(text, first):
        if token is not None:
            yield part, start, end, token
        else:
            yield from ((p, start + s, start + e, t) for p, s, e, t in _found(part, second))


def _found(text: str, tokens: Collection[AddedToken]) -> Iterator[Span]:
    done = 0
    by_text = {token.text: token for token in tokens}
    longest_first = sorted(by_text, key=len, reverse=True)
    for match in re.finditer("|".join(map(re.escape, longest_first)), text) if tokens else ():
        start, end = match.span()
        token = by_text[match[0]]
        if token.single_word and (_is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])):
            continue
        if token.lstrip:
            while start > done and text[start - 1] in _SPACES:
                start -= 1
        if token.rstrip:
            while text[end : end + 1] in _SPACES and end < len(text):
                end += 1
        if done < start:
            yield text[done:start], done, start, None
        yield text[start:end], start, end, token
        done = end
    if done < len(text):
        yield text[done:], done, len(text), None


def added_of_state(value: Any) -> AddedToken:
    """Make the token whose dataclasses.asdict this is.  Raises ValueError for anything else."""
    kinds = {"text": str, "special": bool, "lstrip": bool, "rstrip": bool, "single_word": bool, "normalized": bool}
    if not isinstance(value, dict) or {key: type(item) for key, item in value.items()} != kinds:
        raise ValueError(f"state: {shortened(value)}, expected an added token; pass what state() returned")
    return AddedToken(**value)


def read_added(value: Any, where: str) -> AddedToken:
    """Read a token as JSON files write it, {"content": "<pad>", "lstrip": false, …}, where flags that are missing are false.

    Raises ValueError that begins with `where`.
    """
    flags = ("special", "lstrip", "rstrip", "single_word", "normalized")
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, str) or not content or not all(isinstance(value.get(flag, False), bool) for flag in flags):
        raise ValueError(f'{where}: {shortened(value)}, expected {{"content": "<a text>", …}} with flags true or false; fix it')
    return AddedToken(content, **{flag: value.get(flag, False) for flag in flags})
