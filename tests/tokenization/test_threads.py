"""Tokenizers in a running process: several threads, forks, copies, interrupts."""

import copy
import gc
import multiprocessing
import os
import pickle
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minigpt.hf import GPT2Tokenizer
from minigpt.tokenization import CharTokenizer, Tokenizer, fast, from_state, load
from texts import END, PROSE

TEXTS = [PROSE[start : start + 800] + f" é日😀 {'ab' * (start // 20)}" for start in range(0, 12_000, 1500)]
CHARS = CharTokenizer.train("".join(TEXTS))


@pytest.fixture
def small_steps(monkeypatch):
    """Make a text of a few hundred characters take all ways through the engine: the cache fills up, windows are cut."""
    monkeypatch.setattr(fast.split, "_PART_LENGTH", 100)
    monkeypatch.setattr(fast.merging, "_LONG_PIECE", 8)
    monkeypatch.setattr(fast.merging, "_WINDOW", 16)
    monkeypatch.setattr(fast.piece_cache, "_MAX_PIECES", 50)
    monkeypatch.setattr(fast.piece_cache, "_MIN_TOGETHER", 10)
    monkeypatch.setattr(fast.piece_cache, "_NEW_PER_ROUND", 20)


def calls(tokenizer) -> dict:
    """Every public call that a tokenizer answers, each with a text of its own."""
    ids = {text: tokenizer.encode(text) for text in TEXTS}
    named = {"encode": tokenizer.encode, "decode": lambda text: tokenizer.decode(ids[text])}
    if isinstance(tokenizer, GPT2Tokenizer):
        return named | {"call": tokenizer, "tokenize": tokenizer.tokenize}
    named |= {
        "encode_array": lambda text: tokenizer.encode_array(text).tolist(),
        "decode_bytes": lambda text: tokenizer.decode_bytes(ids[text]),
        "state": lambda text: tokenizer.state(),
    }
    if isinstance(tokenizer, CharTokenizer):
        return named
    return named | {
        "encode_batch": lambda text: tokenizer.encode_batch([text, text[:100]], pad_id=0)[0].tolist(),
        "encode_with_offsets": tokenizer.encode_with_offsets,
        "explain": lambda text: str(tokenizer.explain(text[:200])),
        "train": lambda text: Tokenizer.train(text, 280).state(),
    }


def fresh(kind: str, tokenizer: Tokenizer):
    """Make a tokenizer that has encoded nothing yet."""
    made = from_state(tokenizer.state())
    return {"bpe": lambda: made, "char": lambda: copy.copy(CHARS), "hf": lambda: GPT2Tokenizer(made)}[kind]()


KINDS = pytest.mark.parametrize("kind", ["bpe", "char", "hf"])


# Threads


@KINDS
def test_eight_threads_on_one_tokenizer_get_what_each_gets_alone(tokenizer, small_steps, kind):
    work = [(name, text) for name in calls(fresh(kind, tokenizer)) for text in TEXTS]
    random.Random(1).shuffle(work)
    solo = calls(fresh(kind, tokenizer))
    expected = [solo[name](text) for name, text in work]
    shared = calls(fresh(kind, tokenizer))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda job: shared[job[0]](job[1]), work)) == expected
    finally:
        sys.setswitchinterval(interval)
    assert gc.isenabled()


# Forks


def exit_code_of(process) -> int | None:
    """Wait for a process; None where it hangs."""
    process.start()
    process.join(60)
    process.kill()
    return process.exitcode if process.exitcode in (0, 1) else None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forked_while_a_thread_makes_the_table_of_pairs_encodes(tokenizer, monkeypatch):
    parent, begun, forked = os.getpid(), threading.Event(), threading.Event()

    class SlowTable(fast.PairTable):
        def __init__(self, merged):
            if os.getpid() == parent:
                begun.set()
                forked.wait()
            super().__init__(merged)

    expected = tokenizer.encode(PROSE)
    monkeypatch.setattr(fast.piece_cache, "PairTable", SlowTable)
    shared = from_state(tokenizer.state())

    def child():
        assert shared.encode(PROSE) == expected

    with ThreadPoolExecutor(1) as pool:
        ids = pool.submit(shared.encode, PROSE)
        begun.wait()
        try:
            assert exit_code_of(multiprocessing.get_context("fork").Process(target=child)) == 0
        finally:
            forked.set()
        assert ids.result() == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forked_while_a_thread_learns_merges_collects_garbage(monkeypatch):
    begun, forked = threading.Event(), threading.Event()

    def slow(counts):
        begun.set()
        forked.wait()
        return as_characters(counts)

    as_characters = fast.learning._as_characters
    monkeypatch.setattr(fast.learning, "_as_characters", slow)

    def child():
        assert gc.isenabled()

    with ThreadPoolExecutor(1) as pool:
        merges = pool.submit(Tokenizer.train, PROSE, 260)
        begun.wait()
        try:
            assert not gc.isenabled()
            assert exit_code_of(multiprocessing.get_context("fork").Process(target=child)) == 0
        finally:
            forked.set()
        merges.result()
    assert gc.isenabled()


# Copies


def pickled(protocol: int):
    return lambda tokenizer: pickle.loads(pickle.dumps(tokenizer, protocol))


@KINDS
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled(0), pickled(2), pickled(pickle.HIGHEST_PROTOCOL)])
def test_a_copy_of_a_used_tokenizer_is_whole(tokenizer, kind, copied):
    used = fresh(kind, tokenizer)
    answers = {name: call(TEXTS[2]) for name, call in calls(used).items()}
    assert {name: call(TEXTS[2]) for name, call in calls(copied(used)).items()} == answers


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled(pickle.HIGHEST_PROTOCOL)], ids=["deepcopy", "pickle"])
def test_a_copy_begins_with_a_cache_of_its_own_and_is_no_larger_for_what_was_encoded(tokenizer, copied):
    used = from_state(tokenizer.state())
    unused = len(pickle.dumps(used))
    used.encode(PROSE)
    other = copied(used)
    assert used._pieces
    assert not other._pieces
    other.encode(" once")
    assert list(other._pieces) == [" once"]
    assert other._pieces._merged is other._merged is not used._merged
    assert len(pickle.dumps(used)) == unused


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_tokenizers_are_arguments_of_other_processes(tokenizer, method):
    used = [fresh(kind, tokenizer) for kind in ("bpe", "char", "hf")]
    expected = [one.encode(TEXTS[1]) for one in used]
    with multiprocessing.get_context(method).Pool(1) as pool:
        results = [pool.apply_async(one.encode, (TEXTS[1],)) for one in used]
        assert [result.get(60) for result in results] == expected


# Interrupts


def interrupted(call, moment: int) -> int:
    """Make a call and raise KeyboardInterrupt at one moment of it; the number of moments that passed.

    A real one comes where a function begins or one in C returns: these are counted, in minigpt's own functions.
    """
    passed = 0

    def watch(frame, event, called):
        nonlocal passed
        if event in ("call", "c_return") and frame.f_globals["__name__"].startswith("minigpt."):
            passed += 1
            if passed == moment:
                raise KeyboardInterrupt

    sys.setprofile(watch)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return passed


TEXT = PROSE[:400] + " " + "abcabdab" * 8 + " " + PROSE[400:600] + " é日本😀"


def interruptible(tokenizer, folder) -> dict:
    return {
        "train": lambda: Tokenizer.train(TEXT, 290).state(),
        "encode": lambda: tokenizer.encode(TEXT),
        "encode_array": lambda: tokenizer.encode_array(TEXT).tolist(),
        "decode": lambda: tokenizer.decode(np.arange(256)),
        "explain": lambda: str(tokenizer.explain(TEXT[:20])),
        "copy": lambda: copy.deepcopy(tokenizer).encode(TEXT),
        "save and load": lambda: (tokenizer.save(folder), load(folder).state())[1],
    }


# An interrupt can also come while Python clears a generator or a file away; it says so then, and nobody gets it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", interruptible(None, None))
def test_after_an_interrupt_at_any_moment_the_next_call_gives_the_right_ids(small_steps, tmp_path, name):
    tokenizer = Tokenizer.train(TEXT, 300, [END])
    expected = interruptible(from_state(tokenizer.state()), tmp_path)[name]()
    moments = interrupted(interruptible(from_state(tokenizer.state()), tmp_path)[name], 0)
    for moment in sorted(random.Random(1).sample(range(1, moments + 1), min(moments, 50))):
        for left_over in (tokenizer, from_state(tokenizer.state())):  # with the caches of all interrupts so far, and of one
            call = interruptible(left_over, tmp_path)[name]
            interrupted(call, moment)
            assert gc.isenabled()
            assert call() == expected


def test_an_interrupt_at_any_moment_of_learning_leaves_the_garbage_collector_on():
    def learn():
        return fast.learn_merges({"abab": 3}, 2)

    for moment in range(1, interrupted(learn, 0) + 1):
        interrupted(learn, moment)
        assert gc.isenabled()
