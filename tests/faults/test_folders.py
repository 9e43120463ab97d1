"""Saving over what is there: after any fault the folder loads as the old, as the new, or says that it is a mixture."""

import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from faults.engine import (
    Disk,
    complaint,
    failing,
    failures,
    in_children,
    interrupting,
    killed,
    leftovers,
    operations_of,
)
from minigpt import GPT, GPTConfig, weights
from minigpt.config import ConfigError, TransformerConfig
from minigpt.models.classifier import Classifier
from minigpt.models.transformer import Transformer
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.tokenization import load as load_tokenizer
from minigpt.training.translation import Translator, Vocabulary
from minigpt.weights import WeightFormatError
from minigpt.weights.pretrained import save_pretrained

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: each fault has a process")

LOADING = (ConfigError, WeightFormatError, ValueError, OSError)     # what loading a folder may raise
OLD_TEXT, NEW_TEXT = "low lower lowest", "new newer newest"


def config(text, **changes):
    sizes = {"vocab_size": 262, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
    return GPTConfig(**{**sizes, **changes})


def gpt(text, seed, tokenizer=None, **changes):
    model = GPT(config(text, **changes), seed, threads=1)
    model.tokenizer = Tokenizer.train(text, 262) if tokenizer is None else tokenizer
    return model


def content(model):
    """All that makes a model, comparable"""
    tokenizer = getattr(model, "tokenizer", None)
    return (repr(model.config), {name: model.params[name].tobytes() for name in model.params},
            tokenizer and tokenizer.state(), getattr(model, "labels", None))


class Subject:
    """Something that is saved in a folder: `old` is there, `new` is saved over it."""

    def __init__(self, old, new, load):
        self.save_old, self.save_new, self.load = old, new, load

    def __call__(self, base):
        """A folder of the old, and the contents of both; None for an old one that no one has saved"""
        old, new = base / "old", base / "new"
        for folder, save in ((old, self.save_old), (new, self.save_new)):
            folder.mkdir(parents=True)
            if save is not None:
                save(folder)
        return old, None if self.save_old is None else self.load(old), self.load(new)


def by_hand(model, folder):
    """A folder as other programs write it, file by file"""
    model.tokenizer.save(folder)
    (folder / "config.json").write_text(model.config.to_json(), encoding="utf-8")
    weights.save(folder / "model.safetensors", model.params)


def load_gpt(folder):
    try:
        return content(GPT.from_pretrained(folder, threads=1))
    except UserWarning as error:        # between two kinds of tokenizer: the weights are one model's, and so much is said
        raise WeightFormatError(str(error)) from error


def classifier(text, seed, labels):
    return Classifier.from_model(gpt(text, seed), labels, seed)


def transformer(seed, **changes):
    sizes = {"vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2}
    return Transformer(TransformerConfig(**{**sizes, **changes}), seed, threads=1)


def translator(seed, words):
    return Translator(transformer(seed, vocab_size=len(words) + 3), Vocabulary(words))


def arrays(seed):
    return {"a": np.random.default_rng(seed).normal(size=(40, 50)), "b": np.arange(seed)}


def save_arrays(seed, name, folder):
    weights.save(folder / name, arrays(seed), {"seed": str(seed)})


def load_arrays(name, folder):
    return {key: array.tobytes() for key, array in weights.load(folder / name).items()}, weights.read_metadata(folder / name)


SUBJECTS = {
    "GPT, a new folder": Subject(None, gpt(NEW_TEXT, 2).save_pretrained, load_gpt),
    "GPT of equal sizes": Subject(gpt(OLD_TEXT, 1).save_pretrained, gpt(NEW_TEXT, 2).save_pretrained, load_gpt),
    "GPT of other sizes": Subject(gpt(OLD_TEXT, 1).save_pretrained, gpt(NEW_TEXT, 2, n_layer=2).save_pretrained, load_gpt),
    "GPT of another activation":
        Subject(gpt(OLD_TEXT, 1).save_pretrained, gpt(OLD_TEXT, 2, activation_function="gelu").save_pretrained, load_gpt),
    "GPT with another kind of tokenizer":
        Subject(gpt(OLD_TEXT, 1).save_pretrained,
                gpt(NEW_TEXT, 2, CharTokenizer([chr(97 + i) for i in range(262)])).save_pretrained, load_gpt),
    "GPT over npz": Subject(lambda folder: save_pretrained(model := gpt(OLD_TEXT, 1), folder, model.tokenizer, None, "npz"),
                            gpt(NEW_TEXT, 2).save_pretrained, load_gpt),
    "GPT over a folder of other programs":
        Subject(partial(by_hand, gpt(OLD_TEXT, 1)), gpt(NEW_TEXT, 2).save_pretrained, load_gpt),
    "Classifier": Subject(classifier(OLD_TEXT, 1, ["a", "b"]).save_pretrained,
                          classifier(NEW_TEXT, 2, ["c", "d"]).save_pretrained,
                          lambda folder: content(Classifier.from_pretrained(folder, threads=1))),
    "Transformer": Subject(transformer(1).save, transformer(2, dropout=0.2).save,
                           lambda folder: content(Transformer.load(folder, threads=1))),
    "Translator": Subject(translator(1, ["a", "b"]).save, translator(2, ["c", "d"]).save,
                          lambda folder: (content((made := Translator.load(folder, threads=1)).model), made.vocabulary.pieces)),
    "Tokenizer": Subject(Tokenizer.train(OLD_TEXT, 262).save, Tokenizer.train(NEW_TEXT, 263, ["<|end|>"]).save,
                         lambda folder: load_tokenizer(folder).state()),
    "CharTokenizer": Subject(CharTokenizer.train(OLD_TEXT).save, CharTokenizer.train(NEW_TEXT).save,
                             lambda folder: load_tokenizer(folder).state()),
    "safetensors": Subject(partial(save_arrays, 1, "x.safetensors"), partial(save_arrays, 2, "x.safetensors"),
                           partial(load_arrays, "x.safetensors")),
    "npz": Subject(partial(save_arrays, 1, "x.npz"), partial(save_arrays, 2, "x.npz"), partial(load_arrays, "x.npz")),
}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".tmp"}


def verdict(subject, folder, old, new, old_files, new_files, note):
    """What is wrong with a folder that a fault has left, or None"""
    try:
        found = subject.load(folder)
    except Exception as error:
        if old is None and isinstance(error, OSError):
            return None
        if (there := files(folder)) in (old_files, new_files):
            return f"refused although all files are those of one model: {error}"
        note("mixtures refused")
        return complaint(error, LOADING, folder) or (
            "the old files were gone, nothing new was in place" if not there else None)
    return None if found in (old, new) else "a mixture of old and new that loads without a word"


@pytest.mark.parametrize("name", SUBJECTS)
def test_saving_leaves_the_old_or_the_new(name, campaign, tmp_path):
    subject, base = SUBJECTS[name], tmp_path / "b"
    start, old, new = subject(base)
    old_files, new_files = files(start), files(base / "new")
    counted = tmp_path / "counted"
    shutil.copytree(start, counted)
    operations = operations_of(partial(subject.save_new, counted), counted)
    assert subject.load(counted) == new, "saved over the old one it is not the new one"
    new_files = files(counted)
    notes = tmp_path / "notes"
    notes.touch()

    def note(what):
        with open(notes, "a", encoding="utf-8") as file:
            file.write(what + "\n")

    def check(case):
        k, act, stays = case
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)
        save = partial(subject.save_new, folder)
        problem, raised = None, False
        if act == "kill":
            problem = killed(save, folder, k)
        else:
            documented = KeyboardInterrupt if act == "interrupt" else OSError
            with Disk(folder, k, interrupting if act == "interrupt" else failing(act), stays):
                try:
                    save()
                except BaseException as error:
                    raised = True
                    problem = complaint(error, documented, *(() if act == "interrupt" else (folder,)))
            if not problem and (left := leftovers(folder)):
                problem = f"left {left}"
            if not problem and not raised and subject.load(folder) != new:
                problem = "no error, and not the new"
        if not problem:
            problem = verdict(subject, folder, old, new, old_files, new_files, note)
        if not problem:
            save()
            problem = None if subject.load(folder) == new else "saved again it is not the new one"
        return problem

    cases = [*failures(operations), *((k, act, False) for k in range(len(operations)) for act in ("kill", "interrupt"))]
    with campaign(f"save {name}") as one:
        for (k, act, stays), problem in in_children(check, one.choose(cases, 14)):
            one.record((*operations[k], act if isinstance(act, str) else os.strerror(act), *(["staying"] * stays)), problem)
        for line in Path(notes).read_text(encoding="utf-8").splitlines():
            one.note(line)
