"""BertTokenizer: the tokenizer of most Chinese GPT-2 models, with Hugging Face's calls.

    tokenizer = BertTokenizer.from_pretrained(folder)
    prompt = tokenizer("你好", add_special_tokens=False, return_token_type_ids=False, return_tensors="np")
    print(tokenizer.decode(model.generate(**prompt)[0]))
"""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..tokenization.bert_text import BertRules
from ..tokenization.checks import shortened
from ..tokenization.wordpiece import WordPieceTokenizer
from ..tokenization.wordpiece_files import ROLES as BERT_ROLES
from ..tokenization.wordpiece_files import read_vocab_txt
from .added import with_rules
from .special_tokens import ROLES
from .tokenizer import PretrainedTokenizer


class BertTokenizer(PretrainedTokenizer):
    """BERT's tokenizer with Hugging Face's calls; `tokenizer` is the WordPieceTokenizer under it.

    A text is put between [CLS] and [SEP], unless add_special_tokens=False; there is no start or end token until one is set:
    tokenizer.eos_token = "[SEP]".

        BertTokenizer("vocab.txt", do_lower_case=False)     also vocab_file="vocab.txt", as older programs have it

    vocab_file: a vocabulary alone, of any name, with BERT's special tokens unless others are given; one that it lacks is added.
    do_lower_case, strip_accents, tokenize_chinese_chars: BertRules.  max_len: model_max_length by its old name.
    Raises what wordpiece_files.read_vocab_txt() does.
    """

    model_input_names = ("input_ids", "token_type_ids", "attention_mask")
    kind = WordPieceTokenizer

    def __init__(self, tokenizer: WordPieceTokenizer | str | os.PathLike[str] | None = None, *,
                 vocab_file: str | os.PathLike[str] | None = None, max_len: int | None = None, **options: Any) -> None:
        rules = {field.name: options.pop(field.name) for field in fields(BertRules) if field.name in options}
        for name, value in rules.items():
            if not (isinstance(value, bool) or (value is None and name == "strip_accents")):
                raise ValueError(f"{name}: {shortened(value)}, expected True or False")
        if max_len is not None:
            options.setdefault("model_max_length", max_len)
        file = tokenizer if vocab_file is None else vocab_file
        if isinstance(file, (str, os.PathLike)):
            options = BERT_ROLES | options
            texts = [options[role] for role in ROLES if options.get(role) is not None]
            tokenizer = WordPieceTokenizer(read_vocab_txt(Path(file)), texts, unk_token=options["unk_token"])
        if not isinstance(tokenizer, WordPieceTokenizer):
            raise TypeError(f"BertTokenizer: {type(tokenizer).__name__}, expected a WordPieceTokenizer or the path of a "
                            "vocab.txt; BertTokenizer.from_pretrained(folder) reads a folder")
        super().__init__(with_rules(tokenizer, rules) if rules else tokenizer, **options)

    def decode(self, ids: Any, skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: bool | None = None) -> str | list[str]:
        """Decode as PretrainedTokenizer does, by default with its own clean_up_tokenization_spaces."""
        clean_up = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        return super().decode(ids, skip_special_tokens, clean_up)

    def with_special_tokens(self, ids: list[int]) -> list[int]:
        """Put [CLS] before a text's ids and [SEP] after them."""
        return [id for id in (self.cls_token_id, *ids, self.sep_token_id) if id is not None]
