"""BertTokenizer: the tokenizer of most Chinese GPT-2 models, with Hugging Face's calls.

    tokenizer = BertTokenizer.from_pretrained(folder)
    prompt = tokenizer("你好", add_special_tokens=False, return_token_type_ids=False, return_tensors="np")
    print(tokenizer.decode(model.generate(**prompt)[0]))
"""

from typing import Any

from ..tokenization.wordpiece import WordPieceTokenizer
from .tokenizer import PretrainedTokenizer


class BertTokenizer(PretrainedTokenizer):
    """BERT's tokenizer with Hugging Face's calls; `tokenizer` is the WordPieceTokenizer under it.

    A text is put between [CLS] and [SEP], unless add_special_tokens=False; there is no start or end token until one is set:
    tokenizer.eos_token = "[SEP]".
    """

    model_input_names = ("input_ids", "token_type_ids", "attention_mask")
    kind = WordPieceTokenizer

    def decode(self, ids: Any, skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: bool | None = None) -> str | list[str]:
        """Decode as PretrainedTokenizer does, by default with its own clean_up_tokenization_spaces."""
        clean_up = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        return super().decode(ids, skip_special_tokens, clean_up)

    def with_special_tokens(self, ids: list[int]) -> list[int]:
        """Put [CLS] before a text's ids and [SEP] after them."""
        return [id for id in (self.cls_token_id, *ids, self.sep_token_id) if id is not None]
