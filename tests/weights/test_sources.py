"""Every kind of folder and file that a model comes in, from from_pretrained() to its logits."""

import json
import mmap
import shutil
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

import make_llmc_fixture
import make_tensorflow_fixture
import make_torch_fixture
from minigpt import GPT, ConfigError, GPTConfig, weights
from minigpt.models.classifier import Classifier
from minigpt.tokenization import Tokenizer
from minigpt.weights import WeightFormatError, llmc
from minigpt.weights.pretrained import exported, save_pretrained
from minigpt.weights.sources import config_of, tokenizer_at

FIXTURES = make_torch_fixture.FIXTURES
SIZES = {"vocab_size": 11, "n_positions": 6, "n_embd": 8, "n_layer": 2, "n_head": 2}
IDS = np.random.default_rng(0).integers(0, 11, (2, 6))


def make_model(**changes):
    model = GPT(GPTConfig(**SIZES, **changes), seed=0)
    model.flat_params += 0.1 * np.random.default_rng(1).standard_normal(model.flat_params.size).astype(np.float32)
    return model


def put(folder, config, **files):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config) if isinstance(config, dict) else config.to_json(), encoding="utf-8")
    for name, tensors in files.items():
        weights.save(folder / name.replace("__", "."), tensors)
    return folder


def logits_of(name):
    fixture = json.loads((FIXTURES / name).read_text(encoding="utf-8"))
    return fixture["ids"], fixture["logits"]


# --- files of other programs


def test_openais_release_gives_tensorflows_logits(tmp_path):
    ids, logits = logits_of("tensorflow_gpt2/logits.json")
    folder = FIXTURES / "tensorflow_gpt2"
    for what in (folder, folder / "model-1000.index", folder / "model-1000"):
        model = GPT.from_pretrained(what)
        np.testing.assert_allclose(model(ids), logits, rtol=1e-5, atol=2e-6, err_msg=str(what))     # float32
        assert model.tokenizer is None and model.config.n_head == make_tensorflow_fixture.HPARAMS["n_head"]
    np.testing.assert_array_equal(weights.load(folder)["model/wte"], model.params["wte.weight"])
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "hparams.json").unlink()
    with pytest.raises(ConfigError, match=r"hparams\.json: absent, expected the sizes of model-1000\.index"):
        GPT.from_pretrained(tmp_path / "run")


def test_llmcs_files_give_its_logits(tmp_path):
    ids, logits = logits_of("llmc_logits.json")
    for version, tolerance in (("float32", 2e-6), ("bfloat16", 0.05)):      # bfloat16: 8 bits of each weight
        path = FIXTURES / f"llmc_{version}.bin"
        np.testing.assert_allclose(GPT.from_pretrained(path)(ids), logits, rtol=1e-5, atol=tolerance, err_msg=version)
    shutil.copy(path, tmp_path / "gpt2_124M.bin")
    shutil.copy(FIXTURES / "llmc_tokenizer.bin", tmp_path / "gpt2_tokenizer.bin")
    assert GPT.from_pretrained(tmp_path).config.vocab_size == make_llmc_fixture.SIZES["vocab_size"]


def test_nanogpts_checkpoint_brings_its_sizes(tmp_path):
    torch_weights, args = make_torch_fixture.parameters(), make_torch_fixture.MODEL_ARGS
    config = GPTConfig(args["vocab_size"], args["block_size"], args["n_embd"], 1, 2, bias=False, activation_function="gelu")
    expected = GPT.from_state_dict(torch_weights, config, linear_layout="out_in")
    ids = np.arange(5)[None]
    for version in ("2.13.0", "1.13.1"):
        path = FIXTURES / f"torch_nanogpt_{version}.pt"
        model = GPT.from_pretrained(path)
        assert model.config == config, version
        np.testing.assert_array_equal(model(ids), expected(ids), err_msg=version)
        assert len(model.generate([1], 3, temperature=0)) == 4
        shutil.copy(path, tmp_path / "ckpt.pt")
        np.testing.assert_array_equal(GPT.from_pretrained(tmp_path)(ids), model(ids), err_msg=version)


def test_models_without_a_tokenizer_of_their_own_have_gpt2s_with_its_vocabulary(tmp_path):
    for size, expected in ((50_257, Tokenizer.gpt2()), (50_304, Tokenizer.gpt2()), (50_300, None)):
        config = GPTConfig(**{**SIZES, "vocab_size": size, "n_layer": 1})
        llmc.save(tmp_path / "a.bin", *exported(GPT(config)))
        model = GPT.from_pretrained(tmp_path / "a.bin")
        assert (model.tokenizer, model.config.eos_token_id) == (expected, 50_256)
        assert GPT.from_pretrained(put(tmp_path / str(size), config, model__safetensors=dict(model.params))).tokenizer is None


def test_mingpts_run_has_its_sizes_beside_its_weights(tmp_path):
    model = GPT(GPTConfig(11, 6, 48, 3, 3, tie_word_embeddings=False), seed=2)
    tensors = {f"transformer.{name}": array.T.copy() if name.startswith("h.") and array.ndim == 2 else array
               for name, array in model.params.items() if name != "lm_head.weight"}
    tensors["lm_head.weight"] = model.params["lm_head.weight"]
    for i in range(3):
        tensors[f"transformer.h.{i}.attn.bias"] = np.tri(6, dtype=np.float32)[None, None]
    sizes = {"model_type": "gpt-nano", "n_layer": None, "n_head": None, "n_embd": None, "vocab_size": None, "block_size": None}
    named = {**sizes, "model_type": None, "n_layer": 3, "n_head": 3, "n_embd": 48}
    for name, values in (("type", sizes), ("sizes", named)):
        folder = put(tmp_path / name, {"system": {"seed": 1}, "model": values, "trainer": {}}, model__npz=tensors)
        loaded = GPT.from_pretrained(folder)
        assert loaded.config == model.config, name
        np.testing.assert_array_equal(loaded(IDS), model(IDS), err_msg=name)
    with pytest.raises(ConfigError, match=r"config\.json: model without n_layer, n_head and without a known model_type"):
        GPT.from_pretrained(put(tmp_path / "none", {"model": {"n_embd": 48}}, model__npz=tensors))


def test_a_file_alone_takes_its_sizes_from_the_config_beside_it(tmp_path):
    model = make_model()
    folder = put(tmp_path / "a", model.config, any__npz=dict(model.params))
    assert GPT.from_pretrained(folder / "any.npz").config == model.config
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json: absent, expected the sizes of any\.npz; put the model's"):
        GPT.from_pretrained(folder / "any.npz")


def test_of_several_unknown_files_one_must_be_named(tmp_path):
    tensors = dict(make_model().params)
    folder = put(tmp_path / "a", make_model().config, one__safetensors=tensors, optimizer__npz=tensors)
    assert GPT.from_pretrained(folder).config.n_layer == 2
    weights.save(folder / "two.npz", tensors)
    with pytest.raises(WeightFormatError, match=r"one\.safetensors, two\.npz, expected one file of weights; name the one"):
        GPT.from_pretrained(folder)


def test_what_begins_as_gguf_is_read_as_that_whatever_it_is_called(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(WeightFormatError, match=r"model\.bin: .*(version 0|pip install gguf|big-endian)"):
        weights.load(path)
    with pytest.raises(WeightFormatError, match=r"model\.bin: .*big-endian"):
        config_of(path, {})


# --- names, ties, types


def test_names_may_stand_behind_any_stack_of_prefixes():
    model = make_model()
    for prefix in ("", "transformer.", "module.", "_module.", "model.", "base_model.model.transformer.",
                   "_orig_mod.module.model.transformer.", "module._orig_mod.transformer."):
        tensors = {prefix + name: array for name, array in model.params.items()}
        loaded = GPT.from_state_dict(tensors, model.config)
        np.testing.assert_array_equal(loaded.flat_params, model.flat_params, err_msg=prefix)


def test_a_tied_model_may_keep_only_its_output_layer(tmp_path):
    model = make_model()
    tensors = {**model.params, "lm_head.weight": model.params["wte.weight"]}
    del tensors["wte.weight"]
    folder = put(tmp_path / "a", model.config, model__safetensors=tensors)
    loaded = GPT.from_pretrained(folder)
    assert loaded.config.tie_word_embeddings
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


def test_an_output_layer_that_differs_unties_the_model_with_a_warning(tmp_path):
    model = make_model(tie_word_embeddings=False)
    folder = put(tmp_path / "a", make_model().config, model__safetensors=dict(model.params))
    with pytest.warns(UserWarning, match=r"model\.safetensors: lm_head\.weight differs from wte\.weight"):
        loaded = GPT.from_pretrained(folder)
    np.testing.assert_array_equal(loaded(IDS), model(IDS))
    loaded.save_pretrained(folder)
    assert GPT.from_pretrained(folder).config == model.config      # without a warning


def test_labels_without_names_are_numbered(tmp_path):
    for count in (1, 2, 3):
        model = make_model()
        head = np.random.default_rng(3).standard_normal((count, 8)).astype(np.float32)
        tensors = {**{f"transformer.{name}": array for name, array in model.params.items()}, "score.weight": head}
        folder = put(tmp_path / str(count), model.config, model__safetensors=tensors)
        loaded = Classifier.from_pretrained(folder)
        assert loaded.labels == tuple(f"LABEL_{i}" for i in range(count))
        np.testing.assert_array_equal(loaded.params["score.weight"], head)


# --- tokenizers that are not in the way


def test_a_tokenizer_that_cannot_be_read_warns_and_blocks_no_weights(tmp_path):
    model = make_model()
    for name, content in (("vocab.json", b"{"), ("chars.json", b"\xff"), ("tokenizer.json", b"{}"), ("merges.txt", b"x")):
        folder = put(tmp_path / name, model.config, model__safetensors=dict(model.params))
        (folder / name).write_bytes(content)
        with pytest.warns(UserWarning, match=r"the model has no tokenizer, since it cannot be read: .*(json|merges\.txt)"):
            loaded = GPT.from_pretrained(folder)
        assert loaded.tokenizer is None
        np.testing.assert_array_equal(loaded(IDS), model(IDS))


def test_a_tokenizer_is_found_in_a_folder_and_beside_a_file_of_weights(tmp_path):
    model = make_model()
    model.tokenizer = Tokenizer.train("aab", 258)
    model.save_pretrained(tmp_path)
    for place in (tmp_path, tmp_path / "model.safetensors"):
        assert tokenizer_at(place) == model.tokenizer
    with pytest.raises(FileNotFoundError):
        tokenizer_at(FIXTURES / "torch_nanogpt_2.13.0.pt")


def test_what_belongs_to_another_task_is_passed_over_or_said_where_it_loads(tmp_path):
    model = make_model()
    tensors = dict(model.params)
    tensors["multiple_choice_head.summary.bias"] = np.zeros(1, np.float32)
    second = put(tmp_path / "a", model.config, model__safetensors=tensors)
    np.testing.assert_array_equal(GPT.from_pretrained(second)(IDS), model(IDS))
    head = put(tmp_path / "b", model.config, model__safetensors={**tensors, "score.weight": np.zeros((2, 8), "f")})
    with pytest.raises(WeightFormatError, match=r"score\.weight is unexpected \(a classifier's head: Classifier\.from_pre"):
        GPT.from_pretrained(head)
    with pytest.raises(WeightFormatError, match=r"config\.json: a JSON text without weight_map, expected .*model's folder"):
        GPT.from_pretrained(head / "config.json")


# --- time and memory


def test_a_loaded_model_computes_the_same_bits_and_owns_its_weights(tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    loaded = GPT.from_pretrained(tmp_path)
    np.testing.assert_array_equal(loaded(IDS), model(IDS))
    loaded.flat_params += 1
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="needs madvise")
def test_pages_of_the_file_are_let_go_once_they_are_copied(tmp_path, monkeypatch):
    freed = []

    class Watched(mmap.mmap):
        def madvise(self, advice, start, length):
            freed.append((start, length))
            super().madvise(advice, start, length)

    model = GPT(GPTConfig(vocab_size=3000, n_positions=8, n_embd=64, n_layer=1, n_head=2), seed=0)
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(mmap, "mmap", Watched)
    loaded = GPT.from_pretrained(tmp_path)
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params)
    starts = sorted(freed)
    assert all(start + length <= after for (start, length), (after, _) in pairwise(starts))
    assert 0.7 * model.flat_params.nbytes < sum(length for _, length in freed) < model.flat_params.nbytes


@pytest.mark.parametrize("kind", ["safetensors", "float16", "npz", "torch", "tensorflow", "llmc"])
def test_reading_takes_at_most_twice_the_files_memory(tmp_path, kind):
    config = GPTConfig(vocab_size=9000, n_positions=64, n_embd=64, n_layer=2, n_head=2)
    if kind == "llmc":
        path = tmp_path / "a.bin"
        llmc.save(path, *exported(GPT(config)))
    elif kind in ("torch", "tensorflow"):
        path = FIXTURES / {"torch": "torch_nanogpt_2.13.0.pt", "tensorflow": "tensorflow_kinds/model.ckpt.index"}[kind]
    else:
        weight_format = "npz" if kind == "npz" else "safetensors"
        save_pretrained(GPT(config), tmp_path, None, np.float16 if kind == "float16" else np.float32, weight_format)
        path = tmp_path / f"model.{weight_format}"
    size, reads = path.stat().st_size, [weights.load]
    if kind == "safetensors":
        reads.append(GPT.from_pretrained)       # the weights, and what is read at a time
    for read in reads:
        read(path)
        tracemalloc.start()
        try:
            read(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        most = 200_000 + (2 if read is weights.load else 1) * size       # names, buffers, a pickle's records
        assert peak < most, f"{read}: {peak:,} bytes for a file of {size:,}"


# --- live


@pytest.mark.reference
def test_transformers_logits_of_what_its_libraries_write(tmp_path):
    import safetensors.torch
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 300, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
    ids, theirs = torch.arange(8)[None], GPT2LMHeadModel(GPT2Config(**sizes)).eval()

    def folder(name):
        (tmp_path / name).mkdir()
        theirs.config.save_pretrained(tmp_path / name)
        return tmp_path / name

    safetensors.torch.save_model(theirs, folder("tied") / "model.safetensors")
    torch.save(theirs.state_dict(), folder("bin") / "pytorch_model.bin")
    torch.save({f"module.{name}": value for name, value in theirs.state_dict().items()}, folder("module") / "any.pt")
    with torch.no_grad():
        for name in ("tied", "bin", "module"):
            logits = theirs(ids).logits.numpy()
            np.testing.assert_allclose(GPT.from_pretrained(tmp_path / name)(ids.numpy()), logits, atol=2e-6, err_msg=name)
        for dtype in (torch.float16, torch.bfloat16):
            half = GPT2LMHeadModel(GPT2Config(**sizes)).to(dtype)
            half.save_pretrained(tmp_path / str(dtype))
            logits = half.float().eval()(ids).logits.numpy()
            found = GPT.from_pretrained(tmp_path / str(dtype))(ids.numpy())
            np.testing.assert_allclose(found, logits, atol=2e-6, err_msg=str(dtype))
        for count in (1, 2, 3):
            classifier = GPT2ForSequenceClassification(GPT2Config(**sizes, num_labels=count, pad_token_id=0)).eval()
            classifier.save_pretrained(tmp_path / str(count))
            ours = Classifier.from_pretrained(tmp_path / str(count))
            assert ours.labels == tuple(classifier.config.id2label.values()), count
            np.testing.assert_allclose(ours(ids.numpy()), classifier(ids).logits.numpy(), atol=2e-6, err_msg=str(count))
