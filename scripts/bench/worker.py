"""One side of a race, in a process of its own: reads requests as lines of JSON, answers each with one.

The first line is {"function": "bench.training.minigpt_steps", "arguments": {…}, "one_core": false}.  The function prepares
everything and returns run(i), the work to be timed; each further line is an i.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def peak_memory() -> int | None:
    """Return the most memory this process has held so far, in bytes; None on Windows, which does not tell."""
    with contextlib.suppress(OSError):          # Linux; its getrusage starts from what the parent process held
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def main() -> None:
    """Answer one request after the other."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)                                   # what a library prints must not stand between the answers

    def answer(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    request = json.loads(sys.stdin.readline())
    if request["one_core"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    module, _, name = request["function"].rpartition(".")
    try:
        run = getattr(importlib.import_module(module), name)(**request["arguments"])
    except ModuleNotFoundError as error:
        answer(missing=error.name)
        return
    answer(ready=True)
    for line in sys.stdin:
        start = time.perf_counter()
        result = run(int(line))
        seconds = time.perf_counter() - start
        answer(seconds=seconds, result=result, peak=peak_memory())


if __name__ == "__main__":
    main()
