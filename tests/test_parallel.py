"""The team of threads: order, errors, and BLAS's thread count before and after."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minigpt import parallel
from minigpt.parallel import Order, SharedGradients, Team, blas_threads, cpu_count, use_blas_threads

needs_openblas = pytest.mark.skipif(blas_threads() is None, reason="NumPy here has no OpenBLAS whose threads can be counted")


@pytest.fixture(params=[1, 3], ids=lambda n: f"{n} before")
def before(request):
    """BLAS's thread count as the user has set it"""
    with use_blas_threads(request.param):
        yield request.param


def fail():
    raise KeyError("broken task")


@needs_openblas
def test_blas_has_the_threads_asked_for_inside_the_block(before):
    with use_blas_threads(2):
        assert blas_threads() == 2


@needs_openblas
def test_blas_has_its_threads_back_after_the_block(before):
    with use_blas_threads(2):
        pass
    assert blas_threads() == before


@needs_openblas
def test_blas_has_its_threads_back_after_an_exception(before):
    with pytest.raises(KeyError, match="broken task"), use_blas_threads(2):
        fail()
    assert blas_threads() == before


@needs_openblas
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_every_task_sees_one_blas_thread_where_several_run(before, threads, tasks):
    expected = threads if tasks == 1 else 1              # a single task may have them all
    assert Team(threads).run([blas_threads] * tasks) == [expected] * tasks


@needs_openblas
@pytest.mark.parametrize("threads", [1, 2])
def test_blas_has_its_threads_back_after_a_run(before, threads):
    Team(threads).run([blas_threads] * 3)
    assert blas_threads() == before


@needs_openblas
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_blas_has_its_threads_back_after_a_task_that_fails(before, threads, place):
    tasks = [blas_threads] * 3
    tasks[place] = fail
    with pytest.raises(KeyError, match="broken task"):
        Team(threads).run(tasks)
    assert blas_threads() == before


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(threads):
    assert Team(threads).run([lambda i=i: i for i in range(7)]) == list(range(7))


@needs_openblas
def test_results_come_in_order_where_the_first_task_ends_last():
    ended = threading.Event()

    def last():
        assert ended.wait(10)
        return "first"

    def early():
        ended.set()
        return "second"

    assert Team(2).run([last, early]) == ["first", "second"]


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
        Team(2).run(tasks)
    assert ended == [True]


@needs_openblas
def test_a_team_works_on_after_an_error():
    team = Team(2)
    with pytest.raises(KeyError):
        team.run([fail, fail])
    assert team.run([lambda: 1, lambda: 2]) == [1, 2]


@needs_openblas
def test_two_tasks_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)
    assert sorted(Team(2).run([meeting.wait, meeting.wait])) == [0, 1]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 2, 7, 100])
def test_ranges_cover_everything_once(threads, size):
    ranges = Team(threads).run_ranges(lambda start, stop: (start, stop), size)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(size))


def test_a_team_has_all_cores_by_default():
    assert Team().threads == (cpu_count() if blas_threads() is not None else 1)


def test_without_control_over_blas_a_team_has_one_thread(monkeypatch):
    monkeypatch.setattr(parallel, "_openblas", lambda: None)
    team = Team(4)
    assert team.threads == 1
    assert team.run([lambda: 1, lambda: 2]) == [1, 2]


def test_without_control_over_blas_nothing_is_set(monkeypatch):
    monkeypatch.setattr(parallel, "_openblas", lambda: None)
    assert blas_threads() is None
    with use_blas_threads(2):
        assert blas_threads() is None


# Sums in a fixed order


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_threads_pass_each_place_in_the_order_of_their_numbers(n, seed):
    order, passed = Order(), {"a": [], "b": []}
    order.begin(n)

    def run(i):
        rng = random.Random(10 * seed + i)
        for places, turn in (["a"], i), (["b"], i), (["a", "b"], n + i):
            time.sleep(0.002 * rng.random())
            for place in places:
                order.wait(place, turn)
            for place in places:
                passed[place].append(i)
                order.pass_on(place, turn)

    with ThreadPoolExecutor(n) as pool:
        list(pool.map(run, range(n), timeout=10))
    assert passed == {"a": 2 * list(range(n)), "b": 2 * list(range(n))}


def test_nobody_waits_for_a_thread_that_has_failed():
    order = Order()
    order.begin(2)

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(order.wait, "a", 1)
        time.sleep(0.01)
        assert not waiting.done()
        order.abandon()
        waiting.result(timeout=10)
        pool.submit(order.wait, "b", 1).result(timeout=10)          # nor does who comes later


def test_a_turn_that_comes_while_a_hand_is_held_out_is_not_missed():
    order = Order()
    order.begin(2)

    class Slow(dict):
        def __setitem__(self, key, hand):
            order.pass_on("a", 0)               # sees no hand yet
            super().__setitem__(key, hand)

    order._hands = Slow()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(order.wait, "a", 1)
        try:
            waiting.result(timeout=2)
        finally:
            order.abandon()                     # or a failure would wait for ever


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("block", [2, 1000])
@pytest.mark.parametrize("slow", ["the first", "the last"])
def test_shared_gradients_are_the_sum_in_the_order_of_the_parts(monkeypatch, n, block, slow):
    """To the last bit, whoever is faster; by a plain sum, one contribution after the other"""
    monkeypatch.setattr("minigpt.nn.scope.BLOCK", block)
    rng = np.random.default_rng(n)
    a, b, rows, vectors = (rng.standard_normal((n, *shape)).astype(np.float32) for shape in ((4, 3), (3, 2), (2, 2), (2,)))
    ids = np.array([3, 0])
    order, arrays = Order(), {"w": np.full((4, 2), np.nan, np.float32), "v": np.full(2, np.nan, np.float32)}
    written = {}
    parts = [SharedGradients(arrays, i, order, written) for i in range(n)]

    def run(i):
        delay = random.Random(i)
        for contribute in (
            lambda: parts[i].add("v", vectors[i]),
            lambda: parts[i].add_product("w", a[i], b[i]),
            lambda: parts[i].add_rows("w", (4, 2), ids, rows[i]),
        ):
            time.sleep(0.002 * delay.random() * (n - i if slow == "the first" else i))
            contribute()

    w, v = np.zeros((4, 2), np.float32), np.zeros(2, np.float32)
    for _ in range(2):                                              # the second pass adds to the first
        order.begin(n)
        with ThreadPoolExecutor(n) as pool:
            list(pool.map(run, range(n), timeout=10))
        for i in range(n):
            w += np.concatenate([a[i][start : start + block // 2] @ b[i] for start in range(0, 4, block // 2)])
            v += vectors[i]
        for i in range(n):
            for id, row in zip(ids, rows[i], strict=True):
                w[id] += row
        np.testing.assert_array_equal(parts[0]["w"], w)
        np.testing.assert_array_equal(parts[0]["v"], v)


def test_of_the_first_two_parts_neither_waits_to_begin():
    order, written = Order(), {}
    arrays = {"v": np.full(1, np.nan, np.float32), "w": np.full((2, 1), np.nan, np.float32)}
    parts = [SharedGradients(arrays, i, order, written) for i in range(3)]
    order.begin(3)
    with ThreadPoolExecutor(2) as pool:
        parts[1].add("v", np.float32([2]))                  # returns, though part 0 has not come
        third = pool.submit(parts[2].add, "v", np.float32([4]))
        rows = pool.submit(parts[1].add_rows, "w", (2, 1), np.array([0]), np.float32([[1]]))
        time.sleep(0.01)
        assert not third.done()                             # from the third on the order counts,
        assert not rows.done()                              # and in sums that are made piece by piece
        parts[0].add("v", np.float32([1]))
        parts[0].add_rows("w", (2, 1), np.array([0]), np.float32([[8]]))
        third.result(timeout=10)
        rows.result(timeout=10)
    assert parts[0]["v"] == 7
    np.testing.assert_array_equal(parts[0]["w"], [[9], [0]])
