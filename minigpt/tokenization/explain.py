"""How a text becomes tokens, step by step: what Tokenizer.explain returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..system.text import printable
from .bpe import Pair, byte_ids, merge_steps

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
    tokenizer: Tokenizer, parts: Iterable[tuple[list[str], bool]], merged: Mapping[Pair, int], special: Mapping[str, int]
) -> Explanation:
    """Merge each piece by the textbook and keep every step.

    parts: lists of pieces with False, lists of special tokens with True.  merged: each pair and the id it becomes.
    special: special token -> id.
    """
    pieces = []
    for texts, is_special in parts:
        for text in texts:
            steps = [[special[text]]] if is_special else list(merge_steps(byte_ids(text.encode()), merged))
            pieces.append((text, steps))
    return Explanation(tokenizer, pieces)
