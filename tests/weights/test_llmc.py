"""llm.c's files: its own writer's both ways, and a message for every file that breaks the format."""

import json
import math
import tracemalloc

import numpy as np
import pytest

from make_llmc_fixture import FIXTURES, SIZES, TOKENS, numbers
from minigpt import GPT, GPTConfig
from minigpt.weights import WeightFormatError, llmc
from minigpt.weights.pretrained import exported

FLOAT32, BFLOAT16 = FIXTURES / "llmc_float32.bin", FIXTURES / "llmc_bfloat16.bin"
CONFIG = GPTConfig(vocab_size=11, n_positions=6, n_embd=4, n_layer=2, n_head=2)
HEADER = [20240326, 3, 6, 11, 2, 2, 4, 128]


def file_of(header=HEADER, size=5152):
    """The bytes of a file: these numbers and as many bytes as it should have"""
    return np.array([*header, *[0] * (256 - len(header))], "<i4").tobytes().ljust(size, b"\0")[:size]


def changed(**changes):
    names = ["magic", "version", "n_positions", "vocab_size", "n_layer", "n_head", "n_embd", "padded"]
    return file_of([changes.get(name, number) for name, number in zip(names, HEADER, strict=True)])


# --- what llm.c wrote


def test_the_sizes_are_those_of_llmcs_model_without_padding():
    expected = {"n_positions": 6, "vocab_size": 11, "n_layer": 2, "n_head": 2, "n_embd": 4}
    assert llmc.read_config(FLOAT32) == llmc.read_config(BFLOAT16) == expected
    assert expected["n_positions"] == SIZES["block_size"]


def test_the_parameters_of_llmcs_model_are_there_by_name_and_in_gpt2s_shapes():
    tensors = llmc.load(FLOAT32)
    assert len(tensors) == 2 + 2 * 12 + 2
    for name, tensor in tensors.items():
        is_linear = name.startswith("h.") and tensor.ndim == 2
        theirs = numbers(f"transformer.{name}", tensor.shape[::-1] if is_linear else tensor.shape)
        np.testing.assert_array_equal(tensor, theirs.T if is_linear else theirs)


def test_bfloat16_parameters_are_the_rounded_ones():
    exact, rounded = llmc.load(FLOAT32), llmc.load(BFLOAT16)
    assert list(exact) == list(rounded)
    for name in exact:
        assert rounded[name].dtype == np.float32 and not (np.ascontiguousarray(rounded[name]).view(np.uint32) & 0xFFFF).any()
        np.testing.assert_allclose(rounded[name], exact[name], rtol=2**-8)       # 8 bits, rounded to nearest


@pytest.mark.parametrize(("path", "atol"), [(FLOAT32, 3e-6), (BFLOAT16, 0.03)])     # float32; weights rounded to 8 bits
def test_a_model_of_llmcs_file_computes_what_llmcs_python_computed(path, atol):
    model = GPT.from_state_dict(llmc.load(path), GPTConfig(**llmc.read_config(path)))
    fixture = json.loads((FIXTURES / "llmc_logits.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(model(np.array(fixture["ids"])), fixture["logits"], rtol=0, atol=atol)


@pytest.mark.parametrize(("path", "dtype"), [(FLOAT32, "float32"), (BFLOAT16, "bfloat16")])
def test_a_saved_model_is_byte_for_byte_what_llmcs_writer_wrote(tmp_path, path, dtype):
    llmc.save(tmp_path / "model.bin", CONFIG, llmc.load(FLOAT32), dtype)
    assert (tmp_path / "model.bin").read_bytes() == path.read_bytes()


def test_a_saved_vocabulary_is_byte_for_byte_what_llmcs_writer_wrote(tmp_path):
    llmc.save_vocabulary(tmp_path / "tokenizer.bin", [*TOKENS, b"<|endoftext|>"], len(TOKENS))
    assert (tmp_path / "tokenizer.bin").read_bytes() == (FIXTURES / "llmc_tokenizer.bin").read_bytes()


# --- both ways


@pytest.mark.parametrize("vocab_size", [1, 127, 128, 129])
def test_a_model_comes_back_whatever_its_vocabulary_is_padded_to(tmp_path, vocab_size):
    model = GPT(GPTConfig(vocab_size=vocab_size, n_positions=3, n_embd=6, n_layer=1, n_head=3, n_inner=24), seed=1)
    llmc.save(tmp_path / "model.bin", *exported(model))
    header = np.fromfile(tmp_path / "model.bin", "<i4", 8)
    assert header[7] == math.ceil(vocab_size / 128) * 128
    tensors = llmc.load(tmp_path / "model.bin")
    assert tensors.keys() == model.params.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, model.params[name])


def test_a_model_without_biases_is_saved_with_zeros(tmp_path):
    model = GPT(GPTConfig(vocab_size=5, n_positions=3, n_embd=4, n_layer=1, n_head=1, bias=False), seed=1)
    llmc.save(tmp_path / "model.bin", *exported(model))
    ids = np.array([[1, 4, 2]])
    loaded = GPT.from_state_dict(llmc.load(tmp_path / "model.bin"), GPTConfig(**llmc.read_config(tmp_path / "model.bin")))
    np.testing.assert_allclose(loaded(ids), model(ids), rtol=1e-5, atol=1e-6)        # float32


def test_float64_weights_are_saved_as_float32(tmp_path):
    tensors = llmc.load(FLOAT32)
    llmc.save(tmp_path / "model.bin", CONFIG, {name: tensor.astype(np.float64) for name, tensor in tensors.items()})
    assert (tmp_path / "model.bin").read_bytes() == FLOAT32.read_bytes()


def test_bfloat16_is_rounded_to_nearest_even_as_torch_does_it(tmp_path):
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x7F7FFFFF, 0xFFFFFFFF, 0x7F800001, 0x80000000], np.uint32)
    tensors = {**llmc.load(FLOAT32), "wte.weight": np.resize(bits.view(np.float32), (11, 4))}
    llmc.save(tmp_path / "model.bin", CONFIG, tensors, "bfloat16")
    saved = np.fromfile(tmp_path / "model.bin", "<u2", 8, offset=1024)
    assert [hex(n) for n in saved] == ["0x3f80", "0x3f82", "0x3f81", "0x3f80", "0x7f80", "0x7fc0", "0x7fc0", "0x8000"]


def test_a_write_to_an_array_does_not_reach_the_file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(FLOAT32.read_bytes())
    for tensor in llmc.load(path).values():
        tensor[:] = 0
    assert path.read_bytes() == FLOAT32.read_bytes()


def test_loading_takes_no_memory_for_float32_and_twice_the_file_for_bfloat16(tmp_path):
    config = GPTConfig(vocab_size=1024, n_positions=8, n_embd=256, n_layer=1, n_head=1)
    tensors = exported(GPT(config))[1]
    for dtype, factor in (("float32", 0), ("bfloat16", 2)):
        path = tmp_path / dtype
        llmc.save(path, config, tensors, dtype)
        tracemalloc.start()
        loaded = llmc.load(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(loaded) == 16 and peak < factor * path.stat().st_size + 100_000


# --- what cannot be saved


@pytest.mark.parametrize(("changes", "message"), [
    ({"activation_function": "gelu"}, r"activation_function 'gelu' \(llm\.c: 'gelu_new'\), expected a model like GPT-2"),
    ({"n_inner": 8}, r"n_inner 8 \(llm\.c: None\)"), ({"tie_word_embeddings": False}, "tie_word_embeddings False"),
    ({"pre_norm": False, "causal": False}, r"pre_norm False \(llm\.c: True\), causal False"),
    ({"attention_window": 3}, "attention_window 3"), ({"layer_norm_epsilon": 1e-6}, r"epsilon 1e-06 \(llm\.c: 1e-05\)"),
])
def test_a_model_that_llmc_would_compute_otherwise_leaves_no_file(tmp_path, changes, message):
    config = GPTConfig(**{**CONFIG.to_dict(), **changes})
    with pytest.raises(WeightFormatError, match=f"{message}.*save the model as safetensors"):
        llmc.save(tmp_path / "model.bin", config, llmc.load(FLOAT32))
    assert list(tmp_path.iterdir()) == []


def test_dropout_and_initialization_do_not_matter(tmp_path):
    config = GPTConfig(**{**CONFIG.to_dict(), "embd_pdrop": 0.1, "initializer_range": 0.1, "n_inner": 16})
    llmc.save(tmp_path / "model.bin", config, llmc.load(FLOAT32))
    assert (tmp_path / "model.bin").read_bytes() == FLOAT32.read_bytes()


@pytest.mark.parametrize(("change", "message"), [
    ({"wpe.weight": np.zeros((4, 6))}, r"1 tensors .* 'wpe.weight' of shape \(4, 6\), expected \(6, 4\)"),
    ({"h.1.mlp.c_fc.weight": np.zeros((16, 4))}, r"'h.1.mlp.c_fc.weight' of shape \(16, 4\), expected \(4, 16\)"),
    ({"lm_head.weight": np.zeros((11, 4))}, r"'lm_head.weight' of shape \(11, 4\), expected no such tensor"),
    ({"ln_f.bias": None}, r"'ln_f.bias' of shape none, expected \(4,\)"),
])
def test_tensors_that_do_not_fit_leave_no_file(tmp_path, change, message):
    tensors = {name: tensor for name, tensor in {**llmc.load(FLOAT32), **change}.items() if tensor is not None}
    with pytest.raises(WeightFormatError, match=message):
        llmc.save(tmp_path / "model.bin", CONFIG, tensors)
    assert list(tmp_path.iterdir()) == []


def test_another_dtype_is_refused(tmp_path):
    with pytest.raises(ValueError, match="dtype: 'float16', expected 'float32' or 'bfloat16'"):
        llmc.save(tmp_path / "model.bin", CONFIG, llmc.load(FLOAT32), "float16")


@pytest.mark.parametrize(("tokens", "start", "error", "message"), [
    ([b"a", b""], 0, WeightFormatError, "token 1 of 0 bytes, expected 1 to 255"),
    ([b"x" * 256], 0, WeightFormatError, "token 0 of 256 bytes"),
    ([b"a"], 1, ValueError, "start: 1, expected an id below 1"), ([], 0, ValueError, "start: 0"),
])
def test_a_vocabulary_that_llmc_cannot_read_leaves_no_file(tmp_path, tokens, start, error, message):
    with pytest.raises(error, match=message):
        llmc.save_vocabulary(tmp_path / "tokenizer.bin", tokens, start)
    assert list(tmp_path.iterdir()) == []


# --- what breaks the format


BAD = {
    "empty": (b"", "0 bytes that start with b'', expected a model of llm.c"),
    "HTML": (b"<html>", "an HTML page, expected a model of llm.c"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "header cut short": (file_of()[:1023], "1,023 bytes that start with"),
    "another magic number": (changed(magic=20240327), r"5,152 bytes that start with b'\\xc7\\xd74\\x01'"),
    "other byte order": (np.frombuffer(file_of(), ">i4").astype("<i4").tobytes(), "5,152 bytes that start with"),
    "version 1": (changed(version=1), r"version 1, expected 3 \(float32\) or 5 \(bfloat16\)"),
    "version 4": (changed(version=4), "version 4"),
    "another version's size": (changed(version=5), "5,152 bytes, expected 3,088"),
    "no positions": (changed(n_positions=0), "n_positions 0, expected 1 to 2,147,483,647"),
    "negative vocabulary": (changed(vocab_size=-11), "vocab_size -11"),
    "no heads": (changed(n_head=0), "n_head 0"),
    "heads": (changed(n_head=3), "n_embd 4, not a multiple of n_head 3"),
    "layers": (changed(n_layer=1001), "n_layer 1001, expected 1 to 1,000"),
    "padding": (changed(padded=10), "a vocabulary of 11 padded to 10"),
    "huge": (changed(n_embd=2**31 - 2, padded=2**31 - 1), "5,152 bytes, expected 461,168,601,284,393,043,064"),
    "cut short": (file_of()[:-1], "5,151 bytes, expected 5,152 for n_positions 6, vocab_size 11"),
    "too long": (file_of() + b"\0", "5,153 bytes, expected 5,152"),
    "header alone": (file_of()[:1024], "1,024 bytes, expected 5,152"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("read", [llmc.load, llmc.read_config])
def test_a_bad_file_is_refused_in_little_memory(tmp_path, read, content, message):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(WeightFormatError, match=message) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and text.isprintable() and len(text) < 1000
    assert peak < 1e6


def test_no_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        llmc.load(tmp_path / "model.bin")


def is_refused(path):
    try:
        assert len(llmc.load(path)) == 2 + 12 * llmc.read_config(path)["n_layer"] + 2
        return False
    except WeightFormatError as error:
        assert str(error).isprintable() and len(str(error)) < 1000
        return True


@pytest.mark.parametrize("path", [FLOAT32, BFLOAT16])
def test_a_file_cut_anywhere_is_refused(tmp_path, path):
    content = path.read_bytes()
    for size in range(0, len(content), 7):
        (tmp_path / "model.bin").write_bytes(content[:size])
        assert is_refused(tmp_path / "model.bin")


def test_a_thousand_random_changes_of_a_header_are_refused_or_load(tmp_path):
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        content = bytearray(FLOAT32.read_bytes())
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(32)] = rng.integers(256)
        (tmp_path / "model.bin").write_bytes(content)
        refused += is_refused(tmp_path / "model.bin")
    assert 900 < refused < 1000


def test_random_bytes_are_refused(tmp_path):
    rng = np.random.default_rng(1)
    for size in (1, 31, 32, 1024, 5152) * 20:
        (tmp_path / "model.bin").write_bytes(rng.bytes(size))
        assert is_refused(tmp_path / "model.bin")
        (tmp_path / "model.bin").write_bytes(file_of()[:8] + rng.bytes(size + 1020))
        assert is_refused(tmp_path / "model.bin")
