"""Layer norm against central differences and values known by hand."""

import math

import numpy as np
import pytest

from gradients import check_recorded, textbook_and_engine
from minigpt.nn import Scope, layernorm_backward, layernorm_forward
from minigpt.study.gradcheck import check_gradients


def params(rng, C=5):
    return {"weight": rng.standard_normal(C), "bias": rng.standard_normal(C)}


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)], ids=["(N, C)", "(B, T, C)"])
@textbook_and_engine
def test_gradients(shape, fast):
    rng = np.random.default_rng(1)
    s = Scope.of(fast=fast, **params(rng))
    check_gradients(layernorm_forward, layernorm_backward, {"x": rng.standard_normal(shape)}, s)


@textbook_and_engine
def test_gradients_without_bias(fast):
    rng = np.random.default_rng(2)
    s = Scope.of(fast=fast, weight=rng.standard_normal(5))
    check_gradients(layernorm_forward, layernorm_backward, {"x": rng.standard_normal((4, 5))}, s)


@textbook_and_engine
def test_gradients_with_an_epsilon_as_large_as_the_variance(fast):
    rng = np.random.default_rng(3)
    s = Scope.of(fast=fast, **params(rng))
    check_gradients(layernorm_forward, layernorm_backward, {"x": rng.standard_normal((4, 5))}, s, eps=0.5)


def test_the_textbook_records_every_step_and_its_gradient():
    rng = np.random.default_rng(4)
    s = Scope.of(**params(rng))
    names = check_recorded(layernorm_forward, layernorm_backward, {"x": rng.standard_normal((2, 3, 5))}, s, eps=0.1)
    assert sorted(names) == ["mean", "out", "rstd", "xhat"]


@pytest.mark.parametrize("eps, expected", [(0.0, 1.0), (3.0, 0.5)])
@textbook_and_engine
def test_a_position_is_divided_by_the_root_of_its_variance_plus_epsilon(eps, expected, fast):
    x = np.array([[4.0, 6.0], [-1.0, -3.0]])                # means 5 and −2, variances 1
    s = Scope.of(fast=fast, weight=np.array([2.0, 10.0]), bias=np.array([0.0, 100.0]))
    y = layernorm_forward(x, s, eps)
    np.testing.assert_allclose(y, [[-2 * expected, 100 + 10 * expected], [2 * expected, 100 - 10 * expected]], rtol=1e-14)


def test_epsilon_is_gpt_2s_where_nothing_else_is_said():
    s = Scope.of(weight=np.ones(2))
    layernorm_forward(np.zeros((1, 2)), s)
    assert s.acts["rstd"][0, 0] == pytest.approx(1 / math.sqrt(1e-5), rel=1e-14)


def test_xhat_has_mean_zero_and_variance_one():
    rng = np.random.default_rng(5)
    s = Scope.of(**params(rng, C=12))
    layernorm_forward(rng.standard_normal((7, 12)), s, 1e-12)
    np.testing.assert_allclose(s.acts["xhat"].mean(-1), 0, atol=1e-15)
    np.testing.assert_allclose(s.acts["xhat"].var(-1), 1, rtol=1e-11)      # ε = 1e-12 stays in it


@textbook_and_engine
def test_a_constant_position_becomes_the_bias(fast):
    p = params(np.random.default_rng(6))
    y = layernorm_forward(np.full((3, 5), 4.0), Scope.of(fast=fast, **p))
    np.testing.assert_allclose(y, np.tile(p["bias"], (3, 1)), rtol=1e-12)


@textbook_and_engine
def test_shifting_a_position_changes_nothing_so_dx_sums_to_zero(fast):
    rng = np.random.default_rng(7)
    s = Scope.of(fast=fast, **params(rng))
    layernorm_forward(rng.standard_normal((4, 5)), s)
    dx = layernorm_backward(rng.standard_normal((4, 5)), s)
    np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-14)


@textbook_and_engine
def test_the_callers_arrays_stay(fast):
    rng = np.random.default_rng(8)
    s, x, dy = Scope.of(fast=fast, **params(rng)), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    before = x.copy(), dy.copy()
    layernorm_forward(x, s)
    layernorm_backward(dy, s)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])
