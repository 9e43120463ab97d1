"""Text to token ids and back: byte-level BPE, and single characters.

Tokenizer and CharTokenizer are the two kinds; load and from_state find out which one a folder or a checkpoint holds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..system.text import printable
from .char import CharTokenizer
from .checks import shortened
from .tokenizer import Tokenizer

__all__ = ["Tokenizer", "CharTokenizer", "load", "from_state"]


def load(folder: str | os.PathLike[str]) -> Tokenizer | CharTokenizer:
    """Read the tokenizer that a folder holds, of either kind.

    Raises FileNotFoundError where there is none; ValueError where there are both, or a file is damaged.
    """
    folder = Path(folder)
    bpe = [name for name in ("vocab.json", "merges.txt") if (folder / name).exists()]
    char = (folder / "chars.json").exists()
    if bpe and char:
        raise ValueError(f"{printable(folder)}: {bpe[0]} and chars.json, expected one tokenizer; delete the files of the other")
    if not bpe and not char:
        found = f"{printable(folder)}: no tokenizer"
        raise FileNotFoundError(f"{found}, expected vocab.json and merges.txt, or chars.json; save one there")
    return CharTokenizer.load(folder) if char else Tokenizer.load(folder)


def from_state(state: dict[str, Any]) -> Tokenizer | CharTokenizer:
    """Make the tokenizer, of either kind, whose state() this is.  Raises ValueError for anything else."""
    match state:
        case {"type": "bpe", "merges": list(merges), "special_tokens": list(special_tokens)}:
            return Tokenizer(merges, special_tokens)
        case {"type": "char", "chars": list(chars)}:
            return CharTokenizer(chars)
    raise ValueError(
        f"state: {shortened(state)}, expected type 'bpe' with merges and special_tokens or type 'char' with chars; "
        "pass what state() returned"
    )
