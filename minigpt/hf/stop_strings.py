"""Stop strings in batches of tokens: which rows have just completed one."""

from typing import Any

import numpy as np

from .tokenizer import PretrainedTokenizer


class StopStrings:
    """Watch the bytes of each row for stop strings; an id without text adds none.

    As in Hugging Face, a string may begin in the prompt, but must end in the output.
    """

    def __init__(self, tokenizer: PretrainedTokenizer, stop_strings: Any, rows: np.ndarray) -> None:
        stop_strings = [stop_strings] if isinstance(stop_strings, str) else stop_strings
        if not all(isinstance(string, str) and string for string in stop_strings):
            raise TypeError(f"stop_strings: {stop_strings!r}, expected a text or several, none empty")
        self.stops = [string.encode() for string in stop_strings]
        self.token_bytes = tokenizer.token_bytes
        self.longest = max(map(len, self.stops), default=0)
        self.tails = [b"".join(map(self.token_bytes, row)) for row in rows.tolist()]

    def reached(self, tokens: np.ndarray) -> np.ndarray:
        """Add one more token to each row, (B,) -> (B,) booleans: whether it completed a stop string."""
        reached = np.zeros(len(tokens), bool)
        for r, token in enumerate(tokens.tolist()):
            new = self.token_bytes(token)
            tail = self.tails[r][-(self.longest - 1) :] if self.longest > 1 else b""    # no new match begins earlier
            self.tails[r] = text = tail + new
            reached[r] = any(text.find(stop, max(0, len(tail) - len(stop) + 1)) >= 0 for stop in self.stops)
        return reached
