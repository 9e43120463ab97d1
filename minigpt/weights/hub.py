"""Files from the internet: downloaded once, checked against a SHA-256 written in our source, then kept in a folder.

    path = fetch("https://example.org/input.txt", "input.txt", sha256="86c4e6aa...")

Without a network, put the file there by hand. URLs and checksums stand where the files are used; the folder is cache.py's.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from urllib3.exceptions import HTTPError, InvalidHeader, ProtocolError, TimeoutError
from urllib3.util import Retry

from ..system.files import LockedError, lock, open_no_link
from ..system.progress import Bar
from ..system.text import printable
from .cache import cache_folder, cached, sha256_of

_CONNECT_TIMEOUT = 5.0  # seconds; short, so that a user without network learns of it soon
_READ_TIMEOUT = 30.0  # seconds of silence
_SLOWEST = 100_000  # bytes a second, for the default deadline
_ATTEMPTS = 3
_BACKOFF = 1.0  # seconds before the second attempt, doubled for each further one
_CHUNK = 1 << 18  # bytes
_LONGEST_ETAG = 1000  # bytes; servers send some forty
_LONGEST_PATH = 4096  # characters of a path in a message: cut short, nobody could use it


class DownloadError(OSError):
    """The file could not be had; the message says why, and where to put it by hand."""


class ChecksumError(DownloadError):
    """Something arrived, but it is not the file."""


class _Interrupted(Exception):
    """A failure that another attempt may cure, after `wait` seconds where the server named a time."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def fetch(
    url: str, filename: str, sha256: str, size: int | None = None, progress: bool = True, deadline: float | None = None
) -> Path:
    """Return the path of the file in the cache folder, downloading it first if it is not there or is damaged.

    sha256: of the content, hexadecimal; size: its bytes, where known, checked before downloading.
    progress: show a bar on stderr, if that is a terminal.
    deadline: seconds for everything, waiting for another process that downloads the same file included.
        By default a minute and the time the size takes at 100 kB/s, an hour if the size is unknown.

    Nothing is sent if the file is there, or if MINIGPT_OFFLINE or HF_HUB_OFFLINE is set. The file appears under its
    name only when whole and checked. What an interrupted download has left in FILENAME.part is continued by the next
    attempt, in this process or another, if the server named the content by an ETag and still has it.

    Raises: ChecksumError for other content, DownloadError for everything else that goes wrong.
    """
    path = cache_folder() / filename
    place = printable(path, _LONGEST_PATH)
    remedy = f"put the file of SHA-256 {sha256} at {place}"
    try:
        if found := cached(filename, sha256):
            return found
        for variable in ("MINIGPT_OFFLINE", "HF_HUB_OFFLINE"):
            if os.environ.get(variable, "").lower() in ("1", "true", "yes", "on"):
                state = "damaged" if path.exists() else "absent"
                raise DownloadError(f"{place}: {state} and {variable} is set, expected {url}; unset it, or {remedy}")
        if deadline is None:
            deadline = 3600.0 if size is None else 60.0 + size / _SLOWEST
        download = _Download(url, path, sha256, size, progress, time.monotonic() + deadline, remedy)
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path.with_name(path.name + ".lock"), timeout=deadline):
            if found := cached(filename, sha256):  # another process fetched it while this one waited
                return found
            try:
                download.run()
                os.replace(download.part, path)
            finally:
                download.discard_unless_resumable()
    except DownloadError:
        raise
    except LockedError as error:  # another process is still downloading it
        raise DownloadError(f"{printable(error, _LONGEST_PATH)}, or {remedy}") from error
    except OSError as error:  # the disk, the folder's permissions
        reason = printable(error, _LONGEST_PATH)
        raise DownloadError(f"{place}: {reason}, expected to save {url} there; {remedy}") from error
    return path


class _Download:
    """A file on its way: its first bytes in FILENAME.part, and in FILENAME.part.etag the server's name for the content
    they are the beginning of.
    """

    def __init__(
        self, url: str, path: Path, sha256: str, size: int | None, progress: bool, end: float, remedy: str
    ) -> None:
        self.url, self.path, self.sha256, self.size, self.progress = url, path, sha256, size, progress
        self.end = end  # of time.monotonic()
        self.remedy = remedy  # what the user can do without it
        self.part = path.with_name(path.name + ".part")
        self._etag = path.with_name(path.name + ".part.etag")

    def run(self) -> None:
        """Write the checked content to the part, in several attempts where that may help."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._attempt()
            except (_Interrupted, requests.RequestException, HTTPError) as error:
                reason, wait = self._curable(error)
                wait = _BACKOFF * 2**attempt if wait is None else wait
                if attempt == _ATTEMPTS - 1 or time.monotonic() + wait > self.end:
                    raise self._failure(reason, "try again later, or ") from error
            time.sleep(wait)

    def discard_unless_resumable(self) -> None:
        """Remove what the next attempt cannot continue, and the name of a download that has become the file."""
        if self._resumable() is None:
            self._forget()
            self.part.unlink(missing_ok=True)

    def _attempt(self) -> None:
        """Write the checked content behind what is there of it."""
        etag = self._resumable()
        if etag is not None and sha256_of(self.part) == self.sha256:  # interrupted between the last byte and the new name
            return
        received = 0 if etag is None else self.part.stat().st_size
        # Of a compressed body cut short, requests returns what it could unpack as if that were all.
        headers = {"Accept-Encoding": "identity"}
        if etag is not None:
            headers |= {"Range": f"bytes={received}-", "If-Range": etag}
        with contextlib.closing(self._by_the_deadline(_answer(self.url, headers))) as answer:
            response = next(answer)
            status, resumed = response.status_code, etag is not None and response.status_code == 206
            if etag is not None and status == 416:
                raise self._start_over("the partial file is no beginning of it, expected the rest")
            if status in (429, 503):
                raise _Interrupted(f"HTTP status {status}, expected 200", _retry_after(response))
            if status != 200 and not resumed:
                raise self._failure(f"HTTP status {status}, expected 200")
            # A server that ignores If-Range may send the rest of other content, or another part than asked for.
            sent = response.headers.get("Content-Range", "")
            if resumed and (response.headers.get("ETag", etag) != etag or not sent.startswith(f"bytes {received}-")):
                raise self._start_over(f"the server sent {sent!r:.40} of changed content, expected the rest of the same")
            self._receive(response, answer, received if resumed else 0)
        if (found := sha256_of(self.part)) != self.sha256:
            if resumed:  # the fault may lie in what was there before
                raise self._start_over("the partial file and the rest do not make the file, expected its SHA-256")
            self._forget()
            reason = f"{self.part.stat().st_size:,} bytes of SHA-256 {found}, expected {self.sha256}"
            raise self._failure(reason, kind=ChecksumError)

    def _by_the_deadline(self, answer: Generator[Any]) -> Generator[Any]:
        """Yield what `answer` yields, an error once the deadline is past, even while `answer` waits for the network.

        A server that sends a byte now and then, of a header or of anything else, keeps every timeout of a socket. So a
        thread waits for it, which nobody waits for: it is left alone until it next hears something or is timed out.
        """
        pieces: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=1)
        left = threading.Event()

        def draw() -> None:
            try:
                with contextlib.closing(answer):
                    for piece in answer:
                        pieces.put((piece, None))
                        if left.is_set():
                            return
                pieces.put((None, None))
            except BaseException as error:
                pieces.put((None, error))

        threading.Thread(target=draw, daemon=True).start()
        try:
            while (seconds := self.end - time.monotonic()) > 0:
                try:
                    piece, error = pieces.get(timeout=min(seconds, threading.TIMEOUT_MAX))
                except queue.Empty:
                    break
                if error is not None:
                    raise error
                if piece is None:
                    return
                yield piece
            raise self._failure("too slow for the deadline, expected the file", "try again, or ")
        finally:
            left.set()
            with contextlib.suppress(queue.Empty):
                pieces.get_nowait()  # the thread may be waiting for room

    def _receive(self, response: requests.Response, answer: Iterator[bytes], received: int) -> None:
        """Write the body, the rest of the answer, behind the first `received` bytes and force it to the disk."""
        declared = response.headers.get("Content-Length", "")
        announced = received + int(declared) if declared.isdecimal() and len(declared) < 20 else None
        if self.size is not None and announced not in (None, self.size):
            if received:  # else what is there of the file stays: a sign-in page says nothing about it
                self._forget()
            raise self._failure(f"{announced} bytes, expected {self.size}", kind=ChecksumError)
        total = announced if self.size is None else self.size
        folder = self.part.parent
        if total is not None and total - received > (free := shutil.disk_usage(folder).free):
            room = f"{free:,} bytes free, expected {total - received:,}; make room"
            raise DownloadError(f"{printable(folder)}: {room}, or {self.remedy}")
        if not received:
            self._start(response.headers.get("ETag"))
        silent = None if self.progress else True  # None: silent where stderr is no terminal
        with (
            open(self.part, "ab", opener=open_no_link) as file,
            Bar(total=total, initial=received, desc=self.path.name, unit="B", unit_scale=True, disable=silent) as bar,
        ):
            for chunk in answer:
                file.write(chunk)
                file.flush()  # a killed process leaves what it has received
                received += len(chunk)
                bar.update(len(chunk))
                if total is not None and received > total:
                    self._forget()
                    raise self._failure(f"more than {total} bytes, expected {total}", kind=ChecksumError)
            if announced is not None and received < announced:
                raise _Interrupted(f"the connection ended after {received:,} bytes, expected {announced:,}")
            os.fsync(file.fileno())  # before the rename: else a power cut can leave the new name on empty blocks

    def _resumable(self) -> str | None:
        """Return the name of the content to continue, None where there is nothing to continue."""
        if not _is_plain_file(self._etag) or not _is_plain_file(self.part) or not self.part.stat().st_size:
            return None
        with open(self._etag, "rb", opener=open_no_link) as file:
            etag = file.read(_LONGEST_ETAG + 1).decode("latin-1")
        return etag if _is_strong(etag) else None

    def _start(self, etag: str | None) -> None:
        """Empty the part for content of this name."""
        self._forget()  # first, so that the name never stands beside bytes of other content
        self.part.unlink(missing_ok=True)
        self.part.open("xb").close()  # new, so that no link is followed
        if etag is not None and _is_strong(etag):
            with open(self._etag, "xb") as file:
                file.write(etag.encode("ascii"))

    def _forget(self) -> None:
        """Have the next attempt start afresh. The bytes stay for now: Windows removes no file that is open."""
        self._etag.unlink(missing_ok=True)

    def _curable(self, error: Exception) -> tuple[str, float | None]:
        """Return the reason of a failure and the seconds that the server asks to wait for.

        Raises: DownloadError where another attempt would not help.
        """
        if isinstance(error, _Interrupted):
            return str(error), error.wait
        if isinstance(error, ProtocolError):  # in the body
            return f"the connection dropped after {self.part.stat().st_size:,} bytes, expected the whole file", None
        if error.args and isinstance(error.args[0], ProtocolError):  # before the answer
            return "the connection dropped, expected the file", None
        if isinstance(error, (requests.Timeout, TimeoutError)):
            raise self._failure("no answer in time, expected the file", "try again, or ") from error
        raise self._failure(f"{_root(error)}, expected the file", "check the network, or ") from error

    def _start_over(self, reason: str) -> _Interrupted:
        """Forget what is there; to be raised."""
        self._forget()
        return _Interrupted(reason, wait=0)

    def _failure(self, reason: str, advice: str = "", kind: type[DownloadError] = DownloadError) -> DownloadError:
        """The error that says why and what to do; to be raised."""
        return kind(f"{self.url}: {reason}; {advice}{self.remedy}")


def _answer(url: str, headers: dict[str, str]) -> Generator[Any]:
    """Yield the server's response, then its body as it comes, in pieces."""
    timeout, hooks = (_CONNECT_TIMEOUT, _READ_TIMEOUT), {"response": _refuse_plain_http}
    with requests.get(url, stream=True, timeout=timeout, headers=headers, hooks=hooks) as response:
        yield response
        # read1 returns what has come, read (urllib3 before 2.2) waits for a full chunk.
        read: Any = getattr(response.raw, "read1", response.raw.read)
        while chunk := read(_CHUNK):
            yield chunk


def _is_plain_file(path: Path) -> bool:
    """Whether a file is there that is no link, whose target would be someone else's."""
    return not path.is_symlink() and path.is_file()


def _is_strong(etag: str) -> bool:
    """Whether equal ETags mean equal bytes; W/"..." means no more than the same in essence."""
    return 2 < len(etag) <= _LONGEST_ETAG and etag[0] == etag[-1] == '"' and etag.isascii() and etag.isprintable()


def _refuse_plain_http(response: requests.Response, *_: object, **__: object) -> None:
    """Stop before following a redirect that leaves https (requests calls this for every response)."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and not target.startswith("https:"):
        response.close()
        moved = f"{printable(response.url)}: redirects to {printable(target)}"
        raise DownloadError(f"{moved}, expected https; tell the site's owner")


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that the server asks to wait for, None where it names none."""
    with contextlib.suppress(InvalidHeader, ValueError):
        return Retry().get_retry_after(response.raw)
    return None


def _root(error: BaseException) -> str:
    """Name the root of a chain of errors in a few words, such as gaierror: Name or service not known."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return printable(f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}")
