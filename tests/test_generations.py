"""GPT-1 and GPT-3 beside GPT-2: where the norms stand, which blocks see only a band, what the published sizes come to."""

import math

import numpy as np
import pytest

from minigpt import GPT, ConfigError, GPTConfig
from minigpt.nn import Scope, attention_backward, attention_forward
from minigpt.study.gradcheck import check_model

SIZES = {"vocab_size": 7, "n_positions": 9, "n_embd": 6, "n_layer": 3, "n_head": 2}
GENERATIONS = {"GPT-1": {"pre_norm": False}, "GPT-3": {"attention_window": 3}}
each = pytest.mark.parametrize("changes", GENERATIONS.values(), ids=GENERATIONS.keys())


def make(changes, dtype=np.float64, threads=2):
    model = GPT(GPTConfig(**SIZES, **changes), seed=None, dtype=dtype, threads=threads)
    rng = np.random.default_rng(0)
    for array in model.params.values():
        array[...] = 0.5 * rng.standard_normal(array.shape)
    ids, targets = rng.integers(0, 7, (2, 2, 9))
    return model, ids, targets


@each
def test_gradients(changes):
    model, ids, targets = make(changes)
    check_model(model, ids, targets)


def plain(model, ids):
    """One sequence's logits, written from the papers, nothing shared with the library"""
    p, c = model.params, model.config
    T, C, H = len(ids), c.n_embd, c.n_head

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + c.layer_norm_epsilon)
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(x, name):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def attn(x, i):
        distance = np.arange(T)[:, None] - np.arange(T)
        seen = (distance >= 0) & ((distance < 3) if c.attention_window and i % 2 else True)
        q, k, v = (part.reshape(T, H, -1).swapaxes(0, 1) for part in np.split(linear(x, f"h.{i}.attn.c_attn"), 3, axis=-1))
        exp = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(C // H)) * seen
        o = exp / exp.sum(-1, keepdims=True) @ v
        return linear(o.swapaxes(0, 1).reshape(T, C), f"h.{i}.attn.c_proj")

    def mlp(x, i):
        h = linear(x, f"h.{i}.mlp.c_fc")
        h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h * h * h)))
        return linear(h, f"h.{i}.mlp.c_proj")

    x = p["wte.weight"][ids] + p["wpe.weight"][:T]
    for i in range(c.n_layer):
        if c.pre_norm:
            x = x + attn(norm(x, f"h.{i}.ln_1"), i)
            x = x + mlp(norm(x, f"h.{i}.ln_2"), i)
        else:
            x = norm(x + attn(x, i), f"h.{i}.ln_1")
            x = norm(x + mlp(x, i), f"h.{i}.ln_2")
    return (norm(x, "ln_f") if c.pre_norm else x) @ p["wte.weight"].T


@each
def test_logits_are_those_of_the_plain_equations(changes):
    model, ids, _ = make(changes)
    np.testing.assert_allclose(model(ids), [plain(model, row) for row in ids], rtol=0, atol=1e-12)


@each
def test_cached_generation_equals_uncached(changes):
    model, ids, _ = make(changes)
    row = [3, 1]
    while len(row) < 9:
        row.append(int(model(np.array([row]))[0, -1].argmax()))
    assert model.generate([3, 1], 7, temperature=0).tolist() == row


@each
@pytest.mark.parametrize("format", ["float32", "float64"])
def test_a_saved_folder_loads_as_the_same_model(changes, format, tmp_path):
    model, ids, _ = make(changes, np.dtype(format))
    model.save_pretrained(tmp_path)
    loaded = GPT.from_pretrained(tmp_path, dtype=format)
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded(ids), model(ids))


def test_a_banded_model_is_not_passed_off_as_gpt2(tmp_path):
    model, _, _ = make({"attention_window": 3})
    model.save_pretrained(tmp_path)
    assert '"gpt2"' not in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_gpt1_has_no_final_norm():
    model, _, _ = make({"pre_norm": False})
    assert not any(name.startswith("ln_f") for name in model.params)
    assert model.config.n_params == sum(array.size for array in model.params.values())


def test_gpt1s_own_config_is_read():
    text = """{"model_type": "openai-gpt", "afn": "gelu", "vocab_size": 40478, "n_positions": 512, "n_ctx": 512, "n_special": 0,
               "n_embd": 768, "n_layer": 12, "n_head": 12, "predict_special_tokens": true, "initializer_range": 0.02}"""
    assert GPTConfig.from_json(text) == GPTConfig.preset("gpt1")
    with pytest.raises(ConfigError, match="afn 'swish'"):
        GPTConfig.from_json(text.replace('"gelu"', '"swish"'))
    with pytest.raises(ConfigError, match="model_type 'bert'"):
        GPTConfig.from_json(text.replace("openai-gpt", "bert"))


@pytest.mark.parametrize("name, millions", [
    ("gpt1", 117), ("gpt2", 124), ("gpt3-small", 125), ("gpt3-medium", 350), ("gpt3-large", 760), ("gpt3-xl", 1300),
    ("gpt3-2.7b", 2700), ("gpt3-6.7b", 6700), ("gpt3-13b", 13_000), ("gpt3-175b", 175_000),
])
def test_the_published_sizes(name, millions):
    assert GPTConfig.preset(name).n_params / 1e6 == pytest.approx(millions, rel=0.02)     # the papers round


def test_only_every_second_block_is_banded():
    config = GPTConfig.preset("gpt3-small")
    assert [config.window(i) for i in range(4)] == [None, 256, None, 256]
    assert [GPTConfig.preset("gpt2").window(i) for i in range(2)] == [None, None]


@pytest.mark.parametrize("window", [0, -1, 1.5, True])
def test_impossible_windows_are_refused(window):
    with pytest.raises(ConfigError, match="attention_window"):
        GPTConfig(attention_window=window)


def test_a_band_does_less_than_dense_attention():
    T, window = 512, 64
    rng = np.random.default_rng(0)
    q, k, v, do = rng.standard_normal((4, 1, 2, T, 8))

    def scores(window):
        s = Scope.of(study=False)
        attention_forward(q.copy(), k, v, s, window=window)
        attention_backward(do, s)
        return sum(array.size for name, array in s.acts.items() if name.startswith("exp"))

    assert scores(window) < 0.5 * scores(None)          # 8 tiles of 64 queries: 1 + 7 · 2 key tiles instead of 1 + 2 + … + 8
    banded, dense = GPTConfig.preset("gpt3-small"), GPTConfig.preset("gpt3-small", attention_window=None)
    saved = 12 * banded.n_embd * 6 * (2048 - 256)
    assert dense.flops_per_token - banded.flops_per_token == saved
