"""Files from outside, damaged in every way: loaded right, or refused by the documented error, one line that names the file."""

import importlib.util
import io
import json
import math
import os
import shutil
import tracemalloc
import warnings
from contextlib import redirect_stderr
from functools import partial

import numpy as np
import pytest

from faults.engine import Disk, complaint, failing, failures, in_children, operations_of
from faults.mutations import bytes_mutations, json_mutations, line_mutations
from faults.test_folders import classifier, gpt, translator
from make_torch_fixture import FIXTURES
from minigpt import GPT, weights
from minigpt.config import ConfigError, GPTConfig
from minigpt.hf import GPT2LMHeadModel, GPT2Tokenizer
from minigpt.models.classifier import Classifier
from minigpt.models.transformer import Transformer
from minigpt.tokenization import CharTokenizer, Tokenizer, WordPieceTokenizer, from_state, load
from minigpt.tokenization.wordpiece_files import BERT_TOKENS
from minigpt.training.log import read_log
from minigpt.training.translation import Translator
from minigpt.weights import WeightFormatError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: each fault has a process")

TEXT = "low lower lowest, naïve"
FORMAT = (WeightFormatError, OSError)
TOKENIZER = (ValueError, OSError)
MODEL = (ConfigError, WeightFormatError, ValueError, OSError)


SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4,
         "I64": 8, "U64": 8, "F64": 8}      # bytes


def header_of(data):
    length = int.from_bytes(data[:8], "little")
    return data[8 : 8 + length], data[8 + length :]


def with_header(header, rest):
    return len(header).to_bytes(8, "little") + header + rest


def safetensors_mutations(data):
    """Of the bytes, of the header's length, and of the header's JSON, with the right length"""
    header, rest = header_of(data)
    yield from bytes_mutations(data, 8 + len(header))
    for length in (0, 1, 2, len(header) - 1, len(header) + 1, len(data) - 8, len(data), 16_000_001, 2**31, 2**63, 2**64 - 1):
        yield f"header length {length}", length.to_bytes(8, "little") + data[8:]
    for what, changed in json_mutations(header):
        yield f"header: {what}", with_header(changed, rest)


def right_safetensors(path, arrays):
    """Compare what was loaded with the file, read by its format's own words"""
    header, rest = header_of(path.read_bytes())
    table = json.loads(header)
    table.pop("__metadata__", None)
    if sorted(table) != sorted(arrays):
        return f"loaded {sorted(arrays)}, the header has {sorted(table)}"
    if b"-0" in header:
        return "-0 was taken for an unsigned integer"
    if len(table) != header.count(b'"dtype"') + header.count(b'\\u0064type'):
        return "a key twice"
    covered = 0
    for name, entry in table.items():
        begin, end = entry["data_offsets"]
        covered += end - begin
        array = arrays[name]
        if list(array.shape) != entry["shape"] or end - begin != math.prod(entry["shape"]) * SIZES[entry["dtype"]]:
            return f"{name} of shape {array.shape}"
        if entry["dtype"] in ("F32", "I64", "F64", "U64") and array.tobytes() != rest[begin:end]:
            return f"{name} with other bytes"
    return None if covered == len(rest) else f"{covered} bytes of {len(rest)}"


def unchanged_arrays(good, path, arrays):
    """npz keeps checksums: whatever is loaded is what was saved"""
    if {name: array.tobytes() for name, array in arrays.items()} != good:
        return "other arrays than were saved"
    return None


def works(model):
    """A model that was loaded computes"""
    V = model.config.vocab_size
    tokens = np.arange(4)[None] % V
    with np.errstate(all="ignore"):
        (model(tokens, tokens) if isinstance(model, Transformer) else model(tokens[:, : model.config.n_positions]))


def right_words(translator):
    """A word for each of the model's tokens"""
    pieces = translator.vocabulary.pieces
    if len(pieces) != translator.model.config.vocab_size or not all(isinstance(piece, str) for piece in pieces):
        return f"{len(pieces)} pieces for {translator.model.config.vocab_size} tokens, or not texts"
    return translator.vocabulary.decode(range(len(pieces))) and None


def round_trip(tokenizer):
    found = tokenizer.decode(tokenizer.encode("low lower"))
    return None if found == "low lower" else f"decode(encode('low lower')) is {found!r}"


class Loader:
    """A file that `make` writes into a folder, what loads it, its documented errors, and what is wrong with what was loaded."""

    def __init__(self, make, filename, load, documented, mutations, right=lambda loaded: None, sample=20):
        self.make, self.filename, self.load, self.documented = make, filename, load, documented
        self.mutations, self.right, self.sample = mutations, right, sample


ARRAYS = {"a.weight": np.arange(24, dtype=np.float32).reshape(4, 6), "b": np.arange(5), "half": np.ones((3, 2), np.float16),
          "mask": np.array([True, False]), "none": np.zeros((0, 3), np.float32)}


def save_arrays(name, folder):
    weights.save(folder / name, ARRAYS, {"who": "test", "minigpt": "1"})


def goes_on(tokenizer):
    """Whatever the vocabulary is now, it encodes and decodes, and is saved and loaded"""
    tokenizer.decode(tokenizer.encode("low lower, naïve 日", disallowed_special=()))
    return None if from_state(json.loads(json.dumps(tokenizer.state()))) == tokenizer else "another from its own state"


def released(tokenizer, folder):
    """As GPT-2 was: vocab.json and merges.txt, and with them added_tokens.json"""
    tokenizer.save(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def added(folder):
    """tokenizer.json and tokenizer_config.json, with all that they can say"""
    special.save(folder)
    state = special._as_vocabulary().state()
    tokens = [*state["added_tokens"], {**state["added_tokens"][0], "text": "<c>", "special": False, "lstrip": True}]
    vocab = {name: id for name, id in state["vocab"].items() if name not in "äö"} | {"<c>": 300}
    Tokenizer.from_state({**state, "vocab": vocab, "added_tokens": tokens, "unk_token": "<|a|>", "fuse_unk": True}).save(folder)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": {"content": "<pad>", "lstrip": True},
                "eos_token": "<|b|>", "additional_special_tokens": ["<x>"], "model_max_length": 1e30, "padding_side": "left",
                "add_prefix_space": True, "added_tokens_decoder": {"262": {"content": "<|a|>", "special": True}}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    special_map = {"mask_token": {"content": "<m>", "lstrip": True}, "additional_special_tokens": ["<y>"], "unk_token": "<|a|>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special_map), encoding="utf-8")


def hf_tokenizer(folder):
    GPT2Tokenizer(Tokenizer.train(TEXT, 262, ["<|endoftext|>"]), pad_token="<|endoftext|>").save_pretrained(folder)


def gpt1(folder):
    model = GPT(GPTConfig(262, 8, 8, 1, 2, pre_norm=False, activation_function="relu"), threads=1)
    model.tokenizer = Tokenizer.train(TEXT, 262)
    model.save_pretrained(folder)


def by_hand(folder):
    """As other programs write it, without a fingerprint"""
    model = gpt(TEXT, 1)
    model.tokenizer.save(folder)
    (folder / "config.json").write_text(model.config.to_json(), encoding="utf-8")
    weights.save(folder / "model.safetensors", model.params)


def sharded(folder):
    """As transformers writes a large model"""
    model = gpt(TEXT, 1)
    (folder / "config.json").write_text(model.config.to_json(), encoding="utf-8")
    places = {name: f"model-0000{i % 2 + 1}-of-00002.safetensors" for i, name in enumerate(sorted(model.params))}
    for place in set(places.values()):
        weights.save(folder / place, {name: model.params[name] for name in places if places[name] == place})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")


def copied(name, folder):
    """A fixture that another program wrote"""
    source = FIXTURES / name
    for path in source.iterdir() if source.is_dir() else [source]:
        shutil.copy(path, folder)


def in_gguf(folder):
    from minigpt.weights import gguf

    model = gpt(TEXT, 1)
    gguf.save(folder / "model.gguf", model.config, model.params, model.tokenizer)


def words(folder):
    """As Chinese models have it: vocab.txt and tokenizer_config.json"""
    WordPieceTokenizer([*BERT_TOKENS, "low", "##er", "##est", "na", "##ive", ",", "日", "##w"]).save(folder)
    (folder / "tokenizer.json").unlink()


def log(folder):
    lines = ["step,train_loss,val_loss,learning_rate,gradient_norm,tokens_per_second,seconds",
             *(f"{i},{3 - i / 9:.5f},{'' if i % 3 else '2.5'},0.004,0.1190,{900 + i},{i / 7:.2f}" for i in range(1, 12))]
    (folder / "log.csv").write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def load_gpt(folder):
    return GPT.from_pretrained(folder, threads=1)


def load_arrays(name, folder):
    return folder / name, weights.load(folder / name)


def load_metadata(name, folder):
    return weights.read_metadata(folder / name)


def load_transformer(folder):
    return Transformer.load(folder, threads=1)


def save_translator(folder):
    translator(1, ["a", "b"]).save(folder)


bpe, special = Tokenizer.train(TEXT, 266), Tokenizer.train(TEXT, 262, ["<|a|>", "<|b|>"])
GOOD = {name: (array.astype(np.float32) if array.dtype == np.float16 else array).tobytes() for name, array in ARRAYS.items()}
in_safetensors, in_npz = partial(save_arrays, "x.safetensors"), partial(save_arrays, "x.npz")
LOADERS = {
    "safetensors": Loader(in_safetensors, "x.safetensors", partial(load_arrays, "x.safetensors"), FORMAT,
                          safetensors_mutations, lambda loaded: right_safetensors(*loaded)),
    "safetensors' metadata": Loader(in_safetensors, "x.safetensors", partial(load_metadata, "x.safetensors"), FORMAT,
                                    safetensors_mutations),
    "npz": Loader(in_npz, "x.npz", partial(load_arrays, "x.npz"), FORMAT, bytes_mutations,
                  lambda loaded: unchanged_arrays(GOOD, *loaded)),
    "npz's metadata": Loader(in_npz, "x.npz", partial(load_metadata, "x.npz"), FORMAT, bytes_mutations),
    "GPT's weights": Loader(by_hand, "model.safetensors", load_gpt, MODEL, safetensors_mutations, works),
    "index.json of several files": Loader(sharded, "model.safetensors.index.json", load_gpt, MODEL, json_mutations, works, 8),
    "one of several files": Loader(sharded, "model-00001-of-00002.safetensors", load_gpt, MODEL, safetensors_mutations, works,
                                   8),
    "nanoGPT's ckpt.pt": Loader(partial(copied, "torch_nanogpt_2.13.0.pt"), "torch_nanogpt_2.13.0.pt", load_gpt, MODEL,
                                partial(bytes_mutations, header=3000), works, 8),
    "TensorFlow's index": Loader(partial(copied, "tensorflow_gpt2"), "model-1000.index", load_gpt, MODEL, bytes_mutations,
                                 works, 8),
    "TensorFlow's data": Loader(partial(copied, "tensorflow_gpt2"), "model-1000.data-00000-of-00001", load_gpt, MODEL,
                                bytes_mutations, works, 8),
    "hparams.json": Loader(partial(copied, "tensorflow_gpt2"), "hparams.json", load_gpt, MODEL, json_mutations, works, 8),
    "llm.c's file": Loader(partial(copied, "llmc_float32.bin"), "llmc_float32.bin", load_gpt, MODEL,
                           partial(bytes_mutations, header=40), works, 8),
    "GGUF": Loader(in_gguf, "model.gguf", load_gpt, MODEL, partial(bytes_mutations, header=3000), works, 8),
    "GPT's config.json": Loader(gpt(TEXT, 1).save_pretrained, "config.json", load_gpt, MODEL, json_mutations, works),
    "config.json of other programs": Loader(by_hand, "config.json", load_gpt, MODEL, json_mutations, works),
    "config.json, its bytes": Loader(by_hand, "config.json", load_gpt, MODEL, bytes_mutations, works),
    "GPT-1's config.json": Loader(gpt1, "config.json", load_gpt, MODEL, json_mutations, works),
    "GPT2LMHeadModel's config.json": Loader(by_hand, "config.json", GPT2LMHeadModel.from_pretrained, MODEL, json_mutations,
                                            lambda model: model([[1, 2]]) and None),
    "Classifier's config.json": Loader(classifier(TEXT, 1, ["a", "b"]).save_pretrained, "config.json",
                                       partial(Classifier.from_pretrained, threads=1), MODEL, json_mutations, works),
    "Transformer's config.json": Loader(save_translator, "config.json", load_transformer, MODEL, json_mutations, works),
    "Transformer's weights": Loader(save_translator, "model.safetensors", load_transformer, MODEL, safetensors_mutations,
                                    works),
    "Translator's words.json": Loader(save_translator, "words.json", partial(Translator.load, threads=1), MODEL,
                                      json_mutations, right_words),
    "vocab.json": Loader(partial(released, bpe), "vocab.json", Tokenizer.load, TOKENIZER, json_mutations, goes_on),
    "vocab.json, its bytes": Loader(partial(released, bpe), "vocab.json", Tokenizer.load, TOKENIZER, bytes_mutations, goes_on),
    "merges.txt": Loader(partial(released, bpe), "merges.txt", Tokenizer.load, TOKENIZER, line_mutations, round_trip),
    "merges.txt, its bytes": Loader(partial(released, bpe), "merges.txt", Tokenizer.load, TOKENIZER, bytes_mutations,
                                    round_trip),
    "added_tokens.json": Loader(partial(released, special), "added_tokens.json", Tokenizer.load, TOKENIZER, json_mutations,
                                round_trip),
    "tokenizer.json": Loader(added, "tokenizer.json", Tokenizer.load, TOKENIZER, json_mutations, goes_on),
    "tokenizer.json, its bytes": Loader(added, "tokenizer.json", Tokenizer.load, TOKENIZER, bytes_mutations, goes_on),
    "a Tokenizer's settings": Loader(added, "tokenizer_config.json", Tokenizer.load, TOKENIZER, json_mutations, goes_on),
    "special_tokens_map.json": Loader(added, "special_tokens_map.json", Tokenizer.load, TOKENIZER, json_mutations, goes_on),
    "chars.json": Loader(CharTokenizer.train(TEXT).save, "chars.json", CharTokenizer.load, TOKENIZER, json_mutations),
    "chars.json, its bytes": Loader(CharTokenizer.train(TEXT).save, "chars.json", CharTokenizer.load, TOKENIZER,
                                    bytes_mutations),
    "vocab.txt": Loader(words, "vocab.txt", load, TOKENIZER, line_mutations, goes_on),
    "vocab.txt, its bytes": Loader(words, "vocab.txt", load, TOKENIZER, bytes_mutations, goes_on),
    "tokenizer_config.json": Loader(hf_tokenizer, "tokenizer_config.json", GPT2Tokenizer.from_pretrained, TOKENIZER,
                                    json_mutations, lambda tokenizer: tokenizer(["low", "lower low"]) and None),
}


if importlib.util.find_spec("gguf") is None:
    del LOADERS["GGUF"]


def checked(loader, folder, case):
    """What is wrong with loading a damaged file, or None"""
    _, data = case
    (folder / loader.filename).write_bytes(data)
    size = sum(path.stat().st_size for path in folder.iterdir())
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # weights that are not finite
            loaded = loader.load(folder)
    except Exception as error:
        problem = complaint(error, loader.documented, loader.filename, folder)
        error.__traceback__ = None
    else:
        try:
            problem = loader.right(loaded)
        except Exception as error:
            problem = "loaded, then " + str(complaint(error, ()))
        if isinstance(problem, str):
            problem = f"loaded: {problem}"
    used = tracemalloc.get_traced_memory()[1] - before
    if problem is None and used > 3 * size + 64e6:
        problem = f"{used / 1e6:.0f} MB for files of {size / 1e6:.1f} MB"
    return problem


@pytest.mark.parametrize("name", LOADERS)
def test_a_damaged_file_is_refused_or_loaded_right(name, campaign, tmp_path):
    loader = LOADERS[name]
    loader.make(tmp_path)
    good = (tmp_path / loader.filename).read_bytes()
    assert not loader.right(loader.load(tmp_path))

    def check(case):
        if not tracemalloc.is_tracing():
            tracemalloc.start()
        return checked(loader, tmp_path, case)

    with campaign(f"damaged {name}") as one:
        cases = list(loader.mutations(good))
        for (what, _), problem in in_children(check, one.choose(cases, loader.sample), memory=2 << 30):
            one.record(what, problem)


@pytest.mark.parametrize("name", LOADERS)
def test_a_file_that_cannot_be_read_is_named(name, campaign, tmp_path):
    loader = LOADERS[name]
    loader.make(tmp_path)
    operations = operations_of(partial(loader.load, tmp_path), tmp_path)

    def check(case):
        k, number, _ = case
        with Disk(tmp_path, k, failing(number)):
            try:
                loader.load(tmp_path)
            except Exception as error:
                return complaint(error, loader.documented, tmp_path)
        return None if operations[k][0] == "list" else "no error"

    with campaign("unreadable files") as one:
        for (k, number, _), problem in in_children(check, one.choose(failures(operations), 8)):
            one.record((name, *operations[k], os.strerror(number)), problem)


def test_a_damaged_log_is_read_without_its_bad_rows(campaign, tmp_path):
    log(tmp_path)
    path = tmp_path / "log.csv"
    good = path.read_bytes()
    rows = read_log(path)

    def check(case):
        what, data = case
        path.write_bytes(data)
        said = io.StringIO()
        with redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_log(path)
        if not all(math.isfinite(value) for row in found for value in row.values() if value is not None):
            return "a row that is not finite"
        if ("flipped" in what or what.startswith("byte ")) and len(found) < len(rows) - 2:      # a line end joins two
            return f"{len(found)} rows of {len(rows)}"
        return None if all(line.isprintable() and len(line) < 1500 for line in said.getvalue().splitlines()) else "said no line"

    with campaign("damaged log.csv, read") as one:
        for (what, _), problem in in_children(check, one.choose([*bytes_mutations(good), *line_mutations(good)], 60)):
            one.record(what, problem)
