"""Embedding, output layer and sinusoidal positions."""

import math

import numpy as np
import pytest

from gradients import dtypes
from minigpt.nn import (
    Scope,
    embedding,
    embedding_backward,
    embedding_forward,
    sinusoidal_positions,
    unembedding_backward,
    unembedding_forward,
)
from minigpt.study.gradcheck import check_gradients


@pytest.fixture(params=["one-hot", "row loop"])
def path(request, monkeypatch):
    """Both ways to the table's gradient: a product with one-hot rows, and a loop over positions for a large vocabulary"""
    monkeypatch.setattr(embedding, "ONE_HOT_ROWS", 1024 if request.param == "one-hot" else 0)


@pytest.mark.parametrize("shape", [(7,), (2, 5)], ids=["(N,)", "(B, T)"])
def test_embedding_gradients(path, shape):
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 4, shape)              # 4 of 6 rows, so that some come twice and some never
    check_gradients(embedding_forward, embedding_backward, {"ids": ids}, Scope.of(weight=rng.standard_normal((6, 3))))


def test_embedding_gradients_of_a_vocabulary_above_1024():
    rng = np.random.default_rng(2)
    ids = np.array([[0, 1023, 1024, 1029, 1024]])
    s = Scope.of(weight=rng.standard_normal((1030, 2)))
    dy = rng.standard_normal((1, 5, 2))
    embedding_forward(ids, s)
    embedding_backward(dy, s)
    expected = np.zeros((1030, 2))
    np.add.at(expected, ids, dy)
    np.testing.assert_array_equal(s.grads["weight"], expected)


def test_each_id_gets_its_row():
    rng = np.random.default_rng(3)
    weight, ids = rng.standard_normal((6, 3)), np.array([[5, 0, 5], [1, 2, 0]])
    np.testing.assert_array_equal(embedding_forward(ids, Scope.of(weight=weight)), weight[ids])


def test_rows_of_a_repeated_token_add_up(path):
    s = Scope.of(weight=np.zeros((3, 2)))
    embedding_forward(np.array([1, 1, 2]), s)
    embedding_backward(np.array([[1.0, 2.0], [10.0, 20.0], [5.0, 6.0]]), s)
    np.testing.assert_array_equal(s.grads["weight"], [[0, 0], [11, 22], [5, 6]])


def test_embedding_gradients_of_two_uses_add_up(path):
    rng = np.random.default_rng(4)
    s, ids, dy = Scope.of(weight=rng.standard_normal((6, 3))), rng.integers(0, 6, (2, 5)), rng.standard_normal((2, 5, 3))
    embedding_forward(ids, s)
    embedding_backward(dy, s)
    once = s.grads["weight"].copy()
    embedding_backward(dy, s)
    np.testing.assert_allclose(s.grads["weight"], 2 * once, rtol=1e-13)     # the loop adds row by row


def test_the_one_hot_matrix_of_a_longer_pass_leaves_no_trace():
    rng = np.random.default_rng(5)
    s = Scope.of(study=False, weight=rng.standard_normal((6, 3)))
    for length in (9, 4):
        ids, dy = rng.integers(0, 6, (1, length)), rng.standard_normal((1, length, 3))
        s.grads.reset()
        embedding_forward(ids, s)
        embedding_backward(dy, s)
    expected = np.zeros((6, 3))
    np.add.at(expected, ids, dy)
    np.testing.assert_allclose(s.grads["weight"], expected, rtol=1e-13, atol=1e-15)


def test_strided_ids_and_gradients_give_what_their_copies_give(path):
    rng = np.random.default_rng(6)
    weight, ids, dy = rng.standard_normal((6, 3)), rng.integers(0, 6, (5, 2)).T, rng.standard_normal((3, 5, 2)).T
    strided, copied = Scope.of(weight=weight), Scope.of(weight=weight)
    np.testing.assert_array_equal(embedding_forward(ids, strided), embedding_forward(ids.copy(), copied))
    embedding_backward(dy, strided)
    embedding_backward(dy.copy(), copied)
    np.testing.assert_allclose(strided.grads["weight"], copied.grads["weight"], rtol=1e-13)


@pytest.mark.parametrize("shape", [(7, 3), (2, 5, 3)], ids=["(N, C)", "(B, T, C)"])
def test_unembedding_gradients(shape):
    rng = np.random.default_rng(7)
    s = Scope.of(weight=rng.standard_normal((6, 3)))
    check_gradients(unembedding_forward, unembedding_backward, {"h": rng.standard_normal(shape)}, s)


def test_a_logit_is_the_inner_product_with_the_tokens_row():
    rng = np.random.default_rng(8)
    weight, h = rng.standard_normal((6, 3)), rng.standard_normal((2, 5, 3))
    logits = unembedding_forward(h, Scope.of(weight=weight))
    np.testing.assert_allclose(logits, np.einsum("btc,vc->btv", h, weight), rtol=1e-13, atol=1e-15)


def test_a_tied_table_gets_both_contributions(path):
    rng = np.random.default_rng(9)
    s, ids = Scope.of(weight=rng.standard_normal((6, 3))), rng.integers(0, 6, (2, 5))

    def forward(ids, s):
        return unembedding_forward(embedding_forward(ids, s), s)

    def backward(dlogits, s):
        embedding_backward(unembedding_backward(dlogits, s), s)

    check_gradients(forward, backward, {"ids": ids}, s)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_has_the_dtype_of_the_table(path, dtype):
    rng = np.random.default_rng(10)
    s = Scope.of(weight=rng.standard_normal((6, 3)).astype(dtype))
    y = embedding_forward(rng.integers(0, 6, (2, 5)), s)
    logits = unembedding_forward(y, s)
    dy = unembedding_backward(logits.copy(), s)
    embedding_backward(dy, s)
    assert {y.dtype, logits.dtype, dy.dtype} | dtypes(s) == {np.dtype(dtype)}


@pytest.mark.parametrize("C", [6, 5])
def test_sinusoidal_positions_equal_the_equation(C):
    table = sinusoidal_positions(7, C)
    for t in range(7):
        for c in range(C):
            angle = t / 10_000 ** ((c - c % 2) / C)
            expected = math.cos(angle) if c % 2 else math.sin(angle)
            assert table[t, c] == pytest.approx(expected, abs=1e-15)


def test_sinusoidal_positions_have_the_dtype_asked_for():
    assert sinusoidal_positions(7, 6, np.float32).dtype == np.float32
