"""What could have been drawn: each candidate's probability before and after every option, against plain loops."""

import numpy as np
import pytest

from minigpt.generation.candidates import candidates
from minigpt.generation.generate import generate
from minigpt.nn import softmax
from minigpt.tokenization import CharTokenizer
from plain_generation import V, only_after, plain_look_back, plain_warped, small_model


def test_each_stage_is_the_softmax_of_the_plain_warpers(long_model):
    options = {"repetition_penalty": 1.4, "logit_bias": {4: 2.0, (1, 5): -3.0}}
    text = [1, 2, 3]
    steps = candidates(long_model, text, 20, n_candidates=V, temperature=0.7, top_k=6, top_p=0.8, seed=7, **options)
    for n_new, step in enumerate(steps):
        z = long_model(np.array([text]))[0, -1]
        biased = plain_look_back(z, text, n_new, {"logit_bias": options["logit_bias"]})
        bent = plain_look_back(z, text, n_new, options)
        expected = {
            "model": softmax(z), "logit_bias": softmax(biased), "repetition_penalty": softmax(bent),
            "temperature": plain_warped(bent, 0.7, None, None), "top_k": plain_warped(bent, 0.7, 6, None),
            "top_p": plain_warped(bent, 0.7, 6, 0.8),
        }
        assert list(step.probabilities) == list(expected)
        for name, p in expected.items():
            np.testing.assert_allclose(step.probabilities[name], p[step.ids], rtol=1e-9, atol=1e-15, err_msg=name)
        text.append(step.token)
    assert len(text) == 23


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"temperature": 1.5, "top_p": 0.9}, {"top_k": 4, "min_p": 0.1},
                                     {"logits_processor": only_after}, {"no_repeat_ngram_size": 2, "vocab_size": 9}])
def test_the_tokens_are_those_of_generate_with_the_same_seed(long_model, options):
    steps = list(candidates(long_model, [1, 2], 12, n_candidates=3, seed=5, **options))
    assert [1, 2, *(step.token for step in steps)] == generate(long_model, [1, 2], 12, seed=5, **options).tolist()
    drawable = list(steps[0].probabilities)[-1]
    for step in steps:
        assert step.ids.base is None, "a view would keep an array as long as the vocabulary, for every token"
        i = step.ids.tolist().index(step.token)
        assert step.probabilities[drawable][i] > 0
        assert len(step.ids) in (3, 4)
        assert len({*step.ids.tolist()}) == len(step.ids)


@pytest.mark.parametrize(("options", "names"), [
    ({}, ["model"]), ({"temperature": 1}, ["model"]), ({"temperature": 0}, ["model", "temperature"]),
    ({"temperature": 0, "top_k": 3}, ["model", "temperature"]), ({"top_k": 0}, ["model"]),
    ({"vocab_size": 9, "logit_bias": {1: 1.0}, "repetition_penalty": 2, "no_repeat_ngram_size": 2, "bad_words_ids": [[1]],
      "min_new_tokens": 1, "logits_processor": only_after, "force_words_ids": [[3]], "temperature": 2, "top_k": 3, "top_p": 0.5,
      "min_p": 0.1},
     ["model", "vocab_size", "logit_bias", "repetition_penalty", "no_repeat_ngram_size", "bad_words_ids", "min_new_tokens",
      "logits_processor", "force_words_ids", "temperature", "top_k", "top_p", "min_p"]),
])
def test_the_stages_are_the_options_that_were_asked_for_in_their_order(long_model, options, names):
    step = next(candidates(long_model, [2], 3, **options))
    assert list(step.probabilities) == names
    best = step.probabilities["temperature"] if options.get("temperature") == 0 else None
    assert best is None or best.tolist() == (step.ids == step.token).tolist()


def test_an_option_that_no_longer_applies_is_no_longer_a_stage(long_model):
    steps = candidates(long_model, [2], 3, seed=0, stop_ids=(9,), min_new_tokens=2)
    assert ["min_new_tokens" in step.probabilities for step in steps] == [True, True, False]


def test_candidates_are_the_likeliest_before_or_after_any_option(long_model):
    p = softmax(long_model(np.array([[1, 2]]))[0, -1])
    order = np.argsort(-p)
    assert next(candidates(long_model, [1, 2], 1, n_candidates=4, temperature=0)).ids.tolist() == order[:4].tolist()
    raised = int(order[-1])             # the least likely; a bias makes it the likeliest
    step = next(candidates(long_model, [1, 2], 1, n_candidates=2, logit_bias={raised: 50}))
    assert (step.token, step.ids.tolist()) == (raised, [raised, order[0]])
    unlikely = next(step for step in candidates(long_model, [1, 2], 38, n_candidates=1, seed=0, temperature=3)
                    if step.probabilities["temperature"].argmax() != step.ids.tolist().index(step.token))
    assert unlikely.ids[1:].tolist() == [unlikely.token]            # the drawn one, behind those that are likelier


def test_a_step_prints_a_table_with_the_tokens_as_words():
    model = small_model()
    model.tokenizer = CharTokenizer.train("abc defghij")
    assert model.tokenizer.vocab_size == V
    prompt = model.tokenizer.encode("ab")
    step, by_text = (next(model.candidates(x, 3, n_candidates=3, top_k=2, seed=1)) for x in (prompt, "ab"))
    assert repr(by_text) == repr(step)
    head, *rows = repr(step).splitlines()
    assert head.split() == ["model", "top_k"]
    assert len(rows) == len(step.ids)
    for id, row in zip(step.ids.tolist(), rows, strict=True):
        assert row[0] == model.tokenizer.decode([id]).replace(" ", "␣")
        assert row.endswith("<- drawn") == (id == step.token)
    assert f"{step.probabilities['model'][0]:.4f}" in rows[0]
    model.tokenizer = None
    assert repr(next(model.candidates(prompt, 3, seed=1))).splitlines()[1].startswith("#")


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"num_samples": 2}, ValueError, "candidates: num_samples or logprobs, expected neither"),
    ({"logprobs": True}, ValueError, "candidates: num_samples or logprobs, expected neither"),
    ({"n_candidates": 0}, ValueError, "n_candidates: 0, expected a whole number from 1"),
    ({"k": 3}, TypeError, r"k: no option of candidates\(\), expected one of max_new_tokens, n_candidates, temperature"),
    ({"ncandidates": 3}, TypeError, r"ncandidates: no option of candidates\(\), expected n_candidates"),
    ({"temperature": -1}, ValueError, "temperature: -1"),
])
def test_bad_options_are_refused_by_the_call(model, monkeypatch, options, error, message):
    monkeypatch.setattr(model, "forward", None)
    with pytest.raises(error, match=message):
        candidates(model, [1], **{"max_new_tokens": 3, **options})


def test_who_does_not_ask_for_candidates_pays_for_none(model, monkeypatch):
    monkeypatch.setattr("minigpt.generation.candidates.softmax", None)
    monkeypatch.setattr("minigpt.generation.candidates.Candidates", None)
    assert len(generate(model, [1], 3, top_k=2, seed=1)) == 4


@pytest.mark.parametrize("prompt", [[[[1, 2], [3, 4]]], [["to", "be"]], [np.array([[1, 2], [3, 4]])]])
def test_rows_within_a_row_are_refused(long_model, prompt):
    with pytest.raises((ValueError, TypeError), match="rows within a row"):
        list(long_model.candidates(prompt, 1))
