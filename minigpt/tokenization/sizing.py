"""How large a vocabulary of byte-level BPE should be, by the size of the text and its script."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

OFTEN = 10      # times that a character occurs for which room is made
MOST = 1 << 16  # tokens, so that ids fit into two bytes
RULE = f"256 + 3 √bytes of the text + 2 for each character beyond ASCII that occurs {OFTEN} times, at most {MOST:,}"


def fitting_vocab_size(text: str | Mapping[str, int], n_bytes: int | None = None) -> int:
    """Return a vocabulary size for byte-level BPE that a text of this length and script fills with tokens seen often enough.

        V = min(256 + 3 √n + 2 D, 65,536)

    text: it, or how often each of its pieces occurs, with n_bytes, which is n: bytes of its UTF-8.  D: distinct characters
    beyond ASCII that occur at least 10 times.  256 tokens are the bytes.  3 √n are for words and parts of words, whose number
    grows about so with a text (Heaps' law).  A character beyond ASCII is two to four bytes; one merge joins its first bytes,
    often for others too, and one makes it a token: a Chinese text has thousands.
    """
    counts: Counter[str] = Counter()
    for piece, count in [(text, 1)] if isinstance(text, str) else text.items():
        if not piece.isascii():
            for character, n in Counter(piece).items():
                counts[character] += count * n
    often = sum(n >= OFTEN for character, n in counts.items() if character > "\x7f")
    n_bytes = len(text.encode("utf-8")) if isinstance(text, str) else n_bytes or 0
    return min(256 + math.isqrt(9 * n_bytes) + 2 * often, MOST)
