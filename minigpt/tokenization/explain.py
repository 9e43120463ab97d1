"""How a text becomes tokens, step by step: what Tokenizer.explain returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..system.text import printable

if TYPE_CHECKING:
    from .tokenizer import Tokenizer


@dataclass(frozen=True)
class Explanation:
    """Each piece of a text and its merges.  Printed it shows every step; `pieces` is for programs.

    pieces: each piece of the text with its lists of ids: those of its bytes, those after each merge, last its tokens.
    """

    tokenizer: Tokenizer
    pieces: list[tuple[str, list[list[int]]]]

    def __str__(self) -> str:
        return "\n".join(line for piece, steps in self.pieces for line in self._lines(piece, steps))

    __repr__ = __str__  # a notebook shows the repr

    def _lines(self, piece: str, steps: list[list[int]]) -> Iterator[str]:
        yield repr(piece)
        shown = [" ".join(map(self._shown, ids)) for ids in steps]
        width = len(shown[0])  # of the row of bytes, the widest
        yield f"  {shown[0]}"
        for before, ids, row in zip(steps, steps[1:], shown[1:], strict=False):
            i = next(i for i, (old, new) in enumerate(zip(before, ids, strict=False)) if old != new)
            left, right, made = map(self._shown, (before[i], before[i + 1], ids[i]))
            yield f"  {row:{width}}      {left} + {right} = {made}, {ids[i]}"
        yield " ".join(map(str, steps[-1]))

    def _shown(self, id: int) -> str:
        """Write a token without white space in it: " the" -> "␣the", half a character -> "\\xc3"."""
        text = self.tokenizer.token_bytes(id).decode("utf-8", "backslashreplace")
        return printable(text.replace(" ", "␣"))


def explanation(
    tokenizer: Tokenizer,
    parts: Iterable[tuple[list[str], bool]],
    steps_of: Callable[[str], list[list[int]]],
    added: Mapping[str, int],
) -> Explanation:
    """Merge each piece by the textbook and keep every step.

    parts: lists of pieces with False, lists of added tokens with True.  steps_of: a piece's ids, of its bytes and after each
    merge.  added: added token -> id.
    """
    pieces = [
        (text, [[added[text]]] if is_added else steps_of(text)) for texts, is_added in parts for text in texts
    ]
    return Explanation(tokenizer, pieces)
