"""Commands whose output fails at any write: a status and, where anyone can read it, a sentence; training goes on."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress

import pytest

from faults.calls import TEXT
from faults.engine import in_child, in_children
from minigpt import GPT, GPTConfig
from minigpt.__main__ import main
from minigpt.training import checkpoint

with suppress(ImportError):         # once, instead of in each child that draws a loss curve
    import matplotlib.figure

    assert matplotlib

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: each fault has a process")

STEPS = 3


class Raw(io.RawIOBase):
    """A stream whose writes fail from number `at` on"""

    def __init__(self, at, number):
        super().__init__()
        self.at, self.number, self.writes, self.data = at, number, 0, b""

    def writable(self):
        return True

    def write(self, data):
        self.writes += 1
        if self.at is not None and self.writes > self.at:
            raise OSError(self.number, os.strerror(self.number))
        self.data += bytes(data)
        return len(data)


def text_stream(raw, encoding="utf-8", errors="strict"):
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=True)


def commands(folder):
    (folder / "text.txt").write_text(TEXT * 3, encoding="utf-8")
    (folder / "chinese.txt").write_text("三百四十二加五等于三百四十七。\n" * 60, encoding="utf-8")
    config = GPTConfig(33, 8, 8, 1, 2)
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    sizes = ["--layers", "1", "--heads", "1", "--channels", "8", "--context", "8", "--batch-size", "2", "--threads", "1"]
    train = ["train", *sizes, "--steps", str(STEPS), "--eval-interval", "2", "--sample-tokens", "8"]
    train += ["--out", str(folder / "out")]
    return {
        "tokenize": ["tokenize", "To be"],
        "score": ["score", "To be"],
        "generate": ["generate", "--max-new-tokens", "6", "--seed", "1", "--threads", "1", "To"],
        "trace": ["trace", "To be"],
        "train": [*train, "--data", str(folder / "text.txt")],
        "train on Chinese": [*train, "--data", str(folder / "chinese.txt")],
        "translate": ["translate", "--model", str(folder / "translation"), "--steps", "2", "--pairs", "101", "--tested", "2"],
        "doctor": ["doctor", "--config", str(folder / "config.json")],
        "help": ["--help"],
        "nothing": [],
    }


def run(argv, out, err):
    """The status of a command, or the error that left it"""
    with redirect_stdout(out), redirect_stderr(err):
        try:
            return main(argv)
        except SystemExit as end:
            return end.code
        except BaseException as error:
            return repr(error)


LONG = ("train", "train on Chinese", "translate")      # go on without anyone who reads, since their results are files


def finished(folder, name):
    """Whether a training has written what it is for"""
    if name == "translate":
        return (folder / "translation" / "words.json").exists() and (folder / "translation" / "config.json").exists()
    return checkpoint.load_newest(folder / "out").step == STEPS


@pytest.mark.parametrize("name", ["tokenize", "score", "generate", "trace", "train", "train on Chinese", "translate", "doctor",
                                  "help", "nothing"])
def test_a_command_whose_output_fails_ends_with_a_status(name, campaign, tmp_path):
    argv = commands(tmp_path)[name]

    def clear():
        for made in ("out", "translation"):
            shutil.rmtree(tmp_path / made, ignore_errors=True)

    def count():
        clear()
        raw = Raw(None, 0)
        out = text_stream(raw)
        status = run(argv, out, io.StringIO())
        return [status, raw.writes]

    status, writes = in_child(count, seconds=300)
    assert status in (0, 1)

    def check(case):
        stream, at, number, encoding = case
        clear()
        raw = Raw(at, number)
        broken, other = text_stream(raw, encoding), io.StringIO()
        status = run(argv, *((broken, other) if stream == "stdout" else (other, broken)))
        if not isinstance(status, int):
            return f"left by {status}"
        if name in LONG:
            if not finished(tmp_path, name):
                return f"status {status}, and the run did not go to its end"
        elif stream == "stdout" and raw.writes > at and number == errno.EPIPE and status != 141:
            return f"status {status} after a closed pipe, expected 141"
        elif stream == "stdout" and raw.writes > at and number != errno.EPIPE and status in (0, None):
            return "status 0 although its output is lost"
        elif stream == "stdout" and raw.writes > at and number != errno.EPIPE and "error" not in other.getvalue():
            return f"status {status}, and no sentence on stderr: {other.getvalue()[:200]!r}"
        if "Traceback" in other.getvalue():
            return "a traceback"
        return None

    cases = [(stream, at, number, "utf-8") for at in range(min(writes, 25)) for stream in ("stdout", "stderr")
             for number in (errno.EPIPE, errno.ENOSPC, errno.EIO)]
    cases += [("stdout", 10**9, 0, encoding) for encoding in ("cp1252", "ascii")]
    with campaign(f"output of {name}") as one:
        for case, problem in in_children(check, one.choose(cases, 1 if name in ("doctor", *LONG) else 5), seconds=300):
            one.record(case, problem)


SHELL = {
    "stdout closed": "{command} >&-",
    "stderr closed": "{command} 2>&-",
    "both closed": "{command} >&- 2>&-",
    "all closed": "{command} <&- >&- 2>&-",
    "stdout full": "{command} > /dev/full",
    "stderr full": "{command} 2> /dev/full",
    "both full": "{command} > /dev/full 2>&1",
    "a reader that leaves": "{command} | true",
    "code page 1252": "PYTHONIOENCODING=cp1252 {command} > /dev/null",
    "ASCII": "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {command} > /dev/null",
    "no home": "env -u HOME -u XDG_CACHE_HOME {command} > /dev/null",
    "an impossible cache": "MINIGPT_CACHE=/dev/null/x {command} > /dev/null",
}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_process_whose_streams_fail_ends_with_a_status(campaign, tmp_path):
    argvs = commands(tmp_path)

    def check(case):
        how, name = case
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        words = " ".join(f"'{word}'" for word in (sys.executable, "-m", "minigpt", *argvs[name]))
        command = f"set -o pipefail; {SHELL[how].format(command=words)}"
        with open(tmp_path / "said", "wb") as said:
            status = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=tmp_path,
                                    check=False).returncode
        text = (tmp_path / "said").read_text(encoding="utf-8", errors="replace")
        if "Traceback" in text or "Exception ignored" in text:
            return f"status {status}: {text[-300:]}"
        if name in LONG and not finished(tmp_path, name):
            return f"status {status}, the run did not go to its end: {text[-300:]}"
        if how in ("code page 1252", "ASCII", "no home", "an impossible cache") and status != 0:
            return f"status {status}: {text[-300:]}"
        return f"status {status}" if status not in (0, 1, 2, 141) else None

    cases = [(how, name) for how in SHELL for name in ("generate", "train", "tokenize", "help", "score")]
    with campaign("streams of a process") as one:
        for case, problem in in_children(check, one.choose(cases, 4), seconds=300):
            one.record(case, problem)


def test_what_a_model_draws_reaches_no_terminal_as_a_command(campaign, tmp_path):
    model = GPT(GPTConfig(4, 16, 8, 1, 2), threads=1)
    model.save_pretrained(tmp_path)
    chars = ["\x1b", "\r", "\u202e", "a"]
    (tmp_path / "chars.json").write_text(json.dumps({"type": "char", "chars": chars}), encoding="utf-8")

    def check(argv):
        raw = Raw(None, 0)
        out, err = text_stream(raw), io.StringIO()
        run([*argv, "--model", str(tmp_path)], out, err)
        out.flush()
        shown = raw.data.decode("utf-8") + err.getvalue()
        return next((f"{char!r} in {argv[0]}'s output" for char in chars[:3] if char in shown), None)

    with campaign("control characters") as one:
        for argv in (["generate", "a", "--max-new-tokens", "12", "--seed", "1"], ["tokenize", "a\x1b\r\u202e"],
                     ["score", "a\x1b\r\u202ea"], ["trace", "a\x1b\u202e"]):
            for case, problem in in_children(check, [argv]):
                one.record(case, problem)
