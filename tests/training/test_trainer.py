"""The training loop: exact resume, evaluation over the whole split, an orderly stop, nothing lost."""

import errno
import io
import itertools
import math
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from minigpt import GPT, ConfigError, GPTConfig
from minigpt.system.files import LockedError, lock
from minigpt.tokenization import CharTokenizer
from minigpt.training import checkpoint
from minigpt.training.checkpoint import CheckpointError
from minigpt.training.corpora import Corpus, load_corpus, split
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
    {"optimizer": "normuon", "dropout": 0.2},
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


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_second_signal_ends_the_call_and_not_the_process(tmp_path, number, error):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    trainer = make_trainer(tmp_path)
    give = trainer.batches.next

    def next_batch():
        if trainer.step == 4:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(number)
        return give()

    trainer.batches.next = next_batch
    with pytest.raises(error) as ended:
        trainer.run()
    assert number == signal.SIGINT or ended.value.code == 143
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    again = Trainer.resume(tmp_path, IDS, quiet=True)       # the folder is free, the checkpoint good, the model usable
    assert again.step == 3
    assert again.run() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such exit status")
def test_a_second_signal_ends_a_command_with_130_and_leaves_good_checkpoints(tmp_path):
    code = f"""
import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
import argparse, signal
from pathlib import Path
from minigpt.commands.common import exit_status
from test_trainer import make_trainer
trainer = make_trainer(Path({str(tmp_path)!r}))
give = trainer.batches.next
def next_batch():
    if trainer.step == 4:
        signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGINT); print("still here")
    return give()
trainer.batches.next = next_batch
sys.exit(exit_status(lambda args: trainer.run(), argparse.ArgumentParser(), []))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert checkpoint.load_newest(tmp_path).step == 3


def test_a_run_in_a_thread_trains_as_elsewhere_without_signal_handlers(tmp_path):
    make_trainer(tmp_path / "here").run()
    before = signal.getsignal(signal.SIGINT)
    trainer, statuses = make_trainer(tmp_path / "thread"), []
    thread = threading.Thread(target=lambda: statuses.append(trainer.run()))
    thread.start()
    thread.join()
    assert statuses == [0]
    assert signal.getsignal(signal.SIGINT) == before
    here, there = (checkpoint.load_newest(tmp_path / name).arrays["params"] for name in ("here", "thread"))
    np.testing.assert_array_equal(here, there)


def test_two_steps_at_once_take_turns(tmp_path):
    """Two threads call update() of one trainer: the steps are those of one thread."""
    alone, together = make_trainer(tmp_path), make_trainer(tmp_path)
    for _ in range(6):
        alone.update()
    threads = [threading.Thread(target=lambda: [together.update() for _ in range(3)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together.step == 6
    np.testing.assert_array_equal(together.model.flat_params, alone.model.flat_params)


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
    with pytest.raises(FloatingPointError, match=r"after step 1: validation loss: .*params wpe\.weight"):
        trainer.run()
    assert not list(tmp_path.glob("*.safetensors"))


def test_an_evaluation_that_is_not_finite_is_no_number(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.model.params["wpe.weight"][3] = np.nan
    with pytest.raises(FloatingPointError, match=r"after step 0: validation loss: .*params wpe\.weight"):
        trainer.evaluate()


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


def test_leftovers_of_a_killed_writer_are_removed_and_nobody_elses(tmp_path):
    ours = [f".{name}.0123456789abcdef.tmp" for name in (
        "model.safetensors", "config.json", "chars.json", "vocab.json", "merges.txt", "log.csv", "samples.txt", "loss.png",
        "checkpoint-00000250.safetensors", "checkpoint-100000000.safetensors")]
    others = [".notes.tmp", "model.safetensors.tmp", ".log.csv.tmp", ".log.csv.0123456789abcdeg.tmp", ".log.csv.0123.tmp",
              ".my log.csv.0123456789abcdef.tmp", ".plot.py.0123456789abcdef.tmp"]
    for name in (*ours, *others):
        (tmp_path / name).write_bytes(b"torn")
    make_trainer(tmp_path).run()
    assert sorted(path.name for path in tmp_path.glob("*.tmp")) == sorted(others)


def test_checkpoints_beside_a_users_copies_are_kept_and_resumed(tmp_path):
    first = make_trainer(tmp_path)
    stop_in_step(first, 4)
    first.run()
    made = tmp_path / "checkpoint-00000003.safetensors"
    copies = [tmp_path / f"checkpoint-{name}.safetensors" for name in ("backup", "good", "00000004 (copy)", "9")]
    for copy in copies:
        shutil.copy(made, copy)
    second = Trainer.resume(tmp_path, IDS, quiet=True)
    assert second.step == 4
    second.run()
    assert checkpoint.load_newest(tmp_path).step == 7
    assert all(copy.read_bytes() == copies[0].read_bytes() for copy in copies)


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


HUGE = 10**400      # no float holds it
WRONG = (None, "x", True, [], {}, b"1", 1j, object(), np.float32(0.5), np.ones(3), math.nan, math.inf, HUGE)


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_a_recipe_answers_a_wrong_type_with_its_own_error(name):
    whole = name in ("steps", "batch_size", "accumulate", "warmup_steps", "eval_interval", "sample_tokens", "seed")
    possible = [HUGE] if whole else [None] if name == "minutes" else [math.inf] if name == "clip" else []
    possible += [None] if name == "eval_interval" else []
    for value in WRONG:
        if not any(value is one for one in possible):
            other = "lr" if name == "batch_size" else "batch_size"
            with pytest.raises(ConfigError, match=f"{name} .*expected") as error:
                Recipe(**{"steps": None if name == "minutes" else 5, name: value, other: 0})
            assert f"{other} 0, expected" in str(error.value)


@pytest.mark.parametrize(("arguments", "named"), [((5, None, "x"), "text 5; name None"), (("x", "x", b"x"), "note b'x'")])
def test_a_corpus_of_wrong_types_lists_every_bad_field(arguments, named):
    with pytest.raises(TypeError, match=f"Corpus: {named}: expected strings"):
        Corpus(*arguments)


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


# The log and the samples


def texts(folder):
    """log.csv without the columns that are times, as text, and samples.txt, as bytes"""
    log = re.sub(r",[0-9]+,[0-9.]+(?=,[0-9.]+,[0-9.]*\r\n)", "", (folder / "log.csv").read_bytes().decode())
    samples = folder / "samples.txt"
    return log, samples.read_bytes() if samples.exists() else None


@pytest.mark.parametrize("stop", range(1, 7))
def test_after_a_resume_log_and_samples_hold_the_same_text_as_without(tmp_path, stop):
    make_trainer(tmp_path / "whole", sample_tokens=9).run()
    first = make_trainer(tmp_path / "parts", sample_tokens=9)
    stop_in_step(first, stop)
    first.run()
    Trainer.resume(tmp_path / "parts", IDS, quiet=True).run()
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")
    assert texts(tmp_path / "whole")[1].count(b"--- step ") == 3


def test_after_a_kill_log_and_samples_hold_the_same_text_as_without(tmp_path):
    make_trainer(tmp_path / "whole", sample_tokens=9).run()
    killed = make_trainer(tmp_path / "parts", sample_tokens=9)
    save = killed.save

    def die():
        if killed.step == 6:
            raise KeyboardInterrupt     # the row and the sample of step 6 stand there, its checkpoint does not
        save()

    killed.save = die
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    assert b"--- step 6 ---" in texts(tmp_path / "parts")[1]
    Trainer.resume(tmp_path / "parts", IDS, quiet=True).run()
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")


def test_a_run_that_died_before_its_first_checkpoint_begins_its_texts_anew(tmp_path):
    make_trainer(tmp_path / "whole", sample_tokens=9).run()
    killed = make_trainer(tmp_path / "again", sample_tokens=9)

    def die():
        raise KeyboardInterrupt

    killed.save = die
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    make_trainer(tmp_path / "again", sample_tokens=9).run()
    assert texts(tmp_path / "again") == texts(tmp_path / "whole")


def test_the_rows_of_a_resumed_log_are_the_same_to_the_last_zero(tmp_path):
    first = make_trainer(tmp_path)
    stop_in_step(first, 4)
    first.run()
    lines = (tmp_path / "log.csv").read_bytes().split(b"\r\n")
    lines[2] = b"2,1.82200,,0.00100000,1.8220,100,1.20,2.6000000,"
    (tmp_path / "log.csv").write_bytes(b"\r\n".join(lines))
    Trainer.resume(tmp_path, IDS, quiet=True).run()
    assert (tmp_path / "log.csv").read_bytes().split(b"\r\n")[:5] == lines[:5]


def test_the_same_trainer_can_go_on_after_a_stop(tmp_path):
    make_trainer(tmp_path / "whole", sample_tokens=9).run()
    trainer = make_trainer(tmp_path / "parts", sample_tokens=9)
    stop_in_step(trainer, 4)
    assert trainer.run() == 130
    assert trainer.run() == 0
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")


DAMAGE = [b"2,2.7,,0.002,0r000190476,4100,0.01", b"2,2.7,,0.002", b"2,nan,,0.002,1.7,4100,0.01", b"", b"2,1,,0,1e+999,1,1",
          b"3,2.7,,0.002,1.7,4100,0.01", b"9,2.7,,0.002,1.7,4100,0.01", b"1" * 5000 + b",2.7,,0.002,1.7,4100,0.01",
          b'"2,2.7,,0.002,1.7,4100,0.01', b"\xff\xfe\x00\x1b[2J", b"2,2.7,,0.002,1.7,4100,0.01,5", b"2,,,0.002,1.7,4100,0.01",
          b"2,1_0,,0.002,1.7,4100,0.01", "²,2.7,,0.002,1.7,4100,0.01".encode()]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_row_of_the_log_is_named_and_left_out(tmp_path, capsys, damage):
    first = make_trainer(tmp_path)
    stop_in_step(first, 4)
    first.run()
    lines = (tmp_path / "log.csv").read_bytes().split(b"\r\n")
    (tmp_path / "log.csv").write_bytes(b"\r\n".join([*lines[:2], damage, *lines[3:]]))
    Trainer.resume(tmp_path, IDS, quiet=True).run()
    steps = [row["step"] for row in read_log(tmp_path / "log.csv")]
    message = capsys.readouterr().err
    assert steps == [1, 3, 4, 5, 6, 7]
    assert not damage or f"{tmp_path / 'log.csv'}, line 3: '" in message
    assert "\x1b" not in message


def test_a_damaged_heading_of_the_log_is_mended(tmp_path, capsys):
    first = make_trainer(tmp_path)
    stop_in_step(first, 4)
    first.run()
    text = (tmp_path / "log.csv").read_bytes()
    (tmp_path / "log.csv").write_bytes(b"sxep" + text[4:])
    Trainer.resume(tmp_path, IDS, quiet=True).run()
    assert (tmp_path / "log.csv").read_bytes().startswith(text)
    assert "line 1: 'sxep,train_loss," in capsys.readouterr().err


def test_the_clock_takes_one_first_sample_in_a_run_of_several_sittings(tmp_path, monkeypatch):
    monkeypatch.setattr("minigpt.training.trainer.FIRST_SAMPLE", 0)
    first = make_trainer(tmp_path, sample_tokens=9, eval_interval=100)
    stop_in_step(first, 3)
    first.run()
    Trainer.resume(tmp_path, IDS, quiet=True).run()
    assert re.findall(r"--- step (\d+) ---", (tmp_path / "samples.txt").read_text(encoding="utf-8")) == ["1", "7"]


def test_a_torn_last_line_of_the_log_is_left_out(tmp_path, capsys):
    path = tmp_path / "log.csv"
    make_trainer(tmp_path).run()
    whole = path.read_bytes()
    for torn in (b"8,3.1", b"8,3.1\r\n", b"8,2.74905,,0.002,1.7541,4100,0.0"):
        path.write_bytes(whole + torn)
        assert [row["step"] for row in read_log(path)] == [1, 2, 3, 4, 5, 6, 7]
        assert "line 9: '8," in capsys.readouterr().err


# Those who watch


class Failing(io.StringIO):
    """A terminal that takes nothing"""

    encoding = "utf-8"

    def __init__(self, number):
        self.number = number

    def isatty(self):
        return True

    def write(self, *text):
        raise OSError(self.number, "it takes nothing")      # of the class that belongs to the number

    flush = write


def full():
    return Failing(errno.ENOSPC)


def gone():
    return Failing(errno.EPIPE)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("make", [closed, lambda: None, full, gone])
def test_training_goes_on_without_anyone_to_watch(tmp_path, monkeypatch, name, make):
    trainer = make_trainer(tmp_path, sample_tokens=5)
    trainer.quiet = False
    monkeypatch.setattr(sys, name, make())
    assert trainer.run() == 0
    monkeypatch.undo()
    assert checkpoint.load_newest(tmp_path).step == 7


def test_a_sample_in_characters_that_stdout_lacks_is_shown_in_escapes(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, sample_tokens=5)
    trainer.quiet = False
    monkeypatch.setattr("minigpt.training.trainer.sample_text", lambda *arguments, **options: "四十二 é")
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", newline="\n")
    monkeypatch.setattr(sys, "stdout", out)
    assert trainer.run() == 0
    monkeypatch.undo()
    assert "\\u56db\\u5341\\u4e8c é\n---" in out.buffer.getvalue().decode("cp1252")
    assert "四十二 é" in (tmp_path / "samples.txt").read_text(encoding="utf-8")


def test_control_characters_that_a_model_draws_do_not_reach_the_terminal(tmp_path, monkeypatch, capsys):
    trainer = make_trainer(tmp_path, sample_tokens=5)
    trainer.quiet = False
    monkeypatch.setattr("minigpt.training.trainer.sample_text", lambda *arguments, **options: "\x1b[2J\ntwo")
    trainer.run()
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[2J\ntwo\n" in shown


def test_between_rare_evaluations_there_are_checkpoints_by_the_clock(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, steps=8, eval_interval=8)
    ticks = itertools.count(0, 200)
    trainer.clock = lambda: next(ticks)         # each step takes 200 s
    saved, save = [], trainer.save
    monkeypatch.setattr(trainer, "save", lambda: (saved.append(trainer.step), save()))
    trainer.run()
    assert saved == [3, 6, 8]
