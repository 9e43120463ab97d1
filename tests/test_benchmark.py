"""The benchmark: a fair race, honest arithmetic, and sides that do the same work.

Live races against torch, transformers, tiktoken and tokenizers run under `-m reference`.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench import gpt2, looking, machine, pair, reading, same_weights, scoring, tokenizing, training, tuning
from bench.race import Entry, Laps, left, quartiles, race, rate, ratio
from bench.report import Row, save_chart
from minigpt import GPTConfig
from minigpt.system.threads import WorkerPool
from minigpt.tokenization import Tokenizer

SCRIPTS = Path(__file__).parents[1] / "scripts"
TINY = dict(settings=dict(vocab_size=17, n_positions=12, n_layer=2, n_head=2, n_embd=8, bias=True), batch_size=3)

# The race


@pytest.fixture
def folder(tmp_path):
    """Worker functions in a module of their own, and a torch that is not there"""
    (tmp_path / "sides.py").write_text(
        "import time\n"
        "def log(path, name, seconds=0):\n"
        "    def run(i):\n"
        "        print('noise')\n"
        "        time.sleep(seconds)\n"
        "        with open(path, 'a', encoding='utf-8') as file: file.write(f'{name}{i} ')\n"
        "        return [name, i]\n"
        "    return run\n"
        "def broken():\n"
        "    return lambda i: 1 / 0\n",
        encoding="utf-8",
    )
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')", encoding="utf-8")
    return tmp_path


def entry(folder, function, **arguments):
    return Entry(function, arguments, {"PYTHONPATH": os.pathsep.join([str(folder), str(SCRIPTS)])})


def test_sides_run_in_turn_and_warm_up_rounds_do_not_count(folder):
    path = folder / "log"
    laps, notes = race({name: entry(folder, "sides.log", path=str(path), name=name) for name in "ab"}, rounds=2, warmup=1)
    assert path.read_text(encoding="utf-8").split() == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert laps["a"].results == [["a", 1], ["a", 2]]
    assert len(laps["b"].seconds) == 2
    assert notes == {}


def test_a_side_is_timed_by_its_own_clock(folder):
    sides = {name: entry(folder, "sides.log", path=str(folder / "log"), name=name, seconds=s) for name, s in
             (("slow", 0.2), ("fast", 0))}
    laps, _ = race(sides, rounds=1, warmup=0)
    assert laps["slow"].seconds[0] >= 0.2 > laps["fast"].seconds[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell a process's peak memory")
def test_a_side_reports_the_peak_memory_of_its_process(folder):
    laps, _ = race({"a": entry(folder, "sides.log", path=str(folder / "log"), name="a")}, rounds=1)
    assert 1e6 < laps["a"].peak < 1e9


def test_a_side_whose_package_is_missing_is_noted_and_the_others_run(folder):
    sides = {"here": entry(folder, "sides.log", path=str(folder / "log"), name="a"),
             "PyTorch": entry(folder, "bench.training.torch_steps", steps=1, **TINY)}
    laps, notes = race(sides, rounds=1)
    assert list(laps) == ["here"]
    assert notes == {"PyTorch": "torch is not installed: pip install '.[bench,peers]'"}


def test_a_worker_that_fails_ends_the_race(folder):
    with pytest.raises(RuntimeError, match="a worker ended with exit code 1"):
        race({"a": entry(folder, "sides.broken")}, rounds=1)


@pytest.mark.skipif(os.name == "nt", reason="os.kill(pid, 0) ends a process there")
def test_the_busy_process_ends_with_the_benchmark():
    code = "import os\nfrom bench.training import busy_process\nwith busy_process() as pid: print(pid, flush=True); os._exit(1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=60,
                          env={**os.environ, "PYTHONPATH": str(SCRIPTS)})
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            os.kill(int(done.stdout), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {done.stdout} goes on")


def test_spread_is_the_median_between_the_quartiles():
    assert quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == (3.0, 2.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_a_ratio_is_taken_round_by_round():
    assert ratio([2.0, 8.0, 30.0], [1.0, 4.0, 10.0]) == (2.0, 2.0, 2.5)
    assert rate(6, [1.0, 2.0, 3.0]) == 3.0


# The arithmetic


def test_the_floor_counts_what_the_equations_name():
    """One layer, one channel, one head, two tokens: counted by hand"""
    config = GPTConfig(vocab_size=3, n_positions=2, n_layer=1, n_head=1, n_embd=1, n_inner=4, bias=False)
    pairs = 2 * 3 / 2                                           # (query 0, key 0), (1, 0), (1, 1)
    gemm = 6 * 2 * (4 + 8 + 3) + 12 * pairs
    elementwise = 2 * 98 + 7 * pairs + 4 * 2 * 3 + 14 * config.n_params
    ceiling = {"gemm": 1.0, "elementwise": 1e6, "exp": 1e12, "tanh": 1e18}
    expected = gemm + 1e-6 * elementwise + 1e-12 * (pairs + 6) + 1e-18 * 8
    assert training.floor_seconds(config, 1, ceiling) == pytest.approx(expected, rel=1e-15)


def test_ceilings_are_what_all_cores_compute_in_a_second(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))          # by which each measurement takes 1 s
    threads = WorkerPool().threads
    elements = 400 * 32_768 * threads
    assert machine.ceilings(("elementwise", "tanh", "exp"))(0) == {"elementwise": elements, "tanh": elements, "exp": elements}


def test_the_limits_are_the_best_of_all_ways(monkeypatch):
    """On a clock by which each measurement takes the next of these numbers of seconds"""
    pool = WorkerPool(2)
    memory = np.ones((6, 4), np.float32)

    def clock(*seconds):
        ticks = itertools.chain.from_iterable((0.0, s) for s in seconds)
        monkeypatch.setattr(reading.time, "perf_counter", lambda: next(ticks))

    count = len(reading.read_ways(4)) * reading.PASSES
    clock(*[8.0] * (count + 4), 2.0, *[8.0] * (count - 5))
    assert reading.read_speed(pool, memory) == (memory.nbytes / 2, "dot, 2 threads")
    monkeypatch.setattr(reading, "OPERATIONS", 1)
    clock(8.0, 8.0, 8.0, 2.0, 8.0)                          # the product with the first matrix transposed
    assert reading.multiply_speed(pool) == 2 * 1024**3 * 2 / 2


def test_each_way_to_read_goes_over_all_of_the_matrix():
    """What it gives depends on every element"""
    for way in reading.read_ways(3).values():
        results = []
        for place in [None, *np.ndindex(5, 3)]:
            matrix = np.ones((5, 3), np.float32)
            if place is not None:
                matrix[place] = 4
            results.append(np.sum(way(matrix)))
        assert all(result > results[0] for result in results[1:])


def test_what_a_limit_leaves():
    assert left((0.8, 0.7, 0.9)) == "left: 25%"
    assert left((1.02, 1.0, 1.1)) == "left: 0%"


@pytest.mark.parametrize(("theirs", "note"), [([2.0, 5.0], "as it is"), ([2.0, 5.1], "not the same: 2, 2")])
def test_a_pair_says_where_its_sides_gave_something_else(monkeypatch, theirs, note):
    def lap(seconds, values, peak):
        return Laps(results=[{"seconds": s, "value": v} for s, v in zip(seconds, values, strict=True)], peak=peak)

    laps = {"minigpt": lap([1.0, 2.0], [2.0, 5.0], 3_000_000), "peer": lap([4.0, 4.0], theirs, 4_000_000)}
    monkeypatch.setattr(pair, "race", lambda *_, **__: (laps, {}))
    speed, memory = pair.rows("work", "peer", Entry(""), Entry(""), 2, amount=8, tolerance=0.01, note="as it is")
    assert (speed.ours, speed.theirs, speed.ratio[0], speed.note) == (6.0, 2.0, 3.0, note)
    assert (memory.ours, memory.theirs, memory.ratio[0]) == (3.0, 4.0, 0.75)


def test_both_sides_start_from_the_same_numbers():
    np.testing.assert_array_equal(training.weights("h.0.mlp.c_fc.weight", (3, 4)),
                                  training.weights("h.0.mlp.c_fc.weight", (3, 4)))
    assert not np.array_equal(training.weights("h.0.mlp.c_fc.weight", (3, 4)), training.weights("wte.weight", (3, 4)))


def test_training_lowers_the_loss_of_the_batch():
    run = training.minigpt_steps(**TINY, steps=5)
    losses = [run(i)["loss"] for i in range(3)]
    assert losses[2] < losses[1] < losses[0] < np.log(17) + 0.1


def test_a_lap_begins_with_a_step_that_is_not_timed(monkeypatch):
    taken = []
    monkeypatch.setattr(training.time, "perf_counter", lambda: len(taken))          # a clock on which a step takes 1 s
    run = training._lap(lambda: taken.append("step") or len(taken), steps=3)
    assert run(0) == {"loss": 5, "seconds": 3}              # one step was taken beforehand


@pytest.mark.parametrize("kind", tokenizing.KINDS)
def test_every_round_has_a_text_of_its_own(kind):
    texts = [tokenizing.text(kind, "python", i) for i in range(tokenizing.TEXTS)]
    assert len(set(texts)) == len(texts)
    assert all(len(text) > tokenizing.SIZE / 2 for text in texts)
    assert texts[0] == tokenizing.text(kind, "python", 0)


def test_our_side_encodes_with_gpt2s_vocabulary():
    count, _ = tokenizing.minigpt_encode("Python code", "python")(3)["ids"]
    assert count == len(Tokenizer.gpt2().encode(tokenizing.text("Python code", "python", 3), disallowed_special=()))


# The report


ROWS = [Row("training step", "tokens/s", 1234.5, "PyTorch", 1000.0, (1.25, 1.2, 1.3)),
        Row("peak memory", "MB", 50.0, "PyTorch", 100.0, (0.5, 0.5, 0.5), better="less"),
        Row("import", "s", 0.0712, "", better="less", note="alone")]


def test_a_row_shows_both_figures_and_the_ratio_with_its_quartiles():
    assert str(ROWS[0]).split() == ["training", "step", "1,234", "1,000", "1.25", "(1.20–1.30)", "tokens/s", "PyTorch"]
    assert str(ROWS[2]).split() == ["import", "0.07", "s", "(less", "is", "better)", "alone"]


def test_the_chart_is_a_picture_where_matplotlib_is_installed(tmp_path):
    path = tmp_path / "chart.png"
    if save_chart(path, ROWS, "title"):
        assert path.read_bytes().startswith(b"\x89PNG")
    else:
        assert not path.exists()


def test_the_command_prints_rows_and_writes_them_as_json(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "benchmark.py"), "--only", "import", "--quick", "--json", str(tmp_path / "rows.json"),
         "--chart", str(tmp_path / "chart.png")],
        capture_output=True, encoding="utf-8", timeout=120, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, check=True,
    )
    written = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert written["machine"]["numpy"] == np.__version__
    (row,) = written["rows"]
    assert row["what"] == "import, over import numpy"
    assert 0 < row["ours"] < 60
    assert "import, over import numpy" in done.stdout


# Live


@pytest.mark.reference
def test_torch_gives_our_losses_over_steps():
    pytest.importorskip("torch")
    ours, theirs = training.minigpt_steps(**TINY, steps=3), training.torch_steps(**TINY, steps=3)
    for i in range(3):
        assert ours(i)["loss"] == pytest.approx(theirs(i)["loss"], rel=1e-5)        # float32, rounding grows over the steps


@pytest.mark.reference
@pytest.mark.parametrize("kind", tokenizing.KINDS)
def test_the_peers_give_our_ids(kind):
    pytest.importorskip("tiktoken")
    pytest.importorskip("tokenizers")
    sides = [getattr(tokenizing, f"{name}_encode")(kind, "python") for name in ("minigpt", "tiktoken", "tokenizers")]
    assert sides[0](4)["ids"] == sides[1](4)["ids"] == sides[2](4)["ids"]


@pytest.mark.reference
def test_transformers_continues_with_our_tokens(tmp_path):
    pytest.importorskip("transformers")
    gpt2.save_gpt2(tmp_path)
    ours, theirs = (side(tmp_path, list(gpt2.PARTS))(0) for side in (gpt2.minigpt_side, gpt2.transformers_side))
    for part in gpt2.PARTS:
        assert ours[part]["tokens"] == theirs[part]["tokens"]


@pytest.mark.reference
@pytest.mark.parametrize(("package", "ours", "theirs"), [
    ("transformer_lens", (looking.minigpt_trace, True), (looking.transformer_lens_trace, True)),
    ("transformer_lens", (looking.minigpt_trace, False), (looking.transformer_lens_trace, False)),
    ("transformers", (looking.minigpt_attention,), (looking.transformers_attention,)),
    ("peft", (tuning.minigpt_tuning, "lora"), (tuning.transformers_tuning, "lora")),
    ("transformers", (tuning.minigpt_tuning, "whole"), (tuning.transformers_tuning, "whole")),
    ("transformers", (scoring.minigpt_scoring,), (scoring.transformers_scoring,)),
])
def test_peers_give_our_numbers(monkeypatch, package, ours, theirs):
    pytest.importorskip(package)
    small = dict(n_embd=16, n_layer=2, n_head=2, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    for module in (same_weights, looking):
        monkeypatch.setattr(module, "CONFIG", GPTConfig(**small))
    monkeypatch.setattr(scoring, "ANSWERS", 40)
    a, b = (side(*arguments) for side, *arguments in (ours, theirs))
    for i in range(2):
        assert a(i)["value"] == pytest.approx(b(i)["value"], rel=1e-3, abs=1e-5)     # float32; of LoRA both steps are taken


@pytest.mark.reference
def test_heads_alone_and_the_small_model_race_to_the_end(monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setattr(same_weights, "CONFIG", GPTConfig(n_embd=16, n_layer=2, n_head=2))
    assert 0 < tuning.minigpt_tuning("head")(0)["value"] < 2 and 0 < tuning.transformers_tuning("head")(0)["value"] < 2
    pytest.importorskip("glassllm")
    assert looking.minigpt_small()(0)["value"] > 70 and looking.glassllm_small()(0)["value"] > 70
