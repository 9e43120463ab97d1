"""The pool of threads: order, errors, and BLAS's thread count before and after."""

import copy
import pickle
import threading

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.system import blas
from minigpt.system.blas import blas_threads
from minigpt.system.threads import WorkerPool, cpu_count

needs_openblas = pytest.mark.skipif(blas_threads() is None, reason="NumPy here has no OpenBLAS whose threads can be counted")


def fail():
    raise KeyError("broken task")


@needs_openblas
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_every_task_sees_one_blas_thread_where_several_run(threads, tasks):
    expected = threads if tasks == 1 else 1              # a single task may have them all
    assert WorkerPool(threads).run([blas_threads] * tasks) == [expected] * tasks


@needs_openblas
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("two_blas_threads")
def test_blas_has_its_threads_back_after_a_run(threads):
    before = blas_threads()
    WorkerPool(threads).run([blas_threads] * 3)
    assert blas_threads() == before


@needs_openblas
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.usefixtures("two_blas_threads")
def test_blas_has_its_threads_back_after_a_task_that_fails(threads, place):
    before, tasks = blas_threads(), [blas_threads] * 3
    tasks[place] = fail
    with pytest.raises(KeyError, match="broken task"):
        WorkerPool(threads).run(tasks)
    assert blas_threads() == before


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(threads):
    assert WorkerPool(threads).run([lambda i=i: i for i in range(7)]) == list(range(7))


@needs_openblas
def test_results_come_in_order_where_the_first_task_ends_last():
    ended = threading.Event()

    def last():
        assert ended.wait(10)
        return "first"

    def early():
        ended.set()
        return "second"

    assert WorkerPool(2).run([last, early]) == ["first", "second"]


@needs_openblas
@pytest.mark.parametrize("place", [0, 1])
def test_an_error_is_raised_after_the_other_task_has_ended(place):
    failing, ended = threading.Event(), []

    def failing_task():
        failing.set()
        fail()

    def other_task():
        assert failing.wait(10)
        threading.Event().wait(0.05)                     # still at work when the other one fails
        ended.append(True)

    tasks = [other_task, other_task]
    tasks[place] = failing_task
    with pytest.raises(KeyError, match="broken task"):
        WorkerPool(2).run(tasks)
    assert ended == [True]


@needs_openblas
def test_a_team_works_on_after_an_error():
    pool = WorkerPool(2)
    with pytest.raises(KeyError):
        pool.run([fail, fail])
    assert pool.run([lambda: 1, lambda: 2]) == [1, 2]


@needs_openblas
def test_two_tasks_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)
    assert sorted(WorkerPool(2).run([meeting.wait, meeting.wait])) == [0, 1]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 2, 7, 100])
def test_ranges_cover_everything_once(threads, size):
    ranges = WorkerPool(threads).run_ranges(lambda start, stop: (start, stop), size)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(size))


def test_a_team_has_all_cores_by_default():
    assert WorkerPool().threads == (cpu_count() if blas_threads() is not None else 1)


def test_without_control_over_blas_a_team_has_one_thread(monkeypatch):
    monkeypatch.setattr(blas, "_openblas", lambda: None)
    pool = WorkerPool(4)
    assert pool.threads == 1
    assert pool.run([lambda: 1, lambda: 2]) == [1, 2]


def test_a_model_whose_threads_have_run_is_copied_and_pickled():
    model = GPT(GPTConfig(vocab_size=7, n_positions=6, n_embd=4, n_layer=1, n_head=2), threads=2)
    model.pool.run([lambda: None, lambda: None])
    ids = np.arange(12).reshape(2, 6) % 7
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.pool.threads == model.pool.threads
        np.testing.assert_array_equal(other(ids), model(ids))
