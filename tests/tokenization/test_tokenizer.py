"""minigpt.tokenizer against plain twins: a trainer that recounts the whole text, an encoder merging pair by pair."""

import base64
import gc
import gzip
import hashlib
import json
import os
import random
import string
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
import regex

from make_tokenizer_fixture import FIXTURE, random_strings, tiktoken_encoding, tokenizers_tokenizer
from minigpt.tokenization import bpe
from minigpt.tokenization.bpe import merge
from minigpt.tokenization.tokenizer import CharTokenizer, Tokenizer, from_state, load

ROOT = Path(__file__).parents[2]
PROSE = "\n".join(topics[key] for key in sorted(topics))[:60_000]
END = "<|endoftext|>"
GPT2_MERGES = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"  # sha256
# White space of all kinds, controls that only look like it, contractions, digits, letters of several scripts, marks,
# emoji joined by U+200D: what a splitting pattern gets wrong.
NASTY = [
    *"     \n\t\r\x0b\x0c\x1c\x1f\x85\xa0\u2003\u2028\u3000\u200b\ufeff\x00²Ⅷ٣é日本ßΩ\u0301😀👩\u200d👩",
    *("'s", "'ll", "'Re", " the", "ing", "  ", "12", END, *string.printable),
]


def nasty_text(rng: random.Random, length: int) -> str:
    return "".join(rng.choice(NASTY) for _ in range(length))


def plain_split(text: str) -> list[str]:
    return regex.findall(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", text)


VISIBLE = [byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "]
ID_OF_BYTE = {byte: id for id, byte in enumerate(VISIBLE + [b for b in range(256) if b not in VISIBLE])}


def plain_bytes(piece: str) -> list[int]:
    return [ID_OF_BYTE[byte] for byte in piece.encode()]


def plain_train(text: str, n_merges: int) -> list[list[int]]:
    words = [plain_bytes(piece) for piece in plain_split(text)]
    merges = []
    for new in range(256, 256 + n_merges):
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        best = max(counts.values())
        pair = min(pair for pair, count in counts.items() if count == best)
        words = [merge(word, pair, new) for word in words]
        merges.append(list(pair))
    return merges


def plain_encode(text: str, merges: list[list[int]]) -> list[int]:
    ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
    ids = []
    for piece in plain_split(text):
        word = plain_bytes(piece)
        while known := [pair for pair in pairwise(word) if pair in ranks]:
            pair = min(known, key=ranks.__getitem__)
            word = merge(word, pair, 256 + ranks[pair])
        ids += word
    return ids


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(PROSE, 700, [END, "<|pad|>"])


@pytest.fixture
def folder(tokenizer, tmp_path) -> Path:
    tokenizer.save(tmp_path)
    return tmp_path


# Training


@pytest.mark.parametrize(
    ("ids", "pair", "expected"),
    [
        ([1, 2, 3, 1, 2], (1, 2), [4, 3, 4]),
        ([1, 1, 1], (1, 1), [4, 1]),
        ([1, 1, 1, 1], (1, 1), [4, 4]),
        ([], (1, 2), []),
    ],
)
def test_merge_replaces_a_pair_from_left_to_right(ids, pair, expected):
    assert merge(ids, pair, 4) == expected


@pytest.mark.parametrize(
    "text",
    [
        PROSE[:4000],
        "aaaa aaa aaaaaaa a aaaaa baaab",  # pairs that overlap themselves
        "ab ba cd dc ac ca bd db",  # nothing but ties
        "".join(random.Random(1).choice("ab \n") for _ in range(3000)),
        "".join(random.Random(2).choice("abc") for _ in range(200)),  # one long piece
        nasty_text(random.Random(3), 1500),
    ],
    ids=["prose", "overlaps", "ties", "two letters", "one piece", "nasty"],
)
@pytest.mark.filterwarnings("ignore:vocab_size")
def test_training_equals_recounting_the_whole_text_for_each_merge(text):
    assert Tokenizer.train(text, 256 + 120).state()["merges"] == plain_train(text, 120)


def test_training_time_on_one_piece_grows_linearly():
    def cpu_seconds(n):
        start = time.process_time()
        Tokenizer.train("".join(random.Random(1).choices("abcdefgh", k=n)), 400)
        return time.process_time() - start

    # Linear is 4, quadratic would be 16. Another program can disturb a round, hardly all.
    assert any(cpu_seconds(80_000) <= 8 * cpu_seconds(20_000) + CPU_TICK for _ in range(5))


@pytest.mark.parametrize("enabled", [True, False])
def test_training_leaves_the_garbage_collector_as_it_was(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        Tokenizer.train("to be or not to be", 260)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_of_equally_frequent_pairs_the_lower_pair_of_ids_is_merged_first():
    d, e, y, z = (Tokenizer().encode(char)[0] for char in "deyz")
    assert Tokenizer.train("yz\nde", 258).state()["merges"] == [[d, e], [y, z]]


def test_the_hash_seed_does_not_change_the_merges():
    code = (
        "from pydoc_data.topics import topics; from minigpt.tokenization.tokenizer import Tokenizer;"
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


@pytest.mark.parametrize("vocab_size", [300.0, "300", True, None])
def test_a_vocabulary_size_that_is_no_integer_is_a_type_error(vocab_size):
    with pytest.raises(TypeError, match="vocab_size"):
        Tokenizer.train("abc", vocab_size)


@pytest.mark.parametrize(
    ("special_tokens", "error", "message"),
    [
        (END, TypeError, r"write \['<|endoftext|>'\]"),
        ([b"<s>"], TypeError, r"special_tokens\[0\]"),
        ([END, ""], ValueError, r"special_tokens\[1\]: empty"),
        ([END, END], ValueError, r"special_tokens\[1\]: .* a second time"),
        (["e"], ValueError, "'e' for token 68"),
        (["\ud800"], UnicodeEncodeError, "surrogate"),
    ],
)
def test_impossible_special_tokens_are_an_error(special_tokens, error, message):
    with pytest.raises(error, match=message):
        Tokenizer.train("abc", 300, special_tokens)


@pytest.mark.parametrize("merges", [[(1, 256)], [(-1, 2)], [(1, 2, 3)], [("a", "b")], [7], [(1, 2), (1, 2)]])
def test_merges_of_unknown_ids_and_repeated_merges_are_an_error(merges):
    with pytest.raises(ValueError, match=r"merges\[[01]\]"):
        Tokenizer(merges)


# Encoding


@pytest.mark.parametrize("chunk", [1, 7, 8192])  # characters
def test_splitting_in_chunks_equals_one_regex_over_the_text(monkeypatch, chunk):
    monkeypatch.setattr(bpe, "_CHUNK", chunk)
    rng = random.Random(10)
    ascii_text = "".join(rng.choice(string.printable + "  's") for _ in range(5000))
    for text in [PROSE[:5000], ascii_text, *(nasty_text(rng, rng.randrange(60)) for _ in range(300))]:
        assert [piece for pieces in bpe.split_pieces(text) for piece in pieces] == plain_split(text)


def test_every_character_splits_as_by_one_regex():
    basic = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    higher = [chr(code) for code in random.Random(14).sample(range(0x10000, 0x110000), 3000)]  # each in a text of its own
    for text in ["".join(f"{char}a {char}1{char}'s" for char in basic), *(f"a{char} {char}'s{char}1" for char in higher)]:
        assert [piece for pieces in bpe.split_pieces(text) for piece in pieces] == plain_split(text)


@pytest.mark.parametrize("chunk", [1, 7, 8192])  # characters
@pytest.mark.parametrize("long_piece", [2, 48])  # bytes
@pytest.mark.parametrize(("many", "enough"), [(1, 1), (1, 2000), (50, 2000)])  # pieces
def test_encode_equals_splitting_and_merging_pair_by_pair(monkeypatch, chunk, long_piece, many, enough):
    monkeypatch.setattr(bpe, "_CHUNK", chunk)
    monkeypatch.setattr(bpe, "_LONG_PIECE", long_piece)
    monkeypatch.setattr(bpe, "_MANY", many)
    monkeypatch.setattr(bpe, "_ENOUGH", enough)
    rng = random.Random(4)
    tokenizer = Tokenizer.train(nasty_text(rng, 3000) + PROSE[:3000], 700)  # merges of signs and controls too
    texts = [nasty_text(rng, rng.randrange(40)) for _ in range(100)] + [PROSE[:1000], "aaab" * 40, "the" * 50]
    merges = tokenizer.state()["merges"]
    assert [tokenizer.encode(text) for text in texts] == [plain_encode(text, merges) for text in texts]


def test_encode_needs_no_merge_order_that_training_could_give():
    a, b, c = (Tokenizer().encode(char)[0] for char in "abc")
    odd = Tokenizer([(b, c), (a, b), (257, c)])  # "abc" is a token, but "bc" is merged first
    assert odd.encode("abc") == [a, 256]


@pytest.mark.parametrize("most_steps", [16, 100])
@pytest.mark.parametrize("n_merges", [0, 1, 2, 3, 30, 300, 3000])
def test_merging_pieces_together_equals_merging_each(monkeypatch, n_merges, most_steps):
    monkeypatch.setattr(bpe, "_MOST_STEPS", most_steps)
    rng = random.Random(n_merges)
    merged: dict[tuple[int, int], int] = {}
    while len(merged) < n_merges:  # of any ids, low ones more often: pieces become long chains of merges
        left, right = (int((256 + len(merged)) * rng.random() ** 2) for _ in "ab")
        merged.setdefault((left, right), 256 + len(merged))
    alphabet = [*"!\"#$%&'()*+,-./0123456789", "é", "日", "\x00", "😀"]  # ids from 0
    pieces = ["".join(rng.choices(alphabet, k=rng.randrange(1, 60))) for _ in range(500)] + ["!" * 40, "'" * 41]
    alone = [bpe.apply_merges(bpe.byte_ids(piece.encode()), merged) for piece in pieces]
    table = bpe.PairTable(merged)
    together = [np.frombuffer(ids, np.uint32).tolist() for ids in table.merge(pieces)]
    for piece, ids, plain in zip(pieces, together, alone, strict=True):
        if ids or len(piece.encode()) - len(plain) <= most_steps:      # each step is one merge in a span of the piece
            assert ids == plain
    assert any(together)
    assert table.merge([]) == []


def test_bytes_meet_where_some_token_has_them_side_by_side():
    gpt2 = Tokenizer.gpt2()
    within = {pair for id in range(50256) for pair in pairwise(gpt2.token_bytes(id))}
    meet = bpe.PairTable(gpt2._pieces._merged)._meet.reshape(256, 256)
    assert within == set(zip(*(axis.tolist() for axis in np.nonzero(meet)), strict=True))


def test_a_long_text_without_spaces_is_merged_together(monkeypatch):
    gpt2 = Tokenizer.gpt2()
    monkeypatch.setattr(bpe, "apply_merges", None)          # none of its pieces is merged alone
    rng = random.Random(6)
    text = ". ".join("".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(60)) for _ in range(80))
    ids = gpt2.encode(text)
    monkeypatch.undo()
    merged = gpt2._pieces._merged
    assert ids == [id for piece in plain_split(text) for id in bpe.apply_merges(bpe.byte_ids(piece.encode()), merged)]


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


@pytest.mark.parametrize(("limit", "many"), [(10, 1 << 30), (1000, 50)], ids=["one by one", "together"])
def test_a_full_cache_changes_no_ids_and_holds_no_more_than_its_limit(tokenizer, monkeypatch, limit, many):
    monkeypatch.setattr(bpe, "_CACHED_PIECES", limit)
    monkeypatch.setattr(bpe, "_MANY", many)
    monkeypatch.setattr(bpe, "_ENOUGH", 100)
    monkeypatch.setattr(bpe, "_CHUNK", 1000)
    small = from_state(tokenizer.state())
    assert small.encode(PROSE) == tokenizer.encode(PROSE)
    assert 0 < len(small._pieces) <= limit < len(set(plain_split(PROSE)))


def test_the_memory_of_the_cache_is_bounded_by_its_number_of_pieces(monkeypatch):
    monkeypatch.setattr(bpe, "_CACHED_PIECES", 500)
    longest = "".join(chr(0x20000 + i % 997 * 41) for i in range(80 * 1000))  # 80 characters of 4 bytes, unknown to GPT-2
    pieces = [longest[start : start + 80] for start in range(0, len(longest), 80)]
    fresh = Tokenizer()
    tracemalloc.start()
    for piece in pieces:
        fresh.encode(piece)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # A text of 80 × 4 bytes, 320 ids of 4 bytes, and their share of the dict; 65,536 such are 125 MB, ordinary words 12 MB.
    assert held < 500 * 1900 + 50_000


def test_long_pieces_are_not_cached(tokenizer):
    fresh = from_state(tokenizer.state())
    fresh.encode("x" * 1000 + " short")
    assert list(fresh._pieces) == [" short"]


def test_threads_can_share_a_tokenizer(tokenizer, monkeypatch):
    monkeypatch.setattr(bpe, "_CACHED_PIECES", 50)
    shared = from_state(tokenizer.state())
    spans = [PROSE[start : start + 5000] for start in range(0, 40_000, 5000)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(shared.encode, spans)) == [tokenizer.encode(span) for span in spans]


CPU_TICK = 1 / 64 if sys.platform == "win32" else 0  # seconds that process_time counts by there


def letters(alphabet: str):
    return lambda n: "".join(random.Random(6).choices(alphabet, k=n))


def repeated(unit: str):
    return lambda n: (unit * (n // len(unit) + 1))[:n]


ADVERSARIES = {
    "one letter": repeated("a"),
    "two letters in turn": repeated("ab"),
    "a word without end": repeated("the"),
    "a word of words": repeated("internationalisation"),
    "two random letters": letters("ab"),
    "random letters": letters("abcdefghijklmnopqrstuvwxyz"),
    "one digit": repeated("0"),
    "random digits": letters("0123456789"),
    "spaces": repeated(" "),
    "line feeds": repeated("\n"),
    "random white space": letters(" \t\n\r\x0b\x0c\xa0\u2003\u3000"),
    "spaces before each letter": repeated("         a"),
    "one sign": repeated("!"),
    "apostrophes": repeated("'"),
    "contractions": repeated("'ll've're"),
    "emoji": repeated("😀"),
    "emoji joined into one": repeated("👩\u200d"),
    "accents on one letter": repeated("\u0301"),
    "random letters of Chinese": letters("".join(map(chr, range(0x4E00, 0x5000)))),
    "special tokens almost": repeated("<|endoftext|"),
    "words that never come back": lambda n: " ".join(f"{i * 7919 % 100_000:b}" for i in range(n))[:n],
    "controls": letters("\x00\x01\x1c\x1f\x7f\x85"),
}


@pytest.mark.parametrize("make", ADVERSARIES.values(), ids=ADVERSARIES)
def test_encoding_time_grows_linearly(make):
    gpt2 = Tokenizer.gpt2()

    def cpu_seconds(texts):
        start = time.process_time()
        for text in texts:
            gpt2._pieces.clear()
            gpt2.encode(text)
        return time.process_time() - start

    text = make(16_000)
    eighths = [text[start : start + 2000] for start in range(0, len(text), 2000)]
    assert len(eighths) == 8
    # The whole against all its eighths, not one: equal amounts of text are as hard to time and to keep in the processor's
    # cache. Linear is 1; 14/8 leaves room for n log n; quadratic would be 8. Another program can disturb a round, hardly all.
    assert any(cpu_seconds([text]) <= 14 / 8 * cpu_seconds(eighths) + CPU_TICK for _ in range(5))


def test_special_text_in_a_plain_call_is_an_error_that_names_it(tokenizer):
    with pytest.raises(ValueError, match=r"special token '<\|endoftext\|>' at index 3"):
        tokenizer.encode(f"abc{END}<|pad|>")


@pytest.mark.parametrize("allowed", ["all", {END, "<|pad|>"}, [END, "<|pad|>"]])
def test_allowed_special_tokens_become_their_ids(tokenizer, allowed):
    ids = tokenizer.encode(f"a{END}{END} b<|pad|>", allowed_special=allowed)
    assert ids == [*tokenizer.encode("a"), 698, 698, *tokenizer.encode(" b"), 699]


def test_special_tokens_neither_allowed_nor_disallowed_are_plain_text(tokenizer):
    text = f"a{END}<|pad|>"
    ids = tokenizer.encode(text, allowed_special={"<|pad|>"}, disallowed_special=())
    assert ids == [*plain_encode(f"a{END}", tokenizer.state()["merges"]), 699]
    assert tokenizer.decode(ids) == text


def test_allowing_one_special_token_leaves_the_others_refused(tokenizer):
    with pytest.raises(ValueError, match="pad"):
        tokenizer.encode("<|pad|>", allowed_special={END})


def test_disallowed_wins_over_allowed(tokenizer):
    with pytest.raises(ValueError, match="endoftext"):
        tokenizer.encode(END, allowed_special="all", disallowed_special={END})


def test_of_two_special_tokens_that_fit_the_longer_is_taken():
    tokenizer = Tokenizer((), ["<s>", "<s>!"])
    assert tokenizer.encode("<s>!<s>", allowed_special="all") == [257, 256]


def test_an_allowed_text_that_is_no_special_token_stays_plain_text(tokenizer):
    assert tokenizer.encode("a the", allowed_special={"the"}) == tokenizer.encode("a the")


def test_any_text_can_be_refused(tokenizer):
    with pytest.raises(ValueError, match=r"'secret' at index 2, expected plain text; disallowed_special=\(\) to"):
        tokenizer.encode("a secret", disallowed_special={"secret"})


@pytest.mark.parametrize("argument", ["allowed_special", "disallowed_special"])
def test_a_bare_special_token_instead_of_a_collection_is_an_error(tokenizer, argument):
    with pytest.raises(TypeError, match=f"{argument}: '<|pad|>'".replace("|", r"\|")):
        tokenizer.encode("a", **{argument: "<|pad|>"})


@pytest.mark.parametrize("text", [b"abc", None, ["abc"], 5])
def test_text_that_is_not_str_is_a_type_error(tokenizer, text):
    for call in (
        tokenizer.encode,
        tokenizer.encode_array,
        CharTokenizer("abc").encode,
        lambda t: Tokenizer.train(t, 300),
    ):
        with pytest.raises(TypeError, match=r"text: .* expected str"):
            call(text)


def test_a_lone_surrogate_is_an_error_at_its_position(tokenizer):
    with pytest.raises(UnicodeEncodeError, match="lone surrogate") as info:
        tokenizer.encode("né\ud800!")
    assert (info.value.start, info.value.end) == (2, 3)


def test_a_lone_surrogate_can_be_replaced_on_request(tokenizer):
    text = "\ufeffné\ud800!\ud83d\ude00"
    assert tokenizer.decode(tokenizer.encode(text, errors="replace")) == "\ufeffné\ufffd!😀"


def test_an_unknown_way_of_handling_errors_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="errors: 'ignroe'"):
        tokenizer.encode("abc", errors="ignroe")


# Batches, offsets, explanations


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


def test_special_text_is_refused_by_offsets_and_explanations_too(tokenizer):
    for call in (tokenizer.encode_with_offsets, tokenizer.explain):
        with pytest.raises(ValueError, match="special token"):
            call(END)


def test_an_explanation_shows_each_merge_of_each_piece():
    shown = """\
'é'
  \\xc3 \\xa9
  é              \\xc3 + \\xa9 = é, 2634
2634
' lowest'
  ␣ l o w e s t
  ␣ l o w es t       e + s = es, 274
  ␣l o w es t        ␣ + l = ␣l, 300
  ␣l ow es t         o + w = ow, 322
  ␣l ow est          es + t = est, 395
  ␣low est           ␣l + ow = ␣low, 1877
  ␣lowest            ␣low + est = ␣lowest, 9016
9016
'<|endoftext|>'
  <|endoftext|>
50256
'\\n'
  \\n
198"""
    explanation = Tokenizer.gpt2().explain(f"é lowest{END}\n", allowed_special="all")
    assert str(explanation) == repr(explanation) == shown


def test_explanations_begin_with_the_bytes_and_end_with_the_tokens():
    rng, gpt2 = random.Random(12), Tokenizer.gpt2()
    for text in [PROSE[:500], *(nasty_text(rng, 30) for _ in range(50))]:
        pieces = gpt2.explain(text, disallowed_special=()).pieces
        assert [id for _, steps in pieces for id in steps[-1]] == gpt2.encode(text, disallowed_special=())
        assert [id for _, steps in pieces for id in steps[0]] == Tokenizer().encode(text)


def test_each_step_of_an_explanation_is_one_merge_of_the_lowest_id():
    gpt2 = Tokenizer.gpt2()
    merges = gpt2.state()["merges"]
    for _, steps in gpt2.explain(PROSE[:300]).pieces:
        for before, after in pairwise(steps):
            possible = [merges.index(list(pair)) for pair in pairwise(before) if list(pair) in merges[: max(after)]]
            assert after == merge(before, tuple(merges[min(possible)]), 256 + min(possible))


# Decoding


BOTH = pytest.mark.parametrize("any_tokenizer", [Tokenizer(), CharTokenizer("abc")], ids=["bytes", "chars"])


@BOTH
@pytest.mark.parametrize("id", [-1, 256, 10**12])
def test_an_id_outside_the_vocabulary_is_an_error_with_id_and_index(any_tokenizer, id):
    for ids in ([0, 1, id], np.array([0, 1, id])):
        with pytest.raises(ValueError, match=rf"ids\[2\]: {id}, expected an id from 0 to {len(any_tokenizer) - 1}"):
            any_tokenizer.decode(ids)


@BOTH
@pytest.mark.parametrize("id", [1.0, "1", True, None, np.float32(1), np.True_])
def test_an_id_that_is_no_integer_is_a_type_error(any_tokenizer, id):
    with pytest.raises(TypeError, match=r"ids\[1\]"):
        any_tokenizer.decode([0, id])


@BOTH
@pytest.mark.parametrize("ids", [5, None, "12", b"12", np.array([1.0]), np.array([True])])
def test_ids_that_are_no_sequence_of_integers_are_a_type_error(any_tokenizer, ids):
    with pytest.raises(TypeError, match="ids: "):
        any_tokenizer.decode(ids)


def test_an_array_of_several_rows_is_an_error():
    with pytest.raises(ValueError, match=r"shape \(2, 5\)"):
        Tokenizer().decode(np.zeros((2, 5), int))


@pytest.mark.parametrize(
    "convert", [tuple, iter, np.array, lambda ids: np.array(ids, np.uint8), lambda ids: map(np.int64, ids)]
)
def test_ids_can_be_any_iterable_of_integers(convert):
    ids = Tokenizer().encode("any")
    assert Tokenizer().decode(convert(ids)) == "any"


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


# Characters


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


# GPT-2's own


def test_the_merge_table_of_gpt2_is_the_published_one():
    table = gzip.decompress((Path(bpe.__file__).parents[1] / "assets" / "gpt2" / "merges.txt.gz").read_bytes())
    assert hashlib.sha256(table).hexdigest() == GPT2_MERGES


def test_the_vocabulary_derived_for_gpt2_is_the_published_one(tmp_path):
    Tokenizer.gpt2().save(tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))  # as OpenAI's encoder.json writes it:
    assert hashlib.sha256(json.dumps(vocab).encode()).hexdigest() == (
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
    )


def test_gpt2_saves_its_own_merges_and_loads_them(tmp_path):
    Tokenizer.gpt2().save(tmp_path)
    assert hashlib.sha256((tmp_path / "merges.txt").read_bytes()).hexdigest() == GPT2_MERGES
    assert load(tmp_path) == Tokenizer.gpt2()


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


# Saving and loading


def test_load_returns_what_was_saved(tokenizer, folder):
    assert Tokenizer.load(folder) == load(folder) == tokenizer
    assert Tokenizer.load(str(folder)).encode(PROSE) == tokenizer.encode(PROSE)


def test_saved_files_are_those_of_gpt2(tokenizer, folder):
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    assert (lines[0], len(lines), lines[-1]) == ("#version: 0.2", 1 + 442 + 1, "")
    assert "Ġ t" in lines
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert (len(vocab), vocab["!"], vocab["Ġ"], vocab["Ċ"], vocab["ÿ"], vocab[END]) == (700, 0, 220, 198, 187, 698)
    assert vocab[lines[-2].replace(" ", "")] == 697
    assert json.loads((folder / "added_tokens.json").read_text(encoding="utf-8")) == tokenizer.special_tokens


def test_saving_again_leaves_nothing_of_the_tokenizer_before(folder):
    Tokenizer().save(folder)
    assert load(folder) == Tokenizer()


def test_windows_line_ends_in_merges_are_accepted(tokenizer, folder):
    path = folder / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load(folder) == tokenizer


def test_gpt2s_own_files_need_no_list_of_special_tokens(tmp_path):
    Tokenizer([(0, 1)], [END]).save(tmp_path)
    (tmp_path / "added_tokens.json").unlink()
    assert load(tmp_path) == Tokenizer([(0, 1)], [END])


def test_special_tokens_can_stand_in_added_tokens_alone(tmp_path):
    Tokenizer([(0, 1)]).save(tmp_path)
    (tmp_path / "added_tokens.json").write_text('{"<|a|>": 257, "<|b|>": 258}', encoding="utf-8")
    assert load(tmp_path) == Tokenizer([(0, 1)], ["<|a|>", "<|b|>"])


def write_ranks(tokenizer, path) -> Path:
    ordinary = range(tokenizer.vocab_size - len(tokenizer.special_tokens))
    lines = [base64.b64encode(tokenizer.token_bytes(rank)) + b" %d\n" % rank for rank in ordinary]
    path.write_bytes(b"".join(lines))
    return path


def test_a_trained_tokenizer_comes_back_from_tiktokens_ranks(tokenizer, tmp_path):
    path = write_ranks(tokenizer, tmp_path / "ranks.tiktoken")
    assert Tokenizer.from_tiktoken(path, [END, "<|pad|>"]) == tokenizer


def test_a_tokenizer_trained_on_text_that_overlaps_itself_comes_back_from_ranks(tmp_path):
    rng = random.Random(14)
    tokenizer = Tokenizer.train("".join(rng.choice("aab ") for _ in range(3000)), 500)
    assert Tokenizer.from_tiktoken(write_ranks(tokenizer, tmp_path / "ranks")) == tokenizer


def test_gpt2_comes_back_from_tiktokens_ranks(tmp_path):
    path = write_ranks(Tokenizer.gpt2(), tmp_path / "r50k_base.tiktoken")
    assert Tokenizer.from_tiktoken(path, [END]) == Tokenizer.gpt2()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: lines.insert(300, lines[299]), "line 301: .* expected a token in base64, a space and 300"),
        (lambda lines: lines.__setitem__(300, lines[299].split()[0] + " 300"), "line 301: .* again, expected a new"),
        (lambda lines: lines.__setitem__(300, "???? 300"), r"line 301: '\?\?\?\? 300', expected"),
        (lambda lines: lines.__setitem__(300, "dGg="), "line 301: 'dGg=', expected"),
        (lambda lines: lines.__setitem__(300, "cXp4 300"), "line 301: b'qzx' is made of 3 earlier tokens, expected two"),
        (lambda lines: lines.__setitem__(3, "AAA= 3"), r"line 4: b'\\x00\\x00', expected the byte b'\$'"),
        (lambda lines: lines.__delitem__(slice(200, None)), "line 200: the end, expected the 256 bytes first"),
        (lambda lines: lines.__delitem__(slice(None)), "line 1: '', expected"),
    ],
)
def test_a_damaged_file_of_ranks_is_an_error_with_its_line(tokenizer, tmp_path, edit, message):
    path = write_ranks(tokenizer, tmp_path / "ranks")
    edit_lines(path, edit)
    with pytest.raises(ValueError, match=f"ranks {message}"):
        Tokenizer.from_tiktoken(path)


def test_a_missing_file_of_ranks_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tiktoken"):
        Tokenizer.from_tiktoken(tmp_path / "none.tiktoken")


def test_tokenizer_json_holds_the_vocabulary_the_merges_and_the_special_tokens(folder):
    saved = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert saved["model"]["vocab"] == json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert saved["model"]["merges"] == (folder / "merges.txt").read_text(encoding="utf-8").split("\n")[1:-1]
    assert {token["content"]: token["id"] for token in saved["added_tokens"]} == {END: 698, "<|pad|>": 699}


def test_characters_load_as_saved(tmp_path):
    CharTokenizer("b\n😀a").save(tmp_path / "new" / "folder")
    assert load(tmp_path / "new" / "folder") == CharTokenizer("b\n😀a")
    assert CharTokenizer.load(tmp_path / "new" / "folder").encode("a\n") == [3, 1]


@pytest.mark.parametrize("line", [2, 3, 20, 443])
def test_a_missing_merge_is_an_error_with_file_and_line(folder, line):
    edit_lines(folder / "merges.txt", lambda lines: lines.pop(line - 1))
    with pytest.raises(ValueError, match=r"merges.txt line \d+|line \d+ of merges.txt"):
        load(folder)


def test_a_repeated_merge_is_an_error_with_both_lines(folder):
    edit_lines(folder / "merges.txt", lambda lines: lines.insert(30, lines[9]))
    with pytest.raises(ValueError, match=r"merges.txt line 31: makes .* again.* line 10 has it"):
        load(folder)


@pytest.mark.parametrize("broken", ["", "Ġ", "Ġ t x", "Ġ  t", "日 t"])
def test_a_line_that_is_no_merge_is_an_error_with_its_number(folder, broken):
    edit_lines(folder / "merges.txt", lambda lines: lines.insert(4, broken))
    with pytest.raises(ValueError, match=r"merges.txt line 5: "):
        load(folder)


def test_a_merge_used_before_it_is_made_is_an_error_with_its_line(tmp_path):
    Tokenizer([(0, 1), (256, 2)]).save(tmp_path)
    edit_lines(tmp_path / "merges.txt", lambda lines: lines.insert(1, lines.pop()))
    with pytest.raises(ValueError, match=r"merges.txt line 2: '!\"' is not known here"):
        load(tmp_path)


def test_merges_without_their_first_line_are_an_error(folder):
    edit_lines(folder / "merges.txt", lambda lines: lines.pop(0))
    with pytest.raises(ValueError, match=r"merges.txt line 1: .*expected '#version: 0.2'"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda vocab: vocab.pop("A"), "'A' has id None, expected 32: it is a byte"),
        (lambda vocab: vocab.update(A=33, B=32), "'A' has id 33, expected 32"),
        (lambda vocab: vocab.pop("Ġt"), r"'Ġt' has id None, .* line \d+ of merges.txt"),
        (lambda vocab: vocab.update({END: 705}), "added_tokens.json: .* has id 698, expected 705"),
        (lambda vocab: vocab.update({"<|new|>": 701}), "vocab.json: no token has id 700"),
        (lambda vocab: vocab.update({"<|new|>": 699}), "vocab.json: no token has id 700"),
        (lambda vocab: vocab.update({"<|new|>": 700}), r"merges.txt line 444: the end, but '<\|new\|>'"),
        (lambda vocab: vocab.update(A="32"), "'A' has id '32', expected an integer"),
        (lambda vocab: vocab.update(A=True), "'A' has id True, expected an integer"),
    ],
)
def test_a_vocabulary_that_does_not_fit_the_merges_is_an_error(folder, change, message):
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    change(vocab)
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "added_tokens.json"])
def test_every_truncation_of_a_file_is_an_error_that_names_it(folder, name):
    whole = (folder / name).read_bytes()
    for length in {0, 1, 5, len(whole) // 2, len(whole) - 3}:
        (folder / name).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"vocab.json|merges.txt" if name == "merges.txt" else name):
            load(folder)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "chars.json"])
def test_bytes_that_are_not_utf8_are_an_error_with_their_place(folder, name):
    CharTokenizer("abc").save(folder)
    (folder / name).write_bytes(b"#version\xff")
    with pytest.raises(ValueError, match=f"{name}: invalid UTF-8 at byte 8"):
        (CharTokenizer if name == "chars.json" else Tokenizer).load(folder)


@pytest.mark.parametrize("content", ["[]", "{}", '{"type": "char"}', '{"type": "char", "chars": ["ab"]}', "{", ""])
def test_a_damaged_chars_file_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "chars.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"chars.json"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_missing_file_is_an_error_that_names_it(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load(folder)


def test_a_folder_without_a_tokenizer_is_an_error_that_says_what_is_expected(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=r"vocab.json and merges.txt, or chars.json"):
            load(folder)


def test_a_folder_with_two_tokenizers_is_an_error(folder):
    CharTokenizer("abc").save(folder)
    with pytest.raises(ValueError, match=r"vocab.json and chars.json, expected one"):
        load(folder)


def test_state_survives_json(tokenizer):
    for original in (tokenizer, CharTokenizer("b\n😀a")):
        copy = from_state(json.loads(json.dumps(original.state())))
        assert copy == original
        assert copy.state() == original.state()


@pytest.mark.parametrize(
    "state",
    [
        {},
        None,
        {"type": "bpe"},
        {"type": "other", "chars": ["a"]},
        {"type": "bpe", "merges": [[1]], "special_tokens": []},
    ],
)
def test_a_state_of_another_form_is_an_error(state):
    with pytest.raises(ValueError, match=r"state: |merges"):
        from_state(state)


def test_tokenizers_are_equal_when_they_give_the_same_ids():
    assert Tokenizer([(0, 1)], [END]) == Tokenizer([[0, 1]], (END,))
    assert Tokenizer([(0, 1)]) != Tokenizer([(1, 0)])
    assert Tokenizer([(0, 1)]) != Tokenizer([(0, 1)], [END])
    assert CharTokenizer("ab") != CharTokenizer("ba")
    assert Tokenizer() != CharTokenizer("ab")


def test_repr_says_what_the_tokenizer_holds(tokenizer):
    assert repr(tokenizer) == f"Tokenizer(vocab_size=700, special_tokens=['{END}', '<|pad|>'])"
    assert repr(CharTokenizer("abc")) == "CharTokenizer('abc', vocab_size=3)"


def test_the_script_writes_a_tokenizer_that_loads(tmp_path):
    (tmp_path / "text").write_bytes(b"low lower lowest\r\n" * 9)
    command = [sys.executable, ROOT / "scripts" / "train_tokenizer.py", "--data", "text", "--out", "out"]
    run = subprocess.run(
        [*command, "--vocab-size", "260", "--special", END],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["read", "trained", "wrote", "example"]
    assert load(tmp_path / "out") == Tokenizer.train("low lower lowest\r\n" * 9, 260, [END])


# The same ids as others give


@pytest.mark.reference
def test_encode_equals_tiktoken(tokenizer):
    pytest.importorskip("tiktoken")
    reference, rng = tiktoken_encoding(tokenizer), random.Random(7)
    for text in [PROSE, *(nasty_text(rng, rng.randrange(60)) for _ in range(5000))]:
        assert tokenizer.encode(text, allowed_special="all") == reference.encode(text, allowed_special="all")


@pytest.mark.reference
@pytest.mark.parametrize("seed", range(2, 6))
def test_gpt2_equals_tiktoken_and_hugging_face_on_strings_of_every_kind(tmp_path, seed):
    pytest.importorskip("tiktoken")
    pytest.importorskip("tokenizers")
    gpt2 = Tokenizer.gpt2()
    gpt2.save(tmp_path)
    encoding, hugging_face = tiktoken_encoding(gpt2), tokenizers_tokenizer(tmp_path)
    for text in random_strings(seed, 2500):
        ids = gpt2.encode(text, disallowed_special=())
        assert ids == encoding.encode(text, disallowed_special=())
        assert ids == hugging_face.encode(text).ids
        assert gpt2.decode(ids) == text


@pytest.mark.reference
def test_offsets_equal_those_of_hugging_face(tmp_path):
    pytest.importorskip("tokenizers")
    gpt2 = Tokenizer.gpt2()
    gpt2.save(tmp_path)
    reference = tokenizers_tokenizer(tmp_path)
    for text in random_strings(9, 2000):
        encoding = reference.encode(text)
        assert gpt2.encode_with_offsets(text, disallowed_special=()) == (encoding.ids, encoding.offsets)


@pytest.mark.reference
@pytest.mark.parametrize("allowed", ["all", set(), {END}, {"<|pad|>"}, {END, "<|pad|>"}, {"the", END}])
@pytest.mark.parametrize("disallowed", ["all", (), {END}, {"<|pad|>"}, {END, "<|pad|>"}, {"the"}])
def test_special_tokens_mean_what_they_mean_in_tiktoken(tokenizer, allowed, disallowed):
    pytest.importorskip("tiktoken")
    reference, rng = tiktoken_encoding(tokenizer), random.Random(13)

    def ids_or_error(encode, text):
        try:
            return encode(text, allowed_special=allowed, disallowed_special=disallowed)
        except ValueError:
            return ValueError

    for _ in range(100):
        text = "".join(rng.choices([END, "<|pad|>", "<|pad|", " the", "a", "\n"], k=rng.randrange(5)))
        assert ids_or_error(tokenizer.encode, text) == ids_or_error(reference.encode, text)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["gpt2", "trained"])
def test_tokenizers_reads_the_saved_tokenizer_json(tokenizer, tmp_path, name):
    tokenizers = pytest.importorskip("tokenizers")
    ours = Tokenizer.gpt2() if name == "gpt2" else tokenizer
    ours.save(tmp_path)
    reference, rng = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")), random.Random(15)
    assert reference.get_vocab_size() == len(ours)
    for text in [PROSE, *random_strings(10, 1000), *(nasty_text(rng, rng.randrange(60)) for _ in range(1000))]:
        encoding = reference.encode(text)
        assert ours.encode_with_offsets(text, allowed_special="all") == (encoding.ids, encoding.offsets)
        assert reference.decode(encoding.ids, skip_special_tokens=False) == text


@pytest.mark.reference
def test_tiktoken_reads_the_ranks_that_these_tests_write(tokenizer, tmp_path):
    tiktoken_load = pytest.importorskip("tiktoken.load")
    path = write_ranks(tokenizer, tmp_path / "ranks.tiktoken")
    assert tiktoken_load.load_tiktoken_bpe(str(path)) == tiktoken_encoding(tokenizer)._mergeable_ranks


@pytest.mark.reference
def test_transformers_reads_the_saved_folder(tokenizer, folder):
    transformers = pytest.importorskip("transformers")
    reference, rng = transformers.GPT2Tokenizer.from_pretrained(folder), random.Random(8)
    assert len(reference) == len(tokenizer)
    for text in [PROSE, *(nasty_text(rng, rng.randrange(60)) for _ in range(1000))]:
        assert tokenizer.encode(text, allowed_special="all") == reference.encode(text)


@pytest.mark.reference
def test_training_equals_hugging_faces_trainer():
    tokenizers = pytest.importorskip("tokenizers")
    reference = tokenizers.Tokenizer(tokenizers.models.BPE())
    reference.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
    reference.train_from_iterator([PROSE], trainer)
    assert Tokenizer.train(PROSE, 2000).encode(PROSE) == reference.encode(PROSE).ids


def edit_lines(path: Path, edit) -> None:
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    edit(lines)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
