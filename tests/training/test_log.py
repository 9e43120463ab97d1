"""The log of a run: how often it evaluates, bits per byte, what becomes of a log of the version before."""

import math
import re
import shutil
from pathlib import Path

import pytest

from minigpt import GPT, GPTConfig
from minigpt.models.classifier import Classifier
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.training.corpora import load_corpus, split
from minigpt.training.finetune import FineTuner, labeled
from minigpt.training.log import COLUMNS, read_log
from minigpt.training.recipe import Recipe
from minigpt.training.trainer import Trainer

TEXT = "道可道，非常道。名可名，非常名。\nto be or not to be\n" * 30
OLD_RUN = Path(__file__).parents[1] / "fixtures" / "run_of_0.1"


def make_trainer(folder, tokenizer=None, **recipe):
    tokenizer = tokenizer or CharTokenizer.train(TEXT)
    model = GPT(GPTConfig(tokenizer.vocab_size, n_positions=8, n_embd=8, n_layer=1, n_head=1), seed=1, threads=1)
    recipe = Recipe(**{"steps": 4, "batch_size": 2, "sample_tokens": 0, **recipe})
    return Trainer(model, tokenizer, tokenizer.encode_array(TEXT), recipe, folder, quiet=True)


def turned_by_steps(trainer, seconds, evaluation=0.0):
    """Give the trainer a clock that goes on by so much in each step and evaluation and stands still else."""
    give, evaluate, now = trainer.batches.next, trainer.evaluate, [0.0]

    def slowly(work, seconds):
        now[0] += seconds
        return work()

    trainer.batches.next, trainer.evaluate = (lambda: slowly(give, seconds)), (lambda: slowly(evaluate, evaluation))
    trainer.clock = lambda: now[0]
    return trainer


def evaluated(folder):
    return [row["step"] for row in read_log(folder / "log.csv") if row["val_loss"] is not None]


def test_any_run_has_at_least_eight_evaluations_by_steps_or_by_minutes_unless_told_otherwise(tmp_path):
    for i, (recipe, steps) in enumerate([
        ({"steps": 16}, [2, 4, 6, 8, 10, 12, 14, 16]), ({"steps": 5}, [1, 2, 3, 4, 5]),
        ({"steps": 17}, [3, 5, 7, 9, 11, 13, 15, 17]), ({"steps": 15}, [2, 4, 6, 8, 10, 12, 14, 15]),
        ({"steps": 6, "eval_interval": 4}, [4, 6]),
        ({"steps": None, "minutes": 0.4}, [3, 6, 9, 12, 15, 18, 21, 24]),           # 24 steps of a second
        ({"steps": None, "minutes": 0.1, "eval_interval": 4}, [4, 6]),
    ]):
        turned_by_steps(make_trainer(tmp_path / str(i), **recipe), 1.0, evaluation=100.0).run()
        assert evaluated(tmp_path / str(i)) == steps, recipe


def test_a_resumed_run_by_minutes_evaluates_at_the_eighths_that_are_left(tmp_path):
    trainer = turned_by_steps(make_trainer(tmp_path, steps=None, minutes=0.2), 1.0)
    trainer.run()
    turned_by_steps(again := Trainer.resume(tmp_path, trainer.tokenizer.encode_array(TEXT), quiet=True, minutes=0.4), 1.0)
    again.run()
    assert evaluated(tmp_path)[-5:] == [12, 15, 18, 21, 24]


@pytest.mark.parametrize("tokenizer", [CharTokenizer.train(TEXT), Tokenizer.train(TEXT, 280)], ids=["char", "bpe"])
def test_losses_in_bits_per_byte_weigh_the_bytes_of_the_validation_split(tmp_path, capsys, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer)
    trainer.quiet = False
    trainer.run()
    ids = split(trainer.tokenizer.encode_array(TEXT))[1]
    bits = trainer.evaluate() * (len(ids) - 1) / math.log(2) / len(tokenizer.decode_bytes(ids[1:].tolist()))
    last = read_log(tmp_path / "log.csv")[-1]
    assert last["val_bits_per_byte"] == pytest.approx(bits, abs=1e-5)
    assert last["train_bits_per_byte"] / last["train_loss"] == pytest.approx(bits / last["val_loss"], rel=1e-4)
    assert f"validation {last['val_loss']:.4f} ({bits:.3f} bits per byte)" in capsys.readouterr().out


def test_labels_have_no_bytes(tmp_path):
    base = GPT(GPTConfig(5, n_positions=8, n_embd=8, n_layer=1, n_head=1), seed=1, threads=1)
    base.tokenizer = CharTokenizer.train("abcde")
    examples = [labeled([i, 1], i % 2) for i in range(4)]
    FineTuner(Classifier.from_model(base, ["x", "y"], seed=0), base.tokenizer, (examples, examples), Recipe(steps=2), tmp_path,
              quiet=True).run()
    assert [row["val_bits_per_byte"] for row in read_log(tmp_path / "log.csv")] == [None, None]


def test_a_run_of_the_version_before_goes_on_and_its_log_gets_the_new_columns(tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(OLD_RUN, folder)
    old = (folder / "log.csv").read_bytes().decode().split("\r\n")
    ids = GPT.from_pretrained(folder).tokenizer.encode_array("to be or not to be, that is the question:\n" * 12)
    Trainer.resume(folder, ids, quiet=True, steps=6).run()
    lines = (folder / "log.csv").read_bytes().decode().split("\r\n")
    assert lines[:4] == [",".join(COLUMNS), *(f"{line},," for line in old[1:4])]
    rows = read_log(folder / "log.csv")
    assert [(row["step"], row["train_bits_per_byte"] is None) for row in rows] == [(i, i < 4) for i in range(1, 7)]
    assert read_log(OLD_RUN / "log.csv")[0]["val_bits_per_byte"] is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("keep_bytes", [True, False])
def test_a_run_on_a_file_resumes_whichever_way_it_read_the_bytes(tmp_path, keep_bytes):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"to be\r\nor not\r\n" * 40)
    text = load_corpus(path, keep_bytes).text
    tokenizer = CharTokenizer.train(text)
    assert ("\r" in text) == keep_bytes
    model = GPT(GPTConfig(tokenizer.vocab_size, n_positions=8, n_embd=8, n_layer=1, n_head=1), seed=1, threads=1)
    recipe = Recipe(steps=2, batch_size=2, sample_tokens=0)
    Trainer(model, tokenizer, tokenizer.encode_array(text), recipe, tmp_path / "run", path, quiet=True).run()
    assert Trainer.resume(tmp_path / "run", quiet=True, steps=3).run() == 0
    path.write_bytes(path.read_bytes()[:-2] + b"x")
    with pytest.raises(ValueError, match=r"a\.txt: .*'x'.* changed since the checkpoint; restore it or start a new run"):
        Trainer.resume(tmp_path / "run", quiet=True)


def test_a_run_that_kept_the_bytes_of_another_encoding_resumes(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(("to be or not\n" * 60).encode("utf-16-le"))
    text = load_corpus(path, keep_bytes=True).text
    tokenizer = CharTokenizer.train(text)
    model = GPT(GPTConfig(tokenizer.vocab_size, n_positions=8, n_embd=8, n_layer=1, n_head=1), seed=1, threads=1)
    recipe = Recipe(steps=2, batch_size=2, sample_tokens=0)
    Trainer(model, tokenizer, tokenizer.encode_array(text), recipe, tmp_path / "run", path, quiet=True).run()
    assert Trainer.resume(tmp_path / "run", quiet=True, steps=3).run() == 0


def test_a_run_that_overfits_says_so_once_and_what_helps_even_in_two_sittings(tmp_path, capsys):
    def update():
        trainer.step += 1
        return 4 - trainer.step / 10, 1.0, 0.1, 16          # the training loss falls

    losses = iter([3.0, 2.5, 2.6, 2.8, 2.9, 3.0, 3.2, 3.4])
    trainer = make_trainer(tmp_path, steps=4)
    for steps in (4, 8):
        if steps == 8:
            trainer = Trainer.resume(tmp_path, trainer.tokenizer.encode_array(TEXT), steps=8)
        trainer.evaluate, trainer.update, trainer.quiet = (lambda: next(losses)), update, False
        trainer.run()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("since step ")]
    assert len(lines) == 1
    assert lines[0].endswith("What helps: a longer text, --dropout 0.2, fewer --steps or --minutes, or a smaller "
                             "model. The folder keeps the best model.")


def test_where_no_bar_can_be_drawn_the_run_says_where_it_is(tmp_path, capsys):
    trainer = turned_by_steps(make_trainer(tmp_path, steps=24, eval_interval=24), 6.0)
    trainer.quiet = False
    trainer.run()
    said = re.findall(r"(\d+) of 24 steps, (\S+) left, loss \d\.\d{3}, \d\.\d\d bits/byte, \d\.\dk tokens/s",
                      capsys.readouterr().out)
    assert said == [(str(i), f"0{(24 - i) * 6 // 60}:{(24 - i) * 6 % 60:02}") for i in range(2, 25, 2)]
