"""Each warper by itself against what it should leave, and draws against their distribution."""

import numpy as np
import pytest

from minigpt.generation.warpers import (
    add_bias,
    forbid,
    forbid_repeated_ngrams,
    forbid_words,
    force_words,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    sample,
    scale_by_temperature,
)
from minigpt.nn import log_softmax, softmax
from plain_generation import contains, plain_warped


@pytest.mark.parametrize("seed", range(20))
def test_warpers_equal_their_plain_twin(seed):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((4, 23))
    temperature, k, p = rng.uniform(0.2, 3), int(rng.integers(1, 30)), rng.uniform(0, 1)
    warped = softmax(keep_top_p(keep_top_k(scale_by_temperature(logits, temperature), k), p))
    for row, expected in zip(warped, logits, strict=True):
        np.testing.assert_allclose(row, plain_warped(expected, temperature, k, p), rtol=1e-12, atol=0)


@pytest.mark.parametrize("k", range(1, 7))
def test_top_k_keeps_exactly_k_of_equal_logits(k):
    np.testing.assert_array_equal(np.isfinite(keep_top_k(np.zeros(6), k)), np.arange(6) < k)


def test_top_k_breaks_ties_towards_low_ids():
    np.testing.assert_array_equal(keep_top_k([1, 3, 2, 2], 2), [-np.inf, 3, 2, -np.inf])


def test_top_k_beyond_the_vocabulary_keeps_all():
    np.testing.assert_array_equal(keep_top_k([1.0, 2.0], 5), [1, 2])


def test_top_p_keeps_the_token_that_crosses():
    z = np.log([0.25, 0.5, 0.125, 0.125])
    np.testing.assert_array_equal(np.isfinite(keep_top_p(z, 0.6)), [True, True, False, False])


def test_top_p_stops_at_the_set_that_reaches_p():
    logits = np.array([0.0, 0.0, -np.inf, -np.inf])       # exact halves
    np.testing.assert_array_equal(np.isfinite(keep_top_p(logits, 0.5)), [True, False, False, False])


def test_top_p_of_zero_keeps_the_most_likely():
    np.testing.assert_array_equal(np.isfinite(keep_top_p([1.0, 3.0, 3.0], 0)), [False, True, False])


def test_top_p_of_one_keeps_all():
    assert np.isfinite(keep_top_p(np.linspace(-600, 0, 50), 1)).all()


def test_top_p_just_below_one_may_keep_all():
    logits = np.random.default_rng(0).standard_normal((200, 30))
    p = 1 - 2**-53      # rounded sums of some of these rows stay below it
    assert (np.isfinite(keep_top_p(logits, p)).sum(-1) >= 28).all()


def test_top_p_takes_each_row_by_itself():
    rows = np.log([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]])
    np.testing.assert_array_equal(np.isfinite(keep_top_p(rows, 0.8)), [[True, False, False], [True, True, True]])


def test_repetition_is_penalized_once_and_by_sign():
    np.testing.assert_array_equal(penalize_repetition([[2, 2, -2, -2]], [[0, 2, 0]], 2), [[1, 2, -4, -2]])


def test_a_repeated_ngram_is_ruled_out():
    warped = forbid_repeated_ngrams(np.zeros((1, 5)), [[1, 2, 3, 1, 2]], 3)
    np.testing.assert_array_equal(np.isfinite(warped), [[True, True, True, False, True]])


def test_ngrams_longer_than_the_text_rule_nothing_out():
    assert np.isfinite(forbid_repeated_ngrams(np.zeros((2, 5)), [[1, 2], []], 3)).all()


def test_words_are_ruled_out_where_they_would_end():
    warped = forbid_words(np.zeros((1, 9)), [[5, 1]], [[7], [1, 2], [5, 3], [8, 5, 1, 4]])
    np.testing.assert_array_equal(np.flatnonzero(np.isinf(warped[0])), [2, 7])


def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest():
    z = np.log([0.5, 0.25, 0.125, 0.125])
    np.testing.assert_array_equal(np.isfinite(keep_min_p(z, 0.5)), [True, True, False, False])


@pytest.mark.parametrize("p", [0, 1])
def test_the_ends_of_min_p_keep_all_or_the_likeliest(p):
    assert np.isfinite(keep_min_p([1.0, 3.0, 2.0], p)).sum() == (1 if p else 3)


def test_log_softmax_is_the_logarithm_of_softmax():
    z = np.array([[-800.0, 0, 3], [1, 2, 3]])
    np.testing.assert_allclose(log_softmax(z)[:, 1:], np.log(softmax(z)[:, 1:]), rtol=1e-12)
    assert np.isfinite(log_softmax(z)).all()        # where p itself underflows


def test_warpers_leave_their_input_alone():
    logits = np.random.default_rng(0).standard_normal((2, 9))
    before, texts = logits.copy(), [[1, 2, 1], [3]]
    for warped in (
        scale_by_temperature(logits, 0.5), keep_top_k(logits, 3), keep_top_p(logits, 0.5), keep_min_p(logits, 0.5),
        penalize_repetition(logits, texts, 2), forbid_repeated_ngrams(logits, texts, 1), forbid_words(logits, texts, [[1]]),
        add_bias(logits, texts, {(1,): 2.0}), force_words(logits, texts, [[4]], 1),
        forbid(logits, [1]), softmax(logits), log_softmax(logits),
    ):
        assert warped is not logits
    np.testing.assert_array_equal(logits, before)


def test_a_denormal_temperature_gives_no_nan():
    warped = scale_by_temperature(np.float32([1, 2, 3]), 1e-320)
    np.testing.assert_array_equal(softmax(warped), [0, 0, 1])


# Drawing


def test_draws_follow_the_distribution():
    p = np.array([0.05, 0.4, 0.1, 0.2, 0.25])
    rng = np.random.default_rng(1)
    n = 20_000
    counts = np.bincount([sample(p, rng) for _ in range(n)], minlength=5)
    chi_squared = ((counts - n * p) ** 2 / (n * p)).sum()
    assert chi_squared < 18.47      # exceeded with probability 0.001 at 4 degrees of freedom


def test_impossible_tokens_are_never_drawn():
    p = np.array([0, 0.5, 0, 0.5, 0])
    rng = np.random.default_rng(2)
    assert {sample(p, rng) for _ in range(1000)} == {1, 3}


class Fixed:
    """A generator of one number"""

    def __init__(self, u):
        self.u = u

    def random(self):
        return self.u


@pytest.mark.parametrize("total", [1.0, 1 - 2**-53, 1 + 2**-52, 1.5, 2 - 2**-52, 1e-300])
@pytest.mark.parametrize(("u", "token"), [(0.0, 1), (1 - 2**-53, 2)])
def test_the_ends_of_the_unit_interval_draw_possible_tokens(u, token, total):
    assert sample([0, total / 2, total / 2, 0], Fixed(u)) == token


def test_float32_probabilities_are_added_in_float64():
    p = np.full(2**20, 2**-20, np.float32)
    p[0] = 2**10        # beside it, one 2⁻²⁰ is nothing in float32
    p[1:] = 2**-15
    tail = (2**20 - 1) * 2**-15
    assert sample(p, Fixed(1 - tail / 2 / (2**10 + tail))) == pytest.approx(2**19, rel=1e-3)      # the middle of the tail


@pytest.mark.parametrize("p", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_what_is_no_distribution_cannot_be_drawn_from(p):
    with pytest.raises(ValueError, match="probabilities: their sum is"):
        sample(p, np.random.default_rng(0))


# Steering


def test_a_bias_is_added_to_a_token_and_to_the_end_of_a_sequence():
    biased = add_bias([[1, 1, 1], [1, 1, 1]], [[0], [2, 0]], {(2,): 5, (0, 1): -2, (1, 1): 9, (2, 0, 0): -np.inf})
    np.testing.assert_array_equal(biased, [[1, -1, 6], [-np.inf, -1, 6]])


def test_a_bias_multiplies_the_odds_by_its_exponential():
    z = np.random.default_rng(0).standard_normal((1, 7))
    before, after = (softmax(logits)[0, 3] for logits in (z, add_bias(z, [[]], {(3,): 2.5})))
    assert after / (1 - after) == pytest.approx(np.exp(2.5) * before / (1 - before), rel=1e-12)


def test_forced_words_are_kept_whatever_is_drawn():
    """Draws of equal probability, with bans that leave a way out"""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        words = [rng.integers(0, 4, length).tolist() for length in rng.integers(1, 5, rng.integers(1, 5))]
        n, output = sum(map(len, words)) + int(rng.integers(0, 30)), []
        for step in range(n):
            banned = rng.integers(0, 4, 2) if n - step > 2 * sum(map(len, words)) else []
            z = force_words([forbid(np.zeros(5), banned)], [output], words, n - step, stop_ids=[4])[0]
            output.append(int(rng.choice(np.flatnonzero(z > -np.inf))))
            assert output[-1] not in banned, seed
            assert output[-1] != 4 or all(contains(output, word) for word in words), seed
        assert all(contains(output, word) for word in words), seed


@pytest.mark.parametrize(("output", "words", "n_left", "stops", "left"), [
    ([5], [[1, 2]], 3, (), {0, 1, 2, 3, 4, 5}),             # nothing has begun, there is room
    ([5], [[1, 2]], 3, (0, 4), {1, 2, 3, 5}),               # no stop token before the word
    ([5], [[1, 2]], 2, (), {1}),                            # room for nothing else
    ([5, 1], [[1, 2]], 9, (), {2}),                         # what has begun is finished
    ([1, 2], [[1, 2]], 1, (0,), {0, 1, 2, 3, 4, 5}),        # it occurs: all is free
    ([5], [[1, 2], [3]], 3, (), {1}),                       # the first one first
    ([5, 3], [[1, 2], [3]], 9, (0,), {1, 2, 3, 4, 5}),
    ([5, 3], [[1, 2], [3, 4]], 9, (), {4}),
    ([1, 2], [[2, 5], [1, 2, 4]], 9, (), {4}),              # of two that have begun the one further on
    ([1], [[1, 1, 2]], 9, (), {1}),
    ([], [[1]], 1, (), {1}),
])
def test_what_forced_words_leave_to_draw_from(output, words, n_left, stops, left):
    z = np.random.default_rng(0).standard_normal(6)
    forced = force_words([z], [output], words, n_left, stops)[0]
    assert {*np.flatnonzero(forced > -np.inf).tolist()} == left
    np.testing.assert_array_equal(forced[[*left]], z[[*left]])
