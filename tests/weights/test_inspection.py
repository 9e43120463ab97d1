"""The report on a model: what it says of each format, that it agrees with loading, and that it reads headers only."""

import json
import mmap
import shutil
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import make_torch_fixture
from minigpt import GPT, CharTokenizer, GPTConfig, Tokenizer, weights
from minigpt.models.classifier import Classifier
from minigpt.models.gpt import parameter_table
from minigpt.system.text import printable
from minigpt.weights import gguf, llmc
from minigpt.weights.inspection import inspect
from minigpt.weights.pretrained import PINS, exported

FIXTURES = make_torch_fixture.FIXTURES
CONFIG = GPTConfig(vocab_size=11, n_positions=6, n_embd=8, n_layer=2, n_head=2)
CHARS = CharTokenizer("abcdefghijk")
HUGGING_FACE = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "transformers_version": "5.24.0", "use_cache": True,
    "task_specific_params": {"text-generation": {"max_length": 50}}, "eos_token_id": 3, "n_inner": 16,
    "scale_attn_weights": False, "summary_type": None, "activation_function": "relu", "vocab_size": 11,
    "n_positions": 6, "n_embd": 8, "n_layer": 2, "n_head": 2,
}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def parameters(config=CONFIG, dtype=np.float32):
    return {name: np.ones(shape, dtype) for name, shape, _ in parameter_table(config)}


def put(folder, config, files, **texts):
    """A folder with this config.json, these files of weights, and other files of JSON or text, "__" for the dot"""
    folder.mkdir()
    texts = {**({"config__json": config} if config else {}), **texts}
    for name, content in texts.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    for name, tensors in files.items():
        weights.save(folder / name, tensors)
    return folder


def sharded(folder, present=SHARDS):
    """A model in two files, of which these are there"""
    tensors = parameters()
    places = {name: SHARDS[i % 2] for i, name in enumerate(tensors)}
    files = {shard: {name: tensors[name] for name in tensors if places[name] == shard} for shard in present}
    index = {"metadata": {}, "weight_map": places}
    return put(folder, json.loads(CONFIG.to_json()), files, model__safetensors__index__json=index)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{what it is: its folder or file}"""
    root = tmp_path_factory.mktemp("models")
    config, tensors = json.loads(CONFIG.to_json()), parameters()
    hugging_face = GPTConfig.from_dict({key: value for key, value in HUGGING_FACE.items() if value is not None})
    relu = {f"transformer.{name}": array for name, array in parameters(hugging_face, np.float16).items()}
    relu["transformer.wte.weight"] = relu["transformer.wte.weight"].astype(np.float32)
    relu |= {f"transformer.h.{i}.attn.bias": np.ones((1, 1, 6, 6), bool) for i in range(2)}
    found = {name: FIXTURES / name for name in (
        "torch_nanogpt_2.13.0.pt", "torch_nanogpt_1.13.1.pt", "torch_tensors_2.13.0.pt", "torch_old_form_2.13.0.pt",
        "tensorflow_gpt2", "tensorflow_shards", "tensorflow_partitioned", "tensorflow_v1", "llmc_float32.bin",
        "llmc_bfloat16.bin", "run_of_0.1", "gpt2_tokens.json")}
    found |= {
        "shakespeare-char": "shakespeare-char",
        "hugging face": put(
            root / "hf", HUGGING_FACE, {"model.safetensors": relu}, generation_config__json={
                "eos_token_id": [4, 11], "max_new_tokens": 20, "temperature": 0.5, "top_h": 0.4, "use_cache": True}),
        "npz": put(root / "npz", config, {"model.npz": tensors}),
        "shards": sharded(root / "shards"), "a shard is lost": sharded(root / "lost", SHARDS[:1]),
        "both": put(root / "both", config, {"model.safetensors": {**tensors, "lm_head.weight": tensors["wte.weight"]}}),
        "head alone": put(root / "head", config, {
            "model.safetensors": {{"wte.weight": "lm_head.weight"}.get(name, name): tensors[name] for name in tensors}}),
        "out in": put(root / "out_in", config, {"model.safetensors": {
            name: array.T.copy() if name.startswith("h.") else array for name, array in tensors.items()}}),
        "a tensor is lost": put(root / "less", config, {"model.safetensors": dict(list(tensors.items())[:-2])}),
        "a tensor too many": put(root / "more", config, {"model.safetensors": {**tensors, "h.2.x": np.ones(3)}}),
        "other sizes": put(root / "other", {**config, "n_embd": 16}, {"model.safetensors": tensors}),
        "integers": put(root / "int", config, {"model.safetensors": {**tensors, "ln_f.bias": np.ones(8, np.int64)}}),
        "no config": put(root / "no_config", None, {"model.safetensors": tensors}),
        "bad config": put(root / "bad_config", {**config, "n_head": 3, "alibi": True}, {"model.safetensors": tensors}),
        "unknown key": put(root / "unknown", {**config, "model_type": "gpt2", "my_key": 3}, {"model.safetensors": tensors}),
        "no weights": put(root / "no_weights", config, {}),
        "several": put(root / "several", config, {"a.npz": tensors, "b.npz": tensors}),
        "html": put(root / "html", config, {}, model__safetensors="<html>"),
        "html alone": put(root / "html_alone", None, {}, model__safetensors="<html>"),
        "broken tokenizer": put(root / "broken", config, {"model.safetensors": tensors},
                                tokenizer__json={"model": {"type": "X"}}),
        "word pieces": put(root / "zh", config, {"model.safetensors": tensors},
                           vocab__txt="\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"中文你好ab"])),
        "empty": put(root / "empty", None, {}), "none": root / "none", "no name": "",
    }
    llmc.save(root / "a.bin", *exported(GPT(GPTConfig(50_257, 2, 2, 1, 1))))
    gguf.save(root / "a.gguf", CONFIG, tensors, CHARS)
    untied = GPTConfig(**{**CONFIG.to_dict(), "tie_word_embeddings": False})
    gguf.save(root / "untied.gguf", untied, parameters(untied), CHARS, "F16")
    found |= {"llm.c": root / "a.bin", "gguf": root / "a.gguf", "gguf untied": root / "untied.gguf"}
    GPT(CONFIG, seed=0).save_pretrained(root / "mixed")
    (root / "mixed" / "config.json").write_text(json.dumps({**config, "activation_function": "relu"}), encoding="utf-8")
    Tokenizer.train("to be", 258, ["<|endoftext|>"]).save(root / "tokenizer")
    classifier = Classifier.from_model(GPT(CONFIG, seed=0), ["no", "yes"])
    classifier.save_pretrained(root / "classifier")
    return {**found, "mixed": root / "mixed", "tokenizer": root / "tokenizer", "classifier": root / "classifier"}


def outcome(work):
    """(what came, "") or (None, the error)"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return work(), ""
        except (ValueError, OSError) as error:
            return None, printable(error, 900)


def test_the_report_says_what_loading_will_say(models, monkeypatch):
    monkeypatch.chdir(FIXTURES)
    loads = []
    for name, what in models.items():
        loaded, error = outcome(lambda what=what: GPT.from_pretrained(what))
        report, refused = outcome(lambda what=what: inspect(what))
        said = refused or report.problem or ""
        assert said.removesuffix("; it is a classifier: Classifier.from_pretrained loads it") == error, name
        if loaded:
            loads.append(name)
            assert replace(report.config, tie_word_embeddings=loaded.config.tie_word_embeddings) == loaded.config, name
    assert len(loads) == 19


WANTED = {
    "shakespeare-char": [
        "found in", "format safetensors: model.safetensors, 2,582,000 bytes", "parameters 1,288,800, the output layer tied to",
        "weights float16, 52 tensors", "tokenizer characters, 65 ids, from chars.json", "loads it."],
    "hugging face": [
        "written by transformers 5.24.0 (config.json)", "model gpt2, GPT2LMHeadModel: 2 layers, 2 heads, 8 channels (MLP: "
        "16), 6 positions, vocabulary 11", "weights float16 (27 tensors), float32 (1 tensor)", "activation relu",
        "settings scale_attn_weights False", "tokenizer none",
        "bos none; eos 3 (config.json), 4 or 11 (generation_config.json, beyond the vocabulary); pad none",
        "generation max_new_tokens 20, temperature 0.5 (in minigpt.hf)", "missing a tokenizer",
        "passed over 2 causal masks such as transformer.h.0.attn.bias; config.json's architectures, transformers_version, "
        "use_cache, task_specific_params", "notes hf/generation_config.json: top_h, expected what generate()"],
    "torch_nanogpt_2.13.0.pt": [
        "PyTorch's: torch_nanogpt_2.13.0.pt", "nanoGPT: archive torch_nanogpt_2.13.0, version 3, byteorder little",
        "output layer tied to wte", "layers are (out, in)", "activation gelu", "settings bias False",
        "the file's optimizer, iter_num, config, versions"],
    "torch_nanogpt_1.13.1.pt": ["nanoGPT: archive torch_nanogpt_1.13.1, version 3 model"],
    "tensorflow_gpt2": ["a TensorFlow checkpoint: 2 of 2 files, 9,375 bytes", "weights float32, 28 tensors",
                        "passed over tensors beta1_power, beta2_power, global_step, model/h0/attn/c_attn/b/Adam"],
    "llmc_bfloat16.bin": ["format llm.c's: llmc_bfloat16.bin", "weights bfloat16, 28 tensors"],
    "llm.c": ["tokenizer byte-level BPE, 50,257 ids, GPT-2's own", "bos 50256 (as GPT-2, the tokenizer's <|endoftext|>)"],
    "gguf": ["format GGUF: a.gguf", "minigpt: architecture gpt2", "characters, 11 ids, from the GGUF file", "tied to wte"],
    "gguf untied": ["float16", "tied if lm_head.weight equals wte.weight, which loading finds out"],
    "npz": ["format NumPy's npz"],
    "shards": ["several and their index: 3 of 3 files", "weights float32, 28 tensors"],
    "a shard is lost": ["2 of 3 files", f"missing {SHARDS[1]}; a tokenizer", "does not load it: "],
    "both": ["tied if lm_head.weight equals wte.weight"],
    "head alone": ["the output layer tied to wte.weight, here lm_head.weight"],
    "out in": ["as torch.nn.Linear has them"],
    "a tensor is lost": ["missing 2 tensors, ln_f.weight, ln_f.bias; a tokenizer"],
    "no config": ["parameters 1,896", "missing config.json"],
    "unknown key": ["notes unknown/config.json: unknown keys 'my_key', expected GPT-2's", "architectures, my_key"],
    "html": ["model gpt2, GPT2LMHeadModel: 2 layers", "does not load it: ", "an HTML page"],
    "broken tokenizer": ["tokenizer none that can be read: ", "tokenizer.json: model.type: 'X'", "loads it."],
    "word pieces": ["WordPiece, 11 ids, from vocab.txt", "pad 0 (the tokenizer's [PAD])"],
    "tokenizer": ["byte-level BPE, 258 ids, from tokenizer.json", "eos 257 (the tokenizer's <|endoftext|>)",
                  "missing weights; config.json"],
    "mixed": ["written by minigpt model ", "activation_function 'relu' in config.json, but 'gelu_new' with the weights"],
    "classifier": ["Classifier.from_pretrained loads it"],
}


def test_the_report_says_what_each_kind_of_model_is(models, monkeypatch):
    monkeypatch.chdir(FIXTURES)
    for name, wanted in WANTED.items():
        report = inspect(models[name])
        rows = " ".join(f"{row} {text}" for row, text in report.rows.items()).replace(f"{Path(models[name]).parent}/", "")
        verdict = "loads it." if report.problem is None else f"does not load it: {report.problem}"
        last = str(report).rpartition("\n\n")[2]            # without spaces, since a path may be longer than a line
        assert "".join(last.split()) == f"GPT.from_pretrained{verdict}".replace(" ", ""), name
        for part in wanted:
            assert part in f"{rows} {verdict}", f"{name}: {part}\n{report}"
        lines = str(report).splitlines()
        assert len(lines) <= 40 and max(map(len, lines)) <= 80, report


def test_a_large_file_is_neither_read_nor_mapped(tmp_path, monkeypatch):
    config = GPTConfig(activation_function="silu")
    table, end = {}, 0
    for name, shape, _ in parameter_table(config):
        begin, end = end, end + 4 * int(np.prod(shape))
        table[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    header = json.dumps(table).encode()
    folder = put(tmp_path / "large", json.loads(config.to_json()), {})
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)        # half a gigabyte of nothing, which takes no place on the disk

    def mapped(*arguments, **options):
        raise AssertionError("mapped into memory")

    counter = Path("/proc/self/io")                 # on Linux: the bytes that this process has read

    def count():
        return int(counter.read_text(encoding="ascii").split()[1]) if counter.exists() else 0

    monkeypatch.setattr(mmap, "mmap", mapped)
    inspect("shakespeare-char")
    before = count()
    tracemalloc.start()
    try:
        report = inspect(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.problem is None and "124,439,808" in report.rows["parameters"] and report.config == config
    assert count() - before < 200_000 and peak < 1_500_000


def test_two_equal_tables_of_a_gguf_file_are_not_compared(tmp_path, monkeypatch):
    config = GPTConfig(**{**CONFIG.to_dict(), "tie_word_embeddings": False})
    gguf.save(tmp_path / "a.gguf", config, parameters(config), CHARS)
    monkeypatch.setattr(gguf, "_is_tied", lambda *arguments: pytest.fail("the tables are read"))
    assert "tied if lm_head.weight equals" in inspect(tmp_path / "a.gguf").rows["parameters"]


def test_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("minigpt.weights.hub.fetch", lambda *arguments: pytest.fail("a download"))
    with pytest.raises(FileNotFoundError, match=r"'gpt2': not on this machine, .*from_pretrained\('gpt2'\) downloads 548 MB"):
        inspect("gpt2")
    (repository, pin), = PINS.items()
    folder = put(tmp_path / f"{repository.replace('/', '--')}-{pin.revision[:8]}", json.loads(CONFIG.to_json()),
                 {"model.safetensors": parameters()}, vocab__json="{}", merges__txt="")
    report = inspect("gpt2")
    assert (report.path, report.problem) == (folder / "model.safetensors", None) and "found in" in report.rows


def test_what_comes_from_outside_is_shown_as_escapes(tmp_path):
    folder = put(tmp_path / "a", {**HUGGING_FACE, "transformers_version": "5\x1b[2J", "k\u202e": 1}, {},
                 generation_config__json={"stop_strings": ["\x07"], "\x1bz": 2})
    weights.save(folder / "model.safetensors", {"h\n\x1b": np.ones(2)}, {"a\x1b": "b\x9b"})
    screen = str(inspect(folder))
    assert not any(character in screen for character in "\x1b\x07\x9b\u202e") and "5\\x1b[2J" in screen


def test_a_damaged_header_gives_a_report_or_its_error_and_never_a_false_alarm(models, tmp_path):
    rng = np.random.default_rng(0)
    shutil.copytree(models["tensorflow_gpt2"], tmp_path / "tensorflow_gpt2")
    for what in ("gguf", "npz", "both", "torch_nanogpt_2.13.0.pt", "llmc_float32.bin", "tensorflow_gpt2"):
        place = Path(models[what])
        inside = {"npz": "model.npz", "both": "model.safetensors", "tensorflow_gpt2": "model-1000.index"}
        file = place / inside[what] if what in inside else place
        data, folder = file.read_bytes(), tmp_path / what
        folder.mkdir(exist_ok=True)
        if (file.parent / "config.json").exists():
            shutil.copy(file.parent / "config.json", folder)
        for i in range(40):
            damaged = bytearray(data)
            damaged[rng.integers(min(len(data), 3000))] = rng.integers(256)
            (folder / file.name).write_bytes(damaged[: rng.integers(len(data)) if i % 8 == 0 else None])
            report, refused = outcome(lambda folder=folder, file=file: inspect(folder / file.name))
            if refused or report.problem:
                assert outcome(lambda folder=folder, file=file: GPT.from_pretrained(folder / file.name))[1], (what, i)
