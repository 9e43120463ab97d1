"""The arithmetic of config.py against what a real model holds and computes."""

import json
import math
from dataclasses import fields

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.config import ConfigError, TransformerConfig
from minigpt.generation.kv_cache import KVCache
from minigpt.hf import GPT2Config
from minigpt.models import transformer
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
    {"vocab_size": 2065, "tie_word_embeddings": False}, {"embd_pdrop": 0.1, "n_layer": 1},
    {"attn_pdrop": 0.1, "activation_function": "silu"}, {"resid_pdrop": 0.1, "activation_function": "relu"},
    {"n_head": 1, "activation_function": "tanh"}, {"causal": False},
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


@pytest.mark.parametrize("changes", [{}, {"n_inner": 77}, {"n_embd": 6, "n_head": 3, "n_layer": 1}])
def test_parameters_of_a_transformer_are_those_of_its_table(changes):
    config = TransformerConfig(**{**dict(vocab_size=9, n_embd=8, n_layer=2, n_head=2), **changes})
    assert config.n_params == sum(math.prod(shape) for _, shape, _ in transformer.parameter_table(config))


@pytest.mark.parametrize("config", [GPTConfig, TransformerConfig, GPT2Config])
@pytest.mark.parametrize(("sizes", "message"), [
    ({"n_layer": 10**9}, "n_layer 1000000000, expected at most 10,000"),
    ({"n_layer": 10_001, "n_embd": 1, "n_head": 1}, "n_layer 10001, expected at most 10,000"),
    ({"n_layer": 10**20, "vocab_size": 2**31}, "vocab_size 2147483648, expected at most 2,147,483,647; n_layer 1000000"),
    ({"n_embd": 12 * 10**7, "n_head": 12}, "parameters, expected at most 10,000,000,000,000"),
    ({"vocab_size": 2**31 - 1, "n_embd": 8192, "n_head": 8}, "parameters, expected at most 10,000,000,000,000"),
    ({"n_inner": 2**31 - 1, "n_embd": 1200, "n_head": 12}, "parameters, expected at most 10,000,000,000,000"),
])
def test_a_model_that_no_machine_holds_is_refused_before_anything_is_built(tmp_path, config, sizes, message):
    with pytest.raises(ConfigError, match=message):
        config(**sizes)
    head = {"model_type": "transformer"} if config is TransformerConfig else {}
    with pytest.raises(ConfigError, match=f"config.json: .*{message}"):
        config.from_json(json.dumps({**head, **sizes}))


WRONG = [None, True, "x", 0.5, -1, math.nan, math.inf, 10**400, 2**70, [], [[]], {}, {"a": 1}, b"x", np.array([1, 2]), int]


@pytest.mark.parametrize("config", [GPTConfig, TransformerConfig, GPT2Config])
def test_any_value_in_any_field_is_taken_or_gets_the_configurations_own_error(config):
    for field in fields(config):
        refused = 0
        for value in WRONG:
            try:
                config(**{field.name: value})
            except ConfigError as error:
                assert f"{field.name} " in str(error) and len(str(error)) < 500
                refused += 1
        assert refused >= len(WRONG) - 4


@pytest.mark.parametrize("config", [GPTConfig, TransformerConfig, GPT2Config])
def test_wrong_types_in_all_fields_are_all_listed(config):
    with pytest.raises(ConfigError) as caught:
        config(**{field.name: [] for field in fields(config)})
    assert all(f"{field.name} [], expected" in str(caught.value) for field in fields(config))


@pytest.mark.parametrize(("text", "parts"), [
    ('{"afn": [], "model_type": "openai-gpt"}', ["afn [], expected one of gelu, relu"]),
    ('{"model_type": []}', ["model_type [], expected 'gpt2'"]),
    ('{"n_layer": "2", "model_type": "minigpt", "n_heads": 3, "add_cross_attention": true, "rope_theta": 1e4}',
     ["n_layer '2', expected", "unknown key 'n_heads'", "add_cross_attention True, expected False: GPT-2 reads one text",
      "rope_theta 10000.0, expected none: GPT-2 learns its positions"]),
    ('{"n_layer": -0}', ["n_layer -0.0, expected a whole number"]),
    ('{"n_layer": 2, "n_layer": 3}', ["duplicate key 'n_layer', expected each key once"]),
    ('{"layer_norm_epsilon": NaN}', ["layer_norm_epsilon: NaN, expected a finite number"]),
    ('{"n_embd": "\\u001b[2J\\n"}', [r"n_embd '\x1b[2J\n', expected"]),
    ('{"model_type": "minigpt", "a\\u202eb": 1}', [r"unknown key 'a\u202eb'"]),
    (json.dumps({"x" * i: 1 for i in range(1, 1000)} | {"n_layer": [], "model_type": "minigpt"}),
     ["n_layer [], expected", "unknown key 'xx'", "and 970 more"]),
    ("[" * 100_000, ["brackets nested too deeply"]),
], ids=range(10))
def test_a_bad_config_json_gets_one_bounded_line_that_names_file_and_fields(tmp_path, text, parts):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        GPTConfig.from_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable() and len(message) < 4000
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("values", [None, 3, [], "x", [("n_layer", 2)]])
def test_what_is_no_mapping_is_no_configuration(values):
    with pytest.raises(ConfigError, match="expected field names and values"):
        GPTConfig.from_dict(values)


@pytest.mark.parametrize("name", [None, [], {}, 3])
def test_a_preset_of_another_type_names_those_there_are(name):
    with pytest.raises(ConfigError, match=r"preset: .*, expected one of gpt2"):
        GPTConfig.preset(name)
