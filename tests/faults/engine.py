"""Faults for any function: its k-th disk operation fails, is the last one of the process, or is interrupted; or a moment is.

    with Disk(folder) as disk: function()                       disk.operations, what it does to the files of a folder
    with Disk(folder, at=k, act=failing(ENOSPC)): function()    the same with a full disk at operation k
    killed(function, folder, k)                                 the process that runs it ends there
    in_children(check, cases)                                   each case in a process with a watchdog

What is promised about the outcome is each campaign's own, in the files beside this one; damage to files is in mutations.py.
"""

import builtins
import errno
import faulthandler
import io
import json
import mmap
import os
import pathlib
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

KILLED, FAILED = 77, 78                 # how a child ends
PATIENCE = 60                           # seconds after which a case counts as hung; none comes near it on a busy machine
MOST_HANGS = 3                          # after which a campaign's other cases are not waited for
LONGEST_MESSAGE = 1_000                 # characters, with a path or two among them

# Which errors the system gives for which operation
ERRORS = {
    "open": (errno.EACCES, errno.ENOSPC, errno.EIO, errno.EMFILE),
    "read": (errno.EIO,),
    "write": (errno.ENOSPC, errno.EIO),
    "truncate": (errno.EIO,),
    "fsync": (errno.EIO, errno.ENOSPC),
    "replace": (errno.EACCES, errno.ENOSPC, errno.EIO),
    "unlink": (errno.EACCES, errno.EIO),
    "mkdir": (errno.EACCES, errno.ENOSPC),
    "list": (errno.EIO,),
    "map": (errno.ENOMEM,),
}


ON_DESCRIPTORS = ("read", "write", "truncate", "fsync", "map")     # the system names no path in their errors


def failing(number):
    """An act: raise OSError as the system does, with the path where it was called with one."""

    def act(operation, path):
        raise OSError(number, os.strerror(number), *([] if operation in ON_DESCRIPTORS else [path]))

    return act


def interrupting(operation, path):
    """An act: Ctrl-C."""
    raise KeyboardInterrupt


def killing(operation, path):
    """An act: the process ends, as by kill -9."""
    os._exit(KILLED)


class Disk:
    """Inside a with statement: what is done to the files of a folder is listed, and act(operation, path) comes at number `at`.

    operations: [(operation, file name)] so far.  lasting: all later operations of the same kind meet `act` too, a disk that
    stays full.  A write that meets it has written half of its bytes.  Everything outside the folder is left alone.
    """

    def __init__(self, folder, at=None, act=None, lasting=False):
        self._folder = os.path.realpath(folder)
        self._at, self._act, self._lasting = at, act, lasting
        self.operations = []
        self.struck = None          # the operation that met `act`
        self._paths = {}            # of the open descriptors

    def __enter__(self):
        self._originals = [(module, name, getattr(module, name)) for module, name in (
            (builtins, "open"), (io, "open"), *((os, name) for name in (
                "open", "close", "read", "write", "ftruncate", "fsync", "replace", "rename", "unlink", "remove", "mkdir",
                "listdir", "scandir")), (mmap, "mmap"))]
        self._real = {(module, name): function for module, name, function in self._originals}
        for module, name in ((builtins, "open"), (io, "open")):
            setattr(module, name, self._open_file)
        for name, operation in (("read", "read"), ("write", "write"), ("ftruncate", "truncate"), ("fsync", "fsync")):
            setattr(os, name, partial(self._on_descriptor, self._real[os, name], operation))
        for name, operation in (("replace", "replace"), ("rename", "replace"), ("unlink", "unlink"), ("remove", "unlink"),
                                ("mkdir", "mkdir"), ("listdir", "list"), ("scandir", "list")):
            setattr(os, name, partial(self._on_path, self._real[os, name], operation))
        os.open, os.close = self._open_descriptor, self._close
        mmap.mmap = partial(self._on_descriptor, self._real[mmap, "mmap"], "map")
        if (accessor := getattr(pathlib, "_NormalAccessor", None)) is not None:         # Python 3.10's Path has kept them all
            for name in ("open", "unlink", "replace", "rename", "mkdir", "listdir", "scandir"):
                self._originals.append((accessor, name, vars(accessor)[name]))
                setattr(accessor, name, staticmethod(getattr(io if name == "open" else os, name)))
        return self

    def __exit__(self, *_):
        for module, name, function in self._originals:
            setattr(module, name, function)

    def touch(self, operation, path, half=None):
        """Note an operation, and act where it is the one; where `act` lets it go on: how many bytes half() has written."""
        self.operations.append((operation, os.path.basename(path)))
        if len(self.operations) - 1 == self._at:
            self.struck = operation
        elif not (self._lasting and self.struck == operation):
            return 0
        written = half() if half is not None else 0
        self._act(operation, path)
        return written

    def _within(self, path):
        if isinstance(path, int) or path is None:
            return False
        path = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))) if os.path.islink(path) else path)
        return os.path.commonpath([path, self._folder]) == self._folder

    def _on_path(self, function, operation, *arguments, **options):
        for path in arguments:
            if isinstance(path, (str, bytes, os.PathLike)) and self._within(path):
                self.touch(operation, os.fsdecode(path))
                break
        return function(*arguments, **options)

    def _on_descriptor(self, function, operation, descriptor, *arguments, **options):
        if (number := descriptor if isinstance(descriptor, int) else descriptor.fileno()) in self._paths:
            half = None
            if operation == "write":
                data = memoryview(arguments[0])
                half = partial(function, descriptor, data[: len(data) // 2])
            if written := self.touch(operation, self._paths[number], half):
                return written
        return function(descriptor, *arguments, **options)

    def _open_descriptor(self, path, *arguments, **options):
        within = self._within(path)
        if within:
            self.touch("open", os.fsdecode(path))
        descriptor = self._real[os, "open"](path, *arguments, **options)
        if within:
            self._paths[descriptor] = os.fsdecode(path)
        return descriptor

    def _close(self, descriptor):
        self._paths.pop(descriptor, None)
        self._real[os, "close"](descriptor)

    def _open_file(self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        """open() as io does it, on a raw file that counts its reads and writes"""
        if not self._within(file):
            return self._real[io, "open"](file, mode, buffering, encoding, errors, newline, closefd, opener)
        if opener is None:          # else it calls os.open
            self.touch("open", os.fsdecode(file))
        raw = _RawFile(os.fsdecode(file), mode.replace("b", "").replace("t", ""), opener=opener)
        raw.disk = self
        self._paths[raw.fileno()] = os.fsdecode(file)
        if buffering == 0:
            return raw
        kind = io.BufferedRandom if "+" in mode else io.BufferedReader if "r" in mode else io.BufferedWriter
        buffer = kind(raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)
        if "b" in mode:
            return buffer
        text = io.TextIOWrapper(buffer, encoding or "locale", errors, newline, line_buffering=buffering == 1)
        text.mode = mode
        return text


class _RawFile(io.FileIO):
    """A file whose every call of the system is an operation of its disk"""

    disk = None

    def write(self, data):
        data = memoryview(data)
        return self.disk.touch("write", self.name, partial(super().write, data[: len(data) // 2])) or super().write(data)

    def readinto(self, buffer):
        self.disk.touch("read", self.name)
        return super().readinto(buffer)

    def readall(self):
        self.disk.touch("read", self.name)
        return super().readall()

    def read(self, size=-1):
        self.disk.touch("read", self.name)
        return super().read(size)

    def truncate(self, size=None):
        self.disk.touch("truncate", self.name)
        return super().truncate(size)

    def close(self):
        if not self.closed and self.disk is not None:
            self.disk._paths.pop(self.fileno(), None)
        super().close()


def operations_of(function, folder):
    """[(operation, file name)] that a function does in a folder"""
    with Disk(folder) as disk:
        function()
    return disk.operations


def failures(operations, lasting=True):
    """Every way in which one of these can fail: [(k, errno, whether the fault stays)]"""
    return [(k, number, stays) for k, (operation, _) in enumerate(operations) for number in ERRORS[operation]
            for stays in ((False, True) if lasting and operation in ("write", "open") and number == errno.ENOSPC else (False,))]


# Outcomes

def complaint(error, documented, *names):
    """What is wrong with an error, or None: its class, or a message that is not one line of bounded length with a name in it.

    names: one of them must stand in the message.
    """
    text = str(error)
    if isinstance(error, (UnicodeError, json.JSONDecodeError)) or not isinstance(error, documented):     # Python's own words
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {text:.200}"
    if len(text) > LONGEST_MESSAGE:
        return f"a message of {len(text):,} characters: {text:.200}"
    if not text.isprintable():
        return f"a message that is no printable line: {text[:300]!r}"
    if names and not any(str(name) in text for name in names):
        return f"{type(error).__name__} that does not name {' or '.join(map(str, names))}: {text:.200}"
    return None


def leftovers(folder):
    """Temporary files that a function has left"""
    return sorted(path.name for path in Path(folder).rglob("*.tmp"))


# Children

@contextmanager
def _quiet_fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # Python 3.12 warns where there are threads; what comes of them is tested here
        yield


def in_children(check, cases, seconds=PATIENCE, memory=None):
    """Yield (case, problem or None) for check(case) of each, run in a child process, which is replaced when it has died.

    check returns None, or what is wrong.  A case that ends its process, exceeds `memory` bytes more than the process has, or
    takes longer than `seconds` is wrong; with the stacks of all threads in the last case.
    """
    cases, done, hung = list(cases), 0, 0
    while done < len(cases):
        if hung == MOST_HANGS:
            yield cases[done], f"and {len(cases) - done - 1} more were not tried, since {hung} hung before"
            return
        reader, writer = os.pipe()
        with tempfile.TemporaryFile() as stacks:
            with _quiet_fork():
                child = os.fork()
            if child == 0:
                os.close(reader)
                os.setpgid(0, 0)            # with what it forks itself, so that none of it outlives the case
                _serve(check, cases[done:], writer, stacks, seconds, memory)
            os.close(writer)
            for problem in _problems(reader, 2 * seconds):
                yield cases[done], problem
                done += 1
            os.close(reader)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            if done < len(cases):
                stacks.seek(0)
                told = stacks.read().decode("utf-8", "replace")
                ended = f"status {os.waitstatus_to_exitcode(status)}"
                yield cases[done], f"HUNG\n{told}" if told else f"the process ended with {ended}"
                done, hung = done + 1, hung + bool(told)


def in_child(function, seconds=PATIENCE):
    """What a function returns, something that JSON holds, when it is run in a child: what it leaves is files alone."""
    ((_, made),) = in_children(lambda _: {"made": function()}, [None], seconds)
    assert isinstance(made, dict), made
    return made["made"]


def _problems(reader, seconds):
    """What comes through a pipe, a line of JSON each, until it is closed or silent for too long"""
    begun = b""
    while select.select([reader], [], [], seconds)[0] and (data := os.read(reader, 1 << 16)):
        *lines, begun = (begun + data).split(b"\n")
        yield from map(json.loads, lines)


def _serve(check, cases, writer, stacks, seconds, memory):
    try:
        for number in (signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.default_int_handler)
        if memory is not None:
            limit_memory(memory)
        for case in cases:
            faulthandler.dump_traceback_later(seconds, exit=True, file=stacks)
            try:
                problem = check(case)
            except BaseException as error:
                problem = "".join(traceback.format_exception(error))[-1500:]
            os.write(writer, (json.dumps(problem) + "\n").encode())
    finally:
        os._exit(0)


def limit_memory(more):
    """Let this process have so many bytes more than it has: a MemoryError, not a machine that swaps."""
    with suppress(ImportError, OSError, ValueError):        # Linux knows both
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def killed(function, folder, k, seconds=PATIENCE // 2):
    """Run a function in a child that ends at its k-th disk operation -> None, or what happened instead."""
    with tempfile.TemporaryFile() as told:
        with _quiet_fork():
            child = os.fork()
        if child == 0:
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)       # not faulthandler's watchdog, which does not fork twice
                signal.alarm(seconds)
                with Disk(folder, k, killing):
                    function()
                os._exit(0)
            except BaseException:
                told.write(traceback.format_exc().encode())
                told.flush()
            finally:
                os._exit(FAILED)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == KILLED:
            return None
        told.seek(0)
        return f"status {code}, expected to be killed at operation {k}; {told.read().decode('utf-8', 'replace')[-1500:]}"


# Interrupts

@contextmanager
def interrupted_after(seconds):
    """Inside, KeyboardInterrupt comes after so many seconds, unless the end comes first; it does not come later."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        while True:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
                break
            except KeyboardInterrupt:
                continue


def interrupted(function, seconds):
    """Run a function with an interrupt -> whether it came before the end."""
    try:
        with interrupted_after(seconds):
            function()
    except KeyboardInterrupt:
        return True
    return False


def calls_of(function, at=None):
    """Run a function -> how many calls it made; at number `at` comes KeyboardInterrupt.

    As the interpreter does it, which looks for signals where a function begins and where one written in C has returned.
    """
    count = 0

    def note(frame, event, argument):
        nonlocal count
        if event in ("call", "c_return"):
            count += 1
            if count == at:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def duration(function, rounds=3):
    """How long a function takes at best, to choose moments in it"""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
