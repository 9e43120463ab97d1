"""Text to token ids and back: byte-level BPE, single characters, and BERT's WordPiece.

Tokenizer, CharTokenizer and WordPieceTokenizer are the kinds; load and from_state find out which one a folder or a checkpoint
holds, read_settings what stands beside it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..system.text import printable
from .char import CharTokenizer
from .checks import shortened
from .formats import means_gpt2
from .settings import Settings, read_settings
from .tokenizer import Tokenizer
from .wordpiece import WordPieceTokenizer

__all__ = ["Tokenizer", "CharTokenizer", "WordPieceTokenizer", "Settings", "load", "from_state", "read_settings"]


def load(folder: str | os.PathLike[str]) -> Tokenizer | CharTokenizer | WordPieceTokenizer:
    """Read the tokenizer that a folder holds, of any kind; "gpt2" and its like without such a folder are Tokenizer.gpt2().

    chars.json; tokenizer.json, which goes before vocab.json and merges.txt; vocab.txt, where there are no such or where
    tokenizer_config.json says that they are not meant.
    Raises FileNotFoundError where there is none; ValueError where there are two, or a file is damaged or of another kind.
    """
    if means_gpt2(folder):
        return Tokenizer.gpt2()
    folder = Path(folder)
    bpe = [name for name in ("tokenizer.json", "vocab.json", "merges.txt") if (folder / name).exists()]
    words = (folder / "vocab.txt").exists()
    if (folder / "chars.json").exists():
        if bpe or words:
            found = f"{printable(folder)}: {bpe[0] if bpe else 'vocab.txt'} and chars.json"
            raise ValueError(f"{found}, expected one tokenizer; delete the files of the other")
        return CharTokenizer.load(folder)
    if not bpe and not words:
        found = f"{printable(folder)}: no tokenizer"
        expected = "tokenizer.json, vocab.json and merges.txt, vocab.txt, or chars.json"
        raise FileNotFoundError(f"{found}, expected {expected}; save one there")
    name = read_settings(folder, {}).tokenizer_class or ""
    is_word_piece = name.startswith("Bert") or (words and not name.startswith("GPT2") and "vocab.json" not in bpe)
    return WordPieceTokenizer.load(folder) if is_word_piece else Tokenizer.load(folder)


def from_state(state: dict[str, Any]) -> Tokenizer | CharTokenizer | WordPieceTokenizer:
    """Make the tokenizer, of any kind, whose state() this is.  Raises ValueError for anything else."""
    match state:
        case {"type": "bpe"}:
            return Tokenizer.from_state(state)
        case {"type": "char", "chars": list(chars)}:
            return CharTokenizer(chars)
        case {"type": "wordpiece"}:
            return WordPieceTokenizer.from_state(state)
    raise ValueError(
        f"state: {shortened(state)}, expected type 'bpe' with merges and special_tokens or type 'char' with chars; "
        "pass what state() returned"
    )
