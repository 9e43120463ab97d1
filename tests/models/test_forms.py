"""Tokens as people have them: a text, a list, an array, one sequence or several, give the same result in every call."""

import re

import numpy as np
import pytest

from minigpt import GPT, CharTokenizer, GPTConfig
from minigpt.models.classifier import Classifier
from minigpt.study.logit_lens import logit_lens
from minigpt.study.patching import activation_patching
from minigpt.tokenization import Tokenizer

ONE, OTHER = "to be", "or no"


def make(tokenizer, **changes):
    config = GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=16, n_embd=12, n_layer=1, n_head=2, **changes)
    model = GPT(config, seed=3, dtype=np.float64, threads=1)
    rng = np.random.default_rng(4)
    for array in model.params.values():
        array += 0.3 * rng.standard_normal(array.shape)
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="module")
def model():
    return make(CharTokenizer.train("to be or not"))


@pytest.fixture(scope="module")
def ends():
    """A model whose texts end at <|endoftext|>"""
    return make(Tokenizer.train("to be or not to be", 260, ["<|endoftext|>"]))


def forms(model, text):
    ids = model.tokenizer.encode(text)
    return {"text": text, "list": ids, "tuple": tuple(ids), "(T,)": np.array(ids), "uint16": np.array(ids, np.uint16),
            "(1, T)": np.array([ids]), "one row": [ids], "one text": [text]}


SHOWING = {     # calls that take a single sequence as a batch of one
    "model()": lambda m, x: [m(x)],
    "loss": lambda m, x: [m.loss(x)],
    "loss_and_grads": lambda m, x: [m.loss_and_grads(x)[0], m.flat_grads.copy()],
    "trace": lambda m, x: [step.value for step in m.trace(x).values()],
    "trace with gradients": lambda m, x: [step.grad for step in m.trace(x, targets=True).values()],
    "run": lambda m, x: m.run(x, targets=True, edits={"h.0.mlp.out": 0})["logits"].value,
    "logit_lens": lambda m, x: logit_lens(m, x).probs,
}


@pytest.mark.parametrize("call", SHOWING.values(), ids=SHOWING)
def test_what_shows_a_pass_takes_any_form_and_one_sequence_as_a_batch_of_one(model, call):
    expected = call(model, np.array([model.tokenizer.encode(ONE)]))
    for form, tokens in forms(model, ONE).items():
        for got, array in zip(call(model, tokens), expected, strict=True):
            np.testing.assert_array_equal(got, array, err_msg=form)


def test_several_texts_of_one_length_are_a_batch(model):
    ids = np.array([model.tokenizer.encode(text) for text in (ONE, OTHER)])
    np.testing.assert_array_equal(model([ONE, OTHER]), model(ids))
    assert model.loss((ONE, OTHER)) == model.loss(ids)
    with pytest.raises(ValueError, match="ids: rows of different lengths, expected one length"):
        model.loss(["to", "not"])


def test_without_targets_they_are_the_next_tokens(model):
    ids = np.array([model.tokenizer.encode(ONE)])
    loss = model.loss(ids[:, :-1], ids[:, 1:])
    assert model.loss(ONE) == model.loss(ids, True) == model.loss(ids, [[*ids[0, 1:], -100]]) == pytest.approx(loss, rel=1e-12)
    assert model.trace(ONE, targets=True).loss == pytest.approx(loss, rel=1e-12)
    assert model.trace(ONE, targets=True).targets.tolist() == [[*ids[0, 1:], -100]]
    assert model.trace(ONE, targets=True)["h.0.attn.att"].shape == model.trace(ONE)["h.0.attn.att"].shape
    assert model.run(ONE).loss is None
    assert model.loss(ONE[:-1], ONE[1:]) == loss            # targets as a text, too
    assert model.loss(ids[0, :-1], ids[0, 1:]) == loss


def test_a_mask_of_one_sequence_is_a_batch_of_one(model):
    ids, mask = model.tokenizer.encode(ONE), np.array([False, True, True, True, True])
    np.testing.assert_array_equal(model(ids, mask), model(np.array([ids]), mask[None]))


@pytest.mark.parametrize(("tokens", "targets", "error", "message"), [
    ("t", True, ValueError, "ids: 1 token, expected at least 2, whose targets are the next ones"),
    ("", True, ValueError, r"ids: shape \(1, 0\), expected at least one token"),
    ("to", "not", ValueError, r"targets: shape \(1, 3\), expected that of ids \(1, 2\), or True for the next tokens"),
    ("to", None, TypeError, "targets: None, expected True for the next tokens"),
    ("to", b"ot", TypeError, "targets: bytes, expected a text or token ids"),
    ("what", True, ValueError, "'w'"),
])
def test_what_cannot_be_a_text_with_targets_is_refused(model, tokens, targets, error, message):
    for call in (model.loss, model.loss_and_grads):
        with pytest.raises(error, match=message):
            call(tokens, targets)


def test_a_model_that_sees_the_next_tokens_does_not_take_them_as_targets():
    both_ways = make(CharTokenizer.train("to be or not"), causal=False)
    with pytest.raises(ValueError, match="targets=True: the model also sees the tokens after a position"):
        both_ways.loss(ONE)
    assert both_ways.trace(ONE)["logits"].shape == (1, 5, 7)


# Generation


@pytest.mark.parametrize("options", [{"temperature": 0}, {"seed": 7, "top_k": 5}])
def test_what_generates_gives_each_prompt_in_the_form_it_came(model, options):
    ids, decode = model.tokenizer.encode(ONE), model.tokenizer.decode
    expected = model.generate(ids, 6, **options)
    assert expected.shape == (11,)
    for form, tokens in forms(model, ONE).items():
        result = model.generate(tokens, 6, **options)
        whole = {"text": decode(expected), "one text": [decode(expected)], "(1, T)": expected[None].tolist(),
                 "one row": [expected.tolist()]}.get(form, expected.tolist())
        as_lists = [row if isinstance(row, str) else row.tolist() for row in result] if isinstance(result, list) else result
        assert (as_lists.tolist() if isinstance(result, np.ndarray) else as_lists) == whole, form
        steps = [int(np.squeeze(step)) for step in model.stream(tokens, 6, **options)]
        assert steps == expected[5:].tolist(), form
    assert "".join(model.stream_text(ONE, 6, **options)) == decode(expected[5:])
    assert "".join(model.stream_text([ids], 6, **options)) == decode(expected[5:])


def test_several_texts_and_several_samples_of_one_are_lists_of_texts(model):
    decode = model.tokenizer.decode
    rows = model.generate([*map(model.tokenizer.encode, (ONE, "not"))], 4, seed=1)
    assert model.generate([ONE, "not"], 4, seed=1) == [*map(decode, rows)]
    samples = model.generate(model.tokenizer.encode(ONE), 4, seed=1, num_samples=3)
    assert model.generate(ONE, 4, seed=1, num_samples=3) == [*map(decode, samples)]
    text, logprobs = model.generate(ONE, 4, seed=1, logprobs=True)
    ids, expected = model.generate(model.tokenizer.encode(ONE), 4, seed=1, logprobs=True)
    assert (text, logprobs.tolist()) == (decode(ids), expected.tolist())


def test_a_text_begins_and_ends_at_the_end_of_text_which_is_not_shown(ends):
    end = ends.tokenizer.special_tokens["<|endoftext|>"]
    options = {"seed": 3, "logit_bias": {end: 4.0}}
    ids = ends.generate(ends.tokenizer.encode(ONE), 10, stop_ids=(end,), **options)
    assert ids[-1] == end and len(ids) == len(ends.tokenizer.encode(ONE)) + 3
    assert ends.generate(ONE, 10, **options) == ends.tokenizer.decode(ids[:-1])
    assert ends.generate(ONE, 10, **options) == ONE + "".join(ends.stream_text(ONE, 10, **options))
    first = ends.generate("", 3, seed=1, logit_bias={end: -100})
    assert first == ends.tokenizer.decode(ends.generate([end], 3, seed=1, logit_bias={end: -100})[1:])
    assert "<|endoftext|>" in ends.generate(ONE, 3, logit_bias={end: 100}, stop_ids=())
    assert ends.generate(ONE, 9, logit_bias={end: 100}, stop_ids=iter([end])) == ONE


def test_what_goes_on_with_one_text_refuses_several(model):
    for call, message in ((model.stream_text, r"prompt: 2 sequences, expected one; stream\(\) takes several"),
                          (model.candidates, r"prompt: 2 sequences, expected one; call candidates\(\) for each")):
        with pytest.raises(ValueError, match=message):
            call([ONE, OTHER], 3)


# Scoring


def test_a_score_of_one_is_a_score_and_of_several_a_list(model):
    expected = model.score(ONE)
    for form, tokens in forms(model, ONE).items():
        got = model.score(tokens)
        assert isinstance(got, list) == (form in ("(1, T)", "one row", "one text")), form
        np.testing.assert_array_equal((got[0] if isinstance(got, list) else got).logprobs, expected.logprobs, err_msg=form)
    assert [score.total for score in model.score([ONE, "not"])] == [expected.total, model.score("not").total]


def test_choices_after_one_prompt_are_a_list_and_after_several_lists(model):
    expected = [(choice.answer, choice.logprob) for choice in model.choose(ONE, ["or", "not"])]
    for form, tokens in forms(model, ONE).items():
        got = model.choose(tokens, ["or", "not"])
        got = got[0] if form in ("(1, T)", "one row", "one text") else got
        assert [(choice.answer, choice.logprob) for choice in got] == expected, form
    answers = [model.tokenizer.encode(answer) for answer in ("or", "not")]
    by_ids = model.choose(ONE, answers, normalize="bytes")
    assert [choice.logprob for choice in sorted(by_ids, key=lambda choice: -choice.logprob)] == [p for _, p in expected]
    assert len(model.choose([ONE, "not"], answers)) == 2
    assert {choice.answer for choice in model.choose(ONE, {"or", "not"})} == {"or", "not"}


def test_ids_without_a_tokenizer_can_be_chosen_among(model):
    bare = make(CharTokenizer.train("to be or not"))
    bare.tokenizer = None
    ids, answers = model.tokenizer.encode(ONE), np.array([[1, 2], [3, 4]])
    choices = bare.choose(ids, answers)
    assert [choice.logprob for choice in choices] == [choice.logprob for choice in model.choose(ids, answers)]


# A classifier, and studies of two texts


def test_a_classifier_takes_any_form_and_no_next_tokens(model):
    classifier = Classifier.from_model(model, ["no", "yes"])
    for form, tokens in forms(model, ONE).items():
        np.testing.assert_array_equal(classifier(tokens), classifier(np.array([model.tokenizer.encode(ONE)])), err_msg=form)
    with pytest.raises(TypeError, match=r"targets: True, expected labels \(B, T\)"):
        classifier.loss(ONE)
    for call in (classifier.choose, classifier.candidates):
        with pytest.raises(TypeError, match="it has no language-model head"):
            call("to", ["be"])


def test_two_texts_can_be_patched(model):
    ids, clean = (np.array([model.tokenizer.encode(text)]) for text in (ONE, OTHER))
    effects = activation_patching(model, ONE, OTHER, True, "h.0.in")
    expected = activation_patching(model, ids, clean, [[*ids[0, 1:], -100]], "h.0.in")
    np.testing.assert_array_equal(effects["h.0.in"], expected["h.0.in"])
    with pytest.raises(ValueError, match="texts of equal length"):
        activation_patching(model, ONE, "or", True, "h.0.in")


def test_a_misspelt_argument_names_the_nearest_one(model):
    for call, name in ((lambda: model.trace([1, 2], target=True), "targets"), (lambda: model.run([1, 2], edit={}), "edits"),
                       (lambda: model.loss([1, 2], targts=True), "targets"), (lambda: model.score([1], startid=0), "start_id"),
                       (lambda: model.choose([1], [[2]], normalise=None), "normalize")):
        with pytest.raises(TypeError, match=f"expected {name}"):
            call()


def test_a_model_prints_its_sizes(model):
    assert re.fullmatch(r"<GPT: \d+ layers?, \d+ heads?, .* tokens; [\d,]+ parameters>", repr(model))
