"""A long text in memory on several processes: the ids and the errors of one."""

import random
import sys

import pytest

from cuttable import TOKENIZERS, WILD
from minigpt.system import processes
from minigpt.tokenization import Tokenizer, parallel


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch):
    monkeypatch.setattr(parallel, "LONG", 100)
    monkeypatch.setattr(parallel, "_PART", 20)


@pytest.fixture
def two_processes(monkeypatch):
    """Two are wanted, but the second cannot be started: as a second one would, this one encodes part by part."""
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    monkeypatch.setattr(sys, "executable", "nowhere")


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name != "characters"])
def test_a_long_text_has_the_ids_of_one_process(two_processes, monkeypatch, name):
    tokenizer, rng = TOKENIZERS[name], random.Random(1)
    for allowed, disallowed in (("all", "all"), ((), ())):
        text = "".join(rng.choices(WILD, k=300))
        many = tokenizer.encode(text, allowed, disallowed)
        monkeypatch.setattr(parallel, "LONG", 1 << 30)
        assert many == tokenizer.encode(text, allowed, disallowed)
        monkeypatch.setattr(parallel, "LONG", 100)


def test_a_long_text_meets_the_refusals_of_a_short_one(two_processes):
    tokenizer = TOKENIZERS["a special token"]
    with pytest.raises(ValueError, match="special token '<s>' at index 200"):
        tokenizer.encode("ab " * 66 + "ab<s>")
    with pytest.raises(UnicodeEncodeError, match="a lone surrogate"):
        tokenizer.encode_array("ab " * 60 + "\ud800")
    assert tokenizer.encode_array("ab " * 60 + "\ud800", errors="replace").tolist() == tokenizer.encode("ab " * 60 + "\ufffd")
    assert tokenizer.encode("letters" * 40) == tokenizer.encode("letters") * 40         # no cut: one part longer than LONG


def test_another_process_encodes_as_this_one(monkeypatch):
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    started = []
    start = processes._Team.start
    monkeypatch.setattr(processes._Team, "start", lambda *args: started.append(start(*args)))
    tokenizer = Tokenizer.train("low lower lowest " * 9, 262, ["<s>"])
    text = "low <s>lower lowest, it's 42\n" * 40
    parts = tokenizer.encode(text[:29], allowed_special="all") * 40
    assert tokenizer.encode(text, allowed_special="all") == parts and started == [None]
