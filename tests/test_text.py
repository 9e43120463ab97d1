"""Text that comes in pieces: whole characters, an end at a string, an end of text."""

from itertools import pairwise

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.text import stream_text, until, whole_characters
from minigpt.tokenizer import CharTokenizer, Tokenizer


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
    monkeypatch.setattr("minigpt.text.stream", lambda *arguments, **options: asked.update(options) or iter([0, 1, end]))
    assert "".join(stream_text(bpe_model, "to")) == '!"'
    assert (asked["start_id"], asked["stop_ids"]) == (end, {end})


def test_ids_may_be_the_prompt(char_model):
    ids = char_model.tokenizer.encode("to")
    assert list(stream_text(char_model, ids, 9, seed=1)) == list(stream_text(char_model, "to", 9, seed=1))


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"stop_strings": "ab"}, TypeError, r"stop_strings: 'ab', expected a sequence of texts"),
    ({"stop_strings": [""]}, TypeError, r"stop_strings: .*none empty"),
    ({"stop_strings": [3]}, TypeError, "stop_strings: "),
    ({"num_samples": 2}, ValueError, "stream_text: num_samples or logprobs, expected neither"),
    ({"logprobs": True}, ValueError, "stream_text: num_samples or logprobs"),
    ({"temperature": -1}, ValueError, "temperature: -1"),
])
def test_bad_options_are_refused_by_the_call(char_model, monkeypatch, options, error, message):
    monkeypatch.setattr(char_model, "_forward", None)
    with pytest.raises(error, match=message):
        stream_text(char_model, "to", **options)


def test_a_model_without_tokenizer_is_refused():
    model = GPT(GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=1))
    with pytest.raises(ValueError, match=r"no tokenizer, expected vocab\.json"):
        stream_text(model, "to")
