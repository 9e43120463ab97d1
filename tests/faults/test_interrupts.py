"""Ctrl-C at any moment of any call: the same call works at once, with the numbers of an undisturbed one."""

import gc
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import pytest

from faults.calls import CALLS, models, solid
from faults.engine import calls_of, complaint, duration, in_children, interrupted
from minigpt.system.blas import blas_threads

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and setitimer")


def workers():
    """The threads of all pools"""
    return [thread for thread in threading.enumerate() if thread.name == "minigpt"]


def settled(most):
    """Whether no more than so many workers are left once those of models that are gone have ended"""
    for _ in range(2000):
        if len(workers()) <= most:
            return True
        gc.collect()
        time.sleep(.001)
    return False


class Undisturbed:
    """What a call gives and leaves when nothing comes between"""

    def __init__(self, name, threads, fast):
        self.call = lambda: CALLS[name](models(threads, fast))
        self.call()             # the first of all may import and start what the others find
        self.result = solid(self.call())
        gc.collect()
        self.workers = max(len(workers()), threads)
        self.blas = blas_threads()

    @cached_property
    def seconds(self):
        return duration(self.call)

    @cached_property
    def calls(self):
        return calls_of(self.call)


def in_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def check(case, known={}):      # noqa: B006  what this process knows of undisturbed calls
    name, threads, fast, kind, moment = case
    if (name, threads, fast) not in known:
        known.clear()
        known[name, threads, fast] = Undisturbed(name, threads, fast)
    undisturbed = known[name, threads, fast]
    try:
        if kind == "time":
            interrupted(undisturbed.call, max(moment * undisturbed.seconds, 1e-6))
        else:
            calls_of(undisturbed.call, 1 + int(moment * undisturbed.calls))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        return "instead of KeyboardInterrupt " + str(complaint(error, ()))
    if (found := blas_threads()) != undisturbed.blas:
        return f"BLAS has {found} threads, before {undisturbed.blas}"
    for where, run in (("", lambda call: call()), (" in another thread", in_thread)):       # which no lock may be left to
        try:
            again = solid(run(undisturbed.call))
        except Exception as error:
            return f"the next call{where}: {complaint(error, ())}"
        if again != undisturbed.result:
            return f"the next call{where} gives another result"
    if not settled(undisturbed.workers):
        return f"{len(workers())} workers, expected at most {undisturbed.workers}"
    return None


def moments(name, threads, fast):
    """Random moments, half of them by the clock, half by the number of calls made so far"""
    rng = random.Random(f"{name} {threads}")
    return [(name, threads, fast, kind, rng.uniform(0, 1.1)) for kind in ("time", "calls") for _ in range(40)]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_an_interrupted_call_leaves_nothing_behind(threads, campaign):
    with campaign(f"interrupts, {threads} threads") as one:
        names = CALLS if one.whole else [*CALLS][threads % 3 :: 3]             # each call with one number of threads
        cases = [case for name in names for case in one.choose(moments(name, threads, True), 1)]
        for case, problem in in_children(check, cases):
            one.record(case, problem)


def test_an_interrupted_call_of_the_textbook_leaves_nothing_behind(campaign):
    with campaign("interrupts, the textbook's layers") as one:
        names = ("model()", "loss_and_grads", "generate", "trace")
        for case, problem in in_children(check, [case for name in names for case in one.choose(moments(name, 2, False), 2)]):
            one.record(case, problem)
