"""The tokenizer of single characters."""

import numpy as np
import pytest

from minigpt.tokenization import CharTokenizer


def test_characters_are_numbered_in_sorted_order():
    tokenizer = CharTokenizer.train("hello")
    assert tokenizer.encode("hole") == [1, 3, 2, 0]
    assert tokenizer.decode([1, 3, 2, 0]) == "hole"


def test_characters_of_all_planes_round_trip():
    text = "\x00\r\n\ufeffaé日\uffff😀\U0010ffff" * 3
    tokenizer = CharTokenizer.train(text)
    assert tokenizer.decode(tokenizer.encode_array(text)) == text
    assert tokenizer.encode_array(text).tolist() == tokenizer.encode(text) == [sorted(set(text)).index(c) for c in text]


@pytest.mark.parametrize("char", ["\x00", "d", "日", "\U0010ffff"])
def test_an_unknown_character_is_an_error_with_its_index_and_the_vocabulary(char):
    with pytest.raises(ValueError, match=r"at index 2, expected one of the 3 characters 'abc'") as info:
        CharTokenizer.train("cab").encode(f"ab{char}x{char}")
    assert f"U+{ord(char):04X}" in str(info.value)


def test_a_lone_surrogate_is_an_error_for_characters_too():
    with pytest.raises(UnicodeEncodeError) as info:
        CharTokenizer("abc").encode("ab\ud800")
    assert info.value.start == 2


def test_characters_have_the_smallest_fitting_dtype():
    assert CharTokenizer("abc").encode_array("").dtype == np.uint16
    many = CharTokenizer([chr(0x10000 + i) for i in range(65_537)])
    assert many.encode_array(chr(0x20000)).tolist() == [65_536]
    assert many.encode_array("").dtype == np.uint32


@pytest.mark.parametrize("chars", ["", ["ab"], ["a", ""], [1], "aba", ["\ud800"]])
def test_a_list_that_is_not_of_distinct_characters_is_an_error(chars):
    with pytest.raises(ValueError, match=r"chars|surrogate"):
        CharTokenizer(chars)


def test_a_character_has_the_bytes_of_its_utf8():
    tokenizer = CharTokenizer("aé😀")
    assert [tokenizer.token_bytes(id) for id in range(3)] == [b"a", "é".encode(), "😀".encode()]
    assert tokenizer.decode_bytes(np.array([1, 0])) == "éa".encode()
    with pytest.raises(ValueError, match=r"ids\[0\]: 3, expected an id from 0 to 2"):
        tokenizer.token_bytes(3)


def test_characters_take_the_arguments_for_special_tokens():
    tokenizer = CharTokenizer("abc")
    assert tokenizer.encode("cab", allowed_special="all", disallowed_special=()) == [2, 0, 1]
    assert tokenizer.encode("cab", allowed_special={"ca"}) == [2, 0, 1]
    with pytest.raises(ValueError, match="'ab' at index 1"):
        tokenizer.encode("cab", disallowed_special={"ab"})
    with pytest.raises(TypeError, match="allowed_special: 'ab'"):
        tokenizer.encode_array("cab", allowed_special="ab")


def test_characters_have_no_special_tokens():
    tokenizer = CharTokenizer("abc")
    assert (tokenizer.special_tokens, tokenizer.vocab_size, len(tokenizer)) == ({}, 3, 3)
