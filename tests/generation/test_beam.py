"""Beam search against a plain twin, against all targets there are, and against greedy decoding."""

import itertools

import numpy as np
import pytest

from minigpt.config import TransformerConfig
from minigpt.generation.beam import beam_search
from minigpt.models.transformer import Transformer
from minigpt.nn import log_softmax

PAD, BOS, EOS = 0, 1, 2
SOURCE = np.array([[3, 4, 3], [4, 0, 0], [4, 4, 0]])


def make_model(seed, V=5, dtype=np.float64, threads=1):
    """Weights large enough that the distributions are far from flat; eos a little likelier than it would be"""
    config = TransformerConfig(vocab_size=V, n_embd=8, n_layer=2, n_head=2, dropout=0.0)
    model = Transformer(config, seed=seed, dtype=dtype, threads=threads)
    model.params["wte.weight"][...] *= 1.5
    return model


def log_p(model, source, prefix):
    """log P of every next token after a prefix, from an uncached pass: (V,)"""
    return log_softmax(model(source[None], np.array([[BOS, *prefix]]))[0, -1])


def lp(n, alpha):
    return (5 + n) ** alpha / (5 + 1) ** alpha


def plain_beam(model, source, K, alpha, steps):
    """[(score, tokens)], best first: the docstring's steps with lists, uncached, and never ended early"""
    beam = [(0.0, [])]
    for _ in range(steps):
        longer = []
        for logp, tokens in beam:
            if tokens[-1:] == [EOS]:
                longer.append((logp, tokens))
            else:
                longer += [(logp + p, [*tokens, v]) for v, p in enumerate(log_p(model, source, tokens))]
        beam = sorted(longer, key=lambda one: -one[0] / lp(len(one[1]), alpha))[:K]
    return [(logp / lp(len(tokens), alpha), tokens) for logp, tokens in beam]


def whole(row):
    """A row of tokens up to its end"""
    row = row.tolist()
    return row[: row.index(EOS) + 1] if EOS in row else row


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("K", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(4))
def test_the_best_hypothesis_is_the_plain_searchs(seed, K, alpha):
    model = make_model(seed)
    tokens, scores = beam_search(model, SOURCE, beams=K, length_penalty=alpha, max_new_tokens=5)
    for b, source in enumerate(SOURCE):
        score, expected = plain_beam(model, source, K, alpha, 5)[0]
        assert whole(tokens[b, 0]) == expected
        assert scores[b, 0] == pytest.approx(score, rel=1e-10)


@pytest.mark.parametrize("seed", range(8))
def test_a_search_does_not_end_while_a_longer_target_may_overtake(seed):
    """A strong penalty of the length lets targets of 12 tokens win over those that ended at the first"""
    model = make_model(seed)
    tokens, _ = beam_search(model, SOURCE[:1], beams=3, length_penalty=3.0, max_new_tokens=12)
    assert whole(tokens[0, 0]) == plain_beam(model, SOURCE[0], 3, 3.0, 12)[0][1]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_as_wide_as_there_are_targets_is_exhaustive(seed, alpha):
    """Of 5 tokens one is eos: 1 + 4 + 16 targets that end with it, and 64 of three tokens that do not"""
    model, steps = make_model(seed), 3
    source = SOURCE[0]
    targets = [(*body, EOS) for n in range(steps) for body in itertools.product([0, 1, 3, 4], repeat=n)]
    targets += itertools.product([0, 1, 3, 4], repeat=steps)
    assert len(targets) == 85
    scored = {}
    for target in targets:
        logp = sum(log_p(model, source, target[:t])[token] for t, token in enumerate(target))
        scored[target] = logp / lp(len(target), alpha)
    best = max(scored, key=scored.get)
    tokens, scores = beam_search(model, source[None], beams=85, length_penalty=alpha, max_new_tokens=steps)
    assert tuple(whole(tokens[0, 0])) == best
    assert scores[0, 0] == pytest.approx(scored[best], rel=1e-10)


def test_the_exhaustive_answer_is_not_always_the_greedy_one():
    """Else the tests above would show little"""
    models = [make_model(seed) for seed in range(4)]
    greedy, wide = ([m.translate(SOURCE, beams=K, max_new_tokens=3) for m in models] for K in (1, 85))
    assert greedy != wide


@pytest.mark.parametrize("seed", range(3))
def test_greedy_is_a_beam_of_one(seed):
    model = make_model(seed, V=9)
    for b, row in enumerate(model.translate(SOURCE, max_new_tokens=6)):
        expected = []
        while len(expected) < 6 and (token := int(np.argmax(log_p(model, SOURCE[b], expected)))) != EOS:
            expected.append(token)
        assert row == expected


def test_a_beam_of_one_knows_no_length_penalty():
    model = make_model(5)
    rows = [model.translate(SOURCE, length_penalty=alpha, max_new_tokens=6) for alpha in (0.0, 3.0)]
    assert rows[0] == rows[1]


def test_a_larger_length_penalty_makes_longer_targets():
    lengths = [sum(len(row) for seed in range(6) for row in make_model(seed).translate(
        SOURCE, beams=8, length_penalty=alpha, max_new_tokens=8)) for alpha in (0.0, 2.0)]
    assert lengths[0] < lengths[1]


def test_hypotheses_come_best_first_and_differ():
    tokens, scores = beam_search(make_model(6), SOURCE, beams=6, max_new_tokens=5)
    assert (np.diff(scores, axis=1) <= 0).all()
    for row in tokens:
        assert len({tuple(whole(hypothesis)) for hypothesis in row}) == 6


def test_hypotheses_that_there_are_not_score_minus_infinity():
    """One token out of 5: a beam of 7 has two places too many"""
    _, scores = beam_search(make_model(7), SOURCE, beams=7, max_new_tokens=1)
    np.testing.assert_array_equal(np.isneginf(scores), np.tile(np.arange(7) >= 5, (3, 1)))


def test_behind_the_end_there_is_padding_alone():
    tokens, _ = beam_search(make_model(8), SOURCE, beams=4, max_new_tokens=8)
    ended = np.cumsum(tokens == EOS, axis=2) - (tokens == EOS) > 0
    assert ended.any()
    assert (tokens[ended] == PAD).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_sources_of_a_batch_do_not_mix(threads):
    model = make_model(9, threads=threads)
    together = model.translate(SOURCE, beams=3, max_new_tokens=6)
    assert together == [model.translate(source[source != PAD][None], beams=3, max_new_tokens=6)[0] for source in SOURCE]


def test_by_default_a_target_has_at_most_50_tokens_more_than_the_source():
    model = make_model(10)
    model.params["wte.weight"][EOS] = 0
    model.params["decoder.h.1.ln_2.bias"][...] = 5 * model.params["wte.weight"][3]      # 3 for ever
    tokens, _ = beam_search(model, SOURCE, beams=2)
    assert tokens.shape == (3, 2, 53)


def test_a_translation_leaves_the_source_alone():
    before = SOURCE.copy()
    make_model(11).translate(SOURCE, beams=2, max_new_tokens=4)
    np.testing.assert_array_equal(SOURCE, before)


@pytest.mark.parametrize(("options", "message"), [
    ({"beams": 0}, "beams: 0, expected a whole number from 1"),
    ({"beams": 2.0}, "beams: 2.0 of type float, expected a whole number"),
    ({"max_new_tokens": 0}, "max_new_tokens: 0, expected a whole number from 1"),
    ({"length_penalty": -1}, "length_penalty: -1, expected a finite number from 0"),
    ({"length_penalty": float("nan")}, "length_penalty: nan, expected a finite number from 0"),
])
def test_bad_options_are_refused(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make_model(0).translate(SOURCE, **options)


def test_bad_sources_are_refused():
    with pytest.raises(ValueError, match="source: values from 3 to 9, expected 0 to 4"):
        make_model(0).translate([[3, 9]])
