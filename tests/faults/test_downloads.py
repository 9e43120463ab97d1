"""Downloads from a server that cuts, drips and lies, over a disk that fails: the right file, or DownloadError in one line."""

import hashlib
import os
import random
import shutil
import socket
import threading
import time
from contextlib import nullcontext
from functools import partial

import pytest

from faults.engine import Disk, complaint, failing, failures, in_children, interrupted, killed, operations_of
from faults.mutations import bytes_mutations
from minigpt.weights import hub
from minigpt.weights.hub import DownloadError, fetch

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: each fault has a process")

CONTENT = random.Random(0).randbytes(3000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HEAD = (f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(CONTENT)}\r\nETag: \"one\"\r\n"
        "Connection: close\r\n\r\n").encode()
GOOD = HEAD + CONTENT


class Server:
    """Sends what behave(connection, request) sends; one for each process."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/file.bin"
        self.behave = partial(send, GOOD)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            try:
                request = b""
                while b"\r\n\r\n" not in request:
                    if not (part := connection.recv(4096)):
                        return
                    request += part
                self.behave(connection, request)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass


def send(data, connection, request):
    connection.sendall(data)


def dripping(cut, connection, request):
    """As far as `cut` at once, then a byte at a time"""
    connection.sendall(GOOD[:cut])
    for i in range(cut, len(GOOD)):
        connection.sendall(GOOD[i : i + 1])
        time.sleep(.02)


def silent(cut, connection, request):
    """As far as `cut`, then nothing"""
    connection.sendall(GOOD[:cut])
    connection.recv(1)


def ranged(etag, connection, request, told=None, body=None):
    """A server that can continue"""
    start = 0
    for line in request.decode("latin-1").split("\r\n"):
        if line.lower().startswith("range: bytes="):
            start = int(line[13:].split("-")[0])
    if start == 0:
        connection.sendall(HEAD.replace(b'"one"', etag) + CONTENT)
        return
    told = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}" if told is None else told
    rest = CONTENT[start:] if body is None else body
    connection.sendall(f"HTTP/1.1 206 Partial Content\r\nContent-Range: {told}\r\nContent-Length: {len(rest)}\r\n".encode()
                       + b"ETag: " + etag + b"\r\nConnection: close\r\n\r\n" + rest)


def lies():
    """Answers that are well formed and not true: (what, how it is sent)"""
    for name, value in (
        *(("Content-Length", size) for size in ("0", "1", str(10**30), "-1", "3000, 3000", "x" * 5000)),
        *(("ETag", etag) for etag in ('"' + "x" * 60_000 + '"', "\x1b[2J", "")),
        ("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip"), ("Location", "http://127.0.0.1:1/"),
        ("Retry-After", "9" * 400), ("Retry-After", "soon"),
    ):
        line = f"{name}: {value}\r\n".encode("latin-1")
        kept = [each for each in HEAD.split(b"\r\n")[1:-2] if not each.lower().startswith(name.lower().encode())]
        for status in ("200 OK", "206 Part", "301 Moved", "404 Gone", "416 No", "429 Wait", "503 Wait", "999 \x1b[2J"):
            head = f"HTTP/1.1 {status}\r\n".encode() + line + b"".join(each + b"\r\n" for each in kept) + b"\r\n"
            yield f"{status}, {name}: {value[:20]!r}", partial(send, head + CONTENT)
    for told in ("bytes 0-2999/3000", "bytes 5-2999/3000", "bytes 1000-2999/1", "x" * 9000, ""):
        for body in (CONTENT[1000:], CONTENT, b"", b"x" * 2000):
            yield f"206, Content-Range: {told[:20]!r}, {len(body)} bytes", partial(ranged, b'"one"', told=told, body=body)


def parts():
    """What stands in the folder before: (what, name of the content, its beginning or None for a symbolic link)"""
    etags = (b'"one"', b'"two"', b"one", b'W/"one"', b"", b'"', b'"\n"', b'"one"\r\nX: y', b"\xff\xfe",
             b'"' + b"x" * 10_000_000 + b'"', "\"é\"".encode(), b'"\0"')
    for etag in etags:
        for part in (CONTENT[:1000], b"", CONTENT, CONTENT + b"more", b"z" * 1000, None):
            yield f"etag {etag[:12]!r}, {'a link' if part is None else f'{len(part)} bytes'}", etag, part


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for variable in ("MINIGPT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(hub, "_BACKOFF", 0.001)
    return tmp_path / "cache"


def server(known=[]):       # noqa: B006  one for each process: threads do not survive a fork
    if not known or known[0][0] != os.getpid():
        known[:] = [(os.getpid(), Server())]
    return known[0][1]


def download(deadline=20.0):
    return fetch(server().url, "file.bin", SHA256, progress=False, deadline=deadline)


def attempt(cache, deadline=20.0, disk=None):
    """Download -> what is wrong with the outcome, or None"""
    path = cache / "file.bin"
    try:
        with disk or nullcontext():
            found = download(deadline)
    except Exception as error:
        if path.exists() and path.read_bytes() != CONTENT:
            return "a wrong file under the right name"
        return complaint(error, DownloadError, server().url, cache)
    return None if found.read_bytes() == CONTENT else "a wrong file"


def then_right(cache):
    """The next download, from a good server, ends with the file"""
    server().behave = partial(ranged, b'"one"')
    problem = attempt(cache)
    return problem or (None if (cache / "file.bin").is_file() else "a good server afterwards does not help")


def emptied(cache):
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)


def test_a_server_that_cuts_drips_or_lies_gives_no_wrong_file(campaign, cache):
    def check(case):
        _, behave, deadline = case
        emptied(cache)
        server().behave = behave
        return attempt(cache, deadline) or then_right(cache)

    rng, n = random.Random(1), len(HEAD)
    cuts = [(f"cut at {at}", partial(send, GOOD[:at]), 20.0) for at in (*range(0, n + 4, 3), *range(n, len(GOOD), 250))]
    changed = [(what, partial(send, data), 20.0) for what, data in bytes_mutations(GOOD, n, flips=200)]
    moments = (0, 1, 5, 12, 40, n - 1, n, n + 10, n + 1500, *(rng.randrange(len(GOOD)) for _ in range(6)))
    slow = [(f"{how.__name__} from {at}", partial(how, at), 0.3) for how in (dripping, silent) for at in moments]
    false = [(what, behave, 20.0) for what, behave in lies()]
    with campaign("downloads, servers") as one:
        for cases, sample in ((cuts, 10), (changed, 20), (false, 25), (slow, 6)):
            for case, problem in in_children(check, one.choose(cases, sample)):
                one.record(case[0], problem)


def test_what_an_earlier_download_left_gives_no_wrong_file(campaign, cache, tmp_path):
    outside = tmp_path / "outside"

    def check(case):
        _, etag, part = case
        emptied(cache)
        outside.write_bytes(b"mine")
        if part is None:
            (cache / "file.bin.part").symlink_to(outside)
        else:
            (cache / "file.bin.part").write_bytes(part)
        (cache / "file.bin.part.etag").write_bytes(etag)
        server().behave = partial(ranged, b'"one"')
        problem = attempt(cache)
        if outside.read_bytes() != b"mine":
            return "wrote through a symbolic link"
        return problem or then_right(cache)

    def linked(case):
        """Links at the other names"""
        emptied(cache)
        outside.write_bytes(b"mine")
        (cache / case).symlink_to(outside)
        server().behave = partial(ranged, b'"one"')
        problem = attempt(cache)
        return "wrote through a symbolic link" if outside.read_bytes() != b"mine" else problem

    with campaign("downloads, parts") as one:
        for case, problem in in_children(check, one.choose(parts(), 20)):
            one.record(case[0], problem)
        for case, problem in in_children(linked, ["file.bin.part.etag", "file.bin.lock", "file.bin"]):
            one.record(f"a link at {case}", problem)


@pytest.mark.parametrize("before", ["nothing", "a part"])
def test_a_disk_that_fails_under_a_download_gives_no_wrong_file(before, campaign, cache):
    def start():
        emptied(cache)
        if before == "a part":
            (cache / "file.bin.part").write_bytes(CONTENT[:1000])
            (cache / "file.bin.part.etag").write_bytes(b'"one"')
        server().behave = partial(ranged, b'"one"')

    start()
    operations = operations_of(download, cache)

    def check(case):
        k, act, stays = case
        start()
        if act == "kill":
            url = server().url      # of the parent's server, which goes on when the child is gone
            problem = killed(lambda: fetch(url, "file.bin", SHA256, progress=False), cache, k)
        elif act == "interrupt":
            problem, _ = None, interrupted(download, k * 3e-4)
        else:
            problem = attempt(cache, disk=Disk(cache, k, failing(act), stays))
        path = cache / "file.bin"
        if not problem and path.exists() and path.read_bytes() != CONTENT:
            problem = "a wrong file under the right name"
        return problem or then_right(cache)

    cases = [*failures(operations), *((k, act, False) for k in range(len(operations)) for act in ("kill", "interrupt"))]
    with campaign(f"downloads, disk, before: {before}") as one:
        for (k, act, stays), problem in in_children(check, one.choose(cases, 25)):
            one.record((k, *operations[k], act if isinstance(act, str) else os.strerror(act), *(["staying"] * stays)), problem)
