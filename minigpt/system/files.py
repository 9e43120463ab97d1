"""Writing a file so that a reader finds the old one or the new one, and a lock that dies with its process.

What the files contain lives elsewhere: weights/, training/checkpoint.py, weights/hub.py.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import TypeVar

from .text import printable

Result = TypeVar("Result")

_POLL = 0.05  # seconds between two attempts at a lock that someone holds


class LockedError(RuntimeError):
    """Another process, or another part of this one, holds the lock."""


_together: ContextVar[list[tuple[Path | None, Path]] | None] = ContextVar("_together", default=None)


def write_together(write: Callable[[], None]) -> None:
    """Call write(), in which write_atomic() writes and syncs as always, but the files take their names at the end, in order.

        write_together(lambda: (write_atomic(folder / "a", …), write_atomic(folder / "b", …)))

    An error or a full disk on the way so leaves all of them as they were.  Only where the process is killed between two of
    the last steps, or one of them is refused, are some new and some old: what was written last is then old.
    """
    if _together.get() is not None:
        return write()              # inside another one, which gives the names
    written: list[tuple[Path | None, Path]] = []        # what lies where, None: nothing, and what name it gets

    def whole() -> None:
        _together.set(written)
        write()
        for temporary, target in written:
            if temporary is None:
                target.unlink(missing_ok=True)
            else:
                os.replace(temporary, target)
        for folder in {target.parent for _, target in written}:
            _sync_folder(folder)

    try:
        copy_context().run(whole)       # subtle: what is set in a context of its own no interrupt leaves behind
    finally:
        for temporary, _ in written:
            with suppress(OSError):
                if temporary is not None:
                    temporary.unlink()


def write_atomic(path: str | os.PathLike[str], data: bytes | memoryview | Iterable[bytes | memoryview]) -> None:
    """Write a whole file, or leave everything as it was.

    The bytes go to a temporary file in the same folder, are forced to the disk, and take the target's name in one step.
    On any error, an interrupt and an error of the iterable included, the temporary file is removed and the target is
    byte for byte what it was. A process killed in between can leave a ".<name>.<hex>.tmp" behind, never a torn target.

    data: the content, or its pieces in order (contiguous buffers), so that a large file is never in memory at once.
    A symbolic link stays a link: the file it points to is replaced.
    Raises OSError as the system gives it; on Windows also while another program has the target open.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{printable(path)}: no folder {printable(target.parent)}, expected an existing one; create it")
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        naming(target, lambda: _write(temporary, data))
        if (together := _together.get()) is not None:
            together.append((temporary, target))
            return
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _write(path: Path, data: bytes | memoryview | Iterable[bytes | memoryview]) -> None:
    # "x" and not tempfile: the file gets the permissions of any new file (umask), not those of a secret.
    with open(path, "xb") as file:
        for piece in [data] if isinstance(data, (bytes, bytearray, memoryview)) else data:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())  # before the rename: else a power cut can leave the new name on empty blocks


def naming(path: str | os.PathLike[str], work: Callable[[], Result]) -> Result:
    """Return work(); where a disk fails without saying at which file, the OSError names this one."""
    try:
        return work()
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def read_start(path: str | os.PathLike[str], most: int) -> bytes:
    """Return a file's first bytes, one more than `most` where it has more; of a small file no more memory is taken than that.

    Raises OSError, which names the file.
    """

    def read() -> bytes:
        with open(path, "rb") as file:
            return file.read(min(os.fstat(file.fileno()).st_size, most) + 1)  # so many bytes are taken at once

    return naming(path, read)


def remove_atomic(path: str | os.PathLike[str]) -> None:
    """Remove a file, if it is there; inside write_together() at its end, with the other changes.  Raises OSError."""
    if (together := _together.get()) is not None:
        together.append((None, Path(path)))
    else:
        Path(path).unlink(missing_ok=True)


@contextmanager
def lock(path: str | os.PathLike[str], timeout: float = 0.0) -> Iterator[None]:
    """Hold a lock on the file `path` inside a with statement, so that one process at a time works on what it guards.

        with lock(folder / "run.lock"): ...

    The operating system releases it when the process ends, however it ends. The file stays, empty: removing it would
    let two processes lock two files of one name. While held it contains the holder's process id.

    timeout: seconds to wait for another holder; 0 fails at once, math.inf waits for ever.
    Raises LockedError, which names the holder; OSError where the file cannot be created or the file system has no locks.
    """
    end = time.monotonic() + timeout
    descriptor = open_no_link(path, os.O_RDWR | os.O_CREAT)
    try:
        while not _try_lock(descriptor):
            if time.monotonic() >= end:
                holder = _read_holder(descriptor)
                found = f"{printable(path)}: locked by {holder}"
                raise LockedError(f"{found}, expected no other user; wait until it ends, or stop it")
            time.sleep(_POLL)
        try:
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            os.ftruncate(descriptor, 0)
            _unlock(descriptor)  # explicit: a forked child would keep a merely closed lock alive
    finally:
        os.close(descriptor)


def open_no_link(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file for an open() that names this as its opener; OSError for a symbolic link where the system can refuse it.

    For files under names that anybody could have guessed and laid a link at, to have another file written.
    """
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _read_holder(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pid = os.read(descriptor, 20).decode("ascii", "replace")
    return f"process {pid}" if pid.isdigit() else "another process"


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # Windows locks bytes, not files, and nobody may read locked ones: lock one beyond the process id

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

    def _sync_folder(folder: Path) -> None:
        """Windows has no way to force a folder to the disk."""

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _sync_folder(folder: Path) -> None:
        """Force the folder's entries, that is the new name, to the disk."""
        # The new file is already in place, so a file system that cannot do this is no reason to report a failure.
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
