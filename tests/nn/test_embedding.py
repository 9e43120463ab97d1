"""Embedding, output layer and sinusoidal positions."""

import math

import numpy as np
import pytest

from gradients import check_recorded, textbook_and_engine
from minigpt.nn import (
    Scope,
    embedding_backward,
    embedding_forward,
    sinusoidal_positions,
    unembedding_backward,
    unembedding_forward,
)
from minigpt.nn.fast import embedding
from minigpt.study.gradcheck import check_gradients


@pytest.fixture(params=["textbook", "engine, one-hot", "engine, row by row"])
def fast(request, monkeypatch):
    """Both storeys, and the engine's two ways to the table's gradient: a product with one-hot rows, or position by position"""
    if request.param == "engine, row by row":
        monkeypatch.setattr(embedding, "ONE_HOT_ROWS", 0)
    return request.param != "textbook"


@pytest.mark.parametrize("shape", [(7,), (2, 5)], ids=["(N,)", "(B, T)"])
def test_gradients(fast, shape):
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 4, shape)              # 4 of 6 rows, so that some come twice and some never
    s = Scope.of(fast=fast, weight=rng.standard_normal((6, 3)))
    check_gradients(embedding_forward, embedding_backward, {"ids": ids}, s)


def test_the_textbook_records_the_rows_and_their_gradient():
    s = Scope.of(weight=np.random.default_rng(2).standard_normal((6, 3)))
    assert check_recorded(embedding_forward, embedding_backward, {"ids": np.array([[2, 5, 2]])}, s) == ["out"]


def test_each_id_gets_its_row(fast):
    weight = np.array([[0.0, 1], [10, 11], [20, 21]])
    y = embedding_forward(np.array([[2, 0], [2, 1]]), Scope.of(fast=fast, weight=weight))
    np.testing.assert_array_equal(y, [[[20, 21], [0, 1]], [[20, 21], [10, 11]]])


def test_gradients_of_a_repeated_token_add_up(fast):
    s = Scope.of(fast=fast, weight=np.zeros((3, 2)))
    embedding_forward(np.array([1, 1, 2]), s)
    embedding_backward(np.array([[1.0, 2.0], [10.0, 20.0], [5.0, 6.0]]), s)
    np.testing.assert_array_equal(s.grads["weight"], [[0, 0], [11, 22], [5, 6]])


def test_the_engines_one_hot_matrix_of_a_longer_pass_leaves_no_trace():
    s = Scope.of(fast=True, weight=np.zeros((3, 2)))
    for ids in [2, 2, 0, 1, 0], [1, 1, 2]:
        s.grads.reset()
        embedding_forward(np.array(ids), s)
        embedding_backward(np.ones((len(ids), 2)), s)
    np.testing.assert_array_equal(s.grads["weight"], [[0, 0], [2, 2], [1, 1]])


@pytest.mark.parametrize("shape", [(7, 3), (2, 5, 3)], ids=["(N, C)", "(B, T, C)"])
@textbook_and_engine
def test_unembedding_gradients(shape, fast):
    rng = np.random.default_rng(3)
    s = Scope.of(fast=fast, weight=rng.standard_normal((6, 3)))
    check_gradients(unembedding_forward, unembedding_backward, {"h": rng.standard_normal(shape)}, s)


@textbook_and_engine
def test_a_logit_is_the_inner_product_with_the_tokens_row(fast):
    weight = np.array([[1.0, 0, 0], [0, 1, 0], [1, 2, 3], [0, 0, -1]])
    logits = unembedding_forward(np.array([[[5.0, 6, 7], [1, 1, 1]]]), Scope.of(fast=fast, weight=weight))
    np.testing.assert_array_equal(logits, [[[5, 6, 38, -7], [1, 1, 6, -1]]])


def test_a_tied_table_gets_both_contributions(fast):
    rng = np.random.default_rng(4)
    s, ids = Scope.of(fast=fast, weight=rng.standard_normal((6, 3))), rng.integers(0, 6, (2, 5))

    def forward(ids, s):
        return unembedding_forward(embedding_forward(ids, s), s)

    def backward(dlogits, s):
        embedding_backward(unembedding_backward(dlogits, s), s)

    check_gradients(forward, backward, {"ids": ids}, s)


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
