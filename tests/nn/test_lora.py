"""LoRA beside a linear layer: its gradients, its start, and that what is frozen gets no gradient."""

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt.nn import Gradients, Pass, Scope, Store, linear_backward, linear_forward
from minigpt.nn.fast.gradients import FastGradients
from minigpt.study.gradcheck import check_gradients


def params(rng, n_in=5, n_out=3, rank=2):
    shapes = {"weight": (n_in, n_out), "bias": (n_out,), "lora_A": (n_in, rank), "lora_B": (rank, n_out)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()} | {"lora_scale": np.full(1, 1.7)}


def scope(arrays, fast, frozen=("lora_scale",)):
    return Scope(Store(arrays), (FastGradients if fast else Gradients)(frozen=frozen), run=Pass(fast=fast))


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 5)])
@textbook_and_engine
def test_the_gradients_of_x_and_of_every_parameter(shape, fast):
    rng = np.random.default_rng(0)
    s = scope(params(rng), fast)
    check_gradients(linear_forward, linear_backward, {"x": rng.standard_normal(shape)}, s)


@textbook_and_engine
def test_an_adapted_layer_is_one_with_the_merged_matrix(fast):
    rng = np.random.default_rng(1)
    p, x, dy = params(rng), rng.standard_normal((4, 5)), rng.standard_normal((4, 3))
    s, merged = scope(p, fast), Scope.of(weight=p["weight"] + 1.7 * p["lora_A"] @ p["lora_B"], bias=p["bias"])
    np.testing.assert_allclose(linear_forward(x, s), linear_forward(x, merged), rtol=1e-13)     # another order of products
    np.testing.assert_allclose(linear_backward(dy, s), linear_backward(dy, merged), rtol=1e-13)
    np.testing.assert_allclose(s.grads["lora_A"], 1.7 * merged.grads["weight"] @ p["lora_B"].T, rtol=1e-12)
    np.testing.assert_allclose(s.grads["lora_B"], 1.7 * p["lora_A"].T @ merged.grads["weight"], rtol=1e-12)


@textbook_and_engine
def test_with_b_at_zero_the_output_is_that_of_the_matrix_alone(fast):
    rng = np.random.default_rng(2)
    p, x = params(rng), rng.standard_normal((4, 5))
    p["lora_B"][...] = 0
    expected = linear_forward(x, Scope.of(fast=fast, weight=p["weight"], bias=p["bias"]))
    np.testing.assert_array_equal(linear_forward(x, scope(p, fast)), expected)


@textbook_and_engine
def test_frozen_names_get_no_gradient_and_change_no_other(fast):
    rng = np.random.default_rng(3)
    p, x, dy = params(rng), rng.standard_normal((4, 5)), rng.standard_normal((4, 3))
    free, frozen = scope(p, fast), scope(p, fast, ["weight", "bias", "lora_scale"])
    for s in (free, frozen):
        linear_forward(x, s)
    np.testing.assert_array_equal(linear_backward(dy, frozen), linear_backward(dy, free))
    assert set(frozen.grads) == {"lora_A", "lora_B"}
    for name in frozen.grads:
        np.testing.assert_array_equal(frozen.grads[name], free.grads[name], err_msg=name)
