"""The order of the tests, how many threads BLAS has in them, and Ctrl-C."""

import os
import signal

import pytest

# OpenBLAS's threads go round in a loop for a while before they sleep, on cores that other tests need.  So each process has one
# of them, also those that tests start; where a test asks for more, they sleep at once.  NumPy is imported after this.
os.environ.update(OPENBLAS_NUM_THREADS="1", OPENBLAS_THREAD_TIMEOUT="4")

# What a shell script starts in the background ignores Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
