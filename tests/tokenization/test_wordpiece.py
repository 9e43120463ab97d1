"""WordPiece: BERT's ids and texts, the files of such tokenizers, and how it is shown."""

import copy
import json
import pickle
import random
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from make_wordpiece_fixture import ADDED, RULES, SPECIAL, TEXTS, VOCAB, digest, edges
from minigpt.tokenization import fast
from minigpt.tokenization.added import AddedToken
from minigpt.tokenization.bert_text import BertRules, alone
from minigpt.tokenization.split import code_ranges
from minigpt.tokenization.wordpiece import WordPieceTokenizer, longest_pieces, match_steps, reach_of
from texts import nasty_text

TOKENS = [line.rstrip() for line in VOCAB]
FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "wordpiece.json").read_text(encoding="utf-8"))


def write_folder(folder: Path, vocab: str | bytes, config: dict | None = None) -> Path:
    (folder / "vocab.txt").write_bytes(vocab if isinstance(vocab, bytes) else vocab.encode())
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer(TOKENS)


def texts() -> list[str]:
    rng = random.Random(4)
    parts = [*TEXTS, *VOCAB, " ", "é", "İ", "\u0301", "\u200b"]
    mixed = ["".join(rng.choice(parts) for _ in range(rng.randrange(12))) for _ in range(40)]
    return [*TEXTS, *mixed, *(nasty_text(rng, 40) for _ in range(40))]


# Equal to transformers


def assert_rows(tokenizer, rows):
    for text, ids, decoded, without_special in rows:
        assert tokenizer.encode(text, allowed_special="all") == ids, repr(text)
        assert tokenizer.decode(ids) == decoded, repr(text)
        assert tokenizer.decode(ids, skip_special_tokens=True) == without_special, repr(text)


def test_ids_and_texts_are_those_of_berttokenizer_for_every_setting(tmp_path):
    for case in FIXTURE["cases"]:
        tokenizer = WordPieceTokenizer.load(write_folder(tmp_path, "\n".join(VOCAB) + "\n", case["config"]))
        assert_rows(tokenizer, case["rows"])
        assert tokenizer.decode(range(len(VOCAB))) == case["every"]


def test_a_folder_that_transformers_saved_with_added_tokens_gives_its_ids(tmp_path):
    for name, content in FIXTURE["saved"]["files"].items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    tokenizer = WordPieceTokenizer.load(tmp_path)
    assert_rows(tokenizer, FIXTURE["saved"]["rows"])
    assert set(ADDED) < set(tokenizer.added_tokens)
    assert set(tokenizer.special_tokens) == {*SPECIAL, "<|im|>"}


@pytest.mark.parametrize("rules", RULES)
def test_each_rule_cleans_the_ends_of_each_run_of_characters_as_tokenizers_does(rules):
    assert digest(BertRules(*rules).normalize(edges())) == FIXTURE["normalized"][" ".join(map(str, rules))]


def test_a_character_that_is_a_word_by_itself_has_one_id(tokenizer):
    codes = [code for run in code_ranges(alone(True)) for code in {*run, *range(run[0], min(run[1], run[0] + 5))}]
    codes += [*range(0xF900, 0xFB00), *range(0x2F800, 0x2FA20)]  # ideographs that become others
    ids = tokenizer.encode("".join(map(chr, codes)))
    assert len(ids) == len(codes)
    assert len(set(ids)) > 5


# The engine against the textbook


def test_words_are_cut_as_the_textbook_cuts_them():
    rng = random.Random(5)
    for _ in range(300):
        vocabulary = {rng.choice(["", "##"]) + "".join(rng.choices("ab#", k=rng.randrange(1, 5))) for _ in range(12)}
        for _ in range(10):
            word = "".join(rng.choices("ab#", k=rng.randrange(1, 12)))
            *_, (pieces, rest) = match_steps(word, vocabulary)
            assert longest_pieces(word, vocabulary, reach_of(vocabulary)) == (None if rest else pieces), (word, vocabulary)


def test_a_word_of_words_that_do_not_fit_costs_look_ups_in_proportion_to_its_length():
    class Counted(set):
        looked_up = 0

        def __contains__(self, piece):
            self.looked_up += 1
            return super().__contains__(piece)

    vocabulary = Counted({"a", "##a", "##b", "un" + "x" * 60})
    assert longest_pieces("a" * 50 + "b" * 50, vocabulary, reach_of(vocabulary)) is not None
    assert vocabulary.looked_up == 100
    assert longest_pieces("a" * 101, vocabulary, reach_of(vocabulary)) is None


@pytest.mark.parametrize("part_length", [1, 7, 8192])
def test_encoding_part_by_part_equals_the_chunks_one_by_one(monkeypatch, part_length):
    monkeypatch.setattr(fast.word_cache, "_PART_LENGTH", part_length)
    for rules in (BertRules(), BertRules(do_lower_case=False, tokenize_chinese_chars=False)):
        play = TOKENS.index("play"), AddedToken("play", special=False, normalized=True)
        tokenizer = WordPieceTokenizer(TOKENS, rules=rules, added=[play])
        for text in texts():
            pieces = tokenizer.explain(text, allowed_special="all").pieces
            ids = [id for _, _, ids in pieces for id in ids]
            assert tokenizer.encode(text, allowed_special="all") == ids, repr(text)
            assert tokenizer.encode_array(text, allowed_special="all").tolist() == ids
            for chunk, steps, ids in pieces:
                assert len(steps[-1]) == len(ids), repr(chunk)


def test_the_memory_of_encoding_a_long_text_stays_small(monkeypatch, tokenizer):
    monkeypatch.setattr(fast.word_cache, "_MAX_WORDS", 100)
    text = " ".join(f"x{i}今天" for i in range(5_000))
    tokenizer.encode("今x")
    tracemalloc.start()
    ids = tokenizer.encode_array(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(tokenizer._words) <= 100
    assert peak < 8 * ids.nbytes + 1_500_000


# Files


def test_the_lines_of_vocab_txt_mean_what_they_mean_to_transformers(tmp_path):
    text = "[PAD]\n[UNK]\n[CLS]\na \nb\t\r\nc\u3000\n e\n\n\u2028\nf\x85g\nj\rk\na\nl"
    tokenizer = WordPieceTokenizer.load(write_folder(tmp_path, text))
    assert tokenizer.token_names() == {
        0: "[PAD]", 1: "[UNK]", 2: "[CLS]", 4: "b", 5: "c", 6: " e", 8: "", 9: "f\x85g", 10: "j\rk", 11: "[SEP]", 12: "[MASK]",
    }  # fmt: skip
    assert tokenizer.encode("a l b") == [11, 12, 4]  # a missing special token gets the number of tokens for its id
    assert tokenizer.vocab_size == 13


@pytest.mark.parametrize("rules", [BertRules(), BertRules(False, True, False)])
def test_what_was_saved_loads_as_the_same_tokenizer_from_either_file(tmp_path, rules):
    added = [(500, AddedToken("X Y", special=False, normalized=True))]
    tokenizer = WordPieceTokenizer([*TOKENS, None, "z"], [*SPECIAL, "</s>"], rules, added=added)
    (tmp_path / "merges.txt").write_text("stale", encoding="utf-8")
    tokenizer.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    loaded = WordPieceTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    remade = WordPieceTokenizer.from_state(json.loads(json.dumps(tokenizer.state())))
    for other in (loaded, WordPieceTokenizer.load(tmp_path), remade):
        assert other == tokenizer
        assert other.fingerprint() == tokenizer.fingerprint()
        assert other.state() | {"settings": {}} == tokenizer.state() | {"settings": {}}
        assert other.added_tokens == tokenizer.added_tokens
    assert loaded != WordPieceTokenizer(TOKENS)


def test_rules_that_only_tokenizer_json_has_count_unless_the_class_is_berts(tmp_path):
    WordPieceTokenizer(TOKENS, rules=BertRules(do_lower_case=False)).save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    for name, lower in (("BertTokenizer", True), ("PreTrainedTokenizerFast", False)):
        path.write_text(json.dumps({"tokenizer_class": name}), encoding="utf-8")
        assert WordPieceTokenizer.load(tmp_path).rules == BertRules(do_lower_case=lower)


def test_a_token_that_a_line_cannot_hold_is_saved_without_vocab_txt(tmp_path):
    tokenizer = WordPieceTokenizer([*SPECIAL, "a\nb", "c"])
    write_folder(tmp_path, "stale")
    tokenizer.save(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    assert WordPieceTokenizer.load(tmp_path) == tokenizer


@pytest.mark.parametrize(
    ("vocab", "config", "message"),
    [
        (b"[UNK]\na\xff\n", None, "vocab.txt line 2: invalid UTF-8"),
        (b"", None, "vocab.txt line 1: the end"),
        (b"a", {"do_lower_case": "yes"}, "tokenizer_config.json: do_lower_case: 'yes'"),
        (b"a", {"unk_token": 3}, "tokenizer_config.json: unk_token: 3"),
        (b"a\nb", {"added_tokens_decoder": {"0": {"content": "b"}}}, "vocab.txt: added token 'b': id 0, expected 1"),
        (b"a\nb", {"added_tokens_decoder": {"x": {"content": "b"}}}, "tokenizer_config.json: added token"),
        (b"a\nb", {"added_tokens_decoder": {"5": {"content": "c", "lstrip": True}}}, "added token 'c': lstrip"),
        (b"a\nb", {"added_tokens_decoder": {"9999999": {"content": "c"}}}, "added token"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, vocab, config, message):
    write_folder(tmp_path, vocab, config)
    with pytest.raises(ValueError, match=message.replace("[", "\\[")):
        WordPieceTokenizer.load(tmp_path)


def test_a_tokenizer_json_that_is_not_berts_is_refused_by_what_differs(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_text(encoding="utf-8")
    for part, key, value in [
        ("model", "type", "BPE"), ("model", "continuing_subword_prefix", "@@"), ("model", "vocab", {"a": 0, "b": 0}),
        ("model", "vocab", {}), ("normalizer", "type", "NFC"), ("normalizer", "clean_text", False),
        ("pre_tokenizer", "type", "Whitespace"), ("decoder", "cleanup", False), ("model", "vocab", {"a": 10**9}),
    ]:  # fmt: skip
        data = json.loads(whole)
        data[part][key] = value
        path.write_text(json.dumps(data), encoding="utf-8")
        with pytest.raises(ValueError, match=rf"tokenizer.json: {part}.{key}: "):
            WordPieceTokenizer.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"vocab.txt: no such file"):
        WordPieceTokenizer.load(tmp_path / "empty")


def test_mutated_files_load_or_are_refused(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    rng = random.Random(6)
    outcomes = set()
    for name, times in (("tokenizer.json", 60), ("tokenizer_config.json", 80), ("vocab.txt", 120)):
        path = tmp_path / name
        whole = path.read_bytes()
        for _ in range(times):
            data = bytearray(whole)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(data))
                data[at : at + rng.randrange(3)] = rng.choice([b"", b"\xff", b"\n", b"0", b'"', bytes([rng.randrange(256)])])
            path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)
            try:
                loaded = WordPieceTokenizer.load(tmp_path)
                loaded.decode(loaded.encode("playing 今天!", disallowed_special=()))
                outcomes.add(name)
            except ValueError as error:
                assert "\n" not in str(error)
                outcomes.add(f"{name} refused")
        path.write_bytes(whole)
        if name == "tokenizer.json":
            path.unlink()  # from here on vocab.txt is read
    assert len(outcomes) == 6


# The tokenizer


def test_special_text_is_refused_unless_allowed_and_added_text_is_always_parsed():
    tokenizer = WordPieceTokenizer(TOKENS, added=[(90, AddedToken("<x>", special=False))])
    with pytest.raises(ValueError, match=r"special token '\[MASK\]' at index 1"):
        tokenizer.encode("a[MASK]")
    assert tokenizer.encode("a[MASK]", allowed_special={"[MASK]"}) == [6, 4]
    names = tokenizer.token_names()
    assert [names[id] for id in tokenizer.encode("a[MASK]", disallowed_special=())] == ["a", "[", "mask", "]"]
    assert tokenizer.encode("a<x>") == [6, 90]
    assert "<x>" not in tokenizer.special_tokens
    assert tokenizer.decode([90, 4], skip_special_tokens=True) == "<x>"
    for wrong in (b"a", None, ["a"]):
        with pytest.raises(TypeError, match="expected str"):
            tokenizer.encode(wrong)
    with pytest.raises(UnicodeEncodeError):
        tokenizer.encode("\ud800")


def test_an_id_without_a_token_decodes_to_nothing_and_one_beyond_is_refused(tokenizer):
    hole = 5  # the first of the two lines "b"
    assert hole not in tokenizer.token_names()
    assert tokenizer.decode([hole, 6, hole]) == "a"
    assert tokenizer.token_bytes(hole) == b""
    for wrong, error in (([tokenizer.vocab_size], ValueError), ([-1], ValueError), ([True], TypeError), ("a", TypeError)):
        with pytest.raises(error):
            tokenizer.decode(wrong)


def test_the_bytes_of_tokens_are_what_each_adds_to_a_text(tokenizer):
    ids = tokenizer.encode("Playing 今天! don't, unaffable")
    for n in range(1, len(ids)):
        assert tokenizer.decode(ids[: n + 1]) == tokenizer.decode(ids[:n]) + tokenizer.token_bytes(ids[n]).decode()
    assert tokenizer.decode_bytes(np.array(ids)) == tokenizer.decode(ids).encode()


def test_an_explanation_shows_each_piece_as_it_is_cut_off(tokenizer):
    shown = """\
'Unaffable'
  unaffable
  un affable
  un ##aff able
  un ##aff ##able
34 35 36
'!'
  !
53
'zz😀'
  zz😀
  [UNK]
1
'今'
  今
64
'[MASK]'
  [MASK]
4"""
    explanation = tokenizer.explain("Unaffable! zz😀今[MASK]", allowed_special="all")
    assert str(explanation) == repr(explanation) == shown


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_is_whole_without_the_words_that_are_remembered(tokenizer, copied):
    unused = len(pickle.dumps(tokenizer))
    expected = [tokenizer.encode(text, allowed_special="all") for text in TEXTS]
    other = copied(tokenizer)
    assert not other._words
    assert other == tokenizer
    assert [other.encode(text, allowed_special="all") for text in TEXTS] == expected
    assert len(pickle.dumps(tokenizer)) == unused


def test_eight_threads_on_one_tokenizer_get_what_each_gets_alone(monkeypatch):
    monkeypatch.setattr(fast.word_cache, "_MAX_WORDS", 20)
    many = texts()
    solo = WordPieceTokenizer(TOKENS)
    expected = [solo.encode(text, disallowed_special=()) for text in many]
    shared = WordPieceTokenizer(TOKENS)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda text: shared.encode(text, disallowed_special=()), many)) == expected
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    "state",
    [None, {}, {"type": "wordpiece", "tokens": [], "added": [], "unk_token": "a", "rules": {}},
     {"type": "wordpiece", "tokens": [3], "added": [], "unk_token": "a", "rules": {}},
     {"type": "wordpiece", "tokens": ["a"], "added": [["", 3]], "unk_token": "a", "rules": {}},
     {"type": "wordpiece", "tokens": ["a"], "added": [[1]], "unk_token": "a", "rules": {}},
     {"type": "wordpiece", "tokens": ["a"], "added": [["b", "c"]], "unk_token": "a", "rules": {}},
     {"type": "wordpiece", "tokens": ["a"], "added": [["b", -1]], "unk_token": "a", "rules": {}},
     {"type": "wordpiece", "tokens": ["a"], "added": [["b", 1], ["c", 1]], "unk_token": "a", "rules": {}},
     {"type": "wordpiece", "tokens": ["a"], "added": [["b", 1], ["b", 1]], "unk_token": "a", "rules": {}},
     {"type": "wordpiece", "tokens": ["a"], "added": [], "unk_token": None, "rules": {}},
     {"type": "wordpiece", "tokens": ["a"], "added": [], "unk_token": "a", "rules": {"lower": True}},
     {"type": "wordpiece", "tokens": ["a\ud800"], "added": [], "unk_token": "a", "rules": {}}],
)  # fmt: skip
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(ValueError):
        WordPieceTokenizer.from_state(state)
