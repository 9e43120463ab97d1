"""Checkpoints: whole or not at all, exact, and the one before where the newest is damaged."""

import errno
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from minigpt import GPT, weights
from minigpt.training import checkpoint
from minigpt.training.checkpoint import Checkpoint, CheckpointError, DamagedError
from minigpt.training.finetune import FineTuner
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


@pytest.mark.parametrize("other", [2, checkpoint.FORMAT + 1])
def test_another_format_is_refused_and_left_in_place(tmp_path, monkeypatch, other):
    monkeypatch.setattr(checkpoint, "FORMAT", other)
    path = checkpoint.save(tmp_path, make(1))
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="go on with the minigpt that wrote it"):
        checkpoint.load_newest(tmp_path)
    assert path.exists()


def test_a_weight_file_is_not_a_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.save(path, {"wte.weight": np.zeros(3)})
    with pytest.raises(CheckpointError, match="a weight file, expected a training checkpoint"):
        checkpoint.load(path)


def header_of(path):
    """(the bytes of a file's header, those after it)"""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return data[8:end], data[end:]


def with_header(path, header):
    _, rest = header_of(path)
    path.write_bytes(len(header).to_bytes(8, "little") + header + rest)


def test_no_changed_byte_of_the_header_goes_unnoticed(tmp_path):
    saved = make(2)
    path = checkpoint.save(tmp_path, saved)
    header, _ = header_of(path)
    noticed = 0
    for i, byte in enumerate(header):
        with_header(path, header[:i] + bytes([byte ^ 1]) + header[i + 1 :])      # 0 becomes 1, 2 becomes 3, …
        try:
            found = checkpoint.load(path)
        except DamagedError:
            noticed += 1
        else:                                                                   # the spaces that fill it up mean nothing
            assert_same(found, saved)
            assert found.metadata == {"format": checkpoint.FORMAT, "step": 2, **saved.metadata}
    assert noticed > 0.9 * len(header)


@pytest.mark.parametrize("damage", [
    lambda text: text.replace('"step": 2', '"step": 5'),
    lambda text: text.replace('"step"', '"stip"'),
    lambda text: text.replace('"format": 5', '"format": 3'),
    lambda text: text.replace('"format": 5', '"format": 9'),
    lambda text: text.replace('"format"', '"farmot"'),
    lambda text: text[:40],
    lambda text: "[" * 5000,
    lambda text: "[]",
    lambda text: "",
])
def test_facts_that_are_not_as_written_lead_to_the_checkpoint_before(tmp_path, capsys, damage):
    checkpoint.save(tmp_path, make(1))
    newest = checkpoint.save(tmp_path, make(2))
    header, _ = header_of(newest)
    table = json.loads(header)
    table["__metadata__"]["minigpt_checkpoint"] = damage(table["__metadata__"]["minigpt_checkpoint"])
    with_header(newest, json.dumps(table).encode())
    assert_same(checkpoint.load_newest(tmp_path), make(1))
    assert newest.with_name(newest.name + ".damaged").exists()
    assert f"{newest}: " in capsys.readouterr().err


def test_a_checkpoint_renamed_to_another_step_is_damaged(tmp_path):
    checkpoint.save(tmp_path, make(4)).rename(tmp_path / "checkpoint-00000009.safetensors")
    with pytest.raises(DamagedError, match="step 4, expected the one of its name"):
        checkpoint.load(tmp_path / "checkpoint-00000009.safetensors")


COPIES = ("checkpoint-backup.safetensors", "checkpoint-good.safetensors", "checkpoint-00000004 (copy).safetensors",
          "checkpoint-9.safetensors", "checkpoint-000000009.safetensors", "checkpoint-00000009.safetensors.bak",
          "checkpoint-٠٠٠٠٠٠٠٩.safetensors", "checkpoint-00000009.safetensors\n", "old-checkpoint-00000009.safetensors")


def test_a_users_copies_are_left_alone_and_not_looked_at(tmp_path):
    for name in COPIES:
        (tmp_path / name).write_bytes(b"the user's own")
    assert not checkpoint.exists(tmp_path)
    for step in (2, 4, 6):
        checkpoint.save(tmp_path, make(step))
    assert checkpoint.load_newest(tmp_path).step == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*COPIES, "checkpoint-00000004.safetensors", "checkpoint-00000006.safetensors"])
    assert all((tmp_path / name).read_bytes() == b"the user's own" for name in COPIES)


def test_a_folder_with_the_name_of_a_checkpoint_is_none(tmp_path):
    (tmp_path / "checkpoint-00000009.safetensors").mkdir()
    checkpoint.save(tmp_path, make(1))
    assert checkpoint.load_newest(tmp_path).step == 1
    assert (tmp_path / "checkpoint-00000009.safetensors").is_dir()


def test_steps_are_compared_as_numbers(tmp_path):
    for step in (99_999_998, 99_999_999, 100_000_000):
        checkpoint.save(tmp_path, make(step))
    assert checkpoint.load_newest(tmp_path).step == 100_000_000
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_just_written_is_not_removed_again(tmp_path):
    for step in (7, 8, 3):
        path = checkpoint.save(tmp_path, make(step))
    assert path.exists()


def test_a_file_that_cannot_be_opened_is_named_and_stays(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, make(1))
    newest = checkpoint.save(tmp_path, make(2))

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(weights, "read_metadata", refuse)
    with pytest.raises(CheckpointError, match=r"00000002.*Permission denied"):
        checkpoint.load_newest(tmp_path)
    assert newest.exists()


def test_a_run_whose_folder_cannot_be_listed_is_not_taken_for_none(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, make(1))

    def refuse(path="."):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "scandir", refuse)
    for call in (checkpoint.exists, checkpoint.load_newest):
        with pytest.raises(CheckpointError, match=r"Permission denied.*expected to list its checkpoints"):
            call(tmp_path)


def test_a_closed_stderr_does_not_keep_from_the_checkpoint_before(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, make(1))
    checkpoint.save(tmp_path, make(2)).write_bytes(b"")
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert checkpoint.load_newest(tmp_path).step == 1


def test_a_checkpoint_of_wrong_types_lists_every_bad_field():
    with pytest.raises(CheckpointError, match=r"step '3'.*arrays of type int.*metadata of type list"):
        Checkpoint("3", 5, [])
    with pytest.raises(CheckpointError, match="arrays b, expected NumPy's arrays"):
        Checkpoint(3, {"a": np.zeros(1), "b": [0.0]}, {})


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


# What a run of the format before may have lost or got wrong, since its checksum was of the arrays alone
BROKEN = [(name, None) for name in ("config", "recipe", "tokenizer", "dtype", "threads", "seconds", "best", "position",
                                    "data_source", "data_fingerprint", "format", "step", "sha256")]
BROKEN += [("config", {"n_layer": "x"}), ("config", {"n_embd": 10**9}), ("config", []), ("recipe", {"lr": "x"}),
           ("recipe", {"rate": 1}), ("recipe", 5), ("tokenizer", {"type": "char"}), ("tokenizer", "x"), ("dtype", "float3"),
           ("dtype", 32), ("threads", 0), ("threads", "1"), ("seconds", "x"), ("seconds", True), ("best", 3),
           ("best", {"val_loss": 1}), ("best", {"val_loss": "x", "step": 3, "seconds": 1}), ("position", -1), ("position", 1.5),
           ("data_source", 5), ("data_fingerprint", 5), ("step", 4), ("step", "3"), ("sha256", 5)]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_fact_that_no_run_saves_leads_to_the_checkpoint_before(tmp_path, capsys, name, value):
    made = Path(__file__).parents[1] / "fixtures" / "run_of_0.1"
    text = weights.read_metadata(made / "checkpoint-00000003.safetensors")["minigpt_checkpoint"]
    arrays = weights.load(made / "checkpoint-00000003.safetensors")
    for step in (2, 3):
        facts = {**json.loads(text), "step": step}
        if step == 3 and value is None:
            del facts[name]
        elif step == 3:
            facts[name] = {**facts[name], **value} if isinstance(value, dict) and name in ("config", "recipe") else value
        weights.save(tmp_path / f"checkpoint-{step:08d}.safetensors", arrays, {"minigpt_checkpoint": json.dumps(facts)})
    ids = GPT.from_pretrained(made).tokenizer.encode_array("to be or not to be, that is the question:\n" * 12)
    assert Trainer.resume(tmp_path, ids, quiet=True).step == 2
    assert (tmp_path / "checkpoint-00000003.safetensors.damaged").exists()
    assert "going back to the one before" in capsys.readouterr().err


def test_arrays_that_are_not_the_runs_lead_to_the_checkpoint_before(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "KEPT", 4)
    made = Path(__file__).parents[1] / "fixtures" / "run_of_0.1"
    saved = checkpoint.load(made / "checkpoint-00000003.safetensors")
    facts = {name: value for name, value in saved.metadata.items() if name not in ("format", "step", "sha256")}
    lacking = {name: array for name, array in saved.arrays.items() if name != "adamw.m"}
    for step, arrays in ((3, saved.arrays), (4, lacking), (5, {**saved.arrays, "more": np.zeros(3)}),
                         (6, {**saved.arrays, "adamw.v": np.zeros(3)})):
        checkpoint.save(tmp_path, Checkpoint(step, arrays, facts))
    ids = GPT.from_pretrained(made).tokenizer.encode_array("to be or not to be, that is the question:\n" * 12)
    assert Trainer.resume(tmp_path, ids, quiet=True).step == 3
    assert len(list(tmp_path.glob("*.damaged"))) == 3


@pytest.mark.parametrize(("arguments", "error"), [
    ({"threads": 0}, ValueError), ({"steps": 0}, ValueError), ({"lr": 0.1}, CheckpointError), ({"rate": 0.1}, TypeError),
])
def test_a_wrong_argument_is_the_callers_and_leaves_the_checkpoint_in_place(tmp_path, arguments, error):
    made = Path(__file__).parents[1] / "fixtures" / "run_of_0.1"
    path = shutil.copy(made / "checkpoint-00000003.safetensors", tmp_path)
    ids = GPT.from_pretrained(made).tokenizer.encode_array("to be or not to be, that is the question:\n" * 12)
    with pytest.raises(error):
        Trainer.resume(tmp_path, ids, **arguments)
    with pytest.raises(CheckpointError, match="a run of Trainer, expected one of FineTuner"):
        FineTuner.resume(tmp_path, ([], []))
    with pytest.raises(ValueError, match="the text changed"):
        Trainer.resume(tmp_path, ids[1:])
    assert Path(path).exists()
