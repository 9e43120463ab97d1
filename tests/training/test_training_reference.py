"""Twenty training steps beside torch's, from the same weights: frozen by make_training_fixture.py, and live."""

import json

import numpy as np
import pytest

import make_training_fixture as fixture
from gradients import textbook_and_engine
from minigpt import GPT, GPTConfig
from minigpt.training.optim import AdamW, clip_scale, gradient_norm

FROZEN = json.loads(fixture.FIXTURE.read_text(encoding="utf-8"))


def model_with_starting_weights(dtype=np.float64, threads=1, fast=True):
    model = GPT(GPTConfig(**fixture.CONFIG), dtype=dtype, threads=threads, fast=fast)
    weights = fixture.starting_weights()
    assert weights.keys() == model.params.keys()
    for name, w in weights.items():
        model.params[name][...] = w
    return model


def train(dtype=np.float64, threads=1, fast=True):
    """(losses, norms) of minigpt, by the fixture's recipe"""
    recipe = fixture.RECIPE
    model = model_with_starting_weights(dtype, threads, fast)
    adamw = AdamW(model, betas=recipe["betas"], eps=recipe["eps"], weight_decay=recipe["weight_decay"])
    losses, norms = [], []
    for ids, targets in fixture.batches():
        losses.append(model.loss_and_grads(ids, targets)[0])
        norms.append(gradient_norm(model.flat_grads, model.pool))
        adamw.step(recipe["lr"], clip_scale(norms[-1], recipe["max_norm"]))
    return losses, norms


def test_the_fixture_was_made_by_this_recipe():
    assert FROZEN["config"] == fixture.CONFIG
    assert FROZEN["recipe"] == fixture.RECIPE


def test_the_fixture_is_clipped_at_some_steps_and_not_at_others():
    assert min(FROZEN["norms"]) < fixture.RECIPE["max_norm"] < max(FROZEN["norms"])


@pytest.mark.parametrize("threads", [1, 2])
@textbook_and_engine
def test_twenty_losses_and_norms_equal_torchs(threads, fast):
    losses, norms = train(threads=threads, fast=fast)
    np.testing.assert_allclose(losses, FROZEN["losses"], rtol=1e-9)        # float64; rounding grows from step to step
    np.testing.assert_allclose(norms, FROZEN["norms"], rtol=1e-8)


@textbook_and_engine
def test_twenty_losses_in_float32_stay_near_torchs(fast):
    losses, _ = train(np.float32, fast=fast)
    np.testing.assert_allclose(losses, FROZEN["losses"], rtol=1e-3)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_a_live_run_gives_the_frozen_numbers():
    live = fixture.train()
    np.testing.assert_allclose(live["losses"], FROZEN["losses"], rtol=1e-9)
    np.testing.assert_allclose(live["norms"], FROZEN["norms"], rtol=1e-8)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_logits_equal_transformers():
    import torch

    ids, _ = fixture.batches()[0]
    with torch.no_grad():
        expected = fixture.reference_model()(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(model_with_starting_weights()(ids), expected, rtol=0, atol=1e-10)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_gradients_equal_transformers():
    import torch

    ids, targets = fixture.batches()[0]
    theirs = fixture.reference_model()
    logits = theirs(torch.tensor(ids)).logits
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten()).backward()
    grads = model_with_starting_weights().loss_and_grads(ids, targets)[1]
    for name, p in theirs.transformer.named_parameters():
        np.testing.assert_allclose(grads[name], p.grad.numpy(), rtol=0, atol=1e-12, err_msg=name)
