"""Text that comes in pieces: whole characters, an end at a string, an end of text."""

from itertools import pairwise

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.generation.streaming import forbid_texts, stream_text, until, whole_characters, with_words
from minigpt.tokenization import CharTokenizer, Tokenizer


def make_model(tokenizer, seed=0):
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=64, n_embd=12, n_layer=1, n_head=2), seed=seed)
    rng = np.random.default_rng(seed)
    for array in model.params.values():
        array += 0.3 * rng.standard_normal(array.shape).astype(array.dtype)     # so that texts differ
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="module")
def char_model():
    return make_model(CharTokenizer.train("to be or not, é日\n"))


@pytest.fixture(scope="module")
def bpe_model():
    return make_model(Tokenizer.train("to be or not to be", 260, ["<|endoftext|>"]))


@pytest.mark.parametrize("text", ["aé日😀b", "", "é", "😀😀"])
def test_streamed_text_never_ends_within_a_character(text):
    tokenizer = Tokenizer()     # bytes only
    assert "".join(whole_characters(tokenizer, tokenizer.encode(text))) == text


@pytest.mark.parametrize("seed", range(10))
def test_streamed_text_of_any_bytes_equals_decoding_them_together(seed):
    tokenizer = Tokenizer()
    ids = np.random.default_rng(seed).integers(0, 256, 40).tolist()
    assert "".join(whole_characters(tokenizer, ids)) == tokenizer.decode(ids)


@pytest.mark.parametrize(("pieces", "stops", "text"), [
    (["a b", "c", "d e"], ["bcd"], "a "),
    (["a b", "c", "x e"], ["bcd"], "a bcx e"),
    (["abc"], [], "abc"),
    (["abc", "def"], ["c", "bcdef"], "ab"),
    (["aab", "aac"], ["aac"], "aab"),
    (["xabcd"], ["abcd", "b"], "xa"),
    (["aaa", "b"], ["aab"], "a"),
    (["ab"], ["abc"], "ab"),
    (["stop"], ["stop"], ""),
    ([], ["a"], ""),
])
def test_text_ends_before_the_first_stop_string(pieces, stops, text):
    assert "".join(until(pieces, stops)) == text


@pytest.mark.parametrize("seed", range(30))
def test_where_a_text_is_cut_into_pieces_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list("ab"), 30))
    stops = ["".join(rng.choice(list("ab"), length)) for length in (4, 5, 6)]
    cuts = [0, *sorted(rng.integers(0, 31, 8)), 30]
    pieces = [text[start:stop] for start, stop in pairwise(cuts)]
    end = next((i for i in range(31) if text[:i].endswith(tuple(stops))), None)
    expected = text if end is None else text[: min(end - len(stop) for stop in stops if text[:end].endswith(stop))]
    assert "".join(until(pieces, stops)) == expected


def test_no_more_is_asked_for_after_a_stop_string():
    asked = []
    assert list(until((asked.append(piece) or piece for piece in "abcd"), ["b"])) == ["a", ""]
    assert asked == ["a", "b"]


@pytest.mark.parametrize("fixture", ["char_model", "bpe_model"])
def test_streamed_text_is_the_text_of_the_tokens(request, fixture):
    model = request.getfixturevalue(fixture)
    prompt = model.tokenizer.encode("to be")
    ids = model.generate(prompt, 40, seed=1)[len(prompt) :]
    pieces = list(model.stream_text("to be", 40, seed=1, stop_ids=()))
    assert "".join(pieces) == model.tokenizer.decode(ids)
    assert "" not in pieces


def test_a_stop_string_ends_the_stream(char_model):
    whole = "".join(stream_text(char_model, "to", 40, seed=1))
    assert "".join(stream_text(char_model, "to", 40, seed=1, stop_strings=[whole[7:10]])) == whole[: whole.index(whole[7:10])]


def test_the_stream_ends_before_end_of_text(bpe_model, monkeypatch):
    end = bpe_model.tokenizer.special_tokens["<|endoftext|>"]
    asked = {}
    def asks(*arguments, **options):
        asked.update(options)
        return iter([0, 1, end])

    monkeypatch.setattr("minigpt.generation.streaming.stream", asks)
    assert "".join(stream_text(bpe_model, "to")) == '!"'
    assert (asked["start_id"], asked["stop_ids"]) == (end, {end})


def test_ids_may_be_the_prompt(char_model):
    ids = char_model.tokenizer.encode("to")
    assert list(stream_text(char_model, ids, 9, seed=1)) == list(stream_text(char_model, "to", 9, seed=1))


# Words


def plain_forbidden(tokenizer, before, texts):
    """The tokens after which one of `texts` stands there and did not before"""
    forbidden = set()
    for id in range(tokenizer.vocab_size):
        token = tokenizer.token_bytes(id)
        for text in map(str.encode, texts):
            new_ends = range(len(before) + 1, len(before + token) + 1)
            if any((before + token)[:end].endswith(text) for end in new_ends):
                forbidden.add(id)
    return forbidden


@pytest.mark.parametrize("seed", range(20))
def test_forbidden_tokens_are_those_that_would_complete_a_text(seed):
    rng = np.random.default_rng(seed)
    tokenizer = Tokenizer.train("aab abba baba aabb abab éa bé", 270)
    ids = rng.choice([*Tokenizer().encode("ab é"), *range(256, 270)], rng.integers(0, 8))
    texts = ["".join(rng.choice([*"ab é"], rng.integers(1, 5))) for _ in range(3)]
    logits = forbid_texts(tokenizer, texts)(ids, np.zeros(270))
    before = tokenizer.decode_bytes(ids.tolist())
    assert {*np.flatnonzero(logits == -np.inf).tolist()} == plain_forbidden(tokenizer, before, texts)


def test_a_long_text_beside_it_hides_no_forbidden_one():
    tokenizer = Tokenizer()
    logits = forbid_texts(tokenizer, ["abcde", "longer"])(np.array(tokenizer.encode("abcd")), np.zeros(256))
    assert np.flatnonzero(logits == -np.inf).tolist() == tokenizer.encode("e")


@pytest.mark.parametrize("fixture", ["char_model", "bpe_model"])
@pytest.mark.parametrize("seed", range(3))
def test_bad_words_never_stand_in_the_text_however_tokens_cut_them(request, fixture, seed):
    model = request.getfixturevalue(fixture)
    free = "".join(model.stream_text("to", 40, seed=seed, temperature=0.2))
    words = [free[3:5], free[8], "o" + free[0]]
    text = "to" + "".join(model.stream_text("to", 40, seed=seed, temperature=0.2, bad_words=words))
    assert free
    assert [word for word in words if word in text] == []


def test_a_bad_word_may_not_end_the_text_but_its_token_may(bpe_model):
    end = bpe_model.tokenizer.special_tokens["<|endoftext|>"]
    options = with_words(bpe_model.tokenizer, ["end"], stop_ids=(end,), logits_processor=lambda ids, logits: 0 * logits)
    first, second = options["logits_processor"]
    assert second(np.array([0]), first(np.array([0]), np.ones(260)))[end] == 0
    (only,) = with_words(bpe_model.tokenizer, ["end"])["logits_processor"]
    assert only(np.array([0]), np.ones(260))[end] == -np.inf        # where it is a token like others, it shows as text


@pytest.mark.parametrize("fixture", ["char_model", "bpe_model"])
@pytest.mark.parametrize("seed", range(3))
def test_forced_words_stand_in_the_text(request, fixture, seed):
    model = request.getfixturevalue(fixture)
    words = [" not or", "be", "é日"]
    text = "".join(model.stream_text("to be", 40, seed=seed, force_words=words))
    assert [word for word in words if word not in text] == []


def test_words_join_the_options_of_the_sampler(char_model):
    encode = char_model.tokenizer.encode
    options = with_words(char_model.tokenizer, force_words=["be"], force_words_ids=[[3]], temperature=0)
    assert options == {"force_words_ids": [[3], encode("be")], "temperature": 0}


def test_no_words_change_no_option(char_model):
    assert with_words(char_model.tokenizer, temperature=0) == {"temperature": 0}


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"bad_words": "ab"}, TypeError, r"bad_words: 'ab', expected a sequence of texts; write \('…',\)"),
    ({"bad_words": ["a", ""]}, ValueError, r"bad_words: \['a', ''\], expected no empty text; leave it out"),
    ({"force_words": [3]}, TypeError, r"force_words: \[3\]"),
    ({"force_words": ["not"], "bad_words": ["e", "ot"]}, ValueError, "force_words: 'not', expected none with"),
    ({"force_words": ["x"]}, ValueError, "text: 'x'"),
    ({"force_words": ["to be or not"], "max_new_tokens": 11}, ValueError, "force_words_ids: 12 tokens, expected at most"),
    ({"stop_strings": "ab"}, TypeError, r"stop_strings: 'ab', expected a sequence of texts"),
    ({"stop_strings": [""]}, ValueError, r"stop_strings: \[''\], expected no empty text"),
    ({"stop_strings": [3]}, TypeError, "stop_strings: "),
    ({"num_samples": 2}, ValueError, "stream_text: num_samples or logprobs, expected neither"),
    ({"logprobs": True}, ValueError, "stream_text: num_samples or logprobs"),
    ({"temperature": -1}, ValueError, "temperature: -1"),
])
def test_bad_options_are_refused_by_the_call(char_model, monkeypatch, options, error, message):
    monkeypatch.setattr(char_model, "forward", None)
    with pytest.raises(error, match=message):
        stream_text(char_model, "to", **options)


def test_a_model_without_tokenizer_is_refused():
    model = GPT(GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=1))
    with pytest.raises(ValueError, match=r"no tokenizer, expected vocab\.json"):
        stream_text(model, "to")
