"""One step of the Transformer of 2017 beside torch.nn.Transformer's, frozen by make_transformer_fixture.py, and live."""

import json

import numpy as np
import pytest

import make_transformer_fixture as fixture
from gradients import textbook_and_engine
from minigpt.config import TransformerConfig
from minigpt.models.transformer import Transformer

FROZEN = json.loads(fixture.FIXTURE.read_text(encoding="utf-8"))


def step(threads=1, fast=True):
    """(logits, loss, gradients by our names) of minigpt, from the fixture's weights"""
    model = Transformer(TransformerConfig(**fixture.CONFIG), seed=None, dtype=np.float64, threads=threads, fast=fast)
    weights = fixture.starting_weights()
    assert weights.keys() == model.params.keys()
    for name, w in weights.items():
        model.params[name][...] = w
    source, targets = fixture.batch()
    logits = model(source, fixture.decoder_inputs(targets))
    loss, grads = model.loss_and_grads(source, targets)
    return logits, loss, {name: np.array(grad) for name, grad in grads.items()}


def by_their_names(grads):
    return {**fixture.theirs(grads), "wte.weight": grads["wte.weight"]}


def test_the_fixture_was_made_by_this_recipe():
    assert FROZEN["config"] == fixture.CONFIG
    assert FROZEN["seed"] == fixture.SEED


@pytest.mark.parametrize("threads", [1, 2])
@textbook_and_engine
def test_logits_loss_and_gradients_equal_torchs(threads, fast):
    logits, loss, grads = step(threads, fast)
    np.testing.assert_allclose(logits, FROZEN["logits"], rtol=0, atol=1e-11)       # float64, logits up to about 5
    assert loss == pytest.approx(FROZEN["loss"], rel=1e-12)
    found = fixture.summary(by_their_names(grads))
    assert found.keys() == FROZEN["gradients"].keys()
    for name, numbers in FROZEN["gradients"].items():
        np.testing.assert_allclose(found[name], numbers, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_a_live_run_gives_the_frozen_numbers():
    logits, loss, grads = fixture.reference_step()
    np.testing.assert_allclose(logits, FROZEN["logits"], rtol=0, atol=1e-11)
    assert loss == pytest.approx(FROZEN["loss"], rel=1e-12)
    for name, numbers in fixture.summary(grads).items():
        np.testing.assert_allclose(numbers, FROZEN["gradients"][name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_every_entry_of_every_gradient_equals_torchs():
    logits, loss, grads = step()
    their_logits, their_loss, their_grads = fixture.reference_step()
    np.testing.assert_allclose(logits, their_logits, rtol=0, atol=1e-11)
    assert loss == pytest.approx(their_loss, rel=1e-12)
    ours = by_their_names(grads)
    assert ours.keys() == their_grads.keys()
    for name, grad in their_grads.items():
        np.testing.assert_allclose(ours[name], grad, rtol=0, atol=1e-12, err_msg=name)
