"""The lab's server: the standard library's, on this machine alone, for whoever has the key.

    http://127.0.0.1:8765/KEY/              the page, its style sheet and its script
    http://127.0.0.1:8765/KEY/api/NAME      requests: POST, an object of JSON

Loopback alone keeps other machines out; the key, in the address, other users and pages of this one; the checks of Host and
Origin pages that found out the address, by a name of their own for 127.0.0.1 too.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import stat
import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from ...system.json_reader import parse_json
from ...system.text import printable
from ...weights.cache import cache_folder
from .packing import as_json
from .passes import TooLong
from .requests import JSON, Abandoned, Lab, UnknownRequest

DEFAULT_PORT = 8765
LARGEST_BODY = 1 << 20      # bytes
SLOWEST = 30                # seconds that a connection may be silent
FILES = {"": ("index.html", "text/html; charset=utf-8"), "lab.css": ("lab.css", "text/css; charset=utf-8"),
         "lab.js": ("lab.js", "text/javascript; charset=utf-8")}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'")


class Server(ThreadingHTTPServer):
    """The lab behind an address.  Raises OSError for a port that is in use.

    port: 0 takes a free one.  framed: whether other pages, such as a notebook, may show it in a frame.
    """

    daemon_threads, block_on_close = True, False        # Ctrl-C waits for no computation
    request_queue_size = 128                            # connections that wait to be taken
    allow_reuse_address = sys.platform != "win32"       # there it would share a port with whoever has it

    def __init__(self, lab: Lab, port: int = DEFAULT_PORT, framed: bool = False) -> None:
        self.lab, self.framed, self.key = lab, framed, kept_key()
        super().__init__(("127.0.0.1", port), Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}
        self.address = f"http://127.0.0.1:{self.server_port}/{self.key}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news."""


class Refused(Exception):
    """A request that gets a status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "minigpt", ""
    timeout = SLOWEST
    server: Server

    def do_GET(self) -> None:
        """The page and its files."""
        self._reply(self._file)

    def do_POST(self) -> None:
        """Requests."""
        self._reply(self._request)

    def do_HEAD(self) -> None:
        """What nothing here knows."""
        self._reply(self._no_method)

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD

    def _no_method(self) -> tuple[str, bytes]:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{self.command}: expected GET for the page, POST for requests")

    def _reply(self, answer: Any) -> None:
        self._is_read = self.command in ("GET", "HEAD")
        try:
            kind, body = answer()
            status = HTTPStatus.OK
        except Abandoned:
            self.close_connection = True
            return
        except Refused as error:
            status, kind, body = error.status, JSON, as_json({"error": str(error)})
        except (ValueError, TypeError, FloatingPointError) as error:
            status = HTTPStatus.NOT_FOUND if isinstance(error, UnknownRequest) else HTTPStatus.BAD_REQUEST
            kind, body = JSON, as_json({"error": str(error), **({"most": error.most} if isinstance(error, TooLong) else {})})
        except MemoryError:
            status, kind = HTTPStatus.INTERNAL_SERVER_ERROR, JSON
            body = as_json({"error": "not enough memory, expected room for the whole pass; shorten the text"})
        except Exception as error:
            status, kind = HTTPStatus.INTERNAL_SERVER_ERROR, JSON
            body = as_json({"error": f"{type(error).__name__}: {printable(str(error), 300)}; this is a mistake in minigpt"})
        if status != HTTPStatus.OK:
            self._read_away()
            self.close_connection = True
        self.send_response(status)
        headers = {
            "Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Content-Security-Policy": POLICY + ("" if self.server.framed else "; frame-ancestors 'none'"),
            **({"Connection": "close"} if self.close_connection else {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self) -> tuple[str, bytes]:
        rest = self._allowed()
        if rest not in FILES:
            raise Refused(HTTPStatus.NOT_FOUND, f"{printable(rest, 80)}: no such file; open {self.server.address}")
        name, kind = FILES[rest]
        return kind, resources.files("minigpt").joinpath("assets", "lab", name).read_bytes()

    def _request(self) -> tuple[str, bytes]:
        rest = self._allowed()
        if not rest.startswith("api/"):
            raise Refused(HTTPStatus.NOT_FOUND, f"{printable(rest, 80)}: no such request; requests begin with api/")
        if self.headers.get_content_type() != JSON:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: expected {JSON}")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "Content-Length: expected the number of bytes that follow")
        if len(length) > 12 or int(length) > LARGEST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: {printable(length, 20)} bytes, expected at most "
                          f"{LARGEST_BODY}; shorten the text")
        self._is_read = True
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Abandoned
        try:
            fields = parse_json(body, "body", dict)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error).partition("; ")[0]) from error
        return self.server.lab.answer(rest.removeprefix("api/"), fields, self._is_gone)

    def _allowed(self) -> str:
        """What follows the key in the address.  Raises Refused for requests that come from elsewhere or lack the key."""
        if self.headers.get("Host", "") not in self.server.hosts:
            raise Refused(HTTPStatus.FORBIDDEN, f"Host: expected {' or '.join(sorted(self.server.hosts))}")
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            raise Refused(HTTPStatus.FORBIDDEN, "Origin: another page, expected the lab's own")
        _, key, rest = [*self.path.partition("?")[0].split("/", 2), "", ""][:3]
        if not secrets.compare_digest(key.encode(), self.server.key.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "key: not in the address, expected the address that `minigpt lab` printed; "
                          "paste a link that was sent to you into Open a link there")
        is_page = rest == "" and self.command == "GET"          # which anyone may link to, and a notebook may frame
        if not is_page and self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused(HTTPStatus.FORBIDDEN, "Sec-Fetch-Site: another page, expected the lab's own")
        return rest

    def _read_away(self) -> None:
        """Read what is left of a body that nobody wants, within reason: else its sender hears of a reset, not of the reason."""
        length = self.headers.get("Content-Length", "")
        left = 0 if self._is_read or not (length.isascii() and length.isdigit()) else min(int(length[:12]), 16 * LARGEST_BODY)
        self._is_read = True
        while left > 0 and (piece := self.rfile.read(min(left, 1 << 16))):
            left -= len(piece)

    def _is_gone(self) -> bool:
        """Whether the page has closed the connection"""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not listed: the terminal is for what the reader needs."""


def kept_key() -> str:
    """The key of this user's labs, 128 random bits, kept in the cache folder so that bookmarks stay good."""
    path = cache_folder() / "lab-key"
    try:
        if _is_private(path):
            key = path.read_text(encoding="ascii").strip()
            if len(key) == 32 and key.isalnum():
                return key
    except (OSError, ValueError):
        pass
    key = secrets.token_hex(16)
    temporary = path.with_name(f".lab-key.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(key)
        os.replace(temporary, path)
    except OSError:                     # then it lasts as long as this server
        with suppress(OSError):
            temporary.unlink()
    return key


def _is_private(path: Path) -> bool:
    """Whether nobody else can have written or read it; the cache of a user without a home is a folder that all share"""
    found = os.lstat(path)
    is_own = sys.platform == "win32" or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
    return stat.S_ISREG(found.st_mode) and is_own
