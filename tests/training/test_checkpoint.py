"""Checkpoints: whole or not at all, exact, and the one before where the newest is damaged."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from minigpt import GPT, weights
from minigpt.training import checkpoint
from minigpt.training.checkpoint import Checkpoint, CheckpointError
from minigpt.training.trainer import Trainer


def make(step, dtype=np.float32):
    rng = np.random.default_rng(step)
    arrays = {"params": rng.standard_normal(100).astype(dtype), "adamw.t": np.array([step])}
    return Checkpoint(step, arrays, {"best": {"val_loss": 0.1 + step}, "position": step})


def assert_same(a, b):
    assert a.step == b.step
    assert a.arrays.keys() == b.arrays.keys()
    for name in a.arrays:
        assert a.arrays[name].dtype == b.arrays[name].dtype
        np.testing.assert_array_equal(a.arrays[name], b.arrays[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_checkpoint_comes_back_exactly(tmp_path, dtype):
    saved = make(3, dtype)
    path = checkpoint.save(tmp_path, saved)
    loaded = checkpoint.load(path)
    assert_same(loaded, saved)
    assert loaded.metadata["best"] == {"val_loss": 3.1}


def test_the_newest_two_are_kept(tmp_path):
    for step in (5, 10, 200):
        checkpoint.save(tmp_path, make(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-00000010.safetensors", "checkpoint-00000200.safetensors",
    ]


def test_the_newest_is_the_one_with_the_highest_step(tmp_path):
    for step in (9, 10):
        checkpoint.save(tmp_path, make(step))
    assert checkpoint.load_newest(tmp_path).step == 10


def damage_truncate(data, rng):
    return data[: rng.integers(len(data))]


def damage_flip(data, rng):
    at = rng.integers(len(data) - 400, len(data))       # in the arrays: the header has checks of its own
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, lambda data, rng: b""])
@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_newest_is_set_aside_and_the_one_before_is_used(tmp_path, capsys, damage, seed):
    checkpoint.save(tmp_path, make(1))
    newest = checkpoint.save(tmp_path, make(2))
    newest.write_bytes(damage(newest.read_bytes(), np.random.default_rng(seed)))
    assert_same(checkpoint.load_newest(tmp_path), make(1))
    assert newest.with_name(newest.name + ".damaged").exists()
    assert "going back to the one before" in capsys.readouterr().err


def test_when_all_are_damaged_nothing_starts_afresh(tmp_path):
    checkpoint.save(tmp_path, make(1)).write_bytes(b"")
    with pytest.raises(CheckpointError, match="1 damaged, none good"):
        checkpoint.load_newest(tmp_path)


def test_resuming_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint, expected"):
        checkpoint.load_newest(tmp_path)


@pytest.mark.parametrize("step", [-1, 1])
def test_another_format_is_refused_and_left_in_place(tmp_path, step):
    path = tmp_path / "checkpoint-00000001.safetensors"
    metadata = {"format": checkpoint.FORMAT + step, "step": 1}
    weights.save(path, {"params": np.zeros(3)}, {"minigpt_checkpoint": json.dumps(metadata)})
    with pytest.raises(CheckpointError, match="go on with the minigpt that wrote it"):
        checkpoint.load_newest(tmp_path)
    assert path.exists()


def test_a_weight_file_is_not_a_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.save(path, {"wte.weight": np.zeros(3)})
    with pytest.raises(CheckpointError, match="a weight file, expected a training checkpoint"):
        checkpoint.load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_never_replace_a_good_checkpoint(tmp_path, value):
    good = checkpoint.save(tmp_path, make(1)).read_bytes()
    bad = make(2)
    bad.arrays["params"][7] = value
    with pytest.raises(CheckpointError, match="params holds values that are not finite"):
        checkpoint.save(tmp_path, bad)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == good


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_while_writing_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, call):
    good = checkpoint.save(tmp_path, make(1)).read_bytes()

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.save(tmp_path, make(2))
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == good


def test_a_run_of_the_version_before_loads_and_goes_on(tmp_path):
    """tests/fixtures/run_of_0.1 holds a run of three steps by minigpt 0.1.0, and where three more took it there"""
    made = Path(__file__).parents[1] / "fixtures" / "run_of_0.1"
    folder = tmp_path / "run"
    shutil.copytree(made, folder)
    tokenizer = GPT.from_pretrained(folder).tokenizer
    ids = tokenizer.encode_array("to be or not to be, that is the question:\n" * 12)
    trainer = Trainer.resume(folder, ids, quiet=True, steps=6)
    assert trainer.step == 3
    assert trainer.run() == 0
    expected = json.loads((made / "after_6_steps.json").read_text(encoding="utf-8"))
    found = {"loss": trainer.model.loss(ids[None, :8], ids[None, 1:9]), "val_loss": trainer.best["val_loss"],
             "norm": float(np.linalg.norm(trainer.model.flat_params))}
    assert found == pytest.approx(expected, rel=1e-9)        # float64; another BLAS may add in another order
