"""Room for so many at the same time: nobody shares, nobody waits while something is free."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from minigpt.system.lanes import Lanes


class Interrupt(BaseException):
    pass


def test_one_caller_after_the_other_has_the_first_thing():
    lanes = Lanes("first", lambda: "another", most=3)
    assert [lanes.use(str.upper) for _ in range(5)] == ["FIRST"] * 5
    assert len(lanes) == 1


@pytest.mark.parametrize("most", [2, 3])
def test_as_many_as_there_is_room_for_work_at_the_same_time_each_with_its_own(most):
    lanes, meeting, seen = Lanes(object(), object, most), threading.Barrier(most, timeout=20), []

    def work(thing):
        seen.append(thing)
        meeting.wait()              # until so many are inside

    with ThreadPoolExecutor(4 * most) as pool:
        list(pool.map(lambda _: lanes.use(work), range(8 * most), timeout=60))
    assert len(lanes) == len(set(seen)) == most


def test_nobody_shares_a_thing():
    lanes, users = Lanes([], list, 2), []

    def work(thing):
        thing.append(1)
        users.append(len(thing))
        thing.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: lanes.use(work), range(500), timeout=60))
    assert users == [1] * 500


def test_after_an_exception_the_thing_is_free():
    lanes = Lanes(0, lambda: 1, most=1)

    def fail(thing):
        raise Interrupt

    with pytest.raises(Interrupt):
        lanes.use(fail)
    assert lanes.use(lambda thing: thing) == 0


def test_first_come_first_served():
    lanes, inside, leave, order = Lanes(0, lambda: 1, most=1), threading.Event(), threading.Event(), []
    threads = [threading.Thread(target=lambda: lanes.use(lambda thing: (inside.set(), leave.wait(20))))]
    threads[0].start()
    assert inside.wait(10)
    for i in range(4):
        threads.append(threading.Thread(target=lambda i=i: lanes.use(lambda thing: order.append(i))))
        threads[-1].start()
        while len(lanes._line._bells) <= i:         # until it waits
            threading.Event().wait(0.001)
    leave.set()
    for thread in threads:
        thread.join(60)
    assert order == [0, 1, 2, 3]
