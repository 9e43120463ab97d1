"""What importing the package costs, in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from .race import quartiles, ratio
from .report import Row

SCRIPT = """
from time import perf_counter
import numpy
start = perf_counter()
{}
print(perf_counter() - start)
"""
IMPORTS = {"minigpt": "import minigpt", "transformers": "from transformers import GPT2LMHeadModel"}


def rows(quick: bool) -> Iterator[Row]:
    """Measure it here and in transformers, in turn, both after import numpy."""
    seconds: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(1 + (5 if quick else 15)):
        for name, statement in IMPORTS.items():
            done = subprocess.run([sys.executable, "-c", SCRIPT.format(statement)], capture_output=True, encoding="utf-8")
            if done.returncode == 0:
                seconds[name].append(float(done.stdout))
            elif name == "minigpt" or "ModuleNotFoundError" not in done.stderr:
                raise RuntimeError(f"benchmark: {statement}: {done.stderr}")
    ours, theirs = (times[1:] for times in seconds.values())
    row = Row("import, over import numpy", "s", quartiles(ours)[0], "transformers", better="less")
    if theirs:
        row.theirs, row.ratio = quartiles(theirs)[0], ratio(ours, theirs)
    else:
        row.note = "torch or transformers is not installed: pip install '.[bench,peers]'"
    yield row
