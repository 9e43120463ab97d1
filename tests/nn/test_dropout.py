"""Dropout: the mask, its scale, and where its random numbers come from."""

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt.nn import Scope, dropout_backward, dropout_forward
from minigpt.study.gradcheck import check_gradients


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
@textbook_and_engine
def test_gradients(p, fast):
    s = Scope.of(fast=fast, dropout_key=(1, 0))
    check_gradients(dropout_forward, dropout_backward, {"x": np.random.default_rng(1).standard_normal((3, 5, 4))}, s, p=p)


@pytest.mark.parametrize("p, expected", [(0.25, 4 / 3), (0.5, 2.0), (0.75, 4.0)])
@textbook_and_engine
def test_what_stays_is_scaled_so_that_the_expected_value_stays(p, expected, fast):
    y = dropout_forward(np.ones((20, 30)), Scope.of(fast=fast, dropout_key=(2,)), p)
    assert set(np.unique(y)) == {0.0, expected}


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@textbook_and_engine
def test_a_fraction_p_is_dropped(p, fast):
    n = 200_000
    y = dropout_forward(np.ones(n), Scope.of(fast=fast, dropout_key=(3,)), p)
    assert abs((y == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / n)        # five standard deviations


def test_the_mean_stays():
    n = 200_000
    y = dropout_forward(np.ones(n), Scope.of(dropout_key=(4,)), 0.1)
    assert abs(y.mean() - 1) < 5 * np.sqrt(0.1 / 0.9 / n)                 # five standard deviations


def test_elements_are_dropped_independently_of_their_neighbors():
    n, p = 200_000, 0.3
    dropped = dropout_forward(np.ones(n), Scope.of(dropout_key=(5,)), p) == 0
    both = (dropped[1:] & dropped[:-1]).mean()
    assert abs(both - p * p) < 5 * np.sqrt(p * p / n)


def test_even_the_smallest_p_drops_and_even_the_largest_leaves_some():
    n = 2**20
    for p in (1 / 65_536, 65_535 / 65_536):                               # the ends of what sixteen bits decide
        y = dropout_forward(np.ones(n), Scope.of(dropout_key=(6,)), p)
        assert abs((y == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
        assert 0 < (y == 0).sum() < n


@textbook_and_engine
def test_the_same_key_gives_the_same_mask(fast):
    x = np.random.default_rng(7).standard_normal((4, 5))
    a, b = (dropout_forward(x, Scope.of(fast=fast, dropout_key=(6, 7)), 0.5) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@textbook_and_engine
def test_another_key_gives_another_mask(fast):
    x = np.ones((20, 30))
    a, b = (dropout_forward(x, Scope.of(fast=fast, dropout_key=key), 0.5) for key in ((6, 7), (6, 8)))
    assert (a != b).any()


@textbook_and_engine
def test_two_places_never_share_a_mask(fast):
    x, s = np.ones((20, 30)), Scope.of(fast=fast, dropout_key=(8,))
    a = dropout_forward(x, s.at("h.0.attn.dropout"), 0.5)
    b = dropout_forward(x, s.at("h.1.attn.dropout"), 0.5)
    assert (a != b).any()


@pytest.mark.parametrize("p, key", [(0.0, (10,)), (0.5, None)], ids=["p = 0", "no key"])
@textbook_and_engine
def test_where_nothing_drops_all_stays(p, key, fast):
    x, dy = np.random.default_rng(9).standard_normal((2, 4, 5))
    s = Scope.of(fast=fast, dropout_key=key)
    np.testing.assert_array_equal(dropout_forward(x, s, p), x)
    np.testing.assert_array_equal(dropout_backward(dy, s), dy)


@pytest.mark.parametrize("p, key", [(0.0, (10,)), (0.5, None)], ids=["p = 0", "no key"])
def test_the_engine_copies_nothing_where_nothing_drops(p, key):
    x, s = np.ones((4, 5)), Scope.of(fast=True, dropout_key=key)
    assert dropout_forward(x, s, p) is x
    assert dropout_backward(x, s) is x


@textbook_and_engine
def test_a_pass_without_a_key_forgets_the_mask_of_the_pass_before(fast):
    x, s = np.ones((4, 5)), Scope.of(fast=fast, dropout_key=(11,))
    dropout_forward(x, s, 0.5)
    s.run.dropout_key = None
    dropout_forward(x, s, 0.5)
    np.testing.assert_array_equal(dropout_backward(x, s), 1)


@textbook_and_engine
def test_the_callers_arrays_stay(fast):
    x, dy = np.ones((4, 5)), np.ones((4, 5))
    s = Scope.of(fast=fast, dropout_key=(12,))
    dropout_forward(x, s, 0.5)
    dropout_backward(dy, s)
    assert (x == 1).all()
    assert (dy == 1).all()
