"""The engine finds the faults that it is for: in writers, readers and calls that break their promises."""

import errno
import os
import signal
import threading
import time
from contextlib import suppress
from functools import partial

import pytest

from faults.engine import (
    Disk,
    calls_of,
    complaint,
    failing,
    failures,
    in_children,
    interrupted,
    interrupting,
    killed,
    operations_of,
)
from faults.mutations import bytes_mutations, json_mutations
from minigpt.system.files import write_atomic

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def write_in_place(path, data):
    """What write_atomic is there to replace"""
    with open(path, "wb") as file:
        file.write(data)


def kept_whole(write, folder):
    """For every disk operation at which `write` is killed: whether the file is the old or the new"""
    path = folder / "file"
    path.write_bytes(b"old" * 100)
    found = []
    for k in range(len(operations_of(partial(write, path, b"new!" * 100), folder))):
        path.write_bytes(b"old" * 100)
        assert killed(partial(write, path, b"new!" * 100), folder, k) is None
        found.append(path.read_bytes() in (b"old" * 100, b"new!" * 100))
    return found


def test_a_file_written_in_place_is_torn_by_a_kill_and_an_atomic_one_is_not(tmp_path):
    assert kept_whole(write_in_place, tmp_path) == [True, False]            # open empties it: found at the write
    assert all(kept_whole(write_atomic, tmp_path))


def test_the_operations_of_an_atomic_write_are_counted_in_their_order(tmp_path):
    operations = [operation for operation, _ in operations_of(partial(write_atomic, tmp_path / "x", b"1"), tmp_path)]
    assert operations[:4] == ["open", "write", "fsync", "replace"]


def test_a_fault_comes_once_or_stays(tmp_path):
    def write_twice():
        for _ in range(2):
            with suppress(OSError):
                (tmp_path / "x").write_bytes(b"1")
        return (tmp_path / "x").read_bytes()

    with Disk(tmp_path, 1, failing(errno.ENOSPC)):
        assert write_twice() == b"1"
    with Disk(tmp_path, 1, failing(errno.ENOSPC), lasting=True):
        assert write_twice() == b""


def test_files_elsewhere_and_after_the_fault_are_left_alone(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    with Disk(inside, 0, failing(errno.EIO)) as disk:
        outside.write_bytes(b"1")
    assert disk.operations == []
    (inside / "x").write_bytes(b"1")


def test_an_interrupt_comes_at_its_operation(tmp_path):
    with Disk(tmp_path, 0, interrupting), pytest.raises(KeyboardInterrupt):
        (tmp_path / "x").write_bytes(b"1")
    assert not (tmp_path / "x").exists()


def test_every_operation_fails_in_each_of_its_ways():
    assert failures([("open", "x"), ("fsync", "x")], lasting=False) == [
        (0, errno.EACCES, False), (0, errno.ENOSPC, False), (0, errno.EIO, False), (0, errno.EMFILE, False),
        (1, errno.EIO, False), (1, errno.ENOSPC, False),
    ]


def test_a_hang_and_a_death_are_reported_and_the_cases_after_them_run():
    def check(case):
        if case == "hangs":
            threading.Event().wait()
        if case == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        return None if case == "right" else "wrong"

    found = dict(in_children(check, ["wrong", "hangs", "dies", "right"], seconds=1))
    assert found["wrong"] == "wrong" and found["right"] is None
    assert found["hangs"].startswith("HUNG") and "wait" in found["hangs"]
    assert found["dies"] == "the process ended with status -9"


def test_memory_beyond_the_limit_is_an_error_in_the_child_alone():
    ((_, problem),) = in_children(lambda case: bytearray(1 << 30) and None, [0], memory=1 << 28)
    assert problem is None or "MemoryError" in problem          # a system without limits has none to exceed


def test_an_interrupt_comes_before_the_end_or_not_at_all():
    assert interrupted(lambda: time.sleep(60), .001)
    assert not interrupted(lambda: None, 60)


def test_an_interrupt_comes_at_its_call():
    seen = []

    def function():
        for i in range(3):
            seen.append(i)

    calls = calls_of(function)
    with pytest.raises(KeyboardInterrupt):
        calls_of(function, calls - 1)
    assert len(seen) in (4, 5, 6)


@pytest.mark.parametrize(("error", "documented", "found"), [
    (OSError("/x/file: full, expected room"), OSError, None),
    (OSError("full"), OSError, "does not name"),
    (KeyError("file"), OSError, "KeyError"),
    (OSError("file\n" * 2), OSError, "no printable line"),
    (OSError("file \x1b[2J"), OSError, "no printable line"),
    (OSError("file " * 999), OSError, "characters"),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "file"), ValueError, "UnicodeDecodeError"),
])
def test_an_error_is_judged_by_its_class_and_its_message(error, documented, found):
    with pytest.raises(type(error)) as raised:
        raise error
    problem = complaint(raised.value, documented, "file")
    assert problem is None if found is None else found in problem


def test_mutations_differ_from_the_file_and_are_the_same_each_time():
    data = b'{"a": {"b": [1, 2]}, "c": "d"}'
    for mutations in (json_mutations, partial(bytes_mutations, header=10)):
        cases = list(mutations(data))
        assert cases == list(mutations(data))
        assert sum(changed != data for _, changed in cases) > 0.9 * len(cases)
