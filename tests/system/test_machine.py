"""What the machine is."""

import os

import pytest

from minigpt.system import machine
from minigpt.system.threads import WorkerPool


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the machine's memory is not to be had here")
def test_a_containers_share_of_the_memory_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 1000)       # 1000 pages of 1000 bytes
    limits = [tmp_path / "new", tmp_path / "old"]
    monkeypatch.setattr(machine, "_LIMITS", limits)
    assert machine.memory() == 1_000_000                        # no such files
    limits[0].write_text("max\n", encoding="utf-8")
    limits[1].write_text("9223372036854771712\n", encoding="utf-8")
    assert machine.memory() == 1_000_000
    limits[0].write_text("300000\n", encoding="utf-8")
    assert machine.memory() == 300_000


def test_memory_is_unknown_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine.memory() is None


def test_the_processor_and_blas_have_names():
    assert machine.processor()
    assert machine.blas()


def test_the_rate_of_products_counts_all_threads(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))      # everything takes a second
    pool = WorkerPool(2)
    assert machine.matmul_flops(pool, n=3, repeats=5) == 5 * 2 * 27 * pool.threads
