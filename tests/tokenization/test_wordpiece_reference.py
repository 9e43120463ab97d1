"""The same ids, texts and rules as transformers' BertTokenizer, live: on every code point, and on strings of every kind."""

import random

import pytest

from make_tokenizer_fixture import random_strings
from make_wordpiece_fixture import CONFIGS, RULES, TEXTS, VOCAB, bert
from minigpt.tokenization.bert_text import BertRules, split_words
from minigpt.tokenization.wordpiece import WordPieceTokenizer
from texts import nasty_text

pytestmark = pytest.mark.reference
CODES = [*range(0xD800), *range(0xE000, 0x110000)]
STEP = 20_000
LINES = [*VOCAB[:12], *dict.fromkeys(prefix + chr(code) for code in range(33, 0xD800) for prefix in ("", "##"))]


def strings() -> list[str]:
    rng = random.Random(8)
    parts = [*TEXTS, *VOCAB, " ", "New", "X Y", "\u0301", "\u200b"]
    mixed = ["".join(rng.choice(parts) for _ in range(rng.randrange(12))) for _ in range(2000)]
    return [*mixed, *random_strings(11, 2000), *(nasty_text(rng, rng.randrange(60)) for _ in range(1000))]


def assert_equal(ours, reference, texts):
    for text in filter(None, texts):
        ids = reference.encode(text, add_special_tokens=False)
        assert ours.encode(text, allowed_special="all") == ids, repr(text)
        for skip in (False, True):
            assert ours.decode(ids, skip_special_tokens=skip) == reference.decode(ids, skip_special_tokens=skip), repr(text)


@pytest.mark.parametrize("rules", RULES)
def test_every_code_point_is_cleaned_and_split_as_in_tokenizers(rules):
    tokenizers = pytest.importorskip("tokenizers")
    lower, strip, ideographs = rules
    normalizer = tokenizers.normalizers.BertNormalizer(True, ideographs, strip, lower)
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    for start in range(0, len(CODES), STEP):
        text = " ".join(f"x{chr(code)}y" for code in CODES[start : start + STEP])
        normalized = normalizer.normalize_str(text)
        assert BertRules(*rules).normalize(text) == normalized, hex(start)
        assert split_words(normalized) == [word for word, _ in split(normalized)], hex(start)


@pytest.mark.parametrize("config", [{}, {"do_lower_case": False}])
@pytest.mark.parametrize("context", ["{}", "a{}", "{}'s", " {}1"])
def test_every_code_point_gets_the_ids_of_berttokenizer(tmp_path, config, context):
    pytest.importorskip("transformers")
    reference, ours = bert(tmp_path, config, LINES), WordPieceTokenizer.load(tmp_path)
    for start in range(0, len(CODES), STEP):
        text = "\n".join(context.replace("{}", chr(code)) for code in CODES[start : start + STEP])
        assert ours.encode(text) == reference.encode(text, add_special_tokens=False), hex(start)


@pytest.mark.parametrize("config", CONFIGS)
def test_strings_of_every_kind_and_folders_saved_by_either_are_equal(tmp_path, config):
    pytest.importorskip("transformers")
    from transformers import PreTrainedTokenizerFast

    reference, ours = bert(tmp_path, config), WordPieceTokenizer.load(tmp_path)
    assert_equal(ours, reference, strings())
    reference.add_tokens(["New", "X Y", "很好"])
    reference.save_pretrained(tmp_path / "theirs")
    for tokenizer in (ours, WordPieceTokenizer.load(tmp_path / "theirs")):
        tokenizer.save(tmp_path / "ours")
        for saved in (bert(tmp_path / "ours"), PreTrainedTokenizerFast.from_pretrained(tmp_path / "ours")):
            assert_equal(tokenizer, saved, strings()[::10])
    (tmp_path / "ours" / "tokenizer.json").unlink()
    assert_equal(tokenizer, bert(tmp_path / "ours"), strings()[::10])


def test_lines_of_vocab_txt_have_the_ids_of_transformers(tmp_path):
    pytest.importorskip("transformers")
    lines = ["[PAD]", "[UNK]", "[CLS]", "a ", "b\t\r", "c\u3000", " e", "", "\u2028", "f\x85g", "j\rk", "a", "l"]
    reference = bert(tmp_path, {}, lines)
    ours = WordPieceTokenizer.load(tmp_path)
    shared = {11, 12}  # ids of two tokens
    assert {text: id for id, text in ours.token_names().items() if id not in shared} == {
        text: id for text, id in reference.get_vocab().items() if id not in shared
    }
    assert_equal(ours, reference, ["a l b", "[SEP] a [MASK] l", "c e"])
