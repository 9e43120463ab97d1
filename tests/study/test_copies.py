"""What studies and generation hand over can be copied and pickled, and a copy shares nothing with the first."""

import copy
import pickle
import re

import numpy as np
import pytest

from minigpt import GPT, CharTokenizer, GPTConfig
from minigpt.generation.kv_cache import KVCache, MemoryCache
from minigpt.generation.options import Sampling
from minigpt.study import exercises
from minigpt.study.attribution import direct_logit_attribution
from minigpt.study.costs import duration, parameter_count
from minigpt.study.exercises.bugs.lab import FAULTS
from minigpt.study.gradcheck import GradientError, check_gradients
from minigpt.study.logit_lens import logit_lens
from minigpt.study.patching import attribution_patching
from minigpt.study.tables import Table

WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}


def things(monkeypatch, tmp_path):
    """{what is handed over: one of it}"""
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path))
    model = GPT(GPTConfig(vocab_size=5, n_positions=8, n_embd=6, n_layer=2, n_head=2), seed=0)
    model.tokenizer = CharTokenizer("abcde")
    trace = model.trace("abcd", targets=True)
    step = trace["h.0.attn.att"]
    with pytest.raises(GradientError) as wrong:
        check_gradients(lambda x, s: x * x, lambda dy, s: dy, {"x": np.arange(3.0)})
    bug = exercises.bugs.start(3)
    bug.train(1)
    return {
        "trace": trace, "selection": trace.select("h.0.*"), "step": step, "shape": step.shape, "table": step.table(),
        "table of tokens": trace["logits"].table(grad=True), "parts": trace["h.1.in"].parts, "run": model.run("abc"),
        "lens": logit_lens(model, "abc"), "attribution": direct_logit_attribution(model, "abc", 1),
        "effects": attribution_patching(model, "abc", "abd", True, "h.*.in"), "finding": parameter_count(model.config),
        "sentence": duration(5_000), "gradient error": wrong.value, "gradient check": wrong.value.check,
        "exercise": exercises.TABLE["softmax"], "exercises": exercises.TABLE,
        "result": exercises.check("softmax", lambda x: x), "bug": bug, "sampler": bug.sampler(), **FAULTS,
        **{f"measurement of {name}": fault.shown_by for name, fault in FAULTS.items()},
        "candidates": next(model.candidates("abc", 2, seed=1)), "options": Sampling(top_k=3, stop_ids=[1], logit_bias={1: 2.0}),
        "score": model.score("abc"), "choices": model.choose("ab", ["c", "d"]), "memory": MemoryCache(),
        "cache": KVCache(model.config, 1, 8, np.float32),
    }


def told(thing):
    """What a thing says of itself, in full"""
    return thing.text() if isinstance(thing, Table) else re.sub("at 0x[0-9a-f]+", "", repr(thing))


@pytest.mark.parametrize("how", WAYS)
def test_what_is_handed_over_can_be_copied_and_pickled(how, monkeypatch, tmp_path):
    for name, thing in things(monkeypatch, tmp_path).items():
        other = WAYS[how](thing)
        assert type(other) is type(thing), name
        assert told(other) == told(thing), name


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_shares_no_numbers_with_the_first(how, monkeypatch, tmp_path):
    all_of_them = things(monkeypatch, tmp_path)
    trace, table, bug = (all_of_them[name] for name in ("trace", "table", "bug"))
    other, other_table, other_bug = (WAYS[how](thing) for thing in (trace, table, bug))
    loss = bug.loss()
    assert other_bug.loss() == loss
    other_bug.train(1)
    assert other_bug.loss() != loss == bug.loss()
    text = table.text()
    trace["h.0.attn.att"].value[...] = 0
    assert other_table.text() == other["h.0.attn.att"].table().text() == text != table.text()
