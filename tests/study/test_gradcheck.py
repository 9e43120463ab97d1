"""The gradient check itself: what is right passes, each way of being wrong is caught and named."""

import re

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.nn import Scope, cross_entropy_forward, embedding_backward, embedding_forward, softmax, softmax_backward
from minigpt.study.gradcheck import GradientError, check_gradients, check_model


def square_forward(x, s):
    s.acts["x"] = x
    return x * x


def square_backward(dy, s):
    return 2 * s.acts["x"] * dy


def scale_forward(x, s):
    s.acts["x"] = x
    return s.params["weight"] * x


def scale_backward(dy, s):
    s.grads.add("weight", (dy * s.acts["x"]).sum((0, 1)))
    return dy * s.params["weight"]


def softmax_forward(x, s):
    s.acts["y"] = y = softmax(x)
    return y


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


# What is right


def test_a_pair_of_ones_own_passes_and_gives_a_table():
    check = check_gradients(scale_forward, scale_backward, {"x": normal(0, 2, 3, 5)}, Scope.of(weight=normal(1, 5)))
    assert [(row.name, row.shape, row.checked) for row in check.rows] == [("x", (2, 3, 5), 30), ("weight", (5,), 5)]
    assert check["weight"].error < 1e-9
    header, x, weight, verdict = repr(check).splitlines()
    assert header.split() == ["array", "shape", "checked", "error", "at"]
    assert re.fullmatch(r"x       \(2, 3, 5\)  30 of 30  \S+e-\d\d  \[\d, \d, \d\]", x)
    assert re.fullmatch(r"weight  \(5,\)       5 of 5    \S+e-\d\d  \[\d\]", weight)
    assert verdict == "all right; tolerance 1e-07"


def test_a_large_array_is_sampled_and_moved_along_a_direction():
    check = check_gradients(square_forward, square_backward, {"x": normal(2, 20, 30)}, samples=7)
    assert check["x"].checked == 7
    assert "7 of 600 + direction" in repr(check)


def test_several_inputs_take_a_tuple():
    def forward(a, b, s):
        s.acts["a"], s.acts["b"] = a, b
        return a * b

    check = check_gradients(forward, lambda dy, s: (dy * s.acts["b"], dy * s.acts["a"]), {"a": normal(3, 4), "b": normal(4, 4)})
    assert [row.name for row in check.rows] == ["a", "b"]


def test_integer_inputs_have_no_gradient():
    s = Scope.of(weight=normal(5, 6, 3))
    check = check_gradients(embedding_forward, embedding_backward, {"ids": np.array([2, 5, 2])}, s)
    assert [row.name for row in check.rows] == ["weight"]


def test_a_parameter_that_moves_nothing_may_have_a_gradient_of_rounding():
    """softmax(x + b) is the softmax of x: the central difference is 1e-11 instead of 0, and relative to 1e-17 all wrong"""

    def forward(x, s):
        return softmax_forward(x + s.params["bias"], s)

    def backward(dy, s):
        dx = softmax_backward(dy, s.acts["y"])
        s.grads.add("bias", np.array([dx.sum()]))
        return dx

    check_gradients(forward, backward, {"x": normal(6, 3, 5)}, Scope.of(bias=np.array([0.3])))


# What is wrong


def test_the_error_names_array_index_and_both_values():
    def backward(dy, s):
        dx = square_backward(dy, s)
        dx[1, 2] = 7
        return dx

    with pytest.raises(GradientError) as caught:
        check_gradients(square_forward, backward, {"x": normal(7, 3, 4)})
    first, *table = str(caught.value).splitlines()
    assert first.startswith("x[1, 2]: backward gives 7.0, central difference ")
    central = float(re.search(r"central difference (\S+),", first)[1])
    dy = np.random.default_rng(0).standard_normal((3, 4))
    assert central == pytest.approx(2 * normal(7, 3, 4)[1, 2] * dy[1, 2], rel=1e-9)
    assert table[-1] == "1 of 1 arrays wrong; tolerance 1e-07"
    assert [row.name for row in caught.value.check.wrong] == ["x"]


def test_a_gradient_error_is_an_assertion_error():
    with pytest.raises(AssertionError):
        check_gradients(square_forward, lambda dy, s: dy, {"x": normal(8, 3)})


def test_only_the_wrong_array_is_named():
    def backward(dy, s):
        dx = scale_backward(dy, s)
        s.grads["weight"] *= 1 + 1e-6
        return dx

    with pytest.raises(GradientError) as caught:
        check_gradients(scale_forward, backward, {"x": normal(9, 2, 3, 5)}, Scope.of(weight=normal(10, 5)))
    assert [row.name for row in caught.value.check.wrong] == ["weight"]


def test_one_wrong_element_that_was_not_drawn_shows_along_the_direction():
    def backward(dy, s):
        dx = square_backward(dy, s)
        dx[11, 7] += 1e-3
        return dx

    with pytest.raises(GradientError, match=r"^x along a direction: backward gives"):
        check_gradients(square_forward, backward, {"x": normal(11, 20, 30)}, samples=1)


def test_zeros_for_softmax_are_caught():
    with pytest.raises(GradientError, match=r"^x\["):       # with a dy of ones they would pass, since Σ softmax is 1
        check_gradients(softmax_forward, lambda dy, s: np.zeros_like(dy), {"x": normal(12, 3, 5)})


def test_nan_is_caught():
    def backward(dy, s):
        dx = square_backward(dy, s)
        dx[1] = np.nan
        return dx

    with pytest.raises(GradientError, match=r"^x\[\d\]: .* error nan"):
        check_gradients(square_forward, backward, {"x": normal(13, 3)})


@pytest.mark.parametrize(
    "backward, message",
    [
        (lambda dy, s: None, "backward: returned 0 gradients, expected 1, one each for x"),
        (lambda dy, s: (dy, dy), "backward: returned 2 gradients, expected 1, one each for x"),
        (lambda dy, s: dy * s.params["weight"], "weight: backward added no gradient; add it with s.grads.add('weight', …)"),
    ],
    ids=["None", "one too many", "no parameter gradient"],
)
def test_missing_gradients_are_named(backward, message):
    with pytest.raises(GradientError, match=re.escape(message)):
        check_gradients(scale_forward, backward, {"x": normal(14, 2, 3, 5)}, Scope.of(weight=normal(15, 5)))


def test_a_gradient_of_another_shape_is_named():
    with pytest.raises(GradientError, match=re.escape("x: gradient of shape (2,), expected that of x, (3, 2)")):
        check_gradients(square_forward, lambda dy, s: square_backward(dy, s).sum(0), {"x": normal(16, 3, 2)})


def test_float32_is_refused_with_what_to_do():
    with pytest.raises(TypeError, match=r"^x: float32, expected float64: .*; pass x.astype\(np.float64\)$"):
        check_gradients(square_forward, square_backward, {"x": normal(17, 3).astype(np.float32)})


def test_a_forward_without_return_is_named():
    with pytest.raises(TypeError, match=r"^forward: returned object of shape \(\), expected one array of float64, or a float"):
        check_gradients(lambda x, s: None, square_backward, {"x": normal(18, 3)})


def test_parameters_are_put_back_when_a_forward_fails():
    calls = []

    def forward(s):
        calls.append(s.params["weight"].copy())
        if len(calls) == 3:                      # the first call is y, the second ℓ(θ + h), this one ℓ(θ − h)
            raise KeyboardInterrupt
        return s.params["weight"] ** 2

    def backward(dy, s):
        s.grads.add("weight", 2 * s.params["weight"] * dy)

    s = Scope.of(weight=normal(19, 5))
    with pytest.raises(KeyboardInterrupt):
        check_gradients(forward, backward, {}, s)
    np.testing.assert_array_equal(s.params["weight"], normal(19, 5))


# A whole model


def small(dtype=np.float64, **changes):
    config = {"vocab_size": 11, "n_positions": 9, "n_embd": 6, "n_layer": 2, "n_head": 2, "initializer_range": 0.5}
    return GPT(GPTConfig(**{**config, **changes}), seed=1, dtype=dtype, threads=1)


def batch():
    return np.random.default_rng(21).integers(0, 11, (2, 2, 5))


def test_every_parameter_of_a_model_has_a_row():
    model = small()
    assert [row.name for row in check_model(model, *batch(), samples=2).rows] == list(model.params)


def test_the_parameters_of_a_model_are_as_before():
    model = small(n_layer=1)
    before = model.flat_params.copy()
    check_model(model, *batch(), samples=2)
    np.testing.assert_array_equal(model.flat_params, before)


def test_a_wrong_gradient_of_a_model_is_named():
    class Wrong(GPT):
        def loss_backward(self, dloss, s):
            super().loss_backward(dloss, s)
            s.grads["h.0.ln_2.weight"] *= 1.001

    model = Wrong(small(n_layer=1).config, seed=1, dtype=np.float64, threads=1)
    with pytest.raises(GradientError) as caught:
        check_model(model, *batch(), samples=2)
    assert [row.name for row in caught.value.check.wrong] == ["h.0.ln_2.weight"]


def test_a_model_in_float32_is_refused_with_what_to_do():
    with pytest.raises(TypeError, match=r"^model: float32, expected float64.*GPT\(config, dtype=np.float64\)"):
        check_model(small(np.float32), *batch())


def test_a_float_is_a_result_too():
    logits, targets = normal(22, 4, 3), np.array([0, 2, 1, 1])

    def backward(dloss, s):
        return dloss * (softmax(logits) - np.eye(3)[targets]) / 4

    check_gradients(cross_entropy_forward, backward, {"logits": logits, "targets": targets})
