"""How a text becomes tokens, step by step: what explain() of a tokenizer returns; and which characters a token is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ..system.columns import columns, to_width
from ..system.text import printable

if TYPE_CHECKING:
    from .char import CharTokenizer
    from .tokenizer import Tokenizer


@dataclass(frozen=True)
class Explanation:
    """Each piece of a text and its merges.  Printed it shows every step; `pieces` is for programs.

    pieces: each piece of the text with its lists of ids: those of its bytes, those after each merge, last its tokens.
    """

    tokenizer: Tokenizer | CharTokenizer
    pieces: list[tuple[str, list[list[int]]]]

    def __str__(self) -> str:
        return "\n".join(line for piece, steps in self.pieces for line in self._lines(piece, steps))

    __repr__ = __str__  # a notebook shows the repr

    def _lines(self, piece: str, steps: list[list[int]]) -> Iterator[str]:
        yield repr(piece)
        shown = [" ".join(map(self._shown, ids)) for ids in steps]
        width = max(map(columns, shown))
        yield f"  {shown[0]}"
        for (before, ids), row in zip(pairwise(steps), shown[1:], strict=True):
            i = next(i for i, (old, new) in enumerate(zip(before, ids, strict=False)) if old != new)
            left, right, made = map(self._shown, (before[i], before[i + 1], ids[i]))
            yield f"  {to_width(row, width)}      {left} + {right} = {made}, {ids[i]}"
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


def shown_tokens(tokenizer: Any, ids: Sequence[int], write: Callable[[str], str] = repr) -> list[str]:
    """Write each token as a Python string, but of a character in several tokens which of them it is, and its bytes.

        " 今" in GPT-2's tokens -> ["' '", "今 1/2 [e4 bb]", "今 2/2 [8a]"]
        "a 日"                  -> ["'a'", "' ' 日 1/3 [e6]", "日 2/3 [97]", "日 3/3 [a5]"]

    A byte that belongs to no character is shown alone: "[ff]".  write: of characters that are whole.
    """
    tokens = [tokenizer.token_bytes(id) for id in ids]
    text = b"".join(tokens).decode("utf-8", "surrogateescape")
    char_of_byte = [i for i, char in enumerate(text) for _ in char.encode("utf-8", "surrogateescape")]
    ends = [*accumulate(map(len, tokens), initial=0)]
    chars_of = [char_of_byte[start:end] for start, end in pairwise(ends)]
    n_tokens = Counter(char for chars in chars_of for char in set(chars))
    before: Counter[int] = Counter()        # how many of a character's tokens have been shown
    shown = []
    for token, chars in zip(tokens, chars_of, strict=True):
        parts: list[str] = []
        whole = ""
        for char in dict.fromkeys(chars):
            if n_tokens[char] == 1 and not "\udc80" <= text[char] <= "\udcff":      # those are bytes of no character
                whole += text[char]
                continue
            data = bytes(byte for byte, i in zip(token, chars, strict=True) if i == char)
            before[char] += 1
            name = f"{printable(text[char])} {before[char]}/{n_tokens[char]} " if n_tokens[char] > 1 else ""
            parts += [write(whole)] if whole else []
            parts.append(f"{name}[{data.hex(' ')}]")
            whole = ""
        shown.append(" ".join([*parts, write(whole)] if whole or not parts else parts))
    return shown
