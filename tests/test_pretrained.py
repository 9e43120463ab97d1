"""Model folders in Hugging Face's layout: out, in, and what a wrong one gets."""

import json

import numpy as np
import pytest

from minigpt import GPT, ConfigError, GPTConfig, weights
from minigpt.pretrained import save_pretrained
from minigpt.tokenizer import CharTokenizer, Tokenizer

SIZES = {"vocab_size": 9, "n_positions": 6, "n_embd": 8, "n_layer": 2, "n_head": 2}
IDS = np.random.default_rng(0).integers(0, 9, (2, 6))


def make_model(seed=0, **changes):
    model = GPT(GPTConfig(**SIZES, **changes), seed=seed)
    for array in model.params.values():     # away from the initial zeros and ones
        array += 0.1 * np.random.default_rng(seed).standard_normal(array.shape).astype(array.dtype)
    return model


def rewrite(folder, change):
    """Change the folder's tensors."""
    path = folder / "model.safetensors"
    tensors = {name: array.copy() for name, array in weights.load(path).items()}
    change(tensors)
    weights.save(path, tensors)


def test_a_saved_model_comes_back_exactly(tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    loaded = GPT.from_pretrained(tmp_path)
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params)


@pytest.mark.parametrize("tokenizer", [CharTokenizer.train("hello"), Tokenizer.train("hello hello hello", 260)])
def test_the_tokenizer_comes_with_the_model(tmp_path, tokenizer):
    model = make_model()
    model.tokenizer = tokenizer
    model.save_pretrained(tmp_path)
    assert GPT.from_pretrained(tmp_path).tokenizer == tokenizer


def test_a_folder_without_tokenizer_gives_none(tmp_path):
    make_model().save_pretrained(tmp_path)
    assert GPT.from_pretrained(tmp_path).tokenizer is None


def test_a_model_without_biases_is_written_as_gpt2_with_biases_of_zero(tmp_path):
    model = make_model(bias=False)
    model.save_pretrained(tmp_path)
    loaded = GPT.from_pretrained(tmp_path)
    assert loaded.config.bias
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


def test_half_precision_weights_are_loaded_as_float32(tmp_path):
    model = make_model()
    save_pretrained(model, tmp_path, dtype=np.float16)
    loaded = GPT.from_pretrained(tmp_path)
    assert loaded.flat_params.dtype == np.float32
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params.astype(np.float16))


def test_every_missing_unexpected_and_misshapen_tensor_is_listed(tmp_path):
    make_model().save_pretrained(tmp_path)

    def change(tensors):
        del tensors["ln_f.bias"]
        tensors["ln_g.bias"] = np.zeros(8, np.float32)
        tensors["h.0.mlp.c_fc.weight"] = tensors["h.0.mlp.c_fc.weight"].T.copy()

    rewrite(tmp_path, change)
    with pytest.raises(weights.WeightFormatError) as error:
        GPT.from_pretrained(tmp_path)
    for part in ("ln_f.bias is missing", "ln_g.bias is unexpected", "h.0.mlp.c_fc.weight has shape (32, 8), expected (8, 32)"):
        assert part in str(error.value)


@pytest.mark.parametrize(("text", "message"), [
    ("{", "not JSON"),
    ("[]", "expected an object"),
    ('{"vocab_size": 9, "vocab_size": 9}', "duplicate key"),
    ('{"vocab_sise": 9}', "unknown key 'vocab_sise'"),
    ('{"model_type": "bert"}', "model_type 'bert', expected 'gpt2'"),
])
def test_a_wrong_config_json_names_the_file_and_the_fault(tmp_path, text, message):
    make_model().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"config.json: .*{message}"):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["no-such-model", ""])
def test_an_unknown_model_says_which_there_are(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="shakespeare-char"):
        GPT.from_pretrained(name)


def test_the_bundled_model_speaks_shakespeare():
    model = GPT.from_pretrained("shakespeare-char")
    prompt = model.tokenizer.encode("ROMEO:\nWhat is ")
    text = model.tokenizer.decode(model.generate(prompt, 200, temperature=0, sliding_window=True))
    common = " the and to of I you my that in is not me with your be for his this it he thou so "
    known = sum(f" {word.strip('.,;:!?')} " in common for word in text.split())
    assert known > len(text.split()) / 6        # letters at random would give next to none


def test_the_bundled_model_is_half_precision_and_under_4_mb():
    import minigpt

    path = f"{minigpt.__path__[0]}/assets/shakespeare-char/model.safetensors"
    with open(path, "rb") as file:
        data = file.read()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F16"}
    assert len(data) < 4_000_000


@pytest.mark.reference
@pytest.mark.parametrize("bias", [True, False])
def test_transformers_loads_the_folder_and_gives_the_same_logits(tmp_path, bias):
    import torch
    from transformers import GPT2LMHeadModel

    model = make_model(bias=bias)
    model.save_pretrained(tmp_path)
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        logits = theirs(torch.tensor(IDS)).logits.numpy()
    np.testing.assert_allclose(model(IDS), logits, atol=2e-6)       # float32


@pytest.mark.reference
def test_the_bundled_model_scores_the_same_in_transformers():
    import torch
    from transformers import GPT2LMHeadModel

    import minigpt
    from minigpt.data import load_corpus

    folder = f"{minigpt.__path__[0]}/assets/shakespeare-char"
    model = GPT.from_pretrained(folder)
    text = "".join(c for c in load_corpus("python").text if c in model.tokenizer._chars)
    ids = model.tokenizer.encode_array(text[: 129 * 4]).astype(np.int64).reshape(4, 129)
    theirs = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        loss = theirs(torch.tensor(ids[:, :-1]), labels=torch.tensor(ids[:, :-1])).loss.item()
    targets = np.concatenate([ids[:, 1:-1], np.full((4, 1), -100)], axis=1)     # its labels shift inside
    assert model.loss(ids[:, :-1], targets) == pytest.approx(loss, abs=1e-5)
