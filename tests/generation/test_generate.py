"""Generation against plain twins: no cache, no batch, no clever selection."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.generation.generate import generate, stream
from minigpt.generation.options import Sampling
from minigpt.generation.warpers import (
    add_bias,
    forbid,
    forbid_repeated_ngrams,
    forbid_words,
    force_words,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    sample,
    scale_by_temperature,
)
from minigpt.nn import log_softmax, softmax

V, N_POSITIONS = 11, 8


def small_model(n_positions=N_POSITIONS, dtype=np.float64):
    config = GPTConfig(vocab_size=V, n_positions=n_positions, n_embd=15, n_layer=2, n_head=3)
    model = GPT(config, seed=3, dtype=dtype, threads=1)
    rng = np.random.default_rng(4)
    for array in model.params.values():
        array += 0.3 * rng.standard_normal(array.shape)     # so that the next token depends on all before it
    return model


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def long_model():
    return small_model(40)


# Plain twins


def plain_warped(logits, temperature, top_k, top_p):
    """Probabilities of one row, by loops over a sorted list"""
    z = np.asarray(logits, np.float64) / temperature
    order = sorted(range(len(z)), key=lambda v: (-z[v], v))
    if top_k:
        order = order[:top_k]
    weights = {v: np.exp(z[v] - z.max()) for v in order}
    if top_p is not None and top_p < 1:
        total, reached, kept = sum(weights.values()), 0.0, []
        for v in order:
            kept.append(v)
            reached += weights[v] / total
            if reached >= top_p:
                break
        order = kept
    p = np.zeros(len(z))
    for v in order:
        p[v] = weights[v]
    return p / p.sum()


def plain_look_back(logits, text, n_new, options):
    """What the options that look back make of one row's logits, token by token"""
    penalty, n = options.get("repetition_penalty", 1.0), options.get("no_repeat_ngram_size", 0)
    z = [float(score) for score in logits]
    for v in range(len(z)):
        for word, bias in options.get("logit_bias", {}).items():
            word = word if isinstance(word, tuple) else (word,)
            if (*text, v)[-len(word) :] == word:
                z[v] += bias
        if v in text:
            z[v] = z[v] * penalty if z[v] < 0 else z[v] / penalty
    for v in range(len(z)):
        told = [*text, v]
        ends = [told[i : i + n] for i in range(len(text) - n + 1)]
        repeated = n > 0 and told[-n:] in ends
        bad = any(told[-len(word) :] == list(word) for word in options.get("bad_words_ids", ()))
        early = n_new < options.get("min_new_tokens", 0) and v in options.get("stop_ids", ())
        if repeated or bad or early:
            z[v] = -np.inf
    return np.array(z)


def plain_sample(p, rng):
    u, reached = rng.random(), 0.0
    for v, share in enumerate(p):
        reached += share
        if reached > u:
            return v
    return int(np.flatnonzero(p)[-1])


def plain_generate(model, prompt, n, *, temperature=1.0, top_k=None, top_p=None, seed=0, row=0, sliding=False):
    """One row, every step from the whole text, with no cache."""
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(row + 1)[row])
    size = model.config.n_positions
    text, window = list(prompt), list(prompt)[-size:]
    for _ in range(n):
        if sliding and len(window) > size:
            window = window[(size + 1) // 2 :]
        logits = model(np.array([window]))[0, -1]
        if temperature == 0:
            token = int(np.flatnonzero(logits == logits.max())[0])
        else:
            token = plain_sample(plain_warped(logits, temperature, top_k, top_p), rng)
        text.append(token)
        window.append(token)
    return text


# Warpers


@pytest.mark.parametrize("seed", range(20))
def test_warpers_equal_their_plain_twin(seed):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((4, 23))
    temperature, k, p = rng.uniform(0.2, 3), int(rng.integers(1, 30)), rng.uniform(0, 1)
    warped = softmax(keep_top_p(keep_top_k(scale_by_temperature(logits, temperature), k), p))
    for row, expected in zip(warped, logits, strict=True):
        np.testing.assert_allclose(row, plain_warped(expected, temperature, k, p), rtol=1e-12, atol=0)


@pytest.mark.parametrize("k", range(1, 7))
def test_top_k_keeps_exactly_k_of_equal_logits(k):
    np.testing.assert_array_equal(np.isfinite(keep_top_k(np.zeros(6), k)), np.arange(6) < k)


def test_top_k_breaks_ties_towards_low_ids():
    np.testing.assert_array_equal(keep_top_k([1, 3, 2, 2], 2), [-np.inf, 3, 2, -np.inf])


def test_top_k_beyond_the_vocabulary_keeps_all():
    np.testing.assert_array_equal(keep_top_k([1.0, 2.0], 5), [1, 2])


def test_top_p_keeps_the_token_that_crosses():
    z = np.log([0.25, 0.5, 0.125, 0.125])
    np.testing.assert_array_equal(np.isfinite(keep_top_p(z, 0.6)), [True, True, False, False])


def test_top_p_stops_at_the_set_that_reaches_p():
    logits = np.array([0.0, 0.0, -np.inf, -np.inf])       # exact halves
    np.testing.assert_array_equal(np.isfinite(keep_top_p(logits, 0.5)), [True, False, False, False])


def test_top_p_of_zero_keeps_the_most_likely():
    np.testing.assert_array_equal(np.isfinite(keep_top_p([1.0, 3.0, 3.0], 0)), [False, True, False])


def test_top_p_of_one_keeps_all():
    assert np.isfinite(keep_top_p(np.linspace(-600, 0, 50), 1)).all()


def test_top_p_just_below_one_may_keep_all():
    logits = np.random.default_rng(0).standard_normal((200, 30))
    p = 1 - 2**-53      # rounded sums of some of these rows stay below it
    assert (np.isfinite(keep_top_p(logits, p)).sum(-1) >= 28).all()


def test_top_p_takes_each_row_by_itself():
    rows = np.log([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]])
    np.testing.assert_array_equal(np.isfinite(keep_top_p(rows, 0.8)), [[True, False, False], [True, True, True]])


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


def test_repetition_is_penalised_once_and_by_sign():
    np.testing.assert_array_equal(penalize_repetition([[2, 2, -2, -2]], [[0, 2, 0]], 2), [[1, 2, -4, -2]])


def test_a_repeated_ngram_is_ruled_out():
    warped = forbid_repeated_ngrams(np.zeros((1, 5)), [[1, 2, 3, 1, 2]], 3)
    np.testing.assert_array_equal(np.isfinite(warped), [[True, True, True, False, True]])


def test_ngrams_longer_than_the_text_rule_nothing_out():
    assert np.isfinite(forbid_repeated_ngrams(np.zeros((2, 5)), [[1, 2], []], 3)).all()


def test_words_are_ruled_out_where_they_would_end():
    warped = forbid_words(np.zeros((1, 9)), [[5, 1]], [[7], [1, 2], [5, 3], [8, 5, 1, 4]])
    np.testing.assert_array_equal(np.flatnonzero(np.isinf(warped[0])), [2, 7])


def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest():
    z = np.log([0.5, 0.25, 0.125, 0.125])
    np.testing.assert_array_equal(np.isfinite(keep_min_p(z, 0.5)), [True, True, False, False])


@pytest.mark.parametrize("p", [0, 1])
def test_the_ends_of_min_p_keep_all_or_the_likeliest(p):
    assert np.isfinite(keep_min_p([1.0, 3.0, 2.0], p)).sum() == (1 if p else 3)


def test_log_softmax_is_the_logarithm_of_softmax():
    z = np.array([[-800.0, 0, 3], [1, 2, 3]])
    np.testing.assert_allclose(log_softmax(z)[:, 1:], np.log(softmax(z)[:, 1:]), rtol=1e-12)
    assert np.isfinite(log_softmax(z)).all()        # where p itself underflows


def test_warpers_leave_their_input_alone():
    logits = np.random.default_rng(0).standard_normal((2, 9))
    before, texts = logits.copy(), [[1, 2, 1], [3]]
    for warped in (
        scale_by_temperature(logits, 0.5), keep_top_k(logits, 3), keep_top_p(logits, 0.5), keep_min_p(logits, 0.5),
        penalize_repetition(logits, texts, 2), forbid_repeated_ngrams(logits, texts, 1), forbid_words(logits, texts, [[1]]),
        add_bias(logits, texts, {(1,): 2.0}), force_words(logits, texts, [[4]], 1),
        forbid(logits, [1]), softmax(logits), log_softmax(logits),
    ):
        assert warped is not logits
    np.testing.assert_array_equal(logits, before)


def test_a_denormal_temperature_gives_no_nan():
    warped = scale_by_temperature(np.float32([1, 2, 3]), 1e-320)
    np.testing.assert_array_equal(softmax(warped), [0, 0, 1])


# Drawing


def test_draws_follow_the_distribution():
    p = np.array([0.05, 0.4, 0.1, 0.2, 0.25])
    rng = np.random.default_rng(1)
    n = 20_000
    counts = np.bincount([sample(p, rng) for _ in range(n)], minlength=5)
    chi_squared = ((counts - n * p) ** 2 / (n * p)).sum()
    assert chi_squared < 18.47      # exceeded with probability 0.001 at 4 degrees of freedom


def test_impossible_tokens_are_never_drawn():
    p = np.array([0, 0.5, 0, 0.5, 0])
    rng = np.random.default_rng(2)
    assert {sample(p, rng) for _ in range(1000)} == {1, 3}


class Fixed:
    """A generator of one number"""

    def __init__(self, u):
        self.u = u

    def random(self):
        return self.u


@pytest.mark.parametrize("total", [1.0, 1 - 2**-53, 1 + 2**-52, 1.5, 2 - 2**-52, 1e-300])
@pytest.mark.parametrize(("u", "token"), [(0.0, 1), (1 - 2**-53, 2)])
def test_the_ends_of_the_unit_interval_draw_possible_tokens(u, token, total):
    assert sample([0, total / 2, total / 2, 0], Fixed(u)) == token


def test_float32_probabilities_are_added_in_float64():
    p = np.full(2**20, 2**-20, np.float32)
    p[0] = 2**10        # beside it, one 2⁻²⁰ is nothing in float32
    p[1:] = 2**-15
    tail = (2**20 - 1) * 2**-15
    assert sample(p, Fixed(1 - tail / 2 / (2**10 + tail))) == pytest.approx(2**19, rel=1e-3)      # the middle of the tail


@pytest.mark.parametrize("p", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_what_is_no_distribution_cannot_be_drawn_from(p):
    with pytest.raises(ValueError, match="probabilities: their sum is"):
        sample(p, np.random.default_rng(0))


# Generation


@pytest.mark.parametrize("length", range(1, N_POSITIONS))
def test_greedy_is_the_argmax_of_the_uncached_model(model, length):
    prompt = np.random.default_rng(length).integers(0, V, length)
    out = generate(model, prompt, N_POSITIONS - length, temperature=0)
    assert out.tolist() == plain_generate(model, prompt, N_POSITIONS - length, temperature=0)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 4}, {"temperature": 1.5, "top_p": 0.8},
                                     {"top_k": 6, "top_p": 0.5}])
def test_sampling_equals_the_plain_twin(long_model, options):
    out = generate(long_model, [1, 2, 3], 30, seed=7, **options)
    assert out.tolist() == plain_generate(long_model, [1, 2, 3], 30, seed=7, **options)


@pytest.mark.parametrize("n_positions", [1, 2, 5, 8])
@pytest.mark.parametrize("prompt_length", [1, 5, 13])
def test_a_sliding_window_equals_the_plain_twin(n_positions, prompt_length):
    model = small_model(n_positions)
    prompt = np.random.default_rng(6).integers(0, V, prompt_length)
    out = generate(model, prompt, 25, seed=1, sliding_window=True)
    assert out.tolist() == plain_generate(model, prompt, 25, seed=1, sliding=True)


@pytest.mark.parametrize("cores", ["one core", "all cores"])
def test_a_long_prompt_read_in_parts_equals_the_plain_twin(monkeypatch, long_model, cores):
    monkeypatch.setattr("minigpt.generation.generate.PREFILL", 4)
    monkeypatch.setattr("minigpt.models.network.TWO_CORES", 1000 if cores == "one core" else 0)
    prompt = np.random.default_rng(8).integers(0, V, 30)
    assert generate(long_model, prompt, 10, seed=1).tolist() == plain_generate(long_model, prompt, 10, seed=1)


def test_rows_of_different_lengths_equal_their_solo_runs(long_model):
    prompts = [[1], [2, 3, 4, 5, 6, 7, 8], [9, 10, 0]]
    rows = generate(long_model, prompts, 30, temperature=0)
    for row, prompt in zip(rows, prompts, strict=True):
        assert row.tolist() == generate(long_model, prompt, 30, temperature=0).tolist()


def test_sliding_rows_of_different_lengths_equal_their_solo_runs(model):
    prompts = [[1], [2, 3, 4, 5, 6, 7, 8], list(range(11))]
    rows = generate(model, prompts, 25, seed=2, sliding_window=True)
    for r, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
        assert row.tolist() == plain_generate(model, prompt, 25, seed=2, row=r, sliding=True)


def test_several_samples_equal_solo_rows(long_model):
    rows = generate(long_model, [1, 2, 3], 30, seed=7, num_samples=4)
    for r, row in enumerate(rows):
        assert row.tolist() == plain_generate(long_model, [1, 2, 3], 30, seed=7, row=r)


def test_several_samples_differ(long_model):
    rows = generate(long_model, [1, 2, 3], 30, seed=7, num_samples=4)
    assert len({tuple(row) for row in rows.tolist()}) == 4


def test_a_row_does_not_depend_on_how_many_run_beside_it(long_model):
    few, many = (generate(long_model, [1, 2], 20, seed=5, num_samples=n) for n in (2, 5))
    np.testing.assert_array_equal(few, many[:2])


def test_samples_of_several_prompts_stand_side_by_side(model):
    rows = generate(model, [[1, 2], [3, 4]], 2, num_samples=3, seed=0)
    assert [row[:2].tolist() for row in rows] == [[1, 2]] * 3 + [[3, 4]] * 3


def test_the_prompt_is_read_once_for_several_samples(model, monkeypatch):
    shapes = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda ids, *rest, **last: shapes.append(ids.shape) or forward(ids, *rest, **last))
    generate(model, [1, 2, 3, 4], 3, num_samples=5, seed=0)
    assert shapes == [(1, 4), (5, 1), (5, 1)]


@pytest.mark.parametrize("seed", [0, 2**70, [3, 4]])
def test_the_same_seed_gives_the_same_text(model, seed):
    first, second = (generate(model, [1], 7, seed=seed) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_other_seeds_give_other_texts(long_model):
    assert len({tuple(generate(long_model, [1], 30, seed=seed).tolist()) for seed in (0, 1, None, None)}) == 4


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


def test_what_a_window_forgot_is_still_not_repeated(model):
    text = generate(model, [1], 40, seed=0, no_repeat_ngram_size=2, sliding_window=True).tolist()
    pairs = list(pairwise(text))
    assert len(set(pairs)) == len(pairs)


def test_rows_that_look_back_equal_their_solo_runs(long_model):
    options = {"temperature": 0, "no_repeat_ngram_size": 2, "repetition_penalty": 1.5}
    prompts = [[1], [2, 3, 2, 5, 6, 7, 8], [9, 10, 0]]
    for row, prompt in zip(generate(long_model, prompts, 30, **options), prompts, strict=True):
        assert row.tolist() == generate(long_model, prompt, 30, **options).tolist()


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


def test_a_row_that_has_ended_needs_no_token(model):
    # 1, 2 and 5 may come, each once, but not 2 after 1; so the first row ends at once and has nothing left, the second goes on
    words = [[1, 2], *([v] for v in range(V) if v not in (1, 2, 5))]
    out = generate(model, [[1, 5], [1]], 4, bad_words_ids=words, no_repeat_ngram_size=1, stop_ids=(2,))
    assert [row.tolist() for row in out] == [[1, 5, 2, 2], [1, 5, 2]]


# Steering


def test_a_bias_is_added_to_a_token_and_to_the_end_of_a_sequence():
    biased = add_bias([[1, 1, 1], [1, 1, 1]], [[0], [2, 0]], {(2,): 5, (0, 1): -2, (1, 1): 9, (2, 0, 0): -np.inf})
    np.testing.assert_array_equal(biased, [[1, -1, 6], [-np.inf, -1, 6]])


def test_a_bias_multiplies_the_odds_by_its_exponential():
    z = np.random.default_rng(0).standard_normal((1, 7))
    before, after = (softmax(logits)[0, 3] for logits in (z, add_bias(z, [[]], {(3,): 2.5})))
    assert after / (1 - after) == pytest.approx(np.exp(2.5) * before / (1 - before), rel=1e-12)


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


def only_after(ids, logits):
    """The token after v is v + 1"""
    allowed = (ids[-1] + 1) % V
    return np.where(np.arange(V) == allowed, logits, -np.inf)


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


def says(ids, word):
    return any(ids[i : i + len(word)] == [*word] for i in range(len(ids)))


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
        assert all(says(new[:end], word) for word in words)


@pytest.mark.parametrize("seed", range(300))
def test_forced_words_are_kept_whatever_is_drawn(seed):
    """Draws of equal probability, with bans that leave a way out"""
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, 4, length).tolist() for length in rng.integers(1, 5, rng.integers(1, 5))]
    n, output = sum(map(len, words)) + int(rng.integers(0, 30)), []
    for step in range(n):
        banned = rng.integers(0, 4, 2) if n - step > 2 * sum(map(len, words)) else []
        z = force_words([forbid(np.zeros(5), banned)], [output], words, n - step, stop_ids=[4])[0]
        output.append(int(rng.choice(np.flatnonzero(z > -np.inf))))
        assert output[-1] not in banned
        assert output[-1] != 4 or all(says(output, word) for word in words)
    assert all(says(output, word) for word in words)


@pytest.mark.parametrize(("output", "words", "n_left", "stops", "left"), [
    ([5], [[1, 2]], 3, (), {0, 1, 2, 3, 4, 5}),             # nothing has begun, there is room
    ([5], [[1, 2]], 3, (0, 4), {1, 2, 3, 5}),               # no stop token before the word
    ([5], [[1, 2]], 2, (), {1}),                            # room for nothing else
    ([5, 1], [[1, 2]], 9, (), {2}),                         # what has begun is finished
    ([1, 2], [[1, 2]], 1, (0,), {0, 1, 2, 3, 4, 5}),        # said: all is free
    ([5], [[1, 2], [3]], 3, (), {1}),                       # the first one first
    ([5, 3], [[1, 2], [3]], 9, (0,), {1, 2, 3, 4, 5}),
    ([5, 3], [[1, 2], [3, 4]], 9, (), {4}),
    ([1, 2], [[2, 5], [1, 2, 4]], 9, (), {4}),              # of two that have begun the one further on
    ([1], [[1, 1, 2]], 9, (), {1}),
    ([], [[1]], 1, (), {1}),
])
def test_what_forced_words_leave_to_draw_from(output, words, n_left, stops, left):
    z = np.random.default_rng(0).standard_normal(6)
    forced = force_words([z], [output], words, n_left, stops)[0]
    assert {*np.flatnonzero(forced > -np.inf).tolist()} == left
    np.testing.assert_array_equal(forced[[*left]], z[[*left]])


def test_a_word_that_cannot_go_on_is_given_up_and_said_later(long_model):
    # 1 may not come after 5 0, so the word 0 1 has to wait for another 0
    options = {"force_words_ids": [[0, 1]], "bad_words_ids": [[5, 0, 1]], "logit_bias": {5: 3.0, 0: 3.0}}
    rows = generate(long_model, [1], 30, num_samples=40, seed=0, **options)[:, 1:].tolist()
    assert any(says(row, [5, 0]) and row.index(5) < row.index(1) for row in rows)
    assert all(says(row, [0, 1]) and not says(row, [5, 0, 1]) for row in rows)


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


def test_logprobs_of_steered_tokens_are_the_models_own(long_model):
    options = {"logit_bias": {3: 4.0}, "force_words_ids": [[1, 2, 3]], "logits_processor": lambda ids, logits: 2 * logits}
    ids, logprobs = generate(long_model, [1, 2], 12, seed=1, logprobs=True, **options)
    np.testing.assert_allclose(logprobs, long_model.score(ids).logprobs[1:], rtol=1e-9)


@pytest.mark.parametrize("options", [
    {"logit_bias": {3: 2.0, (3, 4): 5.0}}, {"force_words_ids": [[1, 2, 3], [7]]}, {"bad_words_ids": [[3], [1, 2]]},
    {"logits_processor": only_after},
])
def test_steered_rows_of_different_lengths_equal_their_solo_runs(long_model, options):
    prompts = [[1], [2, 3, 4, 5, 6, 7, 8], [9, 10, 0]]
    for row, prompt in zip(generate(long_model, prompts, 30, temperature=0, **options), prompts, strict=True):
        assert row.tolist() == generate(long_model, prompt, 30, temperature=0, **options).tolist()


# Log-probabilities


def test_logprobs_are_those_of_the_model_before_any_warper(long_model):
    ids, logprobs = generate(long_model, [1, 2, 3], 20, seed=1, temperature=0.5, top_k=4, logprobs=True)
    expected = log_softmax(long_model(ids[None])[0])[np.arange(2, 22), ids[3:]]
    np.testing.assert_allclose(logprobs, expected, rtol=1e-9)        # float64, products of other shapes


def test_logprobs_do_not_change_the_tokens(model):
    np.testing.assert_array_equal(generate(model, [1], 5, seed=1, logprobs=True)[0], generate(model, [1], 5, seed=1))


def test_logprobs_of_a_row_that_has_ended_are_zero(long_model):
    free = generate(long_model, [[1], [2]], 30, seed=1)
    stop = int(free[0][3])
    rows, logprobs = generate(long_model, [[1], [2]], 30, seed=1, stop_ids=(stop,), logprobs=True)
    for row, values in zip(rows, logprobs, strict=True):
        end = row[1:].tolist().index(stop) + 1 if stop in row[1:] else len(values)
        assert (values[:end] < 0).all()
        assert not values[end:].any()


@pytest.mark.parametrize(("ids", "options", "shape"), [
    ([1, 2], {}, (3,)), (np.array([[1, 2]]), {}, (1, 3)), ([1, 2], {"num_samples": 2}, (2, 3)),
    ([1, 2], {"max_new_tokens": 0}, (0,)),
])
def test_logprobs_have_the_form_of_the_new_tokens(model, ids, options, shape):
    _, logprobs = generate(model, ids, **{"max_new_tokens": 3, **options}, logprobs=True)
    assert (logprobs.shape, logprobs.dtype) == (shape, np.float64)


def test_stream_gives_pairs_with_logprobs(model):
    tokens, logprobs = zip(*stream(model, [1, 2], 5, seed=4, logprobs=True), strict=True)
    ids, expected = generate(model, [1, 2], 5, seed=4, logprobs=True)
    assert [1, 2, *tokens] == ids.tolist()
    assert list(logprobs) == expected.tolist()


# What comes out


@pytest.mark.parametrize(("ids", "options", "shape"), [
    ([1, 2], {}, (5,)),
    (np.array([1, 2]), {}, (5,)),
    (np.array([[1, 2]]), {}, (1, 5)),
    (np.array([[1, 2], [3, 4]], np.uint16), {}, (2, 5)),
    ([1, 2], {"num_samples": 3}, (3, 5)),
    (np.array([[1, 2], [3, 4]]), {"num_samples": 3}, (6, 5)),
])
def test_arrays_in_give_arrays_out(model, ids, options, shape):
    out = generate(model, ids, 3, **options)
    assert (out.shape, out.dtype) == (shape, np.int64)


@pytest.mark.parametrize("prompts", [[[1, 2], [3]], [[1, 2], [3, 4]], [np.array([1]), (2, 3)], [[1]]])
def test_a_list_of_rows_gives_a_list_of_arrays(model, prompts):
    out = generate(model, prompts, 3)
    assert isinstance(out, list)
    assert [row.shape for row in out] == [(len(prompt) + 3,) for prompt in prompts]


def test_stream_gives_the_new_tokens_of_generate(model):
    tokens = list(stream(model, [1, 2], 6, seed=4))
    assert all(type(token) is int for token in tokens)
    assert [1, 2, *tokens] == generate(model, [1, 2], 6, seed=4).tolist()


def test_stream_gives_one_array_a_step_for_several_rows(model):
    steps = list(stream(model, [[1], [2, 3]], 4, seed=4, num_samples=2))
    rows = generate(model, [[1], [2, 3]], 4, seed=4, num_samples=2)
    np.testing.assert_array_equal(np.stack(steps, axis=1), [row[-4:] for row in rows])


def test_arrays_of_stream_belong_to_the_caller(model):
    kept, changed = (stream(model, [[1], [2]], 5, temperature=0) for _ in range(2))
    for step, other in zip(kept, changed, strict=True):
        np.testing.assert_array_equal(step, other)
        other[:] = 0


def test_the_methods_of_the_model_do_the_same(model):
    np.testing.assert_array_equal(model.generate([1], 5, seed=2), generate(model, [1], 5, seed=2))
    assert list(model.stream([1], 5, seed=2)) == list(stream(model, [1], 5, seed=2))


@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]]])
def test_the_list_of_the_caller_is_not_changed(model, ids):
    before = [list(item) if isinstance(item, list) else item for item in ids]
    generate(model, ids, 4, sliding_window=True)
    assert ids == before


def test_no_new_tokens_give_the_prompt(model):
    np.testing.assert_array_equal(generate(model, [1, 2], 0), [1, 2])
    assert list(stream(model, [1, 2], 0)) == []


def test_the_whole_context_can_be_filled(model):
    assert len(generate(model, [1, 2], N_POSITIONS - 2)) == N_POSITIONS


# Ends


def test_a_stop_token_ends_the_text_and_stays(long_model):
    free = generate(long_model, [1], 30, temperature=0).tolist()
    stop = free[5]
    out = generate(long_model, [1], 30, temperature=0, stop_ids=(stop,)).tolist()
    assert out == free[: free.index(stop, 1) + 1]


def test_a_row_that_has_ended_repeats_its_stop_token(long_model):
    free = generate(long_model, [[1], [2]], 30, seed=1)
    stop = int(free[0][3])
    out = generate(long_model, [[1], [2]], 30, seed=1, stop_ids=(stop,))
    for row, whole in zip(out, free, strict=True):
        new, expected = row[1:].tolist(), whole[1:].tolist()
        end = expected.index(stop) if stop in expected else len(expected)
        assert new[: end + 1] == expected[: len(new)][: end + 1]
        assert set(new[end:]) <= {stop}


def test_an_empty_prompt_starts_from_the_start_token(model):
    out = generate(model, [], 5, temperature=0, start_id=3)
    assert out.tolist() == generate(model, [3], 5, temperature=0).tolist()


def test_an_empty_row_starts_from_the_start_token(model):
    assert generate(model, [[], [1, 2]], 2, start_id=3)[0][0] == 3


def test_an_interrupted_stream_keeps_what_it_gave(model, monkeypatch):
    forward, calls = model.forward, []

    def interrupted(*arguments, **last):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return forward(*arguments, **last)

    monkeypatch.setattr(model, "forward", interrupted)
    kept = []
    with pytest.raises(KeyboardInterrupt):
        for token in stream(model, [1], 7, temperature=0):
            kept.append(token)
    monkeypatch.undo()
    assert kept == generate(model, [1], 3, temperature=0)[1:].tolist()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_raise(bad):
    model = small_model()
    model.params["h.1.mlp.c_fc.weight"][2, 3] = bad
    with pytest.raises(FloatingPointError, match="expected finite numbers"):
        generate(model, [1, 2], 3)


def test_settings_of_the_caller_hold_between_tokens(model):
    steps = stream(model, [1], 3)
    next(steps)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        np.float64(1e308) * np.float64(10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.float64(1e308) * np.float64(10)
    assert len(caught) == 1


# Bad input


BAD = [
    ([], {}, ValueError, "ids: empty, expected at least one token"),
    (np.zeros((0,), int), {}, ValueError, "ids: empty"),
    ([[1], []], {}, ValueError, r"ids\[1\]: empty"),
    (np.zeros((0, 3), int), {}, ValueError, r"ids: shape \(0, 3\)"),
    (np.zeros((1, 2, 3), int), {}, ValueError, r"ids: shape \(1, 2, 3\)"),
    (5, {}, ValueError, r"ids: shape \(\)"),
    (None, {}, ValueError, r"ids: shape \(\)"),
    ("to be", {}, TypeError, "ids: str, expected token ids; encode the text"),
    ([1, -1], {}, ValueError, r"ids\[1\]: -1, expected an id from 0 to 10"),
    ([11], {}, ValueError, r"ids\[0\]: 11, expected an id from 0 to 10"),
    ([[1], [2, 10**30]], {}, ValueError, r"ids\[1\]\[1\]: 1000000000000000000000000000000, expected an id"),
    (np.array([3, 12]), {}, ValueError, r"ids\[1\]: 12"),
    ([1.0], {}, TypeError, r"ids\[0\]: 1.0 of type float, expected an integer"),
    (np.array([1.0]), {}, TypeError, "ids: float64"),
    ([True], {}, TypeError, r"ids\[0\]: True of type bool"),
    (np.array([True]), {}, TypeError, "ids: bool"),
    ([["a"]], {}, TypeError, r"ids\[0\]\[0\]: 'a' of type str"),
    ([[1], 2], {}, TypeError, r"ids\[1\]: int64 of shape \(\), expected a row"),
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
    ([1], {"temprature": 1}, TypeError, "temprature"),
    ([1], {"min_p": -0.1}, ValueError, "min_p: -0.1, expected a probability from 0 to 1"),
    ([1], {"min_p": float("nan")}, ValueError, "min_p: nan"),
    ([1], {"repetition_penalty": 0}, ValueError, "repetition_penalty: 0, expected a finite number above 0"),
    ([1], {"repetition_penalty": float("inf")}, ValueError, "repetition_penalty: inf"),
    ([1], {"no_repeat_ngram_size": -1}, ValueError, "no_repeat_ngram_size: -1, expected a whole number from 0"),
    ([1], {"no_repeat_ngram_size": 2.0}, TypeError, "no_repeat_ngram_size: 2.0 of type float"),
    ([1], {"min_new_tokens": -1}, ValueError, "min_new_tokens: -1, expected a whole number from 0"),
    ([1], {"bad_words_ids": 3}, TypeError, "bad_words_ids: 3, expected a sequence of lists of ids"),
    ([1], {"bad_words_ids": [3]}, TypeError, r"bad_words_ids\[0\]: int64 of shape \(\), expected a row"),
    ([1], {"bad_words_ids": ["bad"]}, TypeError, r"bad_words_ids\[0\]: <U3 of shape"),
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
