"""Attention against central differences and against a plain twin: the whole matrix of scores, masked entry by entry."""

import math

import numpy as np
import pytest

from gradients import dtypes, stored
from minigpt.cache import MemoryCache
from minigpt.nn import (
    Scope,
    attention,
    attention_backward,
    attention_forward,
    cross_attention_backward,
    cross_attention_forward,
    multihead_backward,
    multihead_forward,
    split_heads,
)
from minigpt.study.gradcheck import check_gradients

OPTIONS = {
    "causal": {},
    "bidirectional": {"causal": False},
    "causal window": {"window": 3},
    "two-sided window": {"causal": False, "window": 3},
    "window of one": {"window": 1},
    "window wider than the sequence": {"window": 100},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())


def heads(rng, B, H, T, S, D, dtype=np.float64):
    """q (B, H, T, D), k, v (B, H, S, D)"""
    return tuple(rng.standard_normal((B, H, n, D)).astype(dtype) for n in (T, S, S))


def padding(rng, B, S):
    """(B, S) booleans with left padding, holes, and the first sequence wholly masked"""
    keep = rng.random((B, S)) < 0.7
    keep[0] = False
    keep[1] = np.arange(S) >= S // 3
    return keep


def plain_mask(B, T, S, causal=True, window=None, keep=None):
    """The docstring's three rules for every query t and key j: (B, 1, T, S) booleans, true where t sees j"""
    seen = np.ones((B, 1, T, S), bool)
    for t in range(T):
        for j in range(S):
            position = t + S - T                 # the last query stands at the last key
            if causal and j > position:
                seen[:, 0, t, j] = False
            if window is not None and abs(position - j) >= window:
                seen[:, 0, t, j] = False
            if keep is not None:
                seen[:, 0, t, j] &= keep[:, j]
    return seen


def plain_softmax(scores, seen):
    """Rows of softmax over what is seen, zeros where nothing is"""
    top = np.max(scores, axis=-1, keepdims=True, initial=-1e30, where=seen)
    exp = np.exp(np.where(seen, scores - top, -np.inf))
    total = exp.sum(-1, keepdims=True)
    return np.divide(exp, total, out=np.zeros_like(exp), where=total > 0)


def plain_attention(q, k, v, do, seen):
    """o, dq, dk, dv from the equations alone"""
    D = q.shape[-1]
    att = plain_softmax(q @ k.swapaxes(-1, -2) / math.sqrt(D), seen)
    datt = do @ v.swapaxes(-1, -2)
    dscores = att * (datt - (datt * att).sum(-1, keepdims=True))
    return (att @ v, dscores @ k / math.sqrt(D), dscores.swapaxes(-1, -2) @ q / math.sqrt(D), att.swapaxes(-1, -2) @ do)


def fast_attention(q, k, v, do, **options):
    """o, dq, dk, dv of the fast path"""
    s = Scope.of(study=False)
    o = attention_forward(q.copy(), k, v, s, **options)
    return (o, *attention_backward(do, s))


def assert_all_close(actual, expected, **tolerance):
    for name, a, b in zip(("o", "dq", "dk", "dv"), actual, expected, strict=True):
        np.testing.assert_allclose(a, b, err_msg=name, **tolerance)


@pytest.fixture
def small_tiles(monkeypatch):
    """4 queries a tile and one sequence at a time, so that small sequences take every turn of the fast path"""
    monkeypatch.setattr(attention, "QUERIES", 4)
    monkeypatch.setattr(attention, "TILE", 1)


# softmax(QKᵀ/√D) V


@every_option
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_gradients(options, study, small_tiles):
    rng = np.random.default_rng(1)
    q, k, v = heads(rng, 2, 2, 9, 9, 3)
    check_gradients(attention_forward, attention_backward, {"q": q, "k": k, "v": v}, Scope.of(study=study), **options)


@every_option
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_gradients_with_padding_and_a_sequence_wholly_masked(options, study, small_tiles):
    rng = np.random.default_rng(2)
    q, k, v = heads(rng, 3, 2, 9, 9, 3)
    s, keep = Scope.of(study=study), padding(rng, 3, 9)
    check_gradients(attention_forward, attention_backward, {"q": q, "k": k, "v": v}, s, keep=keep, **options)


@every_option
@pytest.mark.parametrize("T, S", [(3, 9), (6, 7), (9, 4)], ids=["3 queries, 9 keys", "6 queries, 7 keys", "9 queries, 4 keys"])
def test_gradients_with_another_number_of_keys_than_queries(options, T, S, small_tiles):
    rng = np.random.default_rng(3)
    q, k, v = heads(rng, 2, 1, T, S, 3)
    check_gradients(attention_forward, attention_backward, {"q": q, "k": k, "v": v}, Scope.of(study=False), **options)


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_gradients_with_dropout(study, small_tiles):
    rng = np.random.default_rng(4)
    q, k, v = heads(rng, 2, 2, 9, 9, 3)
    s = Scope.of(study=study, dropout_key=(4, 0))
    check_gradients(attention_forward, attention_backward, {"q": q, "k": k, "v": v}, s, dropout=0.3)


@pytest.mark.parametrize("axes", [2, 3])
def test_gradients_of_a_single_sequence_or_head(axes):
    rng = np.random.default_rng(5)
    q, k, v = (x.reshape(x.shape[4 - axes :]) for x in heads(rng, 1, 1, 5, 5, 3))
    check_gradients(attention_forward, attention_backward, {"q": q, "k": k, "v": v}, Scope.of())


@every_option
@pytest.mark.parametrize("T, S", [(7, 7), (4, 7), (130, 130), (70, 131)])
def test_the_fast_path_equals_the_whole_matrix(options, T, S):
    rng = np.random.default_rng(6)
    q, k, v = heads(rng, 3, 2, T, S, 5)
    do = rng.standard_normal(q.shape)
    expected = plain_attention(q, k, v, do, plain_mask(3, T, S, **options))
    assert_all_close(fast_attention(q, k, v, do, **options), expected, rtol=1e-10, atol=1e-12)


@every_option
def test_the_fast_path_with_padding_equals_the_whole_matrix(options):
    rng = np.random.default_rng(7)
    q, k, v = heads(rng, 3, 2, 130, 130, 5)
    do, keep = rng.standard_normal(q.shape), padding(rng, 3, 130)
    expected = plain_attention(q, k, v, do, plain_mask(3, 130, 130, keep=keep, **options))
    assert_all_close(fast_attention(q, k, v, do, keep=keep, **options), expected, rtol=1e-10, atol=1e-12)


@every_option
def test_fewer_keys_than_queries_equal_the_whole_matrix(options, small_tiles):
    rng = np.random.default_rng(8)
    q, k, v = heads(rng, 2, 2, 11, 4, 3)
    do = rng.standard_normal(q.shape)
    expected = plain_attention(q, k, v, do, plain_mask(2, 11, 4, **options))
    assert_all_close(fast_attention(q, k, v, do, **options), expected, rtol=1e-10, atol=1e-12)


def test_a_batch_worked_on_in_several_groups_equals_the_whole_matrix():
    rng = np.random.default_rng(9)
    q, k, v = heads(rng, 11, 2, 130, 130, 3)                      # 2 · 64 · 130 scores a sequence: 9 go into one group
    do = rng.standard_normal(q.shape)
    expected = plain_attention(q, k, v, do, plain_mask(11, 130, 130))
    assert_all_close(fast_attention(q, k, v, do), expected, rtol=1e-10, atol=1e-12)


@every_option
def test_the_fast_path_equals_study_mode(options, small_tiles):
    rng = np.random.default_rng(10)
    q, k, v = heads(rng, 3, 2, 9, 9, 3)
    do, keep = rng.standard_normal(q.shape), padding(rng, 3, 9)
    s = Scope.of(study=True)
    study = (attention_forward(q, k, v, s, keep=keep, **options), *attention_backward(do, s))
    assert_all_close(fast_attention(q, k, v, do, keep=keep, **options), study, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_dropout_multiplies_the_weights_by_the_mask(study):
    rng = np.random.default_rng(11)
    q, k, v = heads(rng, 2, 2, 7, 7, 3)
    s = Scope.of(study=study, dropout_key=(11, 0))
    o = attention_forward(q.copy(), k, v, s, dropout=0.3)
    att = plain_softmax(q @ k.swapaxes(-1, -2) / math.sqrt(3), plain_mask(2, 7, 7))
    mask = s.acts["drop.0"]
    assert 0 < (mask == 0).sum() < mask.size
    np.testing.assert_allclose(o, (att * mask) @ v, rtol=1e-12)


def test_without_a_key_nothing_drops():
    rng = np.random.default_rng(12)
    q, k, v = heads(rng, 2, 2, 7, 7, 3)
    o = attention_forward(q, k, v, Scope.of(), dropout=0.9)
    np.testing.assert_array_equal(o, attention_forward(q, k, v, Scope.of()))


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_a_sequence_wholly_masked_gets_zeros(study):
    rng = np.random.default_rng(13)
    q, k, v = heads(rng, 2, 2, 5, 5, 3)
    keep = np.array([[False] * 5, [True] * 5])
    o = attention_forward(q, k, v, Scope.of(study=study), keep=keep)
    np.testing.assert_array_equal(o[0], 0)
    assert (o[1] != 0).all()


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_a_sequence_wholly_masked_gives_no_gradient(study):
    rng = np.random.default_rng(14)
    q, k, v = heads(rng, 2, 2, 5, 5, 3)
    s = Scope.of(study=study)
    attention_forward(q, k, v, s, keep=np.array([[False] * 5, [True] * 5]))
    for d in attention_backward(rng.standard_normal(q.shape), s):
        np.testing.assert_array_equal(d[0], 0)


def test_queries_before_the_first_key_that_is_kept_get_zeros():
    rng = np.random.default_rng(15)
    q, k, v = heads(rng, 1, 2, 5, 5, 3)
    o = attention_forward(q, k, v, Scope.of(), keep=np.array([[False, False, True, True, True]]))
    np.testing.assert_array_equal(o[:, :, :2], 0)
    assert np.isfinite(o).all()


@pytest.mark.parametrize("size", [1e3, -1e3])
def test_scores_far_from_zero_do_not_overflow(size):
    rng = np.random.default_rng(16)
    q, k, v = heads(rng, 1, 1, 5, 5, 3, np.float32)
    q[..., 0], k[..., 0] = size, abs(size)                        # scores near ±5.8e5 in every entry
    assert np.isfinite(attention_forward(q, k, v, Scope.of())).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [1, 45, 55, 200])           # on both sides of SAFE
@pytest.mark.parametrize("sign", ["any", "all positive", "all negative"])
def test_scores_of_any_size_equal_the_whole_matrix(largest, sign, dtype):
    q, k, v = heads(np.random.default_rng(31), 2, 2, 70, 90, 5)
    do = np.random.default_rng(32).standard_normal(q.shape)
    if sign != "any":                                           # one direction for all: the scores are nearly equal and large
        q, k = 1 + 0.1 * q, (1 + 0.1 * k) * (1 if sign == "all positive" else -1)
    q *= largest / np.abs(q @ k.swapaxes(-1, -2) / math.sqrt(5)).max()
    expected = plain_attention(q, k, v, do, plain_mask(2, 70, 90))
    actual = fast_attention(*(array.astype(dtype) for array in (q, k, v, do)))
    for name, a, b in zip(("o", "dq", "dk", "dv"), actual, expected, strict=True):
        # scores are rounded, the more the larger they are, and 90 terms cancel
        tolerance = 16 * (1 + largest) * float(np.finfo(dtype).eps) * np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"window": 3}, {"causal": False}])
def test_the_row_maximum_changes_nothing_but_rounding(monkeypatch, options):
    arrays = heads(np.random.default_rng(33), 2, 2, 70, 70, 5)
    do = np.random.default_rng(34).standard_normal(arrays[0].shape)
    keep = padding(np.random.default_rng(35), 2, 70)
    without = fast_attention(*arrays, do, keep=keep, **options)
    monkeypatch.setattr(attention, "SAFE", -1)
    assert_all_close(without, fast_attention(*arrays, do, keep=keep, **options), rtol=0, atol=1e-13)


def test_study_mode_leaves_the_matrix_of_weights():
    rng = np.random.default_rng(17)
    q, k, v = heads(rng, 2, 2, 7, 7, 3)
    s = Scope.of()
    attention_forward(q, k, v, s, keep=(keep := padding(rng, 2, 7)))
    expected = plain_softmax(q @ k.swapaxes(-1, -2) / math.sqrt(3), plain_mask(2, 7, 7, keep=keep))
    np.testing.assert_allclose(s.acts["att"], expected, rtol=1e-12, atol=1e-15)


def test_study_mode_leaves_the_masked_scores():
    rng = np.random.default_rng(18)
    q, k, v = heads(rng, 2, 2, 7, 7, 3)
    s = Scope.of()
    attention_forward(q, k, v, s)
    expected = np.where(plain_mask(2, 7, 7), q @ k.swapaxes(-1, -2) / math.sqrt(3), -np.inf)
    np.testing.assert_allclose(s.acts["scores"], expected, rtol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_study_mode_leaves_the_gradients_of_weights_and_scores(dropout):
    rng = np.random.default_rng(19)
    q, k, v = heads(rng, 2, 2, 7, 7, 3)
    s, do = Scope.of(dropout_key=(19,)), rng.standard_normal(q.shape)
    attention_forward(q, k, v, s, dropout=dropout)
    attention_backward(do, s)
    att, datt = s.acts["att"], do @ v.swapaxes(-1, -2) * (s.acts["drop.0"] if dropout else 1)
    np.testing.assert_allclose(s.dacts["att"], datt, rtol=1e-12)
    dscores = att * (datt - (datt * att).sum(-1, keepdims=True))
    np.testing.assert_allclose(s.dacts["scores"], dscores, rtol=1e-10, atol=1e-14)


def test_study_mode_leaves_the_callers_arrays_alone():
    rng = np.random.default_rng(20)
    q, k, v = heads(rng, 2, 2, 7, 7, 3)
    before = [x.copy() for x in (q, k, v)]
    s = Scope.of()
    attention_backward(attention_forward(q, k, v, s), s)
    for x, y in zip((q, k, v), before, strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_shorter_pass_after_a_longer_one_is_not_disturbed(small_tiles):
    rng = np.random.default_rng(21)
    s = Scope.of(study=False)
    for T in (13, 6):
        q, k, v = heads(rng, 2, 2, T, T, 3)
        do = rng.standard_normal(q.shape)
        actual = (attention_forward(q.copy(), k, v, s), *attention_backward(do, s))
    assert_all_close(actual, plain_attention(q, k, v, do, plain_mask(2, 6, 6)), rtol=1e-10, atol=1e-12)


def test_strided_arrays_give_what_their_copies_give():
    rng = np.random.default_rng(22)
    q, k, v, do = (rng.standard_normal((2, 7, 2, 6)).swapaxes(1, 2)[..., ::2] for _ in range(4))
    strided = fast_attention(q, k, v, do)                         # q.copy() is in C order, so q goes in strided below
    s = Scope.of(study=False)
    o = attention_forward(np.asfortranarray(q), k, v, s)
    assert_all_close((o, *attention_backward(do, s)), strided, rtol=1e-12, atol=1e-14)
    copied = fast_attention(*(x.copy() for x in (q, k, v, do)))
    assert_all_close(strided, copied, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_every_array_has_the_dtype_of_the_input(dtype, study, small_tiles):
    rng = np.random.default_rng(23)
    s = Scope.of(study=study, dropout_key=(23,))
    q, k, v = heads(rng, 2, 2, 9, 9, 3, dtype)
    o = attention_forward(q, k, v, s, window=5, keep=padding(rng, 2, 9), dropout=0.2)
    assert {a.dtype for a in (o, *attention_backward(o.copy(), s))} | dtypes(s) == {np.dtype(dtype)}


# Several heads


def multihead_params(rng, C=6, bias=True, dtype=np.float64):
    shapes = {"c_attn.weight": (C, 3 * C), "c_proj.weight": (C, C), "c_attn.bias": (3 * C,), "c_proj.bias": (C,)}
    return {n: rng.standard_normal(shape).astype(dtype) for n, shape in shapes.items() if bias or not n.endswith("bias")}


def test_heads_are_split_and_joined_by_channel():
    x = np.arange(2 * 3 * 12.0).reshape(2, 3, 12)
    a, b = split_heads(x, 2, 3)                                   # 2 parts of 3 heads of 2 channels
    assert a.shape == b.shape == (2, 3, 3, 2)
    np.testing.assert_array_equal(a[1, 2, 0], x[1, 0, 4:6])
    np.testing.assert_array_equal(b[0, 1, 2], x[0, 2, 8:10])


def test_heads_are_views():
    x = np.zeros((2, 3, 12))
    assert all(np.shares_memory(part, x) for part in split_heads(x, 3, 2))


@every_option
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_multihead_gradients(options, study, small_tiles):
    rng = np.random.default_rng(31)
    s = Scope.of(study=study, **multihead_params(rng))
    check_gradients(multihead_forward, multihead_backward, {"x": rng.standard_normal((2, 5, 6))}, s, n_head=2, **options)


def test_multihead_gradients_with_padding():
    rng = np.random.default_rng(32)
    s, keep = Scope.of(**multihead_params(rng)), padding(rng, 3, 5)
    x = rng.standard_normal((3, 5, 6))
    check_gradients(multihead_forward, multihead_backward, {"x": x}, s, n_head=2, keep=keep)


def test_multihead_gradients_with_dropout():
    rng = np.random.default_rng(33)
    s = Scope.of(study=False, dropout_key=(33, 1), **multihead_params(rng))
    x = rng.standard_normal((2, 5, 6))
    check_gradients(multihead_forward, multihead_backward, {"x": x}, s, n_head=3, dropout=0.3)


def test_multihead_gradients_without_bias():
    rng = np.random.default_rng(34)
    s = Scope.of(**multihead_params(rng, bias=False))
    check_gradients(multihead_forward, multihead_backward, {"x": rng.standard_normal((2, 5, 6))}, s, n_head=2)


def test_the_key_bias_moves_nothing():
    rng = np.random.default_rng(35)
    s = Scope.of(**multihead_params(rng))
    multihead_forward(rng.standard_normal((2, 5, 6)), s, 2)
    multihead_backward(rng.standard_normal((2, 5, 6)), s)
    # it adds the same number to a query's score with every key, which softmax does not see
    np.testing.assert_allclose(s.grads["c_attn.bias"][6:12], 0, atol=1e-13)


def plain_multihead(q, k, v, seen, p, n_head, drop=None):
    """Head by head on its own channels of q (B, T, C), k, v (B, S, C), joined and multiplied by c_proj"""
    D = q.shape[-1] // n_head
    outputs = []
    for h in range(n_head):
        c = slice(h * D, (h + 1) * D)
        att = plain_softmax(q[..., c] @ k[..., c].swapaxes(-1, -2) / math.sqrt(D), seen[:, 0])
        outputs.append((att if drop is None else att * drop[:, h]) @ v[..., c])
    return np.concatenate(outputs, axis=-1) @ p["c_proj.weight"] + p["c_proj.bias"]


@every_option
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_multihead_is_attention_head_by_head(options, study):
    rng = np.random.default_rng(36)
    p, x, keep = multihead_params(rng), rng.standard_normal((3, 5, 6)), padding(rng, 3, 5)
    s = Scope.of(study=study, dropout_key=(36,), **p)
    y = multihead_forward(x, s, 3, keep=keep, dropout=0.3, **options)
    q, k, v = np.split(x @ p["c_attn.weight"] + p["c_attn.bias"], 3, axis=-1)
    expected = plain_multihead(q, k, v, plain_mask(3, 5, 5, keep=keep, **options), p, 3, s.acts["drop.0"])
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-13)


def test_attention_sees_only_the_past():
    rng = np.random.default_rng(37)
    p, x = multihead_params(rng), rng.standard_normal((1, 5, 6))
    before = multihead_forward(x, Scope.of(**p), 2).copy()
    x[:, 3] += 1
    after = multihead_forward(x, Scope.of(**p), 2)
    np.testing.assert_array_equal(after[:, :3], before[:, :3])
    assert (after[:, 3:] != before[:, 3:]).all()


def test_multihead_leaves_the_callers_array_alone_on_the_fast_path():
    rng = np.random.default_rng(38)
    s, x = Scope.of(study=False, **multihead_params(rng)), rng.standard_normal((2, 5, 6))
    before = x.copy()
    multihead_forward(x, s, 2)
    multihead_backward(rng.standard_normal((2, 5, 6)), s)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_of_multihead_has_the_dtype_of_the_input(dtype):
    rng = np.random.default_rng(39)
    s = Scope.of(**multihead_params(rng, dtype=dtype))
    y = multihead_forward(rng.standard_normal((2, 5, 6)).astype(dtype), s, 2)
    dx = multihead_backward(y.copy(), s)
    assert {y.dtype, dx.dtype} | dtypes(s) == {np.dtype(dtype)}


def test_multihead_gradients_of_two_uses_add_up():
    rng = np.random.default_rng(40)
    s, dy = Scope.of(**multihead_params(rng)), rng.standard_normal((2, 5, 6))
    multihead_forward(rng.standard_normal((2, 5, 6)), s, 2)
    multihead_backward(dy, s)
    once = {name: grad.copy() for name, grad in s.grads.items()}
    multihead_backward(dy, s)
    for name, grad in once.items():
        np.testing.assert_array_equal(s.grads[name], 2 * grad, err_msg=name)


# Across two sequences


def cross_params(rng, C=6, dtype=np.float64):
    shapes = {
        "q_attn.weight": (C, C), "q_attn.bias": (C,), "c_attn.weight": (C, 2 * C), "c_attn.bias": (2 * C,),
        "c_proj.weight": (C, C), "c_proj.bias": (C,),
    }
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("T, S", [(5, 7), (7, 5), (4, 4), (1, 3)])
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_cross_attention_gradients(T, S, study, small_tiles):
    rng = np.random.default_rng(51)
    inputs = {"x": rng.standard_normal((2, T, 6)), "memory": rng.standard_normal((2, S, 6))}
    s = Scope.of(study=study, **cross_params(rng))
    check_gradients(cross_attention_forward, cross_attention_backward, inputs, s, n_head=2)


def test_cross_attention_gradients_with_padding_and_dropout():
    rng = np.random.default_rng(52)
    inputs = {"x": rng.standard_normal((3, 5, 6)), "memory": rng.standard_normal((3, 7, 6))}
    s, keep = Scope.of(dropout_key=(52,), **cross_params(rng)), padding(rng, 3, 7)
    check_gradients(cross_attention_forward, cross_attention_backward, inputs, s, n_head=2, keep=keep, dropout=0.3)


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_cross_attention_is_attention_head_by_head(study):
    rng = np.random.default_rng(57)
    p, x, memory = cross_params(rng), rng.standard_normal((3, 5, 6)), rng.standard_normal((3, 7, 6))
    s, keep = Scope.of(study=study, dropout_key=(57,), **p), padding(rng, 3, 7)
    y = cross_attention_forward(x, memory, s, 3, keep=keep, dropout=0.3)
    q = x @ p["q_attn.weight"] + p["q_attn.bias"]
    k, v = np.split(memory @ p["c_attn.weight"] + p["c_attn.bias"], 2, axis=-1)
    expected = plain_multihead(q, k, v, plain_mask(3, 5, 7, causal=False, keep=keep), p, 3, s.acts["drop.0"])
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-13)


def test_every_query_sees_the_whole_memory():
    rng = np.random.default_rng(53)
    s = Scope.of(**cross_params(rng))
    cross_attention_forward(rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 7, 6)), s, 2)
    assert s.acts["att"].shape == (2, 2, 5, 7)
    assert (s.acts["att"] > 0).all()


def test_cross_attention_from_a_sequence_to_itself_is_multihead_attention_without_a_mask():
    rng = np.random.default_rng(54)
    p, x = multihead_params(rng), rng.standard_normal((2, 5, 6))
    crossed = {
        "q_attn.weight": p["c_attn.weight"][:, :6], "q_attn.bias": p["c_attn.bias"][:6],
        "c_attn.weight": p["c_attn.weight"][:, 6:], "c_attn.bias": p["c_attn.bias"][6:],
        "c_proj.weight": p["c_proj.weight"], "c_proj.bias": p["c_proj.bias"],
    }
    actual = cross_attention_forward(x, x, Scope.of(**crossed), 2)
    np.testing.assert_allclose(actual, multihead_forward(x, Scope.of(**p), 2, causal=False), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_of_cross_attention_has_the_dtype_of_the_input(dtype):
    rng = np.random.default_rng(55)
    s = Scope.of(**cross_params(rng, dtype=dtype))
    x, memory = (rng.standard_normal((2, n, 6)).astype(dtype) for n in (5, 7))
    y = cross_attention_forward(x, memory, s, 2)
    dx, dmemory = cross_attention_backward(y.copy(), s)
    assert {y.dtype, dx.dtype, dmemory.dtype} | dtypes(s) == {np.dtype(dtype)}


def test_study_mode_keeps_the_gradient_of_every_intermediate():
    rng = np.random.default_rng(56)
    s = Scope.of(**multihead_params(rng))
    multihead_forward(rng.standard_normal((2, 5, 6)), s, 2)
    multihead_backward(rng.standard_normal((2, 5, 6)), s)
    assert {"dacts scores", "dacts att", "dacts qkv", "dacts c_proj.x", "dacts c_attn.x"} <= stored(s).keys()


def test_cross_attention_with_a_cache_reads_its_memory_once():
    rng = np.random.default_rng(58)
    s, cache = Scope.of(**cross_params(rng)), MemoryCache()
    x, memory = rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 7, 6))
    expected = cross_attention_forward(x, memory, s, 2).copy()
    np.testing.assert_array_equal(cross_attention_forward(x, memory, s, 2, cache=cache), expected)
    np.testing.assert_array_equal(cross_attention_forward(x, 0 * memory, s, 2, cache=cache), expected)
