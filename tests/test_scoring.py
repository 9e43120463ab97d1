"""Log-probabilities of a text against softmax over the whole model's logits."""

import math

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.sampling import softmax
from minigpt.scoring import Score
from minigpt.tokenizer import CharTokenizer, Tokenizer

V, N = 11, 8


def make_model(n_positions=N, vocab_size=V):
    config = GPTConfig(vocab_size=vocab_size, n_positions=n_positions, n_embd=15, n_layer=2, n_head=3)
    model = GPT(config, seed=3, dtype=np.float64, threads=1)
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
def test_long_texts_are_given_at_least_half_a_context(n_positions, length):
    model = make_model(n_positions)
    ids = np.random.default_rng(length).integers(0, V, length)
    expected = []
    first = 0
    for t in range(1, length):          # the window slides on by half where it is full
        if t - first > n_positions:
            first += (n_positions + 1) // 2
        assert t - first >= min(t, n_positions // 2)
        expected.append(plain_logprob(model, ids[first:t], ids[t]))
    np.testing.assert_allclose(model.score(ids).logprobs, expected, rtol=1e-9)


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


def test_the_perplexity_of_the_impossible_is_infinite():
    assert Score(np.zeros(1), np.array([-1e6])).perplexity == math.inf


@pytest.mark.parametrize(("text", "error", "message"), [
    ([], ValueError, "text: 0 tokens, expected at least one to score"),
    ([1], ValueError, "text: 1 tokens, expected at least one to score"),
    ([1, 11], ValueError, r"text\[1\]: 11, expected an id from 0 to 10"),
    ([1, -1], ValueError, r"text\[1\]: -1"),
    ([1.0, 2], TypeError, r"text\[0\]: 1.0 of type float"),
    (np.zeros((2, 2), int), TypeError, r"text: int64 of shape \(2, 2\)"),
    ("to be", ValueError, "model: no tokenizer"),
    (None, TypeError, "text: object"),
])
def test_bad_input_is_refused(model, text, error, message):
    with pytest.raises(error, match=message):
        model.score(text)
