"""Each option of generation: all warpers together, what it makes of a text, and what is refused."""

from dataclasses import fields

import numpy as np
import pytest

from minigpt.generation.generate import generate, stream
from minigpt.generation.options import Sampling
from minigpt.generation.warpers import forbid
from minigpt.nn import softmax
from plain_generation import V, contains, only_after, plain_look_back, plain_sample, plain_warped, small_model


def random_options(seed):
    """Logits (3, 13), texts of several lengths and every option of the warpers at once"""
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, 13, length).tolist() for length in (1, 6, 40)]
    options = {
        "repetition_penalty": rng.uniform(0.5, 2), "no_repeat_ngram_size": int(rng.choice([0, 2, 3])),
        "bad_words_ids": [[int(rng.integers(13))], [*texts[2][-2:], 3], [*texts[1][-1:], 4], [5, 6]],
        "logit_bias": {2: 1.5, 9: -100, 10: -np.inf, (texts[1][-1], 4): 3.0, (*texts[2][-2:], 11): -2.5, (5, 6, 7): 50},
        "min_new_tokens": int(rng.integers(0, 4)), "stop_ids": (7, 8), "temperature": rng.uniform(0.3, 2),
        "top_k": int(rng.integers(2, 15)), "top_p": rng.uniform(0.3, 1), "min_p": rng.uniform(0, 0.3),
    }
    return 3 * rng.standard_normal((3, 13)), texts, options


@pytest.mark.parametrize("seed", range(30))
def test_all_warpers_together_equal_their_plain_twin(seed):
    logits, texts, options = random_options(seed)
    warped = softmax(Sampling(**options).for_vocabulary(13).warped(logits, texts, 2, 9))
    for row, z, text in zip(warped, logits, texts, strict=True):
        z = plain_look_back(z, text, 2, options)
        p = plain_warped(z, options["temperature"], options["top_k"], options["top_p"])
        p = [share if share >= options["min_p"] * max(p) else 0 for share in p]
        np.testing.assert_allclose(row, np.array(p) / sum(p), rtol=1e-12, atol=0)


@pytest.mark.reference
@pytest.mark.parametrize("seed", range(30))
def test_all_warpers_together_equal_those_of_transformers(seed):
    import torch
    from transformers.generation import logits_process as theirs

    def bend(input_ids, scores):            # does not commute with the temperature, nor with what comes before
        return scores - 0.1 * scores**2

    logits, texts, options = random_options(seed)
    options["logits_processor"] = bend
    stops = list(options["stop_ids"])
    bias = {v if isinstance(v, tuple) else (v,): float(value) for v, value in options["logit_bias"].items()}
    steps = [
        theirs.SequenceBiasLogitsProcessor(bias),
        theirs.RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]),
        theirs.NoBadWordsLogitsProcessor(options["bad_words_ids"], eos_token_id=stops),
        theirs.MinNewTokensLengthLogitsProcessor(0, options["min_new_tokens"], stops, device="cpu"),
        bend,
        theirs.TemperatureLogitsWarper(options["temperature"]),
        theirs.TopKLogitsWarper(options["top_k"]),
        theirs.TopPLogitsWarper(options["top_p"]),
        theirs.MinPLogitsWarper(options["min_p"]),
    ]
    if options["no_repeat_ngram_size"]:
        steps.insert(2, theirs.NoRepeatNGramLogitsProcessor(options["no_repeat_ngram_size"]))
    options["bad_words_ids"] = [word for word in options["bad_words_ids"] if word not in [[stop] for stop in stops]]
    for z, text in zip(logits, texts, strict=True):
        steps[-6].prompt_length_to_skip = len(text) - 2         # two of its tokens are new
        expected = theirs.LogitsProcessorList(steps)(torch.tensor([text]), torch.tensor(z[None])).softmax(-1).numpy()
        warped = softmax(Sampling(**options).for_vocabulary(13).warped(z[None], [text], 2, 9))
        # float64; that transformers keeps its biases and penalties in float32 does not matter but to the last digits
        np.testing.assert_allclose(warped, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("temperature", [1e-320, 1e-9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_smallest_temperatures_equal_greedy(temperature, dtype):
    model = small_model(dtype=dtype)
    np.testing.assert_array_equal(generate(model, [1], 7, temperature=temperature), generate(model, [1], 7, temperature=0))


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0}])
def test_keeping_one_token_equals_greedy(model, options):
    np.testing.assert_array_equal(generate(model, [1], 7, **options), generate(model, [1], 7, temperature=0))


@pytest.mark.parametrize("options", [{"top_k": 0}, {"top_k": 1000}, {"top_p": 1}])
def test_keeping_all_tokens_changes_nothing(model, options):
    np.testing.assert_array_equal(generate(model, [1], 7, seed=3, **options), generate(model, [1], 7, seed=3))


@pytest.mark.parametrize("options", [
    {"repetition_penalty": 3.0}, {"repetition_penalty": 0.2}, {"no_repeat_ngram_size": 2},
    {"bad_words_ids": [[1], [2, 3], [4]]},
])
@pytest.mark.parametrize("temperature", [0, 1])
def test_options_that_look_back_see_prompt_and_output(long_model, options, temperature):
    text, rng = [1, 2, 3], np.random.default_rng(np.random.SeedSequence(7).spawn(1)[0])
    for n_new in range(30):
        z = plain_look_back(long_model(np.array([text]))[0, -1], text, n_new, options)
        text.append(int(z.argmax()) if temperature == 0 else plain_sample(plain_warped(z, 1, None, None), rng))
    assert generate(long_model, [1, 2, 3], 30, seed=7, temperature=temperature, **options).tolist() == text


@pytest.mark.parametrize("min_p", [0.05, 0.4])
def test_min_p_draws_from_what_is_kept(long_model, min_p):
    text = generate(long_model, [1, 2], 30, seed=1, min_p=min_p).tolist()
    p = softmax(long_model(np.array([text]))[0])
    assert all(p[t - 1, text[t]] >= min_p * p[t - 1].max() for t in range(2, len(text)))


def test_a_row_does_not_end_before_its_least_length(long_model):
    stops = [v for v in range(V) if v != 3]
    out = generate(long_model, [1], 30, seed=0, stop_ids=stops, min_new_tokens=4)
    assert out[1:5].tolist() == [3, 3, 3, 3]
    assert len(out) < 31


def test_no_token_left_is_said(model):
    with pytest.raises(ValueError, match="every token is ruled out after 3 new ones"):
        generate(model, [1], 5, bad_words_ids=[[v] for v in range(V) if v not in (1, 2, 4, 5)], no_repeat_ngram_size=1)


# Steering


@pytest.mark.parametrize(("bias", "drawn"), [({4: 100}, {4}), ({v: -100 for v in range(V) if v != 6}, {6}),
                                             ({v: -np.inf for v in range(1, V)}, {0}), ({np.int64(4): 100}, {4})])
def test_a_bias_of_100_forces_and_one_of_minus_100_bans(long_model, bias, drawn):
    rows = generate(long_model, [[1], [2, 3]], 20, num_samples=2, seed=0, logit_bias=bias)
    assert {int(v) for row in rows for v in row[-20:]} == drawn


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_bias_equals_its_plain_twin(long_model, temperature):
    options = {"logit_bias": {3: 1.5, 4: -1.5, (3, 3): -4, (3, 5, 6): 4, 7: -np.inf}, "repetition_penalty": 1.3}
    text, rng = [1, 2, 3], np.random.default_rng(np.random.SeedSequence(7).spawn(1)[0])
    for n_new in range(30):
        z = plain_look_back(long_model(np.array([text]))[0, -1], text, n_new, options)
        text.append(int(z.argmax()) if temperature == 0 else plain_sample(plain_warped(z, 1, None, None), rng))
    assert generate(long_model, [1, 2, 3], 30, seed=7, temperature=temperature, **options).tolist() == text


def test_a_processor_sees_each_row_and_the_models_scores(long_model):
    seen = []

    def watch(ids, logits):
        seen.append((ids.copy(), logits.copy()))
        ids[:], logits[:] = 0, logits + 1           # both are its own
        return logits

    prompts = [[1], [2, 3, 4]]
    out = generate(long_model, prompts, 4, seed=0, num_samples=2, logits_processor=watch)
    plain = generate(long_model, prompts, 4, seed=0, num_samples=2)
    assert [row.tolist() for row in out] == [row.tolist() for row in plain]        # 1 more everywhere changes nothing
    texts = [row[: len(row) - 4 + n].tolist() for n in range(4) for row in out]
    assert [ids.tolist() for ids, _ in seen] == texts
    assert {(ids.dtype, logits.dtype) for ids, logits in seen} == {(np.dtype(np.int64), np.dtype(np.float64))}
    for ids, logits in seen:
        np.testing.assert_allclose(logits, long_model(ids[None])[0, -1], rtol=1e-9)     # float64, products of other shapes


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_a_processor_decides(long_model, temperature):
    options = {"temperature": temperature, "logits_processor": only_after, "num_samples": 2, "top_k": 5, "seed": 0}
    rows = generate(long_model, [[1], [8, 3]], 20, **options)
    for row in rows:
        assert (np.diff(row[-21:]) % V == 1).all()
    steps = np.stack([*stream(long_model, [[1], [8, 3]], 20, **options)], axis=1)
    np.testing.assert_array_equal(steps, [row[-20:] for row in rows])


def test_processors_run_in_turn_after_the_bias_and_before_the_temperature(model):
    seen = []

    def first(ids, logits):
        seen.append(logits)                     # its own, so that nobody writes into it
        return np.full(V, -3.0) + 8 * (np.arange(V) == 4)

    def second(ids, logits):
        seen.append(logits)
        return logits

    options = {"logits_processor": [first, second], "logit_bias": {2: 50.0}, "bad_words_ids": [[7]], "temperature": 0.01}
    assert generate(model, [1], 1, **options)[-1] == 4
    expected = model(np.array([[1]]))[0, -1] + 50 * (np.arange(V) == 2)
    expected[7] = -np.inf
    np.testing.assert_allclose(seen[0], expected, rtol=1e-9)
    assert seen[1].tolist() == [-3.0] * 4 + [5.0] + [-3.0] * 6


@pytest.mark.parametrize(("result", "message"), [
    (None, r"logits_processor: returned None, expected logits \(11,\); return those"),
    (np.zeros(3), r"logits_processor: returned shape \(3,\), expected logits \(11,\)"),
    (np.zeros((1, V)), r"logits_processor: returned shape \(1, 11\)"),
    (np.full(V, np.nan), "logits_processor: returned NaN or infinity"),
    (np.full(V, np.inf), "logits_processor: returned NaN or infinity"),
    (np.full(V, -np.inf), "every token is ruled out after 0 new ones.*logits_processor"),
])
def test_what_a_processor_returns_is_checked(model, result, message):
    with pytest.raises(ValueError, match=message):
        generate(model, [1], 3, logits_processor=lambda ids, logits: result)


@pytest.mark.parametrize("seed", range(20))
def test_forced_words_stand_in_every_output_before_it_ends(long_model, seed):
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, 9, length).tolist() for length in rng.integers(1, 5, 4)]
    n = sum(map(len, words)) + int(rng.integers(0, 10))
    options = {"stop_ids": (9, 10), "num_samples": 3, "seed": seed, "temperature": rng.choice([0, 1, 5])}
    out = generate(long_model, [[1], words[0], [2, 3, 4]], n, force_words_ids=words, sliding_window=True, **options)
    for row, prompt in zip(out, np.repeat([1, len(words[0]), 3], 3), strict=True):
        new = row[prompt:].tolist()
        end = next((i for i, v in enumerate(new) if v in (9, 10)), n)
        assert all(contains(new[:end], word) for word in words)


def test_a_word_that_cannot_go_on_is_given_up_and_said_later(long_model):
    # 1 may not come after 5 0, so the word 0 1 has to wait for another 0
    options = {"force_words_ids": [[0, 1]], "bad_words_ids": [[5, 0, 1]], "logit_bias": {5: 3.0, 0: 3.0}}
    rows = generate(long_model, [1], 30, num_samples=40, seed=0, **options)[:, 1:].tolist()
    assert any(contains(row, [5, 0]) and row.index(5) < row.index(1) for row in rows)
    assert all(contains(row, [0, 1]) and not contains(row, [5, 0, 1]) for row in rows)


def test_a_word_said_of_itself_changes_nothing(long_model):
    free = generate(long_model, [1, 2], 20, temperature=0).tolist()
    assert generate(long_model, [1, 2], 20, temperature=0, force_words_ids=[free[7:8], free[2:3]]).tolist() == free


def test_a_word_of_the_prompt_is_not_said_yet(long_model):
    bias = {5: -100, 6: -100}
    out = generate(long_model, [5, 6], 9, seed=0, force_words_ids=[[5, 6]], logit_bias=bias).tolist()
    assert out[-2:] == [5, 6]


def test_a_forced_word_that_a_processor_rules_out_is_an_error_at_the_last_place_for_it(model):
    with pytest.raises(ValueError, match=r"every token is ruled out after 2 new ones.*force_words_ids"):
        generate(model, [1], 3, force_words_ids=[[2, 3]], logits_processor=lambda ids, logits: forbid(logits, [3]), seed=0)


# Bad input


BAD = [
    ([], {}, ValueError, "ids: empty, expected at least one token"),
    (np.zeros((0,), int), {}, ValueError, "ids: empty"),
    ([[1], []], {}, ValueError, r"ids\[1\]: empty"),
    (np.zeros((0, 3), int), {}, ValueError, r"ids: shape \(0, 3\)"),
    (np.zeros((1, 2, 3), int), {}, ValueError, r"ids: shape \(1, 2, 3\)"),
    (5, {}, TypeError, "ids: 5 of type int, expected a text"),
    (None, {}, TypeError, "ids: None of type NoneType, expected a text"),
    ("to be", {}, ValueError, "ids: a text, expected token ids, since the model has no tokenizer; set model.tokenizer"),
    (["to", "be"], {}, ValueError, r"ids\[0\]: a text, expected token ids"),
    (b"to be", {}, TypeError, "ids: bytes, expected a text or token ids"),
    ([1, -1], {}, ValueError, r"ids\[1\]: -1, expected an id from 0 to 10"),
    ([11], {}, ValueError, r"ids\[0\]: 11, expected an id from 0 to 10"),
    ([[1], [2, 10**30]], {}, ValueError, r"ids\[1\]\[1\]: 1000000000000000000000000000000, expected an id"),
    (np.array([3, 12]), {}, ValueError, r"ids\[1\]: 12"),
    ([1.0], {}, TypeError, r"ids\[0\]: 1.0 of type float, expected an integer"),
    (np.array([1.0]), {}, TypeError, "ids: float64"),
    ([True], {}, TypeError, r"ids\[0\]: True of type bool"),
    (np.array([True]), {}, TypeError, "ids: bool"),
    ([["a"]], {}, TypeError, r"ids\[0\]\[0\]: 'a' of type str"),
    ([[1], 2], {}, TypeError, r"ids\[1\]: 2 of type int among texts or rows, expected a text"),
    ([1], {"temperature": -1}, ValueError, "temperature: -1, expected a finite number from 0"),
    ([1], {"temperature": float("nan")}, ValueError, "temperature: nan"),
    ([1], {"temperature": float("inf")}, ValueError, "temperature: inf"),
    ([1], {"temperature": "hot"}, TypeError, "temperature: 'hot' of type str"),
    ([1], {"temperature": True}, TypeError, "temperature: True of type bool"),
    ([1], {"top_k": -1}, ValueError, "top_k: -1, expected a whole number from 0"),
    ([1], {"top_k": 2.5}, TypeError, "top_k: 2.5 of type float"),
    ([1], {"top_p": -0.1}, ValueError, "top_p: -0.1, expected a probability from 0 to 1"),
    ([1], {"top_p": 1.1}, ValueError, "top_p: 1.1"),
    ([1], {"top_p": float("nan")}, ValueError, "top_p: nan"),
    ([1], {"max_new_tokens": -1}, ValueError, "max_new_tokens: -1, expected a whole number from 0"),
    ([1], {"max_new_tokens": 2.0}, TypeError, "max_new_tokens: 2.0 of type float"),
    ([1], {"num_samples": 0}, ValueError, "num_samples: 0, expected a whole number from 1"),
    ([1], {"seed": -1}, ValueError, "seed: -1, expected a whole number from 0"),
    ([1], {"seed": 1.5}, TypeError, "seed: 1.5, expected a whole number"),
    ([1], {"start_id": 11}, ValueError, r"start_id\[0\]: 11, expected an id"),
    ([1], {"stop_ids": 3}, TypeError, r"stop_ids: 3, expected a sequence of ids; write \(3,\)"),
    ([1], {"stop_ids": (3, 11)}, ValueError, r"stop_ids\[1\]: 11"),
    ([1] * 9, {"max_new_tokens": 0}, ValueError, "ids: 9 tokens and max_new_tokens 0, expected at most n_positions 8"),
    ([1] * 3, {"max_new_tokens": 6}, ValueError, "ask for 5 new tokens or fewer, or pass sliding_window=True"),
    ([[1], [1] * 3], {"max_new_tokens": 6}, ValueError, "ids: 3 tokens and max_new_tokens 6"),
    ([1], {"temprature": 1}, TypeError, r"temprature: no option of (generate|stream)\(\), expected temperature"),
    ([1], {"topk": 3, "max_tokens": 2}, TypeError, r"topk: .*, expected top_k; max_tokens: .*, expected max_new_tokens"),
    ([1], {"min_p": -0.1}, ValueError, "min_p: -0.1, expected a probability from 0 to 1"),
    ([1], {"min_p": float("nan")}, ValueError, "min_p: nan"),
    ([1], {"repetition_penalty": 0}, ValueError, "repetition_penalty: 0, expected a finite number above 0"),
    ([1], {"repetition_penalty": float("inf")}, ValueError, "repetition_penalty: inf"),
    ([1], {"no_repeat_ngram_size": -1}, ValueError, "no_repeat_ngram_size: -1, expected a whole number from 0"),
    ([1], {"no_repeat_ngram_size": 2.0}, TypeError, "no_repeat_ngram_size: 2.0 of type float"),
    ([1], {"min_new_tokens": -1}, ValueError, "min_new_tokens: -1, expected a whole number from 0"),
    ([1], {"bad_words_ids": 3}, TypeError, "bad_words_ids: 3, expected a sequence of lists of ids"),
    ([1], {"bad_words_ids": [3]}, TypeError, r"bad_words_ids\[0\]: 3 of type int, expected a row"),
    ([1], {"bad_words_ids": ["bad"]}, TypeError, r"bad_words_ids\[0\]: 'bad' of type str"),
    ([1], {"bad_words_ids": [[3], []]}, ValueError, r"bad_words_ids\[1\]: empty, expected at least one token"),
    ([1], {"force_words_ids": 3}, TypeError, "force_words_ids: 3, expected a sequence of lists of ids"),
    ([1], {"force_words_ids": [[[3], [4]]]}, TypeError, r"force_words_ids\[0\]\[0\]: \[3\] of type list, expected an integer"),
    ([1], {"force_words_ids": [[]]}, ValueError, r"force_words_ids\[0\]: empty, expected at least one token"),
    ([1], {"force_words_ids": [[11]]}, ValueError, r"force_words_ids\[0\]\[0\]: 11, expected an id from 0 to 10"),
    ([1], {"force_words_ids": [[1, 2], [3, 4]]}, ValueError, "force_words_ids: 4 tokens, expected at most max_new_tokens 3"),
    ([1], {"force_words_ids": [[1, 2, 3]], "bad_words_ids": [[7], [2, 3]]}, ValueError,
     r"force_words_ids\[0\]: \[1, 2, 3\], expected none with \[2, 3\] in it, since bad_words_ids"),
    ([1], {"force_words_ids": [[1, 2]], "stop_ids": (2,)}, ValueError, r"force_words_ids\[0\]: \[1, 2\], expected none with"),
    ([1], {"force_words_ids": [[1]], "logit_bias": {1: -np.inf}}, ValueError, r"force_words_ids\[0\]: \[1\], expected none"),
    ([1], {"logit_bias": [(1, 2)]}, TypeError, r"logit_bias: \[\(1, 2\)\], expected \{id: value\}; write \{42: -100\}"),
    ([1], {"logit_bias": {11: 1}}, ValueError, r"logit_bias key\[0\]: 11, expected an id from 0 to 10"),
    ([1], {"logit_bias": {(1, -1): 1}}, ValueError, r"logit_bias key\[1\]: -1, expected an id"),
    ([1], {"logit_bias": {"1": 1}}, TypeError, r"logit_bias key\[0\]: '1' of type str, expected an integer"),
    ([1], {"logit_bias": {(): 1}}, ValueError, r"logit_bias: key \(\), expected an id, or a tuple of at least one"),
    ([1], {"logit_bias": {1: np.inf}}, ValueError, r"logit_bias\[1\]: inf, expected a finite number or -inf"),
    ([1], {"logit_bias": {1: np.nan}}, ValueError, r"logit_bias\[1\]: nan"),
    ([1], {"logit_bias": {1: "2"}}, TypeError, r"logit_bias\[1\]: '2' of type str, expected a finite number or -inf"),
    ([1], {"logits_processor": 3}, TypeError, r"logits_processor: 3, expected f\(ids, logits\) -> logits, or several"),
    ([1], {"logits_processor": [only_after, None]}, TypeError, "logits_processor: .*, expected f"),
    ([1], {"bad_words_ids": [[3, 11]]}, ValueError, r"bad_words_ids\[0\]\[1\]: 11, expected an id from 0 to 10"),
]


@pytest.mark.parametrize("call", [generate, stream])
@pytest.mark.parametrize(("ids", "options", "error", "message"), BAD)
def test_bad_input_is_refused_before_anything_is_computed(model, monkeypatch, call, ids, options, error, message):
    monkeypatch.setattr(model, "forward", None)
    with pytest.raises(error, match=message):
        call(model, ids, **{"max_new_tokens": 3, **options})


def test_wrong_types_in_all_options_are_all_listed():
    with pytest.raises(TypeError) as caught:
        Sampling(**{field.name: -0.5 for field in fields(Sampling)})
    listed = {part.split(":")[0] for part in str(caught.value).split("; ") if ", expected" in part}
    assert listed == {field.name for field in fields(Sampling)}


def test_several_wrong_values_are_one_value_error():
    with pytest.raises(ValueError, match=r"temperature: -1, expected .*; top_p: 2, expected .*; seed: -1, expected "):
        Sampling(temperature=-1, top_p=2, seed=-1)


@pytest.mark.parametrize("name", [field.name for field in fields(Sampling)])
def test_any_value_of_an_option_is_taken_or_named(name):
    for value in (None, True, "x", -1, 1.5, np.nan, 10**400, [], [[]], {}, {"a": 1}, b"x", object(), np.ones((2, 2)), len):
        try:
            Sampling(**{name: value})
        except (TypeError, ValueError) as error:
            assert str(error).startswith(f"{name}: ")
