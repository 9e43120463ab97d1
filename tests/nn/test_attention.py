"""Attention against central differences and values known by hand, and what the engine alone does.

Which key a query sees is test_mask.py's, several heads side by side test_multihead.py's.
"""

import math
import re

import numpy as np
import pytest

from gradients import check_recorded, textbook_and_engine
from layers import MASKS, padding
from minigpt.nn import Scope, attention_backward, attention_forward
from minigpt.nn.fast import attention
from minigpt.study.gradcheck import check_gradients

every_mask = pytest.mark.parametrize("mask", [MASKS[name] for name in MASKS if "beyond" not in name], ids=str)


def heads(seed, B=2, H=2, T=5, S=5, D=3):
    """{"q": (B, H, T, D), "k" and "v": (B, H, S, D)}"""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((B, H, n, D)) for name, n in zip("qkv", (T, S, S), strict=True)}


def called(inputs, s, **options):
    """o for copies of the inputs, since the engine may write over q; a copy, since its buffer is used again"""
    return attention_forward(*(x.copy() for x in inputs.values()), s, **options).copy()


@pytest.fixture
def small_tiles(monkeypatch):
    """4 queries a tile and one sequence at a time, so that small sequences take every turn of the engine"""
    monkeypatch.setattr(attention, "QUERIES", 4)
    monkeypatch.setattr(attention, "TILE", 1)


# Gradients


@every_mask
@textbook_and_engine
def test_gradients(mask, fast, small_tiles):
    check_gradients(attention_forward, attention_backward, heads(1, T=9, S=9), Scope.of(fast=fast), **mask)


@every_mask
@textbook_and_engine
def test_gradients_with_padding_and_a_sequence_wholly_masked(mask, fast, small_tiles):
    options = {**mask, "key_padding_mask": padding(3, 9)}
    check_gradients(attention_forward, attention_backward, heads(2, B=3, T=9, S=9), Scope.of(fast=fast), **options)


@every_mask
@pytest.mark.parametrize("T, S", [(3, 9), (6, 7), (9, 4)], ids=["3 queries, 9 keys", "6 queries, 7 keys", "9 queries, 4 keys"])
@textbook_and_engine
def test_gradients_with_another_number_of_keys_than_queries(mask, T, S, fast, small_tiles):
    check_gradients(attention_forward, attention_backward, heads(3, H=1, T=T, S=S), Scope.of(fast=fast), **mask)


@textbook_and_engine
def test_gradients_with_dropout(fast, small_tiles):
    s = Scope.of(fast=fast, dropout_key=(4, 0))
    check_gradients(attention_forward, attention_backward, heads(4, T=9, S=9), s, dropout=0.3)


@textbook_and_engine
def test_gradients_with_a_scale_of_ones_own(fast, small_tiles):
    check_gradients(attention_forward, attention_backward, heads(7, T=9, S=9), Scope.of(fast=fast), scale=1.3)


@textbook_and_engine
def test_a_scale_takes_the_place_of_one_over_the_root_of_the_channels(fast):
    inputs = heads(8)
    expected = called({**inputs, "q": inputs["q"] * 0.3 * math.sqrt(3)}, Scope.of(fast=fast))
    np.testing.assert_allclose(called(inputs, Scope.of(fast=fast), scale=0.3), expected, rtol=1e-12)
    usual = called(inputs, Scope.of(fast=fast))
    np.testing.assert_array_equal(called(inputs, Scope.of(fast=fast), scale=1 / math.sqrt(3)), usual)


@pytest.mark.parametrize("axes", [2, 3])
@textbook_and_engine
def test_gradients_of_a_single_sequence_or_head(axes, fast):
    inputs = {name: x.reshape(x.shape[4 - axes :]) for name, x in heads(5, B=1, H=1).items()}
    check_gradients(attention_forward, attention_backward, inputs, Scope.of(fast=fast))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_textbook_records_every_step_and_its_gradient(dropout):
    s, options = Scope.of(dropout_key=(6,)), {"dropout": dropout, "window": 3}
    names = check_recorded(attention_forward, attention_backward, heads(6), s, **options)
    assert sorted(names) == ["att", "k", "o", "q", "scores", "v"]


# Values


@textbook_and_engine
def test_a_key_whose_product_is_larger_by_root_d_log_three_has_three_times_the_weight(fast):
    q = np.array([[2.0, 0, 0, 0]])                                  # D = 4, so that scores are q·k/2
    k = np.array([[math.log(3), 9, 0, 0], [0, 0, 9, 0]])
    v = np.array([[4.0, 0, 0, 0], [0, 8, 0, 0]])
    np.testing.assert_allclose(attention_forward(q, k, v, Scope.of(fast=fast)), [[3, 2, 0, 0]], rtol=1e-14)


@textbook_and_engine
def test_equal_scores_give_the_mean_of_the_values_seen(fast):
    inputs = heads(7)
    inputs["q"][...] = 0
    v = inputs["v"]
    o = called(inputs, Scope.of(fast=fast))
    for t in range(5):
        np.testing.assert_allclose(o[:, :, t], v[:, :, : t + 1].mean(2), rtol=1e-13)
    o = called(inputs, Scope.of(fast=fast), window=2)
    np.testing.assert_allclose(o[:, :, 4], v[:, :, 3:].mean(2), rtol=1e-13)


def test_the_textbook_records_scores_and_weights():
    s, inputs = Scope.of(), heads(8)
    called(inputs, s)
    hidden = np.triu(np.ones((5, 5), bool), 1)
    assert (s.acts["scores"][..., hidden] == -np.inf).all()
    assert (s.acts["att"][..., hidden] == 0).all()
    q, k = inputs["q"], inputs["k"]
    assert s.acts["scores"][1, 0, 4, 2] == pytest.approx(q[1, 0, 4] @ k[1, 0, 2] / math.sqrt(3), rel=1e-14)
    np.testing.assert_allclose(s.acts["att"].sum(-1), 1, rtol=1e-14)


@textbook_and_engine
def test_dropout_sets_weights_to_zero_and_scales_the_others(fast):
    inputs = heads(9, T=7, S=7, D=7)
    inputs["v"][...] = np.eye(7)                                    # o is then the matrix of weights
    att = called(inputs, Scope.of(fast=fast, dropout_key=(9,)))
    ratio = called(inputs, Scope.of(fast=fast, dropout_key=(9,)), dropout=0.25)[att > 0] / att[att > 0]
    dropped = ratio == 0
    assert 0 < dropped.sum() < dropped.size / 2
    np.testing.assert_allclose(ratio[~dropped], 4 / 3, rtol=1e-12)


@textbook_and_engine
def test_without_a_key_nothing_drops(fast):
    inputs = heads(10)
    s = Scope.of(fast=fast)
    np.testing.assert_array_equal(called(inputs, s, dropout=0.9), called(inputs, s))


@textbook_and_engine
def test_a_sequence_wholly_masked_gets_zeros_and_gives_no_gradient(fast):
    s = Scope.of(fast=fast)
    o = called(heads(11), s, key_padding_mask=np.array([[False] * 5, [True] * 5]))
    np.testing.assert_array_equal(o[0], 0)
    assert (o[1] != 0).all()
    for d in attention_backward(np.random.default_rng(11).standard_normal(o.shape), s):
        np.testing.assert_array_equal(d[0], 0)


@textbook_and_engine
def test_queries_before_the_first_key_that_is_no_padding_get_zeros(fast):
    o = called(heads(12, B=1), Scope.of(fast=fast), key_padding_mask=np.array([[False, False, True, True, True]]))
    np.testing.assert_array_equal(o[:, :, :2], 0)
    assert np.isfinite(o).all()


@pytest.mark.parametrize("T", [5, 70])
@pytest.mark.parametrize("size", [1e3, -1e3])
@textbook_and_engine
def test_scores_far_from_zero_do_not_overflow(T, size, fast):
    q, k, v = (x.astype(np.float32) for x in heads(13, B=1, H=1, T=T, S=T).values())
    q[..., 0], k[..., 0] = size, abs(size)                          # scores near ±5.8e5 in every entry
    assert np.isfinite(attention_forward(q, k, v, Scope.of(fast=fast))).all()


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 5), (2, 4), (2, 1), (2, 5, 5)], ids=str)
@textbook_and_engine
def test_a_key_padding_mask_of_another_shape_than_the_keys_is_refused(shape, fast):
    found = f"key_padding_mask: shape {shape} beside q (2, 2, 5, 3) and k (2, 2, 5, 3), expected (B, S)"
    with pytest.raises(ValueError, match=re.escape(found)):
        called(heads(14), Scope.of(fast=fast), key_padding_mask=np.ones(shape, bool))


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("B", [1, 2, 5])
@textbook_and_engine
def test_a_key_padding_mask_beside_queries_without_a_batch_is_refused(axes, B, fast):
    inputs = {name: x.reshape(x.shape[4 - axes :]) for name, x in heads(15, B=1, H=1).items()}
    with pytest.raises(ValueError, match=r"^key_padding_mask: .*, expected \(B, S\) beside q \(B, H, T, D\)"):
        called(inputs, Scope.of(fast=fast), key_padding_mask=np.ones((B, 5), bool))


@pytest.mark.parametrize("one", "qkv")
@textbook_and_engine
def test_queries_of_one_sequence_are_not_spread_over_the_keys_of_several(one, fast):
    for alone in (slice(0, 1), 0):
        inputs = heads(16)
        inputs[one] = inputs[one][alone]
        with pytest.raises(ValueError, match=r"^attention: q \(.*\), k .*, expected the same axes before the last two$"):
            called(inputs, Scope.of(fast=fast))


# The engine alone


def test_a_shorter_pass_of_the_engine_after_a_longer_one_is_not_disturbed(small_tiles):
    used, fresh = Scope.of(fast=True), Scope.of(fast=True)
    longer, shorter = heads(17, T=13, S=13), heads(18, T=6, S=6)
    called(longer, used)
    attention_backward(longer["q"], used)
    do = np.random.default_rng(18).standard_normal((2, 2, 6, 3))
    np.testing.assert_array_equal(called(shorter, used), called(shorter, fresh))
    for actual, expected in zip(attention_backward(do, used), attention_backward(do, fresh), strict=True):
        np.testing.assert_array_equal(actual, expected)
