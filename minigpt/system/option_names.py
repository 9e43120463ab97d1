"""The names of options: an unknown one is answered with the known one that was meant."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar, cast

from .text import printable

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)


def nearest(option: str, known: Iterable[str]) -> str:
    """Find the name that a misspelt option is meant to be; where none is near, "one of" all of them.

        nearest("topk", ["top_k", "top_p"]) -> "top_k";   nearest("temp", ["temperature", "top_k"]) -> "temperature"
    """
    plain = {name.replace("_", ""): name for name in known}
    meant = option.lower().replace("_", "")
    begun = [name for name in plain if name.startswith(meant)]
    near = begun or difflib.get_close_matches(meant, plain, 1)
    return plain[near[0]] if near else f"one of {', '.join(plain.values())}"


def check_options(options: Iterable[str], known: Collection[str], who: str) -> None:
    """Check the names of options.  Raises TypeError that gives for each that there is not the nearest()."""
    wrong = [option for option in options if option not in known]
    if wrong:
        raise TypeError("; ".join(f"{printable(option)}: no option of {who}, expected {nearest(option, known)}"
                                  for option in wrong))


def names_options(kind: _Class) -> _Class:
    """Let a dataclass give for a field that there is not the nearest(), still as a TypeError."""
    make: Any = vars(kind)["__init__"]
    names = [field.name for field in dataclasses.fields(kind) if field.init]

    @functools.wraps(make)
    def checked(self: Any, *values: Any, **options: Any) -> None:
        check_options(options, names, kind.__name__)
        make(self, *values, **options)

    kind.__init__ = checked     # type: ignore[misc]
    return kind


def names_arguments(function: _Function) -> _Function:
    """Let a function give for an argument that there is not the nearest(), still as a TypeError."""
    names = [name for name in inspect.signature(function).parameters if name != "self"]

    @functools.wraps(function)
    def checked(*values: Any, **options: Any) -> Any:
        check_options(options, names, f"{function.__name__}()")
        return function(*values, **options)

    return cast(_Function, checked)
