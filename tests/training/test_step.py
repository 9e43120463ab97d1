"""One step of training: every target counts the same, in however many batches the targets come."""

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.nn.cross_entropy import IGNORED
from minigpt.tokenization import CharTokenizer
from minigpt.training.finetune import ExampleBatches, FineTuner, answered
from minigpt.training.optim import AdamW, Muon
from minigpt.training.recipe import Recipe
from minigpt.training.step import training_step

CONFIG = GPTConfig(vocab_size=11, n_positions=33, n_embd=12, n_layer=2, n_head=3)


class Given:
    """Batches that are given one after the other"""

    def __init__(self, batches):
        self.batches, self.position = batches, 0

    def next(self):
        self.position += 1
        return self.batches[self.position - 1]


def make_model():
    model = GPT(CONFIG, seed=1, dtype=np.float64, threads=2)
    model.flat_params += 0.3 * np.random.default_rng(2).standard_normal(model.flat_params.shape)
    return model


def rows(*counts):
    """One row of inputs and targets for each count, of whose 12 targets so many are asked for"""
    rng = np.random.default_rng(3)
    inputs = rng.integers(11, size=(len(counts), 12))
    targets = rng.integers(11, size=inputs.shape)
    for row, count in zip(targets, counts, strict=True):
        row[count:] = IGNORED
    return inputs, targets


def step(batches, muon=True, **options):
    """(loss, norm, tokens), and the parameters after a step"""
    model = make_model()
    muon = Muon(model) if muon else None
    adamw = AdamW(model, start=muon.stop if muon else 0)
    found = training_step(model, Given(batches), adamw, 1e-3, clip=1.0, seed=0, when="now", muon=muon, muon_lr=1e-3, **options)
    return found, model.flat_params


@pytest.mark.parametrize("counts", [(1, 12), (12, 1, 5), (3, 3, 3, 3)])
@pytest.mark.parametrize("muon", [False, True])
def test_a_step_from_several_batches_is_that_from_one_of_all_their_rows(counts, muon):
    inputs, targets = rows(*counts)
    (loss, norm, tokens), params = step([(inputs, targets)], muon)
    split = [(inputs[i : i + 1], targets[i : i + 1]) for i in range(len(counts))]
    (split_loss, split_norm, split_tokens), split_params = step(split, muon, accumulate=len(counts))
    assert split_tokens == tokens
    assert (split_loss, split_norm) == pytest.approx((loss, norm), rel=1e-12)       # float64, sums in another order
    np.testing.assert_allclose(split_params, params, rtol=0, atol=1e-10)            # orthogonalize() amplifies rounding


def test_equal_batches_are_averaged_as_they_always_were():
    inputs, targets = rows(7, 7)
    (loss, norm, _), _ = step([(inputs[:1], targets[:1]), (inputs[1:], targets[1:])], accumulate=2)
    model = make_model()
    losses = [model.loss_and_grads(inputs[i : i + 1], targets[i : i + 1], scale=1 / 2, accumulate=i > 0)[0] for i in range(2)]
    assert loss == pytest.approx(sum(losses) / 2, rel=1e-15)
    assert norm == np.linalg.norm(model.flat_grads[Muon(model).stop :])


def test_answers_of_unequal_length_teach_the_same_in_one_batch_and_in_two(tmp_path):
    """Answers of 1 and of 30 tokens, each of which counts the same"""
    examples = [answered([5, 2], [7]), answered([5, 3], [i % 11 for i in range(30)])]
    found = []
    for i, recipe in enumerate((Recipe(steps=1, batch_size=2), Recipe(steps=1, batch_size=1, accumulate=2))):
        tuner = FineTuner(make_model(), CharTokenizer.train("abcdefghijk"), (examples, examples), recipe, tmp_path / str(i))
        tuner.batches = ExampleBatches(examples, recipe.batch_size, 1)
        found.append((*tuner.update(), *tuner.model.flat_params))
    np.testing.assert_allclose(found[0][:2], found[1][:2], rtol=1e-12)
    np.testing.assert_allclose(found[0][4:], found[1][4:], rtol=0, atol=1e-10)


def test_each_batch_keeps_the_dropout_masks_of_its_position(monkeypatch):
    model, keys = make_model(), []
    real = model.loss_and_grads

    def noted(*arguments, dropout_key, **options):
        keys.append(dropout_key)
        return real(*arguments, dropout_key=dropout_key, **options)

    monkeypatch.setattr(model, "loss_and_grads", noted)
    batches = Given([rows(3), rows(4), rows(5)])
    training_step(model, batches, AdamW(model), 1e-3, clip=1.0, seed=9, when="now", accumulate=3)
    assert keys == [(9, 0), (9, 1), (9, 2)]


def test_a_batch_without_a_target_is_refused_before_a_parameter_changes():
    model = make_model()
    before = model.flat_params.copy()
    with pytest.raises(ValueError, match="expected at least one that counts"):
        training_step(model, Given([rows(3), rows(0)]), AdamW(model), 1e-3, clip=1.0, seed=0, when="now", accumulate=2)
    np.testing.assert_array_equal(model.flat_params, before)
