"""A race: several sides, each in a fresh process, doing the same work in turn, so that a machine's moods meet them all."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

Run = Callable[[int], Any]           # the work of round i, whose result is JSON
Quartiles = tuple[float, float, float]  # median, lower and upper quartile


@dataclass
class Entry:
    """Who takes part: the function that prepares run(i) in a worker, its arguments, additions to its environment."""

    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    one_core: bool = False      # keep to the same core as all that say so: for work of one thread, on a machine of uneven cores


@dataclass
class Laps:
    """What a side did, round by round: seconds, what run() returned, and the process's peak memory in bytes."""

    seconds: list[float] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    peak: int | None = None


class _Side:
    """A worker process that waits until it is told to run."""

    def __init__(self, entry: Entry) -> None:
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **entry.environment},
        )
        self.tell(json.dumps({"function": entry.function, "arguments": entry.arguments, "one_core": entry.one_core}))

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"benchmark: a worker ended with exit code {self._process.wait()}; its error stands above")
        return json.loads(answer)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def race(entries: dict[str, Entry], rounds: int, warmup: int = 2) -> tuple[dict[str, Laps], dict[str, str]]:
    """Let all entries do their work in turn, `warmup` times for nothing and then `rounds` times for the record.

    -> ({name: Laps}, {name: note} of those whose packages are not installed)
    """
    laps: dict[str, Laps] = {}
    notes: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        sides = {name: stack.enter_context(contextlib.closing(_Side(entry))) for name, entry in entries.items()}
        for name, side in sides.items():            # all get ready at the same time
            if missing := side.hear().get("missing"):
                notes[name] = f"{missing} is not installed: pip install '.[bench,peers]'"
            else:
                laps[name] = Laps()
        for i in range(warmup + rounds):
            for name in laps:
                sides[name].tell(str(i))
                answer = sides[name].hear()
                laps[name].peak = answer["peak"]
                if i >= warmup:
                    laps[name].seconds.append(answer["seconds"])
                    laps[name].results.append(answer["result"])
    return laps, notes


def quartiles(values: Sequence[float]) -> Quartiles:
    """Return the median and the quartiles of a few numbers."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return median(values), low, high


def rate(amount: float, seconds: Sequence[float]) -> float:
    """How much of a work that comes in this amount was done per second, the median"""
    return quartiles([amount / s for s in seconds])[0]


def ratio(above: Sequence[float], below: Sequence[float]) -> Quartiles:
    """Return the quartiles() of the ratios of two lists, taken round by round."""
    return quartiles([a / b for a, b in zip(above, below, strict=True)])


def left(share: Quartiles) -> str:
    """Say what a share of a limit, as ratio() gives it, leaves to be gained."""
    return f"left: {max(1 / share[0] - 1, 0):.0%}"
