"""The three objectives: what their batches ask, what they cost by hand, who may see what, and that each can be learned."""

import json
import math

import numpy as np
import pytest

from minigpt import GPT, ConfigError, GPTConfig
from minigpt.models.classifier import Classifier
from minigpt.nn import log_softmax, softmax
from minigpt.nn.block import block_forward
from minigpt.nn.cross_entropy import IGNORED
from minigpt.study import checks, costs
from minigpt.study.gradcheck import check_model
from minigpt.study.report import with_targets
from minigpt.tokenization import CharTokenizer
from minigpt.training import checkpoint
from minigpt.training.batches import Batches
from minigpt.training.checkpoint import Checkpoint, CheckpointError
from minigpt.training.corpora import Corpus
from minigpt.training.objectives import (
    CLS,
    MASK,
    NEXT,
    OTHER,
    SEP,
    SPECIAL,
    MaskedBatches,
    MaskedTrainer,
    NextSentenceBatches,
    NextSentenceTrainer,
    compare,
    follows,
    guesses,
    masked,
    paired,
)
from minigpt.training.recipe import Recipe
from minigpt.training.trainer import Trainer

V = 6                                           # ordinary tokens
SIZES = dict(vocab_size=V + len(SPECIAL), n_positions=9, n_embd=6, n_layer=2, n_head=2)


def make(causal=False, seed=0, dtype=np.float64, **changes):
    """A model whose weights are large enough for every path to count"""
    model = GPT(GPTConfig(**{**SIZES, "causal": causal, **changes}), seed=None, dtype=dtype, threads=2)
    rng = np.random.default_rng(seed)
    for array in model.params.values():
        array[...] = 0.5 * rng.standard_normal(array.shape)
    return model


# Batches


@pytest.fixture(scope="module")
def many():
    """ids, inputs, targets (400, 40) of the masked objective, so many that shares can be told; 40 · 15 % = 6 a row"""
    ids = np.random.default_rng(1).integers(V, size=(400, 40))
    return ids, *masked(ids, V, np.random.default_rng(0))


def test_fifteen_percent_of_each_row_are_asked_for(many):
    _, _, targets = many
    assert set((targets != IGNORED).sum(axis=1).tolist()) == {6}


@pytest.mark.parametrize("T, count", [(1, 1), (3, 1), (10, 2), (33, 5)])
def test_a_row_has_at_least_one_gap(T, count):
    _, targets = masked(np.zeros((4, T), int), V, np.random.default_rng(0))
    assert ((targets != IGNORED).sum(axis=1) == count).all()


def test_ids_without_a_sign_as_a_tokenizer_gives_them_are_asked_for_as_well():
    ids = np.random.default_rng(1).integers(V, size=(4, 20))
    for whole, unsigned in zip(masked(ids, V, np.random.default_rng(0)),
                               masked(ids.astype(np.uint16), V, np.random.default_rng(0)), strict=True):
        np.testing.assert_array_equal(whole, unsigned)


def test_every_position_is_asked_for_equally_often(many):
    _, _, targets = many
    often = (targets != IGNORED).sum(axis=0)
    # binomial: 400 rows, p = 0.15: 60 ± 7.1; 4 standard deviations for the furthest of 40
    assert abs(often - 60).max() < 4 * math.sqrt(400 * 0.15 * 0.85)


def test_of_the_gaps_80_percent_are_masked_10_random_10_kept(many):
    ids, inputs, targets = many
    asked = targets != IGNORED
    n = asked.sum()
    # a random token is the right one in 1 of V cases, and then looks kept
    for share, p in (((inputs == V + MASK)[asked].mean(), 0.8),
                     (((inputs != ids) & (inputs < V))[asked].mean(), 0.1 * (V - 1) / V),
                     ((inputs == ids)[asked].mean(), 0.1 + 0.1 / V)):
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)          # binomial, 2400 gaps


def test_random_tokens_are_ordinary_and_all_of_them(many):
    ids, inputs, targets = many
    changed = inputs[(inputs != ids) & (inputs != V + MASK)]
    assert set(changed.tolist()) == {*range(V)}


def test_targets_are_the_hidden_tokens_and_the_rest_is_untouched(many):
    ids, inputs, targets = many
    asked = targets != IGNORED
    np.testing.assert_array_equal(targets[asked], ids[asked])
    np.testing.assert_array_equal(inputs[~asked], ids[~asked])


def test_masking_leaves_the_callers_ids_alone():
    ids = np.random.default_rng(0).integers(V, size=(3, 20))
    before = ids.copy()
    masked(ids, V, np.random.default_rng(0))
    np.testing.assert_array_equal(ids, before)


def test_gaps_are_in_the_rows_that_the_causal_objective_reads():
    ids = np.random.default_rng(0).integers(V, size=300)
    gaps, plain = MaskedBatches(ids, 4, 10, V, seed=3), Batches(ids, 4, 10, seed=3)
    inputs, targets = gaps.next()
    np.testing.assert_array_equal(np.where(targets == IGNORED, inputs, targets), plain.next()[0])


BATCHES = {
    "masked": lambda seed: MaskedBatches(np.arange(300) % V, 4, 11, V, seed),
    "masked windows": lambda seed: MaskedBatches(np.arange(300) % V, 4, 11, V, seed, "windows"),
    "next sentence": lambda seed: NextSentenceBatches(np.arange(300) % V, 4, 11, V, seed),
}
each_kind = pytest.mark.parametrize("kind", BATCHES.values(), ids=BATCHES.keys())


@each_kind
def test_batches_are_those_of_their_seed_and_position(kind):
    one, two = kind(7), kind(7)
    first = [one.next() for _ in range(5)]
    two.position = 3
    np.testing.assert_array_equal(two.next(), first[3])
    assert two.position == 4
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(kind(8).next(), first[0])


def test_every_batch_has_gaps_of_its_own():
    batches = MaskedBatches(np.zeros(300, int), 4, 40, V)
    (_, one), (_, two) = batches.next(), batches.next()
    assert not np.array_equal(one, two)


@each_kind
def test_batches_belong_to_the_caller(kind):
    batches = kind(0)
    inputs, targets = batches.next()
    before = inputs.copy(), targets.copy()
    inputs[...], targets[...] = 0, 0
    batches.position = 0
    np.testing.assert_array_equal(batches.next(), before)


N = 5000
EVERY = np.arange(N)                            # each token tells where it stands


def test_a_pair_is_cls_first_sep_second_sep():
    np.testing.assert_array_equal(paired(np.array([[1, 2]]), np.array([[3, 4]]), V), [[V + CLS, 1, 2, V + SEP, 3, 4, V + SEP]])


def test_a_follower_follows_and_a_stranger_does_not():
    inputs, targets = NextSentenceBatches(EVERY, 400, 13, N).next()
    first, second = inputs[:, 1:6], inputs[:, 7:12]
    assert (np.diff(first) == 1).all() and (np.diff(second) == 1).all()
    np.testing.assert_array_equal(targets[:, 0] == N + NEXT, second[:, 0] == first[:, -1] + 1)
    assert set(targets[:, 0].tolist()) == {N + NEXT, N + OTHER}
    assert (targets[:, 1:] == IGNORED).all()


def test_half_of_the_pairs_follow():
    batches = NextSentenceBatches(EVERY, 400, 13, N)
    share = np.mean([batches.next()[1][:, 0] == N + NEXT for _ in range(10)])
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / 4000)               # binomial


def test_pairs_come_from_the_whole_text_as_often_first_as_second():
    inputs, _ = NextSentenceBatches(np.arange(7), 2000, 9, 7).next()    # 3 + 3 tokens of 7: two places to cut at
    assert {tuple(row) for row in inputs[:, 1:4].tolist()} == {(0, 1, 2), (1, 2, 3)}
    assert {tuple(row) for row in inputs[:, 5:8].tolist()} == {(3, 4, 5), (4, 5, 6)}


def test_all_pairs_cover_the_text_half_of_them_followers():
    rows = list(NextSentenceBatches(EVERY[:103], 7, 13, N).all())
    inputs, targets = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    second, follows = inputs[:, 7:12], targets[:, 0] == N + NEXT
    for half in (follows, ~follows):
        np.testing.assert_array_equal(np.sort(second[half].ravel()), EVERY[5:100])


@pytest.mark.parametrize("call, message", [
    (lambda: NextSentenceBatches(EVERY, 4, 4, N), "context: 4, expected at least 5"),
    (lambda: NextSentenceBatches(EVERY[:10], 4, 13, N), "ids: 10 tokens, expected at least 11 .* use a longer text"),
    (lambda: MaskedBatches(EVERY[:5], 4, 13, N), "ids: 5 tokens, expected at least 14"),
])
def test_texts_that_are_too_short_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Losses and gradients


def by_hand(logits, asked):
    """The mean of −log softmax over what is asked: {(b, t): target}"""
    return -np.mean([log_softmax(logits[place])[target] for place, target in asked.items()])


def test_the_masked_loss_is_the_mean_over_the_gaps_alone():
    model = make()
    ids = np.array([[0, 1, 2, 3, 4, 5, 0, 1]])
    inputs, targets = masked(ids, V, np.random.default_rng(0))
    asked = {(0, t): ids[0, t] for t in np.flatnonzero(targets[0] != IGNORED)}
    assert model.loss(inputs, targets) == pytest.approx(by_hand(model(inputs), asked), rel=1e-12)


def test_the_next_sentence_loss_is_that_of_the_answer_at_cls():
    model = make()
    inputs, targets = NextSentenceBatches(np.arange(40) % V, 3, 9, V).next()
    asked = {(b, 0): targets[b, 0] for b in range(3)}
    assert model.loss(inputs, targets) == pytest.approx(by_hand(model(inputs), asked), rel=1e-12)


@pytest.mark.parametrize("changes", [{}, {"pre_norm": False}, {"bias": False, "tie_word_embeddings": False}])
@pytest.mark.parametrize("objective", ["masked", "next sentence"])
def test_gradients_of_a_model_that_looks_both_ways(objective, changes):
    ids = np.random.default_rng(2).integers(V, size=60)
    kind = {"masked": MaskedBatches, "next sentence": NextSentenceBatches}[objective]
    check_model(make(**changes), *kind(ids, 3, 9, V).next())


# Who sees what


def test_logits_depend_on_later_tokens_only_where_the_model_is_not_causal():
    ids = np.array([[0, 1, 2, 3, 4]])
    for t in range(4):
        other = ids.copy()
        other[0, t + 1] = 5
        both, back = make(), make(causal=True)
        assert abs(both(other) - both(ids))[0, : t + 1].max(axis=1).min() > 1e-3
        np.testing.assert_array_equal(back(other)[0, : t + 1], back(ids)[0, : t + 1])


def test_both_kinds_have_the_same_parameters():
    assert make().table == make(causal=True).table
    assert make().config.n_params == make().flat_params.size


def test_a_model_that_looks_both_ways_is_saved_as_that_and_not_as_gpt2(tmp_path):
    model = make()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["model_type"] == "minigpt"
    loaded = GPT.from_pretrained(tmp_path, dtype=np.float64)
    assert loaded.config == model.config
    ids = np.array([[0, 1, 2]])
    np.testing.assert_array_equal(loaded(ids), model(ids))


@pytest.mark.parametrize("changes, message", [
    ({"causal": None}, "causal None, expected True or False"),
    ({"causal": False, "attention_window": 4}, "attention_window 4 looks back, expected None where causal is False"),
])
def test_impossible_configurations_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        GPTConfig(**changes)


TOKENIZER = CharTokenizer.train("abcdef")


def with_tokenizer(**changes):
    model = make(**changes)
    model.tokenizer = TOKENIZER
    return model


@pytest.mark.parametrize("who, call", [
    ("generate", lambda model: model.generate([1, 2], 3)),
    ("generate", lambda model: model.stream([1, 2], 3)),
    ("generate", lambda model: list(model.stream_text("ab", 3))),
    ("score", lambda model: model.score("abc")),
    ("choose", lambda model: model.choose("ab", ["c", "d"])),
    ("next tokens", lambda model: with_targets(model, "abc")),
    ("Classifier", lambda model: Classifier.from_model(model, ["x", "y"])),
    ("Trainer", lambda model: Trainer(model, TOKENIZER, np.arange(200) % V, Recipe(), "")),
])
def test_what_needs_a_causal_model_refuses_another(who, call):
    with pytest.raises(ValueError, match=rf"^{who}: .*causal=False.*expected .* before"):
        call(with_tokenizer())


@pytest.mark.parametrize("kind", [MaskedTrainer, NextSentenceTrainer])
def test_what_needs_both_sides_refuses_a_causal_model(kind):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: .*causal=True.* GPTConfig\(causal=False\)"):
        kind(make(causal=True), TOKENIZER, np.arange(200) % V, Recipe(), "")


@pytest.mark.parametrize("kind", [MaskedTrainer, NextSentenceTrainer])
def test_a_vocabulary_without_room_for_the_special_tokens_is_refused(kind):
    with pytest.raises(ValueError, match="ids: up to 5, expected below 1: the last 5 tokens of vocab_size 6 are special"):
        kind(make(vocab_size=V), TOKENIZER, np.arange(200) % V, Recipe(), "")


def test_pairs_in_windows_are_refused():
    with pytest.raises(ValueError, match="order: 'windows', expected 'crops'"):
        NextSentenceTrainer(make(), TOKENIZER, np.arange(200) % V, Recipe(order="windows"), "")


def test_the_doctor_knows_a_model_that_looks_both_ways():
    model = with_tokenizer()
    seen = checks.causality(model)
    assert (seen.ok, "not causal" in seen.text) == (True, True)
    for finding in (checks.text_loss(model), checks.cache(model), costs.generation_memory(model.config)):
        assert (finding.ok, "causal=False" in finding.text) == (None, True)
    assert "writes" not in costs.generation_time(model).text
    assert "tokens/s" in costs.training_time(model.config, Recipe(steps=1, batch_size=1), 1e9, "A step").text


def test_the_doctor_finds_a_mask_where_there_should_be_none(monkeypatch):
    monkeypatch.setattr("minigpt.models.gpt.block_forward", lambda *args, causal, **options: block_forward(*args, **options))
    finding = checks.causality(make())
    assert (finding.ok, "position 0 does not depend on position 8" in finding.text) == (False, True)


# Learning


def learned(kind, ids, folder, causal=False, steps=300, n_tokens=V, n_positions=8, **recipe):
    config = GPTConfig(n_tokens + len(SPECIAL), n_positions, n_embd=24, n_layer=2, n_head=2, initializer_range=0.2,
                       causal=causal)
    recipe = Recipe(**{"steps": steps, "batch_size": 16, "lr": 3e-3, "eval_interval": steps, "sample_tokens": 0, **recipe})
    trainer = kind(GPT(config, seed=1, threads=1), CharTokenizer([chr(97 + i) for i in range(n_tokens)]), ids, recipe, folder,
                   quiet=True)
    trainer.run()
    return trainer


def test_masked_learns_what_only_the_right_side_tells(tmp_path):
    """Each token stands there twice: the first of the two can be told only by who sees the second."""
    ids = np.random.default_rng(0).integers(V, size=2000).repeat(2)
    both = learned(MaskedTrainer, ids, tmp_path / "both", order="windows").model        # so that pairs begin at even positions
    left = learned(Trainer, ids, tmp_path / "left", causal=True, order="windows").model
    rows = np.random.default_rng(9).integers(V, size=(200, 4)).repeat(2, axis=1)
    assert (guesses(both, rows, 4) == rows[:, 4]).mean() > 0.98
    assert (guesses(left, rows, 4) == rows[:, 4]).mean() < 1 / V + 0.11     # chance; 4 standard deviations of 200
    assert (guesses(left, rows, 5) == rows[:, 5]).mean() > 0.98         # the second is known from the left too


def test_next_sentence_learns_which_text_goes_on(tmp_path):
    """Counting upwards modulo 5, a text follows where it counts on."""
    trainer = learned(NextSentenceTrainer, np.arange(3000) % 5, tmp_path, n_tokens=5, n_positions=9, steps=400, lr=6e-3)
    first = (np.arange(5)[:, None] + np.arange(3)) % 5
    belief = np.array([[follows(trainer.model, a[None], b[None])[0] for b in first] for a in first])
    np.testing.assert_array_equal(belief.argmax(axis=1), (np.arange(5) + 3) % 5)
    # a stranger fits by chance in 1 of 5 cases, so 5 of 6 that fit are followers; who knows all that loses no more than this
    inputs, targets = (np.concatenate(parts) for parts in zip(*trainer.val_pairs.all(), strict=True))
    fits, follower = inputs[:, 5] == (inputs[:, 3] + 1) % 5, targets[:, 0] == 5 + NEXT
    least = (follower.sum() * math.log(6 / 5) + (fits & ~follower).sum() * math.log(6)) / len(inputs)
    assert trainer.best["val_loss"] == pytest.approx(least, abs=0.03)


@pytest.mark.parametrize("kind", [MaskedTrainer, NextSentenceTrainer])
def test_a_resumed_run_equals_an_uninterrupted_one(kind, tmp_path):
    ids = np.random.default_rng(0).integers(V, size=400)
    whole = learned(kind, ids, tmp_path / "whole", steps=6, eval_interval=3)
    learned(kind, ids, tmp_path / "parts", steps=6, eval_interval=3)
    for path in (tmp_path / "parts").glob("checkpoint-00000006*"):     # as if killed after step 3
        path.unlink()
    parts = kind.resume(tmp_path / "parts", ids, quiet=True)
    assert parts.step == 3
    parts.run()
    np.testing.assert_array_equal(parts.model.flat_params, whole.model.flat_params)
    assert parts.best["val_loss"] == whole.best["val_loss"]


def test_a_trainer_of_another_objective_does_not_go_on_with_a_run(tmp_path):
    ids = np.random.default_rng(0).integers(V, size=400)
    learned(MaskedTrainer, ids, tmp_path, steps=3)
    with pytest.raises(CheckpointError, match="a run of MaskedTrainer, expected one of NextSentenceTrainer"):
        NextSentenceTrainer.resume(tmp_path, ids)
    assert MaskedTrainer.resume(tmp_path, ids).step == 3        # it is left in place


def test_a_run_of_the_format_before_says_its_objective(tmp_path):
    ids = np.random.default_rng(0).integers(V, size=400)
    learned(MaskedTrainer, ids, tmp_path, steps=3)
    (path,) = tmp_path.glob("checkpoint-*")
    saved = checkpoint.load(path)
    facts = {name: value for name, value in saved.metadata.items() if name not in ("trainer", "sampled", "samples_size")}
    checkpoint.save(tmp_path, Checkpoint(3, saved.arrays, {**facts, "objective": "MaskedTrainer"}))
    with pytest.raises(CheckpointError, match="a run of MaskedTrainer, expected one of Trainer"):
        Trainer.resume(tmp_path, ids)
    assert MaskedTrainer.resume(tmp_path, ids).step == 3


# What the models can do


@pytest.mark.parametrize("causal", [True, False])
def test_answers_of_weights_that_are_not_finite_are_refused(causal):
    model = make(causal=causal)
    model.params["h.1.mlp.c_fc.weight"][2, 3] = np.nan
    rows = np.random.default_rng(0).integers(V, size=(5, 3))
    with pytest.raises(FloatingPointError, match="model: its scores hold NaN"):
        guesses(model, rows, 1)
    with pytest.raises(FloatingPointError, match="model: its scores hold NaN"):
        follows(model, rows, rows)


def test_a_guess_of_a_causal_model_does_not_depend_on_what_comes_after():
    rows = np.random.default_rng(0).integers(V, size=(70, 9))           # more than are read at once
    model, other = make(causal=True), rows.copy()
    other[:, 4:] = 5
    np.testing.assert_array_equal(guesses(model, rows, 4), guesses(model, other, 4))
    np.testing.assert_array_equal(guesses(model, rows, 4), model(rows)[:, 3, :V].argmax(axis=1))


def test_a_guess_does_not_depend_on_the_hidden_token():
    rows = np.random.default_rng(0).integers(V, size=(70, 9))
    other = rows.copy()
    other[:, 4] = (other[:, 4] + 1) % V
    model = make()
    np.testing.assert_array_equal(guesses(model, rows, 4), guesses(model, other, 4))
    assert guesses(model, rows, 4).max() < V


def test_a_causal_model_believes_what_it_scores():
    model, (first, second) = make(causal=True), np.random.default_rng(0).integers(V, size=(2, 3, 4))
    expected = [model.score(np.concatenate(pair)).logprobs[-4:].sum() for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(follows(model, first, second), expected, rtol=1e-12)     # float64


def test_belief_in_a_follower_is_the_log_odds_of_the_answer():
    model, (first, second) = make(), np.random.default_rng(0).integers(V, size=(2, 3, 3))
    logits = model(paired(first, second, V))[:, 0]
    p = softmax(logits)
    np.testing.assert_allclose(follows(model, first, second), np.log(p[:, V + NEXT] / p[:, V + OTHER]), rtol=1e-9)


def test_the_comparison_trains_all_three_and_shows_a_table():
    corpus = Corpus("the cat sat on the mat; the dog ran to the cat.\n" * 60, "cats", "")
    found = compare(corpus, steps=100, threads=1)
    lines = repr(found).splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == ["causal", "masked", "next sentence", "always the commonest"]
    assert " ".join(lines[0].split()) == "trained fills a gap says what comes next tells which came before writes"
    assert [line.split()[-1] for line in lines[1:4]] == ["yes", "no", "no"]
    assert {model.config.causal for model in found.models.values()} == {True, False}
    causal, masked, pairs = found.abilities
    assert causal.following > 0.9 and masked.gap > 0.9 and pairs.order > 0.9    # each learned what it was asked
    assert pairs.following < 0.5                                                # and no more
    assert len(found.sample(40)) == 41


def test_the_sample_has_no_special_token():
    """Their scores are set high; the tokenizer could not decode them."""
    corpus = Corpus("the cat sat on the mat; the dog ran to the cat.\n" * 40, "cats", "")
    found = compare(corpus, steps=1, threads=1)
    found.models["causal"].params["wte.weight"][found.tokenizer.vocab_size :] *= 50
    assert set(found.sample(40)) <= set(corpus.text)


def test_a_comparison_repeats_with_its_seed():
    corpus = Corpus("the cat sat on the mat; the dog ran to the cat.\n" * 40, "cats", "")
    one, two = (compare(corpus, steps=3, seed=5, threads=1) for _ in range(2))
    for name in one.models:
        np.testing.assert_array_equal(one.models[name].flat_params, two.models[name].flat_params)
