"""The command `lab`: a page to play a model, look at both passes, change them, and watch a training run."""

import argparse
import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..models.gpt import GPT
from ..study.lab.requests import Lab
from ..study.lab.runs import is_ready
from ..study.lab.serving import DEFAULT_PORT, Server
from ..system.text import printable
from .common import command_parser, exit_status

BUNDLED = "shakespeare-char"


def main(argv: list[str] | None = None) -> int:
    """Serve the lab's page until Ctrl-C.  Returns the exit status, 0 or 1."""
    parser = command_parser(
        "minigpt lab", "Open a page, served by this machine for this machine alone, on which to play a model: generate token "
        "by token, look at every activation and gradient, follow the backward pass, switch parts off, watch a training run.",
        "python -m minigpt lab", "python -m minigpt lab --model out/my-run", "python -m minigpt lab --run out/my-run",
        notes="Ctrl-C ends it.  The page needs no internet.",
    )
    parser.add_argument("--model", metavar="FOLDER", help=f"a folder written by training, or a model's name (default: the "
                        f"best model of --run, where there is one, else {BUNDLED})")
    parser.add_argument("--run", metavar="FOLDER", help="show the training run in this folder (default: none)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, metavar="N", help="of the address; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    return exit_status(_run, parser, argv)


def _run(args: argparse.Namespace) -> int:
    if not 0 <= args.port <= 65535:
        raise ValueError(f"--port: {args.port}, expected 0 to 65535; 0 takes a free one")
    if args.run is not None and not Path(args.run).is_dir():
        raise ValueError(f"--run: {printable(args.run)} is no folder, expected that of a run, such as out/shakespeare-char")
    own = args.run if args.run is not None and is_ready(Path(args.run)) else BUNDLED
    lab = Lab(GPT.from_pretrained(own if args.model is None else args.model), args.run)
    with serving(lab, args.port) as server, suppress(KeyboardInterrupt):
        print(f"{server.address}\nthe lab; Ctrl-C ends it", file=sys.stderr, flush=True)
        if not args.no_browser:
            _open(server.address)
        server.serve_forever()
    return 0


@contextmanager
def lab_of_run(folder: Path) -> Iterator[Callable[[], None]]:
    """Serve the lab on a run in this process, beside the bundled model -> a function that keeps it open until Ctrl-C."""
    lab = Lab(GPT.from_pretrained(BUNDLED), folder)
    try:
        server = Server(lab)
    except OSError:                     # another lab has the usual port
        server = serving(lab, 0)
    with server:
        print(f"the lab: {server.address}", file=sys.stderr, flush=True)
        thread = threading.Thread(target=server.serve_forever, name="lab", daemon=True)
        thread.start()
        _open(server.address + "#view=training")

        def stay_open() -> None:
            with suppress(KeyboardInterrupt):
                print("the lab stays open; Ctrl-C ends it", file=sys.stderr, flush=True)
                thread.join()

        yield stay_open


def _open(address: str) -> None:
    """Open it in the reader's browser, unless that would be one that takes over this terminal."""
    if sys.platform in ("win32", "darwin") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ:
        webbrowser.open(address)


def serving(lab: Lab, port: int) -> Server:
    """Its server.  Raises OSError that says what to do where the port is in use."""
    try:
        return Server(lab, port)
    except OSError as error:
        raise OSError(f"--port: {port}, {error.strerror or error}; give another one, or 0 for a free one") from error
