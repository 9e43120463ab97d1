"""Classifiers from files of other programs: the labels of their config.json."""

import json

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.models.classifier import Classifier
from minigpt.tokenization import CharTokenizer
from minigpt.weights import WeightFormatError


@pytest.fixture
def folder(tmp_path):
    model = GPT(GPTConfig(vocab_size=4, n_positions=8, n_embd=8, n_layer=1, n_head=2), threads=1)
    model.tokenizer = CharTokenizer("abcd")
    Classifier.from_model(model, ["no", "yes", "perhaps"]).save_pretrained(tmp_path)
    return tmp_path


def with_labels(folder, names):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "id2label": names}), encoding="utf-8")


def test_labels_stand_in_the_order_of_their_numbers(folder):
    with_labels(folder, {"2": "perhaps", "0": "no", "1": "yes"})
    assert Classifier.from_pretrained(folder).labels == ("no", "yes", "perhaps")


@pytest.mark.parametrize("names", [
    [], {}, "no", ["no", "yes", "perhaps"], {"0": "no", "1": "yes"}, {"0": "no", "1": "yes", "3": "perhaps"},
    {"a": "no", "b": "yes", "c": "perhaps"}, {"00": "no", "1": "yes", "2": "perhaps"}, {"0": "no", "1": 1, "2": None},
    {str(i): "no" for i in range(10_000)}, {"0": "no", "1": "no", "2": "yes"}, {"0": "\x1b[2J" * 9999},
], ids=range(12))
def test_other_labels_than_the_head_has_are_refused(folder, names):
    with_labels(folder, names)
    with pytest.raises(WeightFormatError, match=r"score.weight float32 \(3, 8\) and id2label .*, expected a") as caught:
        Classifier.from_pretrained(folder)
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_loaded_labels_are_predicted(folder):
    labels = Classifier.from_pretrained(folder).predict(["ab", "dcba"])
    assert len(labels) == 2 and np.isin(labels, ["no", "yes", "perhaps"]).all()
