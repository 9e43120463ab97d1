"""A row of two sides that do one thing: seconds or amounts per second, and the peak memory of the two processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .race import Entry, Run, quartiles, race, rate, ratio
from .report import Row


def timed(work: Run, wake: Callable[[], Any]) -> Run:
    """Make run(i) -> {"value": work(i), "seconds": how long it took}; wake() gets a process going that has slept, untimed."""

    def run(i: int) -> dict[str, Any]:
        wake()
        start = time.perf_counter()
        value = work(i)
        return {"seconds": time.perf_counter() - start, "value": value}

    return run


def rows(
    what: str, peer: str, ours: Entry, theirs: Entry, rounds: int, *,
    amount: int = 0, unit: str = "s", note: str = "", tolerance: float | None = None,
) -> list[Row]:
    """Race two sides -> the row of what is compared, and its memory's.

    amount: what a round does, in units, or 0 for the seconds that it takes

    tolerance: how far the two values of a round may lie apart, relatively; a row says so where they lie further
    """
    laps, notes = race({"minigpt": ours, peer: theirs}, rounds, warmup=1)
    shown = partial(rate, amount) if amount else lambda seconds: quartiles(seconds)[0]
    mine = laps["minigpt"]
    seconds = [result["seconds"] for result in mine.results]
    speed = Row(what, unit, shown(seconds), peer, better="more" if amount else "less", note=notes.get(peer, note))
    memory = Row("  peak memory", "MB", mine.peak and mine.peak / 1e6, peer, better="less", note=notes.get(peer, ""))
    if peer in laps:
        other = laps[peer]
        their_seconds = [result["seconds"] for result in other.results]
        speed.theirs = shown(their_seconds)
        speed.ratio = ratio(their_seconds, seconds) if amount else ratio(seconds, their_seconds)
        if mine.peak and other.peak:
            memory.theirs, memory.ratio = other.peak / 1e6, (mine.peak / other.peak,) * 3
        values = [(a["value"], b["value"]) for a, b in zip(mine.results, other.results, strict=True)]
        if tolerance is not None and any(abs(a - b) > tolerance * abs(b) for a, b in values):
            speed.note = f"not the same: {values[0][0]:.6g}, {values[0][1]:.6g}"
    return [speed, memory]
