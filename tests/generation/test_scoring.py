"""Log-probabilities of a text against softmax over the whole model's logits."""

import io
import math
import re
import sys

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.generation import scoring
from minigpt.generation.scoring import Score
from minigpt.nn import log_softmax, softmax
from minigpt.tokenization import CharTokenizer, Tokenizer

V, N = 11, 8


def make_model(n_positions=N, vocab_size=V, threads=1):
    config = GPTConfig(vocab_size=vocab_size, n_positions=n_positions, n_embd=15, n_layer=2, n_head=3)
    model = GPT(config, seed=3, dtype=np.float64, threads=threads)
    rng = np.random.default_rng(4)
    for array in model.params.values():
        array += 0.3 * rng.standard_normal(array.shape)     # so that every token before matters
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


def plain_logprob(model, context, token):
    return math.log(softmax(model(np.array([context]))[0, -1])[token])


def test_each_token_is_given_those_before_it(model):
    ids = [3, 1, 4, 1, 5, 9, 2]
    expected = [plain_logprob(model, ids[:t], ids[t]) for t in range(1, 7)]
    score = model.score(ids)
    np.testing.assert_allclose(score.logprobs, expected, rtol=1e-9)     # float64, products of other shapes
    assert score.ids.tolist() == ids[1:]


def test_the_first_token_is_given_the_start_token(model):
    score = model.score([3, 1], start_id=7)
    np.testing.assert_allclose(score.logprobs, [plain_logprob(model, [7], 3), plain_logprob(model, [7, 3], 1)], rtol=1e-9)


@pytest.mark.parametrize("n_positions", [1, 2, 5, 8])
@pytest.mark.parametrize("length", [2, 8, 9, 10, 30])
@pytest.mark.parametrize("threads", [1, 3])
def test_long_texts_are_given_at_least_half_a_context(n_positions, length, threads):
    model = make_model(n_positions, threads=threads)        # each reads a window at a time
    ids = np.random.default_rng(length).integers(0, V, length)
    expected = []
    first = 0
    for t in range(1, length):          # the window slides on by half where it is full
        if t - first > n_positions:
            first += (n_positions + 1) // 2
        assert t - first >= min(t, n_positions // 2)
        expected.append(plain_logprob(model, ids[first:t], ids[t]))
    np.testing.assert_allclose(model.score(ids).logprobs, expected, rtol=1e-9)


def test_windows_are_read_one_by_one_where_the_scores_of_two_are_too_many(monkeypatch):
    model, ids, shapes = make_model(threads=3), np.random.default_rng(0).integers(0, V, 30), []
    expected = model.score(ids).logprobs
    call = GPT.__call__
    monkeypatch.setattr(GPT, "__call__", lambda self, ids: shapes.append(ids.shape) or call(self, ids))
    monkeypatch.setattr("minigpt.generation.scoring.MAX_LOGITS", 2 * N * V - 1)
    np.testing.assert_allclose(model.score(ids).logprobs, expected, rtol=1e-9)
    assert shapes == [(1, N)] * 7


def test_a_bar_shows_how_far_a_long_text_is(model, capsys):
    ids = np.random.default_rng(0).integers(0, V, 30)
    expected = model.score(ids).logprobs
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(model.score(ids, progress=True).logprobs, expected)
    assert re.search(r"scoring: +0%.*/29", capsys.readouterr().err)


def test_the_mean_is_the_loss(model):
    ids = np.array([[3, 1, 4, 1, 5]])
    assert model.score(ids[0]).mean == pytest.approx(-model.loss(ids[:, :-1], ids[:, 1:]), rel=1e-12)


def test_scores_equal_the_logprobs_of_generation(model):
    ids, logprobs = model.generate([1, 2], 6, seed=1, temperature=0.3, logprobs=True)
    np.testing.assert_allclose(model.score(ids).logprobs[1:], logprobs, rtol=1e-9)


def test_text_is_encoded_and_starts_from_end_of_text():
    tokenizer = Tokenizer.train("to be or not to be", 260, ["<|endoftext|>"])
    model = make_model(32, tokenizer.vocab_size)
    model.tokenizer = tokenizer
    score, expected = model.score("to be"), make_model(32, tokenizer.vocab_size).score([259, *tokenizer.encode("to be")])
    np.testing.assert_array_equal(score.logprobs, expected.logprobs)
    assert tokenizer.decode(score.ids) == "to be"


def test_without_end_of_text_the_first_token_is_only_read():
    tokenizer = CharTokenizer.train("to be")
    model = make_model(vocab_size=tokenizer.vocab_size)
    model.tokenizer = tokenizer
    assert tokenizer.decode(model.score("to be").ids) == "o be"


def test_a_score_says_what_it_is():
    score = Score(np.arange(4), np.log([0.5, 0.25, 0.5, 0.25]))
    assert (score.total, score.mean) == pytest.approx((math.log(1 / 64), math.log(1 / 64) / 4))
    assert score.perplexity == pytest.approx(64**0.25)
    assert repr(score) == "Score(4 tokens, mean log p -1.04, perplexity 2.83)"


def test_the_picture_of_a_long_text_is_that_of_its_beginning(monkeypatch):
    score = Score(np.arange(9), np.linspace(-2, -1, 9))
    monkeypatch.setattr("minigpt.generation.scoring.MAX_SHOWN_TOKENS", 7)
    start = Score(score.ids[:7], score.logprobs[:7])
    assert score._repr_html_() == start._repr_html_().replace(repr(start), repr(score) + ", the first 7:")


def test_the_perplexity_of_the_impossible_is_infinite():
    assert Score(np.zeros(1), np.array([-1e6])).perplexity == math.inf


def test_bits_per_byte_count_the_bytes_of_the_scored_tokens():
    tokenizer = Tokenizer.train("to be or not to be", 260, ["<|endoftext|>"])
    model = make_model(32, tokenizer.vocab_size)
    model.tokenizer = tokenizer
    score = model.score("to bé")
    assert (len(score), score.n_bytes) == (len(tokenizer.encode("to bé")), 6)
    assert score.bits_per_byte == pytest.approx(-np.log2(np.exp(score.logprobs)).sum() / 6, rel=1e-12)


def test_a_first_character_that_is_only_read_has_no_bytes_to_pay_for():
    tokenizer = CharTokenizer.train("to bé")
    model = make_model(vocab_size=tokenizer.vocab_size)
    model.tokenizer = tokenizer
    assert model.score("é to bé").n_bytes == 7


def test_without_a_tokenizer_there_are_no_bytes(model):
    with pytest.raises(ValueError, match=r"n_bytes: no tokenizer, expected one .*; set model\.tokenizer"):
        model.score([1, 2]).bits_per_byte  # noqa: B018


@pytest.mark.parametrize(("text", "error", "message"), [
    ([], ValueError, "text: 0 tokens, expected at least two"),
    ([1], ValueError, "text: 1 tokens, expected at least two"),
    ([1, 11], ValueError, r"text\[1\]: 11, expected an id from 0 to 10"),
    ([1, -1], ValueError, r"text\[1\]: -1"),
    ([1.0, 2], TypeError, r"text\[0\]: 1.0 of type float"),
    ([[1, 2], [1]], ValueError, r"text\[1\]: 1 tokens, expected at least two"),
    ([[1, 2], [1, 11]], ValueError, r"text\[1\]\[1\]: 11, expected an id from 0 to 10"),
    (np.zeros((1, 2, 2), int), ValueError, r"text: shape \(1, 2, 2\), expected a text, ids \(T,\) or \(B, T\)"),
    ("to be", ValueError, "text: a text, expected token ids, since the model has no tokenizer; set model.tokenizer"),
    (None, TypeError, "text: None of type NoneType, expected a text"),
])
def test_bad_input_is_refused(model, text, error, message):
    with pytest.raises(error, match=message):
        model.score(text)


# Choosing


@pytest.fixture(scope="module")
def char_model():
    tokenizer = CharTokenizer.train("to be or ,é")
    model = make_model(vocab_size=tokenizer.vocab_size, n_positions=12)
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="module")
def bpe_model():
    tokenizer = Tokenizer.train("to be or not to be, to be or not to bear, to bee", 268, ["<|endoftext|>"])
    model = make_model(12, tokenizer.vocab_size)
    model.tokenizer = tokenizer
    return model


def plain_total(model, given, tokens):
    """log p of tokens, each from the whole text before it"""
    return sum(plain_logprob(model, [*given, *tokens[:t]], token) for t, token in enumerate(tokens))


ANSWERS = ["b", "to be", "é", "or"]


def test_answers_are_ranked_by_their_log_probability(char_model):
    encode = char_model.tokenizer.encode
    expected = {answer: plain_total(char_model, encode("to, "), encode(answer)) for answer in ANSWERS}
    choices = char_model.choose("to, ", ANSWERS)
    assert [choice.answer for choice in choices] == sorted(ANSWERS, key=expected.get, reverse=True)
    logprobs = [choice.logprob for choice in choices]
    np.testing.assert_allclose(logprobs, [expected[choice.answer] for choice in choices], rtol=1e-9)
    assert [choice.score for choice in choices] == logprobs


def test_probabilities_are_those_given_that_it_is_one_of_the_answers(char_model):
    choices = char_model.choose("to, ", ANSWERS)
    p = np.exp([choice.logprob for choice in choices])
    np.testing.assert_allclose([choice.probability for choice in choices], p / p.sum(), rtol=1e-9)


@pytest.mark.parametrize(("normalize", "length"), [
    ("tokens", {"b": 1, "to be": 5, "é": 1, "or": 2}), ("bytes", {"b": 1, "to be": 5, "é": 2, "or": 2}),
])
def test_scores_are_per_token_or_per_byte(char_model, normalize, length):
    expected = {choice.answer: choice.logprob / length[choice.answer] for choice in char_model.choose("to, ", ANSWERS)}
    choices = char_model.choose("to, ", ANSWERS, normalize=normalize)
    assert [choice.answer for choice in choices] == sorted(ANSWERS, key=expected.get, reverse=True)
    scores = [choice.score for choice in choices]
    np.testing.assert_allclose(scores, [expected[choice.answer] for choice in choices], rtol=1e-12)
    np.testing.assert_allclose([choice.probability for choice in choices], softmax(np.array(scores)), rtol=1e-12)


def test_each_next_token_as_an_answer_has_the_models_own_probability(char_model):
    chars = [char_model.tokenizer.decode([v]) for v in range(char_model.tokenizer.vocab_size)]
    p = {choice.answer: choice.probability for choice in char_model.choose("to", chars)}
    ids = char_model.tokenizer.encode("to")
    np.testing.assert_allclose([p[char] for char in chars], softmax(char_model(np.array([ids]))[0, -1]), rtol=1e-9)


def test_the_scored_tokens_are_those_of_the_whole_text(bpe_model):
    encode, end = bpe_model.tokenizer.encode, 267
    answers = [" bear", " not"]
    rows = [encode("to" + answer) for answer in answers]
    assert [row[:1] for row in rows] == [encode("to")] * 2
    choices = {choice.answer: choice.logprob for choice in bpe_model.choose("to", answers)}
    for answer, row in zip(answers, rows, strict=True):
        assert choices[answer] == pytest.approx(plain_total(bpe_model, [end, *row[:1]], row[1:]), rel=1e-9)


def test_the_side_of_the_space_between_prompt_and_answer_does_not_matter(bpe_model):
    encode = bpe_model.tokenizer.encode
    assert encode("to be") != encode("to ") + encode("be")
    left, right = bpe_model.choose("to ", ["be", "not"]), bpe_model.choose("to", [" be", " not"])
    assert [choice.logprob for choice in left] == [choice.logprob for choice in right]


def test_an_empty_prompt_is_end_of_text(bpe_model):
    first = bpe_model.choose("", ["to be", "bear"])[0]
    assert first.logprob == pytest.approx(bpe_model.score(first.answer).total, rel=1e-9)


@pytest.mark.parametrize("length", [7, 8, 9, 30])
def test_all_answers_are_given_the_same_end_of_a_long_prompt(char_model, length):
    prompt = ("to be or, " * 3)[:length]
    given = char_model.tokenizer.encode(prompt)[-8:]            # with the longest answer, whose end is only scored, 12
    for choice in char_model.choose(prompt, ANSWERS):
        expected = plain_total(char_model, given, char_model.tokenizer.encode(choice.answer))
        assert choice.logprob == pytest.approx(expected, rel=1e-9)


def test_an_answer_may_fill_the_context(char_model):
    answer = "to be, or be"
    ids = char_model.tokenizer.encode("o" + answer)
    expected = log_softmax(char_model(np.array([ids[:-1]]))[0])[np.arange(12), ids[1:]].sum()
    assert char_model.choose("to", [answer])[0].logprob == pytest.approx(expected, rel=1e-9)


def test_the_prompt_is_read_once(char_model, monkeypatch):
    shapes, forward = [], char_model.forward

    def counted(ids, *arguments, **last):
        shapes.append(ids.shape)
        return forward(ids, *arguments, **last)

    monkeypatch.setattr(char_model, "forward", counted)
    char_model.choose("to, ", ["or", "be", "é"])
    assert shapes == [(1, 4), (3, 1)]


def test_the_bundled_model_knows_how_its_lines_go_on():
    model = GPT.from_pretrained("shakespeare-char")
    first, second, _ = model.choose("To be, or not to b", ["e", "z", "q"])
    assert (first.answer, first.probability > 0.99) == ("e", True)
    assert second.probability < 0.01
    assert model.choose("My gracious ", ["drol", "lion", "lord"])[0].answer == "lord"


def test_scores_that_are_not_finite_are_refused():
    model = make_model(vocab_size=5)
    model.tokenizer = CharTokenizer.train("abcde")
    model.params["h.1.mlp.c_fc.weight"][2, 3] = np.nan
    with pytest.raises(FloatingPointError, match="model: its scores hold NaN or infinity, expected finite numbers"):
        model.choose("a", ["b", "c"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["wte.weight", "h.0.attn.c_attn.weight", "ln_f.bias"])
@pytest.mark.parametrize("start_id", [None, 2])
def test_a_text_scored_by_weights_that_are_not_finite_is_refused(name, value, start_id):
    model = make_model()
    model.params[name].reshape(-1)[5] = value
    with pytest.raises(FloatingPointError, match=r"text\[\d+\]: log p is (nan|-inf), expected a finite number; check"):
        model.score([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], start_id=start_id)


@pytest.mark.parametrize(("start_id", "threads"), [(None, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("token", [1, 6, 7, 8, 11, 29])
def test_the_first_token_whose_score_is_not_finite_is_named(monkeypatch, token, start_id, threads):
    real = scoring.cross_entropy_forward

    def spoiled(logits, targets, s):
        real(logits, targets, s)
        s.acts["nll"][targets == 9] = np.nan

    monkeypatch.setattr(scoring, "cross_entropy_forward", spoiled)
    ids = [3] * 30                                      # more than a window holds
    ids[token:] = [9] * (30 - token)
    with pytest.raises(FloatingPointError, match=rf"text\[{token}\]: log p is nan"):
        make_model(threads=threads).score(ids, start_id=start_id)


def test_a_closed_stderr_does_not_keep_from_scoring(model, monkeypatch):
    expected = model.score([3, 1, 4]).total
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert model.score([3, 1, 4], progress=True).total == expected


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (("", ["b"]), ValueError, "prompt: no token before the answers, expected at least one"),
    (([99], ["b"]), ValueError, r"prompt\[0\]: 99, expected an id"),
    (([1], [[2], [99]]), ValueError, r"answers\[1\]\[0\]: 99, expected an id"),
    (([1], [2, 3]), TypeError, r"answers: \[2, 3\], expected a sequence of texts"),
    (([1], [[2], []]), ValueError, r"answers: \[\[2\], \[\]\], expected no empty text"),
    (("to", "be"), TypeError, r"answers: 'be', expected a sequence of texts; write \('…',\)"),
    (("to", ["b", ""]), ValueError, r"answers: \['b', ''\], expected no empty text; leave it out"),
    (("to", [1, 2]), TypeError, r"answers: \[1, 2\]"),
    (("to", 3), TypeError, "answers: 3"),
    (("to", []), ValueError, "answers: none, expected at least one"),
    (("to", ["b"], "words"), ValueError, "normalize: 'words', expected None, 'tokens' or 'bytes'"),
    (("to", ["b", "o" * 13]), ValueError, "answers: up to 13 tokens, expected at most n_positions 12; give shorter ones"),
    (("to", ["x"]), ValueError, "text: 'x'"),
])
def test_bad_choices_are_refused_before_anything_is_computed(char_model, monkeypatch, arguments, error, message):
    monkeypatch.setattr(char_model, "forward", None)
    with pytest.raises(error, match=message):
        char_model.choose(*arguments)


def test_choosing_among_texts_needs_a_tokenizer(model):
    for prompt in ("to", [1, 2]):
        with pytest.raises(ValueError, match=r"(prompt|answers\[0\]): a text, expected token ids, since"):
            model.choose(prompt, ["be"])
