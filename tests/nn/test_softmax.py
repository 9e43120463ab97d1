"""Softmax and its logarithm: known values, what stays out of trouble, and gradients against central differences."""

import math

import numpy as np
import pytest

from minigpt.nn import log_softmax, log_softmax_backward, softmax, softmax_backward
from minigpt.study.gradcheck import check_gradients


def pair(function, function_backward):
    """A function of arrays as forward and backward over a scope"""

    def forward(x, s):
        s.acts["y"] = function(x)
        return s.acts["y"]

    return forward, lambda dy, s: function_backward(dy, s.acts["y"])


both = pytest.mark.parametrize("function, backward", [(softmax, softmax_backward), (log_softmax, log_softmax_backward)],
                               ids=["softmax", "log-softmax"])


@both
@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 4, 5)], ids=str)
def test_gradients(function, backward, shape):
    check_gradients(*pair(function, backward), {"x": 2 * np.random.default_rng(1).standard_normal(shape)})


def test_a_score_higher_by_log_three_is_three_times_as_likely():
    y = softmax(np.array([[0, math.log(3)], [5 + math.log(3), 5]]))
    np.testing.assert_allclose(y, [[1 / 4, 3 / 4], [3 / 4, 1 / 4]], rtol=1e-15)


def test_rows_sum_to_one():
    y = softmax(5 * np.random.default_rng(2).standard_normal((2, 3, 7)))
    assert (y > 0).all()
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-15)


def test_equal_scores_are_equally_likely():
    np.testing.assert_array_equal(softmax(np.full((2, 4), 9.0)), 1 / 4)


@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_a_shift_of_all_scores_changes_nothing(shift):
    x = np.array([[1.0, 2.0, -3.0]])                    # shifted exactly, so that nothing is rounded
    np.testing.assert_array_equal(softmax(x + shift), softmax(x))
    np.testing.assert_array_equal(log_softmax(x + shift), log_softmax(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_any_size_do_not_overflow(dtype):
    x = np.array([[1e4, -1e4, 0], [-1e4, -2e4, -3e4]], dtype)
    np.testing.assert_array_equal(softmax(x), [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(log_softmax(x), [[0, -2e4, -1e4], [0, -1e4, -2e4]])


def test_a_score_of_minus_infinity_gets_nothing():
    y = softmax(np.array([[-np.inf, 0, math.log(3)]]))
    np.testing.assert_allclose(y, [[0, 1 / 4, 3 / 4]], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_of_minus_infinity_alone_gives_zeros_and_no_gradient(dtype):
    y = softmax(np.array([[-np.inf, -np.inf], [0, 0]], dtype))
    np.testing.assert_array_equal(y, [[0, 0], [0.5, 0.5]])
    np.testing.assert_array_equal(softmax_backward(np.array([[3, 4], [1, 1]], dtype), y), 0)


def test_the_logarithm_is_that_of_the_softmax():
    x = 3 * np.random.default_rng(3).standard_normal((4, 7))
    np.testing.assert_allclose(log_softmax(x), np.log(softmax(x)), rtol=1e-13, atol=1e-15)    # a probability near 1 is rounded


def test_the_logarithm_stays_finite_where_the_probability_rounds_to_zero():
    np.testing.assert_array_equal(log_softmax(np.array([0.0, -1000.0])), [0, -1000])


@both
def test_scores_that_rise_together_change_nothing_so_dx_sums_to_zero(function, backward):
    rng = np.random.default_rng(4)
    dx = backward(rng.standard_normal((4, 5)), function(rng.standard_normal((4, 5))))
    np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-15)
    assert (abs(dx) > 1e-3).any()


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays_and_so_do_the_callers_arrays(function, backward, dtype):
    rng = np.random.default_rng(5)
    x, dy = (rng.standard_normal((4, 5)).astype(dtype) for _ in range(2))
    before = x.copy(), dy.copy()
    y = function(x)
    y_before = y.copy()
    assert y.dtype == backward(dy, y).dtype == dtype
    for array, then in zip((x, dy, y), (*before, y_before), strict=True):
        np.testing.assert_array_equal(array, then)
