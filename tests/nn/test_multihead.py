"""Several heads: each is attention on channels of its own, on one sequence or from one to another."""

import numpy as np
import pytest

from gradients import check_recorded, textbook_and_engine
from layers import MASKS, padding
from minigpt.generation.kv_cache import MemoryCache
from minigpt.nn import (
    Scope,
    attention_forward,
    cross_attention_backward,
    cross_attention_forward,
    merge_heads,
    multihead_backward,
    multihead_forward,
    split_heads,
)
from minigpt.nn.fast import attention
from minigpt.study.gradcheck import check_gradients

C = 6
every_mask = pytest.mark.parametrize("mask", [MASKS[name] for name in MASKS if "beyond" not in name], ids=str)


def multihead_params(rng, bias=True):
    shapes = {"c_attn.weight": (C, 3 * C), "c_proj.weight": (C, C), "c_attn.bias": (3 * C,), "c_proj.bias": (C,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items() if bias or not name.endswith("bias")}


def cross_params(rng):
    shapes = {"q_attn.weight": (C, C), "q_attn.bias": (C,), "c_attn.weight": (C, 2 * C), "c_attn.bias": (2 * C,),
              "c_proj.weight": (C, C), "c_proj.bias": (C,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@pytest.fixture
def small_tiles(monkeypatch):
    """2 queries a tile and one sequence at a time, so that small sequences take every turn of the engine"""
    monkeypatch.setattr(attention, "QUERIES", 2)
    monkeypatch.setattr(attention, "TILE", 1)


# Heads


def test_heads_are_split_by_channel():
    x = np.arange(2 * 3 * 12.0).reshape(2, 3, 12)
    a, b = split_heads(x, 2, 3)                                     # 2 parts of 3 heads of 2 channels
    assert a.shape == b.shape == (2, 3, 3, 2)
    np.testing.assert_array_equal(a[1, 2, 0], x[1, 0, 4:6])
    np.testing.assert_array_equal(b[0, 1, 2], x[0, 2, 8:10])


def test_split_heads_are_views():
    x = np.zeros((2, 3, 12))
    assert all(np.shares_memory(part, x) for part in split_heads(x, 3, 2))


@pytest.mark.parametrize("parts", [1, 2, 3])
@textbook_and_engine
def test_merging_is_the_reverse_of_splitting(parts, fast):
    x = np.random.default_rng(1).standard_normal((2, 3, 12))
    np.testing.assert_array_equal(merge_heads([h.copy() for h in split_heads(x, parts, 2)], Scope.of(fast=fast)), x)


# On one sequence


@every_mask
@textbook_and_engine
def test_gradients(mask, fast, small_tiles):
    rng = np.random.default_rng(2)
    s = Scope.of(fast=fast, **multihead_params(rng))
    check_gradients(multihead_forward, multihead_backward, {"x": rng.standard_normal((2, 5, C))}, s, n_head=2, **mask)


@textbook_and_engine
def test_gradients_with_padding_and_dropout(fast, small_tiles):
    rng = np.random.default_rng(3)
    s = Scope.of(fast=fast, dropout_key=(3, 1), **multihead_params(rng))
    options = {"n_head": 3, "key_padding_mask": padding(3, 5), "dropout": 0.3}
    check_gradients(multihead_forward, multihead_backward, {"x": rng.standard_normal((3, 5, C))}, s, **options)


@textbook_and_engine
def test_gradients_without_bias(fast):
    rng = np.random.default_rng(4)
    s = Scope.of(fast=fast, **multihead_params(rng, bias=False))
    check_gradients(multihead_forward, multihead_backward, {"x": rng.standard_normal((2, 5, C))}, s, n_head=2)


def test_the_textbook_records_what_attention_does_and_the_output():
    rng = np.random.default_rng(5)
    s = Scope.of(**multihead_params(rng))
    names = check_recorded(multihead_forward, multihead_backward, {"x": rng.standard_normal((2, 5, C))}, s, n_head=2)
    assert sorted(names) == ["att", "k", "o", "out", "q", "scores", "v"]


@textbook_and_engine
def test_each_head_attends_on_channels_of_its_own(fast):
    rng = np.random.default_rng(6)
    p, x = multihead_params(rng), rng.standard_normal((3, 5, C))
    options = {"window": 3, "key_padding_mask": padding(3, 5)}
    q, k, v = np.split((x @ p["c_attn.weight"] + p["c_attn.bias"])[:, None], 3, axis=-1)
    channels = [slice(0, 2), slice(2, 4), slice(4, 6)]
    o = np.concatenate([attention_forward(q[..., c], k[..., c], v[..., c], Scope.of(), **options) for c in channels], axis=-1)
    y = multihead_forward(x, Scope.of(fast=fast, **p), 3, **options)
    np.testing.assert_allclose(y, o[:, 0] @ p["c_proj.weight"] + p["c_proj.bias"], rtol=1e-11, atol=1e-13)


@textbook_and_engine
def test_attention_sees_only_the_past(fast):
    rng = np.random.default_rng(7)
    p, x = multihead_params(rng), rng.standard_normal((1, 5, C))
    before = multihead_forward(x, Scope.of(fast=fast, **p), 2).copy()
    x[:, 3] += 1
    after = multihead_forward(x, Scope.of(fast=fast, **p), 2)
    np.testing.assert_array_equal(after[:, :3], before[:, :3])
    assert (after[:, 3:] != before[:, 3:]).all()


@pytest.mark.parametrize("last", [1, 3, 5])
@textbook_and_engine
def test_the_last_positions_alone_equal_those_of_all(last, fast):
    rng = np.random.default_rng(8)
    p, x = multihead_params(rng), rng.standard_normal((2, 5, C))
    y = multihead_forward(x, Scope.of(fast=fast, **p), 2)
    part = multihead_forward(x, Scope.of(fast=fast, **p), 2, last=last)
    np.testing.assert_allclose(part, y[:, -last:], rtol=0, atol=1e-13)


def test_the_key_bias_moves_nothing():
    rng = np.random.default_rng(9)
    s = Scope.of(**multihead_params(rng))
    multihead_forward(rng.standard_normal((2, 5, C)), s, 2)
    multihead_backward(rng.standard_normal((2, 5, C)), s)
    # it adds the same number to a query's score with every key, which softmax does not see
    np.testing.assert_allclose(s.grads["c_attn.bias"][C : 2 * C], 0, atol=1e-13)


@textbook_and_engine
def test_the_callers_arrays_stay(fast):
    rng = np.random.default_rng(10)
    s, x, dy = Scope.of(fast=fast, **multihead_params(rng)), rng.standard_normal((2, 5, C)), rng.standard_normal((2, 5, C))
    before = x.copy(), dy.copy()
    multihead_forward(x, s, 2)
    multihead_backward(dy, s)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])


# Across two sequences


@pytest.mark.parametrize("T, S", [(5, 7), (7, 5), (4, 4), (1, 3)])
@textbook_and_engine
def test_cross_attention_gradients(T, S, fast, small_tiles):
    rng = np.random.default_rng(11)
    inputs = {"x": rng.standard_normal((2, T, C)), "memory": rng.standard_normal((2, S, C))}
    s = Scope.of(fast=fast, **cross_params(rng))
    check_gradients(cross_attention_forward, cross_attention_backward, inputs, s, n_head=2)


@textbook_and_engine
def test_cross_attention_gradients_with_padding_and_dropout(fast):
    rng = np.random.default_rng(12)
    inputs = {"x": rng.standard_normal((3, 5, C)), "memory": rng.standard_normal((3, 7, C))}
    s = Scope.of(fast=fast, dropout_key=(12,), **cross_params(rng))
    options = {"n_head": 2, "key_padding_mask": padding(3, 7), "dropout": 0.3}
    check_gradients(cross_attention_forward, cross_attention_backward, inputs, s, **options)


def test_every_query_sees_the_whole_memory():
    rng = np.random.default_rng(13)
    s = Scope.of(**cross_params(rng))
    cross_attention_forward(rng.standard_normal((2, 5, C)), rng.standard_normal((2, 7, C)), s, 2)
    assert s.acts["att"].shape == (2, 2, 5, 7)
    assert (s.acts["att"] > 0).all()


@textbook_and_engine
def test_cross_attention_from_a_sequence_to_itself_is_multihead_attention_without_a_mask(fast):
    rng = np.random.default_rng(14)
    p, x = multihead_params(rng), rng.standard_normal((2, 5, C))
    crossed = {
        "q_attn.weight": p["c_attn.weight"][:, :C], "q_attn.bias": p["c_attn.bias"][:C],
        "c_attn.weight": p["c_attn.weight"][:, C:], "c_attn.bias": p["c_attn.bias"][C:],
        "c_proj.weight": p["c_proj.weight"], "c_proj.bias": p["c_proj.bias"],
    }
    options = {"key_padding_mask": np.array([[True, True, False, True, True], [False, True, True, True, False]])}
    actual = cross_attention_forward(x, x, Scope.of(fast=fast, **crossed), 2, **options)
    expected = multihead_forward(x, Scope.of(**p), 2, causal=False, **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)


@textbook_and_engine
def test_cross_attention_with_a_cache_reads_its_memory_once(fast):
    rng = np.random.default_rng(15)
    s, cache = Scope.of(fast=fast, **cross_params(rng)), MemoryCache()
    x, memory = rng.standard_normal((2, 5, C)), rng.standard_normal((2, 7, C))
    expected = cross_attention_forward(x, memory, s, 2).copy()
    # BLAS may add in another order for another layout of k and v
    np.testing.assert_allclose(cross_attention_forward(x, memory, s, 2, cache=cache), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(cross_attention_forward(x, 0 * memory, s, 2, cache=cache), expected, rtol=1e-12, atol=1e-14)
