"""Models in several files: what the index says is all there, nothing else is, and nothing lies outside the folder."""

import json

import numpy as np
import pytest

from minigpt import GPT, GPTConfig, weights
from minigpt.weights import WeightFormatError

MODEL = GPT(GPTConfig(vocab_size=11, n_positions=6, n_embd=8, n_layer=2, n_head=2), seed=0)
PARTS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
NAMES = sorted(MODEL.params)
MAP = {f"transformer.{name}": PARTS[i % 2] for i, name in enumerate(NAMES)}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(MODEL.config.to_json(), encoding="utf-8")
    for part in PARTS:
        names = [name for name, place in MAP.items() if place == part]
        weights.save(tmp_path / part, {name: MODEL.params[name.removeprefix("transformer.")] for name in names})
    write_index(tmp_path, MAP)
    return tmp_path


def write_index(folder, weight_map):
    text = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def test_a_model_in_several_files_is_loaded_by_its_folder_or_its_index(folder):
    for what in (folder, folder / "model.safetensors.index.json"):
        np.testing.assert_array_equal(GPT.from_pretrained(what).flat_params, MODEL.flat_params)
    assert list(weights.load(folder / "model.safetensors.index.json")) == list(MAP)
    assert weights.read_metadata(folder / "model.safetensors.index.json") == {}


def test_what_is_missing_or_too_much_is_named(folder):
    first = "transformer." + NAMES[0]
    path, third = folder / PARTS[0], folder / "model-00003-of-00002.safetensors"
    good = path.read_bytes()
    tensors = dict(weights.load(path))

    def keep(change):
        changed = dict(tensors)
        change(changed)
        weights.save(path, changed)

    for damage, message in (
        (lambda: keep(lambda changed: changed.pop(first)), rf"{PARTS[0]}: no {first}, expected the tensors that model\."),
        (lambda: keep(lambda changed: changed.update(x=np.zeros(2))), rf"{PARTS[0]}: x, which the index does not name there"),
        (lambda: third.write_bytes(good), rf"index\.json: {third.name} beside it, which it does not name, expected all files"),
        (path.unlink, rf"index\.json: {PARTS[0]} beside it: no such file, expected all files that it names"),
        (lambda: path.write_bytes(b'{"weight_map": {}}'), rf"{PARTS[0]}: a file of the kind shards, expected safetensors"),
    ):
        damage()
        with pytest.raises(WeightFormatError, match=message):
            GPT.from_pretrained(folder)
        third.unlink(missing_ok=True)
        path.write_bytes(good)
    (folder / "model-00001-of-00009.safetensors").write_bytes(good)       # an older save in more parts
    assert GPT.from_pretrained(folder).config == MODEL.config


def test_an_index_leads_nowhere_else_and_is_checked(folder, tmp_path):
    for place in ("../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "C:x", "x\0", "y" * 300, None, 3, ["x"], {"a": 1}):
        write_index(folder, {**MAP, "x": place})
        with pytest.raises(WeightFormatError, match=r"index\.json: 'x' in .*, expected a file of the same folder"):
            GPT.from_pretrained(folder)
    for text in ("{}", '{"weight_map": []}', '{"weight_map": {}}', "{", '{"weight_map": {"a": "x", "a": "x"}}'):
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
        with pytest.raises(WeightFormatError, match=r"index\.json: .*expected"):
            GPT.from_pretrained(folder)


@pytest.mark.reference
@pytest.mark.parametrize("safe", [True, False])
def test_what_transformers_and_torch_write_in_several_files_is_loaded(tmp_path, safe):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=16, n_embd=32, n_layer=2, n_head=2)).eval()
    if safe:
        theirs.save_pretrained(tmp_path, max_shard_size="50KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 2
    else:       # transformers 5 writes no such files any more
        theirs.config.save_pretrained(tmp_path)
        state = list(theirs.state_dict().items())
        for i in range(2):
            torch.save(dict(state[i::2]), tmp_path / f"pytorch_model-0000{i + 1}-of-00002.bin")
        places = {name: f"pytorch_model-0000{i % 2 + 1}-of-00002.bin" for i, (name, _) in enumerate(state)}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    with torch.no_grad():
        logits = theirs(torch.arange(8)[None]).logits.numpy()
    np.testing.assert_allclose(GPT.from_pretrained(tmp_path)(np.arange(8)[None]), logits, atol=2e-6)       # float32
