"""Downloads from a server that misbehaves: the right file or a DownloadError, never a wrong file."""

import gzip
import hashlib
import io
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

import minigpt
from minigpt.system.files import lock
from minigpt.weights import hub
from minigpt.weights.cache import cache_folder, cached
from minigpt.weights.hub import ChecksumError, DownloadError, fetch

CONTENT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `answers`, and the last of them for ever."""

    daemon_threads = False  # so that closing waits for all of them

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = [whole]
        self.requests = []
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.txt"

    def handle_error(self, request, client_address):
        """A client that hangs up is what some of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(dict(self.headers))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, format, *args):
        """Nothing on stderr."""

    def start(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def whole(handler):
    handler.start(Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT)


def other(handler):
    handler.start(Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT.swapcase())


def page(handler):
    handler.start(Content_Type="text/html")
    handler.wfile.write(b"<!DOCTYPE html><title>Sign in</title>")


def short(handler):
    handler.start(Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT[:100])


def short_without_length(handler):
    handler.start()
    handler.wfile.write(CONTENT[:100])


def too_long(handler):
    handler.start()
    while not handler.server.closing.is_set():
        handler.wfile.write(CONTENT)


def truncated_gzip(handler):
    handler.start(Content_Encoding="gzip")
    handler.wfile.write(gzip.compress(CONTENT)[:-30])


def dropped(handler):
    handler.close_connection = True


def hang(handler):
    handler.server.closing.wait(10)


def hang_in_the_body(handler):
    handler.start(Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT[:100])
    handler.wfile.flush()
    handler.server.closing.wait(10)


def drip(handler):
    handler.start(Content_Length=len(CONTENT))
    for byte in CONTENT:
        handler.wfile.write(bytes([byte]))
        if handler.server.closing.wait(0.05):
            return


def drip_raw(start, dripped):
    """`start`, then `dripped` a byte at a time, and again for ever"""

    def answer(handler):
        handler.close_connection = True
        handler.wfile.write(start)
        while True:
            for byte in dripped:
                handler.wfile.write(bytes([byte]))
                if handler.server.closing.wait(0.05):
                    return

    return answer


def fast_for_ever(handler):
    """A body whose next byte is always there already"""
    handler.start()
    while not handler.server.closing.is_set():
        handler.wfile.write(b"x")


def ranged(etag='"1"', content=CONTENT, stop=None):
    """A server that knows Range and If-Range; it hangs up before byte `stop`."""

    def answer(handler):
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start and handler.headers.get("If-Range") != etag:
            start = 0
        if start >= len(content):
            return handler.start(416, Content_Length=0)
        headers = {"ETag": etag, "Content_Length": len(content) - start}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.start(206 if start else 200, **headers)
        handler.wfile.write(content[start:stop])

    return answer


def ranged_hang(handler):
    """The first 500 bytes, then silence"""
    handler.start(ETag='"1"', Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT[:500])
    handler.wfile.flush()
    handler.server.closing.wait(10)


def other_part(**headers):
    """The last 600 bytes as 206, with these headers in place of the right ones"""
    right = {"ETag": '"1"', "Content_Range": f"bytes 500-{len(CONTENT) - 1}/{len(CONTENT)}", "Content_Length": 720}

    def answer(handler):
        handler.start(206, **{**right, **headers})
        handler.wfile.write(CONTENT[-int({**right, **headers}["Content_Length"]) :])

    return answer


def status(code, **headers):
    return lambda handler: handler.start(code, Content_Length=0, **headers)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, no proxy, and no waiting before another attempt."""
    for name in ("MINIGPT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "_BACKOFF", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def server(cache):
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def get(server, **options):
    return fetch(server.url, "file.txt", SHA256, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


# --- what works


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_the_file_is_downloaded_into_the_cache_folder(server, cache, size):
    path = get(server, size=size)
    assert (path, path.read_bytes(), names(cache)) == (cache / "file.txt", CONTENT, ["file.txt"])


def test_a_second_call_sends_nothing(server):
    get(server)
    get(server)
    assert len(server.requests) == 1


def test_a_file_name_may_have_folders(server, cache):
    assert fetch(server.url, "gpt2/vocab.txt", SHA256).read_bytes() == CONTENT
    assert names(cache / "gpt2") == ["vocab.txt"]


def test_no_compression_is_asked_for(server):
    get(server)
    assert server.requests[0]["Accept-Encoding"] == "identity"


def test_a_corrupt_cached_file_is_fetched_again(server, cache):
    cache.mkdir()
    (cache / "file.txt").write_bytes(CONTENT[:-1])
    assert get(server).read_bytes() == CONTENT


def test_a_partial_file_left_behind_is_overwritten(server, cache):
    cache.mkdir()
    (cache / "file.txt.part").write_bytes(b"stale" * 1000)
    assert get(server).read_bytes() == CONTENT
    assert names(cache) == ["file.txt"]


def test_a_redirect_is_followed(server):
    server.answers = [status(302, Location="/elsewhere"), whole]
    assert get(server).read_bytes() == CONTENT


def test_the_bar_is_not_shown_where_stderr_is_no_terminal(server, capfd):
    get(server)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("bad", [status(503), status(429), short, dropped], ids=["503", "429", "short", "dropped"])
def test_a_passing_failure_is_tried_again(server, bad):
    server.answers = [bad, whole]
    assert get(server).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_each_further_attempt_waits_twice_as_long(server, monkeypatch):
    waits = []
    monkeypatch.setattr(hub, "_BACKOFF", 1.5)
    monkeypatch.setattr(hub.time, "sleep", waits.append)
    server.answers = [status(503), status(503), whole]
    get(server)
    assert waits == [1.5, 3.0]


def test_the_wait_the_server_asks_for_is_kept(server, monkeypatch):
    waits = []
    monkeypatch.setattr(hub.time, "sleep", waits.append)
    server.answers = [status(429, Retry_After=7), whole]
    get(server)
    assert waits == [7.0]


def start_fetch(server):
    """The download in a process of its own"""
    program = "import sys; from minigpt.weights.hub import fetch; fetch(*sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(Path(minigpt.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", program, server.url, "file.txt", SHA256], env=environment)


def test_the_time_the_server_asks_to_wait_for_is_kept(server, monkeypatch):
    waits = []
    monkeypatch.setattr(hub.time, "sleep", waits.append)
    server.answers = [status(503, Retry_After=formatdate(time.time() + 60, usegmt=True)), whole]
    get(server)
    assert waits == [pytest.approx(60, abs=5)]


def test_a_wait_that_cannot_be_read_gets_the_usual_one(server, monkeypatch):
    waits = []
    monkeypatch.setattr(hub, "_BACKOFF", 1.5)
    monkeypatch.setattr(hub.time, "sleep", waits.append)
    server.answers = [status(503, Retry_After="soon"), whole]
    get(server)
    assert waits == [1.5]


def test_eight_processes_at_once_make_one_download(server, cache):
    processes = [start_fetch(server) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    assert (len(server.requests), names(cache), (cache / "file.txt").read_bytes()) == (1, ["file.txt"], CONTENT)


# --- a download that goes on


def put_part(cache, content, etag='"1"'):
    """What an interrupted download leaves behind."""
    cache.mkdir()
    (cache / "file.txt.part").write_bytes(content)
    (cache / "file.txt.part.etag").write_text(etag, encoding="ascii")


def ranges(server):
    return [headers.get("Range") for headers in server.requests]


def assert_whole(server, cache):
    assert get(server).read_bytes() == CONTENT
    assert names(cache) == ["file.txt"]


def test_an_interrupted_download_goes_on_where_it_stopped(server, cache):
    server.answers = [ranged(stop=500), ranged(stop=900), ranged()]
    assert_whole(server, cache)
    assert ranges(server) == [None, "bytes=500-", "bytes=900-"]
    assert server.requests[1]["If-Range"] == '"1"'


def test_a_failed_download_leaves_a_part_that_the_next_call_continues(server, cache):
    server.answers = [ranged(stop=500), status(404)]
    with pytest.raises(DownloadError, match="404"):
        get(server)
    assert names(cache) == ["file.txt.part", "file.txt.part.etag"]
    server.answers = [ranged()]
    assert_whole(server, cache)
    assert ranges(server)[2:] == ["bytes=500-"]


def test_a_download_past_its_deadline_leaves_a_part(server, cache):
    server.answers = [ranged_hang]
    with pytest.raises(DownloadError, match="too slow for the deadline"):
        get(server, deadline=1.5)
    assert (cache / "file.txt.part").read_bytes() == CONTENT[:500]
    assert not (cache / "file.txt").exists()


def test_a_killed_download_goes_on_when_run_again(server, cache):
    server.answers = [ranged_hang, ranged()]
    process = start_fetch(server)
    part, end = cache / "file.txt.part", time.monotonic() + 120
    while not part.exists() or part.stat().st_size < 1:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert_whole(server, cache)
    assert ranges(server) == [None, "bytes=500-"]


def test_a_server_that_ignores_the_range_starts_over(server, cache):
    put_part(cache, CONTENT[:500])
    server.answers = [whole]
    assert_whole(server, cache)


def test_content_that_has_changed_since_starts_over(server, cache):
    put_part(cache, CONTENT.swapcase()[:500], etag='"0"')
    server.answers = [ranged()]
    assert_whole(server, cache)
    assert len(server.requests) == 1


@pytest.mark.parametrize("headers", [
    {"ETag": '"2"'},
    {"Content_Range": "bytes 400-1219/1220", "Content_Length": 820},
    {"Content_Range": "bytes */1220"},
    {"Content_Range": ""},
], ids=["other ETag", "other start", "no start", "nothing"])
def test_a_rest_of_something_else_starts_over(server, cache, headers):
    put_part(cache, CONTENT[:500])
    server.answers = [other_part(**headers), ranged()]
    assert_whole(server, cache)
    assert ranges(server) == ["bytes=500-", None]


@pytest.mark.parametrize("stale", [CONTENT.swapcase()[:500], CONTENT.swapcase(), CONTENT * 2],
                         ids=["other bytes", "other bytes to the end", "too long"])
def test_a_stale_part_starts_over(server, cache, stale):
    put_part(cache, stale)
    server.answers = [ranged()]
    assert_whole(server, cache)
    assert ranges(server) == [f"bytes={len(stale)}-", None]


def test_a_part_that_is_whole_is_given_its_name(server, cache):
    put_part(cache, CONTENT)
    assert_whole(server, cache)
    assert server.requests == []


@pytest.mark.parametrize("etag", ['W/"1"', "", "1", '"1"\n"2"', '"1\x1b"', '"\x00"', f'"{"1" * 999}"'],
                         ids=["weak", "empty", "bare", "two", "escape", "zero", "long"])
def test_an_etag_that_is_not_strong_resumes_nothing(server, cache, etag):
    put_part(cache, CONTENT[:500], etag)
    server.answers = [ranged()]
    assert_whole(server, cache)
    assert ranges(server) == [None]


def test_of_a_huge_etag_beside_a_part_only_the_beginning_is_read(server, cache):
    put_part(cache, CONTENT[:500])
    os.truncate(cache / "file.txt.part.etag", 1 << 26)
    server.answers = [ranged()]
    tracemalloc.start()
    try:
        assert_whole(server, cache)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert ranges(server) == [None]


@pytest.mark.parametrize("name", ["file.txt.part", "file.txt.part.etag", "file.txt.lock"])
def test_a_folder_in_the_place_of_a_file_is_a_download_error(server, cache, name):
    put_part(cache, CONTENT[:500])
    (cache / name).unlink(missing_ok=True)
    (cache / name).mkdir()
    with pytest.raises(DownloadError, match=r"expected to save http"):
        get(server)
    assert not (cache / "file.txt").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only some users make symbolic links")
@pytest.mark.parametrize("name", ["file.txt.part", "file.txt.part.etag", "file.txt"])
@pytest.mark.parametrize("content", [b"", CONTENT[:500], b'"1"'], ids=["empty", "beginning", "etag"])
def test_a_link_under_the_name_of_a_file_on_its_way_is_not_followed(server, cache, tmp_path, name, content):
    put_part(cache, CONTENT[:500])
    (tmp_path / "other").write_bytes(content)
    (cache / name).unlink(missing_ok=True)
    (cache / name).symlink_to(tmp_path / "other")
    server.answers = [ranged(stop=900), ranged()]
    assert_whole(server, cache)
    assert (tmp_path / "other").read_bytes() == content
    assert not (cache / "file.txt").is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only some users make symbolic links")
def test_a_link_under_the_name_of_the_lock_is_not_followed(server, cache, tmp_path):
    cache.mkdir()
    (tmp_path / "other").write_bytes(b"precious")
    (cache / "file.txt.lock").symlink_to(tmp_path / "other")
    with pytest.raises(DownloadError, match="expected to save http"):
        get(server)
    assert (tmp_path / "other").read_bytes() == b"precious"


def test_an_etag_too_long_to_be_one_leaves_no_part(server, cache):
    server.answers = [ranged(f'"{"1" * 5000}"', stop=500)]
    with pytest.raises(DownloadError):
        get(server)
    assert names(cache) == []


def test_a_length_of_thousands_of_digits_counts_as_none(server, cache):
    def answer(handler):
        handler.start(Content_Length="9" * 5000)
        handler.wfile.write(CONTENT)

    server.answers = [answer]
    assert_whole(server, cache)


def test_a_weak_etag_leaves_no_part(server, cache):
    server.answers = [ranged('W/"1"', stop=500)]
    with pytest.raises(DownloadError):
        get(server)
    assert (names(cache), ranges(server)) == ([], [None] * 3)


def test_wrong_content_leaves_no_part_although_it_could_be_resumed(server, cache):
    server.answers = [ranged(content=CONTENT.swapcase())]
    with pytest.raises(ChecksumError):
        get(server)
    assert names(cache) == []


def test_a_sign_in_page_of_another_size_leaves_the_part_as_it_was(server, cache):
    put_part(cache, CONTENT[:500])
    server.answers = [status(200)]
    with pytest.raises(ChecksumError, match="0 bytes, expected 1220"):
        get(server, size=len(CONTENT))
    assert (cache / "file.txt.part").read_bytes() == CONTENT[:500]
    server.answers = [ranged()]
    assert_whole(server, cache)


def test_a_rest_that_makes_another_size_leaves_no_part(server, cache):
    put_part(cache, CONTENT[:500])
    server.answers = [ranged(content=CONTENT * 2)]
    with pytest.raises(ChecksumError, match="2440 bytes, expected 1220"):
        get(server, size=len(CONTENT))
    assert names(cache) == []


def test_only_the_rest_needs_room_on_the_disk(server, cache, monkeypatch):
    put_part(cache, CONTENT[:-10])
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    server.answers = [ranged()]
    assert_whole(server, cache)


# --- what fails


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (other, ChecksumError, f"bytes of SHA-256 {hashlib.sha256(CONTENT.swapcase()).hexdigest()}, expected {SHA256}"),
        (page, ChecksumError, "37 bytes of SHA-256"),
        (truncated_gzip, ChecksumError, "bytes of SHA-256"),
        (short_without_length, ChecksumError, "100 bytes of SHA-256"),
        (short, DownloadError, "the connection dropped after|the connection ended after"),
        (dropped, DownloadError, "the connection dropped"),
        (status(503), DownloadError, "HTTP status 503, expected 200; try again later"),
        (status(429, Retry_After=0), DownloadError, "HTTP status 429"),
        (status(404), DownloadError, "HTTP status 404, expected 200"),
        (status(416), DownloadError, "HTTP status 416"),
        (status(204), DownloadError, "HTTP status 204"),
        (status(302, Location="/file.txt"), DownloadError, "redirects"),
    ],
    ids=[
        "other bytes",
        "HTML page",
        "truncated gzip",
        "short, no length",
        "short",
        "dropped",
        "503",
        "429",
        "404",
        "416",
        "204",
        "redirect loop",
    ],
)
def test_a_bad_answer_leaves_no_file(server, cache, answer, error, message):
    server.answers = [answer]
    with pytest.raises(error, match=message) as caught:
        get(server)
    assert type(caught.value) is error
    assert names(cache) == []


def test_a_failure_says_where_to_put_the_file_by_hand(server, cache):
    server.answers = [status(404)]
    with pytest.raises(DownloadError) as caught:
        get(server)
    assert str(caught.value) == (
        f"{server.url}: HTTP status 404, expected 200; put the file of SHA-256 {SHA256} at {cache / 'file.txt'}"
    )


def test_a_failure_shows_the_control_characters_of_a_path(server, cache, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", f"{cache}\x1b[2J\n" if sys.platform != "win32" else str(cache))
    server.answers = [status(404)]
    with pytest.raises(DownloadError) as caught:
        get(server)
    assert str(caught.value).isprintable()


def test_a_failure_shows_the_control_characters_of_an_answer(cache, monkeypatch):
    def send(adapter, request, **_):
        response = requests.Response()
        response.status_code, response.url, response.request, response.raw = 302, request.url, request, io.BytesIO()
        response.headers["Location"] = "http://example.org/\x9b2J\u202e"
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(DownloadError, match=r"redirects to http://example.org/\\x9b2J\\u202e, expected https"):
        fetch("https://example.org/file.txt", "file.txt", SHA256)


@pytest.mark.parametrize("answer", [status(404), status(500), other], ids=["404", "500", "other bytes"])
def test_a_lasting_failure_is_not_tried_again(server, answer):
    server.answers = [answer]
    with pytest.raises(DownloadError):
        get(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [status(503), short], ids=["503", "short"])
def test_there_are_three_attempts(server, answer):
    server.answers = [answer]
    with pytest.raises(DownloadError):
        get(server)
    assert len(server.requests) == 3


def test_a_wait_beyond_the_deadline_is_not_begun(server, monkeypatch):
    waits = []
    monkeypatch.setattr(hub.time, "sleep", waits.append)
    server.answers = [status(503, Retry_After=86_400)]
    with pytest.raises(DownloadError, match="HTTP status 503"):
        get(server, deadline=5)
    assert (len(server.requests), waits) == (1, [])


def test_a_wrong_length_is_refused_before_the_body(server):
    server.answers = [hang_in_the_body]
    with pytest.raises(ChecksumError, match=f"{len(CONTENT)} bytes, expected 1000000; "):
        get(server, size=1_000_000)


def test_a_body_that_does_not_end_is_cut_at_the_size(server, cache):
    server.answers = [too_long]
    with pytest.raises(ChecksumError, match=f"more than {len(CONTENT)} bytes"):
        get(server, size=len(CONTENT))
    assert names(cache) == []


@pytest.mark.parametrize("answer", [
    hang,
    drip_raw(b"", b"HTTP/1.1 200 OK"),
    drip_raw(b"HTTP/1.1 200 OK\r\n", b"X-Slow: yes\r\n"),
    drip_raw(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    drip_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    hang_in_the_body,
    drip,
    fast_for_ever,
], ids=["hang", "status line", "header", "redirect", "chunk size", "hang in the body", "body", "fast for ever"])
def test_a_slow_server_meets_the_deadline(server, cache, answer):
    server.answers = [answer]
    with pytest.raises(DownloadError, match="too slow for the deadline"):       # the test hangs where nothing ends it
        get(server, deadline=0.3)
    assert names(cache) == []


def test_a_download_that_is_given_up_leaves_no_thread(server):
    before = set(threading.enumerate())
    server.answers = [too_long]
    with pytest.raises(ChecksumError):
        get(server, size=len(CONTENT))
    for thread in set(threading.enumerate()) - before:
        if thread.daemon:                   # the others are the server's
            thread.join(60)
            assert not thread.is_alive()


def test_a_deadline_may_be_infinite(server):
    assert get(server, deadline=math.inf).read_bytes() == CONTENT


def test_a_refused_connection_fails_at_once(cache, monkeypatch):
    waits = []
    monkeypatch.setattr(hub, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waits.append))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # closed again, so nobody listens there
    with pytest.raises(DownloadError, match=r"Connection.*refused.*, expected the file; check the network"):
        fetch(f"http://127.0.0.1:{port}/file.txt", "file.txt", SHA256)
    assert waits == []


def test_a_redirect_from_https_to_plain_http_is_refused(cache, monkeypatch):
    sent = []

    def send(adapter, request, **_):
        sent.append(request.url)
        response = requests.Response()
        response.status_code, response.url, response.request, response.raw = 302, request.url, request, io.BytesIO()
        response.headers["Location"] = "http://example.org/file.txt"
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(DownloadError, match=r"redirects to http://example.org/file.txt, expected https"):
        fetch("https://example.org/file.txt", "file.txt", SHA256)
    assert sent == ["https://example.org/file.txt"]


def test_the_room_on_the_disk_is_checked_before_the_body(server, cache, monkeypatch):
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    server.answers = [hang_in_the_body]
    with pytest.raises(DownloadError, match="cache: 10 bytes free, expected 1,220; make room"):
        get(server)


def test_a_cache_folder_that_cannot_be_made_is_a_download_error(cache, monkeypatch):
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(DownloadError, match="cache"):
        fetch("http://127.0.0.1:9/file.txt", "file.txt", SHA256)


def test_an_interrupt_leaves_no_file(server, cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hub.Bar, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(server)
    assert names(cache) == []


def test_waiting_for_another_download_ends_at_the_deadline(server, cache):
    cache.mkdir()
    with (
        lock(cache / "file.txt.lock"),
        pytest.raises(DownloadError, match=f"locked by process {os.getpid()}"),
    ):
        get(server, deadline=0.2)
    assert server.requests == []


# --- without a network


@pytest.mark.parametrize("variable", ["MINIGPT_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_without_the_file_says_where_to_put_it(server, cache, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(DownloadError) as caught:
        get(server)
    assert str(caught.value) == (
        f"{cache / 'file.txt'}: absent and {variable} is set, expected {server.url};"
        f" unset it, or put the file of SHA-256 {SHA256} at {cache / 'file.txt'}"
    )
    assert server.requests == []


def test_offline_says_that_the_cached_file_is_damaged(server, cache, monkeypatch):
    monkeypatch.setenv("MINIGPT_OFFLINE", "1")
    cache.mkdir()
    (cache / "file.txt").write_bytes(b"damaged")
    with pytest.raises(DownloadError, match=r"file.txt: damaged and MINIGPT_OFFLINE is set"):
        get(server)


@pytest.mark.parametrize("offline", ["", "1"])
def test_a_cached_file_opens_no_socket(cache, monkeypatch, offline):
    cache.mkdir()
    (cache / "file.txt").write_bytes(CONTENT)
    monkeypatch.setenv("MINIGPT_OFFLINE", offline)

    def no_socket(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", no_socket)
    assert fetch("http://127.0.0.1:9/file.txt", "file.txt", SHA256) == cache / "file.txt"


def test_offline_set_to_0_is_online(server, monkeypatch):
    monkeypatch.setenv("MINIGPT_OFFLINE", "0")
    assert get(server).read_bytes() == CONTENT


# --- the cache folder


def test_cached_finds_the_right_content_only(cache):
    assert cached("file.txt", SHA256) is None
    cache.mkdir()
    (cache / "file.txt").write_bytes(CONTENT)
    assert cached("file.txt", SHA256) == cache / "file.txt"
    (cache / "file.txt").write_bytes(CONTENT + b"\n")
    assert cached("file.txt", SHA256) is None


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/minigpt"),
        ("linux", {"XDG_CACHE_HOME": "xdg"}, "xdg/minigpt"),
        ("darwin", {"XDG_CACHE_HOME": "xdg"}, "home/Library/Caches/minigpt"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/minigpt"),
        ("win32", {}, "home/AppData/Local/minigpt"),
        ("linux", {"MINIGPT_CACHE": "own", "XDG_CACHE_HOME": "xdg"}, "own"),
    ],
)
def test_the_cache_folder_is_the_platforms_or_ones_own(monkeypatch, platform, variables, expected):
    for name in ("MINIGPT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "home", "USERPROFILE": "home", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected)
