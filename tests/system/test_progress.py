"""A bar that was interrupted while it was drawn stops nobody."""

import io
import threading

import pytest

from minigpt.system.progress import Bar


class Interrupting(io.StringIO):
    """A stream whose n-th write is interrupted"""

    def __init__(self, n):
        super().__init__()
        self.n = n

    def write(self, text):
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt
        return super().write(text)


def draw(stream):
    with Bar(total=3, file=stream, mininterval=0) as bar:
        for _ in range(3):
            bar.update()
            bar.clear()
            bar.refresh()


@pytest.mark.parametrize("n", range(1, 20))
def test_another_thread_draws_after_an_interrupt_at_any_write(n):
    with pytest.raises(KeyboardInterrupt):
        draw(Interrupting(n))
    stream = io.StringIO()
    thread = threading.Thread(target=draw, args=(stream,), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert "3/3" in stream.getvalue()


def test_a_forked_child_draws_although_another_thread_was_drawing():
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with Bar._lock:
            inside.set()
            assert leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    Bar.renew()                     # what forks.py calls there
    stream = io.StringIO()
    draw(stream)
    assert "3/3" in stream.getvalue()
    leave.set()
    thread.join()
