"""Every public function of models, generation and study × every shape of argument: taken, or refused with the right reason."""

import re
from functools import cache

import numpy as np
import pytest

from minigpt import GPT, CharTokenizer, GPTConfig
from minigpt.generation.beam import beam_search
from minigpt.models.transformer import Transformer, TransformerConfig
from minigpt.study import exercises
from minigpt.study.attribution import direct_logit_attribution
from minigpt.study.exercises import bugs
from minigpt.study.gradcheck import check_gradients, check_model
from minigpt.study.logit_lens import logit_lens
from minigpt.study.patching import activation_patching, attribution_patching

IDS = [0, 1, 2]
SHAPES = [
    1, 1.5, True, False, None, "ab", "", b"ab", float("nan"), np.array(1), np.array(1.5), np.array(True), np.array("ab"),
    np.array(None), np.True_, np.False_, np.str_("ab"), np.int64(1), np.float32(1.5), ["ab", 3], [1, "ab"], [1, [2]], [[1], 2],
    [[1, 2], [3]], [[[1]], [2]], [], (), [[]], [None], [True], [1.0], [np.int64(1), np.array(2)], [np.str_("ab"), np.str_("c")],
    np.array([]), np.array([], int), np.array([[1, 2], [3, 4]]), np.zeros((1, 2, 2), int), np.array(["ab", None], object),
    np.array(["ab", "cd"]), {1, 2}, {"a": 1}, range(3), object(),
]


@cache
def model():
    model = GPT(GPTConfig(vocab_size=5, n_positions=8, n_embd=6, n_layer=1, n_head=2), seed=0, dtype=np.float64)
    model.tokenizer = CharTokenizer("abcde")
    return model


@cache
def trace():
    return model().trace(IDS, True)


@cache
def transformer():
    return Transformer(TransformerConfig(vocab_size=9, n_embd=6, n_layer=1, n_head=2), seed=0)


CALLS = {       # function and argument: (the argument's name in messages, how it is called)
    "model": ("ids", lambda x: model()(x)),
    "model, key_padding_mask": ("key_padding_mask", lambda x: model()(IDS, x)),
    "loss": ("ids", lambda x: model().loss(x)),
    "loss, targets": ("targets", lambda x: model().loss(IDS, x)),
    "loss_and_grads": ("ids", lambda x: model().loss_and_grads(x)),
    "generate": ("ids", lambda x: model().generate(x, 2)),
    "generate, max_new_tokens": ("max_new_tokens", lambda x: model().generate(IDS, x)),
    **{f"generate, {name}": (name, lambda x, name=name: model().generate(IDS, 1, **{name: x})) for name in (
        "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram_size", "bad_words_ids",
        "force_words_ids", "logit_bias", "logits_processor", "min_new_tokens", "stop_ids", "start_id", "seed", "num_samples",
        "logprobs", "vocab_size", "sliding_window")},
    "stream": ("ids", lambda x: [*model().stream(x, 2)]),
    "stream_text": ("prompt|ids", lambda x: [*model().stream_text(x, 2)]),
    **{f"stream_text, {name}": (f"{name}|force_words_ids", lambda x, name=name: [*model().stream_text("ab", 2, **{name: x})])
       for name in ("stop_strings", "bad_words", "force_words")},
    "candidates": ("prompt|ids", lambda x: [*model().candidates(x, 2)]),
    "candidates, n_candidates": ("n_candidates", lambda x: [*model().candidates(IDS, 2, n_candidates=x)]),
    "score": ("text", lambda x: model().score(x)),
    "score, start_id": ("start_id", lambda x: model().score(IDS, x)),
    "score, progress": ("progress", lambda x: model().score(IDS, None, x)),
    "choose": ("prompt", lambda x: model().choose(x, ["c"])),
    "choose, answers": ("answers", lambda x: model().choose("a", x)),
    "choose, normalize": ("normalize", lambda x: model().choose("a", ["b"], x)),
    "beam_search, beams": ("beams", lambda x: beam_search(transformer(), [[3, 4]], beams=x, max_new_tokens=1)),
    "beam_search, length_penalty": ("length_penalty", lambda x: beam_search(transformer(), [[3, 4]], length_penalty=x,
                                                                            max_new_tokens=1)),
    "trace": ("ids", lambda x: model().trace(x)),
    "trace, targets": ("targets", lambda x: model().trace(IDS, x)),
    "trace, names": ("names", lambda x: model().trace(IDS, names=x)),
    "run": ("ids", lambda x: model().run(x)),
    "run, targets": ("targets", lambda x: model().run(IDS, x)),
    "run, names": ("names", lambda x: model().run(IDS, names=x)),
    "run, edits": ("edits", lambda x: model().run(IDS, edits=x)),
    "run, an edit": ("edits", lambda x: model().run(IDS, edits={"h.0.in": x})),
    "Trace.select": ("names", lambda x: trace().select(x)),
    "Trace[…]": ("trace", lambda x: trace()[x]),
    "Trace.grad": ("trace", lambda x: trace().grad(x)),
    "Trace.parts": ("trace", lambda x: trace().parts(x)),
    "logit_lens": ("ids", lambda x: logit_lens(model(), x)),
    "direct_logit_attribution": ("ids", lambda x: direct_logit_attribution(model(), x, 1)),
    "direct_logit_attribution, token": ("token", lambda x: direct_logit_attribution(model(), IDS, x)),
    "direct_logit_attribution, against": ("against", lambda x: direct_logit_attribution(model(), IDS, 1, against=x)),
    "direct_logit_attribution, position": ("position", lambda x: direct_logit_attribution(model(), IDS, 1, position=x)),
    "activation_patching": ("ids|clean_ids", lambda x: activation_patching(model(), x, IDS, True, "wte.out")),
    "activation_patching, targets": ("targets", lambda x: activation_patching(model(), IDS, IDS, x, "wte.out")),
    "attribution_patching, names": ("names", lambda x: attribution_patching(model(), IDS, IDS, True, x)),
    "check_model": ("ids|targets", lambda x: check_model(model(), x, [1, 2, 3], samples=0)),
    "check_model, samples": ("samples", lambda x: check_model(model(), IDS, True, samples=x)),
    "check_model, tolerance": ("tolerance", lambda x: check_model(model(), IDS, True, samples=0, tolerance=x)),
    "check_gradients, forward": ("forward", lambda x: check_gradients(x, x, {})),
    "check_gradients, inputs": ("inputs", lambda x: check_gradients(lambda *_: np.ones(2), lambda *_: None, x)),
    "exercises.hint": (".*", lambda x: exercises.hint(x)),
    "exercises.hint, number": ("hint", lambda x: exercises.hint("softmax", x)),
    "exercises.hint, language": ("language", lambda x: exercises.hint("softmax", language=x)),
    "exercises.check, function": ("check", lambda x: exercises.check("softmax", x)),
    "bugs.name, number": ("number", lambda x: bugs.name(x, "mask")),
    "bugs.name": ("answer", lambda x: bugs.name(1, x)),
    "bugs.hint": ("number", lambda x: bugs.hint(x)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("call", CALLS)
def test_an_argument_of_any_shape_is_taken_or_refused_by_its_name(call, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")
    name, function = CALLS[call]
    for shape in SHAPES:
        try:
            function(shape)
        except (TypeError, ValueError, KeyError) as error:
            message = str(error.args[0])
            if call != "exercises.hint":
                assert re.match(rf"({name})( key)?(\[.*\])?: ", message), (shape, message)
            assert re.search("expected|among .* names|matches no name", message), (shape, message)


SCALARS = {     # function and argument: one of Python's that is taken
    "loss, targets": True, "generate, max_new_tokens": 1, "generate, temperature": 1.5, "generate, top_k": 1,
    "generate, top_p": 0.5, "generate, num_samples": 1, "generate, logprobs": True, "generate, sliding_window": False,
    "generate, start_id": 1, "candidates, n_candidates": 1, "score": "ab", "score, start_id": 1, "score, progress": False,
    "choose": "ab", "choose, normalize": "tokens", "beam_search, beams": 1, "beam_search, length_penalty": 0.5, "trace": "ab",
    "trace, targets": True, "trace, names": "h.*.in", "direct_logit_attribution, token": 1,
    "direct_logit_attribution, position": -1, "activation_patching, targets": True, "check_model, samples": 1,
    "check_model, tolerance": 0.5, "exercises.hint, number": 1, "bugs.name, number": 1, "bugs.hint": 1,
}


@pytest.mark.parametrize("call", SCALARS)
def test_a_scalar_of_numpy_is_taken_where_one_of_python_is(call, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path))
    _, function = CALLS[call]
    for scalar in (SCALARS[call], np.array([SCALARS[call]])[0], np.array(SCALARS[call])):
        function(scalar)


@pytest.mark.parametrize("call, argument, message", [
    (lambda x: model()(x), ["ab", 3], r"ids[1]: 3 of type int among texts or rows, expected a text or a row of ids as well"),
    (lambda x: model()(x), [[[1]], [2]], "ids: lists within some rows and not within others, expected one depth; flatten them"),
    (lambda x: model()(x), [[1, 2], [3]], "ids: rows of different lengths, expected one length; give one at a time"),
    (lambda x: model()(x), 3, "ids: 3 of type int, expected a text, ids (T,) or (B, T), or a list of B of them"),
    (lambda x: model().choose("a", x), np.array(5), "answers: 5, expected a sequence of texts; write ('…',)"),
    (lambda x: model().loss(IDS, x), None, "targets: None, expected True for the next tokens, or ids (1, 3)"),
    (lambda x: model().trace(IDS, names=x), [], "names: none, expected at least one name or pattern; '*' is all of them"),
])
def test_the_reason_is_the_right_one(call, argument, message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        call(argument)
