"""tokenizer.json: what means the same is read alike, what is another kind of tokenizer is refused by its name."""

import json
import random

import pytest

from minigpt.tokenization import Tokenizer, load
from minigpt.tokenization.added import AddedToken, split_added
from minigpt.tokenization.bpe import BYTE_NAMES, BYTE_ORDER
from minigpt.tokenization.fast import PieceCache
from minigpt.tokenization.ranked import RankedCache, apply_ranked, ranked_steps
from minigpt.tokenization.vocabulary import Vocabulary
from texts import END

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
SPLIT = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
SMALL = Tokenizer.train("low lower lowest", 260, [END])


@pytest.fixture
def only(tmp_path):
    """A folder with tokenizer.json alone."""
    SMALL.save(tmp_path)
    for path in tmp_path.iterdir():
        if path.name != "tokenizer.json":
            path.unlink()
    return tmp_path


def change(folder, place, value):
    """Write another value at a place such as "model.dropout" of tokenizer.json."""
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    *keys, last = place.split(".")
    inner = data
    for key in keys:
        inner = inner[key]
    inner[last] = value(inner[last]) if callable(value) else value
    path.write_text(json.dumps(data), encoding="utf-8")


def small(folder, vocab, merges=(), added=()):
    """The tokenizer of a tokenizer.json with this vocabulary; added: pairs of a text and the id that the file states for it"""
    change(folder, "model.vocab", vocab)
    change(folder, "model.merges", list(merges))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    change(folder, "added_tokens", [{**flags, "content": text, "id": id} for text, id in added])
    return load(folder)


def test_added_tokens_beside_holes_get_the_ids_that_tokenizers_gives_them_with_a_warning(only):
    """findings/tokenizers_added_tokens_beside_holes.sh"""
    with pytest.warns(UserWarning, match=r"'<[xy]>' gets id [23], as tokenizers counts them, though it says 1[01]"):
        tokenizer = small(only, {"a": 0, "b": 3}, added=[("<x>", 10), ("<y>", 11)])
    assert [tokenizer.encode(text) for text in ("a", "b", "<x>", "<y>")] == [[0], [3], [2], [3]]


def test_an_added_letter_of_the_byte_alphabet_decodes_to_itself(only):
    """findings/tokenizers_added_token_with_accent.sh"""
    tokenizer = small(only, {"a": 0}, added=[("é", 1)])
    assert tokenizer.decode(tokenizer.encode("éa")) == "éa"


def test_offsets_behind_a_byte_without_a_token_are_those_of_the_text(only):
    """findings/tokenizers_offsets_behind_a_lost_byte.sh"""
    tokenizer = small(only, {"a": 0, "b": 1, "ab": 2}, merges=["a b"])
    assert tokenizer.encode_with_offsets("Xab") == ([2], [(1, 3)])


def test_variants_that_mean_the_same_are_read_alike(only):
    good = (only / "tokenizer.json").read_bytes()
    for place, value in {
        "model.merges": lambda merges: [merge.split(" ") for merge in merges],
        "model.dropout": 0.0,
        "model.ignore_merges": False,
        "model.byte_fallback": True,    # no byte is without a token
        "model.unk_token": END,
        "model.type": "BPE",
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTE_LEVEL]},
        "pre_tokenizer.trim_offsets": True,
        "decoder": {"type": "Sequence", "decoders": [BYTE_LEVEL]},
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "added_tokens": lambda tokens: [{**tokens[0], "normalized": True}],
    }.items():
        change(only, place, value)
        assert load(only) == SMALL, place
        (only / "tokenizer.json").write_bytes(good)
    change(only, "pre_tokenizer", {"type": "Sequence", "pretokenizers": [SPLIT, {**BYTE_LEVEL, "use_regex": False}]})
    assert load(only) == SMALL
    Tokenizer([(0, 1)], ["<a>", "<b>"]).save(only)
    change(only, "added_tokens", lambda tokens: tokens[::-1])
    assert load(only) == Tokenizer([(0, 1)], ["<a>", "<b>"])


def test_what_is_no_byte_level_bpe_of_gpt2s_kind_is_refused_by_name(only):
    good = (only / "tokenizer.json").read_bytes()
    for place, value, message in (
        ("model.type", "Unigram", "model.type: 'Unigram', expected 'BPE'; take a model"),
        ("model", None, "model.type: None"),
        ("model.vocab", [], "model.vocab: "),
        ("model.vocab", {}, r"merge 0 is of .* has no id"),
        ("model.vocab.low", 1.5, "'low' has id 1.5, expected an integer"),
        ("model.vocab.low", -1, "'low' has id -1"),
        ("model.vocab.low", 3, "'low' and '\\$' have id 3, expected ids without repeats"),
        ("model.vocab.low", 10**9, "'low' has id 1000000000"),
        ("model.merges", ["l o w"], r"model.merges\[0\]: \['l', 'o', 'w'\], expected two tokens"),
        ("model.merges", [["l", "q"]], "merge 0 is of 'l' and 'q', but 'lq' has no id"),
        ("model.dropout", 0.1, "model.dropout: 0.1, expected none, as GPT-2 has it; take"),
        ("model.ignore_merges", True, "model.ignore_merges: True"),
        ("model.continuing_subword_prefix", "##", "model.continuing_subword_prefix: '##'"),
        ("model.end_of_word_suffix", "</w>", "model.end_of_word_suffix: '</w>'"),
        ("normalizer", {"type": "NFC"}, "normalizer: {'type': 'NFC'}"),
        ("pre_tokenizer", None, "pre_tokenizer: None, expected ByteLevel"),
        ("pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer: {'type': 'Whitespace'}"),
        ("pre_tokenizer.use_regex", False, "pre_tokenizer: "),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, BYTE_LEVEL]}, "pre_tokenizer: .*Digits"),
        ("decoder", {"type": "WordPiece"}, "decoder: {'type': 'WordPiece'}"),
        ("added_tokens", [{"content": ""}], r"added_tokens\[0\]: {'content': ''}, expected"),
        ("added_tokens", [{"content": "<a>", "lstrip": 1}], r"added_tokens\[0\]: "),
        ("added_tokens", 3, "added_tokens: 3, expected a list"),
    ):
        change(only, place, value)
        with pytest.raises(ValueError, match=f"tokenizer.json: {message}") as caught:
            load(only)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 700, place
        (only / "tokenizer.json").write_bytes(good)
    change(only, "model.vocab", lambda vocab: {name: id for name, id in vocab.items() if name != "A"})
    for place, value, message in (("model.unk_token", "<unk>", "unk_token is '<unk>', expected a token of the vocabulary"),
                                  ("model.byte_fallback", True, "model.byte_fallback: true where bytes have no tokens")):
        change(only, place, value)
        with pytest.raises(ValueError, match=f"tokenizer.json: {message}"):
            load(only)


def test_an_added_token_gets_the_id_that_tokenizers_counts_and_a_warning_says_so(only):
    change(only, "added_tokens", lambda tokens: [*tokens, {"id": 300, "content": "<a>"}])
    with pytest.warns(UserWarning, match=r"tokenizer.json: added token '<a>' gets id 260, .* though it says 300"):
        assert load(only).added_tokens == {END: 259, "<a>": 260}


def test_special_text_is_refused_and_other_added_text_is_parsed(only):
    more = [{"id": 260, "content": "<a>"}, {"id": 64, "content": "a", "special": True}]
    change(only, "added_tokens", lambda tokens: tokens + more)
    tokenizer = load(only)
    assert (tokenizer.added_tokens, tokenizer.special_tokens) == ({"a": 64, END: 259, "<a>": 260}, {"a": 64, END: 259})
    assert tokenizer.encode("b<a>a") == [65, 260, 64]       # "a" is special, but also a token of text
    with pytest.raises(ValueError, match=r"special token '<\|endoftext\|>' at index 1"):
        tokenizer.encode("b" + END)
    assert tokenizer.encode("<" + END, disallowed_special=()) == SMALL.encode("<" + END, disallowed_special=())
    assert tokenizer.token_names()[260] == "<a>" and tokenizer.decode([260, 259]) == "<a>" + END


def test_an_added_token_takes_the_white_space_and_the_neighbors_that_it_says():
    tokens = [AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True), AddedToken("is", single_word=True),
              AddedToken("<rr>"), AddedToken("<l><", normalized=True)]
    text = "a  <l> <r>\u3000\n <l>is this is_ is.<rr><l><"
    parts = list(split_added(text, tokens))
    assert "".join(part for part, *_ in parts) == text
    assert [(part, token.text) for part, _, _, token in parts if token] == [
        ("  <l>", "<l>"), ("<r>\u3000\n ", "<r>"), ("<l>", "<l>"), ("is", "is"), ("is", "is"), ("<rr>", "<rr>"), ("<l>", "<l>")
    ]
    assert all(text[start:end] == part for part, start, end, _ in parts)


def test_merging_by_ranks_is_the_last_of_its_steps():
    rng = random.Random(18)
    for _ in range(300):
        made = rng.sample(range(3, 15), 12)     # in no order
        pairs = {(rng.randrange(top), rng.randrange(top)) for top in 4 * (15, 3, 3)}
        ranks = {pair: (rank, new) for rank, (pair, new) in enumerate(zip(sorted(pairs), made, strict=False))}
        ids = [rng.randrange(3) for _ in range(rng.randrange(30))]
        assert apply_ranked(ids, ranks) == [*ranked_steps(ids, ranks)][-1]


@pytest.mark.parametrize(("unk", "fuse"), [(None, False), ("<unk>", False), ("<unk>", True)])
def test_only_pieces_with_bytes_that_have_no_token_are_merged_one_by_one(unk, fuse, monkeypatch):
    rng = random.Random(19)
    words = ["".join(rng.choices("lowerstz", (9, 9, 9, 9, 9, 5, 5, 1), k=rng.randrange(1, 9))) for _ in range(400)]
    whole = Tokenizer.train(" ".join(words), 300)._as_vocabulary()
    ids = {"<unk>": 0} | {name: id + 7 for name, id in whole.ids.items() if "z" not in name}
    merges = [pair for pair in whole.merges if "z" not in "".join(pair)]
    tokenizer = Tokenizer.from_state(Vocabulary(ids, merges, unk_token=unk, fuse_unk=fuse).state())
    merge_together, together = PieceCache._merge_together, set()
    monkeypatch.setattr(PieceCache, "_merge_together", lambda self, new: together.update(new) or merge_together(self, new))
    found = tokenizer.encode(" ".join(words))
    assert together == {f" {word}" for word in words[1:] if "z" not in word} | {words[0]}
    of_byte = {byte: ids[name] for byte, name in zip(BYTE_ORDER, BYTE_NAMES, strict=True) if name in ids}
    ranks = {(ids[left], ids[right]): (rank, ids[left + right]) for rank, (left, right) in enumerate(merges)}
    ranked = RankedCache(ranks, of_byte, None if unk is None else 0, fuse)
    pieces = [words[0], *(f" {word}" for word in words[1:])]
    assert found == [id for piece in pieces for id in ranked.steps(piece)[-1]]


def test_a_long_piece_takes_few_steps_where_merges_have_no_order():
    merges = [["a", "a"], ["aaaa", "aaaa"], ["aa", "aa"]]
    vocabulary = {name: id for id, name in Tokenizer().token_names().items()} | {"aa": 256, "aaaa": 257, "a" * 8: 258}
    state = {"type": "bpe", "vocab": vocabulary, "merges": merges, "added_tokens": [], "add_prefix_space": False,
             "unk_token": None, "fuse_unk": False}
    tokenizer = Tokenizer.from_state(state)
    assert tokenizer.encode("a" * 20_003) == [258] * 2500 + [256, 64]
