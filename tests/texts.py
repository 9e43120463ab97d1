"""What tests of tokenizers encode: prose, and texts of all that a splitting pattern gets wrong."""

import random
import string
from pydoc_data.topics import topics

PROSE = "\n".join(topics[key] for key in sorted(topics))[:60_000]
END = "<|endoftext|>"
# White space of all kinds, controls that only look like it, contractions, digits, letters of several scripts, marks,
# emoji joined by U+200D: what a splitting pattern gets wrong.
NASTY = [
    *"     \n\t\r\x0b\x0c\x1c\x1f\x85\xa0\u2003\u2028\u3000\u200b\ufeff\x00²Ⅷ٣é日本ßΩ\u0301😀👩\u200d👩",
    *("'s", "'ll", "'Re", " the", "ing", "  ", "12", END, *string.printable),
]


def nasty_text(rng: random.Random, length: int) -> str:
    return "".join(rng.choice(NASTY) for _ in range(length))
