"""Readers at the same time, a writer alone, and nobody left waiting."""

import signal
import threading

import pytest

from minigpt.system.rwlock import ReadWriteLock


class Interrupt(BaseException):
    pass


def fail():
    raise Interrupt


def in_thread(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_what_the_function_returns_is_returned():
    lock = ReadWriteLock()
    assert lock.read(lambda: 3) == 3
    assert lock.write(lambda: 4) == 4


def test_readers_read_at_the_same_time():
    lock, meeting = ReadWriteLock(), threading.Barrier(3, timeout=10)
    threads = [in_thread(lambda: lock.read(meeting.wait)) for _ in range(2)]
    lock.read(meeting.wait)
    for thread in threads:
        thread.join(60)
    assert not meeting.broken


def until_waiting(lock, n):
    """Until n callers are inside or wait"""
    while len(lock._callers) < n:
        threading.Event().wait(0.001)


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_writer_waits_for_all_before_it_and_readers_for_the_writer_before_them(kind):
    lock, inside, leave, order = ReadWriteLock(), threading.Event(), threading.Event(), []

    def first():
        inside.set()
        assert leave.wait(10)
        order.append("first")

    threads = [in_thread(lambda: getattr(lock, kind)(first))]
    assert inside.wait(10)
    for i in range(3):
        threads.append(in_thread(lambda: lock.write(lambda: order.append("writer"))))
        until_waiting(lock, 2 * i + 2)
        threads.append(in_thread(lambda: lock.read(lambda: order.append("reader"))))
        until_waiting(lock, 2 * i + 3)
    leave.set()
    for thread in threads:
        thread.join(60)
    assert order == ["first", *["writer", "reader"] * 3]


def test_a_reader_reads_again_while_a_writer_waits():
    lock, seen = ReadWriteLock(), []

    def reader():
        writer = in_thread(lambda: lock.write(lambda: seen.append("writer")))
        until_waiting(lock, 2)
        lock.read(lambda: seen.append("again"))
        return writer

    lock.read(reader).join(60)
    assert seen == ["again", "writer"]


def test_a_writer_reads_and_writes_inside():
    lock = ReadWriteLock()
    assert lock.write(lambda: lock.write(lambda: lock.read(lambda: 5))) == 5


def test_a_reader_that_wants_to_write_is_refused_instead_of_waiting_for_itself():
    lock = ReadWriteLock()
    with pytest.raises(RuntimeError, match="expected to be called after it has returned"):
        lock.read(lambda: lock.write(lambda: None))
    assert lock.write(lambda: 1) == 1


@pytest.mark.parametrize("kind", ["read", "write"])
def test_the_lock_is_free_after_any_exception(kind):
    lock = ReadWriteLock()
    with pytest.raises(Interrupt):
        getattr(lock, kind)(fail)
    done = []
    in_thread(lambda: lock.write(lambda: done.append(True))).join(60)
    assert done


@pytest.mark.parametrize("kind", ["read", "write"])
def test_whoever_could_not_sign_off_holds_up_nobody(kind):
    lock, done = ReadWriteLock(), []
    line = lock._line

    class Interrupted:
        def __enter__(self):
            raise Interrupt                 # Ctrl-C where the others should be told

        def __exit__(self, *_):
            pass

    looking = line._looking

    def interrupted():
        line._looking = Interrupted()

    with pytest.raises(Interrupt):
        getattr(lock, kind)(interrupted)
    line._looking = looking
    assert len(lock._callers) == 1
    in_thread(lambda: lock.write(lambda: done.append(True))).join(60)
    assert done
    assert lock.write(lambda: 1) == 1       # also for the thread that was interrupted


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that interrupt")
def test_one_who_is_interrupted_while_waiting_holds_up_nobody():
    lock, inside, leave = ReadWriteLock(), threading.Event(), threading.Event()
    thread = in_thread(lambda: lock.write(lambda: (inside.set(), leave.wait(10))))
    assert inside.wait(10)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            lock.write(lambda: None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    leave.set()
    thread.join(60)
    assert lock.write(lambda: 1) == 1
