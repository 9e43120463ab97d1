"""What a run shows while it trains, told by a clock that the test turns."""

import io
import re
import sys

import pytest

from minigpt.training.display import Display


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    """A clock that stands still: clock.now += 3"""

    def tell():
        return tell.now

    tell.now = 100.0
    return tell


def test_where_no_bar_can_be_drawn_there_is_a_line_ten_seconds_after_the_last_one(clock, capsys):
    with Display(100, 0, "step", False, clock) as display:
        for step in range(1, 31):
            clock.now += 1
            display.show(step, 1.0, f"loss {5 - step / 10:.1f}")
            if step == 13:
                display.say("an evaluation")
    assert capsys.readouterr().out.splitlines() == [
        "10 of 100 steps, 01:30 left, loss 4.0", "an evaluation", "23 of 100 steps, 01:17 left, loss 2.7"]


def test_a_run_by_the_clock_says_its_seconds(clock, capsys):
    with Display(120, 30, "s", False, clock) as display:
        clock.now += 10
        display.show(40, 10.0, "loss 4.0")
    assert capsys.readouterr().out == "40 of 120 s, loss 4.0\n"


def test_the_time_left_is_that_of_the_steps_and_not_of_what_came_between(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Display(2000, 400, "step", False, clock) as display:      # a sitting that begins at step 400
        for step in range(401, 501):
            display.show(step, 0.4, "loss 4.0")
        clock.now += 3600                                           # an evaluation, samples
        display.say("an evaluation")
        display.show(501, 0.4, "loss 3.9")
        display.say("")
    last = re.findall(r"501/2000, (\S+) left, loss 3\.9", terminal.getvalue())
    assert last and set(last) == {"09:59"}                          # 1499 steps of 0.4 s


def test_on_a_terminal_there_are_no_lines_but_those_that_are_said_and_when_quiet_none(clock, monkeypatch, capsys):
    for quiet, terminal in ((False, Terminal()), (True, Terminal()), (True, io.StringIO())):
        monkeypatch.setattr(sys, "stderr", terminal)
        with Display(10, 0, "step", quiet, clock) as display:
            clock.now += 1000
            display.show(1, 1.0, "loss 4.0")
            display.say("said")
        assert capsys.readouterr().out == ("" if quiet else "said\n")
        assert ("1/10" in terminal.getvalue()) == (not quiet)
