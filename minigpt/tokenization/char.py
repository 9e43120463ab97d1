"""A tokenizer of single characters: the smallest vocabulary, for small models."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..system.text import printable
from .checks import allowed_in, checked_text, shortened
from .cutting import Cuts
from .explain import Explanation
from .formats import read_chars, write_chars
from .ids import IdArray, checked_ids, id_dtype


class CharTokenizer:
    """One id for each character: nothing is learned but the list of characters.

        tokenizer = CharTokenizer.train("hello")     ids 0 … 3 are "e", "h", "l", "o"
        tokenizer.encode("hole")                     -> [1, 3, 2, 0]
        tokenizer.decode([1, 3, 2, 0])               -> "hole"

    chars: the distinct characters, in the order of their ids.  Raises ValueError for a list that is empty, has a character
    twice, or anything but single characters.
    """

    def __init__(self, chars: Sequence[str]) -> None:
        self._chars = list(chars)
        if not self._chars:
            raise ValueError("chars: empty, expected at least one character; train on a text that is not empty")
        for i, char in enumerate(self._chars):
            if type(char) is not str or len(char) != 1:
                raise ValueError(f"chars[{i}]: {shortened(char)}, expected one character; split the text into characters")
        if len(set(self._chars)) < len(self._chars):
            char, count = Counter(self._chars).most_common(1)[0]
            raise ValueError(f"chars: {char!r} stands there {count} times, expected once; remove the repeats")
        codes = _code_points("".join(self._chars))
        self._id_of_code = np.full(codes.max() + 2, -1, np.int32)  # -1: unknown; its last entry serves all higher codes
        self._id_of_code[codes] = np.arange(len(codes))

    @classmethod
    def train(cls, text: str) -> CharTokenizer:
        """Take the characters of a text, in sorted order.

        Raises TypeError for other than str, ValueError for an empty text, UnicodeEncodeError at a lone surrogate.
        """
        return cls(sorted(set(checked_text(text))))

    def encode(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> list[int]:
        """Turn a text into ids, one for each character.

        allowed_special, disallowed_special: as in Tokenizer.encode, so that a caller need not know which kind it has.  There
        are no special tokens to parse; texts can be refused.
        Raises TypeError for other than str, ValueError for a character that is not in the vocabulary, UnicodeEncodeError
        at a lone surrogate.
        """
        return self.encode_array(text, allowed_special, disallowed_special).tolist()

    def encode_array(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> IdArray:
        """Turn a text into an array of ids (T,): uint16, or uint32 where the vocabulary needs it.  Raises as in encode."""
        text = checked_text(text)
        allowed_in(text, (), allowed_special, disallowed_special)
        codes = _code_points(text)
        ids = self._id_of_code[np.minimum(codes, len(self._id_of_code) - 1)]
        if ids.min(initial=0) < 0:
            index = int(np.argmax(ids < 0))
            raise ValueError(
                f"text: {text[index]!r} (U+{ord(text[index]):04X}) at index {index}, expected one of the "
                f"{self.vocab_size} characters {shortened(''.join(self._chars))}; train on a text that has it, or take another "
                "model"
            )
        return ids.astype(id_dtype(self.vocab_size))

    def explain(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> Explanation:
        """Show a text, its characters, and their ids, as Tokenizer.explain does; there is nothing to merge.  As encode."""
        return Explanation(self, [(text, [self.encode(text, allowed_special, disallowed_special)])] if text else [])

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text.

        Raises ValueError for an id that is not in the vocabulary, TypeError for float, str and bool ids.
        """
        return "".join(map(self._chars.__getitem__, checked_ids(ids, self.vocab_size)))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the UTF-8 of the text.  Raises as in decode."""
        return self.decode(ids).encode()

    def token_bytes(self, id: int) -> bytes:
        """Return the UTF-8 of one character.  Raises as in decode."""
        return self.decode_bytes([id])

    @property
    def vocab_size(self) -> int:
        """The number of characters."""
        return len(self._chars)

    @property
    def special_tokens(self) -> dict[str, int]:
        """Empty: this tokenizer has characters only."""
        return {}

    @property
    def cuts(self) -> Cuts:
        """The places where a text can be cut: all."""
        return Cuts(anywhere=True)

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"CharTokenizer({shortened(''.join(self._chars))}, vocab_size={self.vocab_size})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CharTokenizer):
            return NotImplemented
        return self._chars == other._chars

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write chars.json: {"type": "char", "chars": [the characters in the order of their ids]}.

        Makes the folder where there is none.  Raises OSError.
        """
        write_chars(Path(folder), self._chars)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> CharTokenizer:
        """Read what save wrote.  Raises FileNotFoundError; ValueError naming the file."""
        path = Path(folder) / "chars.json"
        chars = read_chars(path)
        try:
            return cls(chars)
        except ValueError as error:
            raise ValueError(f"{printable(path)}: {error}") from error

    def fingerprint(self) -> str:
        """Return a SHA-256 of the tokens in the order of their ids: equal for equal tokenizers."""
        return hashlib.sha256(f"char {self._chars!r}".encode()).hexdigest()

    def state(self) -> dict[str, Any]:
        """Return all of the tokenizer as JSON-able values, for checkpoints; from_state reads it."""
        return {"type": "char", "chars": list(self._chars)}


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")
