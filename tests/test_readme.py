"""What the README shows is what its code prints."""

import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from minigpt.nn import attention_backward

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"```python\n(.*?)```\n+(?:[^\n]+\n+)?```text\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code, printed", EXAMPLES, ids=["in a notebook", "look inside"])
def test_the_readmes_python_prints_what_stands_under_it(code, printed):
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", code], capture_output=True, encoding="utf-8", timeout=60,
                          env={**os.environ, "LC_ALL": "C"})           # in English
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_every_file_that_the_readme_names_is_there():
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    quoted = re.findall(r"`((?:minigpt|scripts|tests)/[\w./-]+)`", README)
    assert links
    assert [name for name in links + quoted if not (root / name).exists()] == []


def test_the_lines_of_attention_are_the_librarys():
    (lines,) = re.findall(r"```py\n(.*?)```", README, re.DOTALL)
    assert textwrap.indent(lines, "    ") in inspect.getsource(attention_backward)
