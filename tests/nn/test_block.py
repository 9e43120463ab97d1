"""The blocks: both orders of the norms, every option by central differences, and the layers that they are made of."""

import numpy as np
import pytest

from gradients import check_recorded, textbook_and_engine
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
    "padding": {"key_padding_mask": np.array([[False, True, True, True, False], [False] * 5])},
    "dropout": {"attn_dropout": 0.3, "resid_dropout": 0.2},
    "dropout, post-norm": {"attn_dropout": 0.3, "resid_dropout": 0.2, "pre_norm": False},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
both_orders = pytest.mark.parametrize("pre_norm", [True, False], ids=["pre-norm", "post-norm"])


def params(rng, bias=True):
    shapes = {
        "ln_1.weight": (C,), "ln_1.bias": (C,), "ln_2.weight": (C,), "ln_2.bias": (C,),
        "attn.c_attn.weight": (C, 3 * C), "attn.c_attn.bias": (3 * C,), "attn.c_proj.weight": (C, C), "attn.c_proj.bias": (C,),
        "mlp.c_fc.weight": (C, F), "mlp.c_fc.bias": (F,), "mlp.c_proj.weight": (F, C), "mlp.c_proj.bias": (C,),
    }
    return {name: rng.standard_normal(shape) for name, shape in shapes.items() if bias or not name.endswith("bias")}


def alone(p, forward, name, *inputs, **options):
    """One layer of a block by itself, in the textbook"""
    below = {n.removeprefix(f"{name}."): array for n, array in p.items() if n.startswith(f"{name}.")}
    return forward(*inputs, Scope.of(**below), **options)


@every_option
@textbook_and_engine
def test_gradients(options, fast):
    rng = np.random.default_rng(1)
    s = Scope.of(fast=fast, dropout_key=(1,), **params(rng))
    check_gradients(block_forward, block_backward, {"x": rng.standard_normal((2, 5, C))}, s, n_head=H, samples=20, **options)


@textbook_and_engine
def test_gradients_without_bias(fast):
    rng = np.random.default_rng(2)
    s = Scope.of(fast=fast, **params(rng, bias=False))
    check_gradients(block_forward, block_backward, {"x": rng.standard_normal((2, 5, C))}, s, n_head=H, samples=20)


@both_orders
def test_the_textbook_records_every_step_and_its_gradient(pre_norm):
    rng = np.random.default_rng(3)
    s, x = Scope.of(dropout_key=(3,), **params(rng)), rng.standard_normal((2, 5, C))
    options = {"n_head": H, "pre_norm": pre_norm, "attn_dropout": 0.3, "resid_dropout": 0.2}
    names = check_recorded(block_forward, block_backward, {"x": x}, s, **options)
    assert {"in", "mid", "out", "ln_1.xhat", "attn.att", "attn.out", "ln_2.out", "mlp.pre", "mlp.act", "mlp.out"} <= set(names)


@pytest.mark.parametrize("options", [{}, {"causal": False, "activation": "gelu", "eps": 0.3},
                                     {"window": 2, "activation": "relu"}, OPTIONS["padding"]], ids=str)
@both_orders
@textbook_and_engine
def test_it_is_two_layers_with_a_norm_and_a_residual_connection_each(options, pre_norm, fast):
    rng = np.random.default_rng(4)
    p, x = params(rng), rng.standard_normal((2, 5, C))
    norm = {"eps": options.get("eps", 1e-5)}
    bend = {"activation": options.get("activation", "gelu_new")}
    attend = {"n_head": H, **{name: value for name, value in options.items() if name not in (*norm, *bend)}}
    if pre_norm:
        m = x + alone(p, multihead_forward, "attn", alone(p, layernorm_forward, "ln_1", x, **norm), **attend)
        expected = m + alone(p, mlp_forward, "mlp", alone(p, layernorm_forward, "ln_2", m, **norm), **bend)
    else:
        m = alone(p, layernorm_forward, "ln_1", x + alone(p, multihead_forward, "attn", x, **attend), **norm)
        expected = alone(p, layernorm_forward, "ln_2", m + alone(p, mlp_forward, "mlp", m, **bend), **norm)
    y = block_forward(x, Scope.of(fast=fast, **p), H, pre_norm=pre_norm, **options)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options, dropped", [({"attn_dropout": 0.5}, ["attn.drop"]),
                                              ({"resid_dropout": 0.5}, ["attn.dropout.mask", "mlp.dropout.mask"])], ids=str)
def test_each_dropout_has_its_places(options, dropped):
    rng = np.random.default_rng(5)
    s = Scope.of(dropout_key=(5,), **params(rng))
    block_forward(rng.standard_normal((2, 5, C)), s, H, **options)
    assert [name for name, mask in s.acts.items() if name.endswith(("drop", "mask")) and mask.ndim] == dropped


@both_orders
def test_the_jacobian_and_its_transpose_give_the_same_product(pre_norm):
    """⟨v, J u⟩ = ⟨Jᵀ v, u⟩ for random u, v: J u by a central difference along u, Jᵀ v by the backward"""
    rng = np.random.default_rng(6)
    s = Scope.of(**params(rng))
    x, u, v = (rng.standard_normal((2, 5, C)) for _ in range(3))
    h = 1e-5
    above = block_forward(x + h * u, s, H, pre_norm=pre_norm)
    below = block_forward(x - h * u, s, H, pre_norm=pre_norm)
    block_forward(x, s, H, pre_norm=pre_norm)
    forward = (v * (above - below)).sum() / (2 * h)
    backward = (block_backward(v, s) * u).sum()
    assert forward == pytest.approx(backward, rel=1e-7)         # central difference, h = 1e-5, float64


@both_orders
@textbook_and_engine
def test_the_callers_arrays_stay(pre_norm, fast):
    rng = np.random.default_rng(7)
    s = Scope.of(fast=fast, **params(rng))
    x, dy = rng.standard_normal((2, 5, C)), rng.standard_normal((2, 5, C))
    before = x.copy(), dy.copy()
    block_forward(x, s, H, pre_norm=pre_norm)
    block_backward(dy, s)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])


@pytest.mark.parametrize("options", [{}, {"pre_norm": False}, {"window": 2},
                                     {"key_padding_mask": np.array(2 * [[False, *3 * [True]]])}], ids=str)
@textbook_and_engine
def test_the_last_positions_alone_equal_those_of_all(options, fast):
    rng = np.random.default_rng(8)
    p, x = params(rng), rng.standard_normal((2, 4, C))
    y = block_forward(x.copy(), Scope.of(fast=fast, **p), H, **options)
    for last in (1, 3, 4):
        part = block_forward(x.copy(), Scope.of(fast=fast, **p), H, last=last, **options)
        np.testing.assert_allclose(part, y[:, -last:], rtol=0, atol=1e-13)


@textbook_and_engine
def test_a_block_without_weights_passes_its_input_on(fast):
    rng = np.random.default_rng(9)
    x, p = rng.standard_normal((2, 5, C)), {name: np.zeros_like(value) for name, value in params(rng).items()}
    np.testing.assert_array_equal(block_forward(x, Scope.of(fast=fast, **p), H), x)


# The decoder's block


DECODER_OPTIONS = {
    "Vaswani's": {},
    "padding": {"key_padding_mask": np.array([[True, True, False, True], [False] * 4])},
    "gelu, large epsilon": {"activation": "gelu", "eps": 0.3},
    "dropout": {"attn_dropout": 0.3, "resid_dropout": 0.2},
}
every_decoder_option = pytest.mark.parametrize("options", DECODER_OPTIONS.values(), ids=DECODER_OPTIONS.keys())


def decoder_params(rng):
    shapes = {
        "ln_cross.weight": (C,), "ln_cross.bias": (C,), "cross.q_attn.weight": (C, C), "cross.q_attn.bias": (C,),
        "cross.c_attn.weight": (C, 2 * C), "cross.c_attn.bias": (2 * C,),
        "cross.c_proj.weight": (C, C), "cross.c_proj.bias": (C,),
    }
    return {**params(rng), **{name: rng.standard_normal(shape) for name, shape in shapes.items()}}


def decoder_inputs(rng):
    """x (2, 5, C) and a memory of another length, (2, 4, C)"""
    return {"x": rng.standard_normal((2, 5, C)), "memory": rng.standard_normal((2, 4, C))}


@every_decoder_option
@textbook_and_engine
def test_gradients_of_a_decoder_block(options, fast):
    rng = np.random.default_rng(21)
    s = Scope.of(fast=fast, dropout_key=(21,), **decoder_params(rng))
    check_gradients(decoder_block_forward, decoder_block_backward, decoder_inputs(rng), s, n_head=H, samples=20, **options)


@textbook_and_engine
def test_a_decoder_block_is_three_layers_with_a_residual_connection_and_a_norm_each(fast):
    """m = ln_1(x + attn(x)), c = ln_cross(m + cross(m, memory)), y = ln_2(c + mlp(c))"""
    rng = np.random.default_rng(22)
    p, inputs = decoder_params(rng), decoder_inputs(rng)
    x, memory = inputs.values()
    padding = {"key_padding_mask": np.array([[True, True, False, True], [True] * 4])}
    m = alone(p, layernorm_forward, "ln_1", x + alone(p, multihead_forward, "attn", x, n_head=H))
    c = alone(p, layernorm_forward, "ln_cross",
              m + alone(p, cross_attention_forward, "cross", m, memory, n_head=H, **padding))
    expected = alone(p, layernorm_forward, "ln_2", c + alone(p, mlp_forward, "mlp", c, activation="relu"))
    y = decoder_block_forward(x, memory, Scope.of(fast=fast, **p), H, **padding)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-13)


def test_the_textbook_records_every_step_of_a_decoder_block_and_its_gradient():
    rng = np.random.default_rng(23)
    s = Scope.of(dropout_key=(23,), **decoder_params(rng))
    options = {"n_head": H, "attn_dropout": 0.3, "resid_dropout": 0.2}
    names = check_recorded(decoder_block_forward, decoder_block_backward, decoder_inputs(rng), s, **options)
    assert {"in", "mid", "crossed", "out", "cross.att", "cross.out", "ln_cross.out"} <= set(names)
    assert {s.acts[name].shape for name in ("in", "mid", "crossed", "out")} == {(2, 5, C)}
    assert s.acts["cross.att"].shape == (2, H, 5, 4)


@textbook_and_engine
def test_a_decoder_block_leaves_the_callers_arrays_alone(fast):
    rng = np.random.default_rng(24)
    s, inputs = Scope.of(fast=fast, **decoder_params(rng)), decoder_inputs(rng)
    arrays = [*inputs.values(), rng.standard_normal((2, 5, C))]
    before = [array.copy() for array in arrays]
    decoder_block_forward(*inputs.values(), s, H)
    decoder_block_backward(arrays[2], s)
    for array, then in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, then)
