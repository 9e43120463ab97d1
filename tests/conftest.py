"""The order of the tests, and how many threads BLAS has in them."""

import os

import pytest

# OpenBLAS's threads wait for the next product in a loop, some 30 ms of a core that other tests need.  Each process, also those
# that tests start, has one of them therefore; and where more are asked for, they sleep at once.  Read when NumPy is imported.
os.environ.update(OPENBLAS_NUM_THREADS="1", OPENBLAS_THREAD_TIMEOUT="4")


@pytest.fixture
def two_blas_threads():
    """BLAS has two threads, as it has in a user's process, so that a test sees whether it gets them back."""
    from minigpt.system.blas import openblas_functions

    get, set_ = openblas_functions("get_num_threads", "set_num_threads") or (lambda: 1, lambda n: None)
    before = get()
    set_(2)
    yield
    set_(before)


def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that several processes end at about the same time."""
    items.sort(key=lambda item: not item.name.startswith("test_it_runs_and_shows_what_it_keeps"))
