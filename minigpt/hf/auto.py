"""AutoTokenizer: the tokenizer class that fits a folder."""

import os
from typing import Any

from ..tokenization.wordpiece import WordPieceTokenizer
from .bert import BertTokenizer
from .reading import read_tokenizer
from .tokenizer import GPT2Tokenizer, PretrainedTokenizer


class AutoTokenizer:
    """Loads a BertTokenizer where a folder holds one, else a GPT2Tokenizer."""

    @staticmethod
    def from_pretrained(name_or_folder: str | os.PathLike[str], **changes: Any) -> PretrainedTokenizer:
        """Load the tokenizer of a folder, or by name.  Raises what GPT2Tokenizer.from_pretrained() does."""
        found = read_tokenizer(name_or_folder)
        kind = BertTokenizer if isinstance(found.tokenizer, WordPieceTokenizer) else GPT2Tokenizer
        return kind.of(found, name_or_folder, **changes)
