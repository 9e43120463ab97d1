"""The Transformer of 2017: gradients of every parameter, who sees what, padding, and bad input.

That it equals torch.nn.Transformer is test_transformer_reference.py's.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt import ConfigError
from minigpt.config import TransformerConfig
from minigpt.generation.beam import beam_search
from minigpt.models.transformer import Transformer
from minigpt.nn import softmax
from minigpt.study.gradcheck import check_gradients
from minigpt.training.optim import AdamW, Muon, clip_scale, gradient_norm, orthogonalize
from minigpt.weights import WeightFormatError

V = 11
SMALL = {"vocab_size": V, "n_embd": 6, "n_layer": 2, "n_head": 2, "dropout": 0.0}


def small(seed=0, dtype=np.float64, threads=1, fast=True, **changes):
    """A model whose norms and biases are away from 1 and 0, so that every part of it matters"""
    model = Transformer(TransformerConfig(**{**SMALL, **changes}), seed=seed, dtype=dtype, threads=threads, fast=fast)
    model.flat_params += 0.3 * np.random.default_rng([seed, 1]).standard_normal(model.flat_params.size)
    return model


def batch(seed, B=3, S=5, T=4):
    """source (B, S), padded in some rows, and targets (B, T), of which some do not count"""
    rng = np.random.default_rng(seed)
    source, targets = rng.integers(3, V, (B, S)), rng.integers(3, V, (B, T))
    source[0, 3:] = 0
    targets[-1, 2:] = -100
    return source, targets


def reads(targets):
    """What the decoder reads: bos, then the targets, one behind, pad where they do not count"""
    before = np.where(targets[:, :-1] == -100, 0, targets[:, :-1])
    return np.concatenate([np.ones((len(targets), 1), int), before], axis=1)


# Gradients


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.2}, {"n_inner": 7, "layer_norm_epsilon": 0.1}, {"n_layer": 1}],
                         ids=["plain", "dropout", "narrow MLP, large epsilon", "one layer"])
@textbook_and_engine
def test_gradients_of_every_parameter(changes, fast):
    check_model_gradients(small(1, fast=fast, **changes), samples=2)


def test_gradients_of_every_parameter_over_two_threads():
    check_model_gradients(small(2, threads=2, dropout=0.2), samples=1)


def check_model_gradients(model, samples):
    source, targets = batch(1)

    def forward(s):
        if model.config.dropout:
            return model.loss_and_grads(source, targets, dropout_key=(1,))[0]        # loss() takes no key
        return model.loss(source, targets)

    def backward(dloss, s):
        model.loss_and_grads(source, targets, scale=dloss, dropout_key=(1,))

    check_gradients(forward, backward, {}, SimpleNamespace(params=model.params, grads=model.grads), samples=samples)


def test_two_threads_and_the_textbook_equal_one():
    """With dropout too: the masks of a key are the same"""
    source, targets = batch(3, B=5)
    models = [small(3, dropout=0.2, **how) for how in ({}, {"threads": 2}, {"fast": False})]
    losses, grads = zip(*(model.loss_and_grads(source, targets, dropout_key=(1,)) for model in models), strict=True)
    np.testing.assert_allclose(losses, losses[0], rtol=1e-13)
    for other in grads[1:]:
        for name, grad in grads[0].items():
            np.testing.assert_allclose(other[name], grad, rtol=1e-10, atol=1e-14, err_msg=name)


def test_the_textbook_translates_as_the_engine_does():
    engine, textbook = small(18), small(18, fast=False)
    (source, targets), texts = batch(18), []
    np.testing.assert_allclose(textbook(source, reads(targets)), engine(source, reads(targets)), rtol=1e-10, atol=1e-12)
    for model in (engine, textbook):
        texts.append(beam_search(model, source, beams=3, max_new_tokens=6))
    np.testing.assert_array_equal(texts[0][0], texts[1][0])
    np.testing.assert_allclose(texts[0][1], texts[1][1], rtol=1e-10)


def test_two_half_batches_add_up_to_the_whole():
    model, (source, targets) = small(4), batch(4, B=4)
    targets[:] = np.where(targets == -100, 5, targets)          # so that both halves count as many
    expected = {name: grad.copy() for name, grad in model.loss_and_grads(source, targets)[1].items()}
    model.loss_and_grads(source[:2], targets[:2], scale=0.5)
    grads = model.loss_and_grads(source[2:], targets[2:], scale=0.5, accumulate=True)[1]
    for name, grad in expected.items():
        np.testing.assert_allclose(grads[name], grad, rtol=1e-10, atol=1e-14, err_msg=name)


def test_the_loss_is_minus_log_p_of_the_targets_that_count():
    model, (source, targets) = small(5), batch(5)
    logits = model(source, reads(targets))
    p = softmax(logits)
    expected = np.mean([-math.log(p[b, t, targets[b, t]]) for b, t in np.ndindex(targets.shape) if targets[b, t] != -100])
    assert model.loss(source, targets) == pytest.approx(expected, rel=1e-12)
    assert model.loss_and_grads(source, targets)[0] == model.loss(source, targets)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_keeps_its_dtype_over_a_step(dtype):
    model = small(6, dtype, dropout=0.1)
    source, targets = batch(6)
    model.loss_and_grads(source, targets, dropout_key=(6,))
    shard = model._parts.scopes(1)[0]
    arrays = {**model.params, **model.grads, **shard.acts, **shard.dacts}
    assert {array.dtype for array in arrays.values() if array.dtype.kind == "f"} == {np.dtype(dtype)}
    assert model(source, reads(targets)).dtype == dtype


@pytest.mark.parametrize("make", [
    lambda model: (AdamW(model),), lambda model: (Muon(model), AdamW(model, start=Muon(model).stop)),
], ids=["AdamW", "Muon and AdamW"])
def test_one_batch_can_be_learned_by_heart(make):
    model, (source, targets) = small(7), batch(7)
    optimizers = make(model)
    for _ in range(150):
        model.loss_and_grads(source, targets)
        for optimizer in optimizers:
            optimizer.step(0.01, *[clip_scale(gradient_norm(model.flat_grads, model.pool), 1.0)] * isinstance(optimizer, AdamW))
    assert model.loss(source, targets) < 0.05


def test_muon_takes_the_matrices_of_the_blocks_and_no_other():
    model = small(8)
    model.flat_grads[...] = np.random.default_rng(8).standard_normal(model.flat_grads.size)
    before = {name: array.copy() for name, array in model.params.items()}
    Muon(model).step(0.1)
    moved = {name for name, array in model.params.items() if not np.array_equal(array, before[name])}
    assert moved == {name for name, shape, _ in model.table if len(shape) == 2 and ".h." in name}


def test_muon_takes_keys_and_values_of_the_cross_attention_for_two_matrices():
    model, name = small(9), "decoder.h.0.cross.c_attn.weight"
    model.flat_grads[...] = np.random.default_rng(9).standard_normal(model.flat_grads.size)
    before = model.params[name].copy()
    Muon(model, weight_decay=0).step(0.1)
    moved = np.split(model.params[name] - before, 2, axis=1)
    for update, gradient in zip(moved, np.split(model.grads[name], 2, axis=1), strict=True):
        np.testing.assert_allclose(update, -0.1 * 0.2 * math.sqrt(6) * orthogonalize(gradient), rtol=1e-8, atol=1e-12)


# Who sees what


def test_a_target_position_does_not_see_the_next_one():
    model, (source, targets) = small(10), batch(10)
    inputs = reads(targets)
    before = model(source, inputs)
    inputs[:, 2] = (inputs[:, 2] + 1) % V
    np.testing.assert_array_equal(model(source, inputs)[:, :2], before[:, :2])


def test_every_target_position_sees_every_source_token():
    model = small(11)
    source, inputs = np.array([[3, 4, 5, 6]]), np.array([[1, 7, 8]])
    before = model(source, inputs)
    for j in range(4):
        changed = source.copy()
        changed[0, j] = 9
        assert (abs(model(changed, inputs) - before).max(-1) > 1e-6).all()


def test_a_padded_source_gives_what_it_gives_alone():
    model = small(12)
    source, inputs = np.array([[5, 6, 7]]), np.array([[1, 4, 3]])
    padded = np.array([[5, 6, 7, 0, 0], [3, 4, 5, 6, 7]])
    together = model(padded, np.repeat(inputs, 2, axis=0))
    np.testing.assert_allclose(together[:1], model(source, inputs), rtol=1e-12, atol=1e-13)


def test_padding_has_no_gradient():
    """Only as a decoder input, where a target does not count, is the pad's row read; here none is followed by one that does"""
    model, (source, targets) = small(13), batch(13)
    row = model.loss_and_grads(source, targets)[1]["wte.weight"][0].copy()
    longer = np.concatenate([source, np.zeros((3, 2), int)], axis=1)
    np.testing.assert_allclose(model.loss_and_grads(longer, targets)[1]["wte.weight"][0], row, rtol=1e-10, atol=1e-14)


def test_a_source_of_padding_alone_gives_finite_scores():
    assert np.isfinite(small(14)(np.zeros((1, 3), int), np.array([[1, 5]]))).all()


def test_the_order_of_the_source_matters():
    """Without positions attention could not tell one order from another"""
    model, inputs = small(15), np.array([[1, 4]])
    assert abs(model(np.array([[5, 6]]), inputs) - model(np.array([[6, 5]]), inputs)).max() > 1e-3


def test_there_is_no_longest_sequence():
    ids = np.random.default_rng(16).integers(3, V, (1, 700))
    assert small(16)(ids, ids).shape == (1, 700, V)


def test_the_logits_of_one_call_survive_the_next():
    model, (source, targets) = small(17), batch(17)
    first = model(source, reads(targets))
    kept = first.copy()
    model(source[::-1], reads(targets))
    np.testing.assert_array_equal(first, kept)


# Activations by name


def test_cross_attention_is_found_by_name_and_its_rows_are_distributions():
    model, (source, targets) = small(20), batch(20)
    maps = model.activations(source, targets, "decoder.h.*.cross.att")
    assert list(maps) == ["decoder.h.0.cross.att", "decoder.h.1.cross.att"]
    for att in maps.values():
        assert att.shape == (3, 2, 4, 5)
        np.testing.assert_allclose(att.sum(-1), 1, rtol=1e-12)
        assert (att[0, :, :, 3:] == 0).all()            # padding


def test_a_row_of_a_map_belongs_to_the_prediction_of_its_target():
    """Changing targets[:, 1] changes what the decoder reads at 2, so the map up to row 1 stays"""
    model, (source, targets) = small(21), batch(21)
    other = targets.copy()
    other[:, 1] = (targets[:, 1] + 1) % V
    a, b = (model.activations(source, t, "decoder.h.1.cross.att")["decoder.h.1.cross.att"] for t in (targets, other))
    np.testing.assert_array_equal(a[:, :, :2], b[:, :, :2])
    assert abs(a[:, :, 2] - b[:, :, 2]).max() > 1e-6


def test_activations_are_those_of_the_models_own_pass():
    model, (source, targets) = small(22), batch(22)
    logits = model.activations(source, targets, ["loss.logits"])["loss.logits"]
    np.testing.assert_allclose(logits, model(source, reads(targets)), rtol=1e-10, atol=1e-12)


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"'decoder.h.9.\*' match no activation; there are encoder.wte.out"):
        small(23).activations(*batch(23), "decoder.h.9.*")


# Parameters, saving and loading


def test_parameters_have_dotted_names():
    model = small(n_layer=1)
    layers = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "ln_1", "ln_2"]
    names = {f"{stack}.h.0.{layer}" for stack in ("encoder", "decoder") for layer in layers}
    names |= {f"decoder.h.0.{layer}" for layer in ("cross.q_attn", "cross.c_attn", "cross.c_proj", "ln_cross")}
    assert set(model.params) == {"wte.weight"} | {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}


def test_the_base_model_has_about_the_65_million_parameters_of_table_3():
    table = Transformer(TransformerConfig(), seed=None, dtype=np.float16).table         # zeros: no memory is touched
    assert 62e6 < sum(math.prod(shape) for _, shape, _ in table) < 66e6


def test_an_embedding_starts_about_as_large_as_a_position():
    model = Transformer(TransformerConfig(vocab_size=500, n_embd=64, n_layer=1, n_head=2), seed=1, dtype=np.float64)
    assert np.std(model.params["wte.weight"]) * math.sqrt(64) == pytest.approx(1, rel=0.02)     # 32,000 numbers


def test_a_saved_model_is_loaded_as_it_was(tmp_path):
    model = small(30, dropout=0.25)
    model.save(tmp_path)
    loaded = Transformer.load(tmp_path, dtype=np.float64)
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params)


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path):
    small(31).save(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"n_layer": 2', '"n_layer": 3'), encoding="utf-8")
    with pytest.raises(WeightFormatError, match=r"decoder.h.2.attn.c_attn.bias, .* missing"):
        Transformer.load(tmp_path)


@pytest.mark.parametrize(("text", "message"), [
    ('{"model_type": "gpt2", "n_embd": 6}', "model_type 'gpt2', expected 'transformer'"),
    ('{"model_type": "transformer", "n_heads": 6}', "unknown key 'n_heads'"),
    ('{"model_type": "transformer", "n_embd": 6, "n_embd": 7}', "duplicate key 'n_embd'"),
    ("[]", "list, expected an object"),
])
def test_another_configuration_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        TransformerConfig.from_json(text)


def test_a_configuration_lists_every_bad_field():
    with pytest.raises(ConfigError) as error:
        TransformerConfig(vocab_size=0, dropout=1.0, eos_token_id=-1)
    for part in ("vocab_size 0", "dropout 1.0", "eos_token_id -1"):
        assert part in str(error.value)


@pytest.mark.parametrize("ids", [{"pad_token_id": 1}, {"eos_token_id": V}])
def test_special_tokens_are_three_of_the_vocabulary(ids):
    with pytest.raises(ConfigError, match=r"three different ones below 11"):
        TransformerConfig(**{**SMALL, **ids})


GOOD = [[3, 4], [5, 6]]


@pytest.mark.parametrize(("source", "targets", "error", "message"), [
    ([3, 4], GOOD, ValueError, r"source: shape \(2,\), expected \(batch, time\); write source\[None\]"),
    ([[3, V], [3, 4]], GOOD, ValueError, "source: values from 3 to 11, expected 0 to 10"),
    ([[3.0], [4.0]], GOOD, TypeError, "source: dtype float64"),
    (GOOD, [[3, 4]], ValueError, r"targets: shape \(1, 2\), expected \(2, time\)"),
    (GOOD, [3, 4], ValueError, r"targets: shape \(2,\), expected \(2, time\)"),
    (GOOD, [[3, -1], [4, 5]], ValueError, "targets: values from -1 to 5"),
    (GOOD, [[-100, -100]] * 2, ValueError, "targets: all are -100"),
    (GOOD, [[0.5, 1.0]] * 2, TypeError, "targets: dtype float64"),
])
def test_bad_input_is_refused(source, targets, error, message):
    with pytest.raises(error, match=message):
        small().loss_and_grads(source, targets)


def test_decoder_inputs_of_another_batch_are_refused():
    with pytest.raises(ValueError, match=r"inputs: shape \(1, 2\), expected \(2, time\)"):
        small()(GOOD, [[1, 3]])


@pytest.mark.parametrize("call", ["loss", "translate"])
def test_numbers_that_are_not_finite_raise_and_are_named(call):
    model = Transformer(TransformerConfig(vocab_size=9, n_embd=8, n_layer=1, n_head=2))
    model.params["decoder.h.0.ln_2.bias"][0] = np.nan
    ids = np.arange(3, 9)[None]
    with pytest.raises(FloatingPointError, match=r"params decoder\.h\.0\.ln_2\.bias"):
        model.loss(ids, ids) if call == "loss" else model.translate(ids)
