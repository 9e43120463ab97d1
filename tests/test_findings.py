"""Each finding can be run as it is, and says which versions it installs."""

import os
import re
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "findings").iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_finding_has_its_run_bit_and_pins_what_it_installs(script):
    installs = re.findall(r"\binstall .*", script.read_text(encoding="utf-8").partition("\nset -euo pipefail\n")[2])
    assert installs and not [x for x in installs if re.search(r'"[A-Za-z][\w.\[\]-]*"', x)], "a package without =="
    assert os.name == "nt" or os.access(script, os.X_OK)
