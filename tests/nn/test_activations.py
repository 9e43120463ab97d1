"""The activation functions against central differences, and against math.tanh and math.erf one number at a time."""

import math

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt.config import ACTIVATION_NAMES
from minigpt.nn import Scope
from minigpt.nn.activations import ACTIVATIONS
from minigpt.study.gradcheck import check_gradients

ONE_NUMBER = {
    "gelu_new": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
    "tanh": math.tanh,
}
every_function = pytest.mark.parametrize("name", ACTIVATIONS)


def test_every_name_of_the_configuration_has_its_function():
    assert set(ACTIVATIONS) == set(ACTIVATION_NAMES) == set(ONE_NUMBER)


@every_function
@textbook_and_engine
def test_gradients(name, fast):
    x = 2 * np.random.default_rng(1).standard_normal((2, 3, 5))
    check_gradients(*ACTIVATIONS[name], {"x": x}, Scope.of(fast=fast))


@every_function
@textbook_and_engine
def test_values(name, fast):
    x = np.concatenate([np.linspace(-9, 9, 361), [0.0, -0.0, 1e-300, -40.0, 40.0]])
    y = ACTIVATIONS[name][0](x.copy(), Scope.of(fast=fast))
    expected = [ONE_NUMBER[name](v) for v in x.tolist()]
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=2e-15)         # 9 · (rounding of tanh, erf)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "tanh"])
@textbook_and_engine
def test_what_is_far_to_the_right_passes_and_what_is_far_to_the_left_does_not(name, fast):
    forward, backward = ACTIVATIONS[name]
    s = Scope.of(fast=fast)
    np.testing.assert_allclose(forward(np.array([-40.0, 40.0]), s), [0, 40], rtol=0, atol=1e-15)       # 40 exp(−40) = 2e-16
    np.testing.assert_allclose(backward(np.array([3.0, 3.0]), s), [0, 3], rtol=0, atol=1e-15)


@textbook_and_engine
def test_tanh_is_flat_far_out(fast):
    forward, backward = ACTIVATIONS["tanh"]
    s = Scope.of(fast=fast)
    np.testing.assert_array_equal(forward(np.array([-40.0, 40.0]), s), [-1, 1])
    np.testing.assert_array_equal(backward(np.ones(2), s), [0, 0])


@textbook_and_engine
def test_relu_has_no_slope_at_zero(fast):
    forward, backward = ACTIVATIONS["relu"]
    s = Scope.of(fast=fast)
    forward(np.array([0.0, -0.0, 1e-300]), s)
    np.testing.assert_array_equal(backward(np.ones(3), s), [0, 0, 1])
