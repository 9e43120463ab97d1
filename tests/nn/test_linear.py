"""The linear layer against central differences and a product known by hand."""

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt.nn import Scope, linear_backward, linear_forward
from minigpt.study.gradcheck import check_gradients


def params(rng, n_in=5, n_out=3):
    return {"weight": rng.standard_normal((n_in, n_out)), "bias": rng.standard_normal(n_out)}


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)], ids=["(N, C)", "(B, T, C)"])
@textbook_and_engine
def test_gradients(shape, fast):
    rng = np.random.default_rng(1)
    s = Scope.of(fast=fast, **params(rng))
    check_gradients(linear_forward, linear_backward, {"x": rng.standard_normal(shape)}, s)


@textbook_and_engine
def test_gradients_without_bias(fast):
    rng = np.random.default_rng(2)
    s = Scope.of(fast=fast, weight=rng.standard_normal((5, 3)))
    check_gradients(linear_forward, linear_backward, {"x": rng.standard_normal((4, 5))}, s)


@textbook_and_engine
def test_every_position_is_multiplied_by_the_matrix_and_shifted(fast):
    s = Scope.of(fast=fast, weight=np.array([[1.0, 2, 3], [4, 5, 6]]), bias=np.array([10.0, 20, 30]))
    y = linear_forward(np.array([[[1.0, 0], [0, 1]], [[1, 1], [-1, 2]]]), s)
    np.testing.assert_array_equal(y, [[[11, 22, 33], [14, 25, 36]], [[15, 27, 39], [17, 28, 39]]])


@textbook_and_engine
def test_backward_leaves_dy_alone(fast):
    rng = np.random.default_rng(3)
    s, dy = Scope.of(fast=fast, **params(rng)), rng.standard_normal((4, 3))
    before = dy.copy()
    linear_forward(rng.standard_normal((4, 5)), s)
    linear_backward(dy, s)
    np.testing.assert_array_equal(dy, before)
