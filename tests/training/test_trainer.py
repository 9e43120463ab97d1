"""The training loop: exact resume, evaluation over the whole split, an orderly stop, nothing lost."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigpt import GPT, ConfigError, GPTConfig
from minigpt.system.files import LockedError, lock
from minigpt.tokenization import CharTokenizer
from minigpt.training import checkpoint
from minigpt.training.checkpoint import CheckpointError
from minigpt.training.corpora import load_corpus, split
from minigpt.training.log import loss_chart, read_log
from minigpt.training.recipe import PRESETS, Recipe
from minigpt.training.trainer import Trainer

TEXT = load_corpus("python").text[:3000]
TOKENIZER = CharTokenizer.train(TEXT)
IDS = TOKENIZER.encode_array(TEXT)


def make_trainer(folder, *, ids=IDS, dropout=0.0, bias=True, **recipe):
    config = GPTConfig(TOKENIZER.vocab_size, n_positions=8, n_embd=12, n_layer=2, n_head=3, bias=bias,
                       embd_pdrop=dropout, attn_pdrop=dropout, resid_pdrop=dropout)
    recipe = Recipe(**{"steps": 7, "batch_size": 4, "warmup_steps": 2, "eval_interval": 3, "sample_tokens": 0, **recipe})
    return Trainer(GPT(config, seed=1, threads=2), TOKENIZER, ids, recipe, folder, quiet=True)


def stop_in_step(trainer, step, number=signal.SIGINT):
    """Make the signal arrive while this step is under way."""
    give, waiting = trainer.batches.next, [number]

    def next_batch():
        if trainer.step + 1 == step and waiting:
            signal.raise_signal(waiting.pop())
        return give()

    trainer.batches.next = next_batch


def everything(trainer):
    """Every array and number that training goes on from"""
    state = {"params": trainer.model.flat_params, "step": trainer.step, "position": trainer.batches.position}
    for optimizer in filter(None, (trainer.adamw, trainer.muon)):
        state.update({f"{type(optimizer).__name__}.{name}": array for name, array in optimizer.state().items()})
    return state


@pytest.mark.parametrize("stop", range(1, 7))
@pytest.mark.parametrize("options", [
    {"optimizer": "muon", "dropout": 0.2},
    {"optimizer": "adamw", "accumulate": 2, "order": "windows", "bias": False, "schedule": "cosine"},
])
def test_a_resumed_run_equals_an_uninterrupted_one_byte_for_byte(tmp_path, options, stop):
    whole = make_trainer(tmp_path / "whole", **options)
    assert whole.run() == 0
    first = make_trainer(tmp_path / "parts", **options)
    stop_in_step(first, stop)
    assert first.run() == 130
    assert first.step == stop
    second = Trainer.resume(tmp_path / "parts", IDS, quiet=True)
    assert second.run() == 0
    expected, found = everything(whole), everything(second)
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert second.best["val_loss"] == whole.best["val_loss"]
    best = "model.safetensors"
    assert (tmp_path / "parts" / best).read_bytes() == (tmp_path / "whole" / best).read_bytes()


def test_the_log_of_a_resumed_run_has_each_step_once(tmp_path):
    make_trainer(tmp_path / "whole").run()
    first = make_trainer(tmp_path / "parts")
    stop_in_step(first, 5)
    first.run()
    (tmp_path / "parts" / "checkpoint-00000005.safetensors").unlink()      # as if killed between steps 3 and 5
    Trainer.resume(tmp_path / "parts", IDS, quiet=True).run()
    whole, parts = (read_log(tmp_path / name / "log.csv") for name in ("whole", "parts"))
    assert [row["step"] for row in parts] == [1, 2, 3, 4, 5, 6, 7]
    for name in ("train_loss", "val_loss", "learning_rate", "gradient_norm"):      # the other columns are times
        assert [row[name] for row in parts] == [row[name] for row in whole]


def test_the_loss_falls_on_real_text(tmp_path):
    trainer = make_trainer(tmp_path, steps=150, eval_interval=150)
    start = trainer.evaluate()
    trainer.run()
    assert start == pytest.approx(math.log(TOKENIZER.vocab_size), abs=0.05)
    assert trainer.best["val_loss"] < start - 1


def test_evaluation_is_the_mean_over_every_token_of_the_validation_split(tmp_path):
    trainer = make_trainer(tmp_path)
    for array in trainer.model.params.values():
        array += 0.1 * np.random.default_rng(0).standard_normal(array.shape).astype(array.dtype)
    _, ids = split(IDS.astype(np.int64))
    losses = [
        trainer.model.loss(ids[None, i : i + 8], ids[None, i + 1 : i + 9]) * len(ids[i + 1 : i + 9])
        for i in range(0, len(ids) - 9, 8)
    ]
    left = (len(ids) - 1) % 8
    if left:
        losses.append(trainer.model.loss(ids[None, -left - 1 : -1], ids[None, -left:]) * left)
    assert trainer.evaluate() == pytest.approx(sum(losses) / (len(ids) - 1), rel=1e-6)      # float32


def test_the_folder_holds_the_best_model(tmp_path):
    trainer = make_trainer(tmp_path, steps=9, lr=0.5, schedule="constant")     # a rate at which the last is not the best
    trainer.run()
    trainer.model = GPT.from_pretrained(tmp_path)
    assert trainer.evaluate() == trainer.best["val_loss"]


def test_sigterm_finishes_the_step_saves_once_and_returns_143(tmp_path):
    trainer = make_trainer(tmp_path)
    stop_in_step(trainer, 4, signal.SIGTERM)
    assert trainer.run() == 143
    assert checkpoint.load_newest(tmp_path).step == 4


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such exit status")
def test_a_second_signal_ends_the_process_at_once_and_leaves_good_checkpoints(tmp_path):
    code = f"""
import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
import signal
from pathlib import Path
from test_trainer import make_trainer
trainer = make_trainer(Path({str(tmp_path)!r}))
give = trainer.batches.next
def next_batch():
    if trainer.step == 4:
        signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGINT); print("still here")
    return give()
trainer.batches.next = next_batch
trainer.run()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert checkpoint.load_newest(tmp_path).step == 3


def test_signal_handlers_are_restored(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    make_trainer(tmp_path).run()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("name", ["wte.weight", "h.1.mlp.c_fc.weight"])
def test_a_loss_that_is_not_finite_stops_the_run_with_the_arrays_name_and_keeps_the_checkpoint(tmp_path, name):
    trainer = make_trainer(tmp_path)
    stop_in_step(trainer, 3)
    trainer.run()
    trainer = Trainer.resume(tmp_path, IDS, quiet=True)
    trainer.model.params[name][0, 0] = np.nan
    with pytest.raises(FloatingPointError, match=rf"after step 3: .*params {name}"):
        trainer.run()
    assert checkpoint.load_newest(tmp_path).step == 3


def test_a_validation_loss_that_is_not_finite_stops_the_run_and_saves_nothing(tmp_path):
    trainer = make_trainer(tmp_path, steps=1)
    trainer.adamw.step = lambda lr, scale: trainer.model.params["wpe.weight"].fill(np.nan)
    with pytest.raises(FloatingPointError, match=r"after step 1: validation loss nan; .*params wpe\.weight"):
        trainer.run()
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_new_run_never_starts_over_one_that_is_there(tmp_path):
    make_trainer(tmp_path).run()
    with pytest.raises(CheckpointError, match="holds a run, expected a new folder"):
        make_trainer(tmp_path).run()


def test_two_runs_in_one_folder_exclude_each_other(tmp_path):
    trainer = make_trainer(tmp_path)
    with lock(tmp_path / "run.lock"), pytest.raises(LockedError, match="another run is training here"):
        trainer.run()
    assert trainer.step == 0


def test_a_folder_that_cannot_be_written_fails_before_the_first_step(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    trainer = make_trainer(tmp_path / "file" / "run")
    with pytest.raises(CheckpointError, match="choose another --out"):
        trainer.run()
    assert trainer.step == 0


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    (tmp_path / ".model.safetensors.0123456789abcdef.tmp").write_bytes(b"torn")
    make_trainer(tmp_path).run()
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_text_that_changed_since_the_checkpoint_is_refused(tmp_path):
    make_trainer(tmp_path).run()
    changed = IDS.copy()
    changed[5] = (changed[5] + 1) % TOKENIZER.vocab_size
    with pytest.raises(ValueError, match="the text changed since the checkpoint"):
        Trainer.resume(tmp_path, changed)


def test_resuming_with_another_configuration_shows_the_difference(tmp_path):
    make_trainer(tmp_path).run()
    with pytest.raises(CheckpointError, match=r"n_embd 24 \(the run has 12\), lr 0.1 \(the run has 0.004\)"):
        Trainer.resume(tmp_path, IDS, n_embd=24, n_head=3, lr=0.1)


def test_a_finished_run_can_be_given_more_steps(tmp_path):
    make_trainer(tmp_path).run()
    longer = Trainer.resume(tmp_path, IDS, quiet=True, steps=10)
    longer.run()
    assert longer.step == 10


def test_minutes_end_the_run_by_the_clock(tmp_path):
    trainer = make_trainer(tmp_path, steps=None, minutes=0.01, eval_interval=10_000)
    trainer.run()
    assert trainer.seconds >= 0.6
    assert trainer.best is not None


def test_a_text_too_short_for_validation_is_refused_with_its_length(tmp_path):
    with pytest.raises(ValueError, match="60 tokens leave 6 for validation"):
        make_trainer(tmp_path, ids=IDS[:60])


def test_ids_beyond_the_vocabulary_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected below vocab_size"):
        make_trainer(tmp_path, ids=IDS + 60)


def test_a_bad_recipe_lists_every_bad_field():
    with pytest.raises(ConfigError) as error:
        Recipe(steps=None, batch_size=0, lr=float("nan"), beta1=1.0, schedule="stairs", seed=True, clip=-1.0)
    for name in ("steps", "batch_size", "lr", "beta1", "schedule", "seed", "clip"):
        assert f"{name} " in str(error.value)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_possible(name):
    model, recipe = PRESETS[name]
    GPTConfig(vocab_size=65, **model)
    Recipe(**recipe)


def test_the_loss_chart_shows_both_curves():
    rows = [{"step": i, "train_loss": 4 / i, "val_loss": 4.2 / i if i % 5 == 0 else None} for i in range(1, 21)]
    chart = loss_chart(rows)
    assert chart.count("●") == 5    # four values, and the legend
    assert "step 1" in chart and "step 20" in chart


def test_a_torn_last_line_of_the_log_is_left_out(tmp_path):
    path = tmp_path / "log.csv"
    make_trainer(tmp_path).run()
    with open(path, "a", encoding="utf-8") as file:
        file.write("8,3.1" + os.linesep)
    assert [row["step"] for row in read_log(path)] == [1, 2, 3, 4, 5, 6, 7]
