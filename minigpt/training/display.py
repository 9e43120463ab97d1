"""What a run shows while it trains: a bar where it can be drawn, else a line every ten seconds; and lines above it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..system.progress import Bar
from ..system.streams import Tolerant, say
from ..system.text import for_terminal

EVERY = 10      # seconds between two lines where no bar can be drawn


class Display:
    """Where a run stands, for those who watch, inside a with statement.

        with Display(total=2000, done=0, unit="step") as display:
            display.show(done=1, seconds_of_step=0.08, details="loss 4.174")
            display.say("a line above the bar")

    total, done: steps, or seconds where unit is "s".  The time left is that of the steps to come, as long as those of this
    sitting took on average; evaluations and samples, which come now and then, are not counted.
    clock: tells seconds; only the lines depend on it.
    """

    def __init__(self, total: int, done: int, unit: str, quiet: bool, clock: Callable[[], float]) -> None:
        terminal = Tolerant(sys.stderr)
        self._total, self._first, self._unit, self._quiet, self._clock = total, done, unit, quiet, clock
        self._trained = 0.0         # seconds of this sitting's steps
        self._lines = not quiet and not terminal.isatty()
        self._last_line = clock()
        self._bar = Bar(total=total, initial=done, dynamic_ncols=True, file=terminal, disable=quiet or self._lines,
                        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}" + (" s" if unit == "s" else "") + "{postfix}")

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, done: int, seconds_of_step: float, details: str) -> None:
        """Note one more step, after which so much is done."""
        self._trained += seconds_of_step
        if self._unit != "s":
            left = (self._total - done) * self._trained / max(1, done - self._first)
            details = f"{Bar.format_interval(left)} left, {details}"
        self._bar.set_postfix_str(details, refresh=False)
        self._bar.update(done - self._bar.n)
        if self._lines and self._clock() - self._last_line >= EVERY:
            self.say(f"{done} of {self._total} {'s' if self._unit == 's' else 'steps'}, {details}")

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        if not self._quiet:
            say(for_terminal(text), sys.stdout, self._bar)
            self._last_line = self._clock()
