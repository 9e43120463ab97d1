"""Jobs on several processes: the same results in the same order, whatever becomes of the helpers."""

import json
import os
import sys
import threading

import pytest

from minigpt.system import processes
from minigpt.system.processes import in_order
from minigpt.tokenization.file_work import make_counter

SETUP = json.dumps({"special": [], "keep_bytes": False, "part": 50}).encode()


def jobs_of(path, n):
    return [json.dumps([str(path), 100 * i, 100 * i + 100]).encode() for i in range(n)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"word {i}\n" for i in range(200)), encoding="utf-8")
    return path


@pytest.fixture
def helpers(monkeypatch):
    """The helper processes that were started"""
    started = []

    class Started(processes.subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(processes.subprocess, "Popen", Started)
    return started


def test_two_processes_give_what_one_gives_and_none_is_left(path, helpers, monkeypatch):
    jobs = jobs_of(path, 18)
    alone = list(in_order(make_counter, SETUP, jobs, 1))
    assert not helpers
    helper_works, count = threading.Event(), make_counter(SETUP)
    put = processes._Team.put

    def noted(team, number, result):
        put(team, number, result)
        if threading.current_thread() is not threading.main_thread():
            helper_works.set()

    def here(job):                              # only when the helper has had its share
        helper_works.wait()
        return count(job)

    monkeypatch.setattr(processes._Team, "put", noted)
    assert list(in_order(make_counter, SETUP, jobs, 2, here)) == alone
    assert helper_works.is_set() and helpers[0].returncode is not None


def test_a_helper_that_dies_leaves_its_job_to_this_process(path, helpers, monkeypatch):
    jobs = jobs_of(path, 18)
    monkeypatch.setattr(processes, "_CODE", "raise SystemExit  # {path} {module} {name}")
    assert list(in_order(make_counter, SETUP, jobs, 3)) == list(in_order(make_counter, SETUP, jobs, 1))
    assert len(helpers) == 2 and all(helper.returncode is not None for helper in helpers)


def test_without_a_python_to_start_this_process_does_all(path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(path))
    assert len(list(in_order(make_counter, SETUP, jobs_of(path, 5), 2))) == 5


def test_an_error_of_a_job_and_one_of_what_makes_the_jobs_are_raised_here_and_end_the_helpers(path, helpers, capfd):
    def endless():
        yield from jobs_of(path, 3)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(in_order(make_counter, SETUP, endless(), 2))
    with pytest.raises(FileNotFoundError):
        list(in_order(make_counter, SETUP, jobs_of("missing.txt", 3), 2))
    assert all(helper.returncode is not None for helper in helpers)
    assert capfd.readouterr().err == ""


def test_whoever_stops_asking_ends_the_helpers_too(path, helpers):
    results = in_order(make_counter, SETUP, jobs_of(path, 18), 2)
    next(results)
    results.close()
    assert helpers[0].returncode is not None


def test_a_helper_is_out_of_reach_of_the_terminals_ctrl_c_and_ends_with_the_pipe_from_its_parent(helpers):
    team = processes._Team(iter(()), 1)
    team.start(make_counter, SETUP)             # there are no jobs: its thread sends the setup and leaves
    team._threads[0].join()
    if sys.platform != "win32":
        assert os.getsid(helpers[0].pid) != os.getsid(0)
    helpers[0].stdin.close()
    assert helpers[0].wait() == 0
    team.end()
