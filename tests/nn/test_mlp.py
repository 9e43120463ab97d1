"""The MLP against central differences, and as the layers that it is made of."""

import numpy as np
import pytest

from gradients import check_recorded, textbook_and_engine
from minigpt.nn import Scope, linear_forward, mlp_backward, mlp_forward
from minigpt.nn.activations import ACTIVATIONS
from minigpt.study.gradcheck import check_gradients

every_name = pytest.mark.parametrize("activation", ACTIVATIONS)


def params(rng, C=5, F=7, bias=True):
    shapes = {"c_fc.weight": (C, F), "c_fc.bias": (F,), "c_proj.weight": (F, C), "c_proj.bias": (C,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items() if bias or not name.endswith("bias")}


@every_name
@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)], ids=["(N, C)", "(B, T, C)"])
@textbook_and_engine
def test_gradients(activation, shape, fast):
    rng = np.random.default_rng(1)
    s = Scope.of(fast=fast, **params(rng))
    check_gradients(mlp_forward, mlp_backward, {"x": rng.standard_normal(shape)}, s, activation=activation)


@textbook_and_engine
def test_gradients_without_bias(fast):
    rng = np.random.default_rng(2)
    s = Scope.of(fast=fast, **params(rng, bias=False))
    check_gradients(mlp_forward, mlp_backward, {"x": rng.standard_normal((4, 5))}, s)


@every_name
def test_the_textbook_records_every_step_and_its_gradient(activation):
    rng = np.random.default_rng(3)
    s = Scope.of(**params(rng))
    names = check_recorded(mlp_forward, mlp_backward, {"x": rng.standard_normal((2, 3, 5))}, s, activation=activation)
    assert sorted(names) == ["act", "out", "pre"]


@every_name
@textbook_and_engine
def test_it_is_two_linear_layers_with_the_function_between(activation, fast):
    rng = np.random.default_rng(4)
    p, x = params(rng), rng.standard_normal((2, 3, 5))
    pre = linear_forward(x, Scope.of(weight=p["c_fc.weight"], bias=p["c_fc.bias"]))
    act = ACTIVATIONS[activation].forward(pre, Scope.of())
    expected = linear_forward(act, Scope.of(weight=p["c_proj.weight"], bias=p["c_proj.bias"]))
    np.testing.assert_allclose(mlp_forward(x, Scope.of(fast=fast, **p), activation), expected, rtol=1e-12, atol=1e-13)


def test_the_function_is_gpt_2s_where_nothing_else_is_said():
    rng = np.random.default_rng(5)
    p, x = params(rng), rng.standard_normal((4, 5))
    np.testing.assert_array_equal(mlp_forward(x, Scope.of(**p)), mlp_forward(x, Scope.of(**p), "gelu_new"))


@textbook_and_engine
def test_the_callers_arrays_stay(fast):
    rng = np.random.default_rng(6)
    s, x, dy = Scope.of(fast=fast, **params(rng)), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    before = x.copy(), dy.copy()
    mlp_forward(x, s)
    mlp_backward(dy, s)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])
