"""BERT's rules for a text before its words are cut into pieces: what is cleaned away, and where a word ends.

    rules = BertRules()
    rules.normalize("Él\t你好\u200b!")      -> "el  你  好 !"
    split_words("el  你  好 !")             -> ["el", "你", "好", "!"]

The characters are those of the tokenizers package, in bert_classes.py, whatever Python knows of Unicode.
The rules are BERT's, Devlin et al. 2019, in the code released with it; most Chinese GPT-2 models were trained with them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from .bert_classes import ACCENTS, BLANKS, DECOMPOSED, IDEOGRAPHS, LOWER, PUNCTUATION, REMOVED
from .split import char_ranges


@dataclass(frozen=True)
class BertRules:
    """What tokenizer_config.json can choose, under its names.

    do_lower_case: write all letters as small ones.
    strip_accents: take accents off, é -> e, が -> か, and write Hangul as single letters; None: where do_lower_case is set.
    tokenize_chinese_chars: make each ideograph a word.
    """

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True

    def normalize(self, text: str) -> str:
        """Clean a text: controls go, any white space becomes a blank, and then what the rules choose, in this order."""
        if text.isascii() and text.isprintable():
            return text.lower() if self.do_lower_case else text
        text = _in(REMOVED).sub("", _in(BLANKS).sub(" ", text))
        if self.tokenize_chinese_chars:
            text = _in(IDEOGRAPHS).sub(r" \g<0> ", text)
        if self.do_lower_case if self.strip_accents is None else self.strip_accents:
            text = _in(ACCENTS).sub("", _runs_of(DECOMPOSED).sub(lambda run: unicodedata.normalize("NFD", run[0]), text))
        return text.translate(_lower()) if self.do_lower_case else text

    def chunks(self) -> re.Pattern[str]:
        """Return the pattern of what can be normalized and split on its own: the parts between two ends of words.

            BertRules().chunks().findall("Él 你好!")       -> ["Él", "你", "好", "!"]
        """
        return _chunks(self.tokenize_chinese_chars)


def split_words(text: str) -> list[str]:
    """Split a normalized text at blanks, and before and after each punctuation character."""
    return _words().findall(text)


@cache
def _words() -> re.Pattern[str]:
    punctuation = char_ranges(PUNCTUATION)
    return re.compile(f"[{punctuation}]|[^ {punctuation}]+")


@cache
def _chunks(ideographs: bool) -> re.Pattern[str]:
    single = char_ranges(alone(ideographs))
    return re.compile(f"[{single}]|[^{char_ranges(BLANKS)}{single}]+")


def alone(ideographs: bool) -> str:
    """Return the table of characters that are chunks by themselves: each becomes one word of one character.

    The few punctuation characters above U+FFFF are not: they are found when a chunk is split into words.
    """
    punctuation = " ".join(run for run in PUNCTUATION.split() if len(run.partition("-")[0]) <= 4)
    return f"{punctuation} {IDEOGRAPHS}" if ideographs else punctuation


@cache
def _in(table: str) -> re.Pattern[str]:
    return re.compile(f"[{char_ranges(table)}]")


@cache
def _runs_of(table: str) -> re.Pattern[str]:
    return re.compile(f"[{char_ranges(table)}]+")


@cache
def _lower() -> dict[int, str]:
    """Read the table of small letters: character -> what it becomes, without regard to the letters around it."""
    lower = {0x130: "i\u0307"}  # the only one that becomes two
    for first, last, step, shift in re.findall(r"(\w+)(?:-(\w+))?(?:/(\d))?([+-]\d+)", LOWER):
        for code in range(int(first, 16), int(last or first, 16) + 1, int(step or 1)):
            lower[code] = chr(code + int(shift))
    return lower
