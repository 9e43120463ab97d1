r"""Sentences in English that can be had in Chinese: which language is wanted, and how a sentence gets from one to the other.

    finding = Sentence("{n:,} tokens, the model has {V:,}", n=70, V=65)      # a str: "70 tokens, the model has 65"
    tell = translator(language(), CHINESE)                                   # CHINESE = {"{n:,} tokens, …": "{n:,} 个词元，…"}
    tell(finding)                                                            # in a Chinese locale "70 个词元，模型有 65 个"

A catalog, {English: Chinese}, stands beside the modules whose sentences it translates.  What it lacks stays English.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

LANGUAGES = ("en", "zh")


def language(given: Any = None) -> str:
    """The language to speak, "en" or "zh": the one given, or else that of the user's locale.

    As in gettext LANGUAGE goes before LC_ALL, LC_MESSAGES and LANG, except where these say C; where none is set, as on Windows,
    the system says.  Raises ValueError for another language; an unknown locale means English.
    """
    if given is not None:
        if not isinstance(given, str) or given not in LANGUAGES:
            raise ValueError(f"language: {given!r}, expected one of {', '.join(LANGUAGES)}")
        return given
    of_locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if of_locale not in ("C", "POSIX"):
        of_locale = os.environ.get("LANGUAGE") or of_locale or locale.getlocale()[0] or ""
    for name in of_locale.lower().split(":"):
        if name.startswith(("zh", "chinese")):      # "Chinese (Simplified)_China" on Windows
            return "zh"
        if name.startswith("en"):
            break
    return "en"


class Sentence(str):
    """A sentence of a template and values: in English a str as any other, and translatable, its values too.

    What + and f"{sentence}" make of it is a plain str, which is not: put a sentence into another as one of its values.
    """

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, /, **values: Any) -> Sentence:
        sentence = super().__new__(cls, template.format(**values))
        sentence.template, sentence.values = template, values
        return sentence

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:      # for copies and pickles
        return (self.template,), self.values


def joined(items: Iterable[str], separator: str = ", ") -> Sentence:
    """Several sentences or words as one: joined(["dx", "dw"]) -> "dx, dw".  Catalogs translate the separator."""
    texts = [*items]
    return Sentence("{separator}".join(f"{{item{i}}}" for i in range(len(texts))), separator=Sentence(separator),
                    **{f"item{i}": text for i, text in enumerate(texts)})


def spoken(given: str | None) -> str:
    """How a call goes on in the language that was asked for: ', language="zh"', or "" where the locale chooses it."""
    return "" if given is None else f', language="{given}"'


def translator(language: str, *catalogs: Mapping[str, str]) -> Callable[[str], str]:
    """A function that says a text in this language: a Sentence by its template, any other text as a whole."""
    entries = {english: chinese for catalog in catalogs for english, chinese in catalog.items()}

    def tell(text: str) -> str:
        if not isinstance(text, Sentence):
            return entries.get(text, text)
        values = {name: tell(value) if isinstance(value, Sentence) else value for name, value in text.values.items()}
        return entries.get(text.template, text.template).format(**values)

    return str if language == "en" else tell
