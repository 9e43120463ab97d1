"""The two storeys held together, by name: every layer's twin in nn/fast/ against the textbook in nn/.

The textbook in float64 is the reference; that it is right is shown by each layer's own file, by central differences and known
values.  The cases are those of layers.py.
"""

import inspect
import math
import pkgutil
from dataclasses import replace
from importlib import import_module
from itertools import product

import numpy as np
import pytest

from gradients import dtypes, textbook_and_engine
from layers import CASES, LAYOUTS, LEAVES, MASKS, Case, arrays, attention_case, run, scope, use
from minigpt import GPT, GPTConfig, nn
from minigpt.config import TransformerConfig
from minigpt.models.transformer import Transformer
from minigpt.nn import Scope, dropout, twins
from minigpt.nn import fast as engine
from minigpt.nn.activations import ACTIVATIONS
from minigpt.nn.cross_entropy import IGNORED
from minigpt.nn.fast.attention import QUERIES, TILE
from minigpt.nn.fast.ops import CHUNK

# The same sums in another order: rounding errors of 1.1e-16 add up to about 1e-14 of the largest element, and in float32, where
# one is 6e-8, to about 3e-6.
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
SMALLEST = 0.1       # errors are relative to this where all is smaller: with a single key dq and dk are 0 but for rounding

LEARNING = [case for case in CASES if case.params and case.backward]

# What the engine's layers may write over; "dy" is what comes into a backward
OVERWRITTEN = {
    nn.attention_forward: {"q"}, nn.cross_entropy_forward: {"logits"},
    nn.gelu_tanh_forward: {"x", "dy"}, nn.gelu_forward: {"x", "dy"}, nn.relu_forward: {"x", "dy"},
    nn.silu_forward: {"x", "dy"}, nn.quick_gelu_forward: {"x", "dy"}, nn.tanh_forward: {"x", "dy"},
    nn.residual_forward: {"branch"}, nn.residual_backward: {"dbranch"},
}


def assert_agree(actual, expected, tolerance=TOLERANCE[np.float64], where=""):
    """Equal names, and every array as close as `tolerance`, relative to the largest element of what is expected"""
    assert actual.keys() == expected.keys(), where
    for name, value in expected.items():
        assert actual[name].shape == value.shape, f"{where} {name}"
        largest = max(abs(value).max(), SMALLEST)
        error = abs(actual[name] - value).max() / largest
        assert error <= tolerance, f"{where} {name}: {error:.1e} of its largest element, {largest:.2g}"       # NaN fails too


def over(cases):
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


# Which layers have a twin


def marked():
    """{name: function} of what carries @has_fast_twin in the modules of minigpt.nn"""
    modules = [import_module(f"minigpt.nn.{module.name}") for module in pkgutil.iter_modules(nn.__path__) if not module.ispkg]
    return {name: function for module in modules for name, function in vars(module).items()
            if inspect.isfunction(function) and function.__module__ == module.__name__ and hasattr(function, "__wrapped__")}


def test_every_layer_marked_has_a_twin_and_every_twin_is_of_a_layer_marked():
    assert sorted(marked()) == sorted(engine.__all__)


def test_a_layer_and_its_twin_have_one_name_and_the_same_arguments():
    for name, layer in marked().items():
        twin = getattr(engine, name)
        assert inspect.isfunction(twin), name
        assert inspect.signature(twin) == inspect.signature(layer), name
        assert getattr(nn, name) is layer


def test_every_twin_says_what_it_computes():
    for name in engine.__all__:
        assert inspect.getdoc(getattr(engine, name)), name


def test_every_twin_has_a_case(monkeypatch):
    called, find = set(), twins.fast_twin
    monkeypatch.setattr(twins, "fast_twin", lambda name: called.add(name) or find(name))
    for case in LEAVES:
        run(case, fast=True)
    assert sorted(called) == sorted(engine.__all__)


def test_the_engine_runs_in_a_fast_pass_and_the_textbook_in_any_other(monkeypatch):
    monkeypatch.setattr(twins, "fast_twin", lambda name: lambda *args, **options: f"the engine's {name}")
    for name, layer in marked().items():
        arguments = {**dict.fromkeys(inspect.signature(layer).parameters), "s": Scope.of(fast=True)}
        up_to_s = list(arguments.values())[: list(arguments).index("s") + 1]
        assert layer(**arguments) == layer(*up_to_s) == f"the engine's {name}"
    for case in CASES:
        run(case, fast=False)           # would stumble over the words


# Layer by layer


@over(CASES)
def test_the_engine_equals_the_textbook_however_arrays_lie_in_memory(case):
    expected = run(case, fast=False)
    for name, layout in LAYOUTS.items():
        assert_agree(run(case, True, layout=layout), expected, where=name)
        assert_agree(run(case, False, layout=layout), expected, where=f"textbook, {name}")


@over(CASES)
def test_in_float32_both_are_the_textbook_of_float64_but_for_rounding(case):
    expected = run(case, False)
    for fast in (False, True):
        assert_agree(run(case, fast, np.float32), expected, TOLERANCE[np.float32], "engine" if fast else "textbook")


@pytest.mark.parametrize("T, S", [(1, 1), (2, 2), (63, 63), (64, 64), (65, 65), (130, 130), (1, 70), (2, 9), (65, 131), (9, 4),
                                  (131, 65)])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_of_any_length_under_any_mask(T, S, mask):
    for padded, p in product((False, True), (0.0, 0.3)):
        case = attention_case(3, T, S, mask, padded, p)
        assert_agree(run(case, True), run(case, False), where=case.name)


@pytest.mark.parametrize("mask", MASKS)
def test_attention_of_a_batch_in_several_groups(mask):
    T = 2 * QUERIES + 2
    B = TILE // (2 * QUERIES * T) + 2           # one more than go into a group
    case = attention_case(B, T, T, mask, padded=True, dropout=0.3)
    assert_agree(run(case, True), run(case, False))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [1, 45, 200])          # exp(89) overflows in float32
@pytest.mark.parametrize("sign", ["any", "all positive", "all negative"])
def test_attention_with_scores_of_any_size(largest, sign, dtype):
    def forward(q, k, v, s):
        if sign != "any":                       # one direction for all: the scores are nearly equal and large
            q, k = 1 + 0.1 * q, (1 + 0.1 * k) * (1 if sign == "all positive" else -1)
        return nn.attention_forward(q * float(largest / abs(q @ k.swapaxes(-1, -2) / math.sqrt(5)).max()), k, v, s)

    case = replace(attention_case(2, 70, 90, "causal"), forward=forward, options={})
    tolerance = 16 * (1 + largest) * float(np.finfo(dtype).eps)      # the larger scores are, the more is rounded off
    assert_agree(run(case, True, dtype), run(case, False), tolerance)


@over([case for case in CASES if case.params])
def test_the_same_parameters_are_frozen_in_both(case):
    for frozen in (list(case.params)[::2], list(case.params)[1::2]):
        expected = {name: value for name, value in run(case, False).items() if name not in frozen}
        for fast in (False, True):
            assert_agree(run(case, fast, frozen=frozen), expected)


@over(LEARNING)
@textbook_and_engine
def test_gradients_add_up_over_two_uses_and_start_afresh_after_reset(case, fast):
    params, _, options = arrays(case)
    s = scope(params, fast)

    def grads_after(seed):
        use(case, s, arrays(case, seed=seed)[1], options)
        return {name: grad.copy() for name, grad in s.grads.items()}

    first, sum_of_both = grads_after(1), grads_after(6)
    s.grads.reset()
    second = grads_after(6)
    s.grads.reset()
    assert first.keys() == second.keys() != set()
    assert_agree(sum_of_both, {name: first[name] + second[name] for name in first})
    for name, grad in grads_after(1).items():
        np.testing.assert_array_equal(grad, first[name], err_msg=name)


@over(LEARNING)
@textbook_and_engine
def test_gradients_go_into_the_arrays_given_however_they_lie(case, fast):
    expected = run(case, False)
    params, _, options = arrays(case)
    learning = [name for name in params if name in expected]
    for where, layout in LAYOUTS.items():
        given = {name: layout(np.zeros_like(params[name])) for name in learning}
        s = scope(params, fast, given=given)
        use(case, s, arrays(case)[1], options)
        assert_agree(given, {name: expected[name] for name in learning}, where=where)


@over(CASES)
def test_every_array_has_the_dtype_of_the_input(case):
    for dtype, fast in product((np.float32, np.float64), (False, True)):
        params, inputs, options = arrays(case, dtype)
        s = scope(params, fast)
        returned = use(case, s, inputs, options, dtype).values()
        found = {array.dtype for array in returned if array.ndim} | dtypes(s)       # a loss is a float
        assert found == {np.dtype(dtype)}, "engine" if fast else "textbook"


@over(CASES)
def test_the_textbook_writes_over_nothing(case):
    params, inputs, options = arrays(case)
    s = scope(params, fast=False)
    y = case.forward(*inputs.values(), s, **options)
    dy = np.random.default_rng(2).standard_normal(np.shape(y))
    stores = {"params": params, "inputs": inputs, "acts": dict(s.acts), "": {"y": y, "dy": dy}}
    before = {f"{kind} {name}": np.array(array) for kind, store in stores.items() for name, array in store.items()}
    if case.backward is not None:
        case.backward(dy if dy.ndim else float(dy), s)
    for kind, store in stores.items():
        for name, array in store.items():
            np.testing.assert_array_equal(array, before[f"{kind} {name}"], err_msg=f"{kind} {name}")
    for (name, array), fresh in zip(inputs.items(), arrays(case)[1].values(), strict=True):
        np.testing.assert_array_equal(array, fresh, err_msg=f"{name}, by the forward")


@over(CASES)
def test_the_engine_writes_over_a_few_inputs_and_over_no_other(case):
    params, inputs, options = arrays(case)
    s = scope(params, fast=True)
    y = case.forward(*inputs.values(), s, **options)
    dy = np.random.default_rng(2).standard_normal(np.shape(y))
    before = {**arrays(case)[1], "dy": dy.copy()}
    if case.backward is not None:
        case.backward(dy if dy.ndim else float(dy), s)
    changed = {name for name, array in {**inputs, "dy": dy}.items() if not np.array_equal(array, before[name])}
    assert changed <= OVERWRITTEN.get(case.forward, set())
    for name, array in arrays(case)[0].items():
        np.testing.assert_array_equal(params[name], array, err_msg=name)


@over(CASES)
def test_the_engine_records_nothing(case):
    params, inputs, options = arrays(case)
    seen = []
    s = scope(params, True, visit=lambda name, array: seen.append(name), visit_grad=lambda name, array: seen.append(name))
    use(case, s, inputs, options)
    assert seen == []


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_without_a_backward_to_follow_the_values_are_the_same(name):
    case = Case(name, ACTIVATIONS[name].forward, None, {"x": (2, 3, 5)})
    assert_agree(run(case, True, backward=False), run(case, False))


# Dropout


@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (2, 3, 5), (3, 1, 2, 7), (5, 2, 65, 65), (2, CHUNK // 2 + 3),
                                   (3, CHUNK + 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("f8")], ids=str)
def test_one_key_is_one_mask_to_the_last_bit(shape, dtype):
    for first_row, p in product(range(4), (1e-6, 0.1, 0.5, 1 - 1e-6)):
        here, there = (scope({}, fast, first_row=first_row).at("h.0") for fast in (False, True))
        expected = dropout.dropout_mask(here, "mask", shape, dtype, p)
        actual = engine.dropout.dropout_mask(there, "mask", shape, dtype, p)
        assert actual.dtype == expected.dtype == dtype
        np.testing.assert_array_equal(actual, expected, err_msg=f"from row {first_row}, p = {p}")


@textbook_and_engine
@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 7, 7), (3, CHUNK // 2 + 1)], ids=str)
def test_parts_of_a_batch_get_the_rows_of_the_whole_batchs_mask(fast, shape):
    x = np.ones(shape)

    def dropped(start, stop):
        return np.array(nn.dropout_forward(x[start:stop], scope({}, fast, first_row=start), 0.4))

    whole = dropped(0, len(x))
    assert 0 < (whole == 0).sum() < whole.size
    for cut in range(1, len(x)):
        np.testing.assert_array_equal(np.concatenate([dropped(0, cut), dropped(cut, len(x))]), whole)


@textbook_and_engine
def test_attention_in_parts_of_a_batch_drops_the_weights_that_it_drops_in_the_whole(fast):
    case = attention_case(3, 67, 67, "causal", dropout=0.4)
    last = replace(case, inputs={name: value[2:] for name, value in arrays(case)[1].items()})
    assert_agree({"y": run(last, fast, first_row=2)["y"]}, {"y": run(case, False)["y"][2:]})


# Whole models


MODELS = {
    "GPT-2's": {},
    "GPT-1's": {"pre_norm": False, "activation_function": "gelu"},
    "GPT-3's, scaled by layers": {"attention_window": 3, "tie_word_embeddings": False, "activation_function": "silu",
                                  "scale_attn_by_inverse_layer_idx": True},
    "no bias, not scaled": {"bias": False, "scale_attn_weights": False, "activation_function": "quick_gelu"},
    "BERT's mask": {"causal": False, "activation_function": "relu"},
}
every_model = pytest.mark.parametrize("name", MODELS)
V, T = 13, 69


def spread(model):
    """The model with norms, biases and small weights away from 1 and 0, so that every part of it matters"""
    model.flat_params += 0.3 * np.random.default_rng(7).standard_normal(model.flat_params.size).astype(model.dtype)
    return model


def gpt(fast, name="GPT-2's", threads=1, dtype=np.float64):
    config = GPTConfig(vocab_size=V, n_positions=70, n_embd=6, n_layer=2, n_head=2, embd_pdrop=0.2, attn_pdrop=0.3,
                       resid_pdrop=0.1, **MODELS[name])
    return spread(GPT(config, dtype=dtype, threads=threads, fast=fast))


def batch(B=3):
    """ids and targets (B, T), some ignored"""
    ids, targets = np.random.default_rng(8).integers(0, V, (2, B, T))
    targets[-1, 3:9] = IGNORED
    return ids, targets


def learned(model, *data, **options):
    """Loss and all gradients by name, copies"""
    loss, grads = model.loss_and_grads(*data, **options)
    return {"loss": np.array(loss), **{name: grad.copy() for name, grad in grads.items()}}


@every_model
@pytest.mark.parametrize("threads", [1, 2])
def test_gpt_scores_alike_in_both(name, threads):
    ids, targets = batch()
    mask = np.arange(T) >= np.array([0, 1, 5])[:, None]

    def scored(model):
        return {"logits": model(ids), "padded": model(ids, mask), "loss": np.array(model.loss(ids, targets))}

    assert_agree(scored(gpt(True, name, threads)), scored(gpt(False, name)))


@every_model
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_gpt_learns_alike_in_both_on_any_number_of_threads(name, threads):
    ids, targets = batch()
    here, there = gpt(False, name), gpt(True, name, threads)
    # pass after pass, each with what the one before has left in the engine's buffers
    for length, key in (T, None), (T, (9, 4)), (35, (9, 4)), (35, None):
        data = ids[:, :length], targets[:, :length]
        assert_agree(*(learned(model, *data, dropout_key=key, scale=0.5) for model in (there, here)), where=f"{length}, {key}")


@textbook_and_engine
def test_gpt_accumulates_over_batches(fast):
    ids, targets = batch(4)
    model = gpt(fast, threads=2)
    for half in (slice(0, 2), slice(2, 4)):
        share = (targets[half] != IGNORED).sum() / (targets != IGNORED).sum()
        actual = learned(model, ids[half], targets[half], scale=share, accumulate=half.start > 0)
    assert_agree(actual, {**learned(gpt(False), ids, targets), "loss": actual["loss"]})


@textbook_and_engine
def test_gpt_in_float32_is_that_of_float64_but_for_rounding(fast):
    model, exact = gpt(fast, threads=2, dtype=np.float32), gpt(False)
    exact.flat_params[...] = model.flat_params
    assert_agree(*(learned(each, *batch(), dropout_key=(9,)) for each in (model, exact)), TOLERANCE[np.float32])


@pytest.mark.parametrize("name", [name for name, changes in MODELS.items() if changes.get("causal", True)])
@pytest.mark.parametrize("threads", [1, 2])
def test_gpt_generates_the_same_greedy_continuation_in_both(name, threads):
    prompts = [[1, 5, 2, 2, 7], [3], [4, 4, 9]]
    actual, expected = (model.generate(prompts, 12, temperature=0) for model in (gpt(True, name, threads), gpt(False, name)))
    np.testing.assert_equal(actual, expected)


def transformer(fast, threads=1):
    config = TransformerConfig(vocab_size=V, n_embd=6, n_layer=2, n_head=2, dropout=0.2)
    return spread(Transformer(config, dtype=np.float64, threads=threads, fast=fast))


def translations():
    """source (3, T), padded in one row, and targets (3, T − 2), of which some do not count"""
    rng = np.random.default_rng(10)
    source, targets = rng.integers(3, V, (3, T)), rng.integers(3, V, (3, T - 2))
    source[0, 40:] = 0
    targets[-1, 50:] = IGNORED
    return source, targets


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_transformer_learns_alike_in_both_on_any_number_of_threads(threads):
    here, there = transformer(False), transformer(True, threads)
    for key in (None, (9, 4), None):
        assert_agree(*(learned(model, *translations(), dropout_key=key) for model in (there, here)), where=f"{key}")


@pytest.mark.parametrize("threads", [1, 2])
def test_the_transformer_scores_and_translates_alike_in_both(threads):
    source, targets = translations()
    here, there = transformer(False), transformer(True, threads)

    def scored(model):
        return {"logits": model(source, abs(targets) % V), "loss": np.array(model.loss(source, targets))}

    assert_agree(scored(there), scored(here))
    for beams in (1, 3):
        found = [model.translate(source[:, :9], beams=beams, max_new_tokens=9) for model in (there, here)]
        assert found[0] == found[1]
