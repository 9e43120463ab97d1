"""The MLP and its activation functions, against central differences, math.erf and the equations one number at a time."""

import math

import numpy as np
import pytest

from gradients import dtypes
from minigpt.nn import (
    Scope,
    activation_backward,
    gelu_forward,
    gelu_new_forward,
    mlp_backward,
    mlp_forward,
    relu_forward,
)
from minigpt.nn.mlp import erf
from minigpt.nn.ops import CHUNK
from minigpt.study.gradcheck import check_gradients


def plain_gelu_new(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def plain_gelu(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def plain_relu(x):
    return max(x, 0.0)


FUNCTIONS = {
    "gelu_new": (gelu_new_forward, plain_gelu_new),
    "gelu": (gelu_forward, plain_gelu),
    "relu": (relu_forward, plain_relu),
}
every_function = pytest.mark.parametrize("forward, plain", FUNCTIONS.values(), ids=FUNCTIONS.keys())
every_name = pytest.mark.parametrize("activation", FUNCTIONS)


def params(rng, C=5, F=7, bias=True, dtype=np.float64):
    shapes = {"c_fc.weight": (C, F), "c_fc.bias": (F,), "c_proj.weight": (F, C), "c_proj.bias": (C,)}
    return {n: rng.standard_normal(shape).astype(dtype) for n, shape in shapes.items() if bias or not n.endswith("bias")}


@every_function
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_activation_gradients(forward, plain, study):
    rng = np.random.default_rng(1)
    check_gradients(forward, activation_backward, {"x": 2 * rng.standard_normal((2, 3, 5))}, Scope.of(study=study))


@every_function
def test_an_activation_function_equals_its_equation(forward, plain):
    x = np.concatenate([np.linspace(-9, 9, 361), [0.0, -0.0, 1e-300, -40.0, 40.0]])
    y = forward(x, Scope.of())
    np.testing.assert_allclose(y, [plain(v) for v in x.tolist()], rtol=1e-13, atol=2e-15)    # 9 · (rounding of tanh, erf)


@every_function
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_more_elements_than_a_chunk_equal_the_equation(forward, plain, study):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, CHUNK // 3 + 7))                 # one chunk and 20 elements
    y = forward(x.copy(), Scope.of(study=study))
    for part in (slice(0, 30), slice(CHUNK - 30, None)):
        expected = [plain(v) for v in x.reshape(-1)[part].tolist()]
        np.testing.assert_allclose(y.reshape(-1)[part], expected, rtol=1e-12, atol=1e-15)


@every_function
def test_more_elements_than_a_chunk_have_the_slopes_of_small_pieces(forward, plain):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(CHUNK + 20)
    whole, piece = Scope.of(study=False), Scope.of(study=False)
    forward(x.copy(), whole)
    forward(x[-30:].copy(), piece)
    np.testing.assert_allclose(whole.acts["slope"][-30:], piece.acts["slope"], rtol=1e-13, atol=1e-15)


@every_function
def test_study_mode_leaves_x_and_dy_alone(forward, plain):
    rng = np.random.default_rng(4)
    s, x, dy = Scope.of(), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    x_before, dy_before = x.copy(), dy.copy()
    forward(x, s)
    activation_backward(dy, s)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dy, dy_before)


@every_function
def test_the_fast_path_equals_study_mode(forward, plain):
    rng = np.random.default_rng(5)
    study, fast = Scope.of(), Scope.of(study=False)
    x, dy = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    np.testing.assert_array_equal(forward(x.copy(), fast), forward(x, study))
    np.testing.assert_array_equal(activation_backward(dy.copy(), fast), activation_backward(dy, study))


@every_function
def test_a_pass_without_backward_gives_the_same_values(forward, plain):
    rng = np.random.default_rng(6)
    x, s = rng.standard_normal((4, 5)), Scope.of(study=False)
    s.run.backward = False
    np.testing.assert_array_equal(forward(x.copy(), s), forward(x.copy(), Scope.of()))


@every_function
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_strided_arrays_give_what_their_copies_give(forward, plain, study):
    rng = np.random.default_rng(7)
    x, dy = rng.standard_normal((5, 4, 6)).T[::2], rng.standard_normal((5, 4, 6)).T[::2]
    copied, strided = Scope.of(), Scope.of(study=study)
    expected = forward(x.copy(), copied)
    np.testing.assert_array_equal(forward(x, strided), expected)
    np.testing.assert_array_equal(activation_backward(dy.copy(order="F"), strided), activation_backward(dy, copied))


@every_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_of_an_activation_has_the_dtype_of_the_input(forward, plain, dtype):
    rng = np.random.default_rng(8)
    s = Scope.of()
    y = forward(rng.standard_normal((4, 5)).astype(dtype), s)
    dx = activation_backward(y.copy(), s)
    assert {y.dtype, dx.dtype} | dtypes(s) == {np.dtype(dtype)}


@every_name
@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)], ids=["(N, C)", "(B, T, C)"])
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_mlp_gradients(activation, shape, study):
    rng = np.random.default_rng(9)
    s = Scope.of(study=study, **params(rng))
    check_gradients(mlp_forward, mlp_backward, {"x": rng.standard_normal(shape)}, s, activation=activation)


def test_mlp_gradients_without_bias():
    rng = np.random.default_rng(10)
    s = Scope.of(**params(rng, bias=False))
    check_gradients(mlp_forward, mlp_backward, {"x": rng.standard_normal((4, 5))}, s)


@every_name
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_mlp_is_two_linear_layers_with_the_function_between(activation, study):
    rng = np.random.default_rng(11)
    p, x = params(rng), rng.standard_normal((2, 3, 5))
    h = x @ p["c_fc.weight"] + p["c_fc.bias"]
    bent = np.vectorize(FUNCTIONS[activation][1])(h)
    y = mlp_forward(x, Scope.of(study=study, **p), activation)
    np.testing.assert_allclose(y, bent @ p["c_proj.weight"] + p["c_proj.bias"], rtol=1e-12, atol=1e-13)


def test_mlp_leaves_the_callers_array_alone_on_the_fast_path():
    rng = np.random.default_rng(12)
    s, x = Scope.of(study=False, **params(rng)), rng.standard_normal((4, 5))
    before = x.copy()
    mlp_backward(mlp_forward(x, s), s)
    np.testing.assert_array_equal(x, before)


@every_name
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_of_the_mlp_has_the_dtype_of_the_input(activation, dtype):
    rng = np.random.default_rng(13)
    s = Scope.of(**params(rng, dtype=dtype))
    y = mlp_forward(rng.standard_normal((2, 3, 5)).astype(dtype), s, activation)
    dx = mlp_backward(y.copy(), s)
    assert {y.dtype, dx.dtype} | dtypes(s) == {np.dtype(dtype)}


def test_erf_equals_the_standard_librarys():
    edges = [0.5, 4.0, 27.0]
    x = np.concatenate([np.linspace(-6, 6, 4801), np.nextafter(edges, 0), edges, np.nextafter(edges, 99), [0.0, 1e-300, 1e30]])
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x.tolist()], rtol=0, atol=1e-15)


def test_erf_of_small_numbers_is_exact_relative_to_them():
    x = np.geomspace(1e-300, 0.5, 301)
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x.tolist()], rtol=1e-15)


def test_erf_of_infinity_and_nan():
    np.testing.assert_array_equal(erf(np.array([np.inf, -np.inf, np.nan])), [1, -1, np.nan])


def test_erf_is_odd():
    x = np.linspace(0, 6, 601)
    np.testing.assert_array_equal(erf(-x), -erf(x))


def test_erf_in_float32_is_exact_to_float32s_rounding():
    x = np.linspace(-6, 6, 1201, dtype=np.float32)
    y = erf(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, [math.erf(v) for v in x.tolist()], rtol=0, atol=2.5e-7)   # four steps of float32 near 1
