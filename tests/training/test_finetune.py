"""Fine-tuning: transformers' classifier, what learns and what does not, exact resume, answers without loss on prompts."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest

import make_classifier_fixture as fixture
from gradients import textbook_and_engine
from minigpt import GPT, GPTConfig
from minigpt.models.classifier import HEAD, Classifier
from minigpt.nn.cross_entropy import IGNORED
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.training import checkpoint
from minigpt.training.adapters import add_lora, merged, train_head, with_characters
from minigpt.training.checkpoint import Checkpoint, CheckpointError
from minigpt.training.finetune import FineTuner, answered, answers, labeled, padded
from minigpt.training.recipe import Recipe
from minigpt.training.trainer import Trainer
from minigpt.weights import WeightFormatError

FROZEN = json.loads(fixture.FIXTURE.read_text(encoding="utf-8"))
CHARS = CharTokenizer.train("abcde\n")
CONFIG = GPTConfig(vocab_size=CHARS.vocab_size, n_positions=7, n_embd=12, n_layer=2, n_head=3)
EVERY_MATRIX = "h.*"


def classifier(dtype=np.float64, threads=1, fast=True):
    """Ours, with the fixture's weights"""
    model = Classifier(GPTConfig(**fixture.CONFIG), fixture.LABELS, seed=None, dtype=dtype, threads=threads, fast=fast)
    for name, array in fixture.weights().items():
        model.params[name][...] = array
    return model


def padded_ids(side):
    """The fixture's texts as (ids, keep), with noise where nothing is kept"""
    rows, _ = fixture.texts()
    ids = np.random.default_rng(5).integers(0, 17, (len(rows), max(fixture.LENGTHS)))
    keep = np.zeros(ids.shape, bool)
    for b, row in enumerate(rows):
        where = slice(len(row)) if side == "right" else slice(ids.shape[1] - len(row), None)
        ids[b, where], keep[b, where] = row, True
    return ids, keep


def batch():
    rows, labels = fixture.texts()
    return padded([labeled(row, label) for row, label in zip(rows, labels, strict=True)])


def random_model(dtype=np.float64, seed=0, fast=True, **changes):
    """A GPT, every parameter random"""
    model = GPT(replace(CONFIG, **changes), seed, dtype, threads=2, fast=fast)
    model.flat_params += 0.3 * np.random.default_rng(seed).standard_normal(model.flat_params.shape)
    model.tokenizer = CHARS
    return model


def texts(n, seed=0):
    """n texts of 1 to 7 characters, of label 1 where an "a" comes after a "b" """
    rng = np.random.default_rng(seed)
    found = ["".join(rng.choice(list("abcd"), rng.integers(1, 8))) for _ in range(n)]
    return [(text, int("a" in text[text.find("b") :] if "b" in text else False)) for text in found]


def examples(n, seed=0):
    return [labeled(CHARS.encode(text), label) for text, label in texts(n, seed)]


def parts():
    return examples(40), examples(15, seed=1)


def tuner(model, folder, parts=parts, **recipe):
    recipe = Recipe(**{"steps": 7, "batch_size": 4, "warmup_steps": 2, "eval_interval": 3, **recipe})
    return FineTuner(model, CHARS, parts(), recipe, folder, quiet=True)


# transformers' classifier


def test_the_fixture_is_of_these_sizes():
    assert (FROZEN["config"], FROZEN["seed"]) == (fixture.CONFIG, fixture.SEED)


@pytest.mark.parametrize("threads", [1, 3])
@textbook_and_engine
def test_logits_loss_and_gradients_equal_transformers(threads, fast):
    model = classifier(threads=threads, fast=fast)
    np.testing.assert_allclose(model(*padded_ids("right")), FROZEN["logits"], rtol=1e-12)
    loss, grads = model.loss_and_grads(*batch())
    assert loss == pytest.approx(FROZEN["loss"], rel=1e-12)
    assert grads.keys() == FROZEN["gradients"].keys()
    for name, expected in FROZEN["gradients"].items():
        np.testing.assert_allclose(fixture.summary(grads)[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_every_number_of_every_gradient_equals_transformers():
    logits, loss, expected = fixture.run()
    model = classifier()
    np.testing.assert_allclose(model(*padded_ids("right")), logits, rtol=0, atol=1e-13)
    found, grads = model.loss_and_grads(*batch())
    assert found == pytest.approx(loss, rel=1e-13)
    assert grads.keys() == expected.keys()
    for name, grad in expected.items():
        np.testing.assert_allclose(grads[name], grad, rtol=0, atol=1e-13, err_msg=name)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_transformers_and_we_load_each_others_classifiers(tmp_path):
    import torch
    from transformers import GPT2ForSequenceClassification

    rows, _ = fixture.texts()
    ours = classifier()
    ours.save_pretrained(tmp_path / "ours")
    theirs, report = GPT2ForSequenceClassification.from_pretrained(
        tmp_path / "ours", dtype=torch.float64, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    assert theirs.config.id2label == dict(enumerate(fixture.LABELS))
    with torch.no_grad():
        logits = [theirs.eval()(torch.tensor(row[None])).logits[0].numpy() for row in rows]
    np.testing.assert_allclose(ours(*padded_ids("right")), logits, rtol=0, atol=1e-12)
    theirs.save_pretrained(tmp_path / "theirs")
    again = Classifier.from_pretrained(tmp_path / "theirs", dtype=np.float64)
    assert again.labels == fixture.LABELS
    np.testing.assert_array_equal(again(*padded_ids("right")), ours(*padded_ids("right")))


def test_a_saved_classifier_is_loaded_with_labels_and_tokenizer(tmp_path):
    model = Classifier.from_model(random_model(np.float32), ["yes", "no", "perhaps"], seed=3)
    model.save_pretrained(tmp_path)
    loaded = Classifier.from_pretrained(tmp_path)
    assert (loaded.labels, loaded.tokenizer) == (("yes", "no", "perhaps"), CHARS)
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params)


def test_a_folder_without_a_head_is_refused_and_the_message_says_how_to_get_one(tmp_path):
    random_model().save_pretrained(tmp_path)
    with pytest.raises(WeightFormatError, match=r"no score\.weight, expected a classifier; .*Classifier\.from_model"):
        Classifier.from_pretrained(tmp_path)


# The head


def test_padding_changes_nothing_on_whichever_side_it_stands():
    model, (rows, _) = classifier(), fixture.texts()
    alone = np.concatenate([model(row[None]) for row in rows])
    left, right = model(*padded_ids("left")), model(*padded_ids("right"))
    np.testing.assert_allclose(right, alone, rtol=1e-12)         # another shape, another order of sums
    np.testing.assert_array_equal(left, right)


@textbook_and_engine
def test_gradients_of_the_head_and_of_the_body_by_central_differences(fast):
    check_model(classifier(fast=fast), batch())


@pytest.mark.parametrize("keep", [np.ones((1, 3)), np.ones((1, 2), bool), np.zeros((1, 3), bool)])
def test_a_mask_that_is_none_is_refused(keep):
    with pytest.raises(ValueError, match=r"key_padding_mask: .*expected bool"):
        classifier()(np.zeros((1, 3), int), keep)


@pytest.mark.parametrize(("labels", "expected"), [
    (["a"], "at least two, each once"), ([], "at least two, each once"), (["a", "a"], "each once and at least one"),
])
def test_labels_must_be_two_different_ones(labels, expected):
    with pytest.raises(ValueError, match=rf"labels: .*expected {expected}"):
        Classifier.from_model(GPT(CONFIG), labels)


def test_a_classifier_of_an_untied_model_has_no_table_of_tokens_to_score():
    model = Classifier.from_model(random_model(tie_word_embeddings=False), ["a", "b"])
    assert "lm_head.weight" not in model.params
    assert len(model([[1, 2]])[0]) == 2


def test_a_classifier_does_not_speak():
    model = Classifier(CONFIG, ["a", "b"])
    for call in (model.generate, model.stream, model.stream_text, model.score, model.trace, model.run):
        with pytest.raises(TypeError, match="it has no language-model head"):
            call([1, 2])


def test_predict_names_the_likeliest_label_of_each_text():
    model = Classifier.from_model(random_model(), list("abcdefgh"))
    model.params[HEAD][...] = np.random.default_rng(1).standard_normal(model.params[HEAD].shape)
    found = [text for text, _ in texts(70)]                      # more than are read at once
    expected = [model.labels[model([CHARS.encode(text)])[0].argmax()] for text in found]
    assert len(set(expected)) > 1
    assert model.predict(found) == expected
    assert model.predict([]) == []


# Examples


def test_prompt_tokens_carry_no_loss():
    prompt, answer = [1, 2, 3], [4, 5]
    model, (inputs, targets) = random_model(), padded([answered(prompt, answer)])
    assert targets.tolist() == [[IGNORED, IGNORED, 4, 5]]
    score = model.score(np.array(prompt + answer))               # the first token is only read
    assert model.loss(inputs, targets) == pytest.approx(-score.logprobs[-2:].mean(), rel=1e-12)


def test_examples_of_different_lengths_are_padded_without_a_target():
    inputs, targets = padded([labeled([5, 2], 1), labeled([4], 0), answered([3], [1, 2])])
    assert targets.tolist() == [[IGNORED, 1], [0, IGNORED], [1, 2]]
    assert inputs.tolist() == [[5, 2], [4, 0], [3, 1]]


@pytest.mark.parametrize("make", [lambda: labeled([], 0), lambda: answered([], [1]), lambda: answered([1], [])])
def test_empty_texts_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_answers_end_at_the_line_feed_and_equal_the_greedy_continuation():
    model = random_model(n_positions=16)
    prompts = ["ab\n", "c\n", "dea\n"] * 25                      # more than are read at once
    found = answers(model, prompts, 6)
    for prompt, answer in zip(prompts[:3], found, strict=False):
        ids = model.generate(CHARS.encode(prompt), 6, temperature=0)
        assert answer == CHARS.decode(ids)[len(prompt) :].split("\n")[0]
    assert found == found[:3] * 25


def test_new_characters_get_rows_and_the_old_ones_keep_theirs():
    model = random_model(tie_word_embeddings=False)
    grown = with_characters(model, "bad 19")
    assert grown.tokenizer.state()["chars"] == [*CHARS.state()["chars"], " ", "1", "9"]
    ids = np.array([CHARS.encode("abcde")])
    np.testing.assert_array_equal(grown.tokenizer.encode("abcde"), ids[0])
    np.testing.assert_allclose(grown(ids)[..., : CHARS.vocab_size], model(ids), rtol=1e-12)


def test_new_characters_need_a_tokenizer_of_characters():
    model = random_model()
    model.tokenizer = Tokenizer.train("ab", 256)
    with pytest.raises(TypeError, match="expected a CharTokenizer"):
        with_characters(model, "x")


# What learns


def check_model(model, texts, samples=12):
    """Central differences of the loss, by the name of every parameter that learns"""
    loss, grads = model.loss_and_grads(*texts)
    grads = {name: grad.copy() for name, grad in grads.items()}
    rng, h = np.random.default_rng(9), 1e-5
    assert grads.keys() == {name for name, _, _ in model.table}
    for name, grad in grads.items():
        parameter, largest = model.params[name], abs(grad).max()
        assert largest > 0, name
        for i in rng.choice(grad.size, min(samples, grad.size), replace=False):
            index = np.unravel_index(i, grad.shape)
            before = parameter[index]
            parameter[index] = before + h
            above = model.loss(*texts)
            parameter[index] = before - h
            below = model.loss(*texts)
            parameter[index] = before
            assert grad[index] == pytest.approx((above - below) / (2 * h), abs=1e-7 * largest + 1e-10), (name, index)


def adapted(model, names=EVERY_MATRIX, rank=2, alpha=3.0):
    """The model with adapters whose B is no longer zero"""
    add_lora(model, names, rank, alpha, seed=4)
    model.flat_params += 0.2 * np.random.default_rng(8).standard_normal(model.flat_params.shape)
    return model


@textbook_and_engine
def test_lora_gradients_by_central_differences(fast):
    model = adapted(Classifier.from_model(random_model(fast=fast), ["a", "b"]))
    check_model(model, padded(examples(5)))


@textbook_and_engine
def test_lora_gradients_of_a_model_that_speaks(fast):
    model = adapted(random_model(fast=fast), ["h.*.attn.c_attn", "h.1.mlp.c_proj"])
    chosen = ["h.0.attn.c_attn", "h.1.attn.c_attn", "h.1.mlp.c_proj"]
    assert [name for name, _, _ in model.table[::2]] == [f"{name}.lora_A" for name in chosen]
    check_model(model, padded([answered([1, 2], [3, 4, 0]), answered([5], [1])]))


def test_lora_begins_with_the_output_of_its_base():
    model, ids = random_model(np.float32), np.array([CHARS.encode("abcde")])
    before = model(ids)
    add_lora(model, EVERY_MATRIX, rank=3)
    np.testing.assert_array_equal(model(ids), before)


def test_merging_gives_a_plain_model_that_computes_the_same():
    ids = np.array([CHARS.encode("abcde")])
    base = random_model()
    frozen = base.params["h.1.attn.c_proj.weight"].copy()
    model = adapted(base)
    plain = merged(model)
    assert (plain.params.keys(), plain.frozen) == (GPT(CONFIG).params.keys(), frozenset())
    p = {name[-1]: model.params[f"h.1.attn.c_proj.lora_{name[-1]}"] for name in ("lora_A", "lora_B")}
    np.testing.assert_allclose(plain.params["h.1.attn.c_proj.weight"], frozen + 1.5 * p["A"] @ p["B"], rtol=1e-14)
    np.testing.assert_allclose(plain(ids), model(ids), rtol=0, atol=1e-12)        # the products in another order
    assert abs(plain(ids) - random_model()(ids)).max() > 0.01


def test_an_adapted_model_generates_what_its_merged_one_does():
    model = adapted(random_model(n_positions=16))
    ids = model.generate(CHARS.encode("ab"), 12, temperature=0)
    np.testing.assert_array_equal(merged(model).generate(CHARS.encode("ab"), 12, temperature=0), ids)


def test_adapters_are_not_lost_by_saving(tmp_path):
    with pytest.raises(ValueError, match=r"LoRA adapters .*save finetune\.merged\(model\)"):
        adapted(random_model()).save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("names", "rank", "alpha", "message"), [
    ("attn", 2, 1, r"names: 'attn' matches no matrix, expected one of h\.\*\.attn\.c_attn, .*h\.\*\.mlp\.c_proj"),
    (["h.*.mlp.c_fc", "h.7.mlp.c_fc"], 2, 1, "names: 'h.7.mlp.c_fc' matches no matrix"),
    ("h.*", 0, 1, "rank: 0, expected a whole number from 1 to 12"),
    ("h.*", 13, 1, "rank: 13, expected a whole number from 1 to 12"),
    ("h.*", 2.0, 1, "rank: 2.0, expected a whole number"),
    ("h.*", 2, 0, "alpha: 0, expected a number above 0"),
    ("h.*", 2, float("nan"), "alpha: nan, expected a number above 0"),
])
def test_impossible_adapters_are_refused(names, rank, alpha, message):
    with pytest.raises(ValueError, match=message):
        add_lora(random_model(), names, rank, alpha)


def test_what_else_is_named_learns_beside_the_adapters():
    model = Classifier.from_model(random_model(), ["a", "b"])
    add_lora(model, "h.1.attn.c_attn", rank=1, also=["wte.weight", "ln_f.bias"])
    model.params["h.1.attn.c_attn.lora_B"][...] = np.random.default_rng(0).standard_normal((1, 36))
    assert [name for name, _, _ in model.table[2:]] == ["wte.weight", HEAD, "ln_f.bias"]
    check_model(model, padded(examples(5)))
    with pytest.raises(ValueError, match="also: wte, expected names of the model's parameters"):
        add_lora(random_model(), also=["wte"])


@pytest.mark.parametrize("take", [
    add_lora, lambda model: Classifier.from_model(model, ["a", "b"]), lambda model: with_characters(model, "x"),
])
def test_adapters_are_not_put_on_adapters_nor_lost_in_a_copy(take):
    with pytest.raises(ValueError, match=r"it has LoRA adapters, expected plain weights; go on from merged\(model\)"):
        take(adapted(random_model()))


def test_a_model_that_speaks_has_no_head_to_train_alone():
    with pytest.raises(TypeError, match="model: GPT, expected a Classifier"):
        train_head(random_model())


# Training

WAYS = {"whole": lambda model: None, "head": train_head, "lora": lambda model: add_lora(model, EVERY_MATRIX, rank=2)}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_frozen_stays_to_the_last_bit_and_the_rest_learns(tmp_path, way):
    model = Classifier.from_model(random_model(np.float32), ["no", "yes"])
    before = {name: array.copy() for name, array in model.params.items()}
    WAYS[way](model)
    learning = {name for name, _, _ in model.table}
    adapters = {name for name in model.params if name.endswith(("lora_A", "lora_B"))}
    assert learning == {"whole": before.keys(), "head": {HEAD}, "lora": adapters | {HEAD}}[way]
    tuner(model, tmp_path, weight_decay=0.1).run()
    for name, array in before.items():
        assert np.array_equal(model.params[name], array) == (name not in learning), name


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("stop", "options"), [(2, {}), (5, {"optimizer": "adamw", "accumulate": 2})])
def test_a_resumed_run_equals_an_uninterrupted_one_byte_for_byte(tmp_path, way, stop, options):
    def make(folder):
        model = Classifier.from_model(random_model(np.float32), ["no", "yes"])
        WAYS[way](model)
        return tuner(model, tmp_path / folder, **options)

    whole, first = make("whole"), make("parts")
    whole.run()
    give = first.batches.next

    def next_batch():
        if first.step + 1 == stop:
            signal.raise_signal(signal.SIGINT)
            first.batches.next = give
        return give()

    first.batches.next = next_batch
    assert (first.run(), first.step) == (130, stop)
    second = FineTuner.resume(tmp_path / "parts", parts(), quiet=True)
    assert second.run() == 0
    assert second.model.params.keys() == whole.model.params.keys()
    for name, array in whole.model.params.items():
        np.testing.assert_array_equal(second.model.params[name], array, err_msg=name)
    assert second.best["val_loss"] == whole.best["val_loss"]
    best = "model.safetensors"
    assert (tmp_path / "parts" / best).read_bytes() == (tmp_path / "whole" / best).read_bytes()


def test_a_rule_of_order_is_learned_end_to_end(tmp_path):
    model = Classifier.from_model(random_model(np.float32), ["no", "yes"], seed=2)
    recipe = {"steps": 150, "batch_size": 16, "lr": 0.01, "eval_interval": 50}
    tuner(model, tmp_path, lambda: (examples(400), examples(50, seed=1)), **recipe).run()
    found, expected = zip(*texts(100, seed=2), strict=True)
    right = sum(name == ("no", "yes")[label] for name, label in zip(model.predict(found), expected, strict=True))
    assert right >= 90          # 99 here; the larger class alone has 73


def test_the_folder_holds_the_best_model_with_its_adapters_merged(tmp_path):
    model = adapted(Classifier.from_model(random_model(np.float32), ["no", "yes"]))
    trainer = tuner(model, tmp_path, lr=0.5, schedule="constant")
    trainer.run()
    trainer.model = Classifier.from_pretrained(tmp_path)
    assert not any("lora" in name for name in trainer.model.params)
    assert trainer.evaluate() == pytest.approx(trainer.best["val_loss"], rel=1e-5)        # merged in float32


def test_validation_is_the_mean_over_all_targets_whatever_the_batches(tmp_path):
    pairs = [answered([1, 2], [3] * n) for n in (1, 4, 2)]
    model = random_model()
    trainer = tuner(model, tmp_path, lambda: (pairs, pairs), batch_size=2)
    nll = [model.loss(*padded([pair])) * n for pair, n in zip(pairs, (1, 4, 2), strict=True)]
    assert trainer.evaluate() == pytest.approx(sum(nll) / 7, rel=1e-12)


GOOD = labeled([1, 2], 0)


@pytest.mark.parametrize(("train", "validation", "message"), [
    ([], [GOOD], "train: no examples, expected at least one"),
    ([GOOD], [], "validation: no examples, expected at least one"),
    ([GOOD, labeled([1, 2], 2)], [GOOD], r"train\[1\]: targets \[2\], expected at least one, from 0 to 1"),
    ([labeled([1, 2], -1)], [GOOD], r"train\[0\]: targets \[-1\], expected"),
    ([labeled([1, 2], IGNORED)], [GOOD], r"train\[0\]: targets \[\], expected at least one"),
    ([GOOD], [labeled([1] * 8, 0)], r"validation\[0\]: 8 tokens exceed n_positions 7; shorten the text"),
    ([labeled([1, 6], 0)], [GOOD], r"train\[0\]\[1\]: 6, expected an id from 0 to 5"),
])
def test_examples_that_cannot_be_learned_are_named(tmp_path, train, validation, message):
    model = Classifier.from_model(random_model(), ["no", "yes"])
    with pytest.raises(ValueError, match=message):
        tuner(model, tmp_path, lambda: (train, validation))


def test_examples_that_changed_since_the_checkpoint_are_refused(tmp_path):
    tuner(Classifier.from_model(random_model(np.float32), ["no", "yes"]), tmp_path).run()
    with pytest.raises(ValueError, match="changed since the checkpoint"):
        FineTuner.resume(tmp_path, (examples(40, seed=5), examples(15, seed=1)))


@pytest.mark.parametrize(("name", "value"), [
    ("labels", 5), ("labels", ["no"]), ("labels", ["no", 1]), ("learning", None), ("learning", [["a", 3]]),
    ("learning", [["score.weight", [2, -12], "zeros"]]), ("learning", []), ("frozen", "x"), ("frozen", [1]), ("frozen", []),
])
def test_facts_that_no_fine_tuning_saves_lead_to_the_checkpoint_before(tmp_path, name, value):
    model = Classifier.from_model(random_model(np.float32), ["no", "yes"])
    adapted(model)
    tuner(model, tmp_path, steps=3).run()
    (path,) = tmp_path.glob("checkpoint-*")
    saved = checkpoint.load(path)
    checkpoint.save(tmp_path, Checkpoint(4, saved.arrays, {**saved.metadata, "step": 4, name: value}))
    assert FineTuner.resume(tmp_path, parts(), quiet=True).step == 3
    assert (tmp_path / "checkpoint-00000004.safetensors.damaged").exists()


def test_a_fine_tuning_goes_on_only_as_one(tmp_path):
    tuner(Classifier.from_model(random_model(np.float32), ["no", "yes"]), tmp_path, steps=3).run()
    with pytest.raises(CheckpointError, match=r"a run of FineTuner, expected one of Trainer; go on with FineTuner\.resume"):
        Trainer.resume(tmp_path, np.zeros(100, int))
    assert FineTuner.resume(tmp_path, parts(), quiet=True).step == 3
