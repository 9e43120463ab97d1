"""One model on several processes: the numbers of one, files from one of them, and an end whatever happens to another."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt import GPT, GPTConfig
from minigpt.__main__ import main
from minigpt.config import ConfigError
from minigpt.system.signals import end_signals, stop_signals
from minigpt.tokenization import CharTokenizer
from minigpt.training import checkpoint, distributed, tasks
from minigpt.training.distributed import ALONE, Alone, launched, ranks
from minigpt.training.ending import cause_of, status_of
from minigpt.training.texts import ShortText
from rank_programs import SIZES, TEXT, steps, trainer_of

HERE, PROGRAMS = Path(__file__).parents[1], Path(__file__).parents[1] / "rank_programs.py"
MPIEXEC = next((str(path) for path in [Path(sys.executable).with_name("mpiexec")] if path.exists()), shutil.which("mpiexec"))
with_mpi = pytest.mark.skipif(MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="no mpi4py with an mpiexec")


@cache
def of_open_mpi():
    """Whether mpiexec is Open MPI's, which starts no more ranks than there are cores unless it is asked to"""
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, encoding="utf-8").stdout
    return "Open" in version or "prte" in version.lower()


def started(n, *arguments):
    """mpiexec with so many ranks of a program, whichever MPI it is of"""
    more = ["--oversubscribe"] if of_open_mpi() else []
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                   "PYTHONPATH": os.pathsep.join([str(Path(minigpt.__file__).parents[1]), str(HERE)])}
    return subprocess.Popen([MPIEXEC, *more, "-n", str(n), sys.executable, str(PROGRAMS), *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment)


def ended(process):
    """status, stdout, stderr"""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


# One process


def test_one_process_has_all_rows_and_its_own_words():
    assert (ALONE.rank, ALONE.size, ALONE.leads, ALONE.rows(7)) == (0, 1, True, slice(0, 7))
    assert ALONE.total(1.5, 2) == [1.5, 2]
    assert (ALONE.of_leader("out/a"), ALONE.first(lambda: 3), ALONE.threads()) == ("out/a", 3, None)
    with pytest.raises(ValueError, match="no such luck"):
        ALONE.end(ValueError("no such luck"))


@pytest.mark.parametrize(("count", "size"), [(7, 3), (2, 2), (12, 4), (5, 1)])
def test_the_ranks_rows_are_all_rows_once(count, size):
    rows = []
    for rank in range(size):
        group = Alone()
        group.rank, group.size = rank, size
        rows += range(count)[group.rows(count)]
        assert abs(len(range(count)[group.rows(count)]) - count / size) < 1
    assert rows == list(range(count))


@pytest.mark.parametrize(("name", "size"), [("OMPI_COMM_WORLD_SIZE", "4"), ("PMI_SIZE", "2")])
def test_a_launcher_is_recognized_and_mpi_is_not_touched_without_one(monkeypatch, name, size):
    for variable in distributed._SIZES:
        monkeypatch.delenv(variable, raising=False)
    assert not launched() and ranks() is ALONE
    monkeypatch.setenv(name, size)
    assert launched()
    code = "import sys, minigpt.training.trainer; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True).stdout.split()
    assert "minigpt.training.distributed" in modules and "mpi4py" not in modules


def test_without_mpi4py_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(distributed.DistributedError, match="pip install mpi4py mpich"):
        ranks(mpi=True)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_time_to_wait_is_above_0(timeout):
    with pytest.raises(ValueError, match="expected seconds above 0"):
        ranks(mpi=True, timeout=timeout)


@pytest.mark.parametrize(("error", "status", "words"), [
    (ValueError("no such luck"), 1, "ValueError: no such luck"),
    (KeyboardInterrupt(), 130, "stopped by SIGINT"),
    (SystemExit(143), 143, "stopped by SIGTERM"),
    (SystemExit(3), 3, "SystemExit: 3"),
    (SystemExit(0), 1, "SystemExit: 0"),
    (SystemExit(None), 1, "SystemExit: None"),
    (SystemExit(256), 1, "SystemExit: 256"),
    (SystemExit("why"), 1, "SystemExit: why"),
])
def test_a_process_that_ends_the_others_never_does_so_with_status_0(error, status, words):
    assert (status_of(error), cause_of(error)) == (status, words)


def test_a_signal_while_mpi_starts_is_raised_behind_it():
    with pytest.raises(SystemExit) as ended, stop_signals() as noted:
        signal.raise_signal(signal.SIGTERM)
        with end_signals(noted):
            pytest.fail("went on")
    assert ended.value.code == 143


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_mistake_on_the_command_line_is_named_by_the_first_process(monkeypatch, capsys, rank):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", rank)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--mpi-timeout", "0"])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err == "" if rank == "1" else "--mpi-timeout: '0', expected seconds above 0" in err


@pytest.mark.parametrize(("sharers", "threads", "words"), [
    (2, 2, "2 processes with 2 threads each share 2 cores, on which they wait for each other; leave out --threads"),
    (3, 1, "3 processes with 1 thread each share 2 cores, on which they wait for each other; start fewer processes"),
    (2, 1, ""),
])
def test_too_many_threads_are_warned_of(monkeypatch, sharers, threads, words):
    group = object.__new__(distributed.Ranks)
    monkeypatch.setattr(distributed.Ranks, "_cores", lambda self: frozenset((0, 1)))
    monkeypatch.setattr(distributed.Ranks, "_sharers", lambda self: sharers)
    warning = group.check_threads(threads)
    assert warning.startswith(words) and bool(warning) == bool(words)


def test_a_batch_has_a_row_for_each_process(tmp_path):
    group = Alone()
    group.size = 7
    with pytest.raises(ConfigError, match="batch_size 6 for 7 processes, expected a row for each"):
        trainer_of(group, tmp_path, 10)


def test_a_blocks_matrices_are_one_range_of_the_buffers():
    model = GPT(GPTConfig(vocab_size=50, **SIZES))
    model.flat_params[:] = 0
    for i in range(SIZES["n_layer"]):
        (part,) = distributed._ranges(model, f"h.{i}")
        model.flat_params[part] += 1 + i
        for name, array in model.params.items():
            if array.ndim == 2:
                expected = 1 + i if name.startswith(f"h.{i}.") else None
                assert expected is None or (array == expected).all(), name
    assert all((model.params[name] == 0).all() for name in ("wte.weight", "wpe.weight", "h.0.ln_1.weight"))
    assert list(distributed._ranges(model, "h.9")) == []


def test_a_layer_is_finished_once_all_threads_have_added_to_it():
    model = GPT(GPTConfig(vocab_size=50, **SIZES), dtype=np.float64, threads=3)
    ids = np.random.default_rng(0).integers(50, size=(5, 16))
    _, grads = model.loss_and_grads(ids)
    whole = {name: array.copy() for name, array in grads.items()}
    names = []

    def finished(name):
        names.append(name)
        for matrix in whole:
            if matrix.startswith(f"{name}.") and whole[matrix].ndim == 2:
                np.testing.assert_allclose(model.grads[matrix], whole[matrix], rtol=1e-12, err_msg=matrix)

    model.loss_and_grads(ids, finished=finished)
    assert names == ["h.2", "h.1", "h.0"]


def test_rows_of_a_batch_drop_what_they_drop_in_the_whole():
    model = GPT(GPTConfig(vocab_size=50, **SIZES), dtype=np.float64, threads=2)
    ids = np.random.default_rng(0).integers(50, size=(5, 16))
    whole, grads = model.loss_and_grads(ids, dropout_key=(1, 2))
    flat = model.flat_grads.copy()
    first, _ = model.loss_and_grads(ids[:2], dropout_key=(1, 2), scale=2 / 5)
    rest, _ = model.loss_and_grads(ids[2:], dropout_key=(1, 2), scale=3 / 5, accumulate=True, first_row=2)
    assert (2 * first + 3 * rest) / 5 == pytest.approx(whole, rel=1e-12)
    np.testing.assert_allclose(model.flat_grads, flat, rtol=1e-9, atol=1e-12)


# Several


@with_mpi
@pytest.mark.parametrize(("n", "n_steps", "threads", "textbook"), [(2, 20, 2, ""), (3, 10, 1, "textbook")],
                         ids=["engine", "textbook"])
def test_steps_on_several_processes_are_those_on_one(tmp_path, n, n_steps, threads, textbook):
    for name in ("several", "again"):
        assert ended(started(n, "write_steps", tmp_path / f"{name}.npz", n_steps, threads, textbook)) == (0, "", "")
    several, again = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("several", "again"))
    one = steps(ALONE, n_steps, 1)
    assert several.keys() == one.keys()
    for name, array in one.items():
        np.testing.assert_allclose(several[name], array, rtol=1e-9, atol=1e-11, err_msg=name)
        np.testing.assert_array_equal(several[name], again[name])


@with_mpi
def test_a_run_is_written_by_one_and_resumed_by_any_number(tmp_path):
    status, out, err = ended(started(3, "disturbed", "SIGTERM", tmp_path / "run", 12))
    assert status == 143 and err.count("rank") == 0, err
    assert out.count("step     4") == out.count("sample after step 4") == out.count("stopped after step 7") == 1
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"log.csv", "samples.txt", "config.json", "model.safetensors", "checkpoint-00000007.safetensors"} <= names
    assert ended(started(2, "resume", tmp_path / "run"))[0] == 0
    assert trainer_of(ALONE, tmp_path / "one", 12).run() == 0
    rows, alone = (np.genfromtxt(tmp_path / name / "log.csv", delimiter=",", names=True) for name in ("run", "one"))
    assert rows["step"].tolist() == list(range(1, 13))
    np.testing.assert_allclose(rows["train_loss"], alone["train_loss"], rtol=1e-4)      # float32
    np.testing.assert_allclose(rows["val_loss"], alone["val_loss"], rtol=1e-4)
    assert checkpoint.load_newest(tmp_path / "run").arrays.keys() == checkpoint.load_newest(tmp_path / "one").arrays.keys()


@with_mpi
def test_commands_on_several_processes_do_what_they_do_on_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(tasks.TASKS, "dates", lambda seed: tasks.dates(40, 6, 5, seed))
    base = GPT(GPTConfig(vocab_size=28, **{**SIZES, "n_positions": 80}))
    base.tokenizer = CharTokenizer.train("abcdefghijklmnopqrstuvwxyz \n")
    base.save_pretrained(tmp_path / "base")
    finetune = ["finetune", "dates", "--model", str(tmp_path / "base"), "--ways", "whole", "lora", "--steps", "3", "--out"]
    translate = ["translate", "--steps", "3", "--pairs", "101", "--tested", "5", "--model"]
    alone = []
    for command in (finetune, translate):
        assert main([*command, str(tmp_path / f"{command[0]} on 1")]) == 0
        alone.append(capsys.readouterr().out)
    status, out, err = ended(started(
        2, "commands", *finetune, tmp_path / "finetune on 2", "then", *translate, tmp_path / "translate on 2", "then",
        *flags(tmp_path), "then", *flags(tmp_path), "--batch-size", 1))
    assert status == 1 and err.count("batch_size 1 for 2 processes") == 1, err
    tuned, translated, trained, refused = out.split("then\n")
    check_fine_tuning(tmp_path, alone[0], tuned)
    check_translation(tmp_path, alone[1], translated)
    assert trained.count("parameters, 2 processes") == trained.count("best validation loss") == 1, trained
    assert refused.count("best validation loss") == 0


def check_fine_tuning(folder, *texts):
    shares = [[line.split()[-3] for line in text.splitlines() if "%" in line] for text in texts]
    assert shares[0] == shares[1] and len(shares[0]) == 4
    for way in ("whole", "lora"):
        one, two = (np.genfromtxt(folder / f"finetune on {n}" / way / "log.csv", delimiter=",", names=True) for n in (1, 2))
        for name in ("train_loss", "val_loss", "gradient_norm"):
            np.testing.assert_allclose(two[name], one[name], rtol=1e-3, err_msg=f"{way}: {name}")


def check_translation(folder, *texts):
    losses = [[line.split(", ")[1] for line in text.splitlines() if "loss" in line] for text in texts]
    assert losses[0] == losses[1] and len(losses[0]) == 1
    names = [{path.name for path in (folder / f"translate on {n}").iterdir()} for n in (1, 2)]
    assert names[0] == names[1]


@with_mpi
def test_what_is_frozen_is_compared_before_fine_tuning(tmp_path):
    status, _, err = ended(started(2, "tune", tmp_path / "other"))
    assert status == 1 and err.count("h.1.mlp.c_fc.weight: rank 1 has other bits than rank 0") == 1, err


@with_mpi
@pytest.mark.parametrize(("what", "words"), [
    ("raises", "rank 1: ValueError: no such luck"),
    ("raises outside", "rank 1: ValueError: no such luck"),
    ("hangs", "rank 1 did not come"),
    ("differs", "rank 1 has other bits than rank 0"),
    ("dies", None),
])
def test_a_rank_that_fails_ends_the_job_and_the_checkpoint_is_good(tmp_path, what, words):
    status, out, err = ended(started(2, "disturbed", what, tmp_path / "run"))
    assert status not in (0, None)
    assert words is None or words in err, err
    if what != "raises outside":
        assert checkpoint.load_newest(tmp_path / "run").step in (4, 8)


@with_mpi
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_at_one_rank_ends_all_after_a_checkpoint(tmp_path, name):
    status, out, err = ended(started(2, "disturbed", name, tmp_path / "run"))
    assert status == 128 + getattr(signal, name), err
    assert out.count("stopped after step 7") == 1
    assert checkpoint.load_newest(tmp_path / "run").step == 7


@with_mpi
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_the_launcher_ends_all_with_a_good_checkpoint(tmp_path, number):
    process = started(2, "disturbed", "nothing", tmp_path / "run")
    for line in process.stdout:
        if line.startswith("step     8"):       # the checkpoint of step 4 is written by then
            break
    process.send_signal(number)
    status, out, err = ended(process)
    assert status != 0
    assert checkpoint.load_newest(tmp_path / "run").step >= 4


def flags(folder):
    """The command that trains a tiny model, in folder/run"""
    (folder / "cats.txt").write_text(TEXT, encoding="utf-8")
    return ["train", "--data", folder / "cats.txt", "--out", folder / "run", "--steps", 4, "--layers", 1, "--channels", 16,
            "--heads", 2, "--context", 16, "--sample-tokens", 0]


@with_mpi
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows")
@pytest.mark.parametrize(("where", "rank", "name"), [
    ("start", "1", "SIGTERM"), ("start", "mpiexec", "SIGINT"), ("end", "0", "SIGINT"), ("end", "1", "SIGUSR1"),
])
def test_a_signal_before_or_after_the_steps_ends_all_at_once(tmp_path, where, rank, name):
    process, number = started(2, "stopped", where, rank, name, *flags(tmp_path)), getattr(signal, name)
    if rank == "mpiexec":
        next(line for line in process.stdout if line == "here\n")
        process.send_signal(number)
    status, out, err = ended(process)
    assert status == 128 + number or (rank == "mpiexec" and status > 0), err      # Open MPI's says 1
    if where == "end":
        assert checkpoint.load_newest(tmp_path / "run").step == 4


@with_mpi
def test_files_may_be_read_for_longer_than_anybody_waits_for_anything_else():
    status, out, err = ended(started(2, "reads_long"))
    assert (status, out) == (0, "read\n" * 2), err
    assert sorted(err.splitlines()) == [f"rank {i}: waiting for another rank to read its files" for i in range(2)]


def test_the_command_waits_for_the_ids_of_all_processes(tmp_path, monkeypatch, capsys):
    def wait(group):
        raise ValueError("all have come")

    monkeypatch.setattr(Alone, "wait_for_files", wait)
    monkeypatch.setattr(ShortText, "ids", lambda *args: print("made ids"))
    assert main([*map(str, flags(tmp_path))]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("made ids\n") and "all have come" in err


@with_mpi
def test_nobody_waits_for_a_process_that_never_starts_mpi():
    status, out, err = ended(started(2, "absent"))
    assert status > 0, err
