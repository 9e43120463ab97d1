"""GGUF: gguf's own writer's and reader's side, what llama.cpp said, and a message for every file that breaks the format."""

import json
import struct
import sys
import tracemalloc

import gguf as package
import numpy as np
import pytest

from llama_cpp_reference import FIXTURE, odd, said
from minigpt import GPT, CharTokenizer, GPTConfig, Tokenizer
from minigpt.tokenization import Settings
from minigpt.tokenization.added import AddedToken
from minigpt.tokenization.vocabulary import Vocabulary
from minigpt.weights import WeightFormatError, gguf, gguf_tokenizer

CONFIG = GPTConfig(vocab_size=5, n_positions=3, n_embd=256, n_layer=1, n_head=2)
CHARS = CharTokenizer("abcde")
KINDS = package.GGMLQuantizationType


@pytest.fixture(scope="module")
def model():
    return GPT(CONFIG, seed=1, threads=1)


@pytest.fixture(scope="module")
def small():
    """A model whose files are a few KB"""
    return GPT(GPTConfig(vocab_size=5, n_positions=3, n_embd=4, n_layer=1, n_head=2), seed=1, threads=1)


def saved(path, model, tokenizer=CHARS, dtype="F32", **changes):
    gguf.save(path, GPTConfig(**{**model.config.to_dict(), **changes}), model.params, tokenizer, dtype)
    return path


def narrow(vocab_size):
    return GPT(GPTConfig(vocab_size, n_positions=2, n_embd=2, n_layer=1, n_head=1), seed=1, threads=1)


def loaded(path):
    return GPT.from_state_dict(gguf.load(path), GPTConfig(**gguf.read_config(path)), threads=1)


def written_by_gguf(path, params, kind=KINDS.F32, change=None):
    """A file of gguf's own writer, the matrices of one type"""
    writer = package.GGUFWriter(path, "gpt2")
    writer.add_block_count(CONFIG.n_layer)
    writer.add_context_length(CONFIG.n_positions)
    writer.add_embedding_length(CONFIG.n_embd)
    writer.add_feed_forward_length(CONFIG.mlp_width)
    writer.add_head_count(CONFIG.n_head)
    writer.add_layer_norm_eps(1e-5)
    writer.add_bool("a.bool", True)
    writer.add_array("an.array", [1.5, 2.5])
    if change:
        change(writer)
    names = package.get_tensor_name_map(package.MODEL_ARCH.GPT2, CONFIG.n_layer)
    for name, array in params.items():
        is_linear = name.startswith("h.") and array.ndim == 2
        theirs = names.get_name(f"transformer.{name}" if name != "lm_head.weight" else name, (".weight", ".bias"))
        data = np.ascontiguousarray(array.T) if is_linear else array
        use = kind if array.ndim == 2 else KINDS.F32
        data = package.quantize(data, use)
        writer.add_tensor(theirs, data, raw_dtype=use)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# --- gguf's own writer and reader


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4", "TQ2_0", "TQ1_0"])
def test_what_ggufs_writer_wrote_comes_back_in_every_type_that_it_can_write(tmp_path, model, kind):
    path = written_by_gguf(tmp_path / "model.gguf", model.params, KINDS[kind])
    tensors = gguf.load(path)
    assert tensors.keys() == model.params.keys()
    for name, array in model.params.items():
        is_linear = name.startswith("h.") and array.ndim == 2
        data = np.ascontiguousarray(array.T) if is_linear else array
        if array.ndim == 2:
            data = package.dequantize(package.quantize(data, KINDS[kind]), KINDS[kind]).reshape(data.shape)
        np.testing.assert_array_equal(tensors[name], data.T if is_linear else data, err_msg=name)
        assert tensors[name].dtype == np.float32
    assert gguf.read_config(path) == {
        **{name: getattr(CONFIG, name) for name in ("n_positions", "n_embd", "n_layer", "n_head", "vocab_size")},
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }
    assert gguf.read_tokenizer(path) is None


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ1_S", "IQ2_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS"])
def test_types_that_only_llama_cpp_can_write_are_expanded_row_by_row_as_gguf_does(tmp_path, model, kind):
    block, size = package.GGML_QUANT_SIZES[KINDS[kind]]
    raw = np.random.default_rng(0).integers(0, 256, (5, 256 // block * size), np.uint8)
    raw[0] = np.resize([0x00, 0x7C], len(raw[0]))       # scales of infinity, times zero
    path = tmp_path / "model.gguf"

    def add(writer):
        writer.add_tensor("token_embd.weight", raw, raw_dtype=KINDS[kind])

    written_by_gguf(path, {name: array for name, array in model.params.items() if name != "wte.weight"}, change=add)
    tensors = gguf.load(path)       # without a warning of NaN, which is reported where a model is made
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(tensors["wte.weight"], package.dequantize(raw, KINDS[kind]))


@pytest.mark.parametrize("dtype", ["F32", "F16", "Q8_0"])
def test_ggufs_reader_finds_in_a_saved_file_what_was_saved(tmp_path, model, dtype):
    path = saved(tmp_path / "model.gguf", model, dtype=dtype)
    reader = package.GGUFReader(path)
    values = {name: field.contents() for name, field in reader.fields.items()}
    assert values["general.architecture"] == "gpt2" and values["tokenizer.ggml.pre"] == "gpt-2"
    assert values["tokenizer.ggml.tokens"] == [*"abcde", "<|endoftext|>"] and values["tokenizer.ggml.eos_token_id"] == 5
    assert values["tokenizer.ggml.token_type"] == [4, 4, 4, 4, 4, 3] and len(values["tokenizer.ggml.merges"]) == 1
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert {tensor.tensor_type.name for tensor in tensors.values() if tensor.name.startswith(("blk", "token")) and
            len(tensor.shape) == 2} == {dtype}
    assert tensors["position_embd.weight"].tensor_type.name == tensors["output_norm.bias"].tensor_type.name == "F32"
    for ours, theirs in (("h.0.mlp.c_fc.weight", "blk.0.ffn_up.weight"), ("wpe.weight", "position_embd.weight")):
        array, tensor = model.params[ours], tensors[theirs]
        array = array.T if ours.startswith("h.") else array
        expected = package.quantize(np.ascontiguousarray(array), KINDS[tensor.tensor_type.name])
        np.testing.assert_array_equal(tensor.data, expected)
    rows = package.dequantize(tensors["token_embd.weight"].data, KINDS[dtype])
    # 8 bits: 0.02 standard deviations, largest of 32 at some 0.08, steps of 0.08/127
    mean = model.params["wte.weight"].mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(rows[5], mean, rtol=1e-7, atol=0 if dtype == "F32" else 4e-4)


# --- what llama.cpp said


def test_llama_cpp_said_the_same_tokens_of_the_same_models():
    frozen = json.loads(FIXTURE.read_text(encoding="utf-8"))
    bundled = GPT.from_pretrained("shakespeare-char")
    for name, (model, tokenizer) in {"shakespeare-char": (bundled, bundled.tokenizer), "odd": odd()}.items():
        for prompt, ids in zip(frozen[name]["prompts"], frozen[name]["greedy"], strict=True):
            assert said(model, tokenizer.encode(prompt), len(ids)) == ids, (name, prompt)


# --- both ways


def test_a_model_comes_back_whatever_llama_cpp_wants_beside_it(tmp_path):
    model, tokenizer = odd()
    again = loaded(saved(tmp_path / "model.gguf", model, tokenizer))
    assert again.config.vocab_size == 270 and again.config.n_inner == 100 and not again.config.tie_word_embeddings
    assert again.config.eos_token_id is None
    assert gguf.read_tokenizer(tmp_path / "model.gguf") == tokenizer
    ids = np.array([[3, 269, 7, 0]])
    np.testing.assert_allclose(again(ids), model(ids), rtol=1e-5, atol=1e-5)       # float32
    header = gguf.read_header(tmp_path / "model.gguf")
    tokens = header.keys["tokenizer.ggml.tokens"]
    assert len(tokens) == 271 == header.tensors["token_embd.weight"].shape[0] == header.tensors["output.weight"].shape[0]
    assert tokens[264] == "[PAD264]" and header.keys["tokenizer.ggml.token_type"].tolist()[262:] == [1, 1, *[5] * 6, 3]
    tensor = header.tensors["blk.1.ffn_up.bias"]
    data = (tmp_path / "model.gguf").read_bytes()
    assert not any(data[tensor.start : tensor.start + 400]) and set(header.tensors) >= {"output_norm.bias"}


@pytest.mark.parametrize(("dtype", "kinds"), [("F16", {"F16"}), ("Q8_0", {"F16", "Q8_0"})])
def test_rows_that_are_no_multiple_of_32_stay_float16(tmp_path, dtype, kinds):
    model = GPT(GPTConfig(vocab_size=5, n_positions=3, n_embd=24, n_layer=1, n_head=2, n_inner=64), seed=1, threads=1)
    path = saved(tmp_path / "model.gguf", model, dtype=dtype)
    found = {name: KINDS(tensor.kind).name for name, tensor in gguf.read_header(path).tensors.items() if len(tensor.shape) == 2}
    assert set(found.values()) == {"F32", *kinds} and found["blk.0.ffn_up.weight"] == "F16"
    np.testing.assert_allclose(loaded(path)([[1, 2]]), model([[1, 2]]), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("ids", "written"), [
    ({"eos_token_id": 4, "bos_token_id": 0, "pad_token_id": 2}, {"eos": 4, "bos": 0, "padding": 2}),
    ({"eos_token_id": (1, 3, 0)}, {"eos": 1, "eot": 3, "eom": 0}),
])
def test_the_ids_of_special_tokens_survive(tmp_path, small, ids, written):
    path = saved(tmp_path / "model.gguf", small, **ids)
    keys = gguf.read_header(path).keys
    assert {name: keys[f"tokenizer.ggml.{name}_token_id"] for name in written} == written
    assert len(keys["tokenizer.ggml.tokens"]) == 5
    config = gguf.read_config(path)
    assert {name: config[name] for name in ids} == ids


def test_a_second_copy_of_the_embedding_is_a_tied_output_layer(tmp_path, model):
    wte = model.params["wte.weight"]
    for kind in ("F32", "Q4_0"):
        path = written_by_gguf(tmp_path / f"{kind}.gguf", {**model.params, "lm_head.weight": wte}, KINDS[kind])
        assert gguf.read_config(path)["tie_word_embeddings"] and "lm_head.weight" not in gguf.load(path)
    path = written_by_gguf(tmp_path / "other.gguf", {**model.params, "lm_head.weight": wte * np.float32(2)})
    assert not gguf.read_config(path)["tie_word_embeddings"]
    np.testing.assert_array_equal(gguf.load(path)["lm_head.weight"], wte * 2)


def test_tokenizers_come_back_with_holes_added_tokens_and_their_order(tmp_path):
    plain, gpt2 = Tokenizer.train("low lower lowest", 258, ["<|endoftext|>"]), Tokenizer.gpt2()
    names = plain.token_names()
    ids = {"<|endoftext|>": 0, "<b>": 1, **{names[id]: id + 10 for id in range(257)}}
    merges = [("l", "o")]
    mixed = Tokenizer.from_state(Vocabulary(ids, merges, [AddedToken("<|endoftext|>"), AddedToken("<b>", False)]).state())
    for tokenizer in (plain, mixed, gpt2, Tokenizer(), CharTokenizer("\n 中😀a")):
        V = tokenizer.vocab_size + 3
        if tokenizer is gpt2:       # the whole of it; its file is large and says nothing else
            keys = gguf.read_header(saved(tmp_path / "model.gguf", narrow(V), gpt2)).keys
            assert gguf_tokenizer.read("", keys) == gpt2 and keys["tokenizer.ggml.eos_token_id"] == 50256
            continue
        path = saved(tmp_path / "model.gguf", narrow(V), tokenizer)
        again, config = gguf.read_tokenizer(path), gguf.read_config(path)
        assert again == tokenizer and again.fingerprint() == tokenizer.fingerprint()
        assert config["vocab_size"] == V and config["eos_token_id"] == tokenizer.special_tokens.get("<|endoftext|>")
    assert gguf.read_header(path).keys["tokenizer.ggml.tokens"] == [*"\n 中😀a", "[PAD5]", "[PAD6]", "[PAD7]", "<|endoftext|>"]


def test_a_space_before_every_text_is_warned_of(tmp_path):
    vocabulary = Vocabulary({"a": 0, "Ġ": 1}, [], [], add_prefix_space=True)
    with pytest.warns(UserWarning, match="puts a space before a text.* begin prompts for it with a space"):
        saved(tmp_path / "model.gguf", narrow(2), Tokenizer.from_state(vocabulary.state()))


def test_the_roles_of_tokens_survive_and_flags_that_gguf_lacks_are_warned_of(tmp_path):
    names = {"a": 0, "Ġ": 1, "<s>": 2, "</s>": 3, "<pad>": 4, "<m>": 5}
    added = [*map(AddedToken, ("<s>", "</s>", "<pad>")), AddedToken("<m>", lstrip=True, single_word=True)]
    tokenizer = Tokenizer.from_state(Vocabulary(names, [], added, add_prefix_space=True).state())
    tokenizer.settings = Settings(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="</s>", add_bos_token=True,
                                  add_eos_token=True, add_prefix_space=True, templates={"chat_template.jinja": "{{ é }}"})
    with pytest.warns(UserWarning) as warned:
        path = saved(tmp_path / "model.gguf", narrow(6), tokenizer, bos_token_id=3)
    assert any("<m> (lstrip single_word), expected added tokens without these flags" in str(one.message) for one in warned)
    keys = gguf.read_header(path).keys
    assert keys["tokenizer.chat_template"] == "{{ é }}"
    assert [keys[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "padding", "unknown")] == [2, 3, 4, 3]
    assert keys["tokenizer.ggml.add_bos_token"] and keys["tokenizer.ggml.add_eos_token"]
    again = gguf.read_tokenizer(path)
    assert again.settings == tokenizer.settings and again.encode("a") == tokenizer.encode("a") == [1, 0]


def test_loading_takes_no_memory_for_float32_and_the_arrays_for_other_types(tmp_path, model):
    for dtype, factor in (("F32", 0), ("F16", 2), ("Q8_0", 3.8)):
        path = saved(tmp_path / "model.gguf", model, dtype=dtype)
        data = path.read_bytes()
        tracemalloc.start()
        tensors = gguf.load(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < factor * len(data) + 3e6, dtype       # of gguf's, which expands a megabyte at once
        for array in tensors.values():
            array[:] = 0
        assert path.read_bytes() == data


# --- what cannot be saved


@pytest.mark.parametrize(("changes", "message"), [
    ({"activation_function": "gelu"}, r"activation_function 'gelu' \(llama.cpp: 'gelu_new'\), expected a model like GPT-2"),
    ({"causal": False}, "causal False"), ({"attention_window": 2}, "attention_window 2"),
    ({"pre_norm": False}, "pre_norm False"), ({"scale_attn_weights": False}, "scale_attn_weights False"),
    ({"n_inner": 8}, r"mlp.c_fc.weight of shape \(4, 16\), expected"),
    ({"tie_word_embeddings": False}, r"lm_head.weight of shape none, expected \(5, 4\)"),
    ({"eos_token_id": (0, 1, 2, 3)}, "4 ids that end a text, expected at most 3"),
    ({"vocab_size": 4}, "a tokenizer of 5 ids for a model of 4"),
])
def test_a_model_that_llama_cpp_would_compute_otherwise_leaves_no_file(tmp_path, small, changes, message):
    with pytest.raises(WeightFormatError, match=message):
        saved(tmp_path / "model.gguf", small, **changes)
    assert list(tmp_path.iterdir()) == []


def test_values_that_a_type_cannot_hold_and_tokens_that_llama_cpp_cannot_keep_apart_leave_no_file(tmp_path, small):
    cases = [("F32", "wpe.weight", np.nan, "wpe.weight with NaN"), ("F16", "wte.weight", 7e4, "too large for F16"),
             ("Q8_0", "wte.weight", -np.inf, "too large for F16"), ("F32", "ln_f.bias", 1e39, "too large for F32")]
    for dtype, name, value, message in cases:
        array = small.params[name].astype(np.float64)
        array.flat[-1] = value
        with pytest.raises(WeightFormatError, match=message):
            gguf.save(tmp_path / "model.gguf", small.config, {**small.params, name: array}, CHARS, dtype)
    for tokenizer, message in ((CharTokenizer("a\0"), r"token 1, '\\x00', expected a text without zero bytes"),
                               (Vocabulary({"[PAD1]": 0}, []), r"'\[PAD1\]' as ids 0 and 1"), (None, "a NoneType, expected")):
        tokenizer = Tokenizer.from_state(tokenizer.state()) if isinstance(tokenizer, Vocabulary) else tokenizer
        with pytest.raises(WeightFormatError, match=message):
            gguf.save(tmp_path / "model.gguf", small.config, small.params, tokenizer)
    with pytest.raises(ValueError, match="dtype: 'Q4_0', expected 'F32', 'F16' or 'Q8_0'"):
        gguf.save(tmp_path / "model.gguf", small.config, small.params, CHARS, "Q4_0")
    assert list(tmp_path.iterdir()) == []


def test_without_the_gguf_package_the_message_says_what_to_install(tmp_path, small, monkeypatch):
    path = saved(tmp_path / "model.gguf", small)
    monkeypatch.setitem(sys.modules, "gguf", None)
    for work in (lambda: gguf.load(path), lambda: saved(path, small)):
        with pytest.raises(WeightFormatError, match=r'pip install "minigpt-numpy\[gguf\]"'):
            work()
    assert gguf.read_config(path)["vocab_size"] == 5 and gguf.read_tokenizer(path) == CHARS


# --- what breaks the format


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def file_of(keys=(), tensors=(), version=3, n_keys=None, n_tensors=None, data=b""):
    counts = (len(tensors) if n_tensors is None else n_tensors, len(keys) if n_keys is None else n_keys)
    head = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*keys, *tensors])
    return head + bytes(-len(head) % 32) + data


def key(name, kind, value=b""):
    return text(name) + struct.pack("<I", kind) + value


def line(name="t", shape=(1,), kind=0, offset=0):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


DEEP = b"".join([struct.pack("<IQ", 9, 1)] * 5000)
BAD = {
    "empty": (b"", "0 bytes that start with b'', expected a GGUF file"),
    "HTML": (b"<html>", "an HTML page"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "magic alone": (b"GGUF", "4 bytes that start with b'GGUF'"),
    "version 1": (file_of(version=1), "version 1, expected 2 or 3"),
    "big-endian": (file_of(version=3 << 24), "a big-endian file, expected a little-endian one"),
    "2^60 keys": (file_of(n_keys=2**60), "1,152,921,504,606,846,976 keys, expected at most 20,000"),
    "2^60 tensors": (file_of(n_tensors=2**60), "1,152,921,504,606,846,976 tensors"),
    "fewer keys": (file_of(n_keys=4), "that ends at byte"),
    "array of 2^60 bytes": (file_of([key("a", 9, struct.pack("<IQ", 0, 2**60))]), "'a' that ends at byte 1,152,921"),
    "array of 2^60 texts": (file_of([key("a", 9, struct.pack("<IQ", 8, 2**60))]), "'a': 1,152,921,504,606,846,976 texts"),
    "too many texts in two arrays": (file_of([key(f"{n}", 9, struct.pack("<IQ", 8, n) + bytes(16)) for n in (2, 999_999)]),
                                     "'999999': 999,999 texts"),
    "text of 2^60 bytes": (file_of([key("a", 8, struct.pack("<Q", 2**60))]), "'a' that ends at byte"),
    "arrays in arrays": (file_of([key("a", 9, DEEP)]), "'a' of type 9, expected a number, a text, or an array"),
    "unknown type": (file_of([key("a", 13, b"abcd")]), "'a' of type 13"),
    "no UTF-8": (file_of([key("a", 8, struct.pack("<Q", 1) + b"\xff")]), "'a' with bytes that are no UTF-8"),
    "a key twice": (file_of([key("a", 0, b"1")] * 2), "the key 'a' twice"),
    "a tensor twice": (file_of([], [line()] * 2), "the tensor 't' twice"),
    "alignment 0": (file_of([key("general.alignment", 4, bytes(4))]), "general.alignment 0, expected a power of two"),
    "alignment 3": (file_of([key("general.alignment", 4, b"\3\0\0\0")]), "general.alignment 3"),
    "alignment True": (file_of([key("general.alignment", 7, b"\1")]), "general.alignment True"),
    "no dimension": (file_of([], [line(shape=())], data=bytes(32)), "'t' with 0 dimensions, expected 1 to 4"),
    "5 dimensions": (file_of([], [line(shape=(1,) * 5)], data=bytes(32)), "'t' with 5 dimensions"),
    "a dimension of 0": (file_of([], [line(shape=(4, 0))], data=bytes(32)), r"'t' of shape \(0, 4\)"),
    "overflowing shape": (file_of([], [line(shape=(2**40, 2**40))], data=bytes(32)), "expected sizes from 1 that fit"),
    "no tensors": (file_of([], [line()]), "tensors from byte .* cut short"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_header_is_refused_in_little_memory(tmp_path, content, message):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        for read in (gguf.load, gguf.read_config, gguf.read_tokenizer):
            with pytest.raises(WeightFormatError, match=message) as caught:
                read(path)
            error = str(caught.value)
            assert error.startswith(f"{path}: ") and error.isprintable() and len(error) < 1000
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "add", "message"), [
    ("general.architecture", ("add_string", "llama"), "a model of architecture 'llama', expected 'gpt2'"),
    ("split.count", ("add_uint16", 3), "one of 3 parts, expected a whole model; join them with .*llama-gguf-split --merge"),
    ("gpt2.block_count", ("add_uint32", 2**31 - 1), "16 tensors, expected 25,?769,?803,?768 or more"),
    ("gpt2.block_count", ("add_string", "1"), "gpt2.block_count '1', expected 1 to"),
    ("gpt2.context_length", ("add_uint32", 4), r"position_embd.weight of shape \(3, 256\), expected \(4, 256\)"),
    ("gpt2.embedding_length", ("add_uint32", 0), "gpt2.embedding_length 0"),
    ("gpt2.attention.head_count", ("add_uint32", 3), "n_embd 256, not a multiple of n_head 3"),
    ("gpt2.attention.layer_norm_epsilon", ("add_float32", float("nan")), "layer_norm_epsilon nan, expected a number above 0"),
    ("minigpt.vocab_size", ("add_uint32", 6), "minigpt.vocab_size 6, expected 1 to 5"),
    ("tokenizer.ggml.model", ("add_string", "llama"), "a tokenizer of model 'llama' that splits by 'gpt-2'"),
    ("tokenizer.ggml.pre", ("add_string", "qwen2"), "a tokenizer of model 'gpt2' that splits by 'qwen2'"),
    ("tokenizer.ggml.tokens", ("add_string", "abc"), "tokens or merges that are no texts"),
    ("tokenizer.ggml.tokens", ("add_array", ["a", "a", "b", "c", "d"]), "the token 'a' as ids 0 and 1"),
    ("tokenizer.ggml.tokens", ("add_array", ["a"]), "1 tokens and other types than so many numbers"),
    ("tokenizer.ggml.merges", ("add_array", ["a b"]), "a tokenizer that cannot be read .*'ab' has no id"),
    ("tokenizer.ggml.merges", ("add_array", ["ab"]), "a tokenizer that cannot be read"),
])
@pytest.mark.filterwarnings("ignore")
def test_a_model_or_tokenizer_of_another_kind_is_refused_by_name(tmp_path, model, name, add, message):
    def change(writer):
        for key_name, value in {"model": "gpt2", "pre": "gpt-2"}.items():
            writer.add_string(f"tokenizer.ggml.{key_name}", value)
        writer.add_token_list(["a", "b", "c", "d", "e"])
        writer.add_token_types([1] * 5)
        writer.add_token_merges(["a b"] if "merges" in name else ["Ġ ĠĠ"])
        getattr(writer, add[0])(name, add[1])

    path = written_by_gguf(tmp_path / "model.gguf", model.params, change=change)
    with pytest.raises(WeightFormatError, match=message):
        gguf.read_config(path)
        gguf.read_tokenizer(path)
    assert ("tokenizer" not in name) or gguf.load(path)     # weights are never blocked by a tokenizer


def test_tensors_that_do_not_lie_one_after_the_other_are_refused(tmp_path, small):
    path = saved(tmp_path / "model.gguf", small)
    data = path.read_bytes()
    at = data.index(b"blk.0.ffn_up.weight") + len("blk.0.ffn_up.weight")        # then 2 dimensions, type, offset
    for place, value, message in ((at + 20, 99, "type 99, expected one that the gguf package knows"),
                                  (at + 20, 26, "type I32, expected F32, F16, BF16 or a type that gguf expands"),
                                  (at + 20, 8, "with rows of 4, expected a multiple of 32"),
                                  (at + 24, 32, "'blk.0.ffn_up.weight' at byte .*, expected it at")):
        path.write_bytes(data[:place] + struct.pack("<I", value) + data[place + 4 :])
        with pytest.raises(WeightFormatError, match=message):
            gguf.load(path)
    for content, message in ((data + bytes(32), "32 bytes after the last tensor"), (data[:-17], "the file is cut short")):
        path.write_bytes(content)
        with pytest.raises(WeightFormatError, match=message):
            gguf.load(path)
    path.write_bytes(data[:-16])        # the last one's padding may be missing
    assert gguf.load(path).keys() == small.params.keys()


def is_refused(path, *readers):
    for read in readers:
        try:
            read(path)
        except WeightFormatError as error:
            assert str(error).isprintable() and len(str(error)) < 1000
            return True
    return False


def test_cut_files_random_bytes_and_a_thousand_changes_are_refused_or_load(tmp_path, small):
    rng = np.random.default_rng(0)
    path = saved(tmp_path / "model.gguf", small, dtype="F16")
    data = path.read_bytes()
    header = data.index(b"output_norm.bias") + 40
    for size in range(0, len(data) - 32, 37):
        path.write_bytes(data[:size])
        assert is_refused(path, gguf.load), size
    refused = 0
    for i in range(1000):
        content = bytearray(rng.bytes(rng.integers(2000)) if i % 10 == 0 else data)
        content[: 4 + 20 * (i % 20 == 0)] = data[: 4 + 20 * (i % 20 == 0)]
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(min(len(content), header))] = rng.integers(256)
        path.write_bytes(content)
        refused += is_refused(path, (gguf.read_tokenizer, gguf.read_config)[i % 2], gguf.load)
    assert 500 < refused < 1000
