"""The engine against the textbook, by name: the same pieces, the same merges, the same ids; and what it costs."""

import gc
import heapq
import inspect
import random
import string
import sys
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from minigpt.tokenization import Tokenizer, bpe, fast, from_state, split
from texts import PROSE, nasty_text

TWINS = {"split_pieces": split, "learn_merges": bpe, "apply_merges": bpe}  # name -> where the textbook has it


def test_every_function_of_the_engine_has_a_twin_in_the_textbook():
    functions = [name for name in fast.__all__ if inspect.isfunction(getattr(fast, name))]
    assert sorted(functions) == sorted(TWINS)
    for name, textbook in TWINS.items():
        plain, tuned = (inspect.signature(getattr(module, name)).parameters for module in (textbook, fast))
        assert list(tuned)[: len(plain)] == list(plain)


def flat(parts) -> list[str]:
    return [piece for part in parts for piece in part]


def textbook_encode(text: str, tokenizer: Tokenizer) -> list[int]:
    merged = {tuple(pair): new for new, pair in enumerate(tokenizer.state()["merges"], start=256)}
    pieces = flat(split.split_pieces(text))
    return [id for piece in pieces for id in bpe.apply_merges(bpe.byte_ids(piece.encode()), merged)]


def random_merges(rng: random.Random, n_merges: int) -> dict[tuple[int, int], int]:
    """Merges of any ids, low ones more often, so that pieces become long chains of merges."""
    merged: dict[tuple[int, int], int] = {}
    while len(merged) < n_merges:
        left, right = (int((256 + len(merged)) * rng.random() ** 2) for _ in "ab")
        merged.setdefault((left, right), 256 + len(merged))
    return merged


# Splitting


@pytest.mark.parametrize("part_length", [1, 7, 8192])  # characters
def test_splitting_part_by_part_equals_one_regex_over_the_text(monkeypatch, part_length):
    monkeypatch.setattr(fast.split, "_PART_LENGTH", part_length)
    rng = random.Random(10)
    ascii_text = "".join(rng.choice(string.printable + "  's") for _ in range(5000))
    for text in [PROSE[:5000], ascii_text, *(nasty_text(rng, rng.randrange(60)) for _ in range(300))]:
        assert flat(fast.split_pieces(text)) == flat(split.split_pieces(text))


def test_every_character_splits_as_by_one_regex():
    basic = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    higher = [chr(code) for code in random.Random(14).sample(range(0x10000, 0x110000), 3000)]  # each in a text of its own
    for text in ["".join(f"{char}a {char}1{char}'s" for char in basic), *(f"a{char} {char}'s{char}1" for char in higher)]:
        assert flat(fast.split_pieces(text)) == flat(split.split_pieces(text))


# Learning and applying merges


def random_counts(rng: random.Random, kind: str) -> dict[str, int]:
    """The pieces of a small text and how often it has them, in any order."""
    alphabet, length, times = {
        "ties": ("abcd", 2, 1),  # many pairs, each once
        "overlaps": ("a", 9, 3),
        "two letters": ("ab", 12, 9),
        "letters": ("abcdefghij ", 7, 100),
        "unicode": ("aé日本😀\u0301\x00Ω", 5, 5),
        "one long piece": ("abc", 300, 1),
    }[kind]
    count = 1 if kind == "one long piece" else rng.randrange(30)
    pieces = ("".join(rng.choices(alphabet, k=rng.randrange(1, length + 1))) for _ in range(count))
    return {piece: rng.randrange(1, times + 1) for piece in pieces}


@pytest.mark.parametrize("kind", ["ties", "overlaps", "two letters", "letters", "unicode", "one long piece"])
def test_both_learn_the_same_merges_and_apply_them_to_the_same_ids(kind):
    for seed in range(25):
        rng = random.Random(seed)
        counts = random_counts(rng, kind)
        for n_merges in (0, 1, rng.randrange(2, 40), 1000):  # 1000 are more than there are pairs
            merges = bpe.learn_merges(counts, n_merges)
            assert fast.learn_merges(counts, n_merges) == merges
        merged = {pair: new for new, pair in enumerate(merges, start=256)}
        for piece in [*counts, *random_counts(rng, kind)]:
            ids = bpe.byte_ids(piece.encode())
            assert fast.apply_merges(list(ids), merged) == bpe.apply_merges(list(ids), merged)


# bytes: in linked lists of 8, 24 and 48 bytes, in a list
@pytest.mark.parametrize(("long_piece", "window"), [(2, 8), (2, 24), (2, 48), (48, 48)])
@pytest.mark.parametrize("n_merges", [1, 10, 100, 1000])
def test_both_apply_merges_that_no_text_would_give(monkeypatch, long_piece, window, n_merges):
    monkeypatch.setattr(fast.merging, "_LONG_PIECE", long_piece)
    monkeypatch.setattr(fast.merging, "_WINDOW", window)
    for seed in range(20):
        rng = random.Random(seed)
        merged = random_merges(rng, n_merges)
        for _ in range(20):
            ids = [int(30 * rng.random() ** 2) for _ in range(rng.randrange(45))]
            assert fast.apply_merges(list(ids), merged) == bpe.apply_merges(list(ids), merged)


@pytest.mark.parametrize("window", [8, 24])  # bytes
def test_windows_see_as_far_to_the_right_as_the_merges_reach(monkeypatch, window):
    monkeypatch.setattr(fast.merging, "_WINDOW", window)
    # 198 and 199 first, then 197 and 198: so an id more at the end shifts all the pairs before it by one.
    merged = {(left, left + 1): 256 + 198 - left for left in range(198, -1, -1)}
    for n in range(49, 201):
        assert fast.apply_merges(list(range(n)), merged) == bpe.apply_merges(list(range(n)), merged)


def test_a_token_may_be_longer_than_a_window(monkeypatch):
    monkeypatch.setattr(fast.merging, "_WINDOW", 8)  # bytes
    merged = {(0, 0): 256} | {(new, new): new + 1 for new in range(256, 262)}  # 2, 4, … 128 bytes of one kind
    for n in range(49, 300, 7):
        assert fast.apply_merges([0] * n, merged) == bpe.apply_merges([0] * n, merged)


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
    counts = Counter(flat(split.split_pieces(text)))
    assert Tokenizer.train(text, 256 + 120).state()["merges"] == list(map(list, bpe.learn_merges(counts, 120)))


@pytest.mark.parametrize("length", [5_000, 40_000])  # characters
def test_training_on_one_piece_takes_steps_in_proportion_to_its_length(length):
    steps = characters = 0

    def count(frame, event, called):
        nonlocal steps, characters
        if event == "c_call" and frame.f_code.co_filename == fast.learning.__file__:
            steps += 1
            if called.__name__ == "replace":
                characters += len(called.__self__)

    piece = "".join(random.Random(1).choices("abcdefgh", k=length))
    sys.setprofile(count)
    try:
        fast.learn_merges({piece: 1}, 150)
    finally:
        sys.setprofile(None)
    assert length < steps < 8 * length  # a few for each place where a pair is merged, and for each pair
    assert characters < 150 * length  # each merge reads the piece once


@pytest.mark.parametrize("enabled", [True, False])
def test_training_leaves_the_garbage_collector_as_it_was(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        Tokenizer.train("to be or not to be", 260)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


# Encoding whole texts


@pytest.mark.parametrize("part_length", [1, 7, 8192])  # characters
@pytest.mark.parametrize("long_piece", [2, 48])  # bytes
@pytest.mark.parametrize(("min_together", "new_per_round"), [(1, 1), (1, 2000), (50, 2000)])  # pieces
def test_encode_equals_splitting_and_merging_pair_by_pair(monkeypatch, part_length, long_piece, min_together, new_per_round):
    monkeypatch.setattr(fast.split, "_PART_LENGTH", part_length)
    monkeypatch.setattr(fast.merging, "_LONG_PIECE", long_piece)
    monkeypatch.setattr(fast.piece_cache, "_MIN_TOGETHER", min_together)
    monkeypatch.setattr(fast.piece_cache, "_NEW_PER_ROUND", new_per_round)
    rng = random.Random(4)
    tokenizer = Tokenizer.train(nasty_text(rng, 3000) + PROSE[:3000], 700)  # merges of signs and controls too
    texts = [nasty_text(rng, rng.randrange(40)) for _ in range(100)] + [PROSE[:1000], "aaab" * 40, "the" * 50]
    assert [tokenizer.encode(text) for text in texts] == [textbook_encode(text, tokenizer) for text in texts]


@pytest.mark.parametrize("max_steps", [16, 100])
@pytest.mark.parametrize("n_merges", [0, 1, 2, 3, 30, 300, 3000])
def test_merging_pieces_together_equals_merging_each(monkeypatch, n_merges, max_steps):
    monkeypatch.setattr(fast.pair_table, "_MAX_STEPS", max_steps)
    rng = random.Random(n_merges)
    merged = random_merges(rng, n_merges)
    alphabet = [*"!\"#$%&'()*+,-./0123456789", "é", "日", "\x00", "😀"]  # ids from 0
    pieces = ["".join(rng.choices(alphabet, k=rng.randrange(1, 60))) for _ in range(500)] + ["!" * 40, "'" * 41]
    alone = [fast.apply_merges(bpe.byte_ids(piece.encode()), merged) for piece in pieces]
    table = fast.PairTable(merged)
    together = [np.frombuffer(ids, np.uint32).tolist() for ids in table.merge(pieces)]
    for piece, ids, plain in zip(pieces, together, alone, strict=True):
        if ids or len(piece.encode()) - len(plain) <= max_steps:      # each step is one merge in a span of the piece
            assert ids == plain
    assert any(together)
    assert table.merge([]) == []


def test_bytes_meet_where_some_token_has_them_side_by_side():
    gpt2 = Tokenizer.gpt2()
    within = {pair for id in range(50256) for pair in pairwise(gpt2.token_bytes(id))}
    meet = fast.PairTable(gpt2._pieces._merged)._meet.reshape(256, 256)
    assert within == set(zip(*(axis.tolist() for axis in np.nonzero(meet)), strict=True))


def test_a_long_text_without_spaces_is_merged_together(monkeypatch):
    gpt2 = Tokenizer.gpt2()
    monkeypatch.setattr(fast.piece_cache, "apply_merges", None)          # none of its pieces is merged alone
    rng = random.Random(6)
    text = ". ".join("".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(60)) for _ in range(80))
    ids = gpt2.encode(text)
    monkeypatch.undo()
    assert ids == textbook_encode(text, gpt2)


@pytest.mark.parametrize(("limit", "min_together"), [(10, 1 << 30), (1000, 50)], ids=["one by one", "together"])
def test_a_full_cache_changes_no_ids_and_holds_no_more_than_its_limit(tokenizer, monkeypatch, limit, min_together):
    monkeypatch.setattr(fast.piece_cache, "_MAX_PIECES", limit)
    monkeypatch.setattr(fast.piece_cache, "_MIN_TOGETHER", min_together)
    monkeypatch.setattr(fast.piece_cache, "_NEW_PER_ROUND", 100)
    monkeypatch.setattr(fast.split, "_PART_LENGTH", 1000)
    small = from_state(tokenizer.state())
    assert small.encode(PROSE) == tokenizer.encode(PROSE)
    assert 0 < len(small._pieces) <= limit < len(set(flat(split.split_pieces(PROSE))))


def test_the_memory_of_the_cache_is_bounded_by_its_number_of_pieces(monkeypatch):
    monkeypatch.setattr(fast.piece_cache, "_MAX_PIECES", 500)
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
    monkeypatch.setattr(fast.piece_cache, "_MAX_PIECES", 50)
    shared = from_state(tokenizer.state())
    spans = [PROSE[start : start + 5000] for start in range(0, 40_000, 5000)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(shared.encode, spans)) == [tokenizer.encode(span) for span in spans]


# Work and memory


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


class CountedMerges(dict):
    """Merges that count how often a pair is looked up."""

    looked_up = 0

    def get(self, *args):
        self.looked_up += 1
        return super().get(*args)


def steps_of_encoding(text: str, monkeypatch) -> Counter[str]:
    """Count what encoding a text does, with GPT-2's merges and an empty cache."""
    steps: Counter[str] = Counter()

    def counted(kind, function, amount):
        def call(*args):
            steps[kind] += amount(*args)
            return function(*args)

        return call

    merges = CountedMerges(Tokenizer.gpt2()._merged)
    with_classes, higher = fast.split.with_classes, fast.split._HIGHER

    def counted_pattern(*args):
        pattern = with_classes(*args)
        passed = counted("characters passed to cut", pattern.match, lambda text, at: pattern.match(text, at).end() - at)
        return SimpleNamespace(findall=counted("characters split", pattern.findall, len), match=passed)

    with monkeypatch.context() as patch:
        patch.setattr(fast.split, "with_classes", counted_pattern)
        patch.setattr(fast.split, "_HIGHER", SimpleNamespace(search=counted("characters split", higher.search, len)))
        patch.setattr(fast.split, "_with_basic_words", counted("characters split", fast.split._with_basic_words, len))
        patch.setattr(fast.merging, "min", counted("ids compared", min, len), raising=False)
        heap = {name: counted("heap operations", getattr(heapq, name), lambda *_: 1) for name in ("heappush", "heappop")}
        patch.setattr(fast.merging, "heapq", SimpleNamespace(heapify=counted("heap operations", heapq.heapify, len), **heap))
        bytes_of = lambda _, pieces: sum(len(piece.encode()) for piece in pieces)  # noqa: E731
        patch.setattr(fast.PairTable, "merge", counted("bytes merged together", fast.PairTable.merge, bytes_of))
        ids = b"".join(fast.PieceCache(merges).ids(((pieces, False) for pieces in fast.split_pieces(text)), {}))
    assert ids == Tokenizer.gpt2().encode_array(text, disallowed_special=()).astype(np.uint32).tobytes()
    steps["pairs looked up"] = merges.looked_up
    return steps


MOST_STEPS = {  # for each byte
    "characters split": 2,  # by the pattern; characters above U+FFFF are looked for, and looked at, before
    "characters passed to cut": 1,
    "pairs looked up": 4,  # each byte's, and two for each merge; once more where windows overlap
    "ids compared": 48,  # in a short piece all of them for each merge
    "heap operations": 4,  # at most two new ids for each merge
    "bytes merged together": 1,
}


@pytest.mark.parametrize("length", [4_000, 32_000])  # characters
@pytest.mark.parametrize("make", ADVERSARIES.values(), ids=ADVERSARIES)
def test_encoding_takes_steps_in_proportion_to_the_length_of_the_text(monkeypatch, make, length):
    text = make(length)
    steps = steps_of_encoding(text, monkeypatch)
    size = len(text.encode())
    assert {kind: count / size for kind, count in steps.items() if count > MOST_STEPS[kind] * size} == {}


@pytest.mark.parametrize(
    ("alphabet", "length"), [("a", 100_000), ("ACGT", 100_000), (string.ascii_letters + "01+/", 400_000)]
)
def test_encoding_a_long_text_without_spaces_takes_at_most_40_times_its_memory(alphabet, length):
    gpt2, text = Tokenizer.gpt2(), letters(alphabet)(length)
    gpt2._pieces.clear()
    tracemalloc.start()
    gpt2.encode(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 40 * len(text)
