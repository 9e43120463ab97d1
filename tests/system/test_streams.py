"""Streams that take nothing, or not everything: what is written for those who watch never stops what they watch."""

import io
import sys

import pytest
from tqdm import tqdm

from minigpt.system.streams import Tolerant, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Broken(Terminal):
    """A terminal that has gone"""

    def write(self, *text):
        raise OSError("it takes nothing")

    flush = isatty = write


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("make", [lambda: None, closed, Broken])
def test_what_a_stream_does_not_take_is_dropped(make):
    stream = Tolerant(make())
    stream.write("text")
    stream.flush()
    assert not stream.isatty()
    with tqdm(total=2, file=stream) as bar:
        say("text", make(), bar)
        bar.update()


@pytest.mark.parametrize(("encoding", "expected"), [
    ("cp1252", b"\\u56db\\u5341 \xe9\n"), ("ascii", b"\\u56db\\u5341 \\xe9\n"), ("utf-8", "四十 é\n".encode()),
])
def test_characters_that_an_encoding_lacks_are_shown_in_escapes(encoding, expected):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    say("四十 é", stream)
    assert stream.buffer.getvalue() == expected


def test_half_a_surrogate_pair_is_shown_in_escapes():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    say("\ud83d", stream)
    assert stream.buffer.getvalue() == b"\\ud83d\n"


def test_a_line_stands_above_the_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with tqdm(total=2, file=Tolerant(terminal), ncols=40) as bar:
        say("a line", terminal, bar)
    before, after = terminal.getvalue().split("a line\n")
    assert before.endswith(" \r")       # cleared
    assert "0/2" in after
