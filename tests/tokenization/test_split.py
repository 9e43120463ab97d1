"""Splitting into pieces, by the textbook, and at special tokens; test_fast.py holds the fast twin to it."""

import pytest

from minigpt.tokenization.split import split_pieces, split_special


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("It's 5", ["It", "'s", " 5"]),
        ("we'll SEE'LL", ["we", "'ll", " SEE", "'", "LL"]),  # endings are those of lower case
        ("abc123!?", ["abc", "123", "!?"]),
        ("a  b\n\n", ["a", " ", " b", "\n\n"]),  # the last space goes to the word
        ("a\tb", ["a", "\t", "b"]),  # a tab does not
        ("今天，天气 Ⅷ", ["今天", "，", "天气", " Ⅷ"]),
        ("e\u0301", ["e", "\u0301"]),  # an accent of its own is a sign
        ("a\x1c!\xa0b \x85c", ["a", "\x1c!", "\xa0", "b", " ", "\x85", "c"]),  # controls that Python takes for white space
        ("", []),
    ],
)
def test_the_pattern_cuts_where_gpt2_cuts(text, pieces):
    assert [piece for part in split_pieces(text) for piece in part] == pieces


def test_special_tokens_stand_at_odd_places():
    assert split_special("a<s>b<s>", ["<s>"]) == ["a", "<s>", "b", "<s>", ""]
    assert split_special("a<s>b", []) == ["a<s>b"]


def test_special_tokens_are_no_patterns():
    assert split_special("a.b|c", [".", "|"]) == ["a", ".", "b", "|", "c"]


def test_of_two_special_tokens_at_one_place_the_longer_is_taken():
    assert split_special("<s>!<s>", ["<s>", "<s>!"]) == ["", "<s>!", "", "<s>", ""]
