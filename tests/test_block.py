"""The blocks: both orders of the norms, every option by central differences, and plain twins."""

import math

import numpy as np
import pytest

from gradients import dtypes
from minigpt.nn import (
    Scope,
    block_backward,
    block_forward,
    cross_attention_forward,
    decoder_block_backward,
    decoder_block_forward,
    layernorm_forward,
    mlp_forward,
    multihead_forward,
)
from minigpt.study.gradcheck import check_gradients

C, F, H = 6, 10, 2
OPTIONS = {
    "GPT-2's": {},
    "post-norm": {"pre_norm": False},
    "bidirectional": {"causal": False},
    "window": {"window": 2},
    "two-sided window": {"window": 2, "causal": False},
    "exact gelu": {"activation": "gelu"},
    "relu": {"activation": "relu", "pre_norm": False},
    "large epsilon": {"eps": 0.3},
    "padding": {"keep": np.array([[False, True, True, True, False], [False] * 5])},
    "dropout": {"attn_dropout": 0.3, "resid_dropout": 0.2},
    "dropout, post-norm": {"attn_dropout": 0.3, "resid_dropout": 0.2, "pre_norm": False},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())


def params(rng, bias=True, dtype=np.float64):
    shapes = {
        "ln_1.weight": (C,), "ln_1.bias": (C,), "ln_2.weight": (C,), "ln_2.bias": (C,),
        "attn.c_attn.weight": (C, 3 * C), "attn.c_attn.bias": (3 * C,), "attn.c_proj.weight": (C, C), "attn.c_proj.bias": (C,),
        "mlp.c_fc.weight": (C, F), "mlp.c_fc.bias": (F,), "mlp.c_proj.weight": (F, C), "mlp.c_proj.bias": (C,),
    }
    return {n: rng.standard_normal(shape).astype(dtype) for n, shape in shapes.items() if bias or not n.endswith("bias")}


def plain_block(x, p, pre_norm=True, activation="gelu_new", eps=1e-5, causal=True, window=None, keep=None):
    """One sequence (T, C) through the docstring's two lines, nothing shared with the library"""
    T = len(x)
    distance = np.arange(T)[:, None] - np.arange(T)
    seen = np.ones((T, T), bool) if keep is None else np.tile(keep, (T, 1))
    if causal:
        seen &= distance >= 0
    if window is not None:
        seen &= abs(distance) < window

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]

    def attn(x):
        qkv = x @ p["attn.c_attn.weight"] + p["attn.c_attn.bias"]
        outputs = []
        for h in range(H):
            D = C // H
            q, k, v = (qkv[:, part * C + h * D : part * C + (h + 1) * D] for part in range(3))
            exp = np.exp(q @ k.T / math.sqrt(D)) * seen
            outputs.append(exp / np.maximum(exp.sum(-1, keepdims=True), 1e-300) @ v)        # zeros where nothing is seen
        return np.concatenate(outputs, axis=-1) @ p["attn.c_proj.weight"] + p["attn.c_proj.bias"]

    def mlp(x):
        h = x @ p["mlp.c_fc.weight"] + p["mlp.c_fc.bias"]
        if activation == "gelu_new":
            h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h * h * h)))
        elif activation == "gelu":
            h = 0.5 * h * (1 + np.vectorize(math.erf)(h / math.sqrt(2)))
        else:
            h = np.maximum(h, 0)
        return h @ p["mlp.c_proj.weight"] + p["mlp.c_proj.bias"]

    if pre_norm:
        mid = x + attn(norm(x, "ln_1"))
        return mid + mlp(norm(mid, "ln_2"))
    mid = norm(x + attn(x), "ln_1")
    return norm(mid + mlp(mid), "ln_2")


@every_option
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_gradients(options, study):
    rng = np.random.default_rng(1)
    s = Scope.of(study=study, dropout_key=(1,), **params(rng))
    x = rng.standard_normal((2, 5, C))
    check_gradients(block_forward, block_backward, {"x": x}, s, n_head=H, samples=20, **options)


def test_gradients_without_bias():
    rng = np.random.default_rng(2)
    s = Scope.of(**params(rng, bias=False))
    check_gradients(block_forward, block_backward, {"x": rng.standard_normal((2, 5, C))}, s, n_head=H)


@every_option
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_equals_the_equations(options, study):
    rng = np.random.default_rng(3)
    p, x = params(rng), rng.standard_normal((2, 5, C))
    y = block_forward(x, Scope.of(study=study, **p), H, **options)       # without a key, so without dropout
    for b in range(2):
        o = {name: value[b] if name == "keep" else value for name, value in options.items() if "dropout" not in name}
        np.testing.assert_allclose(y[b], plain_block(x[b], p, **o), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "option, masks",
    [("attn_dropout", ["attn.drop.0"]), ("resid_dropout", ["attn.dropout.keep", "mlp.dropout.keep"])],
)
def test_each_dropout_has_its_places(option, masks):
    rng = np.random.default_rng(13)
    s = Scope.of(dropout_key=(13,), **params(rng))
    block_forward(rng.standard_normal((2, 5, C)), s, H, **{option: 0.5})
    assert [name for name in s.acts if name.endswith(("drop.0", "keep"))] == masks


@every_option
def test_the_fast_path_equals_study_mode(options):
    rng = np.random.default_rng(4)
    p, x, dy = params(rng), rng.standard_normal((2, 5, C)), rng.standard_normal((2, 5, C))
    study, fast = (Scope.of(study=study, dropout_key=(4,), **p) for study in (True, False))
    for s in (study, fast):
        s.acts["block y"] = block_forward(x, s, H, **options)
        s.dacts["block x"] = block_backward(dy, s)
    close = {"rtol": 1e-11, "atol": 1e-13}       # study mode copies q, and BLAS may add in another order for another layout
    np.testing.assert_allclose(fast.acts["block y"], study.acts["block y"], **close)
    np.testing.assert_allclose(fast.dacts["block x"], study.dacts["block x"], **close)
    for name in p:
        np.testing.assert_allclose(fast.grads[name], study.grads[name], err_msg=name, **close)


@pytest.mark.parametrize("pre_norm", [True, False], ids=["pre-norm", "post-norm"])
def test_the_jacobian_and_its_transpose_give_the_same_product(pre_norm):
    """⟨v, J u⟩ = ⟨Jᵀ v, u⟩ for random u, v: J u by a central difference along u, Jᵀ v by the backward"""
    rng = np.random.default_rng(5)
    s = Scope.of(**params(rng))
    x, u, v = (rng.standard_normal((2, 5, C)) for _ in range(3))
    h = 1e-5
    above = block_forward(x + h * u, s, H, pre_norm=pre_norm).copy()
    below = block_forward(x - h * u, s, H, pre_norm=pre_norm).copy()
    block_forward(x, s, H, pre_norm=pre_norm)
    forward = (v * (above - below)).sum() / (2 * h)
    backward = (block_backward(v, s) * u).sum()
    assert forward == pytest.approx(backward, rel=1e-7)         # central difference, h = 1e-5, float64


@pytest.mark.parametrize("pre_norm", [True, False], ids=["pre-norm", "post-norm"])
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_the_callers_arrays_stay(pre_norm, study):
    rng = np.random.default_rng(6)
    s = Scope.of(study=study, **params(rng))
    x, dy = rng.standard_normal((2, 5, C)), rng.standard_normal((2, 5, C))
    x_before, dy_before = x.copy(), dy.copy()
    block_forward(x, s, H, pre_norm=pre_norm)
    block_backward(dy, s)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dy, dy_before)


def test_gradients_of_two_uses_add_up():
    rng = np.random.default_rng(7)
    s, dy = Scope.of(study=False, **params(rng)), rng.standard_normal((2, 5, C))
    block_forward(rng.standard_normal((2, 5, C)), s, H)
    block_backward(dy, s)
    once = {name: grad.copy() for name, grad in s.grads.items()}
    block_backward(dy, s)
    for name, grad in once.items():
        np.testing.assert_array_equal(s.grads[name], 2 * grad, err_msg=name)


def test_gradients_start_afresh_after_reset():
    rng = np.random.default_rng(8)
    s, dy = Scope.of(study=False, **params(rng)), rng.standard_normal((2, 5, C))
    block_forward(rng.standard_normal((2, 5, C)), s, H)
    block_backward(dy, s)
    once = {name: grad.copy() for name, grad in s.grads.items()}
    s.grads.reset()
    block_backward(dy, s)
    for name, grad in once.items():
        np.testing.assert_array_equal(s.grads[name], grad, err_msg=name)


def test_strided_arrays_give_what_their_copies_give():
    rng = np.random.default_rng(9)
    p = params(rng)
    x, dy = rng.standard_normal((C, 5, 2)).T, rng.standard_normal((C, 5, 2)).T
    strided, copied = Scope.of(study=False, **p), Scope.of(study=False, **p)
    y = block_forward(x, strided, H), block_forward(x.copy(), copied, H)
    np.testing.assert_allclose(*y, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(block_backward(dy, strided), block_backward(dy.copy(), copied), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
@pytest.mark.parametrize("options", [{}, {"pre_norm": False}, {"window": 2}, {"keep": np.array(2 * [[False, *3 * [True]]])}])
def test_the_last_positions_alone_equal_those_of_all(options, study):
    rng = np.random.default_rng(12)
    p, x = params(rng), rng.standard_normal((2, 4, C))
    y = block_forward(x.copy(), Scope.of(study=study, **p), H, **options)
    for last in (1, 3, 4):
        part = block_forward(x.copy(), Scope.of(study=study, **p), H, last=last, **options)
        np.testing.assert_allclose(part, y[:, -last:], rtol=0, atol=1e-13)


def test_a_block_without_weights_passes_its_input_on():
    x = np.random.default_rng(10).standard_normal((2, 5, C))
    p = {name: np.zeros_like(value) for name, value in params(np.random.default_rng(10)).items()}
    np.testing.assert_array_equal(block_forward(x, Scope.of(**p), H), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
@every_option
def test_every_array_has_the_dtype_of_the_input(dtype, study, options):
    rng = np.random.default_rng(11)
    s = Scope.of(study=study, dropout_key=(11,), **params(rng, dtype=dtype))
    y = block_forward(rng.standard_normal((2, 5, C)).astype(dtype), s, H, **options)
    dx = block_backward(y.copy(), s)
    assert {y.dtype, dx.dtype} | dtypes(s) == {np.dtype(dtype)}


def test_study_mode_keeps_every_gradient_the_fast_path_writes_over():
    rng = np.random.default_rng(12)
    s = Scope.of(**params(rng))
    dy = rng.standard_normal((2, 5, C))
    block_forward(rng.standard_normal((2, 5, C)), s, H)
    block_backward(dy, s)
    h, dh = s.acts["mlp.c_fc.y"], s.dacts["mlp.act.x"]          # the input of the activation function, and its gradient
    da = s.dacts["mlp.c_proj.x"]
    np.testing.assert_allclose(da, dy @ s.params["mlp.c_proj.weight"].T, rtol=1e-12)
    np.testing.assert_allclose(dh, da * s.acts["mlp.act.slope"], rtol=1e-12)
    np.testing.assert_allclose(h, s.acts["ln_2.y"] @ s.params["mlp.c_fc.weight"] + s.params["mlp.c_fc.bias"], rtol=1e-11)


# The decoder's block


DECODER_OPTIONS = {
    "Vaswani's": {},
    "padding": {"keep": np.array([[True, True, False, True], [False] * 4])},
    "gelu, large epsilon": {"activation": "gelu", "eps": 0.3},
    "dropout": {"attn_dropout": 0.3, "resid_dropout": 0.2},
}
every_decoder_option = pytest.mark.parametrize("options", DECODER_OPTIONS.values(), ids=DECODER_OPTIONS.keys())


def decoder_params(rng, dtype=np.float64):
    shapes = {
        "ln_cross.weight": (C,), "ln_cross.bias": (C,), "cross.q_attn.weight": (C, C), "cross.q_attn.bias": (C,),
        "cross.c_attn.weight": (C, 2 * C), "cross.c_attn.bias": (2 * C,),
        "cross.c_proj.weight": (C, C), "cross.c_proj.bias": (C,),
    }
    return {**params(rng, dtype=dtype), **{n: rng.standard_normal(shape).astype(dtype) for n, shape in shapes.items()}}


def decoder_inputs(rng):
    """x (2, 5, C) and a memory of another length, (2, 4, C)"""
    return rng.standard_normal((2, 5, C)), rng.standard_normal((2, 4, C))


@every_decoder_option
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_gradients_of_a_decoder_block(options, study):
    rng = np.random.default_rng(21)
    s = Scope.of(study=study, dropout_key=(21,), **decoder_params(rng))
    inputs = dict(zip(("x", "memory"), decoder_inputs(rng), strict=True))
    check_gradients(decoder_block_forward, decoder_block_backward, inputs, s, n_head=H, samples=20, **options)


def test_a_decoder_block_equals_its_three_lines():
    """m = ln_1(x + attn(x)), c = ln_cross(m + cross(m, memory)), y = ln_2(c + mlp(c)), each layer called by itself"""
    rng = np.random.default_rng(22)
    p, (x, memory) = decoder_params(rng), decoder_inputs(rng)
    keep = np.array([[True, True, False, True], [True] * 4])

    def layer(forward, name, *inputs, **options):
        below = {n.removeprefix(f"{name}."): array for n, array in p.items() if n.startswith(f"{name}.")}
        return forward(*inputs, Scope.of(**below), **options).copy()

    m = layer(layernorm_forward, "ln_1", x + layer(multihead_forward, "attn", x, n_head=H))
    c = layer(layernorm_forward, "ln_cross", m + layer(cross_attention_forward, "cross", m, memory, n_head=H, keep=keep))
    expected = layer(layernorm_forward, "ln_2", c + layer(mlp_forward, "mlp", c, activation="relu"))
    y = decoder_block_forward(x, memory, Scope.of(study=False, **p), H, keep=keep)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-13)


def test_a_decoder_block_leaves_the_points_of_its_stream_and_their_gradients():
    rng = np.random.default_rng(23)
    s = Scope.of(**decoder_params(rng))
    decoder_block_backward(decoder_block_forward(*decoder_inputs(rng), s, H).copy(), s)
    assert {s.acts[name].shape for name in ("in", "mid", "crossed", "out")} == {(2, 5, C)}
    assert {s.dacts[name].shape for name in ("in", "mid", "crossed", "out")} == {(2, 5, C)}
    assert s.acts["cross.att"].shape == (2, H, 5, 4)


@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_a_decoder_block_leaves_the_callers_arrays_alone(study):
    rng = np.random.default_rng(24)
    s, (x, memory) = Scope.of(study=study, **decoder_params(rng)), decoder_inputs(rng)
    dy = rng.standard_normal(x.shape)
    before = x.copy(), memory.copy(), dy.copy()
    decoder_block_forward(x, memory, s, H)
    decoder_block_backward(dy, s)
    for array, copy in zip((x, memory, dy), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("study", [True, False], ids=["study", "fast"])
def test_every_array_of_a_decoder_block_has_the_dtype_of_the_input(dtype, study):
    rng = np.random.default_rng(25)
    s = Scope.of(study=study, dropout_key=(25,), **decoder_params(rng, dtype))
    x, memory = (array.astype(dtype) for array in decoder_inputs(rng))
    y = decoder_block_forward(x, memory, s, H, attn_dropout=0.3, resid_dropout=0.2)
    gradients = decoder_block_backward(y.copy(), s)
    assert {y.dtype, *(d.dtype for d in gradients)} | dtypes(s) == {np.dtype(dtype)}
