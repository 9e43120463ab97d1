"""The training loop: batch, gradient, update; on the way evaluation, samples, the log, checkpoints and an orderly stop."""

from __future__ import annotations

import csv
import io
import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from .. import __version__
from ..config import GPTConfig
from ..models.gpt import GPT
from ..nn.cross_entropy import IGNORED
from ..system.files import LockedError, lock, write_atomic
from ..tokenization import from_state
from ..weights.pretrained import save_pretrained
from . import checkpoint
from .batches import Batches, windows
from .checkpoint import Checkpoint, CheckpointError
from .corpora import fingerprint, load_corpus, split
from .log import COLUMNS, read_log
from .optim import AdamW, Muon, schedule
from .recipe import Recipe
from .step import check_finite, training_step

CHANGEABLE = ("steps", "minutes", "eval_interval", "sample_tokens")   # what a resumed run may have otherwise
FIRST_SAMPLE = 8        # seconds after the start


_Trainer = TypeVar("_Trainer", bound="Trainer")


class Trainer:
    """One training run in one folder.

        trainer = Trainer(model, tokenizer, ids, Recipe(steps=300), folder)
        trainer.run()                                   # trains, then trainer.best is {"val_loss": …, "step": …, "seconds": …}
        trainer = Trainer.resume(folder, ids)           # the same run where it stopped, to the last bit

    ids (N,) are the whole text; the last tenth is for validation.  The folder holds the best model so far in Hugging Face's
    layout, the newest checkpoints, log.csv, samples.txt and, with matplotlib, loss.png.
    """

    def __init__(self, model: GPT, tokenizer, ids, recipe: Recipe, folder, data_source="", quiet=False):
        self.model, self.tokenizer, self.recipe, self.folder = model, tokenizer, recipe, Path(folder)
        self.data_source, self.quiet = data_source, quiet
        self._check_causal()
        self.data_fingerprint = self._fingerprint(ids)
        self.batches = self._read(ids)
        self.muon = Muon(model, weight_decay=recipe.weight_decay) if recipe.optimizer == "muon" else None
        self.adamw = AdamW(model, start=self.muon.stop if self.muon else 0, betas=(recipe.beta1, recipe.beta2),
                           weight_decay=recipe.weight_decay)
        self.step = 0
        self.seconds = 0.0                  # spent in this run, earlier sittings included
        self.best: dict | None = None       # {"val_loss", "step", "seconds"}
        self.sampled = False

    @classmethod
    def resume(cls: type[_Trainer], folder, ids=None, quiet=False, threads=None, **fields) -> _Trainer:
        """The run in `folder` as it was at its newest good checkpoint, on the same text, by default read from its source.

        `fields` are fields of GPTConfig or Recipe that the caller counts on: those in CHANGEABLE take effect, any other must
        be as the run has it.  Raises CheckpointError where one is not and where there is no good checkpoint, ValueError
        where the text is another one.
        """
        saved = checkpoint.load_newest(Path(folder))
        metadata = {"fast": True, **saved.metadata}       # an old checkpoint does not say
        has = {**metadata["config"], **metadata["recipe"]}
        if other := [f"{k} {v!r} (the run has {has[k]!r})" for k, v in fields.items() if k not in CHANGEABLE and v != has[k]]:
            raise CheckpointError(f"{folder}: {', '.join(other)}, expected what the run began with; leave these out")
        changes = {name: fields[name] for name in CHANGEABLE if name in fields}
        if "minutes" in changes or "steps" in changes:
            changes = {"steps": None, "minutes": None, **changes}
        tokenizer = from_state(metadata["tokenizer"])
        if ids is None:
            ids = tokenizer.encode_array(load_corpus(metadata["data_source"]).text)
        if (found := cls._fingerprint(ids)) != metadata["data_fingerprint"]:
            raise ValueError(
                f"{metadata['data_source'] or 'ids'}: fingerprint {found}, expected {metadata['data_fingerprint']}: the text "
                f"changed since the checkpoint; restore it or start a new run"
            )
        config = GPTConfig.from_dict(metadata["config"], str(folder))
        model = cls._model(config, metadata, threads=metadata["threads"] if threads is None else threads)
        recipe = Recipe(**{**metadata["recipe"], **changes})
        trainer = cls(model, tokenizer, ids, recipe, folder, metadata["data_source"], quiet)
        trainer._load(saved)
        return trainer

    def run(self) -> int:
        """Train to the end. Returns 0, or 130 or 143 after Ctrl-C or SIGTERM: the step was finished and a checkpoint saved.

        Raises LockedError if another process trains in this folder, CheckpointError if it cannot be written to,
        FloatingPointError, naming the array, for a loss or gradient that is not finite.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with lock(self.folder / "run.lock"):
                for leftover in self.folder.glob(".*.tmp"):     # of a process that was killed while writing
                    leftover.unlink()
                return self._run()
        except LockedError as error:
            raise LockedError(f"{self.folder}: another run is training here ({error}); choose another --out") from None
        except OSError as error:
            raise CheckpointError(f"{self.folder}: {error}, expected a folder to write to; choose another --out") from error

    def _run(self) -> int:
        if self.step == 0 and checkpoint.exists(self.folder):
            raise CheckpointError(f"{self.folder}: holds a run, expected a new folder; --resume goes on with that run")
        self._start_log()
        began, before = time.perf_counter(), self.seconds
        log_path = self.folder / "log.csv"
        with _stop_signals() as stop, self._bar() as bar, open(log_path, "a", encoding="utf-8", newline="") as log:
            rows = csv.writer(log)
            while not self._finished():
                start = time.perf_counter()
                loss, norm, rate, tokens = self.update()
                speed = tokens / (time.perf_counter() - start)
                self.seconds = before + time.perf_counter() - began
                val_loss = None
                if self.step % self.recipe.eval_interval == 0 or self._finished():
                    val_loss = self.evaluate()
                    check_finite(self.model, f"after step {self.step}: validation loss {val_loss}", val_loss)
                    self.seconds = before + time.perf_counter() - began
                    self._note_best(val_loss)
                rows.writerow([self.step, f"{loss:.5f}", "" if val_loss is None else f"{val_loss:.5f}", f"{rate:.6g}",
                               f"{norm:.4f}", f"{speed:.0f}", f"{self.seconds:.2f}"])
                log.flush()
                self._show(bar, loss, speed)
                if val_loss is not None:
                    self._report(loss, val_loss, speed)
                if self._sample_due():
                    self._sample()
                if val_loss is not None or stop:
                    self.save()
                if stop and not self._finished():
                    self._say(f"stopped after step {self.step}; --resume goes on from here")
                    return 128 + stop[0]
        return 0

    def evaluate(self) -> float:
        """Mean loss over every target of the validation split, in nats."""
        total = count = 0.0
        for inputs, targets in self._validation():
            n = int(np.count_nonzero(targets != IGNORED))
            total += self.model.loss(inputs, targets) * n
            count += n
        return total / count

    def save(self) -> Path:
        """Write a checkpoint of this moment."""
        arrays = {"params": self.model.flat_params}
        arrays.update({f"frozen.{name}": self.model.params[name] for name in self.model.frozen})
        for prefix, optimizer in (("adamw", self.adamw), ("muon", self.muon)):
            if optimizer is not None:
                arrays.update({f"{prefix}.{name}": array for name, array in optimizer.state().items()})
        metadata = {
            "version": __version__, "seconds": self.seconds, "best": self.best, "position": self.batches.position,
            "config": self.model.config.to_dict(), "recipe": asdict(self.recipe), "dtype": self.model.dtype.name,
            "threads": self.model.pool.threads, "fast": self.model.fast, "tokenizer": self.tokenizer.state(),
            "data_source": self.data_source,
            "data_fingerprint": self.data_fingerprint, **self._metadata(),
        }
        return checkpoint.save(self.folder, Checkpoint(self.step, arrays, metadata))

    def _load(self, saved: Checkpoint) -> None:
        self.model.flat_params[...] = saved.arrays["params"]
        for name in self.model.frozen:
            self.model.params[name][...] = saved.arrays[f"frozen.{name}"]
        for prefix, optimizer in (("adamw", self.adamw), ("muon", self.muon)):
            if optimizer is not None:
                start = len(prefix) + 1
                optimizer.load_state({k[start:]: v for k, v in saved.arrays.items() if k.startswith(prefix + ".")})
        self.step, self.seconds, self.best = saved.step, saved.metadata["seconds"], saved.metadata["best"]
        self.batches.position = saved.metadata["position"]

    # What other data, objectives and models have otherwise: finetune.py, objectives.py

    def _check_causal(self):
        """Refuse a model whose positions see what this trainer asks for."""
        self.model.config.require_causal(type(self).__name__)

    def _read(self, ids):
        """The batches to train on; the rest is kept for validation."""
        n_positions = self.model.config.n_positions
        train_ids, self.val_ids = split(ids)
        if ids.max() >= self.model.config.vocab_size:
            raise ValueError(f"ids: up to {ids.max()}, expected below vocab_size {self.model.config.vocab_size}")
        if len(self.val_ids) <= n_positions:
            raise ValueError(
                f"{self.data_source or 'ids'}: {len(ids)} tokens leave {len(self.val_ids)} for validation, expected more than "
                f"n_positions {n_positions}; use a longer text or a smaller --context"
            )
        return Batches(train_ids, self.recipe.batch_size, n_positions, self.recipe.seed, self.recipe.order)

    def _validation(self):
        """Inputs and targets (B, T) that cover the validation split in windows of n_positions tokens"""
        return windows(self.val_ids, self.batches.context, self.recipe.batch_size)

    @staticmethod
    def _fingerprint(ids) -> str:
        return fingerprint(ids)

    @staticmethod
    def _model(config, metadata, threads) -> GPT:
        """The model of a checkpoint; its parameters are loaded afterwards."""
        return GPT(config, dtype=metadata["dtype"], threads=threads, fast=metadata["fast"])

    def _metadata(self) -> dict:
        """What _model() needs beside the configuration"""
        return {}

    def _export(self) -> None:
        """Write the model as it is now into the run's folder."""
        save_pretrained(self.model, self.folder, self.tokenizer)

    # The steps

    def update(self) -> tuple[float, float, float, int]:
        """One step -> loss, gradient norm, AdamW's learning rate, tokens read"""
        recipe, rate = self.recipe, self._rate()
        loss, norm, tokens = training_step(
            self.model, self.batches, self.adamw, recipe.lr * rate, clip=recipe.clip, seed=recipe.seed,
            when=f"after step {self.step}", muon=self.muon, muon_lr=recipe.muon_lr * rate, accumulate=recipe.accumulate,
        )
        self.step += 1
        return loss, norm, recipe.lr * rate, tokens

    def _rate(self) -> float:
        """The learning rate of the next step as a fraction of its peak"""
        recipe = self.recipe
        warm = min(1.0, (self.step + 1) / (recipe.warmup_steps + 1))
        return warm * (recipe.final_lr + (1 - recipe.final_lr) * schedule(recipe.schedule, self._progress()))

    def _progress(self) -> float:
        if self.recipe.minutes is not None:
            return self.seconds / (60 * self.recipe.minutes)
        return self.step / (self.recipe.steps or 1)

    def _finished(self) -> bool:
        return self._progress() >= 1

    def _note_best(self, val_loss: float) -> None:
        if self.best is None or val_loss < self.best["val_loss"]:
            self.best = {"val_loss": val_loss, "step": self.step, "seconds": self.seconds}
            self._export()

    # What the user sees

    def _start_log(self) -> None:
        """log.csv with a heading, and without rows of steps that a resumed run will do again"""
        path = self.folder / "log.csv"
        kept = [row for row in read_log(path) if row["step"] <= self.step] if path.exists() and self.step else []
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        rows.writerow(COLUMNS)
        rows.writerows(["" if row[name] is None else row[name] for name in COLUMNS] for row in kept)
        write_atomic(path, text.getvalue().encode("utf-8"))

    def _bar(self):
        by_clock = self.recipe.minutes is not None
        return tqdm(
            total=round(60 * self.recipe.minutes) if self.recipe.minutes is not None else self.recipe.steps,
            initial=round(self.seconds) if by_clock else self.step, unit="step", dynamic_ncols=True,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} s{postfix}" if by_clock else None,
            disable=True if self.quiet else None,       # None: only where stderr is a terminal
        )

    def _show(self, bar, loss, speed) -> None:
        done = self.step if self.recipe.minutes is None else min(bar.total, round(self.seconds))
        bar.set_postfix_str(f"loss {loss:.3f}, {speed / 1000:.1f}k tokens/s", refresh=False)
        bar.update(done - bar.n)

    def _report(self, loss, val_loss, speed) -> None:
        mark = "  best so far" if self.best is not None and self.best["step"] == self.step else ""
        self._say(f"step {self.step:5}  {self.seconds:6.1f} s  train {loss:.3f}  validation {val_loss:.4f}"
                  f"  {speed:,.0f} tokens/s{mark}")

    def _sample_due(self) -> bool:
        if self.recipe.sample_tokens == 0:
            return False
        first = not self.sampled and self.seconds > FIRST_SAMPLE
        return first or self._finished() or self.step % self.recipe.eval_interval == 0

    def _sample(self) -> None:
        self.sampled = True
        text = sample_text(self.model, self.tokenizer, self.recipe.sample_tokens, seed=[self.recipe.seed, self.step])
        self._say(f"--- sample after step {self.step} ({self.seconds:.0f} s) ---\n{text}\n---")
        with open(self.folder / "samples.txt", "a", encoding="utf-8") as file:
            file.write(f"--- step {self.step} ---\n{text}\n")

    def _say(self, text) -> None:
        if not self.quiet:
            with suppress(BrokenPipeError):     # nobody reads it any more; the run goes on
                tqdm.write(text, file=sys.stdout)
                sys.stdout.flush()


def sample_text(model: GPT, tokenizer, n_tokens: int, seed) -> str:
    """Text that begins with a line feed, or with the vocabulary's first token where it has none."""
    try:
        prompt = tokenizer.encode("\n")
    except ValueError:
        prompt = [0]
    ids = model.generate(prompt, n_tokens, temperature=0.8, seed=seed, sliding_window=True)
    return tokenizer.decode(ids[len(prompt) :])


@contextmanager
def _stop_signals():
    """Inside, Ctrl-C and SIGTERM are noted in the list this gives; a second one ends the process at once."""
    noted: list[int] = []

    def note(number, frame):
        if noted:
            os._exit(128 + number)
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
