"""JSON from outside, such as the files of a stranger's model: read strictly, within limits, and with one form of messages.

    read_json("model/config.json") -> {"n_embd": 64, …}
    model/config.json: head.scale: NaN, expected a finite number; download or save the file again

What the values mean is for the callers to check.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, NamedTuple, NoReturn, TypeVar

from .files import read_start
from .text import printable

MOST_BYTES = 64_000_000     # of a file; the tokenizer.json of a vocabulary of 250,000 has half of that
MOST_VALUES = 2_000_000     # each costs some hundred bytes once parsed; such a vocabulary and its merges are 1,000,000
MOST_DIGITS = 100           # characters of a number; transformers' "no limit" has 31
MOST_DEPTH = 64             # lists and objects inside each other

_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number",
          type(None): "null"}

T = TypeVar("T", dict[str, Any], list[Any])


class _Flaw(NamedTuple):
    """Stands in the place of a value that is none."""

    found: str
    expected: str


def read_json(path: str | os.PathLike[str], kind: type[T], *, error: type[Exception] = ValueError) -> T:
    """Read a JSON file that holds a `kind`, dict or list.  Raises as parse_json, in the path's name, and OSError."""
    return parse_json(read_start(path, MOST_BYTES), path, kind, error=error)


def parse_json(
    data: bytes | str, source: object, kind: type[T], *, error: type[Exception] = ValueError, most_values: int = MOST_VALUES
) -> T:
    """Return what JSON describes, a `kind`: dict or list.  −0 is a float, as serde_json has it; large integers stay exact.

    source: whose name stands in messages, such as the path.
    Raises `error`, one line of bounded length that names the source and the place, for: what is not UTF-8, not JSON, too large
    or too deep; a key that is there twice; a number that is not finite or endless; half a surrogate pair; another kind.
    """

    def refuse(found: str, expected: str, cause: Exception | None = None) -> NoReturn:
        raise error(f"{printable(source)}: {found}, expected {expected}; download or save the file again") from cause

    if len(data) > MOST_BYTES:
        refuse("too large", f"at most {MOST_BYTES:,} bytes")
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError as problem:
        refuse(f"invalid UTF-8 at byte {problem.start:,}", "JSON in UTF-8", problem)
    # Each value but the first follows one of these: counting them bounds the memory before parsing.
    if sum(map(text.count, "[{,")) > most_values:
        refuse("too many values", f"at most {most_values:,}")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
    except json.JSONDecodeError as problem:
        is_pointer = text.startswith(("version https://git-lfs", "# xet version"))      # in a folder cloned without Git LFS
        refuse("a Git LFS pointer" if is_pointer else f"line {problem.lineno}, column {problem.colno}: {problem.msg}", "JSON",
               problem)
    except RecursionError:
        refuse("brackets nested too deeply", f"at most {MOST_DEPTH} levels")
    if flaw := _first_flaw(value):
        refuse(*flaw)
    if not isinstance(value, kind):
        refuse(_KINDS[type(value)], _KINDS[kind])
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Flaw:
    table = dict(pairs)
    if len(table) == len(pairs):
        return table
    for name, _ in pairs:
        if name not in table:
            break
        del table[name]
    return _Flaw(f"duplicate key {printable(repr(name))}", "each key once")


def _integer(digits: str) -> int | float | _Flaw:
    if len(digits) > MOST_DIGITS:       # Python's time for long ones grows with the square of their length
        return _Flaw(f"a number of {len(digits):,} digits", f"at most {MOST_DIGITS}")
    return -0.0 if digits == "-0" else int(digits)


def _float(digits: str) -> float | _Flaw:
    if len(digits) > MOST_DIGITS:
        return _Flaw(f"a number of {len(digits):,} digits", f"at most {MOST_DIGITS}")
    return number if math.isfinite(number := float(digits)) else _constant(digits)


def _constant(text: str) -> _Flaw:
    return _Flaw(text, "a finite number")


def _first_flaw(value: Any) -> _Flaw | None:
    """The first flaw of the highest level that has one, and where it stands."""
    level: list[tuple[Any, Any]] = [((), [value])]      # a place, (place of what holds it, key), and what stands there
    for _ in range(MOST_DEPTH + 1):
        deeper = []
        for place, item in level:
            if isinstance(item, _Flaw):
                return _Flaw(f"{_shown(place)}{item.found}", item.expected)
            keys, values = (item.keys(), item.values()) if isinstance(item, dict) else (range(len(item)), item)
            try:
                "".join(text for texts in (keys, values) for text in texts if isinstance(text, str)).encode()
            except UnicodeEncodeError as problem:
                half = printable(problem.object[problem.start])
                return _Flaw(f"{_shown(place)}a text with {half}, half a character", "whole ones")
            deeper += [((place, key), child) for key, child in zip(keys, values, strict=True)
                       if isinstance(child, (dict, list, _Flaw))]
        if not deeper:
            return None
        level = deeper
    return _Flaw("brackets nested too deeply", f"at most {MOST_DEPTH} levels")


def _shown(place: Any) -> str:
    """A place for the beginning of a message: "added_tokens[3].content: ", "" for the whole."""
    keys = []
    while place:
        place, key = place
        keys.append(f"[{key}]" if isinstance(key, int) else f".{printable(key, 50)}")
    path = "".join(reversed(keys[:-1])).removeprefix(".")       # the last is the list that _first_flaw() put around all
    return f"{printable(path)}: " if path else ""
