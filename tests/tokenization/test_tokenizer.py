"""Tokenizer: training, encoding, batches, offsets, decoding, and GPT-2's own."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from make_tokenizer_fixture import FIXTURE
from minigpt.tokenization import CharTokenizer, Tokenizer
from texts import END, PROSE, nasty_text

ROOT = Path(__file__).parents[2]


# Training


def test_of_equally_frequent_pairs_the_lower_pair_of_ids_is_merged_first():
    d, e, y, z = (Tokenizer().encode(char)[0] for char in "deyz")
    assert Tokenizer.train("yz\nde", 258).state()["merges"] == [[d, e], [y, z]]


def test_the_hash_seed_does_not_change_the_merges():
    code = (
        "from pydoc_data.topics import topics; from minigpt.tokenization import Tokenizer;"
        "print(Tokenizer.train(topics['lambda'] + topics['yield'], 400).state()['merges'])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "12345")
    ]  # fmt: skip
    assert runs[0] == runs[1] != ""


def test_the_first_ids_are_the_bytes_in_the_order_of_gpt2():
    tokens = [Tokenizer().token_bytes(i) for i in (0, 93, 94, 187, 188, 220, 255)]
    assert tokens == [b"!", b"~", b"\xa1", b"\xff", b"\x00", b" ", b"\xad"]


def test_special_tokens_have_the_last_ids_in_the_given_order(tokenizer):
    assert tokenizer.special_tokens == {END: 698, "<|pad|>": 699}
    assert tokenizer.vocab_size == len(tokenizer) == 700


def test_training_treats_special_tokens_in_the_text_as_ends_of_documents():
    separated = Tokenizer.train("ab<|x|>cd<|x|>" * 3, 259, ["<|x|>"])
    assert [separated.token_bytes(i) for i in (256, 257)] == [b"ab", b"cd"]


def test_an_empty_text_trains_to_the_256_bytes():
    assert Tokenizer.train("", 256) == Tokenizer()


def test_training_stops_with_a_warning_when_the_pairs_run_out():
    with pytest.warns(UserWarning, match="vocab_size: 1000, but the text has pairs for 260 tokens only"):
        tokenizer = Tokenizer.train("abc abc", 1000, [END])
    assert (tokenizer.vocab_size, tokenizer.special_tokens) == (260, {END: 259})


def test_progress_shows_a_bar_only_on_request(capsys):
    Tokenizer.train("abc abc", 257)
    assert capsys.readouterr().err == ""
    Tokenizer.train("abc abc", 257, progress=True)
    assert "merges: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(("vocab_size", "special_tokens"), [(255, []), (256, [END]), (0, []), (-5, [])])
def test_a_vocabulary_too_small_for_bytes_and_special_tokens_is_an_error(vocab_size, special_tokens):
    with pytest.raises(ValueError, match=f"vocab_size: {vocab_size}, expected at least"):
        Tokenizer.train("abc", vocab_size, special_tokens)


@pytest.mark.parametrize("vocab_size", [300.0, "300", True])
def test_a_vocabulary_size_that_is_no_integer_is_a_type_error(vocab_size):
    with pytest.raises(TypeError, match="vocab_size"):
        Tokenizer.train("abc", vocab_size)


@pytest.mark.parametrize("merges", [[(1, 256)], [(-1, 2)], [(1, 2, 3)], [("a", "b")], [7], [(1, 2), (1, 2)]])
def test_merges_of_unknown_ids_and_repeated_merges_are_an_error(merges):
    with pytest.raises(ValueError, match=r"merges\[[01]\]"):
        Tokenizer(merges)


# Encoding


def test_encode_needs_no_merge_order_that_training_could_give():
    a, b, c = (Tokenizer().encode(char)[0] for char in "abc")
    odd = Tokenizer([(b, c), (a, b), (257, c)])  # "abc" is a token, but "bc" is merged first
    assert odd.encode("abc") == [a, 256]


def test_encode_array_equals_encode_in_uint16(tokenizer):
    ids = tokenizer.encode_array(PROSE)
    assert ids.dtype == np.uint16
    assert ids.tolist() == tokenizer.encode(PROSE)


def test_encode_array_is_uint32_for_a_vocabulary_above_65536():
    pairs = [(left, right) for left in range(256) for right in range(256)]
    ids = Tokenizer(pairs).encode_array("é" + END)
    assert ids.dtype == np.uint32
    assert ids.max() > 65_536 // 2


def test_the_empty_text_has_no_ids(tokenizer):
    assert tokenizer.encode("") == tokenizer.encode_array("").tolist() == []
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize(
    "text", ["a\r\nb\r", "\ufeffBOM", "a\x00b", "a\x1cb \x1c c", "\t \n", "e\u0301 é", PROSE[:5000]]
)
def test_decode_returns_the_text_that_was_encoded(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_decode_returns_random_text_from_all_of_unicode(tokenizer):
    rng = random.Random(5)
    codes = [
        rng.choice([rng.randrange(0x300), rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)]) for _ in range(3000)
    ]
    text = "".join(map(chr, codes))
    assert tokenizer.decode(tokenizer.encode(text)) == text


# Batches and offsets


@pytest.mark.parametrize(
    ("options", "rows", "mask"),
    [
        ({}, [[1, 2, 3], [1, 9, 9], [9, 9, 9]], [[1, 1, 1], [1, 0, 0], [0, 0, 0]]),
        ({"padding_side": "left"}, [[1, 2, 3], [9, 9, 1], [9, 9, 9]], [[1, 1, 1], [0, 0, 1], [0, 0, 0]]),
        ({"max_length": 2}, [[1, 2], [1, 9], [9, 9]], [[1, 1], [1, 0], [0, 0]]),
        ({"max_length": 0}, [[], [], []], [[], [], []]),
    ],
    ids=["right", "left", "cut", "cut to nothing"],
)
def test_a_batch_is_filled_up_to_its_longest_text(options, rows, mask):
    ids, given_mask = Tokenizer().encode_batch(['"#$', '"', ""], pad_id=9, **options)
    assert (ids.tolist(), given_mask.tolist()) == (rows, mask)
    assert ids.dtype == given_mask.dtype == np.int64


def test_the_unmasked_ids_of_a_batch_are_those_of_each_text(tokenizer):
    texts = [PROSE[start : start + 7 * start % 50] for start in range(20)]
    ids, mask = tokenizer.encode_batch(iter(texts), padding_side="left", pad_id=0)
    assert [row[kept > 0].tolist() for row, kept in zip(ids, mask, strict=True)] == list(map(tokenizer.encode, texts))


def test_texts_of_one_length_need_no_padding():
    assert Tokenizer().encode_batch(["ab", "cd"])[1].tolist() == [[1, 1], [1, 1]]
    assert Tokenizer().encode_batch([])[0].shape == (0, 0)


def test_special_tokens_in_a_batch_have_the_meaning_they_have_in_encode(tokenizer):
    assert tokenizer.encode_batch([END], allowed_special="all")[0].tolist() == [[698]]


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        ([PROSE[:3], ""], {}, ValueError, r"pad_id: None for texts of 0 to \d+ tokens, expected an id"),
        (["ab", "c"], {"pad_id": 700}, ValueError, r"pad_id: 700, expected an id from 0 to 699"),
        (["ab"], {"pad_id": -1}, ValueError, r"pad_id: -1"),
        (["ab"], {"pad_id": 1.0}, TypeError, r"pad_id: 1.0"),
        (["ab"], {"padding_side": "middle"}, ValueError, "padding_side: 'middle', expected 'left' or 'right'"),
        (["ab"], {"max_length": -1}, ValueError, "max_length: -1, expected 0 or more"),
        ("ab", {}, TypeError, "texts: str, expected a list"),
        (["ab", None], {}, TypeError, r"texts\[1\]: NoneType, expected str"),
        (["ab", "a" + END], {}, ValueError, r"texts\[1\]: special token .* at index 1"),
        (["ab", "a\ud800"], {}, UnicodeEncodeError, r"texts\[1\]: a lone surrogate"),
    ],
)
def test_an_impossible_batch_is_an_error(tokenizer, texts, options, error, message):
    with pytest.raises(error, match=message):
        tokenizer.encode_batch(texts, **options)


def test_offsets_are_the_characters_that_a_token_has_bytes_of():
    rng, gpt2 = random.Random(11), Tokenizer.gpt2()
    for text in [nasty_text(rng, rng.randrange(40)) for _ in range(200)]:
        character_of_byte = [i for i, char in enumerate(text) for _ in char.encode()]
        ids, offsets = gpt2.encode_with_offsets(text, allowed_special="all")
        expected, byte = [], 0
        for id in ids:
            size = len(gpt2.token_bytes(id))
            characters = character_of_byte[byte : byte + size]
            expected.append((characters[0], characters[-1] + 1))
            byte += size
        assert (ids, offsets) == (gpt2.encode(text, allowed_special="all"), expected)


def test_tokens_that_share_a_character_all_get_it():
    assert Tokenizer.gpt2().encode_with_offsets("a 日") == ([64, 10545, 245, 98], [(0, 1), (1, 3), (2, 3), (2, 3)])


# Decoding


def test_half_a_character_decodes_to_the_replacement_character():
    half = Tokenizer().encode("aé")[:-1]
    assert Tokenizer().decode(half) == "a\ufffd"
    assert Tokenizer().decode(half, errors="ignore") == "a"


def test_half_a_character_is_an_error_when_strict():
    with pytest.raises(UnicodeDecodeError):
        Tokenizer().decode(Tokenizer().encode("é")[:-1], errors="strict")


def test_decode_bytes_keeps_half_a_character(tokenizer):
    assert tokenizer.decode_bytes(Tokenizer().encode("é")[:-1]) == b"\xc3"


def test_the_bytes_of_a_merged_token_are_those_of_its_parts(tokenizer):
    for i, (left, right) in enumerate(tokenizer.state()["merges"]):
        assert tokenizer.token_bytes(256 + i) == tokenizer.token_bytes(left) + tokenizer.token_bytes(right)


def test_token_bytes_of_a_special_token_are_its_text(tokenizer):
    assert tokenizer.token_bytes(698) == END.encode()
    with pytest.raises(ValueError, match="700"):
        tokenizer.token_bytes(700)


# GPT-2's own


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello world", [15496, 995]),
        (" Hello world", [18435, 995]),
        ("😀 é 日本", [47249, 222, 38251, 10545, 245, 98, 17312, 105]),
        (f"a{END}b", [64, 50256, 65]),
    ],
)
def test_gpt2_gives_the_published_ids(text, ids):
    assert Tokenizer.gpt2().encode(text, allowed_special="all") == ids
    assert Tokenizer.gpt2().decode(ids) == text


def test_gpt2_gives_the_ids_that_tiktoken_and_hugging_face_gave():
    for text, ids in json.loads(FIXTURE.read_text(encoding="utf-8"))["ids"]:
        assert Tokenizer.gpt2().encode(text, disallowed_special=()) == ids


def test_gpt2_has_50257_tokens_of_which_one_is_special():
    assert (len(Tokenizer.gpt2()), Tokenizer.gpt2().special_tokens) == (50_257, {END: 50_256})


def test_gpt2_is_read_once():
    assert Tokenizer.gpt2() is Tokenizer.gpt2()


def test_every_id_of_gpt2_that_is_text_encodes_back_to_itself():
    tokenizer, halves = Tokenizer.gpt2(), 0
    for id in range(tokenizer.vocab_size):
        try:
            text = tokenizer.decode([id], errors="strict")
        except UnicodeDecodeError:  # a part of a character, which a neighbour completes
            halves += 1
            continue
        assert tokenizer.encode(text, allowed_special="all") == [id]
    assert halves == 344


def test_tokenizers_are_equal_when_they_give_the_same_ids():
    assert Tokenizer([(0, 1)], [END]) == Tokenizer([[0, 1]], (END,))
    assert Tokenizer([(0, 1)]) != Tokenizer([(1, 0)])
    assert Tokenizer([(0, 1)]) != Tokenizer([(0, 1)], [END])
    assert CharTokenizer("ab") != CharTokenizer("ba")
    assert Tokenizer() != CharTokenizer("ab")


def test_repr_says_what_the_tokenizer_holds(tokenizer):
    assert repr(tokenizer) == f"Tokenizer(vocab_size=700, special_tokens=['{END}', '<|pad|>'])"
    assert repr(CharTokenizer("abc")) == "CharTokenizer('abc', vocab_size=3)"
