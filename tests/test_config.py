"""The arithmetic of config.py against what a real model holds and computes."""

import json
import math

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.generation.kv_cache import KVCache
from minigpt.models.gpt import parameter_table
from minigpt.nn.fast import embedding
from minigpt.training.optim import AdamW

SIZES = dict(vocab_size=65, n_positions=128, n_embd=64, n_layer=3, n_head=4)


def trained(config, batch_size, threads, dropout_key=(1, 2)):
    """A model after one training step of full contexts"""
    model = GPT(config, threads=threads)
    ids = np.random.default_rng(0).integers(config.vocab_size, size=(2, batch_size, config.n_positions))
    model.loss_and_grads(*ids, dropout_key=dropout_key)
    return model


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("changes", [
    {}, {"n_positions": 30}, {"n_positions": 100, "n_inner": 77, "bias": False},
    {"vocab_size": 2065, "tie_word_embeddings": False},
    {"embd_pdrop": 0.1, "n_layer": 1}, {"attn_pdrop": 0.1}, {"resid_pdrop": 0.1, "activation_function": "relu"}, {"n_head": 1},
    {"causal": False},
])
def test_activation_bytes_are_what_a_training_step_holds(changes, threads):
    config = GPTConfig(**{**SIZES, **changes})
    held = 0
    for s in trained(config, 4, threads)._parts._scopes:
        norms = [array for name, array in s.run.scratch.items() if name in ("xhat", "layernorm")]
        buffers = {}
        for array in (*s.acts.values(), *s.dacts.values(), *norms):
            if array.dtype.kind == "f":                                 # not the ids
                whole = array if array.base is None else array.base
                buffers[id(whole)] = whole.nbytes
        held += sum(buffers.values())
    # 3 %: the formula rounds the last tile of attention up, and leaves out a few numbers for each position in the loss
    assert config.activation_bytes(4) == pytest.approx(held, rel=0.03)


def test_activations_grow_with_the_batch_and_the_item():
    config = GPTConfig(**SIZES)
    assert config.activation_bytes(6, itemsize=8) == 12 * config.activation_bytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_bytes_are_the_arrays_of_a_model_and_its_optimizer(dtype):
    config = GPTConfig(**SIZES)
    model = GPT(config, dtype=dtype)
    optimizer = AdamW(model)
    itemsize = np.dtype(dtype).itemsize
    assert config.training_bytes(3, itemsize) == {
        "weights": model.flat_params.nbytes, "gradients": model.flat_grads.nbytes,
        "moments": optimizer.m.nbytes + optimizer.v.nbytes, "activations": config.activation_bytes(3, itemsize),
    }


@pytest.mark.parametrize("changes", [{}, {"n_head": 1}, {"n_layer": 1, "n_embd": 20}])
def test_cache_bytes_are_the_keys_and_values_of_a_position(changes):
    config = GPTConfig(**{**SIZES, **changes})
    cache = KVCache(config, batch=2, capacity=7, dtype=np.float32)
    assert cache.keys.nbytes + cache.values.nbytes == 2 * 7 * config.cache_bytes()


@pytest.mark.parametrize("changes", [{}, {"n_inner": 77}, {"tie_word_embeddings": False, "bias": False}])
def test_flops_are_those_of_the_matrix_products(changes, monkeypatch):
    """Up to 64 positions attention is one tile, and the step multiplies what flops_per_token counts and nothing else."""
    counted = 0

    def counting(multiply):
        def product(a, b, out=None):
            nonlocal counted
            if a.ndim > 1 and b.ndim > 1:                               # not the sums, which are products with a vector
                counted += 2 * a.size * b.shape[-1]
            return multiply(a, b, out=out)

        return product

    config = GPTConfig(**{**SIZES, "n_positions": 64, **changes})
    monkeypatch.setattr(embedding, "ONE_HOT_ROWS", 0)                   # the embeddings' gradients by addition
    monkeypatch.setattr(np, "dot", counting(np.dot))
    monkeypatch.setattr(np, "matmul", counting(np.matmul))
    trained(config, 3, threads=1)
    assert counted == 3 * 64 * config.flops_per_token


def test_the_arithmetic_of_a_huge_model_allocates_nothing():
    """The sizes of GPT-3 (Brown et al. 2020, table 2.1); what follows from them by hand."""
    config = GPTConfig(n_positions=2048, n_embd=12_288, n_layer=96, n_head=96)
    assert config.n_params == sum(math.prod(shape) for _, shape, _ in parameter_table(config)) == 174_604_259_328
    assert config.cache_bytes(2) == 4 * 96 * 12_288
    assert config.flops_per_token == 6 * (96 * 12 * 12_288**2 + 50_257 * 12_288) + 12 * 96 * 2048 * 12_288
    assert json.loads(config.to_json())["n_layer"] == 96
