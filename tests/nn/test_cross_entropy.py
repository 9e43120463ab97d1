"""Cross-entropy against central differences and −log p of probabilities known by hand."""

import math

import numpy as np
import pytest

from gradients import check_recorded, dtypes, textbook_and_engine
from layers import some_targets
from minigpt.nn import Scope, cross_entropy_backward, cross_entropy_forward
from minigpt.nn.cross_entropy import IGNORED
from minigpt.nn.fast.cross_entropy import COLUMNS
from minigpt.study.gradcheck import check_gradients


def a_quarter(*shape):
    """Logits (…, 2) of two tokens with p = 1/4 and 3/4, fresh, since the engine writes over them"""
    return np.tile([7.0, 7 + math.log(3)], (*shape, 1))


# Gradients


@pytest.mark.parametrize("shape", [(7,), (2, 5)], ids=["(N,)", "(B, T)"])
@textbook_and_engine
def test_gradients(shape, fast):
    rng = np.random.default_rng(1)
    inputs = {"logits": rng.standard_normal((*shape, 6)), "targets": rng.integers(0, 6, shape)}
    check_gradients(cross_entropy_forward, cross_entropy_backward, inputs, Scope.of(fast=fast))


@pytest.mark.parametrize("count", [None, 40])
@textbook_and_engine
def test_gradients_with_ignored_targets(count, fast):
    inputs = {"logits": np.random.default_rng(2).standard_normal((3, 5, 6)), "targets": some_targets(6, 3, 5)}
    check_gradients(cross_entropy_forward, cross_entropy_backward, inputs, Scope.of(fast=fast), count=count)


def test_gradients_of_the_engine_over_several_pieces_of_the_vocabulary():
    logits = 3 * np.random.default_rng(3).standard_normal((3, 2 * COLUMNS + 52))
    inputs = {"logits": logits, "targets": np.array([COLUMNS - 1, COLUMNS, 2 * COLUMNS + 51])}
    check_gradients(cross_entropy_forward, cross_entropy_backward, inputs, Scope.of(fast=True))


def test_the_textbook_records_every_step_and_its_gradient():
    inputs = {"logits": np.random.default_rng(4).standard_normal((3, 5, 6)), "targets": some_targets(6, 3, 5)}
    s = Scope.of()
    assert sorted(check_recorded(cross_entropy_forward, cross_entropy_backward, inputs, s)) == ["logits", "logp", "nll"]
    np.testing.assert_allclose(np.exp(s.acts["logp"]).sum(-1), 1, rtol=1e-14)


@textbook_and_engine
def test_a_gradient_is_what_the_model_believes_less_what_is_right(fast):
    s = Scope.of(fast=fast)
    cross_entropy_forward(a_quarter(2), np.array([1, 0]), s)
    np.testing.assert_allclose(cross_entropy_backward(10.0, s), [[5 / 4, -5 / 4], [-15 / 4, 15 / 4]], rtol=1e-13)


@textbook_and_engine
def test_ignored_positions_get_no_gradient(fast):
    s = Scope.of(fast=fast)
    cross_entropy_forward(a_quarter(1, 3), np.array([[1, IGNORED, 0]]), s)
    dlogits = cross_entropy_backward(1.0, s)
    np.testing.assert_array_equal(dlogits[0, 1], 0)
    assert (dlogits[0, ::2] != 0).all()


@textbook_and_engine
def test_a_positions_gradient_sums_to_zero(fast):
    rng = np.random.default_rng(5)
    s = Scope.of(fast=fast)
    cross_entropy_forward(rng.standard_normal((4, COLUMNS + 50)), rng.integers(0, COLUMNS + 50, 4), s)
    np.testing.assert_allclose(cross_entropy_backward(1.0, s).sum(-1), 0, atol=1e-15)


# Values


@textbook_and_engine
def test_a_token_costs_the_negative_logarithm_of_its_probability(fast):
    assert cross_entropy_forward(a_quarter(1), np.array([0]), Scope.of(fast=fast)) == pytest.approx(math.log(4), rel=1e-14)
    assert cross_entropy_forward(a_quarter(1), np.array([1]), Scope.of(fast=fast)) == pytest.approx(math.log(4 / 3), rel=1e-14)


@textbook_and_engine
def test_equal_logits_cost_the_logarithm_of_the_vocabulary(fast):
    loss = cross_entropy_forward(np.full((2, 3, 11), 7.0), np.zeros((2, 3), int), Scope.of(fast=fast))
    assert loss == pytest.approx(math.log(11), rel=1e-14)


@textbook_and_engine
def test_the_loss_is_the_mean_over_the_targets_that_count(fast):
    targets = np.array([[0, IGNORED, 1], [IGNORED, 0, IGNORED]])
    s = Scope.of(fast=fast)
    loss = cross_entropy_forward(a_quarter(2, 3), targets, s)
    assert loss == pytest.approx((2 * math.log(4) + math.log(4 / 3)) / 3, rel=1e-14)
    expected = [[math.log(4), 0, math.log(4 / 3)], [0, math.log(4), 0]]
    np.testing.assert_allclose(s.acts["nll"], expected, rtol=1e-14)


@textbook_and_engine
def test_with_a_count_the_mean_is_over_more_positions_than_these(fast):
    s = Scope.of(fast=fast)
    loss = cross_entropy_forward(a_quarter(2), np.array([0, 0]), s, count=10)
    assert loss == pytest.approx(2 * math.log(4) / 10, rel=1e-14)
    np.testing.assert_allclose(cross_entropy_backward(1.0, s), np.tile([-3 / 40, 3 / 40], (2, 1)), rtol=1e-13)


@pytest.mark.parametrize("count", [None, 6])
@textbook_and_engine
def test_a_part_without_a_target_that_counts_adds_nothing(count, fast):
    s = Scope.of(fast=fast)
    assert cross_entropy_forward(a_quarter(2, 3), np.full((2, 3), IGNORED), s, count) == 0
    np.testing.assert_array_equal(cross_entropy_backward(1.0, s), 0)


@textbook_and_engine
def test_the_best_logit_may_stand_in_any_piece_of_the_vocabulary(fast):
    V = 2 * COLUMNS + 452
    for best in (0, COLUMNS - 1, COLUMNS, 2 * COLUMNS - 1, 2 * COLUMNS, V - 1):
        logits = np.zeros((1, V))
        logits[0, best] = 800.0                  # exp(800) overflows, so a maximum of the wrong piece would show
        loss = cross_entropy_forward(logits, np.array([best]), Scope.of(fast=fast))
        assert loss == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@textbook_and_engine
def test_logits_far_from_zero_do_not_overflow(dtype, fast):
    s = Scope.of(fast=fast)
    loss = cross_entropy_forward(np.array([[1e4, -1e4, 0], [-1e4, -2e4, -3e4]], dtype), np.array([1, 0]), s)
    assert loss == 1e4                           # 2e4 for the first position, 0 for the second
    assert np.isfinite(cross_entropy_backward(1.0, s)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dloss", [1.0, np.float64(0.3)], ids=["float", "np.float64"])
@textbook_and_engine
def test_a_scale_of_any_kind_leaves_every_array_in_the_dtype_of_the_logits(dtype, dloss, fast):
    s = Scope.of(fast=fast)
    loss = cross_entropy_forward(a_quarter(4).astype(dtype), np.array([1, 0, IGNORED, 1]), s)
    assert type(loss) is float
    assert {cross_entropy_backward(dloss, s).dtype} | dtypes(s) == {np.dtype(dtype)}


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8, np.uint16])
@textbook_and_engine
def test_targets_may_be_any_integers(kind, fast):
    s = Scope.of(fast=fast)
    loss = cross_entropy_forward(a_quarter(2), np.array([1, 0], kind), s)
    assert loss == pytest.approx((math.log(4) + math.log(4 / 3)) / 2, rel=1e-14)
    np.testing.assert_allclose(cross_entropy_backward(1.0, s), [[1 / 8, -1 / 8], [-3 / 8, 3 / 8]], rtol=1e-13)
