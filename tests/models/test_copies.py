"""Copies of what a user holds are whole and independent: deepcopy, copy, pickle, and both ends of a process."""

import copy
import gc
import multiprocessing
import pickle
import weakref

import numpy as np
import pytest

from minigpt import GPT, CharTokenizer, GPTConfig, Recipe
from minigpt.config import TransformerConfig
from minigpt.models.classifier import Classifier
from minigpt.models.transformer import Transformer
from minigpt.tokenization import Tokenizer, WordPieceTokenizer
from minigpt.training.adapters import add_lora
from minigpt.training.normuon import NorMuon
from minigpt.training.optim import AdamW

CONFIG = GPTConfig(vocab_size=9, n_positions=8, n_embd=8, n_layer=1, n_head=2)
IDS = np.arange(16).reshape(2, 8) % 9
WAYS = {"deepcopy": copy.deepcopy, "copy": copy.copy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}
TOGETHER = {name: way for name, way in WAYS.items() if name != "copy"}        # a copied tuple holds the same things


def gpt():
    model = GPT(CONFIG, seed=1, threads=2)
    model.tokenizer = CharTokenizer.train("abcdefghi")
    return model, (IDS, (IDS + 1) % 9)


def lora():
    model, batch = gpt()
    add_lora(model, rank=2)
    return model, batch


def classifier():
    targets = np.full(IDS.shape, -100)
    targets[:, -1] = [0, 1]
    return Classifier(CONFIG, ["no", "yes"], seed=1, threads=2), (IDS, targets)


def transformer():
    return Transformer(TransformerConfig(vocab_size=9, n_embd=8, n_layer=1, n_head=2), seed=1, threads=2), (IDS, IDS)


MODELS = [gpt, lora, classifier, transformer]


def learn(model, batch, optimizer, steps=30):
    for _ in range(steps):
        model.loss_and_grads(*batch)
        optimizer.step(1e-2)
    return model.loss(*batch)


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("make", MODELS)
def test_a_copy_of_a_model_computes_the_same_and_learns_alone(make, how, used):
    model, batch = make()
    if used:
        model.loss_and_grads(*batch)
    before, weights = model.loss(*batch), model.flat_params.copy()
    other = WAYS[how](model)
    assert type(other) is type(model)
    assert other.loss(*batch) == before
    assert {*other.params} == {*model.params}
    assert learn(other, batch, AdamW(other)) < before - 0.05
    np.testing.assert_array_equal(model.flat_params, weights)
    assert model.loss(*batch) == before
    assert not any(np.shares_memory(other.params[name], model.params[name]) for name in model.params)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("fast", [True, False])
def test_parameters_and_gradients_of_a_copy_are_views_of_its_buffers(how, fast):
    model = GPT(CONFIG, threads=2, fast=fast)
    model.loss_and_grads(IDS, IDS)
    other = WAYS[how](model)
    np.testing.assert_array_equal(other.flat_grads, model.flat_grads)
    assert other.fast == fast
    for name, _, _ in other.table:
        assert np.shares_memory(other.params[name], other.flat_params)
        assert np.shares_memory(other.grads[name], other.flat_grads)
        assert other.params[name].strides == model.params[name].strides


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("fast", [True, False])
def test_gradients_of_a_copy_go_on_adding_up(how, fast):
    model = GPT(CONFIG, threads=2, fast=fast)
    model.loss_and_grads(IDS, IDS)
    other = WAYS[how](model)
    for each in (model, other):
        each.loss_and_grads(IDS[:, ::-1].copy(), IDS, accumulate=True)
    np.testing.assert_array_equal(other.flat_grads, model.flat_grads)


@pytest.mark.parametrize("how", TOGETHER)
@pytest.mark.parametrize("make", [gpt, transformer])
def test_a_model_and_its_optimizers_are_copied_as_one(make, how):
    model, batch = make()
    muon = NorMuon(model)
    adamw = AdamW(model, start=muon.stop)

    def step(model, adamw, muon):
        model.loss_and_grads(*batch)
        muon.step(1e-2)
        adamw.step(1e-2)
        return model.flat_params.copy()

    step(model, adamw, muon)
    other = TOGETHER[how]((model, adamw, muon))
    assert other[1].model is other[0]
    for _ in range(3):
        np.testing.assert_array_equal(step(*other), step(model, adamw, muon))
    before = model.flat_params.copy()
    step(*other)
    np.testing.assert_array_equal(model.flat_params, before)


@pytest.mark.parametrize("how", TOGETHER)
def test_a_copy_of_an_optimizer_alone_has_a_model_of_its_own(how):
    model, batch = gpt()
    adamw = AdamW(model)
    other = TOGETHER[how](adamw)
    before = model.flat_params.copy()
    assert learn(other.model, batch, other) < model.loss(*batch) - 0.1
    np.testing.assert_array_equal(model.flat_params, before)


@pytest.mark.parametrize("how", TOGETHER)
def test_a_copy_of_a_trace_is_the_same_trace(how):
    model, batch = gpt()
    trace = model.trace(*batch)
    other = TOGETHER[how](trace)
    assert repr(other) == repr(trace)
    np.testing.assert_array_equal(other["h.0.attn.att"].grad, trace["h.0.attn.att"].grad)
    parts = other["wte.weight"].parts
    np.testing.assert_array_equal(sum(parts.values()), sum(trace["wte.weight"].parts.values()))


@pytest.mark.parametrize("how", WAYS)
def test_a_tokenizer_is_copied_alone_and_with_its_model(how):
    words = WordPieceTokenizer(["[UNK]", "a", "##b"], ["[UNK]"])
    for tokenizer in (CharTokenizer.train("abc"), Tokenizer.train("ab ab", 258, ["<|endoftext|>"]), words):
        model, _ = gpt()
        model.tokenizer = tokenizer
        for other in (WAYS[how](tokenizer), WAYS[how](model).tokenizer):
            assert type(other) is type(tokenizer)
            assert other == tokenizer
            assert other.encode("ab") == tokenizer.encode("ab")


@pytest.mark.parametrize("how", WAYS)
def test_a_recipe_is_copied(how):
    assert WAYS[how](Recipe(steps=7)) == Recipe(steps=7)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_model_goes_to_other_processes_and_comes_back(method):
    model, batch = gpt()
    loss, grads = model.loss_and_grads(*batch)      # its threads have run
    expected = model.flat_grads.copy()
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(model.loss, batch) == loss
        assert pool.apply(model.score, ("abc",)).total == model.score("abc").total
        back = pool.apply(computed, (model, batch))
    np.testing.assert_array_equal(back.flat_grads, expected)
    assert learn(back, batch, AdamW(back)) < loss - 0.1


def computed(model, batch):
    model.loss_and_grads(*batch)
    return model


def test_a_model_that_nobody_has_is_gone_at_once():
    """Else each one that is loaded in the place of another would take its memory beside it."""
    gc.disable()
    try:
        for use in (GPT.loss, GPT.loss_and_grads, lambda model, ids, targets: model.generate(ids[:, :2], 3)):
            model, batch = gpt()
            use(model, *batch)
            gone = weakref.ref(model)
            del model
            assert gone() is None
    finally:
        gc.enable()
