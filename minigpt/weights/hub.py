"""Files from the internet: downloaded once, checked against a SHA-256 written in our source, then kept in a folder.

    path = fetch("https://example.org/input.txt", "input.txt", sha256="86c4e6aa...")

Whoever has no network puts the file there by hand. Which files there are is written where they are used.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import sys
import time
from collections.abc import Collection
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ProtocolError, TimeoutError

from ..system.files import LockedError, lock

_CONNECT_TIMEOUT = 5.0  # seconds; short, so that a user without network learns of it soon
_READ_TIMEOUT = 30.0  # seconds of silence
_SLOWEST = 100_000  # bytes a second, for the default deadline
_ATTEMPTS = 3
_BACKOFF = 1.0  # seconds before the second attempt, doubled for each further one
_CHUNK = 1 << 18  # bytes


class DownloadError(OSError):
    """The file could not be had; the message says why, and where to put it by hand."""


class ChecksumError(DownloadError):
    """Something arrived, but it is not the file."""


class _Interrupted(Exception):
    """A failure that another attempt may cure, after `wait` seconds where the server named a time."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def cache_folder() -> Path:
    """Return the folder of downloaded files: $MINIGPT_CACHE, or "minigpt" in the platform's cache folder."""
    if own := os.environ.get("MINIGPT_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "minigpt"


def hugging_face_cache() -> Path:
    """Return the folder in which transformers and huggingface_hub keep what they download; it need not exist."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(variable):
            return Path(folder).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def hugging_face_snapshot(repository: str, filenames: Collection[str], revision: str | None = None) -> Path | None:
    """Return the folder of a repository's files in Hugging Face's own cache if all of `filenames` are there, else None.

        models--openai-community--gpt2/refs/main                             the revision last downloaded
        models--openai-community--gpt2/snapshots/607a30d783…/config.json

    revision: the one to prefer; then comes that of refs/main. The content is not checked: its owner put it there.
    """
    # A repository may also be there by its name of before the organisations, as "gpt2".
    for name in (repository, repository.partition("/")[2]):
        folder = hugging_face_cache() / ("models--" + name.replace("/", "--"))
        main = folder / "refs" / "main"
        revisions = [revision, main.read_text(encoding="utf-8").strip() if main.is_file() else None]
        for snapshot in (folder / "snapshots" / each for each in revisions if each):
            if all((snapshot / filename).is_file() for filename in filenames):
                return snapshot
    return None


def cached(filename: str, sha256: str) -> Path | None:
    """Return the file's path in the cache folder if it is there with this SHA-256 (hexadecimal), else None."""
    path = cache_folder() / filename
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return path if digest.hexdigest() == sha256 else None


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

    Errors: ChecksumError for other content, DownloadError for everything else that goes wrong.
    """
    path = cache_folder() / filename
    remedy = f"put the file of SHA-256 {sha256} at {path}"
    try:
        if found := cached(filename, sha256):
            return found
        for variable in ("MINIGPT_OFFLINE", "HF_HUB_OFFLINE"):
            if os.environ.get(variable, "").lower() in ("1", "true", "yes", "on"):
                state = "damaged" if path.exists() else "absent"
                raise DownloadError(f"{path}: {state} and {variable} is set, expected {url}; unset it, or {remedy}")
        if deadline is None:
            deadline = 3600.0 if size is None else 60.0 + size / _SLOWEST
        end = time.monotonic() + deadline
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path.with_name(path.name + ".lock"), timeout=deadline):
            if found := cached(filename, sha256):  # another process fetched it while this one waited
                return found
            part = _Part(path)
            try:
                _download_with_retries(url, part, sha256, size, progress, end, remedy)
                part.finish()
            finally:
                part.discard_unless_resumable()
    except DownloadError:
        raise
    except LockedError as error:  # another process is still downloading it
        raise DownloadError(f"{error}, or {remedy}") from error
    except OSError as error:  # the disk, the folder's permissions
        raise DownloadError(f"{path}: {error}, expected to save {url} there; {remedy}") from error
    return path


class _Part:
    """A download that is not whole yet: its bytes in FILENAME.part, and in FILENAME.part.etag the server's name for the
    content they are the beginning of.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = final.with_name(final.name + ".part")
        self._etag = final.with_name(final.name + ".part.etag")

    def etag(self) -> str | None:
        """Return the name of the content to continue, None where there is nothing to continue."""
        if not self._etag.is_file() or not self.path.is_file() or not self.path.stat().st_size:
            return None
        text = self._etag.read_bytes().decode("latin-1")
        return text if _is_strong(text) else None

    def restart(self, etag: str | None) -> None:
        """Empty the file for content of this name."""
        self.forget()  # first, so that the name never stands beside bytes of other content
        self.path.write_bytes(b"")
        if etag is not None and _is_strong(etag):
            self._etag.write_bytes(etag.encode("ascii"))

    def forget(self) -> None:
        """Have the next attempt start afresh. The bytes stay for now: Windows removes no file that is open."""
        self._etag.unlink(missing_ok=True)

    def discard_unless_resumable(self) -> None:
        if self.etag() is None:
            self.forget()
            self.path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its name."""
        os.replace(self.path, self.final)
        self._etag.unlink(missing_ok=True)


def _is_strong(etag: str) -> bool:
    """Whether equal ETags mean equal bytes; W/"..." means no more than the same in essence."""
    return len(etag) > 2 and etag[0] == etag[-1] == '"' and etag.isascii() and etag.isprintable()


def _download_with_retries(
    url: str, part: _Part, sha256: str, size: int | None, progress: bool, end: float, remedy: str
) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            return _download(url, part, sha256, size, progress, end, remedy)
        except _Interrupted as failure:
            wait = _BACKOFF * 2**attempt if failure.wait is None else failure.wait
            if attempt == _ATTEMPTS - 1 or time.monotonic() + wait > end:
                raise DownloadError(f"{url}: {failure}; try again later, or {remedy}") from failure
            time.sleep(wait)
        except (requests.Timeout, TimeoutError) as error:
            raise DownloadError(f"{url}: no answer in time, expected the file; try again, or {remedy}") from error
        except (requests.RequestException, HTTPError) as error:
            reason = _reason(error)
            raise DownloadError(f"{url}: {reason}, expected the file; check the network, or {remedy}") from error


def _download(url: str, part: _Part, sha256: str, size: int | None, progress: bool, end: float, remedy: str) -> None:
    """Make one attempt: write the checked content to `part`, behind what is there of it."""
    etag, digest, received = part.etag(), hashlib.sha256(), 0
    if etag is not None:
        with open(part.path, "rb") as beginning:
            while chunk := beginning.read(_CHUNK):
                digest.update(chunk)
                received += len(chunk)
        if digest.hexdigest() == sha256:  # interrupted between the last byte and the new name
            return
    # Of a compressed body cut short, requests returns what it could unpack as if that were all.
    headers = {"Accept-Encoding": "identity"}
    if etag is not None:
        headers |= {"Range": f"bytes={received}-", "If-Range": etag}
    left = max(end - time.monotonic(), 0.001)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        session.hooks["response"].append(_refuse_plain_http)
        try:
            response = session.get(
                url,
                stream=True,
                timeout=(min(_CONNECT_TIMEOUT, left), min(_READ_TIMEOUT, left)),
                headers=headers,
            )
        except requests.ConnectionError as error:
            if error.args and isinstance(error.args[0], ProtocolError):  # connected, then dropped
                raise _Interrupted("the connection dropped, expected the file") from error
            raise
        stack.enter_context(response)
        if response.status_code in (429, 503):
            raise _Interrupted(f"HTTP status {response.status_code}, expected 200", _retry_after(response))
        resumed = etag is not None and response.status_code == 206
        if etag is not None and response.status_code == 416:
            part.forget()
            raise _Interrupted("the partial file is no beginning of it, expected the rest", wait=0)
        if response.status_code != 200 and not resumed:
            raise DownloadError(f"{url}: HTTP status {response.status_code}, expected 200; {remedy}")
        # A server that ignores If-Range may send the rest of other content, or another part than asked for.
        sent = response.headers.get("Content-Range", "")
        if resumed and (response.headers.get("ETag", etag) != etag or not sent.startswith(f"bytes {received}-")):
            part.forget()
            raise _Interrupted(f"the server sent {sent!r:.40} of changed content, expected the rest of the same", wait=0)
        if not resumed:  # 200: the whole content, whatever was asked for
            digest, received = hashlib.sha256(), 0
        declared = response.headers.get("Content-Length", "")
        announced = received + int(declared) if declared.isdecimal() else None
        if size is not None and announced not in (None, size):
            if resumed:  # else what is there of the file stays: a sign-in page says nothing about it
                part.forget()
            raise ChecksumError(f"{url}: {announced} bytes, expected {size}; {remedy}")
        total = size if size is not None else announced
        folder = part.path.parent
        if total is not None and total - received > (free := shutil.disk_usage(folder).free):
            raise DownloadError(f"{folder}: {free:,} bytes free, expected {total - received:,}; make room, or {remedy}")

        if not resumed:
            part.restart(response.headers.get("ETag"))
        file = stack.enter_context(open(part.path, "ab"))
        bar = stack.enter_context(
            tqdm(
                total=total,
                initial=received,
                desc=part.final.name,
                unit="B",
                unit_scale=True,
                disable=None if progress else True,
            )
        )
        # read1 returns what has come, read (urllib3 before 2.2) waits for a full chunk, however slowly it drips.
        read: Any = getattr(response.raw, "read1", response.raw.read)
        try:
            while chunk := read(_CHUNK):
                file.write(chunk)
                file.flush()  # a killed process leaves what it has received
                digest.update(chunk)
                received += len(chunk)
                bar.update(len(chunk))
                if time.monotonic() > end:
                    raise DownloadError(f"{url}: too slow, {received:,} bytes by the deadline; try again, or {remedy}")
                if received > (math.inf if total is None else total):
                    part.forget()
                    raise ChecksumError(f"{url}: more than {total} bytes, expected {total}; {remedy}")
        except ProtocolError as error:
            raise _Interrupted(f"the connection dropped after {received:,} bytes, expected the whole file") from error
        if announced is not None and received < announced:
            raise _Interrupted(f"the connection ended after {received:,} bytes, expected {announced:,}")
        file.flush()
        os.fsync(file.fileno())  # before the rename: else a power cut can leave the new name on empty blocks
        if digest.hexdigest() != sha256:
            part.forget()
            if resumed:  # the fault may lie in what was there before
                raise _Interrupted("the partial file and the rest do not make the file, expected its SHA-256", wait=0)
            raise ChecksumError(
                f"{url}: {received:,} bytes of SHA-256 {digest.hexdigest()}, expected {sha256}; {remedy}"
            )


def _refuse_plain_http(response: requests.Response, *_: object, **__: object) -> None:
    """Stop before following a redirect that leaves https (requests calls this for every response)."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and not target.startswith("https:"):
        response.close()
        raise DownloadError(f"{response.url}: redirects to {target}, expected https; tell the site's owner")


def _retry_after(response: requests.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    with contextlib.suppress(ValueError, TypeError):  # no date, or one without its time zone
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds())
    return None


def _reason(error: BaseException) -> str:
    """Name the root of a chain of errors in a few words, such as gaierror: Name or service not known."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"
