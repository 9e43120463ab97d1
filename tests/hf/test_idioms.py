"""What people write around the classes: what is set, saved and loaded again, and what to do instead of what there is not."""

import copy
import json
import pickle
from functools import partial

import numpy as np
import pytest

from hf_calls import BERT_VOCABULARY, write_bert_folder, write_gpt2_folder
from minigpt import GPT, ConfigError, GPTConfig
from minigpt.hf import AutoTokenizer, BertTokenizer, GenerationConfig, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer
from minigpt.weights.gguf import save as save_gguf

SIZES = {"vocab_size": 300, "n_positions": 32, "n_embd": 12, "n_layer": 1, "n_head": 2}
ADDED = {"pad_token": "<pad>", "bos_token": "<s>", "additional_special_tokens": ["<a>"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    write_gpt2_folder(folder / "gpt2")
    write_bert_folder(folder / "bert")
    return folder


@pytest.fixture
def model():
    return GPT2LMHeadModel(GPT2Config(**SIZES, bos_token_id=1, eos_token_id=2))


def grown(tokenizer):
    """The tokenizer with tokens added, special ones and plain ones"""
    tokenizer.add_special_tokens(ADDED)
    tokenizer.add_tokens(["plain"])
    tokenizer.padding_side, tokenizer.model_max_length = "left", 77
    return tokenizer


def state(tokenizer):
    text = "<s>hello plain<pad>world<a>."
    ids = tokenizer.encode(text, add_special_tokens=False)
    return (type(tokenizer), ids, tokenizer.decode(ids, skip_special_tokens=True), tokenizer.special_tokens_map,
            tokenizer.additional_special_tokens, tokenizer.padding_side, tokenizer.model_max_length, len(tokenizer))


# Tokenizers


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_a_tokenizer_with_added_tokens_comes_back(folder, kind, tmp_path):
    tokenizer = grown(AutoTokenizer.from_pretrained(folder / kind))
    assert state(copy.deepcopy(tokenizer)) == state(pickle.loads(pickle.dumps(tokenizer))) == state(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    assert state(AutoTokenizer.from_pretrained(tmp_path)) == state(tokenizer)
    assert "plain" in tokenizer.decode(tokenizer.encode("a plain b"), skip_special_tokens=True)


def test_settings_beside_a_tokenizer_are_honored(folder, tmp_path):
    GPT2Tokenizer.from_pretrained(folder / "gpt2").tokenizer.save(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink(missing_ok=True)
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "<pad>", "eos_token": {"content": "</s>"}}')
    tokenizer = GPT2Tokenizer.from_pretrained(tmp_path)
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token) == ("<pad>", "</s>", "<|endoftext|>")
    assert tokenizer.decode(tokenizer.encode("a<pad>b</s>"), skip_special_tokens=True) == "ab"


def test_a_local_folder_called_gpt2_is_that_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert len(GPT2Tokenizer.from_pretrained("gpt2")) == 290


def test_a_tokenizer_of_another_kind_is_named_with_its_class(folder):
    for call, message in (
        (lambda: GPT2Tokenizer.from_pretrained(folder / "bert"), "a WordPieceTokenizer, .*; take .*BertTokenizer"),
        (lambda: BertTokenizer.from_pretrained(folder / "gpt2"), "a Tokenizer, .*; take .*GPT2Tokenizer"),
        (lambda: AutoTokenizer.from_pretrained("shakespeare-char"), r"a CharTokenizer, .*GPT\.from_pretrained"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_what_a_tokenizer_has_not_is_refused(folder):
    tokenizer = GPT2Tokenizer.from_pretrained(folder / "gpt2")
    for call, error, message in (
        (lambda: setattr(tokenizer, "pad_token", "<none>"), ValueError, "pad_token: '<none>', .*add_special_tokens"),
        (lambda: setattr(tokenizer, "pad_token_id", True), ValueError, "pad_token_id: True, expected the id of a token"),
        (lambda: tokenizer.add_tokens(["a", ""]), TypeError, "new_tokens: .*none empty"),
        (lambda: tokenizer.add_special_tokens({"foo": "x"}), ValueError, "'foo', expected one of bos_token"),
        (lambda: tokenizer("a", truncation="cut"), ValueError, "truncation: 'cut', expected True, False, 'do_not_truncate'"),
        (lambda: tokenizer.pad({"labels": [1]}), ValueError, r"pad: \['labels'\], expected input_ids"),
        (lambda: tokenizer("a", "b"), ValueError, "text_pair: 'b', expected none; encode each text alone"),
        (lambda: tokenizer.encode("a", "b"), ValueError, "text_pair: 'b'"),
        (lambda: tokenizer("a", return_offsets_mapping=True), ValueError, "return_offsets_mapping: .*encode_with_offsets"),
        (lambda: tokenizer("a", foo=1), TypeError, "unknown argument 'foo', expected padding"),
        (lambda: tokenizer("a").to("cuda"), ValueError, "to: 'cuda', expected 'cpu'"),
        (lambda: tokenizer.decode([-1]), ValueError, "-1"),
        (lambda: GPT2Tokenizer.from_pretrained("gpt2", errors="x"), TypeError, "unknown argument errors"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert tokenizer("a").to("cpu").input_ids == [64]


def test_a_chinese_model_continues_a_text(folder):
    n = len(BERT_VOCABULARY.split())
    tokenizer, model = BertTokenizer.from_pretrained(folder / "bert"), GPT2LMHeadModel(GPT2Config(**{**SIZES, "vocab_size": n}))
    rng = np.random.default_rng(5)      # which draws 天 once the text is under way
    for array in model.gpt.params.values():
        array += rng.standard_normal(array.shape)
    prompt = tokenizer("我爱", add_special_tokens=False, return_token_type_ids=False, return_tensors="np").to(model.device)
    out = model.generate(**prompt, max_new_tokens=20, eos_token_id=None)
    text = tokenizer.decode(out[0])
    assert text.startswith("我 爱")
    model.gpt.tokenizer = tokenizer.tokenizer
    pieces = "".join(model.gpt.stream_text(out[0, :2], 20, temperature=0, stop_ids=()))
    assert "我 爱" + pieces == text
    options = {"eos_token_id": None, "pad_token_id": 0, "stop_strings": "天", "tokenizer": tokenizer}
    stopped = model.generate(**prompt, max_new_tokens=20, **options)
    assert tokenizer.decode(stopped[0]) == text[: text.index("天") + 1]


def test_settings_of_a_file_survive_saving(folder, tmp_path):
    for kind in ("gpt2", "bert"):
        loaded = AutoTokenizer.from_pretrained(folder / kind)
        loaded.truncation_side, loaded.split_special_tokens, loaded.model_input_names = "left", True, ["input_ids"]
        loaded.save_pretrained(tmp_path / kind)
        again = AutoTokenizer.from_pretrained(tmp_path / kind)
        assert dict(again("a b")) == {"input_ids": loaded.encode("a b")}
        assert (again.truncation_side, again.split_special_tokens, again.model_input_names) == ("left", True, ["input_ids"])
        path = tmp_path / kind / "tokenizer_config.json"
        original = json.loads(path.read_text(encoding="utf-8"))
        for name in ("split_special_tokens", "model_input_names"):
            path.write_text(json.dumps({**original, name: "x"}), encoding="utf-8")
            with pytest.raises(ValueError, match=f"tokenizer_config.json: {name}: 'x', expected"):
                AutoTokenizer.from_pretrained(tmp_path / kind)


def test_the_vocabulary_is_counted_without_added_tokens(folder, tmp_path):
    tokenizer = GPT2Tokenizer.from_pretrained(folder / "gpt2")
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    # as the tokenizers package writes tokens that were added: in GPT-2's own order, but not in the vocabulary
    content["added_tokens"] += [{**content["added_tokens"][0], "id": 290 + i, "content": f"<{i}>"} for i in range(4)]
    path.write_text(json.dumps(content), encoding="utf-8")
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.vocab_size, len(loaded)) == (290, 294)
    loaded.add_tokens(["new"])
    assert (loaded.vocab_size, len(loaded)) == (290, 295)


def test_a_vocabulary_alone_makes_a_berttokenizer(folder, tmp_path):
    (tmp_path / "small.txt").write_bytes((folder / "bert" / "vocab.txt").read_bytes())
    expected = BertTokenizer.from_pretrained(folder / "bert")
    for tokenizer in (BertTokenizer(str(tmp_path / "small.txt")), BertTokenizer(vocab_file=tmp_path / "small.txt", max_len=9)):
        assert tokenizer("Hello [SEP] 我爱", max_length=9) == expected("Hello [SEP] 我爱", max_length=9)
        assert (tokenizer.special_tokens_map, len(tokenizer)) == (expected.special_tokens_map, len(expected))
    assert tokenizer.model_max_length == 9
    cased = BertTokenizer(tmp_path / "small.txt", do_lower_case=False, eos_token="[EOS]", pad_token="[PAD]")
    assert (cased.encode("Hello hello"), cased.eos_token_id, cased.vocab_size) == ([2, 1, 12, 3], 29, 29)
    gpt2 = folder / "gpt2"
    for call, error, message in (
        (lambda: BertTokenizer(folder / "bert", do_lower_case="no"), ValueError, "do_lower_case: 'no', expected True or False"),
        (lambda: BertTokenizer(), TypeError, r"expected a WordPieceTokenizer .*from_pretrained\(folder\)"),
        (lambda: BertTokenizer(vocab_file=tmp_path / "none.txt"), FileNotFoundError, "none.txt: no such file"),
        (lambda: GPT2Tokenizer(str(gpt2 / "vocab.json"), str(gpt2 / "merges.txt")), TypeError, r"from_pretrained\(folder\)"),
        (lambda: GPT2Tokenizer(vocab_file="vocab.json", merges_file="merges.txt"), TypeError, r"from_pretrained\(folder\)"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_a_folder_with_a_gguf_alone_has_its_tokenizer(folder, tmp_path):
    pytest.importorskip("gguf")
    core = GPT2Tokenizer.from_pretrained(folder / "gpt2").tokenizer
    config = GPTConfig(**{**SIZES, "vocab_size": core.vocab_size})
    save_gguf(tmp_path / "model.gguf", config, GPT(config, seed=1).params, core)
    for kind in (GPT2Tokenizer, AutoTokenizer):
        assert kind.from_pretrained(tmp_path)("to be").input_ids == core.encode("to be")


# Models


def test_settings_of_generation_are_saved_and_come_back(model, tmp_path):
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.5, sequence_bias={(3, 4): -1.0})
    model.config.pad_token_id = 7
    model.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    assert stored == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 7, "do_sample": True, "temperature": 0.5,
                      "sequence_bias": [[[3, 4], -1.0]]}
    loaded = GPT2LMHeadModel.from_pretrained(tmp_path)
    assert loaded.generation_config.temperature == 0.5
    assert loaded.generation_config.max_new_tokens is None
    ids = np.array([[3, 4, 5]])
    np.testing.assert_array_equal(loaded.generate(ids, seed=1), model.generate(ids, seed=1, do_sample=True, temperature=0.5))
    again = GPT2LMHeadModel.from_pretrained(tmp_path, pad_token_id=9, torch_dtype="torch.float64")      # the call wins
    assert (again.config.pad_token_id, again.generation_config.pad_token_id, again.gpt.dtype) == (9, 9, np.float64)


def test_special_ids_of_a_configuration_can_be_set(model):
    model.config.eos_token_id, model.config.pad_token_id = [5, -1, 6], -1
    assert (model.config.eos_token_id, model.config.pad_token_id) == ((5, 6), None)
    assert model.generation_config.eos_token_id == (5, 6)


def test_what_a_model_returns_can_be_indexed_and_unpacked(model):
    ids = np.array([[3, 4]])
    output = model(ids, labels=ids)
    loss, logits = output
    assert loss is output[0] is output["loss"] is output.loss
    assert logits is output[1] is output[:2][1] is dict(output)["logits"] is output.logits
    (logits,) = output = model(ids)
    assert output[0] is logits is output.logits
    assert (len(output), output.keys(), output.to_tuple()) == (1, ["logits"], (logits,))


def test_the_vocabulary_grows_to_a_multiple(model):
    for n, multiple, expected in ((None, 64, 320), (301, 64, 320), (320, 64, 320), (290, 8, 296), (296, None, 296)):
        model.resize_token_embeddings(n, pad_to_multiple_of=multiple)
        assert model.config.vocab_size == model(np.array([[1]])).logits.shape[-1] == expected, (n, multiple)


def test_ids_beyond_the_vocabulary_are_no_defaults(folder, tmp_path):
    ids = lambda config: (config.bos_token_id, config.eos_token_id)     # noqa: E731
    assert ids(GPT2Config()) == ids(GPT2Config(vocab_size=50_257)) == (50_256, 50_256)
    assert ids(GPT2Config(**SIZES, eos_token_id=50_256)) == (None, 50_256)     # which someone gave
    model = GPT2LMHeadModel(GPT2Config(**SIZES))
    assert ids(model.config) == (None, None)
    for core, eos, expected in (
        (None, "unset", (None, None)), (GPT2Tokenizer.from_pretrained(folder / "gpt2").tokenizer, "unset", (289, 289)),
        (GPT2Tokenizer.from_pretrained(folder / "gpt2").tokenizer, None, (289, None)),
    ):
        model.gpt.tokenizer = core
        if eos != "unset":
            model.config.eos_token_id = eos
        model.save_pretrained(tmp_path)
        loaded = GPT2LMHeadModel.from_pretrained(tmp_path)
        assert ids(loaded.config) == ids(loaded.generation_config) == expected


def test_what_a_model_has_not_says_what_to_do_instead(model):
    ids, load = np.array([[3, 4]]), partial(GPT2LMHeadModel.from_pretrained, "shakespeare-char")
    for call, error, message in (
        (lambda: setattr(model.config, "n_layer", 2), AttributeError, "n_layer cannot be set, expected one of bos_token_id"),
        (lambda: setattr(model.config, "pad_token_id", "x"), ConfigError, "pad_token_id 'x', expected an id from 0"),
        (lambda: setattr(model.generation_config, "temperature", "x"), ConfigError, "'x', expected a finite number"),
        (lambda: setattr(model.generation_config, "temprature", 1), TypeError, "temprature, expected temperature"),
        (lambda: setattr(model, "generation_config", {}), TypeError, "generation_config: dict, expected a .*GenerationConfig"),
        (model.train, ValueError, r"train: True, expected False.*Trainer\(model\.gpt"),
        (lambda: model.to("cuda"), ValueError, "to: 'cuda', expected 'cpu'"),
        (lambda: model.resize_token_embeddings(0), ValueError, r"new_num_tokens: 0, .*len\(tokenizer\)"),
        (lambda: model.resize_token_embeddings(9, pad_to_multiple_of=0), ValueError, "pad_to_multiple_of: 0"),
        (lambda: model(ids)["loss"], KeyError, "'loss', expected one of logits"),
        (lambda: model(ids, output_attentions=True), ValueError, r"output_attentions: True, .*model\.gpt\.trace"),
        (lambda: model(ids, foo=1), TypeError, "model: unknown argument 'foo'"),
        (lambda: load(device_map="auto"), TypeError, "device_map, expected dtype"),
        (lambda: load(dtype="float16"), ValueError, "dtype: 'float16', expected"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert model(ids, use_cache=True, return_dict=True, output_attentions=False).logits.shape == (1, 2, 300)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")
def test_transformers_reads_what_we_save(folder, model, tmp_path):
    import transformers

    transformers.logging.set_verbosity_error()
    for kind, theirs in (("gpt2", transformers.GPT2Tokenizer), ("bert", transformers.BertTokenizer)):
        tokenizer = grown(AutoTokenizer.from_pretrained(folder / kind))
        tokenizer.save_pretrained(tmp_path)
        loaded = theirs.from_pretrained(tmp_path)
        text = "<s>hello plain<pad>world<a>."
        assert loaded(text).data == dict(tokenizer(text)), kind
        assert loaded.special_tokens_map == tokenizer.special_tokens_map, kind
        assert (loaded.padding_side, loaded.model_max_length, len(loaded)) == ("left", 77, len(tokenizer)), kind
        ids = tokenizer.encode(text)
        assert loaded.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids, skip_special_tokens=True), kind
    model.generation_config.max_new_tokens, model.generation_config.eos_token_id = 5, [7, 8]
    model.save_pretrained(tmp_path)
    config = transformers.GPT2LMHeadModel.from_pretrained(tmp_path).generation_config
    assert (config.max_new_tokens, config.eos_token_id, config.bos_token_id) == (5, [7, 8], 1)
