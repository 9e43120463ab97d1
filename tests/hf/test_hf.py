"""Hugging Face's calls: what they return, warn of and refuse; the facts are those of transformers 4.57 and 5.23."""

import json
import warnings

import numpy as np
import pytest

from make_generation_fixture import spread
from minigpt import ConfigError
from minigpt.hf.model import GPT2Config, GPT2LMHeadModel, GPT3LMHeadModel
from minigpt.hf.tokenizer import GPT2Tokenizer
from minigpt.tokenization import Tokenizer

END = 279
SIZES = {"vocab_size": 280, "n_positions": 32, "n_embd": 12, "n_layer": 2, "n_head": 2}


@pytest.fixture(scope="module")
def core():
    return Tokenizer.train("to be or not to be, that is the question: whether it is nobler", 280, ["<|endoftext|>"])


@pytest.fixture
def tokenizer(core):
    return GPT2Tokenizer(core)


@pytest.fixture(scope="module")
def model():
    model = GPT2LMHeadModel(GPT2Config(**SIZES, bos_token_id=END, eos_token_id=END), dtype=np.float64)
    rng = np.random.default_rng(4)
    for name, array in model.gpt.params.items():        # so that the next token depends on all before it
        array += spread(name) * rng.standard_normal(array.shape)
    return model


IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


# Configuration


def test_the_defaults_are_gpt2s():
    config = GPT2Config()
    sizes = (config.vocab_size, config.n_positions, config.n_embd, config.n_layer, config.n_head)
    assert sizes == (50_257, 1024, 768, 12, 12)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (50_256, 50_256, None)
    assert (config.embd_pdrop, config.attn_pdrop, config.resid_pdrop) == (0.1, 0.1, 0.1)


@pytest.mark.parametrize("value", [-1, 1.5, True, "end"])
def test_token_ids_that_are_none_are_refused(value):
    with pytest.raises(ConfigError, match=r"eos_token_id .*, expected an id from 0, or None"):
        GPT2Config(eos_token_id=value)


def test_a_saved_model_comes_back_with_its_special_ids(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = GPT2LMHeadModel.from_pretrained(tmp_path, dtype=np.float64)
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded(IDS).logits, model(IDS).logits)


# The model


def test_labels_are_the_ids_and_are_shifted_inside(model):
    output = model(IDS, labels=IDS)
    assert output.loss == pytest.approx(model.gpt.loss(IDS[:, :-1], IDS[:, 1:]), rel=1e-12)
    np.testing.assert_array_equal(output.logits, model.gpt(IDS))


def test_labels_of_minus_100_do_not_count(model):
    labels = IDS.copy()
    labels[0, 1:] = -100
    assert model(IDS, labels=labels).loss == pytest.approx(model.gpt.loss(IDS[1:, :-1], IDS[1:, 1:]), rel=1e-12)


def test_without_labels_there_is_no_loss(model):
    assert model(IDS).loss is None


def test_the_loss_has_the_models_dtype():
    loss = GPT2LMHeadModel(GPT2Config(**SIZES))(IDS, labels=IDS).loss
    assert isinstance(loss, np.float32)
    assert isinstance(loss.item(), float)


def test_nothing_attends_to_padding(model):
    mask = np.array([[0, 0, 1, 1, 1]])
    other = IDS[:1] + np.array([7, 8, 0, 0, 0])
    np.testing.assert_array_equal(model(IDS[:1], mask).logits[:, 2:], model(other, mask).logits[:, 2:])


def test_a_row_of_padding_gives_no_nan(model):
    assert np.isfinite(model(IDS, np.array([[1] * 5, [0] * 5])).logits).all()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"attention_mask": [[1, 1]]}, r"attention_mask: shape \(1, 2\), expected that of input_ids \(2, 5\)"),
    ({"attention_mask": 2 * np.ones((2, 5))}, "attention_mask: other values, expected 1 at tokens"),
    ({"labels": IDS[:1]}, r"labels: shape \(1, 5\), expected that of input_ids \(2, 5\)"),
    ({"labels": np.full((2, 5), -100)}, "targets: all are -100"),
    ({"labels": IDS + 300}, "targets: values from"),
])
def test_bad_arguments_of_the_model_are_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model(IDS, **arguments)


# Generation


def solo(model, ids, **options):
    return model.gpt.generate(np.asarray(ids), temperature=0, **options).tolist()


def test_greedy_is_the_default_with_20_new_tokens(model):
    out = model.generate(IDS, eos_token_id=())
    assert (out.shape, out.dtype) == ((2, 25), np.int64)
    assert out[0].tolist() == solo(model, IDS[0], max_new_tokens=20)


def test_the_20_new_tokens_end_at_the_last_position(model):
    assert model.generate(np.ones((1, 25), int), eos_token_id=()).shape == (1, 32)


def test_max_length_counts_the_prompt(model):
    assert model.generate(IDS, max_length=8, eos_token_id=()).shape == (2, 8)


def test_max_new_tokens_wins_over_max_length(model):
    assert model.generate(IDS, max_length=8, max_new_tokens=1).shape == (2, 6)


def test_inputs_may_be_named_as_the_tokenizer_names_them(model, tokenizer):
    inputs = tokenizer("to be", return_tensors="np")
    np.testing.assert_array_equal(model.generate(**inputs), model.generate(tokenizer.encode("to be", return_tensors="np")))


def test_left_padded_rows_equal_their_solo_runs(model, tokenizer):
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    texts = ["to be", "to be or not to be", "q"]
    batch = tokenizer(texts, padding=True, return_tensors="np")
    out = model.generate(**batch, max_new_tokens=9, eos_token_id=())
    for row, text in zip(out, texts, strict=True):
        assert row[-9:].tolist() == solo(model, tokenizer.encode(text), max_new_tokens=9)[-9:]


def test_a_pad_token_of_its_own_shows_the_padding(model):
    padded = np.array([[277, 277, 3, 1, 4], [9, 2, 6, 5, 3]])
    mask = (padded != 277).astype(int)
    np.testing.assert_array_equal(
        model.generate(padded, pad_token_id=277), model.generate(padded, attention_mask=mask, pad_token_id=277)
    )


def test_a_row_that_has_ended_is_filled_with_pad(model):
    free = model.generate(IDS, max_new_tokens=12, eos_token_id=())
    eos = next(int(v) for v in free[0, 5:] if v not in free[1, 5:])
    out = model.generate(IDS, max_new_tokens=12, eos_token_id=[eos], pad_token_id=277)
    end = free[0, 5:].tolist().index(eos) + 6
    assert out[0].tolist() == [*free[0, :end], *[277] * (17 - end)]
    np.testing.assert_array_equal(out[1], free[1])


def test_without_pad_a_row_is_filled_with_eos(model):
    free = model.generate(IDS, max_new_tokens=12, eos_token_id=())
    eos = next(int(v) for v in free[0, 5:] if v not in free[1, 5:])
    assert model.generate(IDS, max_new_tokens=12, eos_token_id=eos)[0, -1] == eos


def test_it_stops_when_every_row_has_ended(model):
    free = model.generate(IDS, max_new_tokens=12, eos_token_id=())
    assert model.generate(IDS, max_new_tokens=12, eos_token_id=free[:, 5].tolist()).shape == (2, 6)


def test_min_length_counts_the_prompt(model):
    eos = model.generate(IDS[:1], max_new_tokens=1, eos_token_id=())[0, -1]
    out = model.generate(IDS[:1], min_length=8, max_new_tokens=9, eos_token_id=int(eos))
    assert eos not in out[0, 5:8]
    np.testing.assert_array_equal(out, model.generate(IDS[:1], min_new_tokens=3, max_new_tokens=9, eos_token_id=int(eos)))


def test_sampling_keeps_50_tokens_by_default(model):
    out = model.generate(IDS, do_sample=True, num_return_sequences=2, max_new_tokens=6, seed=3, eos_token_id=())
    expected = model.gpt.generate(IDS, 6, top_k=50, num_samples=2, seed=3)
    np.testing.assert_array_equal(out, expected)


def test_every_option_reaches_the_sampler(model):
    options = {"temperature": 0.8, "top_k": 9, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.3,
               "no_repeat_ngram_size": 2, "bad_words_ids": [[7], [3, 4]], "force_words_ids": [[8, 9], [10]]}
    out = model.generate(IDS, do_sample=True, max_new_tokens=20, seed=3, eos_token_id=(), **options)
    np.testing.assert_array_equal(out, model.gpt.generate(IDS, 20, seed=3, **options))


@pytest.mark.parametrize("bias", [{(5,): 2.0, (3, 4): -9.0, (6,): 1.5}, [[[5], 2.0], [[3, 4], -9.0], [[6], 1.5]]])
def test_a_sequence_bias_is_a_logit_bias(model, bias):
    options = {"max_new_tokens": 20, "do_sample": True, "seed": 3, "eos_token_id": ()}
    expected = model.gpt.generate(IDS, 20, seed=3, top_k=50, logit_bias={5: 2.0, (3, 4): -9.0, 6: 1.5})
    np.testing.assert_array_equal(model.generate(IDS, sequence_bias=bias, **options), expected)


def test_processors_take_a_batch_of_one_and_run_in_turn(model):
    seen = []

    def first(input_ids, scores):
        seen.append((input_ids.copy(), scores.shape))
        return scores + 1e3 * (np.arange(280) == 5)

    def second(input_ids, scores):
        return np.roll(scores, 1, axis=1)

    padded, mask = np.array([[277, 277, 3, 1, 4], [9, 2, 6, 5, 3]]), np.array([[0, 0, 1, 1, 1], [1] * 5])
    out = model.generate(padded, attention_mask=mask, max_new_tokens=2, eos_token_id=(), logits_processor=[first, second])
    assert (out[:, 5:] == 6).all()
    assert [ids.tolist() for ids, _ in seen] == [[[3, 1, 4]], [[9, 2, 6, 5, 3]], [[3, 1, 4, 6]], [[9, 2, 6, 5, 3, 6]]]
    assert {shape for _, shape in seen} == {(1, 280)}


def test_eos_is_no_bad_word(model):
    eos = int(model.generate(IDS[:1], max_new_tokens=1, eos_token_id=())[0, -1])
    assert model.generate(IDS[:1], eos_token_id=eos, bad_words_ids=[[eos]]).shape == (1, 6)


@pytest.mark.parametrize(("options", "ignored"), [
    ({"temperature": 0.7}, "temperature=0.7"),
    ({"temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.1}, "temperature=0.7, top_k=5, top_p=0.9, min_p=0.1"),
])
def test_one_warning_says_what_counts_only_when_sampling(model, options, ignored):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = model.generate(IDS, **options)
    assert [str(warning.message).split(" ignored")[0] for warning in caught] == [f"generate: {ignored}"]
    np.testing.assert_array_equal(out, model.generate(IDS))


def all_but(tokenizer, texts):
    """bad_words_ids that leave only these tokens"""
    allowed = tokenizer.convert_tokens_to_ids(texts)
    return [[v] for v in range(280) if v not in allowed]


def test_a_stop_string_ends_a_row_and_stays(model, tokenizer):
    options = {"max_new_tokens": 20, "eos_token_id": (), "bad_words_ids": all_but(tokenizer, ["x", "y"])}
    options |= {"do_sample": True, "temperature": 20.0}        # about as many of one as of the other
    free = model.generate(IDS, seed=0, **options)
    texts = tokenizer.batch_decode(free[:, 5:])
    stop = texts[0][6:10]
    out = model.generate(IDS, seed=0, stop_strings=[stop, "z"], tokenizer=tokenizer, pad_token_id=277, **options)
    for row, whole, text in zip(out, free, texts, strict=True):
        end = 5 + (text.index(stop) + 4 if stop in text else 20)
        assert row[:end].tolist() == whole[: len(row)][:end].tolist()
        assert set(row[end:]) <= {277}
    assert len({text.find(stop) for text in texts}) == 2        # else the rows would end together


def test_a_stop_string_may_begin_in_the_prompt(model, tokenizer):
    ids = tokenizer.encode("zyyy", return_tensors="np")
    options = {"tokenizer": tokenizer, "bad_words_ids": all_but(tokenizer, ["x"])}
    assert tokenizer.decode(model.generate(ids, stop_strings="yyx", **options)[0]) == "zyyyx"
    assert tokenizer.decode(model.generate(ids, stop_strings=["zy", "yxxx"], **options)[0]) == "zyyyxxx"


def test_a_window_slides_on_request(model):
    assert model.generate(IDS, max_new_tokens=60, eos_token_id=(), sliding_window=True).shape == (2, 65)


def test_an_empty_prompt_starts_from_bos(model, tokenizer):
    out = model.generate(tokenizer.encode("", return_tensors="np"), max_new_tokens=3)
    assert out[0].tolist()[0] == END


def test_special_ids_outside_a_small_vocabulary_never_end_a_row():
    model = GPT2LMHeadModel(GPT2Config(**SIZES))
    assert model.generate(IDS, max_new_tokens=3).shape == (2, 8)


def test_the_ids_of_the_caller_are_not_changed(model):
    before = IDS.copy()
    model.generate(IDS)[:] = 0
    np.testing.assert_array_equal(IDS, before)


@pytest.mark.parametrize(("ids", "options", "error", "message"), [
    (IDS, {"max_length": 5}, ValueError, "input_ids: 5 tokens, expected fewer than max_length 5; pass max_new_tokens"),
    (np.ones((1, 32), int), {}, ValueError, "input_ids: 32 tokens, expected fewer than max_length 32"),
    (IDS, {"max_length": 40}, ValueError, "5 tokens and max_new_tokens 35, expected at most n_positions 32"),
    (IDS, {"num_return_sequences": 3}, ValueError, "num_return_sequences: 3, expected 1 while greedy.*do_sample=True"),
    (IDS, {"num_beams": 4}, ValueError, "num_beams: 4, expected 1; a GPT is not searched by beams here"),
    (IDS, {"do_sample": True, "temperature": 0}, ValueError, "temperature: 0, expected a number above 0 when sampling"),
    (IDS, {"do_sample": True, "temperature": -1.0}, ValueError, r"temperature: -1\.0"),
    (IDS, {"do_sample": True, "top_p": 2}, ValueError, "top_p: 2"),
    (IDS, {"temprature": 0.5}, TypeError, "temprature"),
    (IDS, {"logits_processor": np.sort}, TypeError, "logits_processor: <.*>, expected a list of f"),
    (IDS, {"logits_processor": [3]}, TypeError, r"logits_processor: \[3\], expected a list of f"),
    (IDS, {"sequence_bias": [[5, 1.0]]}, TypeError, r"sequence_bias: \[\[5, 1.0\]\], expected \[\[ids, value\], …\]"),
    (IDS, {"sequence_bias": {(280,): 1.0}}, ValueError, r"logit_bias key\[0\]: 280"),
    (IDS, {"force_words_ids": [[1] * 21]}, ValueError, "force_words_ids: 21 tokens, expected at most max_new_tokens 20"),
    (IDS, {"stop_strings": ["x", ""], "tokenizer": True}, TypeError, r"stop_strings: \['x', ''\], expected a text or several"),
    (IDS, {"stop_strings": "x"}, ValueError, "stop_strings: no tokenizer, expected one"),
    (IDS, {"attention_mask": [[1, 1]]}, ValueError, r"attention_mask: shape \(1, 2\)"),
    (IDS, {"eos_token_id": 280}, ValueError, r"stop_ids\[0\]: 280"),
    (IDS, {"input_ids": IDS}, ValueError, "inputs and input_ids, expected one of the two"),
    (IDS, {"num_beams": 4, "early_stopping": True}, ValueError, "num_beams: 4, expected 1"),
    (IDS, {"return_dict_in_generate": True}, ValueError, r"return_dict_in_generate: True, expected none; .*logprobs=True"),
    (IDS, {"streamer": object()}, ValueError, "streamer: .*model.gpt.stream_text"),
    (IDS, {"typical_p": 0.9}, ValueError, "typical_p: 0.9, expected none; top_p and min_p"),
    (IDS[0], {}, ValueError, r"input_ids: shape \(5,\), expected \(batch, time\)"),
    (IDS * 1.0, {}, TypeError, "input_ids: dtype float64, expected integers"),
    (IDS + 300, {}, ValueError, r"ids\[0\]\[0\]: 303"),
    (-IDS, {}, ValueError, r"ids\[0\]\[0\]: -3"),
])
def test_bad_arguments_are_refused_before_anything_is_computed(model, monkeypatch, ids, options, error, message):
    monkeypatch.setattr(model.gpt, "forward", None)
    with pytest.raises(error, match=message):
        model.generate(ids, **options)


def test_gpt3_says_that_its_weights_were_never_released():
    with pytest.raises(ValueError, match="OpenAI never released GPT-3's"):
        GPT3LMHeadModel.from_pretrained("gpt3")


# The tokenizer


def test_start_end_and_unknown_are_one_token(tokenizer):
    assert {tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token} == {"<|endoftext|>"}
    assert {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id} == {END}
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == (None, None)
    assert (tokenizer.vocab_size, len(tokenizer)) == (280, 280)
    assert (tokenizer.model_max_length, tokenizer.padding_side) == (1024, "right")


def test_encoding_gives_the_ids_of_the_core_and_parses_end_of_text(tokenizer, core):
    assert tokenizer.encode("to be<|endoftext|>or") == [*core.encode("to be"), END, *core.encode("or")]


@pytest.mark.parametrize("text", ["", "to be"])
def test_arrays_are_int64_with_an_axis_for_the_batch(tokenizer, text):
    ids = tokenizer.encode(text, return_tensors="np")
    assert (ids.shape, ids.dtype) == ((1, len(tokenizer.encode(text))), np.int64)


def test_a_call_gives_ids_and_mask_by_key_and_attribute(tokenizer):
    encoding = tokenizer("to be")
    assert encoding["input_ids"] == encoding.input_ids == tokenizer.encode("to be")
    assert encoding.attention_mask == [1] * len(encoding.input_ids)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_fills_rows_up_on_its_side(tokenizer, side):
    tokenizer.pad_token, tokenizer.padding_side = "<|endoftext|>", side
    encoding = tokenizer(["to be or not", "to"], padding=True)
    long, short = map(tokenizer.encode, ["to be or not", "to"])
    fill = [END] * (len(long) - len(short))
    assert encoding.input_ids == [long, fill + short if side == "left" else short + fill]
    assert [sum(mask) for mask in encoding.attention_mask] == [len(long), len(short)]
    assert encoding.attention_mask[1][0] == (0 if side == "left" else 1)


def test_padding_up_to_a_length_and_truncation(tokenizer):
    tokenizer.pad_token = tokenizer.eos_token
    encoding = tokenizer(["to be or not", "q"], padding="max_length", truncation=True, max_length=2, return_tensors="np")
    assert encoding.input_ids.shape == (2, 2)
    assert tokenizer.encode("to be or not", truncation=True, max_length=2) == tokenizer.encode("to be or not")[:2]


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda t: t("a", return_tensors="pt"), ValueError, "return_tensors: 'pt', expected \"np\""),
    (lambda t: t.encode("a", return_tensors="tf"), ValueError, "return_tensors: 'tf'"),
    (lambda t: t(["a", "to be"], padding=True), ValueError, r"set tokenizer\.pad_token = tokenizer\.eos_token"),
    (lambda t: t(["a", "to be or"], return_tensors="np"), ValueError, "rows of 1 to .* tokens, .*; pass padding=True"),
    (lambda t: t("a", padding="left"), ValueError, "padding: 'left', expected"),
    (lambda t: setattr(t, "pad_token", "[PAD]"), ValueError, r"pad_token: '\[PAD\]', expected a token of the vocabulary"),
    (lambda t: setattr(t, "padding_side", "top"), ValueError, "padding_side: 'top'"),
    (lambda t: t(None), TypeError, "text"),
    (lambda t: t("a").ids, AttributeError, "Encoding has no 'ids', expected one of input_ids, attention_mask"),
])
def test_bad_calls_say_what_to_do(tokenizer, call, error, message):
    with pytest.raises(error, match=message):
        call(tokenizer)


@pytest.mark.parametrize("kind", [list, np.array])
def test_decoding_shows_special_tokens_unless_told_not_to(tokenizer, kind):
    ids = kind(tokenizer.encode("to<|endoftext|>be"))
    assert tokenizer.decode(ids) == "to<|endoftext|>be"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "tobe"


def test_one_id_may_be_decoded(tokenizer):
    assert tokenizer.decode(0) == tokenizer.decode(np.int64(0)) == "!"


def test_half_a_character_is_decoded_as_such(tokenizer):
    assert tokenizer.decode(tokenizer.encode("é")[:1]) == "\ufffd"


def test_rows_are_decoded_together(tokenizer):
    assert tokenizer.batch_decode(tokenizer(["to be", "or"]).input_ids) == ["to be", "or"]


def test_punctuation_is_joined_on_request_only(tokenizer):
    ids = tokenizer.encode("to be , or do n't .")
    assert tokenizer.decode(ids) == "to be , or do n't ."
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=True) == "to be, or don't."


def test_tokens_are_written_as_in_vocab_json(tokenizer, core, tmp_path):
    core.save(tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    assert tokenizer.get_vocab() == vocab
    assert tokenizer.convert_ids_to_tokens(range(280)) == sorted(vocab, key=vocab.get)
    assert tokenizer.convert_tokens_to_ids(list(vocab)) == list(vocab.values())
    assert tokenizer.convert_tokens_to_ids("no such token") == END


def test_a_saved_tokenizer_comes_back_with_its_settings(tokenizer, core, tmp_path):
    tokenizer.pad_token, tokenizer.padding_side = "<|endoftext|>", "left"
    tokenizer.save_pretrained(tmp_path)
    loaded = GPT2Tokenizer.from_pretrained(tmp_path)
    assert loaded.tokenizer == core
    assert (loaded.pad_token, loaded.padding_side, loaded.model_max_length) == ("<|endoftext|>", "left", 1024)


@pytest.mark.parametrize(("stored", "settings"), [
    ('{"pad_token": {"__type": "AddedToken", "content": "<|endoftext|>"}}', ("<|endoftext|>", "right", int(1e30))),
    ('{"pad_token": null, "padding_side": null, "model_max_length": null}', (None, "right", int(1e30))),
    ('{"model_max_length": 1000000000000000019884624838656}', (None, "right", int(1e30))),
    ('{"pad_token": "<pad>", "padding_side": "left", "model_max_length": 77}', ("<pad>", "left", 77)),
])
def test_a_tokenizer_config_of_transformers_is_read(core, tmp_path, stored, settings):
    core.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(stored, encoding="utf-8")
    loaded = GPT2Tokenizer.from_pretrained(tmp_path)
    assert (loaded.pad_token, loaded.padding_side, loaded.model_max_length) == settings


@pytest.mark.parametrize(("stored", "message"), [
    ('{"pad_token": {}}', r"pad_token: \{\}, expected .*content"),
    ('{"pad_token": {"content": []}}', r"pad_token: \{'content': \[\]\}, expected .*content"),
    ('{"pad_token": ["\\u001b[2J"]}', r"pad_token: \['\\x1b\[2J'\], expected a token"),
    ('{"padding_side": []}', r"padding_side: \[\], expected 'left' or 'right'"),
    ('{"model_max_length": "1024"}', "model_max_length: '1024', expected a whole number of tokens above 0"),
    ('{"model_max_length": 0}', "model_max_length: 0, expected a whole number"),
    ('{"model_max_length": Infinity}', "model_max_length: Infinity, expected a finite number"),
    ("[]", "a list, expected an object"),
    ("[" * 100_000, "brackets nested too deeply"),
    ("{", "line 1, column 2: .*expected JSON"),
])
def test_a_bad_tokenizer_config_is_refused_with_its_name(core, tmp_path, stored, message):
    core.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(stored, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"tokenizer_config\.json: {message}"):
        GPT2Tokenizer.from_pretrained(tmp_path)


# GPT-2's own vocabulary: the rows are what transformers gives


@pytest.fixture(scope="module")
def gpt2():
    if not hasattr(Tokenizer, "gpt2"):
        pytest.skip("GPT-2's vocabulary is not there yet")
    return GPT2Tokenizer.from_pretrained("gpt2")


def test_attributes_of_gpt2(gpt2):
    assert (gpt2.vocab_size, gpt2.eos_token_id, gpt2.pad_token) == (50_257, 50_256, None)


@pytest.mark.parametrize(("text", "ids"), [
    ("Hello world", [15496, 995]), (" Hello world", [18435, 995]), ("", []), ("a<|endoftext|>b", [64, 50256, 65]),
    ("😀 é 日本", [47249, 222, 38251, 10545, 245, 98, 17312, 105]),
])
def test_ids_of_gpt2(gpt2, text, ids):
    assert gpt2.encode(text) == ids
    assert gpt2.decode(ids) == text


def test_tokens_of_gpt2_as_written(gpt2):
    assert gpt2.tokenize("Hello world é") == ["Hello", "Ġworld", "ĠÃ©"]


@pytest.mark.parametrize("name", ["openai-community/gpt2", "gpt2-xl", "distilbert/distilgpt2"])
def test_all_sizes_of_gpt2_share_one_vocabulary(gpt2, name):
    assert GPT2Tokenizer.from_pretrained(name).tokenizer == gpt2.tokenizer


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_transformers_loads_the_folder_and_continues_the_same_text(model, tokenizer, tmp_path):
    import torch
    import transformers

    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, dtype=torch.float64).eval()
    their_tokenizer = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    assert their_tokenizer.encode("to be<|endoftext|>é") == tokenizer.encode("to be<|endoftext|>é")
    for options in (
        {}, {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2}, {"max_length": 30, "bad_words_ids": [[7], [3, 4], [END]]},
        {"min_new_tokens": 5, "eos_token_id": [17, 33, 200], "pad_token_id": 0},
        {"sequence_bias": [[[7], 1.5], [[40], -2.0], [[3, 4], -9.0]], "repetition_penalty": 1.5},
        {"logits_processor": [lambda ids, scores: scores - (0.1 + ids[:, -1:] % 2) * scores**2], "no_repeat_ngram_size": 3},
    ):
        ids = tokenizer.encode("to be, or", return_tensors="np")
        expected = theirs.generate(torch.tensor(ids), attention_mask=torch.ones(ids.shape, dtype=int), **options).numpy()
        np.testing.assert_array_equal(model.generate(ids, **options), expected)
