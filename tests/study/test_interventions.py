"""Edits by name, and the studies made of them, each against the sum or the difference that defines it."""

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.study.attribution import direct_logit_attribution
from minigpt.study.logit_lens import logit_lens
from minigpt.study.patching import activation_patching, attribution_patching

CONFIG = GPTConfig(vocab_size=7, n_positions=5, n_embd=6, n_layer=2, n_head=2)


def example(config=CONFIG, dtype=np.float64):
    rng = np.random.default_rng(0)
    model = GPT(config, seed=None, dtype=dtype)
    for array in model.params.values():
        array[...] = 0.5 * rng.standard_normal(array.shape)
    ids, targets = rng.integers(0, 7, (2, 2, 4))
    return model, ids, targets


def test_without_edits_a_run_is_the_model():
    model, ids, targets = example()
    trace = model.run(ids, targets)
    np.testing.assert_allclose(trace["logits"].value, model(ids), rtol=0, atol=1e-14)
    assert trace.loss == pytest.approx(model.loss(ids, targets), rel=1e-14)


def test_ablated_mlps_are_the_model_without_them():
    model, ids, _ = example()
    ablated = model.run(ids, edits={"h.*.mlp.out": 0})["logits"].value
    for i in range(CONFIG.n_layer):
        model.params[f"h.{i}.mlp.c_proj.weight"][...] = 0
        model.params[f"h.{i}.mlp.c_proj.bias"][...] = 0
    np.testing.assert_allclose(ablated, model(ids), rtol=0, atol=1e-14)


def test_attention_can_be_replaced_by_a_function():
    model, ids, _ = example()

    def to_itself(att):
        return np.broadcast_to(np.eye(att.shape[-1]), att.shape)

    trace = model.run(ids, edits={"h.1.attn.att": to_itself}, names=["h.1.attn.o", "h.1.attn.v"])
    np.testing.assert_allclose(trace["h.1.attn.o"].value, trace["h.1.attn.v"].value)


def test_patching_all_that_enters_a_block_gives_the_other_runs_answer():
    model, ids, _ = example()
    clean = model.run(ids[::-1], names=["h.1.in", "logits"])
    patched = model.run(ids, edits={"h.1.in": clean["h.1.in"].value})
    np.testing.assert_allclose(patched["logits"].value, clean["logits"].value, rtol=0, atol=1e-14)


def test_edits_reach_only_what_comes_later():
    model, ids, _ = example()
    plain, edited = model.run(ids, names="*"), model.run(ids, edits={"h.1.attn.q": 0}, names="*")
    names = list(plain)
    changed = {name for name in names if not np.array_equal(plain[name].value, edited[name].value)}
    assert min(names.index(name) for name in changed) == names.index("h.1.attn.q")
    assert {"h.1.attn.scores", "h.1.out", "logits"} <= changed
    assert not changed & {"h.1.attn.k", "h.1.attn.v"}


def test_edits_of_one_name_are_made_in_their_order():
    model, ids, _ = example()
    trace = model.run(ids, edits={"h.0.*out": 1, "h.0.mlp.out": lambda x: x + 1}, names="h.0.*out")
    assert (trace["h.0.attn.out"].value == 1).all()
    assert (trace["h.0.mlp.out"].value == 2).all()


def test_edited_probabilities_make_the_loss():
    model, ids, targets = example()
    assert model.run(ids, targets, edits={"probs": 0.25}).loss == pytest.approx(np.log(4))
    assert model.run(ids, targets, edits={"logp": -2.0}).loss == pytest.approx(2)
    assert model.run(ids, targets, edits={"logp": lambda logp: logp - 1}).loss == pytest.approx(model.loss(ids, targets) + 1)
    assert model.run(ids, targets, edits={"nll": 3.0}).loss == pytest.approx(3)


def test_probabilities_and_their_logarithms_are_edited_together():
    model, ids, targets = example()
    trace = model.run(ids, targets, edits={"logp": -2.0}, names="*")
    np.testing.assert_allclose(trace["probs"].value, np.exp(-2), rtol=1e-15)
    trace = model.run(ids, targets, edits={"logp": -2.0, "probs": lambda p: p / 2}, names="*")
    assert trace.loss == pytest.approx(2 + np.log(2))
    assert (trace["logp"].value == -2).all()                    # as it was when its turn came, before that of probs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["probs", "logp", "logits", "h.0.attn.att"])
def test_an_edit_that_changes_nothing_changes_no_bit(name, dtype):
    model, ids, targets = example(dtype=dtype)
    plain, edited = (model.run(ids, targets, edits=edits, names="*") for edits in ({}, {name: lambda array: array}))
    assert edited.loss == plain.loss
    for each in plain:
        np.testing.assert_array_equal(edited[each].value, plain[each].value, err_msg=each)


def test_one_edited_probability_leaves_the_others_to_the_last_bit():
    model, ids, targets = example()

    def halve(probs):
        probs[0, 1, targets[0, 1]] /= 2
        return probs

    plain, edited = (model.run(ids, targets, edits=edits, names="nll")["nll"].value for edits in ({}, {"probs": halve}))
    assert edited[0, 1] == pytest.approx(plain[0, 1] + np.log(2))
    edited[0, 1] = plain[0, 1]
    np.testing.assert_array_equal(edited, plain)


def test_a_target_held_impossible_costs_infinitely_much():
    model, ids, targets = example()
    assert model.run(ids, targets, edits={"probs": 0}).loss == np.inf       # and no warning, which would be an error here


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_is_finite_where_a_probability_rounds_to_zero(dtype):
    model, ids, targets = example(dtype=dtype)
    far = np.where(np.arange(7) == targets[..., None], -200, 0).astype(dtype)       # exp(−200) is 0 in float32
    trace = model.run(ids, targets, edits={"logits": far})
    assert trace.loss == pytest.approx(200 + np.log(6), rel=1e-6)
    assert trace["probs"].value.min() == np.exp(dtype(-200 - np.log(6)))


def test_the_gradients_are_finite_where_a_probability_rounds_to_zero():
    model, ids, targets = example(dtype=np.float32)
    model.params["wte.weight"][...] *= 300
    trace = model.trace(ids, targets)
    logp = np.take_along_axis(trace["logp"].value, targets[..., None], -1)
    assert logp.min() < -200
    assert trace.loss == pytest.approx(-logp.mean(), rel=1e-6)
    for name, step in trace.items():
        assert np.isfinite(step.grad).all() or name == "probs", name            # dprobs = −1/(n probs) is −∞ there


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_keeps_the_dtype_and_the_callers_arrays(dtype):
    model, ids, _ = example(dtype=dtype)
    mine = np.ones((2, 4, 6), dtype)
    trace = model.run(ids, edits={"h.0.attn.out": mine, "h.0.mlp.out": lambda x: x * 2}, names="*")
    assert {step.value.dtype for step in trace.values()} == {np.dtype(dtype)}
    assert (mine == 1).all()


@pytest.mark.parametrize("edits, message", [
    ({"h.9.attn.att": 0}, "matches no name"),
    ({"wte.weight": 0}, "matches no name"),                 # a parameter: change model.params
    ({"loss": 0}, "matches no name"),
    ({"h.0.attn.att": np.zeros(5)}, r"shape \(5,\) for h\.0\.attn\.att"),
    ({"h.0.attn.att": lambda att: None}, r"h\.0\.attn\.att returned None, expected an array; does it end in return"),
    ({"h.0.attn.att": 1j}, "complex"),
])
def test_bad_edits_are_refused(edits, message):
    model, ids, targets = example()
    with pytest.raises(ValueError, match=message):
        model.run(ids, targets, edits=edits)


def test_the_logit_lens_ends_with_the_models_answer():
    model, ids, _ = example()
    lens = logit_lens(model, ids)
    assert lens.names == ["h.0.in", "h.1.in", "h.1.out"]
    np.testing.assert_allclose(lens.probs[-1], model.run(ids)["probs"].value, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(lens.best[-1], model(ids).argmax(-1))
    # and at h.1.in it is the model without its second block
    skipped = model.run(ids, edits={"h.1.attn.out": 0, "h.1.mlp.out": 0})["probs"].value
    np.testing.assert_allclose(lens.probs[1], skipped, rtol=0, atol=1e-14)


@pytest.mark.parametrize("changes", [{}, {"bias": False}, {"tie_word_embeddings": False}], ids=["GPT-2", "no bias", "untied"])
def test_direct_logit_attribution_sums_to_the_logit(changes):
    model, ids, _ = example(GPTConfig(**{**CONFIG.to_dict(), **changes}))
    logits = model(ids)
    parts = direct_logit_attribution(model, ids, 3)
    np.testing.assert_allclose(sum(parts.values()), logits[:, -1, 3], rtol=1e-13)
    parts = direct_logit_attribution(model, ids, np.array([3, 5]), against=1, position=2)
    np.testing.assert_allclose(sum(parts.values()), logits[[0, 1], 2, [3, 5]] - logits[:, 2, 1], rtol=1e-12)


def test_direct_logit_attribution_gives_each_head_its_own():
    model, ids, _ = example()
    parts = direct_logit_attribution(model, ids, 3)

    def silence(o):
        o[:, 1] = 0
        return o

    last = CONFIG.n_layer - 1       # no later attention reads it; the norm's r is to be held, and the MLP
    plain = model.run(ids, names=["ln_f.rstd", f"h.{last}.mlp.out"])
    held = {name: plain[name].value for name in plain}
    without = model.run(ids, edits={f"h.{last}.attn.o": silence, **held})["logits"].value
    np.testing.assert_allclose(parts[f"h.{last}.attn.o.1"], (model(ids) - without)[:, -1, 3], rtol=1e-9)


@pytest.mark.parametrize("arguments, message", [
    ({"token": 7}, "from 0 to 6"), ({"token": 1.5}, "expected an id"), ({"token": [1, 2, 3]}, "2 ids"),
    ({"token": 1, "against": -1}, "against"), ({"token": 1, "position": 4}, "-4 to 3"),
])
def test_bad_tokens_are_refused(arguments, message):
    model, ids, _ = example()
    with pytest.raises(ValueError, match=message):
        direct_logit_attribution(model, ids, **arguments)


def test_patching_moves_one_place_at_a_time():
    model, ids, targets = example()
    clean_ids = ids.copy()
    clean_ids[:, 2] = (ids[:, 2] + 1) % 7
    effects = activation_patching(model, ids, clean_ids, targets, ["h.0.in", "h.1.attn.o"])
    assert effects["h.0.in"].shape == (4,)
    assert effects["h.1.attn.o"].shape == (2, 4)
    # the runs differ at one position of the input alone: patching it is the whole difference, elsewhere it is none
    whole = model.loss(clean_ids, targets) - model.loss(ids, targets)
    np.testing.assert_allclose(effects["h.0.in"], [0, 0, whole, 0], rtol=0, atol=1e-14)
    assert (effects["h.1.attn.o"][:, :2] == 0).all()       # nothing earlier hears of it
    assert (effects["h.1.attn.o"][:, 2:] != 0).all()


@pytest.mark.parametrize("name", ["h.0.in", "h.0.attn.scores", "h.0.attn.att", "h.1.attn.o", "h.1.mlp.act", "h.1.out"])
def test_attribution_patching_is_exact_between_runs_that_hardly_differ(name):
    model, ids, targets = example()
    ids[:, 1], clean_ids = 2, ids.copy()
    clean_ids[:, 1] = 4
    model.params["wte.weight"][4] = model.params["wte.weight"][2] + 1e-5 * np.arange(6)
    real = activation_patching(model, ids, clean_ids, targets, name)[name]
    estimate = attribution_patching(model, ids, clean_ids, targets, name)[name]
    assert abs(real).max() > 1e-8
    np.testing.assert_allclose(estimate, real, rtol=0, atol=1e-3 * abs(real).max())      # the next order is 1e-4 of it


def test_attribution_patching_finds_what_patching_finds_in_the_bundled_model():
    model = GPT.from_pretrained("shakespeare-char", dtype=np.float64)
    encode = model.tokenizer.encode_array
    ids, clean_ids = encode("He is th")[None], encode("He is wh")[None]
    targets = np.full(ids.shape, -100)
    targets[0, -1] = encode("e")[0]
    for names in ("h.*.in", "h.*.attn.o", "h.*.mlp.out"):
        real = activation_patching(model, ids, clean_ids, targets, names)
        estimate = attribution_patching(model, ids, clean_ids, targets, names)
        real, estimate = (np.concatenate([effects[name].ravel() for name in effects]) for effects in (real, estimate))
        assert abs(real).max() > 0.1                # nats
        assert np.corrcoef(real, estimate)[0, 1] > 0.9, names


def test_patching_needs_texts_of_equal_length():
    model, ids, targets = example()
    for patching in (activation_patching, attribution_patching):
        with pytest.raises(ValueError, match="equal length"):
            patching(model, ids, ids[:, :3], targets, "h.0.in")
        with pytest.raises(ValueError, match="positions and channels"):
            patching(model, ids, ids, targets, "wpe.out")
