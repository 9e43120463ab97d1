"""NorMuon against its equations, neuron by neuron."""

import math

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.config import TransformerConfig
from minigpt.models.transformer import Transformer
from minigpt.training.adapters import add_lora
from minigpt.training.normuon import NorMuon
from minigpt.training.optim import Muon, orthogonalize

H, C = 2, 12
LR, MU, BETA, DECAY = 1e-2, 0.9, 0.95, 0.1


def gpt(threads=1, **changes):
    return GPT(GPTConfig(**{**dict(vocab_size=13, n_positions=7, n_embd=C, n_layer=2, n_head=H), **changes}), seed=0,
               dtype=np.float64, threads=threads)


def transformer(threads=1):
    config = TransformerConfig(vocab_size=12, n_embd=C, n_layer=1, n_head=H)
    return Transformer(config, seed=0, dtype=np.float64, threads=threads)


def lora(threads=1, rank=1):
    model = gpt(threads)
    add_lora(model, "h.*", rank=rank)
    return model


def parts(name, array):
    """The matrices that stand in one of the model's: c_attn is one each for queries, keys and values"""
    return np.split(array, array.shape[1] // C, axis=1) if name.endswith("c_attn.weight") else [array]


class PlainNorMuon:
    """The docstring's lines, matrix by matrix and neuron by neuron"""

    def __init__(self, weights):
        self.weights = {name: w.copy() for name, w in weights.items()}
        self.momenta = {name: np.zeros_like(w) for name, w in weights.items()}
        self.moments = {name: [np.zeros(part.shape[1]) for part in parts(name, w)] for name, w in weights.items()}

    def step(self, grads, lr):
        for name, w in self.weights.items():
            b = self.momenta[name]
            b[...] = MU * b + grads[name]
            u = grads[name] + MU * b
            for matrix, update, v in zip(parts(name, w), parts(name, u), self.moments[name], strict=True):
                o = orthogonalize(np.ascontiguousarray(update))
                size = np.linalg.norm(o)
                for j in range(o.shape[1]):
                    v[j] = BETA * v[j] + (1 - BETA) * np.mean(o[:, j] ** 2)
                    o[:, j] /= math.sqrt(v[j] + 1e-10)
                if size:
                    o *= size / np.linalg.norm(o)
                matrix[...] -= lr * DECAY * matrix + lr * 0.2 * math.sqrt(max(matrix.shape)) * o


def block_matrices(model):
    return {name: model.params[name] for name, shape, _ in model.table if ".h." in f".{name}" and len(shape) == 2}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", [gpt, transformer, lora])
def test_normuon_equals_its_equations(make, threads):
    model, rng = make(threads), np.random.default_rng(1)
    plain, normuon = PlainNorMuon(block_matrices(model)), NorMuon(model, weight_decay=DECAY)
    for _ in range(4):
        size = model.flat_grads.size
        model.flat_grads[...] = rng.standard_normal(size) * 10.0 ** rng.uniform(-3, 1, size)
        normuon.step(LR)
        plain.step(model.grads, LR)
    for name, w in plain.weights.items():
        np.testing.assert_allclose(model.params[name], w, rtol=1e-8, atol=1e-11, err_msg=name)


def test_normuon_moves_what_muon_moves_and_as_far():
    moved = []
    for make in (Muon, NorMuon):
        model = gpt(n_layer=1)
        before = model.flat_params.copy()
        model.flat_grads[...] = np.random.default_rng(2).standard_normal(model.flat_grads.size)
        make(model, weight_decay=0.0).step(1.0)
        moved.append(model.flat_params - before)
    np.testing.assert_array_equal(*(step != 0 for step in moved))
    (muon, normuon) = (float(np.linalg.norm(step)) for step in moved)
    assert normuon == pytest.approx(muon, rel=0.15)


def test_neurons_whose_updates_differ_come_to_move_equally_far():
    model, rng = gpt(n_layer=1), np.random.default_rng(3)
    name, muon = "h.0.mlp.c_fc.weight", NorMuon(model, momentum=0.0, weight_decay=0.0)
    pattern = rng.standard_normal((C, 4 * C)) * np.geomspace(0.01, 1, 4 * C)        # 4 C neurons of C inputs: o is uneven
    far = np.zeros(4 * C)
    for _ in range(30):
        before = model.params[name].copy()
        model.grads[name][...] = pattern * rng.choice([-1, 1])
        muon.step(1e-3)
        far = np.linalg.norm(model.params[name] - before, axis=0)
    uneven = np.linalg.norm(orthogonalize(pattern), axis=0)
    assert uneven.max() / uneven.min() > 20
    assert far.max() / far.min() < 1.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_of_zeros_leaves_the_weights_alone_and_no_nan(dtype):
    model = GPT(GPTConfig(vocab_size=5, n_positions=4, n_embd=8, n_layer=1, n_head=H), dtype=dtype)
    before = model.flat_params.copy()
    muon = NorMuon(model, weight_decay=0.0)
    model.flat_grads[...] = 0
    muon.step(1e-2)
    np.testing.assert_array_equal(model.flat_params, before)
    model.flat_grads[...] = 1
    muon.step(1e-2)
    assert np.isfinite(model.flat_params).all() and all(np.isfinite(array).all() for array in muon.state().values())
    assert {array.dtype for array in muon.state().values()} == {np.dtype(dtype)}
