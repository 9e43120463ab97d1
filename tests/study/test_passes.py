"""What a pass for study costs: no array is held twice, and nothing is computed or kept that no name asks for."""

import tracemalloc
from functools import cache

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.models import gpt

FILTERS = ["h.*.attn.att", "logits", "probs", "h.2.*", "*.weight", "h.0.*", "ln_f.*", "wpe.*", "loss"]


@cache
def example():
    """GPT-2 and 256 tokens with every length divided by 8, so that all arrays are to each other as in GPT-2"""
    model = GPT(GPTConfig(vocab_size=50_257 // 8, n_positions=128, n_embd=96, n_layer=12, n_head=12), seed=0, threads=1)
    return model, np.random.default_rng(0).integers(model.config.vocab_size, size=(1, 32))


def traced(names, targets=True):
    """A trace, and the peak of memory while it was made, in bytes"""
    model, ids = example()
    tracemalloc.start()
    try:
        trace = model.trace(ids, targets, names)
        return trace, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def size(trace):
    """Bytes of what a trace keeps; the values of parameters are the model's"""
    values = sum(step.value.nbytes for name, step in trace.items() if name not in example()[0].params)
    return values + sum(step.grad.nbytes for step in trace.values())


@pytest.fixture(scope="module")
def whole():
    return traced("*")


def test_a_trace_of_everything_takes_hardly_more_memory_than_it_keeps(whole):
    trace, peak = whole
    assert peak < 1.1 * size(trace)     # where every array was copied: 1.35


@pytest.mark.parametrize("names", FILTERS)
def test_a_filter_bounds_the_memory_of_a_trace_and_changes_no_number(names, whole):
    trace, peak = traced(names)
    assert peak < example()[0].flat_params.nbytes + 0.1 * size(whole[0])        # all gradients and, at GPT-2's size, 136 MB
    for name, step in trace.items():
        np.testing.assert_array_equal(step.value, whole[0][name].value)
        np.testing.assert_array_equal(step.grad, whole[0][name].grad)


def test_every_array_of_a_trace_is_its_own(whole):
    trace, _ = whole
    arrays = [step.value for name, step in trace.items() if name not in example()[0].params]
    arrays += [step.grad for step in trace.values()]
    assert len({array.__array_interface__["data"][0] for array in arrays}) == len(arrays)
    assert all(array.base is None and array.flags.writeable for array in arrays)


@pytest.mark.parametrize("names, targets, forward, backward", [
    ("h.0.attn.att", None, 1, 0), (["h.2.*", "wpe.out"], None, 3, 0), ("logits", None, 12, 0), ("logits", True, 12, 0),
    ("h.9.*", True, 12, 3), ("h.9.mlp.c_fc.weight", True, 12, 3), ("ln_f.weight", True, 12, 1), ("wte.weight", True, 12, 12),
])
def test_a_pass_ends_with_the_last_name_that_is_asked_for(names, targets, forward, backward, monkeypatch):
    called = []

    def counted(function):
        return lambda *args, **options: (called.append(function), function(*args, **options))[1]

    functions = gpt.block_forward, gpt.block_backward
    for function in functions:
        monkeypatch.setattr(gpt, function.__name__, counted(function))
    traced(names, targets)
    assert [*map(called.count, functions)] == [forward, backward]


def test_an_edit_that_nothing_asked_for_comes_after_is_still_made():
    model, ids = example()
    seen = []
    model.run(ids, edits={"h.1.in": lambda x: (seen.append(x.shape), x)[1]}, names="h.0.in")
    assert seen == [(1, 32, 96)]
