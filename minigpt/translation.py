"""A small translation that can be learned in a minute: numbers in English words to Chinese numerals.

    342,517    three hundred forty-two thousand five hundred seventeen    三十四万二千五百一十七

English counts in thousands, Chinese in ten thousands (万), and Chinese says its inner zeros (零): so which English word a
numeral comes from depends on the whole number, and the model has to learn where to look.  The model is seq2seq.py's.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .files import write_atomic
from .nn.loss import IGNORED
from .optim import AdamW, Muon, clip_scale, gradient_norm, schedule
from .seq2seq import Transformer

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen").split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
DIGITS = "零一二三四五六七八九"
DIGITS_MOST = 6         # of the numbers that are learned


def english(n):
    """english(342) -> "three hundred forty-two", for 0 … 999,999"""
    if n < 20:
        return ONES[n]
    if n < 100:
        tens = TENS[n // 10 - 2]
        return tens if n % 10 == 0 else f"{tens}-{ONES[n % 10]}"
    size, name = (100, "hundred") if n < 1000 else (1000, "thousand")
    rest = f" {english(n % size)}" if n % size else ""
    return f"{english(n // size)} {name}{rest}"


def chinese(n):
    """chinese(342) -> "三百四十二", for 0 … 99,999,999; 10 … 19 begin with 十, elsewhere it is 一十"""
    if n == 0:
        return "零"
    text = _four_digits(n // 10_000) + "万" if n >= 10_000 else ""
    if n % 10_000:
        text += "零" if text and n % 10_000 < 1000 else ""
        text += _four_digits(n % 10_000)
    return text.removeprefix("一") if text.startswith("一十") else text


def _four_digits(n):
    text = ""
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        if digit := n // size % 10:
            text += DIGITS[digit] + name
        elif text and n % size and not text.endswith("零"):     # one 零 for any number of zeros inside, none at the end
            text += "零"
    return text


class Vocabulary:
    """Ids for words of Latin letters and for single other characters; spaces and hyphens only separate.

        vocabulary = Vocabulary.of(["forty-two", "四十二"])
        vocabulary.encode("forty-two")      ->  [4, 5]
        vocabulary.decode([7, 6, 8])        ->  "四十二"

    Ids 0, 1, 2 are <pad>, <s>, </s>, which decode to nothing.
    """

    SPECIAL = ("<pad>", "<s>", "</s>")

    def __init__(self, pieces: Sequence[str]):
        self.pieces = [*self.SPECIAL, *pieces]
        self._ids = {piece: id for id, piece in enumerate(self.pieces)}

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Vocabulary":
        """All pieces of some texts, sorted."""
        return cls(sorted({piece for text in texts for piece in cls.split(text)}))

    @staticmethod
    def split(text):
        """split("forty-two") -> ["forty", "two"];  split("四十二") -> ["四", "十", "二"]"""
        return re.findall(r"[a-z]+|[^\sa-z-]", text.lower())

    def encode(self, text: str) -> list[int]:
        """Raises ValueError for a piece that is not in the vocabulary."""
        pieces = self.split(text)
        if unknown := [piece for piece in pieces if piece not in self._ids]:
            known = " ".join(self.pieces[len(self.SPECIAL) :])
            raise ValueError(f"text: {unknown[0]!r}, expected only {known}; write a number in words")
        return [self._ids[piece] for piece in pieces]

    def decode(self, ids: Iterable[int]) -> str:
        """Characters side by side, words with spaces between."""
        text = ""
        for piece in (self.pieces[id] for id in ids if id >= len(self.SPECIAL)):
            text += f" {piece}" if text[-1:].isascii() and text and piece.isascii() else piece
        return text

    def __len__(self):
        return len(self.pieces)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write words.json."""
        text = json.dumps(self.pieces[len(self.SPECIAL) :], ensure_ascii=False) + "\n"
        write_atomic(Path(folder) / "words.json", text.encode("utf-8"))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Vocabulary":
        """What save() wrote."""
        return cls(json.loads((Path(folder) / "words.json").read_text(encoding="utf-8")))
