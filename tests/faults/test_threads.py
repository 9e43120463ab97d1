"""Several Python threads on one model or two, and processes that are forked from one whose threads have run."""

import multiprocessing
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver

import pytest

from faults.calls import CALLS, READING, Models, models, solid
from faults.engine import complaint, in_children

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: each fault has a process")

PYTHON_THREADS = 8
SHARED = {**READING, **{name: lambda m, call=CALLS[name]: call(m)[0]       # the loss; the gradients are the next caller's
                        for name in ("loss_and_grads", "Classifier.loss_and_grads", "Transformer.loss_and_grads")}}


def compared(jobs):
    """What is wrong with the results of [(name, its models, the result alone)], run by PYTHON_THREADS threads, or None"""
    start = threading.Barrier(PYTHON_THREADS)

    def work(mine):
        start.wait()
        for name, m, alone in mine:
            try:
                if solid(SHARED[name](m)) != alone:
                    return f"{name} gives another result than alone"
            except Exception as error:
                return f"{name}: {complaint(error, ())}"
        return None

    with ThreadPoolExecutor(PYTHON_THREADS) as pool:
        found = pool.map(work, [jobs[i::PYTHON_THREADS] for i in range(PYTHON_THREADS)])
    return next((problem for problem in found if problem), None)


def same_call(case):
    name, threads, rounds = case
    m = models(threads)
    alone = solid(SHARED[name](m))
    return compared([(name, m, alone)] * (rounds * PYTHON_THREADS))


def mixed(case):
    seed, threads, n_models, rounds = case
    rng = random.Random(seed)
    several = [Models(threads) for _ in range(n_models)]
    names = [name for name in SHARED if name != "Trainer.run"]
    chosen = [(rng.choice(names), rng.randrange(n_models)) for _ in range(rounds * PYTHON_THREADS)]
    alone = {(name, i): solid(SHARED[name](several[i])) for name, i in dict.fromkeys(chosen)}
    problem = compared([(name, several[i], alone[name, i]) for name, i in chosen])
    for m in several:
        m.close()
    return problem


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_eight_threads_get_what_one_gets(threads, campaign):
    with campaign(f"{PYTHON_THREADS} Python threads, {threads} workers") as one:
        rounds = 20 if one.whole else 2
        for case, problem in in_children(same_call, one.choose([(name, threads, rounds) for name in SHARED], 6)):
            one.record(case, problem)
        cases = [(seed, threads, n_models, rounds) for seed in range(10) for n_models in (1, 2)]
        for case, problem in in_children(mixed, one.choose(cases, 1)):
            one.record(case, problem)


# Forks

def answer(name, m, pipe):
    """In another process: send the result of a call of models that came along"""
    pipe.send(repr(solid(CALLS[name](m))))
    pipe.close()


def in_process(case):
    method, name, threads = case
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        forkserver._forkserver.__init__()       # one of this process: Python cannot wait for what an earlier test has started
    m = models(threads)
    CALLS["loss_and_grads"](m)                  # its workers have run
    alone = repr(solid(CALLS[name](m)))
    mine, other = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(name, m, other), daemon=True)
    process.start()
    other.close()
    try:
        if not mine.poll(30):
            return "HUNG"
        found = mine.recv()
    except EOFError:
        return "no result; the child raised"
    finally:
        process.kill()
        process.join()
    if found != alone:
        return "another result than in the parent"
    return None if repr(solid(CALLS[name](m))) == alone else "another result in the parent afterwards"


def forked_beside_threads(case):
    """os.fork() while other Python threads are in the model"""
    name, threads, rounds = case
    m = models(threads)
    alone, stop = solid(CALLS[name](m)), threading.Event()

    def go_on():
        while not stop.is_set():
            SHARED.get(name, CALLS[name])(m)

    others = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in others:
        thread.start()
    try:
        for _ in range(rounds):
            child = os.fork()
            if child == 0:
                import signal

                try:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.alarm(20)
                    os._exit(0 if solid(CALLS[name](m)) == alone else 3)
                finally:
                    os._exit(4)
            if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                return {-14: "HUNG", 3: "another result", 4: "an error"}.get(code, f"status {code}")
    finally:
        stop.set()
        for thread in others:
            thread.join()
    return None


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_started_from_a_used_model_works(method, campaign):
    with campaign(method) as one:
        cases = [(method, name, threads) for name in CALLS for threads in (1, 2)]
        for case, problem in in_children(in_process, one.choose(cases, 6 if method == "fork" else 1)):
            one.record(case, problem)


def test_a_process_forked_while_other_threads_compute_works(campaign):
    with campaign("fork beside threads") as one:
        names = ("model()", "loss", "generate", "score", "loss_and_grads", "Tokenizer.encode", "Transformer.translate")
        cases = [(name, threads, 20 if one.whole else 3) for name in names for threads in (1, 2)]
        for case, problem in in_children(forked_beside_threads, one.choose(cases, 4)):
            one.record(case, problem)
