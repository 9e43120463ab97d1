"""The tables of characters: the reference libraries' own, so that no other package's Unicode changes a token."""

import hashlib
import random

import pytest

import make_unicode_tables
from make_tokenizer_fixture import tiktoken_encoding
from minigpt.tokenization import Tokenizer, bert_classes, fast, split, unicode_classes
from minigpt.tokenization.split import code_ranges

CODES = [*range(0xD800), *range(0xE000, 0x110000)]
CLASSES = {"LETTERS": r"\p{L}", "NUMBERS": r"\p{N}", "WHITE_SPACE": r"\s"}
CONTEXTS = ["{}", "a{}", "{}'s", " {}1", "{}  {}\n"]


def code_points(table: str) -> list[int]:
    return [code for first, last in code_ranges(table) for code in range(first, last + 1)]


def tables(module) -> dict[str, str]:
    return {name: table for name, table in vars(module).items() if name.isupper()}


def pieces(text: str) -> list[str]:
    return [piece for part in fast.split_pieces(text) for piece in part]


@pytest.mark.parametrize(
    ("module", "name", "count", "digest"),
    [
        (unicode_classes, "LETTERS", 141_028, "66bb619781828506"),
        (unicode_classes, "NUMBERS", 1_911, "c4d35de5f5730fbe"),
        (unicode_classes, "WHITE_SPACE", 25, "6916ec05d4aa62d0"),
        (bert_classes, "REMOVED", 137_681, "4e39bcb772891b6b"),
        (bert_classes, "BLANKS", 22, "c235ffff1ab8d398"),
        (bert_classes, "IDEOGRAPHS", 81_264, "ee18e47361a23933"),
        (bert_classes, "PUNCTUATION", 726, "3b9869be3a34fde1"),
        (bert_classes, "ACCENTS", 1_567, "434cbf4e7da428c3"),
        (bert_classes, "DECOMPOSED", 14_042, "0f6b50ce56c9fadc"),
        (bert_classes, "LOWER", 0, "613d3d084418db8b"),
    ],
)
def test_each_table_holds_the_characters_of_the_reference(module, name, count, digest):
    table = getattr(module, name)
    assert hashlib.sha256(table.encode()).hexdigest()[:16] == digest
    assert name == "LOWER" or len(code_points(table)) == count


def test_letters_and_numbers_of_a_later_unicode_are_signs_as_to_the_references():
    for code in (0x0558, 0x088F, 0xA7CE, 0x10940, 0x11DE0, 0x16EA0, 0x16FF4, 0x323B0, 0x33479, 0x3D000):  # of Unicode 17, 18
        assert pieces(f"a{chr(code)}'s {chr(code)}") == ["a", f"{chr(code)}'", "s", f" {chr(code)}"], hex(code)


def test_the_engine_splits_letters_numbers_and_signs_above_the_basic_plane_as_the_textbook_does():
    edges = [code for name in ("LETTERS", "NUMBERS") for run in code_ranges(getattr(unicode_classes, name)) if run[0] > 0xFFFF
             for code in (run[0] - 1, run[0], run[1], run[1] + 1)]
    rng = random.Random(3)
    text = "".join(rng.choice("aé1 '😀你\n") + chr(code) + rng.choice(["", "'s", " ", "b", "2", "!"]) for code in edges * 3)
    assert pieces(text) == [piece for part in split.split_pieces(text) for piece in part]


@pytest.mark.reference
@pytest.mark.parametrize("name", CLASSES)
def test_the_classes_are_tiktokens(name):
    pytest.importorskip("tiktoken")
    assert code_points(getattr(unicode_classes, name)) == make_unicode_tables.tiktoken_class(CLASSES[name])


@pytest.mark.reference
def test_the_tables_of_bert_are_those_of_tokenizers():
    pytest.importorskip("tokenizers")
    assert make_unicode_tables.bert_tables() == tables(bert_classes)


@pytest.mark.reference
@pytest.mark.parametrize("context", CONTEXTS)
def test_every_code_point_splits_as_in_tiktoken(context):
    pytest.importorskip("tiktoken")
    gpt2 = Tokenizer.gpt2()
    encode = tiktoken_encoding(gpt2).encode_ordinary
    for start in range(0, len(CODES), 50_000):
        text = "\n".join(context.replace("{}", chr(code)) for code in CODES[start : start + 50_000])
        assert gpt2.encode(text) == encode(text), hex(start)
