"""How large a vocabulary of byte-level BPE should be, by the size of the text and its script."""

from __future__ import annotations

import math
from collections import Counter

OFTEN = 10      # times that a character occurs for which room is made
RULE = f"256 + 3 √bytes of the text + 2 for each character beyond ASCII that occurs {OFTEN} times"


def fitting_vocab_size(text: str) -> int:
    """Return a vocabulary size for byte-level BPE that a text of this length and script fills with tokens seen often enough.

        V = 256 + 3 √n + 2 D

    n: bytes of its UTF-8.  D: distinct characters beyond ASCII that occur at least 10 times.  256 tokens are the bytes.  3 √n
    are for words and parts of words, whose number grows about so with a text (Heaps' law).  A character beyond ASCII is two to
    four bytes; one merge joins its first bytes, often for others too, and one makes it a token: a Chinese text has thousands.
    """
    often = sum(n >= OFTEN for character, n in Counter(text).items() if character > "\x7f")
    return 256 + math.isqrt(9 * len(text.encode("utf-8"))) + 2 * often
