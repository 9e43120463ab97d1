"""Layer norm against central differences and the equation written out."""

import numpy as np
import pytest

from gradients import dtypes
from minigpt.nn import Scope, layernorm_backward, layernorm_forward
from minigpt.study.gradcheck import check_gradients


def params(rng, C=5, dtype=np.float64):
    return {"weight": rng.standard_normal(C).astype(dtype), "bias": rng.standard_normal(C).astype(dtype)}


def plain_layernorm(x, weight, bias, eps):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return weight * (x - mean) / np.sqrt(variance + eps) + bias


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)], ids=["(N, C)", "(B, T, C)"])
def test_gradients(shape):
    rng = np.random.default_rng(1)
    check_gradients(layernorm_forward, layernorm_backward, {"x": rng.standard_normal(shape)}, Scope.of(**params(rng)))


def test_gradients_without_bias():
    rng = np.random.default_rng(2)
    s = Scope.of(weight=rng.standard_normal(5))
    check_gradients(layernorm_forward, layernorm_backward, {"x": rng.standard_normal((4, 5))}, s)


def test_gradients_with_an_epsilon_as_large_as_the_variance():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4, 5))
    check_gradients(layernorm_forward, layernorm_backward, {"x": x}, Scope.of(**params(rng)), eps=0.5)


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_equals_the_equation(eps):
    rng = np.random.default_rng(4)
    p, x = params(rng), 3 * rng.standard_normal((2, 3, 5)) + 1
    y = layernorm_forward(x, Scope.of(**p), eps)
    np.testing.assert_allclose(y, plain_layernorm(x, p["weight"], p["bias"], eps), rtol=1e-12, atol=1e-14)


def test_xhat_has_mean_zero_and_variance_one():
    rng = np.random.default_rng(5)
    s = Scope.of(**params(rng, C=12))
    layernorm_forward(rng.standard_normal((7, 12)), s, 1e-12)
    np.testing.assert_allclose(s.acts["xhat"].mean(-1), 0, atol=1e-15)
    np.testing.assert_allclose(s.acts["xhat"].var(-1), 1, rtol=1e-11)      # ε = 1e-12 stays in it


def test_a_constant_position_becomes_the_bias():
    rng = np.random.default_rng(6)
    p = params(rng)
    y = layernorm_forward(np.full((3, 5), 4.0), Scope.of(**p))
    np.testing.assert_allclose(y, np.tile(p["bias"], (3, 1)), rtol=1e-12)


def test_shifting_a_position_changes_nothing_so_dx_sums_to_zero():
    rng = np.random.default_rng(7)
    s = Scope.of(**params(rng))
    layernorm_forward(rng.standard_normal((4, 5)), s)
    dx = layernorm_backward(rng.standard_normal((4, 5)), s)
    np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-14)


def test_the_fast_path_equals_study_mode():
    rng = np.random.default_rng(8)
    p, x, dy = params(rng), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    study, fast = Scope.of(**p), Scope.of(study=False, **p)
    np.testing.assert_array_equal(layernorm_forward(x, fast), layernorm_forward(x, study))
    np.testing.assert_array_equal(layernorm_backward(dy, fast), layernorm_backward(dy, study))


def test_backward_leaves_dy_alone():
    rng = np.random.default_rng(9)
    s, dy = Scope.of(**params(rng)), rng.standard_normal((4, 5))
    before = dy.copy()
    layernorm_forward(rng.standard_normal((4, 5)), s)
    layernorm_backward(dy, s)
    np.testing.assert_array_equal(dy, before)


def test_gradients_of_two_uses_add_up():
    rng = np.random.default_rng(10)
    s, dy = Scope.of(**params(rng)), rng.standard_normal((4, 5))
    layernorm_forward(rng.standard_normal((4, 5)), s)
    layernorm_backward(dy, s)
    once = {name: grad.copy() for name, grad in s.grads.items()}
    layernorm_backward(dy, s)
    for name, grad in once.items():
        np.testing.assert_array_equal(s.grads[name], 2 * grad, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_has_the_dtype_of_the_input(dtype):
    rng = np.random.default_rng(11)
    s = Scope.of(**params(rng, dtype=dtype))
    y = layernorm_forward(rng.standard_normal((2, 3, 5)).astype(dtype), s)
    dx = layernorm_backward(y.copy(), s)
    assert {y.dtype, dx.dtype} | dtypes(s) == {np.dtype(dtype)}


def test_strided_arrays_give_what_their_copies_give():
    rng = np.random.default_rng(12)
    p = params(rng)
    x, dy = rng.standard_normal((5, 4, 2)).T, rng.standard_normal((5, 4, 2)).T
    strided, copied = Scope.of(study=False, **p), Scope.of(study=False, **p)
    np.testing.assert_allclose(layernorm_forward(x, strided), layernorm_forward(x.copy(), copied), rtol=1e-12)
    np.testing.assert_allclose(layernorm_backward(dy, strided), layernorm_backward(dy.copy(), copied), rtol=1e-12)
    np.testing.assert_allclose(strided.grads["weight"], copied.grads["weight"], rtol=1e-12)
