"""Tokenizers that make cutting a text hard, and what such texts are made of."""

from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.tokenization.added import AddedToken
from minigpt.tokenization.bpe import BYTE_NAMES
from minigpt.tokenization.vocabulary import Vocabulary

KINDS = "as1'! \n日\u2003"       # letters, those of contractions, a digit, signs, white space of several widths
WILD = [*KINDS, "'s", "'ll", "  ", "\r\n", "٣", "é", "e\u0301", "𝒜", "👍🏽", "<s>", "s>", "<", "…", "\u00a0", "¼", "\0"]


def added(text, **flags):
    return AddedToken(text, **flags)


TOKENIZERS = {
    "a special token": Tokenizer([(66, 67)], ["<s>", "<s>s>"]),
    "added tokens with white space": Tokenizer.from_state(Vocabulary(
        {name: i for i, name in enumerate(BYTE_NAMES)}, [],
        [added("<s>", lstrip=True, rstrip=True), added("s>", special=False, single_word=True), added("!\n", normalized=True)],
    ).state()),
    "a space put before": Tokenizer.from_state(Vocabulary(
        {name: i for i, name in enumerate(BYTE_NAMES)}, [], [added("<s>", rstrip=True)], add_prefix_space=True).state()),
    "characters": CharTokenizer(sorted({*"".join(WILD)})),
}
