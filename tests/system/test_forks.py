"""A forked process finds no thread and no lock of its parent's."""

import os
import threading

import pytest

from minigpt.system.lanes import Lanes
from minigpt.system.rwlock import ReadWriteLock
from minigpt.system.threads import WorkerPool

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


def in_child(function):
    """The status of a child in which the function must be true within some seconds"""
    child = os.fork()
    if child == 0:
        threading.Timer(20, os._exit, [2]).start()          # it hangs
        os._exit(0 if function() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_pool_whose_threads_have_run_runs_in_the_child():
    pool = WorkerPool(2)
    assert pool.run([lambda: 1, lambda: 2]) == [1, 2]
    assert in_child(lambda: pool.run([lambda: 1, lambda: 2]) == [1, 2]) == 0
    assert pool.run([lambda: 1, lambda: 2]) == [1, 2]


@pytest.mark.parametrize("kind", ["lock", "lanes"])
def test_what_another_thread_holds_is_free_in_the_child(kind):
    lock, lanes = ReadWriteLock(), Lanes(0, lambda: 1, most=1)
    inside, leave = threading.Event(), threading.Event()

    def hold(*_):
        inside.set()
        assert leave.wait(20)

    thread = threading.Thread(target=lambda: lock.write(hold) if kind == "lock" else lanes.use(hold))
    thread.start()
    assert inside.wait(10)
    try:
        assert in_child(lambda: lock.write(lambda: True) if kind == "lock" else lanes.use(lambda thing: True)) == 0
    finally:
        leave.set()
        thread.join()
