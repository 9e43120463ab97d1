"""Cross-entropy against central differences and −log p written out."""

import math

import numpy as np
import pytest

from gradients import dtypes
from minigpt.nn import Scope, cross_entropy_backward, cross_entropy_forward
from minigpt.nn.loss import COLUMNS, IGNORED
from minigpt.study.gradcheck import check_gradients


def plain_loss(logits, targets, count=None):
    """loss and dlogits, one position at a time, by the definition"""
    dlogits = np.zeros_like(logits)
    kept = [index for index in np.ndindex(targets.shape) if targets[index] != IGNORED]
    n = len(kept) if count is None else count
    total = 0.0
    for index in kept:
        p = np.exp(logits[index] - logits[index].max())
        p /= p.sum()
        total -= math.log(p[targets[index]])
        dlogits[index] = p / n
        dlogits[index][targets[index]] -= 1 / n
    return total / n, dlogits


def some_targets(rng, V, shape):
    """Targets of which about a quarter are ignored, and at least one counts"""
    targets = np.where(rng.random(shape) < 0.25, IGNORED, rng.integers(0, V, shape))
    targets.flat[0] = V - 1
    return targets


@pytest.mark.parametrize("shape", [(7,), (2, 5)], ids=["(N,)", "(B, T)"])
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_gradients(shape, study):
    rng = np.random.default_rng(1)
    inputs = {"logits": rng.standard_normal((*shape, 6)), "targets": rng.integers(0, 6, shape)}
    check_gradients(cross_entropy_forward, cross_entropy_backward, inputs, Scope.of(study=study))


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_gradients_with_ignored_targets(study):
    rng = np.random.default_rng(2)
    inputs = {"logits": rng.standard_normal((3, 5, 6)), "targets": some_targets(rng, 6, (3, 5))}
    check_gradients(cross_entropy_forward, cross_entropy_backward, inputs, Scope.of(study=study))


@pytest.mark.parametrize("V", [1023, 1024, 1025, 2500], ids=lambda V: f"{V} tokens")
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_a_large_vocabulary_equals_the_definition(V, study):
    rng = np.random.default_rng(3)
    logits = 5 * rng.standard_normal((9, V))
    targets = np.array([0, 1022, V - 1, IGNORED, 5, V // 2, *(min(v, V - 1) for v in (COLUMNS - 1, COLUMNS, 2 * COLUMNS))])
    s = Scope.of(study=study)
    loss = cross_entropy_forward(logits.copy(), targets, s)
    dlogits = cross_entropy_backward(1.0, s)
    expected_loss, expected_dlogits = plain_loss(logits, targets)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    np.testing.assert_allclose(dlogits, expected_dlogits, rtol=1e-10, atol=1e-16)


def test_gradients_of_a_large_vocabulary():
    rng = np.random.default_rng(4)
    inputs = {"logits": 3 * rng.standard_normal((3, 2100)), "targets": np.array([1023, 1024, 2099])}
    check_gradients(cross_entropy_forward, cross_entropy_backward, inputs, Scope.of(study=False))


def test_the_best_logit_may_stand_in_any_piece_of_the_vocabulary():
    for best in (0, 1023, 1024, 2047, 2048, 2499):
        logits = np.zeros((1, 2500))
        logits[0, best] = 800.0                  # exp(800) overflows, so a maximum of the wrong piece would show
        loss = cross_entropy_forward(logits, np.array([best]), Scope.of())
        assert loss == pytest.approx(0, abs=1e-12)


def test_equal_logits_cost_the_logarithm_of_the_vocabulary():
    loss = cross_entropy_forward(np.full((2, 3, 11), 7.0), np.zeros((2, 3), int), Scope.of())
    assert loss == pytest.approx(math.log(11), rel=1e-14)


def test_the_loss_is_the_mean_over_the_targets_that_count():
    rng = np.random.default_rng(5)
    logits, targets = rng.standard_normal((2, 3, 6)), np.array([[1, IGNORED, 2], [IGNORED, 0, IGNORED]])
    s = Scope.of()
    loss = cross_entropy_forward(logits, targets, s)
    assert loss == pytest.approx(plain_loss(logits, targets)[0], rel=1e-13)
    assert loss == pytest.approx(s.acts["nll"].sum() / 3, rel=1e-13)


def test_ignored_positions_get_no_gradient():
    rng = np.random.default_rng(6)
    targets = np.array([[1, IGNORED, 2]])
    s = Scope.of()
    cross_entropy_forward(rng.standard_normal((1, 3, 6)), targets, s)
    dlogits = cross_entropy_backward(1.0, s)
    np.testing.assert_array_equal(dlogits[0, 1], 0)
    assert (dlogits[0, ::2] != 0).all()


def test_the_nll_of_each_position_stays():
    rng = np.random.default_rng(7)
    logits, targets = rng.standard_normal((2, 3, 6)), np.array([[1, IGNORED, 2], [3, 0, 5]])
    s = Scope.of()
    cross_entropy_forward(logits, targets, s)
    expected = np.zeros((2, 3))
    for b, t in zip(*np.nonzero(targets != IGNORED), strict=True):
        expected[b, t] = math.log(np.exp(logits[b, t]).sum()) - logits[b, t, targets[b, t]]
    np.testing.assert_allclose(s.acts["nll"], expected, rtol=1e-12, atol=1e-15)


def test_with_a_count_the_mean_is_over_more_positions_than_these():
    rng = np.random.default_rng(8)
    logits, targets = rng.standard_normal((2, 3, 6)), rng.integers(0, 6, (2, 3))
    s = Scope.of()
    loss = cross_entropy_forward(logits, targets, s, count=10)
    expected_loss, expected_dlogits = plain_loss(logits, targets, 10)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    np.testing.assert_allclose(cross_entropy_backward(1.0, s), expected_dlogits, rtol=1e-12)


@pytest.mark.parametrize("count", [None, 6])
def test_a_part_without_a_target_that_counts_adds_nothing(count):
    s = Scope.of()
    assert cross_entropy_forward(np.ones((2, 3, 6)), np.full((2, 3), IGNORED), s, count) == 0
    np.testing.assert_array_equal(cross_entropy_backward(1.0, s), 0)


def test_a_positions_gradient_sums_to_zero():
    rng = np.random.default_rng(9)
    s = Scope.of()
    cross_entropy_forward(rng.standard_normal((4, 1500)), rng.integers(0, 1500, 4), s)
    np.testing.assert_allclose(cross_entropy_backward(1.0, s).sum(-1), 0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_far_from_zero_do_not_overflow(dtype):
    s = Scope.of()
    loss = cross_entropy_forward(np.array([[1e4, -1e4, 0], [-1e4, -2e4, -3e4]], dtype), np.array([1, 0]), s)
    assert loss == 1e4                           # 2e4 for the first position, 0 for the second
    assert np.isfinite(cross_entropy_backward(1.0, s)).all()


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_strided_logits_give_what_their_copies_give(study):
    rng = np.random.default_rng(10)
    logits, targets = rng.standard_normal((2, 6, 7))[:, :-1], rng.integers(0, 7, (2, 6))[:, 1:]      # the usual shift by one
    s = Scope.of(study=study)
    expected_loss, expected_dlogits = plain_loss(logits.copy(), targets)
    assert cross_entropy_forward(logits, targets, s) == pytest.approx(expected_loss, rel=1e-13)
    np.testing.assert_allclose(cross_entropy_backward(1.0, s), expected_dlogits, rtol=1e-12)


def test_study_mode_leaves_the_logits_alone():
    rng = np.random.default_rng(11)
    s, logits = Scope.of(), rng.standard_normal((4, 6))
    before = logits.copy()
    cross_entropy_forward(logits, rng.integers(0, 6, 4), s)
    cross_entropy_backward(1.0, s)
    np.testing.assert_array_equal(logits, before)


def test_the_fast_path_equals_study_mode():
    rng = np.random.default_rng(12)
    logits, targets = rng.standard_normal((4, 1100)), some_targets(rng, 1100, (4,))
    study, fast = Scope.of(), Scope.of(study=False)
    assert cross_entropy_forward(logits.copy(), targets, fast) == cross_entropy_forward(logits, targets, study)
    np.testing.assert_array_equal(cross_entropy_backward(0.3, fast), cross_entropy_backward(0.3, study))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dloss", [1.0, np.float64(0.3)], ids=["float", "np.float64"])
def test_every_array_has_the_dtype_of_the_logits(dtype, dloss):
    rng = np.random.default_rng(13)
    s = Scope.of()
    loss = cross_entropy_forward(rng.standard_normal((4, 1100)).astype(dtype), some_targets(rng, 1100, (4,)), s)
    assert type(loss) is float
    assert {cross_entropy_backward(dloss, s).dtype} | dtypes(s) == {np.dtype(dtype)}


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8, np.uint16])
def test_targets_may_be_any_integers(kind):
    rng = np.random.default_rng(14)
    logits, targets = rng.standard_normal((4, 6)), rng.integers(0, 6, 4)
    expected = cross_entropy_forward(logits, targets, Scope.of())
    assert cross_entropy_forward(logits, targets.astype(kind), Scope.of()) == expected
