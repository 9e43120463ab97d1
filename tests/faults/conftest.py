"""How much of a campaign runs, and what is printed about it at the end.

Each campaign runs twice over: a sample by default, chosen by a seed, and the whole with `pytest -m faults`.
"""

import random

import pytest

COUNTS = pytest.StashKey[dict]()
SEED = 17


class Campaign:
    """The faults of one campaign, and what went wrong."""

    def __init__(self, name, whole, counts):
        self.name, self.whole = name, whole
        self._tally = counts.setdefault(name, {"faults": 0, "wrong": 0, "notes": {}})
        self.wrong = []

    def choose(self, cases, sample):
        """All cases, or so many of them."""
        cases = list(cases)
        return cases if self.whole or len(cases) <= sample else random.Random(SEED).sample(cases, sample)

    def record(self, case, problem):
        """Count a fault; problem is None where every promise was kept."""
        self._tally["faults"] += 1
        if problem is not None:
            self._tally["wrong"] += 1
            self.wrong.append(f"{case}: {problem}")

    def note(self, what):
        """Count an outcome that is right and worth knowing."""
        self._tally["notes"][what] = self._tally["notes"].get(what, 0) + 1

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None and self.wrong:
            pytest.fail(f"{self.name}: {len(self.wrong)} wrong\n" + "\n".join(self.wrong[:40]), pytrace=False)


@pytest.fixture(params=["sample", pytest.param("whole", marks=pytest.mark.faults)])
def campaign(request, two_blas_threads):
    """with campaign(name) as one: the faults that a test tries; where one went wrong the test fails at the end."""
    counts = request.config.stash.setdefault(COUNTS, {})
    return lambda name: Campaign(name, request.param == "whole", counts)


def pytest_sessionfinish(session):
    """Where several processes share the tests, each hands its counts to the one that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = session.config.stash.get(COUNTS, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    counts = node.config.stash.setdefault(COUNTS, {})
    for name, part in getattr(node, "workeroutput", {}).get("faults", {}).items():
        tally = counts.setdefault(name, {"faults": 0, "wrong": 0, "notes": {}})
        for key in ("faults", "wrong"):
            tally[key] += part[key]
        for what, number in part["notes"].items():
            tally["notes"][what] = tally["notes"].get(what, 0) + number


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash.get(COUNTS, {})
    if counts:
        terminalreporter.section("faults")
    for name, tally in counts.items():
        notes = "".join(f", {number} {what}" for what, number in tally["notes"].items())
        terminalreporter.write_line(f"faults: {name} {tally['faults']:,} faults, {tally['wrong']:,} wrong{notes}")
    if counts:
        faults, wrong = (sum(tally[key] for tally in counts.values()) for key in ("faults", "wrong"))
        terminalreporter.write_line(f"faults: in all {faults:,} faults, {wrong:,} wrong")
