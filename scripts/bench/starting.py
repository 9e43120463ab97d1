"""Starting: loading GPT-2's weights, and what importing the package costs."""

from __future__ import annotations

import subprocess
import sys

from minigpt import GPT

from .race import Entry, race, ratio, spread
from .report import Row

IMPORT = """
from time import perf_counter
a = perf_counter()
import numpy
b = perf_counter()
import minigpt
print(perf_counter() - b)
"""


def minigpt_load(folder):
    """run() -> the number of parameters of the model that was loaded"""
    return lambda i: GPT.from_pretrained(folder).config.n_params


def transformers_load(folder):
    """The same in transformers"""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return lambda i: sum(p.numel() for p in transformers.GPT2LMHeadModel.from_pretrained(folder).parameters())


def load_rows(folder, quick):
    """Loading 124M float32 weights from safetensors, the file in the system's cache"""
    row = Row("load GPT-2 124M", "s", None, "transformers", better="less")
    folder = {"folder": str(folder)}
    laps, notes = race({
        "minigpt": Entry("bench.starting.minigpt_load", folder),
        "transformers": Entry("bench.starting.transformers_load", folder),
    }, 3 if quick else 8, warmup=1)
    ours, theirs = laps["minigpt"], laps.get("transformers")
    row.ours, row.note = spread(ours.seconds)[0], notes.get("transformers", "")
    if theirs:
        row.theirs, row.ratio = spread(theirs.seconds)[0], ratio(ours.seconds, theirs.seconds)
    yield row


def import_rows(quick):
    """import minigpt in a fresh process, after import numpy"""
    seconds = []
    for _ in range(1 + (5 if quick else 15)):
        seconds.append(float(subprocess.run([sys.executable, "-c", IMPORT], check=True, stdout=subprocess.PIPE).stdout))
    yield Row("import minigpt, over import numpy", "s", spread(seconds[1:])[0], "", better="less")
