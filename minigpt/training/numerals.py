"""Numbers in English words and in Chinese numerals: two languages small enough to be learned in a minute.

    342,517    three hundred forty-two thousand five hundred seventeen    三十四万二千五百一十七

English counts in thousands, Chinese in ten thousands (万), and where zeros stand inside a number Chinese says 零 once: so
which word a numeral comes from depends on the whole number.
"""

import numpy as np

MOST_DIGITS = 6
ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
DIGITS = "零一二三四五六七八九"
MEANING = dict(zip("零一二三四五六七八九十百千万", [*"0123456789", "×10", "×100", "×1000", "×10000"], strict=True))


def english(n: int) -> str:
    """Write a number from 0 to 999,999 in English words: english(342) -> "three hundred forty-two"."""
    if n < 20:
        return ONES[n]
    if n < 100:
        tens = TENS[n // 10 - 2]
        return f"{tens}-{ONES[n % 10]}" if n % 10 else tens
    size, name = (100, "hundred") if n < 1000 else (1000, "thousand")
    rest = f" {english(n % size)}" if n % size else ""
    return f"{english(n // size)} {name}{rest}"


def chinese(n: int) -> str:
    """Write a number from 0 to 999,999 in Chinese numerals: chinese(342) -> "三百四十二"; at the beginning 一十 is 十."""
    if n == 0:
        return "零"
    text = ""
    for size, name in ((10_000, "万"), (1000, "千"), (100, "百"), (10, "十"), (1, "")):
        count, n = divmod(n, size)
        if count:
            text += (chinese(count) if count >= 10 else DIGITS[count]) + name
        elif text and n and not text.endswith("零"):        # zeros inside the number, none at its end
            text += "零"
    return text.removeprefix("一") if text.startswith("一十") else text


def draw(n_train: int, n_test: int, rng: np.random.Generator) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Numbers to learn from and others to be tested on, none in both: two lists of pairs of texts.

        draw(10_000, 2_000, np.random.default_rng(0))  ->  [("seven", "七"), …], [("one hundred twenty", "一百二十"), …]

    Those below 100 are all to be learned from: they teach the words.  The others are drawn from 100 … 999,999, with 3, 4, 5 or
    6 digits alike as long as there are any left.
    """
    drawn: dict[int, None] = {}
    while len(drawn) < n_train - 100 + n_test:
        digits = int(rng.integers(3, MOST_DIGITS + 1))
        drawn[int(rng.integers(10 ** (digits - 1), 10**digits))] = None
    numbers = rng.permutation(list(drawn)).tolist()         # the first drawn hold more of the short ones
    return _pairs([*range(100), *numbers[n_test:]]), _pairs(numbers[:n_test])


def _pairs(numbers: list[int]) -> list[tuple[str, str]]:
    return [(english(n), chinese(n)) for n in numbers]
