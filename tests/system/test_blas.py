"""How many threads BLAS has, and who decides when several want something else."""

import threading

import pytest

from minigpt.system import blas
from minigpt.system.blas import blas_threads, with_blas_threads

pytestmark = [pytest.mark.skipif(blas_threads() is None, reason="NumPy here has no OpenBLAS whose threads can be counted"),
              pytest.mark.usefixtures("two_blas_threads")]


def fail():
    raise KeyError("broken task")


@pytest.mark.parametrize("outer", [1, 3])
def test_a_task_has_the_threads_asked_for_and_what_is_around_it_its_own_again(outer):
    before = blas_threads()
    assert with_blas_threads(outer, lambda: [with_blas_threads(2, blas_threads), blas_threads()]) == [2, outer]
    assert blas_threads() == before


@pytest.mark.parametrize("outer", [1, 3])
def test_blas_has_its_threads_back_after_an_exception(outer):
    def failing():
        with pytest.raises(KeyError, match="broken task"):
            with_blas_threads(2, fail)
        return blas_threads()

    assert with_blas_threads(outer, failing) == outer


def test_of_several_wishes_the_smallest_holds_whoever_leaves_first():
    before, seen = blas_threads(), {}
    inside, leave = threading.Event(), threading.Event()

    def other():
        with_blas_threads(1, lambda: (inside.set(), leave.wait(10)))

    def mine():
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
        seen["both"] = blas_threads()
        leave.set()
        thread.join()
        seen["mine"] = blas_threads()

    with_blas_threads(3, mine)
    assert seen == {"both": 1, "mine": 3}
    assert blas_threads() == before


def test_without_control_over_blas_nothing_is_set(monkeypatch):
    monkeypatch.setattr(blas, "_openblas", lambda: None)
    assert blas_threads() is None
    assert with_blas_threads(2, blas_threads) is None
