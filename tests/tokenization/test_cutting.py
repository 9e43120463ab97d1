"""Where a text can be cut: the parts have the pieces and the ids of the whole."""

import random
from itertools import product

import pytest

from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.tokenization.added import AddedToken
from minigpt.tokenization.bpe import BYTE_NAMES
from minigpt.tokenization.cutting import Cuts
from minigpt.tokenization.split import split_pieces
from minigpt.tokenization.vocabulary import Vocabulary

KINDS = "as1'! \n日\u2003"       # letters, those of contractions, a digit, signs, white space of several widths
WILD = [*KINDS, "'s", "'ll", "  ", "\r\n", "٣", "é", "e\u0301", "𝒜", "👍🏽", "<s>", "s>", "<", "…", "\u00a0", "¼", "\0"]


def pieces(text):
    return [piece for part in split_pieces(text) for piece in part]


def every_cut(cuts, text):
    found = {cuts.find(text, start) for start in range(len(text))} - {None}
    assert all(0 < cut < len(text) for cut in found)
    return found


def test_every_cut_of_every_short_text_leaves_the_pieces_as_they_are():
    n = 0
    for text in map("".join, product(KINDS, repeat=4)):
        for cut in every_cut(Cuts(), text):
            assert pieces(text[:cut]) + pieces(text[cut:]) == pieces(text), (text, cut)
            n += 1
    assert n > 4000


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


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_random_text_has_the_ids_of_its_parts_at_every_cut(name):
    tokenizer, rng, n = TOKENIZERS[name], random.Random(0), 0
    for _ in range(80):
        text = "".join(rng.choices(WILD, k=12))
        whole = tokenizer.encode(text, allowed_special="all")
        for cut in every_cut(tokenizer.cuts, text):
            parts = [tokenizer.encode(part, allowed_special="all") for part in (text[:cut], text[cut:])]
            assert parts[0] + parts[1] == whole, (text, cut)
            n += 1
    assert n > 40


def test_characters_are_cut_everywhere_but_within_a_line_end():
    assert every_cut(TOKENIZERS["characters"].cuts, "ab\r\n\r\rc") == {1, 2, 4, 5, 6}


def test_a_text_without_a_cut_is_left_whole():
    assert every_cut(Cuts(), "letters") == every_cut(Cuts(), " \n\n ") == every_cut(Cuts(), "") == set()
