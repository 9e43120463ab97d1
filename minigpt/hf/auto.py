"""AutoTokenizer: the tokenizer class that fits a folder."""

import os
from typing import Any

from ..tokenization.wordpiece import WordPieceTokenizer
from .bert import BertTokenizer
from .tokenizer import GPT2Tokenizer, PretrainedTokenizer, read_tokenizer


class AutoTokenizer:
    """Loads a BertTokenizer where a folder holds one, else a GPT2Tokenizer."""

    @staticmethod
    def from_pretrained(name_or_folder: str | os.PathLike[str], **changes: Any) -> PretrainedTokenizer:
        """Load the tokenizer of a folder, or by name.  Raises what GPT2Tokenizer.from_pretrained() does."""
        tokenizer, settings = read_tokenizer(name_or_folder)
        kind = BertTokenizer if isinstance(tokenizer, WordPieceTokenizer) else GPT2Tokenizer
        return kind.of(tokenizer, settings, name_or_folder, **changes)
