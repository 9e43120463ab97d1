"""A write leaves the old file or the new one; a lock lets one process in and dies with it."""

import errno
import io
import math
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

import minigpt
from minigpt.system import files
from minigpt.system.files import LockedError, lock, write_atomic

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(minigpt.__file__).parents[1])}


@contextmanager
def running(program: str, *arguments: str):
    """A Python process that has printed its first line; killed at the end."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline().strip() == b"ready"
            yield process
        finally:
            process.kill()
            process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


# --- write_atomic


def test_bytes_are_written(tmp_path):
    write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_pieces_are_written_in_order(tmp_path):
    write_atomic(str(tmp_path / "a"), (piece for piece in (b"one ", memoryview(b"two "), b"three")))
    assert (tmp_path / "a").read_bytes() == b"one two three"


def test_an_existing_file_is_replaced_and_no_temporary_file_stays(tmp_path):
    (tmp_path / "a").write_bytes(b"a long old content")
    write_atomic(tmp_path / "a", b"new")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"new")


def test_an_error_between_pieces_loses_nothing(tmp_path):
    (tmp_path / "a").write_bytes(b"old")

    def pieces():
        yield b"half of it"
        fail()

    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "a", pieces())
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


def test_an_interrupt_loses_nothing(tmp_path):
    (tmp_path / "a").write_bytes(b"old")

    def pieces():
        yield b"half of it"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", pieces())
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_error_of_the_system_loses_nothing(tmp_path, monkeypatch, step):
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "a", b"new")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


@pytest.mark.parametrize("step", ["write", "flush"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, step):
    (tmp_path / "a").write_bytes(b"old")

    class FileOnFullDisk(io.FileIO):
        pass

    setattr(FileOnFullDisk, step, fail)
    monkeypatch.setattr(files, "open", lambda path, mode: FileOnFullDisk(path, "x"), raising=False)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "a", b"new")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


def test_the_content_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace

    def log_fsync(descriptor):
        events.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def log_replace(source, target):
        events.append(("replace", os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "replace", log_replace)
    write_atomic(tmp_path / "a", b"12345")
    assert events[:2] == [("fsync", 5), ("replace", 5)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot force a folder to the disk")
def test_the_folder_is_forced_to_the_disk_after_the_rename(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda d: (events.append(os.path.samestat(os.fstat(d), tmp_path.stat())), fsync(d))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), replace(a, b)))
    write_atomic(tmp_path / "a", b"new")
    assert events == [False, "replace", True]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    program = """
import sys, time
from minigpt.system.files import write_atomic
def pieces():
    yield b"half" * 100_000
    print("ready", flush=True)
    time.sleep(60)
write_atomic(sys.argv[1], pieces())
"""
    with running(program, str(tmp_path / "a")) as process:
        process.kill()
        process.wait()
        assert (tmp_path / "a").read_bytes() == b"old"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere, expected an existing one; create it"):
        write_atomic(tmp_path / "nowhere" / "a", b"new")


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_under_the_temporary_name_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda n: "0" * (2 * n))        # as if it could be guessed
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / f".a.{'0' * 16}.tmp").symlink_to("other")
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "other").read_bytes() == b"precious"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_lock_does_not_empty_what_a_link_under_its_name_leads_to(tmp_path):
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / "run.lock").symlink_to("other")
    with pytest.raises(OSError, match=r"run\.lock"), lock(tmp_path / "run.lock"):
        pass
    assert (tmp_path / "other").read_bytes() == b"precious"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", b"new")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "real").read_bytes()) == (True, b"new")


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path):
    write_atomic(tmp_path / ("a" * 200), b"new")
    assert names(tmp_path) == ["a" * 200]


# --- lock

HOLD = """
import sys, time
from minigpt.system.files import lock
with lock(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_user_is_refused(tmp_path):
    with lock(tmp_path / "lock"), pytest.raises(LockedError), lock(tmp_path / "lock"):
        pass


def test_the_lock_is_free_after_the_block(tmp_path):
    for _ in range(2):
        with lock(tmp_path / "lock"):
            pass


def test_the_lock_is_free_after_an_error_in_the_block(tmp_path):
    with pytest.raises(ZeroDivisionError), lock(tmp_path / "lock"):
        1 / 0  # noqa: B018
    with lock(tmp_path / "lock"):
        pass


def test_a_refusal_leaves_the_lock_to_its_holder(tmp_path):
    with lock(tmp_path / "lock"):
        for _ in range(2):
            with pytest.raises(LockedError), lock(tmp_path / "lock"):
                pass


def test_the_message_names_the_process_that_holds_the_lock(tmp_path):
    with (
        running(HOLD, str(tmp_path / "lock")) as process,
        pytest.raises(LockedError, match=f"lock: locked by process {process.pid}, expected no other user; wait"),
        lock(tmp_path / "lock"),
    ):
        pass


def test_a_killed_process_releases_the_lock(tmp_path):
    with running(HOLD, str(tmp_path / "lock")) as process:
        process.kill()
        process.wait()
        with lock(tmp_path / "lock"):
            pass


def test_the_process_id_is_gone_after_the_block(tmp_path):
    (tmp_path / "lock").write_text("4294967295", encoding="utf-8")  # left by one that was killed
    with lock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text(encoding="utf-8") == str(os.getpid())
    assert (tmp_path / "lock").read_bytes() == b""


def test_waiting_gets_the_lock_once_it_is_free(tmp_path):
    held, order = threading.Event(), []

    def hold():
        with lock(tmp_path / "lock"):
            held.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with lock(tmp_path / "lock", timeout=math.inf):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_waiting_ends_at_the_timeout(tmp_path, monkeypatch):
    clock = [100.0]

    def sleep(seconds):
        clock[0] += seconds

    monkeypatch.setattr(files, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    with lock(tmp_path / "lock"), pytest.raises(LockedError), lock(tmp_path / "lock", timeout=3.0):
        pass
    assert 103 <= clock[0] < 104
