"""A training run under faults: resumed it ends as the undisturbed one, byte for byte."""

import io
import os
import shutil
import signal
import time
from contextlib import contextmanager, redirect_stderr
from functools import partial

import numpy as np
import pytest

from faults.calls import CHARS, TEXT
from faults.engine import (
    Disk,
    complaint,
    duration,
    failing,
    failures,
    in_child,
    in_children,
    interrupted,
    interrupting,
    killed,
    leftovers,
    operations_of,
)
from faults.mutations import bytes_mutations, line_mutations
from minigpt import GPT, CheckpointError, GPTConfig, Recipe, Trainer
from minigpt.training import checkpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: each fault has a process")

IDS = CHARS.encode_array(TEXT)
RECIPE = Recipe(steps=6, batch_size=2, eval_interval=2, sample_tokens=3, optimizer="muon")


@contextmanager
def ticking():
    """A clock that counts its readings, so that a run writes the same times whenever it is run"""
    real, readings = time.perf_counter, iter(range(10**9))
    time.perf_counter = lambda: next(readings) / 1024
    try:
        yield
    finally:
        time.perf_counter = real


def begin(folder, threads=1):
    with ticking():
        model = GPT(GPTConfig(CHARS.vocab_size, 8, 8, 1, 2, resid_pdrop=0.1), 0, threads=threads)
        return Trainer(model, CHARS, IDS, RECIPE, folder, quiet=True).run()


def go_on(folder):
    """Resume, or begin where there is nothing to resume"""
    if not checkpoint.exists(folder):
        return begin(folder)
    with ticking():
        return Trainer.resume(folder, IDS, quiet=True).run()


def stopped(folder, after):
    """A run that was stopped by Ctrl-C after a step"""
    with ticking():
        model = GPT(GPTConfig(CHARS.vocab_size, 8, 8, 1, 2, resid_pdrop=0.1), 0, threads=1)
        trainer = Trainer(model, CHARS, IDS, RECIPE, folder, quiet=True)
        update = trainer.update

        def stopping():
            made = update()
            if trainer.step == after:
                os.kill(os.getpid(), signal.SIGINT)
            return made

        trainer.update = stopping
        assert trainer.run() == 130


def end_of(folder):
    """All that a run leaves, of its checkpoints the newest"""
    newest = max(folder.glob("checkpoint-*.safetensors"), default=None)
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if path.name != "run.lock" and not path.name.endswith(".damaged")
            and (path == newest or not path.name.startswith("checkpoint-"))}


def difference(folder, end):
    found = end_of(folder)
    if found == end:
        return None
    return "other files at the end: " + ", ".join(sorted(
        name for name in found.keys() | end.keys() if found.get(name) != end.get(name)))


def signaling(operation, path):
    """An act: Ctrl-C as a terminal sends it."""
    os.kill(os.getpid(), signal.SIGINT)


ACTS = {"kill": None, "interrupt": interrupting, "SIGINT": signaling}


def disturbed(folder, run, k, act, stays):
    """Run with a fault at operation k -> what is wrong with how it ended, or None"""
    if act == "kill":
        return killed(run, folder, k)
    documented = {"interrupt": KeyboardInterrupt, "SIGINT": KeyboardInterrupt}.get(act, CheckpointError)
    named = (folder,) if documented is CheckpointError else ()
    with Disk(folder, k, failing(act) if isinstance(act, int) else ACTS[act], stays):
        try:
            status = run()
        except BaseException as error:
            return complaint(error, documented, *named)
    if left := leftovers(folder):
        return f"left {left}"
    return None if status in ((0, 130) if act == "SIGINT" else (0,)) else f"status {status}"


@pytest.mark.parametrize("sitting", ["first", "second"])
def test_a_run_with_a_fault_ends_as_one_without(sitting, campaign, tmp_path):
    end, start = tmp_path / "end", tmp_path / "start"
    in_child(partial(begin, end))
    end = end_of(end)
    start.mkdir()
    if sitting == "second":
        in_child(partial(stopped, start, 3))
    run = begin if sitting == "first" else go_on
    shutil.copytree(start, tmp_path / "counted")
    operations = in_child(partial(operations_of, partial(run, tmp_path / "counted"), tmp_path / "counted"))
    assert difference(tmp_path / "counted", end) is None, "a resumed run does not even end alike without faults"

    def check(case):
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)
        problem = disturbed(folder, partial(run, folder), *case)
        if problem is None:
            go_on(folder)
            problem = difference(folder, end)
        return problem

    cases = [*failures(operations), *((k, act, False) for k in range(len(operations)) for act in ACTS)]
    with campaign(f"training, {sitting} sitting") as one:
        for (k, act, stays), problem in in_children(check, one.choose(cases, 12)):
            one.record((k, *operations[k], act if isinstance(act, str) else os.strerror(act), *(["staying"] * stays)), problem)


def test_a_run_interrupted_at_any_moment_ends_as_one_without(campaign, tmp_path):
    in_child(partial(begin, tmp_path / "end"))
    end = end_of(tmp_path / "end")
    again = lambda: (shutil.rmtree(tmp_path / "run", ignore_errors=True), begin(tmp_path / "run"))       # noqa: E731
    seconds = in_child(partial(duration, again))
    moments = np.random.default_rng(0).uniform(0, 1.1 * seconds, 300).tolist()

    def check(moment):
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        interrupted(partial(begin, folder), moment)
        go_on(folder)
        return difference(folder, end)

    with campaign("training, interrupts") as one:
        for moment, problem in in_children(check, one.choose(moments, 10)):
            one.record(moment, problem)


# Damaged files of a run

def test_a_damaged_checkpoint_gives_way_to_the_one_before(campaign, tmp_path):
    start, end = tmp_path / "start", tmp_path / "end"
    in_child(partial(begin, end))
    end = end_of(end)
    in_child(partial(stopped, start, 4))
    before, newest = sorted(start.glob("checkpoint-*.safetensors"))
    good, older = newest.read_bytes(), checkpoint.load(before)

    def check(case):
        _, data = case
        folder, said = tmp_path / "run", io.StringIO()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)
        (folder / newest.name).write_bytes(data)
        with redirect_stderr(said):
            found = checkpoint.load_newest(folder)
        if found.step != older.step or any(not np.array_equal(found.arrays[name], older.arrays[name]) for name in older.arrays):
            return "it was loaded"
        if not list(folder.glob(newest.name + "*damaged*")):
            return "the damaged one is not kept aside"
        text = said.getvalue()
        if newest.name not in text or not all(line.isprintable() and len(line) < 1500 for line in text.splitlines()):
            return f"said: {text[:300]!r}"
        return None

    with campaign("damaged checkpoints") as one:
        cases = [case for case in bytes_mutations(good, header=8 + int.from_bytes(good[:8], "little")) if case[1] != good]
        for (what, _), problem in in_children(check, one.choose(cases, 30)):
            one.record(what, problem)

    def whole(case):
        _, data = case
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)
        (folder / newest.name).write_bytes(data)
        with redirect_stderr(io.StringIO()):
            go_on(folder)
        return difference(folder, end)

    with campaign("runs after a damaged checkpoint") as one:
        for (what, _), problem in in_children(whole, one.choose(cases[::20], 4)):
            one.record(what, problem)


def test_a_damaged_log_never_stops_a_resume(campaign, tmp_path):
    start, end = tmp_path / "start", tmp_path / "end"
    in_child(partial(begin, end))
    in_child(partial(stopped, start, 4))
    lines = (end / "log.csv").read_bytes().splitlines()
    good = (start / "log.csv").read_bytes()

    def check(case):
        _, data = case
        folder, said = tmp_path / "run", io.StringIO()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)
        (folder / "log.csv").write_bytes(data)
        with redirect_stderr(said):
            go_on(folder)
        found = (folder / "log.csv").read_bytes().splitlines()
        if found[:1] != lines[:1] or found[-2:] != lines[-2:]:
            return f"the heading or the rows after the resume are others: {found[:1] + found[-2:]}"
        strange = [line for line in data.splitlines() if line.strip() and line not in good.splitlines() and line not in found]
        if strange and "log.csv" not in said.getvalue():
            return f"{strange[0][:80]!r} was left out without a word"
        return None if all(line.isprintable() and len(line) < 1500 for line in said.getvalue().splitlines()) else "no line"

    with campaign("damaged logs") as one:
        cases = [*bytes_mutations(good, header=len(good)), *line_mutations(good)]
        for (what, _), problem in in_children(check, one.choose(cases, 20)):
            one.record(what, problem)
