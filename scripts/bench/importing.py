"""What importing the package costs."""

from __future__ import annotations

import subprocess
import sys

from .race import spread
from .report import Row

SCRIPT = """
from time import perf_counter
import numpy
start = perf_counter()
import minigpt
print(perf_counter() - start)
"""


def rows(quick):
    """import minigpt in a fresh process, after import numpy"""
    seconds = []
    for _ in range(1 + (5 if quick else 15)):
        seconds.append(float(subprocess.run([sys.executable, "-c", SCRIPT], check=True, stdout=subprocess.PIPE).stdout))
    yield Row("import minigpt, over import numpy", "s", spread(seconds[1:])[0], "", better="less")
