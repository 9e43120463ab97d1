"""The loop over tokens against a plain one, and the forms of what it returns."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from minigpt.generation.generate import generate, stream
from minigpt.nn import log_softmax
from plain_generation import N_POSITIONS, V, only_after, plain_generate, small_model


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
def test_a_long_prompt_read_in_chunks_equals_the_plain_twin(monkeypatch, long_model, cores):
    monkeypatch.setattr("minigpt.generation.context.MAX_CHUNK_TOKENS", 4)
    monkeypatch.setattr("minigpt.models.network.MULTITHREADED_WIDTH", 1000 if cores == "one core" else 0)
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


def test_what_a_window_forgot_is_still_not_repeated(model):
    text = generate(model, [1], 40, seed=0, no_repeat_ngram_size=2, sliding_window=True).tolist()
    pairs = list(pairwise(text))
    assert len(set(pairs)) == len(pairs)


def test_rows_that_look_back_equal_their_solo_runs(long_model):
    options = {"temperature": 0, "no_repeat_ngram_size": 2, "repetition_penalty": 1.5}
    prompts = [[1], [2, 3, 2, 5, 6, 7, 8], [9, 10, 0]]
    for row, prompt in zip(generate(long_model, prompts, 30, **options), prompts, strict=True):
        assert row.tolist() == generate(long_model, prompt, 30, **options).tolist()


def test_a_row_that_has_ended_needs_no_token(model):
    # 1, 2 and 5 may come, each once, but not 2 after 1; so the first row ends at once and has nothing left, the second goes on
    words = [[1, 2], *([v] for v in range(V) if v not in (1, 2, 5))]
    out = generate(model, [[1, 5], [1]], 4, bad_words_ids=words, no_repeat_ngram_size=1, stop_ids=(2,))
    assert [row.tolist() for row in out] == [[1, 5, 2, 2], [1, 5, 2]]


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
    received, changed = (stream(model, [[1], [2]], 5, temperature=0) for _ in range(2))
    for step, other in zip(received, changed, strict=True):
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
    received = []
    with pytest.raises(KeyboardInterrupt):
        for token in stream(model, [1], 7, temperature=0):
            received.append(token)
    monkeypatch.undo()
    assert received == generate(model, [1], 3, temperature=0)[1:].tolist()


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
