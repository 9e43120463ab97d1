"""What a GPT-2's config.json may ask for: every setting gives transformers' logits, and every version's file is read."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from make_settings_fixture import IDS, SETTINGS, SIZES, reference_logits, weights
from minigpt import GPT, ConfigError, GPTConfig
from minigpt.hf import GPT2Config
from minigpt.models.gpt import parameter_table
from minigpt.nn.activations import ACTIVATIONS

FROZEN = json.loads((Path(__file__).parents[1] / "fixtures" / "settings.json").read_text(encoding="utf-8"))


def ours(settings, **options):
    """The model with these settings and the fixture's weights, as a config.json asks for it"""
    config = GPTConfig.from_json(json.dumps({"model_type": "gpt2", **SIZES, **settings}))
    return GPT.from_state_dict(weights(parameter_table(config)), config, dtype=np.float64, threads=1, **options)


def assert_logits(settings, expected):
    # rounded to 10 places; transformers adds up in float32 where reorder_and_upcast_attn is set, and writes √(2/π) in gelu_fast
    # with 10 digits
    tolerance = 1e-5 if "reorder_and_upcast_attn" in settings else 1e-9
    for fast in (True, False):
        logits = ours(settings, fast=fast)(IDS)
        np.testing.assert_allclose(logits, np.reshape(expected, logits.shape), rtol=0, atol=tolerance, err_msg=str(settings))


def test_every_setting_gives_transformers_logits():
    frozen = {row["settings"].get("activation_function", "gelu_new") for row in FROZEN["logits"]["rows"]}
    others = {other for function in ACTIVATIONS.values() for other in function.other_names}
    assert others < frozen <= {*ACTIVATIONS} | others
    for row in FROZEN["logits"]["rows"]:
        assert_logits(row["settings"], row["logits"])


def test_the_settings_differ_where_their_names_do():
    rows = {json.dumps(row["settings"]): np.array(row["logits"]) for row in FROZEN["logits"]["rows"]}
    same = [name for name, logits in rows.items() if abs(logits - rows["{}"]).max() < 1e-5]
    assert same == ["{}", '{"reorder_and_upcast_attn": true}',
                    *(f'{{"activation_function": "{name}"}}' for name in ACTIVATIONS["gelu_new"].other_names)]


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_every_setting_gives_the_logits_of_transformers_at_hand():
    for settings in SETTINGS:
        assert_logits(settings, reference_logits(settings))


def test_with_a_cache_a_scaled_model_computes_what_it_computes_without():
    for settings in ({"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}):
        model = ours(settings)
        row = [3]
        while len(row) < SIZES["n_positions"]:
            row.append(int(model([row])[0, -1].argmax()))
        assert model.generate([3], len(row) - 1, temperature=0).tolist() == row


def test_every_versions_config_json_is_read_without_a_word():
    ids = {"bos_token_id": 0, "eos_token_id": 5, "pad_token_id": 3}
    dropout = {"embd_pdrop": 0.1, "attn_pdrop": 0.1, "resid_pdrop": 0.1}
    for version, texts in FROZEN["configurations"].items():
        for text in texts:
            config = GPTConfig.from_dict(text)
            expected = GPTConfig(**SIZES, **dropout, **(ids if version != "2.1.1" else {}))      # it could not keep them
            assert config == expected, version
    assert set(FROZEN["configurations"]) == {"2.1.1", "2.8.0", "4.48.3", "4.57.6", "5.24.0"}


def test_keys_that_change_no_logit_are_passed_over_and_the_unknown_ones_named_in_one_warning():
    quiet = {"tokenizer_class": "BertTokenizer", "cls_token_id": 101, "pruned_heads": {}, "torchscript": True, "max_length": 50,
             "do_sample": True, "_attn_implementation_autoset": True, "use_bfloat16": False, "finetuning_task": "x",
             "num_labels": 3, "is_decoder": True, "forced_eos_token_id": None, "reorder_and_upcast_attn": True, "new": None,
             "adapters": {"adapters": {}, "config_map": {}, "fusions": {}}, "position_embedding_type": "absolute",
             "alibi": False, "sliding_window": 0, "chunk_size_feed_forward": 7, "n_ctx": 1024, "mup_scale": 0}
    for key, value in quiet.items():
        assert GPTConfig.from_dict({**SIZES, key: value}, key) == GPTConfig(**SIZES)
    loud = {"hidden_act": "gelu", "context_window_size": 9, "auto_map": {"AutoModel": "x.Y"}, "a\n": 1, "n_layers": 2}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert GPTConfig.from_dict({**SIZES, **quiet, **loud}, "config.json") == GPTConfig(**SIZES)
    (message,) = (str(warning.message) for warning in caught)
    assert message.startswith("config.json: unknown keys 'hidden_act', 'context_window_size', 'auto_map', ")
    assert message.isprintable() and message.endswith("with something of its own")


def test_a_file_that_is_read_in_several_places_warns_once(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**SIZES, "hidden_act": "gelu"}), encoding="utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")                    # as Python shows them
        GPTConfig.from_file(path)
        GPT2Config.from_file(path)
    assert len(caught) == 1


def test_what_makes_another_model_of_it_is_refused_with_the_reason():
    others = {"rope_theta": 1e4, "rope_scaling": {"type": "linear"}, "rotary_dim": 64, "alibi": True, "sliding_window": 128,
              "position_embedding_type": "relative_key", "is_encoder_decoder": True, "pruned_heads": {"0": [1]},
              "adapters": {"adapters": {"a": 1}}, "quantization_config": {"bits": 4}, "multi_query": True, "rms_norm_eps": 1e-6,
              "mup_width_scale": 0.25, "logit_scale": 0.5, "num_experts": 8, "attention_types": [[["global"], 12]]}
    with pytest.raises(ConfigError) as caught:
        GPTConfig.from_dict({**SIZES, **others})
    for key in others:
        assert f"{key} " in str(caught.value), key
    assert "expected 'absolute': GPT-2 learns its positions" in str(caught.value)
    assert "expected False: GPT-2 reads one text" in str(caught.value)
    assert "merge the adapters" in str(caught.value)


def test_sizes_by_their_other_names_count_as_in_transformers():
    names = {"hidden_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 6, "vocab_size": 7}
    assert GPTConfig.from_dict(names) == GPTConfig.from_dict({"n_head": 1, "n_embd": 9, **names}) == GPTConfig(**SIZES)
    with pytest.raises(ConfigError, match="n_embd 'x', expected"):
        GPTConfig.from_dict({**SIZES, "hidden_size": "x"})


def test_one_function_has_one_name():
    for name, function in ACTIVATIONS.items():
        for other in function.other_names:
            config = GPTConfig(**SIZES, activation_function=other)
            assert config == GPTConfig(**SIZES, activation_function=name) == GPTConfig.from_json(config.to_json())
    for name in ("gelu_10", "relu6", "linear", "GELU", "", "gelu_new ", "x" * 10_000):
        with pytest.raises(ConfigError, match=r"activation_function .*, expected one of gelu_new, gelu, relu") as caught:
            GPTConfig(activation_function=name)
        assert len(str(caught.value)) < 300


def test_attentions_scale_is_that_of_both_settings():
    D = SIZES["n_embd"] // SIZES["n_head"]
    for weights_too, layers_too, expected in ((True, False, [1, 1]), (True, True, [1, 1 / 2]), (False, False, [D**0.5] * 2),
                                              (False, True, [D**0.5, D**0.5 / 2])):
        config = GPTConfig(**SIZES, scale_attn_weights=weights_too, scale_attn_by_inverse_layer_idx=layers_too)
        assert [config.attention_scale(i) * math.sqrt(D) for i in range(2)] == pytest.approx(expected)


def test_special_ids_survive_loading_and_saving(tmp_path):
    for ids in ({"bos_token_id": 0, "eos_token_id": 5, "pad_token_id": 3}, {"eos_token_id": [5, 6], "bos_token_id": 2},
                {"bos_token_id": None, "eos_token_id": None}):
        model = ours(ids)
        model.save_pretrained(tmp_path)
        written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            assert written[name] == ids.get(name)
        again = GPT.from_pretrained(tmp_path, threads=1)
        assert again.config == model.config
        hash(again.config)
    assert again.config.eos_token_id is None


def test_ids_are_read_as_transformers_writes_them():
    def read(**values):
        config = GPTConfig.from_dict({**SIZES, **values})
        return config.bos_token_id, config.eos_token_id, config.pad_token_id

    assert read(pad_token_id=-1, eos_token_id=-1, bos_token_id=-100) == (None, None, None)
    assert read(eos_token_id=[5]) == (None, 5, None)
    assert read(eos_token_id=[-1, 5, 2]) == (None, (5, 2), None)
    assert read(eos_token_id=[]) == read(eos_token_id=[-1]) == read() == (None, None, None)


def test_a_gpt2_that_does_not_name_its_ends_has_gpt2s():
    assert GPTConfig.from_dict({"model_type": "gpt2"}).eos_token_id == 50_256
    assert GPTConfig.from_dict({"model_type": "gpt2", "eos_token_id": None, "bos_token_id": 1}) == GPTConfig(bos_token_id=1)
    assert GPTConfig.from_dict({"model_type": "gpt2", "vocab_size": 65}) == GPTConfig(vocab_size=65)     # it has no such token
    assert GPTConfig.from_dict({}) == GPTConfig.preset("gpt2") == GPTConfig()                            # a checkpoint's


def test_ids_that_are_none_are_refused_by_name():
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        for value in (-1, True, 0.5, "0", math.nan, 2**31, {}, [[1]], [1, True], [1, -1], [], (), [1, None]):
            with pytest.raises(ConfigError, match=rf"{name} .*, expected an id from 0, or None"):
                GPTConfig(**{name: value})
    for name in ("scale_attn_weights", "scale_attn_by_inverse_layer_idx"):
        for value in (None, 0, 1, "true", [], math.nan):
            with pytest.raises(ConfigError, match=rf"{name} .*, expected True or False"):
                GPTConfig(**{name: value})


def test_a_gpt1_that_transformers_has_no_model_for_is_not_passed_off_as_one():
    for changes in ({"scale_attn_weights": False}, {"scale_attn_by_inverse_layer_idx": True}, {"n_inner": 5},
                    {"activation_function": "tanh"}):
        config = GPTConfig(**SIZES, pre_norm=False, **changes)
        assert json.loads(config.to_json())["model_type"] == "minigpt", changes
        assert GPTConfig.from_json(config.to_json()) == config
    text = json.loads(GPTConfig(**SIZES, pre_norm=False, activation_function="silu", n_inner=16).to_json())
    assert (text["model_type"], text["afn"]) == ("openai-gpt", "silu")


def test_a_folder_saved_before_these_settings_still_loads(tmp_path):
    model = ours({})
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    new = [name for name in json.loads(path.read_text(encoding="utf-8")) if name.startswith("scale_") or name.endswith("_id")]
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text(encoding="utf-8")).items()
                                if name not in new}), encoding="utf-8")
    assert len(new) == 5
    assert GPT.from_pretrained(tmp_path, threads=1).config == model.config
