"""The linear layer against central differences and x W + b written out."""

import numpy as np
import pytest

from gradients import dtypes
from minigpt.nn import Scope, linear_backward, linear_forward
from minigpt.study.gradcheck import check_gradients


def params(rng, n_in=5, n_out=3, dtype=np.float64):
    return {"weight": rng.standard_normal((n_in, n_out)).astype(dtype), "bias": rng.standard_normal(n_out).astype(dtype)}


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)], ids=["(N, C)", "(B, T, C)"])
def test_gradients(shape):
    rng = np.random.default_rng(1)
    check_gradients(linear_forward, linear_backward, {"x": rng.standard_normal(shape)}, Scope.of(**params(rng)))


def test_gradients_without_bias():
    rng = np.random.default_rng(2)
    s = Scope.of(weight=rng.standard_normal((5, 3)))
    check_gradients(linear_forward, linear_backward, {"x": rng.standard_normal((4, 5))}, s)


def test_every_position_is_multiplied_by_the_matrix_and_shifted():
    rng = np.random.default_rng(3)
    p, x = params(rng), rng.standard_normal((2, 3, 5))
    y = linear_forward(x, Scope.of(**p))
    for b in range(2):
        for t in range(3):
            np.testing.assert_allclose(y[b, t], x[b, t] @ p["weight"] + p["bias"], rtol=1e-13)


def test_the_fast_path_equals_study_mode():
    rng = np.random.default_rng(4)
    p, x, dy = params(rng), rng.standard_normal((4, 5)), rng.standard_normal((4, 3))
    study, fast = Scope.of(**p), Scope.of(study=False, **p)
    np.testing.assert_array_equal(linear_forward(x, fast), linear_forward(x, study))
    np.testing.assert_array_equal(linear_backward(dy, fast), linear_backward(dy, study))
    np.testing.assert_array_equal(fast.grads["weight"], study.grads["weight"])


def test_gradients_of_two_uses_add_up():
    rng = np.random.default_rng(5)
    s, dy = Scope.of(**params(rng)), rng.standard_normal((4, 3))
    linear_forward(rng.standard_normal((4, 5)), s)
    linear_backward(dy, s)
    once = {name: grad.copy() for name, grad in s.grads.items()}
    linear_backward(dy, s)
    for name, grad in once.items():
        np.testing.assert_array_equal(s.grads[name], 2 * grad, err_msg=name)


def test_gradients_start_afresh_after_reset():
    rng = np.random.default_rng(6)
    s, dy = Scope.of(**params(rng)), rng.standard_normal((4, 3))
    linear_forward(rng.standard_normal((4, 5)), s)
    linear_backward(dy, s)
    once = {name: grad.copy() for name, grad in s.grads.items()}
    s.grads.reset()
    linear_backward(dy, s)
    for name, grad in once.items():
        np.testing.assert_array_equal(s.grads[name], grad, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_has_the_dtype_of_the_input(dtype):
    rng = np.random.default_rng(7)
    s = Scope.of(**params(rng, dtype=dtype))
    y = linear_forward(rng.standard_normal((2, 3, 5)).astype(dtype), s)
    dx = linear_backward(y.copy(), s)
    assert {y.dtype, dx.dtype} | dtypes(s) == {np.dtype(dtype)}


def test_strided_arrays_give_what_their_copies_give():
    rng = np.random.default_rng(8)
    p = params(rng)
    x, dy = rng.standard_normal((5, 4, 2)).T, rng.standard_normal((3, 4, 2)).T
    strided, copied = Scope.of(**p), Scope.of(**p)
    # matrix products may add in another order for another layout
    np.testing.assert_allclose(linear_forward(x, strided), linear_forward(x.copy(), copied), rtol=1e-13)
    np.testing.assert_allclose(linear_backward(dy, strided), linear_backward(dy.copy(), copied), rtol=1e-13)
    np.testing.assert_allclose(strided.grads["weight"], copied.grads["weight"], rtol=1e-12)
