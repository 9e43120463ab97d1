"""GPT-1 and GPT-3 beside GPT-2: where the norms stand, which blocks see only a band, what the published sizes come to."""

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt import GPT, ConfigError, GPTConfig
from minigpt.nn import Scope, attention_backward, attention_forward
from minigpt.study.gradcheck import check_model

SIZES = {"vocab_size": 7, "n_positions": 9, "n_embd": 6, "n_layer": 3, "n_head": 2}
GENERATIONS = {"GPT-1": {"pre_norm": False}, "GPT-3": {"attention_window": 3}}
each = pytest.mark.parametrize("changes", GENERATIONS.values(), ids=GENERATIONS.keys())


def make(changes, dtype=np.float64, fast=True):
    model = GPT(GPTConfig(**SIZES, **changes), seed=None, dtype=dtype, threads=2, fast=fast)
    rng = np.random.default_rng(0)
    for array in model.params.values():
        array[...] = 0.5 * rng.standard_normal(array.shape)
    ids, targets = rng.integers(0, 7, (2, 2, 9))
    return model, ids, targets


@each
@textbook_and_engine
def test_gradients(changes, fast):
    model, ids, targets = make(changes, fast=fast)
    check_model(model, ids, targets)


@each
def test_logits_are_the_textbooks(changes):
    model, ids, _ = make(changes)
    textbook, _, _ = make(changes, fast=False)
    np.testing.assert_allclose(model(ids), textbook(ids), rtol=0, atol=1e-12)


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
    assert GPTConfig.from_json(text.replace('"gelu"', '"swish"')) == GPTConfig.preset("gpt1", activation_function="silu")
    with pytest.raises(ConfigError, match="afn 'mish'"):
        GPTConfig.from_json(text.replace('"gelu"', '"mish"'))
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
        s = Scope.of(fast=True)
        attention_forward(q.copy(), k, v, s, window=window)
        attention_backward(do, s)
        return sum(array.size for name, array in s.acts.items() if name.startswith("exp"))

    assert scores(window) < 0.5 * scores(None)          # 8 tiles of 64 queries: 1 + 7 · 2 key tiles instead of 1 + 2 + … + 8
    banded, dense = GPTConfig.preset("gpt3-small"), GPTConfig.preset("gpt3-small", attention_window=None)
    saved = 12 * banded.n_embd * 6 * (2048 - 256)
    assert dense.flops_per_token - banded.flops_per_token == saved
