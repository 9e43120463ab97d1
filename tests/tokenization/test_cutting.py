"""Where a text can be cut: the parts have the pieces and the ids of the whole."""

import random
from itertools import product

import pytest

from cuttable import KINDS, TOKENIZERS, WILD
from minigpt.tokenization.cutting import Cuts
from minigpt.tokenization.split import split_pieces


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
