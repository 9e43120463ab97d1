"""Tokens as the page shows them: "␣the", "⏎", and of a character in several tokens which of them it is: "今 1/2 [e4 bb]"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...system.text import printable
from ...tokenization.explain import shown_tokens


class Labels:
    """The labels of one tokenizer's tokens; of a model without one, and of ids that the tokenizer lacks, "#17"."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def of_text(self, ids: Sequence[int]) -> list[str]:
        """Of tokens that follow one another"""
        if self._tokenizer is None or not all(0 <= id < self._tokenizer.vocab_size for id in ids):
            return [self.of(id) for id in ids]
        return shown_tokens(self._tokenizer, ids, _visible)

    def of(self, id: int) -> str:
        """Of a token alone; bytes that are no whole character are shown as such: "[e4] [bb]\""""
        if id not in self._known:
            has = self._tokenizer is not None and 0 <= id < self._tokenizer.vocab_size
            self._known[id] = shown_tokens(self._tokenizer, [id], _visible)[0] if has else f"#{id}"
        return self._known[id]


def _visible(text: str) -> str:
    return printable(text.replace(" ", "␣").replace("\n", "⏎"))
