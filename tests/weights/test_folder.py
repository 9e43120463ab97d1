"""A model's folder is one thing: saved whole, and a mixture of two models' files is refused."""

import json
import os
import shutil

import numpy as np
import pytest

from minigpt import GPT, CharTokenizer, GPTConfig, Tokenizer, weights
from minigpt.config import TransformerConfig
from minigpt.models.classifier import Classifier
from minigpt.models.transformer import Transformer
from minigpt.system import files

CONFIG = GPTConfig(vocab_size=9, n_positions=8, n_embd=8, n_layer=1, n_head=2)


def gpt(seed, n_head=2, letters="abcdefghi"):
    model = GPT(GPTConfig(vocab_size=9, n_positions=8, n_embd=8, n_layer=1, n_head=n_head), seed)
    model.tokenizer = CharTokenizer(letters)
    return model


def classifier(seed, labels=("no", "yes")):
    model = Classifier(CONFIG, labels, seed)
    model.tokenizer = CharTokenizer("abcdefghi")
    return model


def bpe(seed, text="aaaabbbbccccdddd abab cdcd"):
    model = GPT(GPTConfig(vocab_size=259, n_positions=8, n_embd=8, n_layer=1, n_head=2), seed)
    model.tokenizer = Tokenizer.train(text, 259)
    return model


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mixtures(tmp_path, old, new, load, save="save_pretrained"):
    """The error of every folder in which some files are the old model's and some the new one's"""
    getattr(old, save)(tmp_path / "old")
    getattr(new, save)(tmp_path / "new")
    a, b = contents(tmp_path / "old"), contents(tmp_path / "new")
    changed = [name for name in b if a[name] != b[name]]
    for k in range(1, 2 ** len(changed) - 1):
        chosen = {name for i, name in enumerate(changed) if k >> i & 1}
        folder = tmp_path / f"mixed{k}"
        shutil.copytree(tmp_path / "old", folder)
        for name in chosen:
            (folder / name).write_bytes(b[name])
        try:
            loaded = load(folder)
        except (weights.WeightFormatError, UserWarning) as error:      # the warning says that it loads without a tokenizer
            yield str(error)
        else:
            assert any(np.array_equal(loaded.flat_params, model.flat_params) and loaded.tokenizer == model.tokenizer
                       for model in (old, new))      # only a file that nobody reads was another one


@pytest.mark.parametrize("old, new", [
    (gpt(1), gpt(2, n_head=4)), (gpt(1), gpt(2, letters="jklmnopqr")), (gpt(1), gpt(2, 4, "jklmnopqr")),
    (bpe(1), bpe(2, "eeeeffffgggg efef fgfg")),
], ids=["heads", "letters", "both", "merges"])
def test_a_mixture_of_two_models_is_refused(tmp_path, old, new):
    found = list(mixtures(tmp_path, old, new, GPT.from_pretrained))
    assert found
    assert all("\n" not in error and len(error) < 900 for error in found)


def test_labels_belong_to_their_head(tmp_path):
    found = list(mixtures(tmp_path, classifier(1), classifier(2, ("yes", "no")), Classifier.from_pretrained))
    assert found
    assert all("saved together" in error for error in found)


@pytest.mark.parametrize("change", [{"n_head": 4}, {"dropout": 0.3}, {"bos_token_id": 2, "eos_token_id": 1}], ids=str)
def test_a_mixture_of_two_transformers_is_refused(tmp_path, change):
    sizes = dict(vocab_size=9, n_embd=8, n_layer=1, n_head=2)
    old, new = (Transformer(TransformerConfig(**{**sizes, **changes}), seed) for seed, changes in ((1, {}), (2, change)))
    found = list(mixtures(tmp_path, old, new, Transformer.load, "save"))
    assert found
    assert all(name in error for error in found for name in change)


def test_what_is_free_may_be_changed_by_hand(tmp_path):
    model = gpt(1)
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "resid_pdrop": 0.3, "eos_token_id": 3}))
    assert GPT.from_pretrained(tmp_path).config.resid_pdrop == 0.3


def test_without_the_tokenizers_files_the_weights_load_alone(tmp_path):
    gpt(1).save_pretrained(tmp_path)
    CharTokenizer("jklmnopqr").save(tmp_path)
    with pytest.raises(weights.WeightFormatError, match=r"another tokenizer.*remove the tokenizer's files"):
        GPT.from_pretrained(tmp_path)
    (tmp_path / "chars.json").unlink()
    assert GPT.from_pretrained(tmp_path).tokenizer is None


@pytest.mark.parametrize("note", [None, "", "3", "[]", '{"config": 3}', '{"config": {}, "tokenizer": null}', "{"])
def test_a_folder_of_another_writer_is_taken_as_it_is(tmp_path, note):
    model = gpt(1)
    model.save_pretrained(tmp_path)
    metadata = {"format": "pt"} if note is None else {"format": "pt", "minigpt": note}
    weights.save(tmp_path / "model.safetensors", dict(model.params), metadata)
    CharTokenizer("jklmnopqr").save(tmp_path)
    np.testing.assert_array_equal(GPT.from_pretrained(tmp_path).flat_params, model.flat_params)


@pytest.mark.parametrize("failing", ["open", "fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_model_or_the_new_one_or_is_refused(tmp_path, failing, monkeypatch):
    old, new = gpt(1), gpt(2, 4, "jklmnopqr")
    outcomes = set()
    for k in range(1, 12):
        folder = tmp_path / str(k)
        old.save_pretrained(folder)
        before, calls = contents(folder), 0
        module = os if failing != "open" else files
        real = getattr(os, failing) if failing != "open" else open

        def fail(*args, **options):
            nonlocal calls
            calls += 1
            if calls == k:  # noqa: B023
                raise OSError(28, "No space left on device")
            return real(*args, **options)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(module, failing, fail, raising=False)
            try:
                new.save_pretrained(folder)
            except OSError:
                outcome = "failed"
            else:
                outcome = "saved"
        assert not [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
        if calls < k:
            break
        if contents(folder) == before:
            outcomes.add("old")
            continue
        try:
            loaded = GPT.from_pretrained(folder)
        except weights.WeightFormatError as error:
            assert "saved together" in str(error)
            outcomes.add("refused")
        else:
            assert outcome == "saved" or failing == "fsync"         # the folder's own entry could not be synced
            np.testing.assert_array_equal(loaded.flat_params, new.flat_params)
            outcomes.add("new")
    assert calls < k
    assert outcomes <= ({"old", "refused"} if failing == "replace" else {"old", "new"})
