"""What CONTRIBUTING shows works: its examples, applied to a copy of minigpt, pass their tests there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
# (file, ", new" or ", above …" or "", the line below, python or diff, the block)
BLOCKS = re.findall(r"^\*\*`([\w./]+)`\*\*(, new|, above `([^`\n]+)`)?:.*?\n\n```(python|diff)\n(.*?)^```$", TEXT, re.M | re.S)


def changed(text, hunk):
    """A text after a hunk of a diff that has no line numbers: the lines that it begins with stand there once"""
    lines = hunk.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
    assert text.count(f"\n{before}") == 1, f"{text.count(before)} times there, expected once:\n{before}"
    return text.replace(f"\n{before}", f"\n{after}")


def above(text, start, block):
    """A text with a block above the one line that starts so"""
    assert text.count(f"\n{start}") == 1, f"{text.count(start)} times there, expected once:\n{start}"
    return text.replace(f"\n{start}", f"\n{block}\n\n{start}")


def test_no_block_of_the_examples_is_left_out():
    examples = re.split(r"^## Adding something$", TEXT, flags=re.M)[1].split("\n## ")[0].split("\n### ")[1:]
    assert [text.split("\n")[0] for text in examples] == [
        "An activation function", "A layer with a weight", "A warper", "An optimizer", "A weight format"]
    assert len(re.findall(r"^```\w", "".join(examples), re.M)) == len(BLOCKS)


def test_every_example_passes_its_own_test(tmp_path):
    shutil.copytree(ROOT / "minigpt", tmp_path / "minigpt")
    for name in ("pyproject.toml", "tests/gradients.py", "tests/nn/test_activations.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name, place, start, kind, block in BLOCKS:
        path = tmp_path / name
        if place == ", new":
            assert not path.exists(), f"{name}: there already, expected a new file"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block, encoding="utf-8")
            continue
        text = path.read_text(encoding="utf-8")
        if kind == "diff":
            for hunk in block.split("@@\n"):
                text = changed(text, hunk)
        else:
            text = above(text, start, block)
        path.write_text(text, encoding="utf-8")
    tests = [name for name, place, *_ in BLOCKS if place == ", new" and name.startswith("tests/")]
    environment = {**os.environ, "MINIGPT_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "mish or not test_activations",
         "tests/nn/test_activations.py", *tests],
        cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
