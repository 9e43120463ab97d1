"""The GPT: gradients of every parameter, the promises of a step (causal, allocation-free, repeatable), and bad input."""

import json
import math
import os
import re
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt import GPT, ConfigError, GPTConfig
from minigpt.models.gpt import parameter_table
from minigpt.nn import softmax
from minigpt.nn.fast import embedding
from minigpt.study.gradcheck import check_model
from minigpt.system.blas import blas_threads
from minigpt.training.optim import AdamW, Muon, clip_scale, gradient_norm

SMALL = {"vocab_size": 11, "n_positions": 9, "n_embd": 6, "n_layer": 2, "n_head": 2}
DROPOUT = {"embd_pdrop": 0.2, "attn_pdrop": 0.3, "resid_pdrop": 0.1}


def small(seed=0, dtype=np.float64, threads=1, fast=True, **changes):
    """A model whose weights are large enough that every part of it matters"""
    return GPT(GPTConfig(**{**SMALL, "initializer_range": 0.5, **changes}), seed=seed, dtype=dtype, threads=threads, fast=fast)


def batch(seed, B=4, T=7, V=11, ignored=0.0):
    """ids and targets (B, T); a fraction of the targets does not count"""
    rng = np.random.default_rng(seed)
    ids, targets = rng.integers(0, V, (2, B, T))
    return ids, np.where(rng.random((B, T)) < ignored, -100, targets)


def assert_equal_gradients(actual, expected, **tolerance):
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], err_msg=name, **tolerance)


def copies(grads):
    return {name: grad.copy() for name, grad in grads.items()}


# Gradients


@pytest.mark.parametrize(
    "changes",
    [{}, {"bias": False}, {"activation_function": "gelu"}, {"n_inner": 7, "layer_norm_epsilon": 0.1}, DROPOUT,
     {"tie_word_embeddings": False}, {"scale_attn_by_inverse_layer_idx": True, "activation_function": "silu"},
     {"scale_attn_weights": False, "activation_function": "quick_gelu"}],
    ids=["GPT-2's", "no bias", "exact gelu", "narrow MLP, large epsilon", "dropout", "untied", "scaled by layers, silu",
         "not scaled, quick gelu"],
)
@textbook_and_engine
def test_gradients_of_every_parameter(changes, fast):
    check_model(small(1, fast=fast, **changes), *batch(1, B=2, T=5, ignored=0.2), dropout_key=(1,), samples=12)


def test_gradients_of_every_parameter_over_two_threads():
    check_model(small(2, threads=2, **DROPOUT), *batch(1, B=2, T=5, ignored=0.2), dropout_key=(1,), samples=4)


def test_the_key_bias_moves_nothing():
    model = small(3)
    grads = model.loss_and_grads(*batch(3))[1]
    for i in range(2):
        np.testing.assert_allclose(grads[f"h.{i}.attn.c_attn.bias"][6:12], 0, atol=1e-15)


def test_loss_and_loss_and_grads_agree():
    model = small(4)
    ids, targets = batch(4, ignored=0.3)
    assert model.loss(ids, targets) == model.loss_and_grads(ids, targets)[0]


def test_the_loss_is_minus_log_p_of_the_targets():
    model = small(5)
    ids, targets = batch(5, ignored=0.3)
    logits = model(ids)
    p = softmax(logits)
    expected = [-math.log(p[b, t, targets[b, t]]) for b, t in np.ndindex(ids.shape) if targets[b, t] != -100]
    assert model.loss(ids, targets) == pytest.approx(np.mean(expected), rel=1e-12)


@textbook_and_engine
def test_scale_multiplies_the_gradients_and_not_the_loss(fast):
    model = small(6, fast=fast)
    ids, targets = batch(6)
    loss, grads = model.loss_and_grads(ids, targets)
    expected = {name: 0.25 * grad for name, grad in grads.items()}
    scaled_loss, grads = model.loss_and_grads(ids, targets, scale=0.25)
    assert scaled_loss == loss
    assert_equal_gradients(grads, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("threads", [1, 2])
@textbook_and_engine
def test_two_half_batches_add_up_to_the_whole(threads, fast):
    model = small(7, threads=threads, fast=fast)
    ids, targets = batch(7, B=6)
    loss, grads = model.loss_and_grads(ids, targets)
    expected = copies(grads)
    first, _ = model.loss_and_grads(ids[:3], targets[:3], scale=0.5)
    second, grads = model.loss_and_grads(ids[3:], targets[3:], scale=0.5, accumulate=True)
    assert (first + second) / 2 == pytest.approx(loss, rel=1e-13)
    assert_equal_gradients(grads, expected, rtol=1e-10, atol=1e-14)


def test_batches_of_different_sizes_add_up_over_threads():
    model, single = small(8, threads=2), small(8, threads=1)
    for m in (model, single):
        for i, B in enumerate((4, 1, 3)):            # one sequence is work for one thread only
            m.loss_and_grads(*batch(i, B=B), accumulate=i > 0)
    assert_equal_gradients(model.grads, single.grads, rtol=1e-10, atol=1e-13)


@textbook_and_engine
def test_without_accumulate_the_gradients_start_afresh(fast):
    model = small(9, fast=fast)
    ids, targets = batch(9)
    expected = copies(model.loss_and_grads(ids, targets)[1])
    model.loss_and_grads(*batch(10))
    assert_equal_gradients(model.loss_and_grads(ids, targets)[1], expected, rtol=0)


@pytest.mark.parametrize("one_hot_rows", [1024, 0], ids=["one-hot", "row loop"])
@pytest.mark.parametrize("threads", [1, 2])
def test_positions_that_a_batch_does_not_reach_have_no_gradient(monkeypatch, one_hot_rows, threads):
    monkeypatch.setattr(embedding, "ONE_HOT_ROWS", one_hot_rows)
    model = small(10, threads=threads)
    model.loss_and_grads(*batch(10, T=9))
    grads = model.loss_and_grads(*batch(11, T=4))[1]
    assert (grads["wpe.weight"][:4] != 0).all()
    np.testing.assert_array_equal(grads["wpe.weight"][4:], 0)


def test_the_output_layer_contributes_to_tokens_that_never_come():
    model = small(11)
    ids, targets = np.zeros((2, 5), int), np.ones((2, 5), int)
    grads = model.loss_and_grads(ids, targets)[1]
    assert (grads["wte.weight"][2:] != 0).all()          # softmax pushes all other tokens down


def test_a_copy_of_the_gradients_buffer_is_all_gradients_in_order():
    model = small(12)
    grads = model.loss_and_grads(*batch(12))[1]
    flat = np.concatenate([grads[name].ravel("K") for name, _, _ in model.table])          # "K": as they lie in memory
    np.testing.assert_array_equal(model.flat_grads, flat)


def test_matrices_lie_with_their_longer_side_running_on():
    model = GPT(GPTConfig(vocab_size=30, n_positions=5, n_layer=1, n_head=2, n_embd=8), threads=1)
    for arrays in (model.params, model.grads):
        assert {name for name, a in arrays.items() if not a.flags.c_contiguous} == {
            "wte.weight", "h.0.attn.c_proj.weight", "h.0.mlp.c_proj.weight"
        }


# Training


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_first_loss_is_that_of_guessing(seed):
    config = GPTConfig(vocab_size=65, n_positions=32, n_embd=48, n_layer=3, n_head=3)
    loss = GPT(config, seed=seed, threads=1).loss(*batch(seed, B=4, T=32, V=65))
    assert loss == pytest.approx(math.log(65), abs=0.05)


@pytest.mark.parametrize("optimizer", ["AdamW", "Muon"])
def test_one_batch_can_be_learned_by_heart(optimizer):
    model = GPT(GPTConfig(vocab_size=11, n_positions=8, n_embd=24, n_layer=2, n_head=2), seed=13, threads=1)
    ids, targets = batch(13, B=4, T=8)
    ids[:, 0] = range(4)                                 # different beginnings, so that every next token can be known
    muon = Muon(model) if optimizer == "Muon" else None
    adamw = AdamW(model, start=muon.stop if muon else 0)
    for _ in range(60):
        model.loss_and_grads(ids, targets)
        adamw.step(1e-2, clip_scale(gradient_norm(model.flat_grads, model.pool), 1.0))
        if muon:
            muon.step(1e-2)
    assert model.loss(ids, targets) < 0.05


@pytest.mark.parametrize("optimizer", ["AdamW", "Muon"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_second_step_allocates_nothing_large(optimizer, threads):
    config = GPTConfig(vocab_size=65, n_positions=64, n_embd=64, n_layer=2, n_head=4, **DROPOUT)
    model = GPT(config, seed=14, threads=threads)
    ids, targets = batch(14, B=16, T=64, V=65)
    muon = Muon(model) if optimizer == "Muon" else None
    adamw = AdamW(model, start=muon.stop if muon else 0)

    def step():
        model.loss_and_grads(ids, targets, dropout_key=(14,))
        adamw.step(1e-3, clip_scale(gradient_norm(model.flat_grads, model.pool), 1.0))
        if muon:
            muon.step(1e-3)

    step()
    assert sum(a.nbytes for shard in model._parts._scopes for a in shard.acts.values()) > 10e6
    tracemalloc.start()
    try:
        step()
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert largest < 1e6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["gelu_new", "gelu", "relu"])
def test_every_array_keeps_its_dtype_over_a_step(dtype, activation):
    model = small(15, dtype, threads=2, activation_function=activation, **DROPOUT)
    muon = Muon(model)
    adamw = AdamW(model, start=muon.stop)
    norm = 0.0
    for key in range(2):
        model.loss_and_grads(*batch(15, ignored=0.2), scale=np.float64(0.5), dropout_key=(key,))
        norm = gradient_norm(model.flat_grads, model.pool)
        adamw.step(np.float64(1e-3), clip_scale(norm, 1.0))
        muon.step(np.float64(1e-3))
    arrays = {"logits": model(batch(15)[0]), "m": adamw.m, "v": adamw.v, "buffer": muon.buffer, **model.params}
    for shard in model._parts._scopes:
        for store in (shard.grads, shard.acts, shard.dacts, shard.run.scratch):
            arrays.update({f"{len(arrays)} {name}": a for name, a in store.items() if a.dtype.kind == "f"})
    assert {name: a.dtype for name, a in arrays.items() if a.dtype != dtype} == {}
    assert type(norm) is float


# The forward pass


@pytest.mark.parametrize(
    "changes",
    [{}, {"bias": False}, {"activation_function": "gelu"}, {"activation_function": "relu"}, {"n_head": 3},
     {"n_inner": 7}, {"layer_norm_epsilon": 0.3}, {"tie_word_embeddings": False}],
    ids=str,
)
def test_logits_equal_the_textbooks(changes):
    model, textbook = small(19, threads=2, **changes), small(19, fast=False, **changes)
    model.flat_params += 0.3 * np.random.default_rng(19).standard_normal(model.flat_params.size)    # norms and biases not 1, 0
    textbook.flat_params[:] = model.flat_params
    ids, _ = batch(19, B=3)
    np.testing.assert_allclose(model(ids), textbook(ids), rtol=1e-10, atol=1e-12)       # float64, sums in another order


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@textbook_and_engine
def test_a_position_does_not_see_the_next_token(dtype, fast):
    model = small(20, dtype, fast=fast)
    ids, _ = batch(20, B=2, T=9)
    before = model(ids)
    for t in range(1, 9):
        changed = ids.copy()
        changed[:, t] = (changed[:, t] + 1) % 11
        after = model(changed)
        np.testing.assert_array_equal(after[:, :t], before[:, :t], err_msg=f"token {t} changed")
        assert (after[:, t] != before[:, t]).any()


def test_every_earlier_token_is_seen():
    model = small(21)
    ids, _ = batch(21, B=1, T=9)
    before = model(ids)
    for t in range(9):
        changed = ids.copy()
        changed[:, t] = (changed[:, t] + 1) % 11
        assert (model(changed)[:, t:] != before[:, t:]).all()


@textbook_and_engine
def test_the_logits_of_one_call_survive_the_next(fast):
    model = small(22, fast=fast)
    a = model(batch(22)[0])
    before = a.copy()
    model(batch(23)[0])
    model.loss_and_grads(*batch(24))
    np.testing.assert_array_equal(a, before)


def test_sequences_of_a_batch_do_not_mix():
    model = small(23)
    ids, _ = batch(23)
    np.testing.assert_allclose(model(ids)[1:2], model(ids[1:2]), rtol=1e-11, atol=1e-13)   # BLAS may add in another order


def test_a_pass_leaves_ids_and_targets_alone():
    model = small(24)
    ids, targets = batch(24, ignored=0.3)
    before = ids.copy(), targets.copy()
    model.loss_and_grads(ids, targets)
    np.testing.assert_array_equal((ids, targets), before)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, np.uint64])
def test_ids_may_be_any_integers(kind):
    model = small(25)
    ids, targets = batch(25)
    expected = model.loss_and_grads(ids, targets)[0]
    assert model.loss_and_grads(ids.astype(kind), targets.astype(kind))[0] == expected
    np.testing.assert_array_equal(model(ids.astype(kind)), model(ids))


def test_ids_may_be_lists_and_strided():
    model = small(26)
    ids, targets = batch(26, T=9)
    expected = model.loss(ids[:, ::2].copy(), targets[:, ::2].copy())
    assert model.loss(ids[:, ::2], targets[:, ::2]) == expected
    assert model.loss(ids[:, ::2].tolist(), targets[:, ::2].tolist()) == expected


def test_without_a_dropout_key_nothing_drops():
    model, plain = small(27, **DROPOUT), small(27)
    ids, targets = batch(27)
    assert model.loss(ids, targets) == model.loss_and_grads(ids, targets)[0] == plain.loss(ids, targets)


def test_dropout_repeats_with_its_key():
    model = small(28, threads=2, **DROPOUT)
    ids, targets = batch(28)
    first, again, other = (model.loss_and_grads(ids, targets, dropout_key=key)[0] for key in ((1, 2), (1, 2), (1, 3)))
    assert first == again != other


@pytest.mark.parametrize(
    "name, masks",
    [
        ("embd_pdrop", ["drop.mask"]),
        ("attn_pdrop", ["h.0.attn.drop", "h.1.attn.drop"]),
        ("resid_pdrop", [f"h.{i}.{branch}.dropout.mask" for i in range(2) for branch in ("attn", "mlp")]),
    ],
)
@textbook_and_engine
def test_each_dropout_probability_has_its_places(name, masks, fast):
    model = small(30, fast=fast, **{name: 0.5})
    model.loss_and_grads(*batch(30), dropout_key=(1,))
    acts = model._parts.scopes(1)[0].acts
    found = [name for name in acts if name.endswith((".drop", ".mask")) and acts[name].ndim]    # a 1 where nothing drops
    assert found == masks
    assert all(0 < (acts[name] == 0).mean() < 1 for name in found)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_one_dropout_key_is_one_result_for_every_number_of_threads(threads):
    one, several, textbook = small(31, **DROPOUT), small(31, threads=threads, **DROPOUT), small(31, fast=False, **DROPOUT)
    losses = [model.loss_and_grads(*batch(31, B=5), dropout_key=(1,))[0] for model in (one, several, textbook)]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-13)
    for model in (several, textbook):
        assert_equal_gradients(model.grads, one.grads, rtol=1e-10, atol=1e-14)       # sums in another order, float64
    whole = textbook._parts.scopes(1)[0].acts
    for name in ("drop.mask", "h.1.attn.drop", "h.0.mlp.dropout.mask"):
        parts = [s.acts[name] for s in several._parts.scopes(threads)]
        np.testing.assert_array_equal(np.concatenate(parts), whole[name])
        assert all((a != b).any() for a, b in pairwise(whole[name]))                # no two sequences share a mask


def test_dropout_of_a_step_does_not_reach_the_next_evaluation():
    model = small(29, **DROPOUT)
    ids, targets = batch(29)
    before = model.loss(ids, targets)
    model.loss_and_grads(ids, targets, dropout_key=(1,))
    assert model.loss(ids, targets) == before


# The textbook: GPT(config, fast=False)


@pytest.mark.parametrize(
    "changes",
    [{}, DROPOUT, {"pre_norm": False, "activation_function": "gelu"}, {"activation_function": "relu", "bias": False},
     {"tie_word_embeddings": False, "attention_window": 3}],
    ids=["GPT-2's", "dropout", "GPT-1's", "relu, no bias", "untied, banded"],
)
def test_the_textbook_trains_to_the_engines_losses(changes):
    def losses(model):
        adamw = AdamW(model)
        for step in range(6):
            yield model.loss_and_grads(*batch(step, ignored=0.2), dropout_key=(step,))[0]
            adamw.step(1e-2, clip_scale(gradient_norm(model.flat_grads, model.pool), 1.0))

    engine, textbook = small(34, threads=2, **changes), small(34, fast=False, **changes)
    np.testing.assert_allclose([*losses(textbook)], [*losses(engine)], rtol=1e-9)    # float64; rounding grows with the steps
    for name, w in textbook.params.items():
        np.testing.assert_allclose(w, engine.params[name], rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_textbook_gives_the_same_bits_again_with_any_number_of_threads(threads):
    model, other = small(35, fast=False, **DROPOUT), small(35, threads=threads, fast=False, **DROPOUT)
    losses = [model.loss_and_grads(*batch(35), dropout_key=(1,))[0]]
    first = model.flat_grads.copy()
    model.loss_and_grads(*batch(36), accumulate=True)
    losses += [each.loss_and_grads(*batch(35), dropout_key=(1,))[0] for each in (model, other)]
    assert len(set(losses)) == 1
    for each in (model, other):
        np.testing.assert_array_equal(each.flat_grads, first)


def test_the_textbooks_gradients_are_views_that_accumulate_as_the_engines_do():
    engine, textbook = small(36), small(36, fast=False)
    for model in (engine, textbook):
        grads = model.grads
        for i in range(3):
            assert model.loss_and_grads(*batch(i), scale=1 / 3, accumulate=i > 0)[1] is grads
        assert grads is model.grads
        assert all(np.shares_memory(grad, model.flat_grads) for grad in grads.values())
    np.testing.assert_allclose(textbook.flat_grads, engine.flat_grads, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_textbook_keeps_its_dtype(dtype):
    model = small(37, dtype, fast=False, **DROPOUT)
    loss, _ = model.loss_and_grads(*batch(37), dropout_key=(1,))
    assert type(loss) is float
    assert model(batch(37)[0]).dtype == dtype
    shard = model._parts.scopes(1)[0]
    arrays = {**shard.grads, **shard.acts, **shard.dacts}
    assert {name: a.dtype for name, a in arrays.items() if a.dtype.kind == "f" and a.dtype != dtype} == {}


def test_the_textbook_is_saved_loaded_and_goes_on_as_the_engine_does(tmp_path):
    textbook, engine = small(38, fast=False), small(38)
    textbook.save_pretrained(tmp_path)
    ids, targets = batch(38)
    for fast in (False, True):
        loaded = GPT.from_pretrained(tmp_path, dtype=np.float64, fast=fast)
        assert loaded.fast == fast
        np.testing.assert_allclose(loaded(ids), textbook(ids), rtol=1e-10, atol=1e-12)
    for options in ({"temperature": 0}, {"seed": 3, "top_k": 5}):
        np.testing.assert_array_equal(textbook.generate(ids, 2, **options), engine.generate(ids, 2, **options))
        lists = [list(ids[0, :2]), list(ids[1, :4])]                     # padded on the left
        assert [*map(list, textbook.generate(lists, 4, **options))] == [*map(list, engine.generate(lists, 4, **options))]
    assert textbook.loss(ids, targets) == pytest.approx(engine.loss(ids, targets), rel=1e-13)
    np.testing.assert_allclose(textbook.score(ids[0]).logprobs, engine.score(ids[0]).logprobs, rtol=1e-10)


def test_the_textbook_leaves_the_engine_alone(monkeypatch):
    """Not one tuned layer runs, forward, backward or while generating"""
    monkeypatch.setattr("minigpt.nn.twins.fast_twin", lambda name: pytest.fail(f"{name} of nn/fast"))
    model = small(39, fast=False, **DROPOUT)
    ids, targets = batch(39)
    model.loss_and_grads(ids, targets, dropout_key=(1,))
    model(ids, np.ones(ids.shape, bool))
    model.generate(ids, 2, seed=0)
    model.score(ids[0])


# Threads


@pytest.mark.parametrize("B", [1, 2, 3, 5])
def test_two_threads_equal_one(B):
    ids, targets = batch(30, B=B, ignored=0.3)
    one, two = small(30, threads=1), small(30, threads=2)
    assert two.loss_and_grads(ids, targets)[0] == pytest.approx(one.loss_and_grads(ids, targets)[0], rel=1e-13)
    assert_equal_gradients(two.grads, one.grads, rtol=1e-10, atol=1e-14)     # sums in another order, float64
    np.testing.assert_allclose(two(ids), one(ids), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_number_of_threads_gives_the_same_bits(threads):
    ids, targets = batch(31, B=5)
    results = []
    for _ in range(2):
        model = small(31, np.float32, threads=threads, **DROPOUT)
        adamw = AdamW(model)
        for step in range(3):
            loss, _ = model.loss_and_grads(ids, targets, dropout_key=(step,))
            adamw.step(1e-2, clip_scale(gradient_norm(model.flat_grads, model.pool), 1.0))
        results.append((loss, model.flat_grads.tobytes(), model.flat_params.tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_error_in_one_part_ends_the_pass_and_the_next_one_is_whole(monkeypatch, part):
    ids, targets = batch(31, B=3)
    model = small(31, threads=3)
    expected = {name: g.copy() for name, g in model.loss_and_grads(ids, targets)[1].items()}
    backward = model.loss_backward

    def fail_in_one(scale, s):
        if s is model._parts._scopes[part]:
            raise KeyError("broken part")
        backward(scale, s)

    with monkeypatch.context() as patch, pytest.raises(KeyError, match="broken part"):
        patch.setattr(model, "loss_backward", fail_in_one)
        model.loss_and_grads(ids, targets)
    assert_equal_gradients(model.loss_and_grads(ids, targets)[1], expected, rtol=0, atol=0)


def test_threads_share_one_buffer_of_gradients():
    model = small(31, threads=3)
    model.loss_and_grads(*batch(31, B=3))
    assert all(np.shares_memory(g, model.flat_grads) for shard in model._parts._scopes for g in shard.grads.values())


def test_targets_that_count_may_all_stand_in_one_threads_part():
    ids, targets = batch(32, B=4)
    targets[2:] = -100
    one, two = small(32, threads=1), small(32, threads=2)
    expected = one.loss_and_grads(ids[:2], targets[:2])[0]
    assert two.loss_and_grads(ids, targets)[0] == pytest.approx(expected, rel=1e-13)
    assert_equal_gradients(two.grads, one.grads, rtol=1e-10, atol=1e-14)


def test_the_mean_is_over_the_targets_of_all_parts():
    ids, targets = batch(33, B=4)
    targets[2:, 1:] = -100                               # 14 count in the first part, 2 in the second
    one, two = small(33, threads=1), small(33, threads=2)
    assert two.loss(ids, targets) == pytest.approx(one.loss(ids, targets), rel=1e-13)
    one.loss_and_grads(ids, targets)
    two.loss_and_grads(ids, targets)
    assert_equal_gradients(two.grads, one.grads, rtol=1e-10, atol=1e-14)


# Parameters


GPT2_NAMES = """
    h.0.attn.c_attn.weight 6 18, h.0.attn.c_proj.weight 6 6, h.0.mlp.c_fc.weight 6 24, h.0.mlp.c_proj.weight 24 6,
    wte.weight 11 6, wpe.weight 9 6,
    h.0.ln_1.weight 6, h.0.ln_1.bias 6, h.0.attn.c_attn.bias 18, h.0.attn.c_proj.bias 6,
    h.0.ln_2.weight 6, h.0.ln_2.bias 6, h.0.mlp.c_fc.bias 24, h.0.mlp.c_proj.bias 6, ln_f.weight 6, ln_f.bias 6"""


def test_parameters_have_gpt2s_names_and_shapes():
    table = parameter_table(GPTConfig(**{**SMALL, "n_layer": 1}))
    expected = [line.split() for line in GPT2_NAMES.split(",")]
    assert [[name, *map(str, shape)] for name, shape, _ in table] == expected


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
@pytest.mark.parametrize("changes", [{}, {"n_layer": 3, "n_inner": 7}], ids=["small", "three layers, narrow MLP"])
def test_parameters_have_transformers_names_and_shapes(changes):
    import transformers

    config = GPTConfig(**{**SMALL, **changes})
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config.from_dict(json.loads(config.to_json())))
    expected = {name.removeprefix("transformer."): tuple(p.shape) for name, p in theirs.named_parameters()}
    assert {name: shape for name, shape, _ in parameter_table(config)} == expected


def test_without_bias_no_parameter_is_called_bias():
    names = [name for name, _, _ in parameter_table(GPTConfig(**SMALL, bias=False))]
    assert not any(name.endswith("bias") for name in names)
    assert "ln_f.weight" in names


def test_matrices_come_first_and_those_of_the_blocks_before_the_embeddings():
    table = parameter_table(GPTConfig(**SMALL))
    kinds = [len(shape) == 2 for _, shape, _ in table]
    assert kinds == sorted(kinds, reverse=True)
    matrices = [name for name, shape, _ in table if len(shape) == 2]
    assert matrices[-2:] == ["wte.weight", "wpe.weight"]
    assert all(name.startswith("h.") for name in matrices[:-2])


def test_an_untied_output_layer_comes_after_the_embeddings_and_before_the_vectors():
    table = parameter_table(GPTConfig(**SMALL, tie_word_embeddings=False))
    matrices = [(name, shape) for name, shape, _ in table if len(shape) == 2]
    assert table[: len(matrices)][-1] == ("lm_head.weight", (11, 6), 0.02)
    assert [name for name, _ in matrices[-3:]] == ["wte.weight", "wpe.weight", "lm_head.weight"]


@pytest.mark.parametrize("make", [AdamW, Muon])
def test_an_optimizer_steps_down_a_model_with_an_untied_output_layer(make):
    model = small(45, tie_word_embeddings=False)
    ids, targets = batch(45)
    before, _ = model.loss_and_grads(ids, targets)
    make(model, weight_decay=0.0).step(1e-3)
    assert model.loss(ids, targets) < before


def test_generating_reads_an_untied_output_layer():
    model = small(47, tie_word_embeddings=False)
    ids, _ = batch(47, B=1)
    assert model.generate(ids, 1, temperature=0)[0, -1] == model(ids)[0, -1].argmax()


def test_weight_decay_reaches_an_untied_output_layer_and_no_vector():
    model = small(46, tie_word_embeddings=False)
    before = {name: array.copy() for name, array in model.params.items()}
    optimizer = AdamW(model, weight_decay=0.5)
    model.flat_grads[:] = 0
    optimizer.step(0.1)
    for name, array in model.params.items():
        np.testing.assert_allclose(array, before[name] * (0.95 if array.ndim == 2 else 1), rtol=1e-15, err_msg=name)


@pytest.mark.parametrize("changes", [{}, {"bias": False}, {"n_inner": 7}, {"n_layer": 1}, {"tie_word_embeddings": False}])
def test_n_params_is_the_sum_of_the_sizes(changes):
    config = GPTConfig(**{**SMALL, **changes})
    assert config.n_params == sum(math.prod(shape) for _, shape, _ in parameter_table(config))


def test_gpt2_small_has_124_million_parameters():
    assert GPTConfig.preset("gpt2").n_params == 124_439_808


def test_parameters_are_views_of_one_buffer():
    model = small(40)
    model.params["h.1.ln_2.bias"][...] = 7
    assert (model.flat_params == 7).sum() == 6


def test_weights_start_with_their_standard_deviation():
    model = GPT(GPTConfig(vocab_size=200, n_positions=100, n_embd=64, n_layer=8, n_head=2), seed=41)
    for name, w in model.params.items():
        if name.endswith("bias"):
            assert (w == 0).all(), name
        elif w.ndim == 1:
            assert (w == 1).all(), name
        else:
            expected = 0.02 / math.sqrt(2 * 8) if name.endswith("c_proj.weight") else 0.02
            assert abs(w.std() / expected - 1) < 5 / math.sqrt(2 * w.size), name       # five standard deviations
            assert abs(w.mean()) < 5 * expected / math.sqrt(w.size), name


def test_the_seed_decides_the_weights():
    np.testing.assert_array_equal(small(42).flat_params, small(42).flat_params)
    assert (small(42).params["wte.weight"] != small(43).params["wte.weight"]).all()


def test_float32_weights_are_the_float64_weights_rounded():
    np.testing.assert_array_equal(small(44, np.float32).flat_params, small(44).flat_params.astype(np.float32))


# Bad input


BAD_IDS = {
    "no axis": (3, TypeError, r"ids: 3 of type int, expected a text, ids \(T,\)"),
    "rows of two lengths": ([[1, 2, 3], [1]], ValueError, "ids: rows of different lengths, expected one length; give one at a"),
    "a text and no tokenizer": ("to", ValueError, "ids: a text, expected token ids, since the model has no tokenizer; set mod"),
    "texts and no tokenizer": (["to"], ValueError, r"ids\[0\]: a text, expected token ids, since"),
    "bytes": (b"to", TypeError, "ids: bytes, expected a text or token ids; decode them first"),
    "an empty list": ([], ValueError, r"ids: shape \(1, 0\), expected at least one token"),
    "three axes": (np.zeros((1, 2, 3), int), ValueError, r"ids: shape \(1, 2, 3\), expected \(batch, time\)"),
    "floats": ([[1.0, 2.0]], TypeError, r"ids: dtype float64, expected integers"),
    "booleans": ([[True, False]], TypeError, r"ids: dtype bool, expected integers"),
    "no token": (np.zeros((2, 0), int), ValueError, r"ids: shape \(2, 0\), expected at least one token"),
    "no sequence": (np.zeros((0, 5), int), ValueError, r"ids: shape \(0, 5\), expected at least one token"),
    "too many": (np.zeros((1, 10), int), ValueError, r"ids: 10 tokens exceed n_positions 9; crop with ids\[\.\.\., -9:\]"),
    "negative": ([[0, -1]], ValueError, r"ids: values from -1 to 0, expected 0 to 10"),
    "past the vocabulary": ([[3, 11]], ValueError, r"ids: values from 3 to 11, expected 0 to 10"),
}


@pytest.mark.parametrize("ids, error, message", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_bad_ids_are_refused(ids, error, message):
    with pytest.raises(error, match=message):
        small()(ids)


@pytest.mark.parametrize("ids, error, message", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_bad_ids_are_refused_in_training(ids, error, message):
    with pytest.raises(error, match=message):
        small().loss_and_grads(ids, ids)


BAD_TARGETS = {
    "another shape": ([[1, 2, 3]], ValueError, r"targets: shape \(1, 3\), expected that of ids \(1, 2\)"),
    "floats": ([[1.0, 2.0]], TypeError, r"targets: dtype float64, expected integers"),
    "none that counts": ([[-100, -100]], ValueError, r"targets: all are -100, expected at least one that counts"),
    "negative": ([[1, -1]], ValueError, r"targets: values from -1 to 1, expected 0 to 10 or -100"),
    "past the vocabulary": ([[-100, 11]], ValueError, r"targets: values from 11 to 11, expected 0 to 10 or -100"),
}


@pytest.mark.parametrize("method", ["loss", "loss_and_grads"])
@pytest.mark.parametrize("targets, error, message", BAD_TARGETS.values(), ids=BAD_TARGETS.keys())
def test_bad_targets_are_refused(method, targets, error, message):
    with pytest.raises(error, match=message):
        getattr(small(), method)([[3, 4]], targets)


# Where a NaN came from


@textbook_and_engine
def test_after_a_healthy_pass_nothing_is_nonfinite(fast):
    model = small(50, fast=fast)
    model.loss_and_grads(*batch(50))
    assert model.first_nonfinite() is None


@pytest.mark.parametrize("name", ["wte.weight", "h.0.ln_1.weight", "h.1.mlp.c_proj.bias", "ln_f.bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_weight_is_found_by_name(name, value):
    model = small(51)
    with np.errstate(invalid="ignore"):
        model.params[name].flat[3] = value
        with pytest.raises(FloatingPointError, match=f"loss: .*, expected finite numbers; .* params {re.escape(name)}$"):
            model.loss(*batch(51))
        loss, _ = model.loss_and_grads(*batch(51))
    assert not np.isfinite(loss)        # with gradients one may look at where it came from
    assert model.first_nonfinite() == f"params {name}"


@pytest.mark.parametrize(
    "layer, recorded", [("h.0.attn.c_attn", "h.0.attn.q"), ("h.1.attn.c_proj", "h.1.attn.out"), ("h.1.mlp.c_fc", "h.1.mlp.pre")]
)
@textbook_and_engine
def test_an_overflow_is_found_at_the_layer_where_it_happens(layer, recorded, fast):
    model = small(52, np.float32, fast=fast)
    model.params[f"{layer}.weight"][...] = 3e38
    with np.errstate(over="ignore", invalid="ignore"):
        model.loss_and_grads(*batch(52))
    assert model.first_nonfinite() == (f"acts {layer}.y" if fast else f"acts {recorded}")


def test_activations_are_not_looked_at_after_a_pass_that_keeps_none():
    model = small(52, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        model.params["h.1.mlp.c_fc.weight"][...] = 3e38
        with pytest.raises(FloatingPointError, match="its activations are too large"):
            model.loss(*batch(52))
    assert model.first_nonfinite() is None


# The configuration


def test_a_configuration_lists_every_bad_field():
    with pytest.raises(ConfigError) as error:
        GPTConfig(vocab_size=0, n_embd=2.5, n_layer="3", activation_function="relu6", resid_pdrop=1.0, bias=1,
                  layer_norm_epsilon=0.0, initializer_range=math.nan)
    message = str(error.value)
    assert message.startswith("GPTConfig: ")
    for part in ("vocab_size 0, expected a whole number above 0", "n_embd 2.5", "n_layer '3'", "activation_function 'relu6'",
                 "gelu_new", "resid_pdrop 1.0, expected a number from 0 to below 1", "bias 1, expected True or False",
                 "layer_norm_epsilon 0.0", "initializer_range nan"):
        assert part in message


@pytest.mark.parametrize("name", ["vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"])
@pytest.mark.parametrize("value", [0, -1, 1.0, True, "2"])
def test_sizes_are_whole_numbers_above_zero(name, value):
    with pytest.raises(ConfigError, match=f"{name} {value!r}, expected a whole number above 0"):
        GPTConfig(**{name: value})


@pytest.mark.parametrize("name", ["embd_pdrop", "attn_pdrop", "resid_pdrop"])
@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan, True, None, "0.1"])
def test_probabilities_lie_from_zero_to_below_one(name, value):
    with pytest.raises(ConfigError, match=name):
        GPTConfig(**{name: value})


def test_heads_must_divide_the_channels():
    with pytest.raises(ConfigError, match="n_embd 10 is not a multiple of n_head 4"):
        GPTConfig(n_embd=10, n_head=4)


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(ConfigError, match="preset: 'gpt3', expected one of gpt2, gpt2-medium"):
        GPTConfig.preset("gpt3")


def test_a_preset_can_be_changed_in_single_fields():
    assert GPTConfig.preset("gpt2", n_layer=2) == GPTConfig(n_layer=2)


def test_json_and_back_is_the_same_configuration():
    config = GPTConfig(**SMALL, n_inner=7, bias=False, **DROPOUT, activation_function="relu", layer_norm_epsilon=1e-6,
                       scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True, bos_token_id=0, eos_token_id=[9, 100],
                       pad_token_id=3)
    assert GPTConfig.from_json(config.to_json()) == config


# As they stand in the published config.json files; dropout and the keys that all five share come from COMMON.
COMMON = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
    "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": None,
    "summary_first_dropout": 0.1, "summary_proj_to_labels": True, "summary_type": "cls_index", "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": 50257,
}
OLD = {"n_special": 0, "predict_special_tokens": True}
PUBLISHED = {
    "gpt2": {"n_embd": 768, "n_head": 12, "n_layer": 12},
    "gpt2-medium": {"n_embd": 1024, "n_head": 16, "n_layer": 24, **OLD},
    "gpt2-large": {"n_embd": 1280, "n_head": 20, "n_layer": 36, **OLD},
    "gpt2-xl": {"n_embd": 1600, "n_head": 25, "n_layer": 48, "output_past": True},
    "distilgpt2": {"n_embd": 768, "n_head": 12, "n_layer": 6, "_num_labels": 1, "id2label": {"0": "LABEL_0"},
                   "label2id": {"LABEL_0": 0}},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_configurations_are_read(name):
    config = GPTConfig.from_json(json.dumps({**COMMON, **PUBLISHED[name]}))
    assert config == GPTConfig.preset(name, embd_pdrop=0.1, attn_pdrop=0.1, resid_pdrop=0.1, bos_token_id=50_256,
                                      eos_token_id=50_256)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_all_that_transformers_writes_into_a_configuration_is_accepted():
    import transformers

    theirs = transformers.GPT2Config(**SMALL)
    for text in (theirs.to_json_string(), theirs.to_json_string(use_diff=False)):
        assert GPTConfig.from_json(text) == GPTConfig(**SMALL, embd_pdrop=0.1, attn_pdrop=0.1, resid_pdrop=0.1,
                                                      bos_token_id=50_256, eos_token_id=50_256)


@pytest.mark.parametrize(
    "key, value", [("add_cross_attention", True), ("model_type", "llama"), ("position_embedding_type", "relative_key")]
)
def test_settings_that_gpt2_does_not_have_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"config\.json: {key} {value!r}, expected"):
        GPTConfig.from_json(json.dumps({**SMALL, key: value}))


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(ConfigError, match=r"config\.json: duplicate key 'n_layer', expected each key once"):
        GPTConfig.from_json('{"n_layer": 2, "n_head": 12, "n_layer": 3}')


@pytest.mark.parametrize("text, message", [("{", "expected JSON"), ("[1]", "list, expected an object"), ("3", "number, exp")])
def test_what_is_not_a_json_object_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        GPTConfig.from_json(text)


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the machine's memory is not to be had here")
def test_a_model_larger_than_the_memory_says_so_first(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 10)      # 10 pages of 10 bytes
    with pytest.warns(UserWarning, match="choose a smaller preset"):
        GPT(GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=1), threads=1)


# A mask of padding


@pytest.mark.parametrize("threads", [1, 2])
@textbook_and_engine
def test_padding_is_never_attended_to(threads, fast):
    model = small(5, threads=threads, fast=fast)
    ids, _ = batch(5, B=3)
    keep = np.arange(7) >= np.array([[0], [2], [6]])
    changed = np.where(keep, ids, (ids + 1) % 11)
    np.testing.assert_array_equal(model(ids, keep)[keep], model(changed, keep)[keep])


def test_a_mask_that_keeps_all_changes_nothing():
    model = small(5)
    ids, _ = batch(5)
    np.testing.assert_allclose(model(ids, np.ones(ids.shape, bool)), model(ids), rtol=0, atol=1e-12)    # float64


@pytest.mark.parametrize("keep", [np.ones((4, 6), bool), np.ones((4, 7), int), np.ones(7, bool)])
def test_a_mask_of_another_form_is_refused(keep):
    with pytest.raises(ValueError, match=r"key_padding_mask: .* expected bool \(4, 7\)"):
        small()(batch(5)[0], keep)


def test_blas_threads_help_a_single_sequence_only_in_a_wide_model(monkeypatch):
    seen = []
    monkeypatch.setattr("minigpt.models.gpt.unembedding_forward", lambda h, s: seen.append(blas_threads()) or h[..., :1])
    for width in (32, 256):
        model = GPT(GPTConfig(vocab_size=2, n_positions=2, n_embd=width, n_layer=1, n_head=2), threads=2)
        model([[0, 1]])
    assert seen == [1, model.pool.threads] or blas_threads() is None
