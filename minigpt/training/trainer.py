"""The training loop: batch, gradient, update; on the way evaluation, samples, the log, checkpoints and an orderly stop."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from dataclasses import fields as dataclass_fields
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, TypeVar

import numpy as np

from .. import __version__
from ..config import GPTConfig
from ..models.gpt import GPT
from ..nn.cross_entropy import IGNORED
from ..system.files import LockedError, lock, write_atomic
from ..system.progress import Bar
from ..system.streams import Tolerant, say
from ..system.text import for_terminal, printable
from ..system.threads import WorkerPool
from ..tokenization import CharTokenizer, Tokenizer
from ..weights.pretrained import save_pretrained
from . import checkpoint
from .batches import Batches, BatchSource, windows
from .checkpoint import Checkpoint, CheckpointError, DamagedError
from .corpora import fingerprint, load_corpus, split
from .facts import READERS, Readers, read_facts
from .log import log_line, log_until
from .optim import AdamW, Muon, schedule
from .recipe import Recipe
from .step import training_step

CHANGEABLE = ("steps", "minutes", "eval_interval", "sample_tokens")   # what a resumed run may have otherwise
FIRST_SAMPLE = 8        # seconds after the start

# What write_atomic leaves of the files that a run writes when its process is killed
_LEFTOVER = re.compile(r"\.(checkpoint-[0-9]{8,}|[a-z_]+)\.(safetensors|npz|json|txt|csv|png)\.[0-9a-f]{16}\.tmp")

_Trainer = TypeVar("_Trainer", bound="Trainer")


class Trainer:
    """One training run in one folder.

        trainer = Trainer(model, tokenizer, ids, Recipe(steps=300), folder)
        trainer.run()                                   # trains, then trainer.best is {"val_loss": …, "step": …, "seconds": …}
        trainer = Trainer.resume(folder, ids)           # the same run where it stopped, to the last bit

    ids (N,) are the whole text; the last tenth is for validation.  The folder holds the best model so far in Hugging Face's
    layout, the newest checkpoints, log.csv, samples.txt and, with matplotlib, loss.png.
    """

    READERS: ClassVar[Readers] = READERS        # of what a checkpoint of this kind of run says beside its arrays

    def __init__(self, model: GPT, tokenizer: Tokenizer | CharTokenizer | None, ids: Any, recipe: Recipe,
                 folder: str | os.PathLike[str], data_source: str | os.PathLike[str] = "", quiet: bool = False) -> None:
        self.model, self.recipe, self.folder = model, recipe, Path(folder)
        self.tokenizer: Any = tokenizer     # None will do where nothing is sampled or saved
        self.data_source, self.quiet = os.fspath(data_source), quiet
        self._check_causal()
        self.data_fingerprint = self._fingerprint(ids)
        self.batches: BatchSource = self._read(ids)
        self.muon = Muon(model, weight_decay=recipe.weight_decay) if recipe.optimizer == "muon" else None
        self.adamw = AdamW(model, start=self.muon.stop if self.muon else 0, betas=(recipe.beta1, recipe.beta2),
                           weight_decay=recipe.weight_decay)
        self.step = 0
        self.seconds = 0.0                  # spent in this run, earlier sittings included
        self.best: dict[str, Any] | None = None     # {"val_loss", "step", "seconds"}
        self.sampled = False
        self._samples_size: int | None = 0      # bytes of samples.txt up to this step; an old checkpoint does not say

    @classmethod
    def resume(cls: type[_Trainer], folder: str | os.PathLike[str], ids: Any = None, quiet: bool = False,
               threads: int | None = None, **fields: Any) -> _Trainer:
        """The run in `folder` as it was at its newest good checkpoint, on the same text, by default read from its source.

        `fields` are fields of GPTConfig or Recipe that the caller counts on: those in CHANGEABLE take effect, any other must
        be as the run has it.
        Raises TypeError for other names, CheckpointError where a field differs and where there is no good checkpoint,
        ValueError where the text is another one.
        """
        names = {field.name for kind in (GPTConfig, Recipe) for field in dataclass_fields(kind)}
        if unknown := sorted(fields.keys() - names):
            raise TypeError(f"resume: {', '.join(unknown)}, expected fields of GPTConfig or Recipe")
        WorkerPool(threads)     # refuses a wrong number now: further on, what is wrong is the checkpoint's
        return checkpoint.load_newest(Path(folder), partial(cls._resumed, folder, ids, quiet, threads, fields))

    @classmethod
    def _resumed(cls: type[_Trainer], folder: str | os.PathLike[str], ids: Any, quiet: bool, threads: int | None,
                 fields: Mapping[str, Any], saved: Checkpoint) -> _Trainer:
        """The run at a checkpoint.  Raises DamagedError where that is not what a run saves."""
        source = f"{folder}: the checkpoint of step {saved.step}"
        metadata = saved.metadata       # an old checkpoint names its trainer otherwise, and not always
        kind = metadata.get("trainer", metadata.get("objective", "FineTuner" if "learning" in metadata else "Trainer"))
        if kind != cls.__name__:
            found = printable(kind)
            raise CheckpointError(f"{folder}: a run of {found}, expected one of {cls.__name__}; go on with {found}.resume()")
        facts = read_facts(metadata, cls.READERS, source)
        config, recipe = facts["config"], facts["recipe"]
        has = {**config.to_dict(), **asdict(recipe)}
        if other := [f"{k} {v!r} (the run has {has[k]!r})" for k, v in fields.items() if k not in CHANGEABLE and v != has[k]]:
            raise CheckpointError(f"{folder}: {', '.join(other)}, expected what the run began with; leave these out")
        changes = {name: fields[name] for name in CHANGEABLE if name in fields}
        if "minutes" in changes or "steps" in changes:
            changes = {"steps": None, "minutes": None, **changes}
        if ids is None:
            ids = facts["tokenizer"].encode_array(load_corpus(facts["data_source"]).text)
        if (found := cls._fingerprint(ids)) != facts["data_fingerprint"]:
            raise ValueError(
                f"{facts['data_source'] or 'ids'}: fingerprint {found}, expected {facts['data_fingerprint']}: the text "
                f"changed since the checkpoint; restore it or start a new run"
            )
        if config.n_params > sum(array.size for array in saved.arrays.values()):      # before so many are allocated
            raise DamagedError(f"{source}: fewer arrays than {config.n_params:,} parameters; use the checkpoint before it")
        try:
            model = cls._model(config, facts, threads=facts["threads"] if threads is None else threads)
        except ValueError as error:
            raise DamagedError(f"{source}: {error}; use the checkpoint before it") from error
        trainer = cls(model, facts["tokenizer"], ids, replace(recipe, **changes), folder, facts["data_source"], quiet)
        trainer._load(saved, facts, source)
        return trainer

    def run(self) -> int:
        """Train to the end. Returns 0, or 130 or 143 after Ctrl-C or SIGTERM: the step was finished and a checkpoint saved.

        A second Ctrl-C raises KeyboardInterrupt at once, a second SIGTERM SystemExit; resume() then goes on from the last
        checkpoint.  In another thread than the main one, which alone gets signals, a run cannot be stopped so.
        Raises LockedError if another process trains in this folder, CheckpointError if it cannot be written to,
        FloatingPointError, naming the array, for a loss or gradient that is not finite.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with lock(self.folder / "run.lock"):
                for leftover in self.folder.glob(".*.tmp"):     # of a process that was killed while writing
                    if _LEFTOVER.fullmatch(leftover.name) and leftover.is_file():
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
            while not self._finished():
                start = time.perf_counter()
                loss, norm, rate, tokens = self.update()
                speed = tokens / (time.perf_counter() - start)
                self.seconds = before + time.perf_counter() - began
                val_loss = None
                if self.step % self.recipe.eval_interval == 0 or self._finished():
                    val_loss = self.evaluate()
                    self.seconds = before + time.perf_counter() - began
                    self._note_best(val_loss)
                log.write(log_line(self.step, loss, val_loss, rate, norm, speed, self.seconds))
                log.flush()
                self._show(bar, loss, speed)
                if val_loss is not None:
                    self._report(bar, loss, val_loss, speed)
                if self._sample_due():
                    self._sample(bar)
                if val_loss is not None or stop:
                    self.save()
                if stop and not self._finished():
                    self._say(bar, f"stopped after step {self.step}; --resume goes on from here")
                    return 128 + stop[0]
        return 0

    def evaluate(self) -> float:
        """Mean loss over every target of the validation split, in nats.  Raises FloatingPointError where it is not finite."""
        total = count = 0.0
        for inputs, targets in self._validation():
            n = int(np.count_nonzero(targets != IGNORED))
            try:
                total += self.model.loss(inputs, targets) * n
            except FloatingPointError as error:
                raise FloatingPointError(f"after step {self.step}: validation {error}; lower the learning rate") from None
            count += n
        return total / count

    def save(self) -> Path:
        """Write a checkpoint of this moment -> its path.  Raises CheckpointError where it cannot be written."""
        metadata = {
            "version": __version__, "trainer": type(self).__name__, "seconds": self.seconds, "best": self.best,
            "position": self.batches.position, "config": self.model.config.to_dict(), "recipe": asdict(self.recipe),
            "dtype": self.model.dtype.name, "threads": self.model.pool.threads, "fast": self.model.fast,
            "tokenizer": self.tokenizer.state(), "sampled": self.sampled, "samples_size": self._samples_size,
            "data_source": self.data_source, "data_fingerprint": self.data_fingerprint, **self._metadata(),
        }
        return checkpoint.save(self.folder, Checkpoint(self.step, self._arrays(), metadata))

    def _arrays(self) -> dict[str, np.ndarray]:
        """All that training goes on from, beside the facts: parameters and the optimizers' state, views"""
        arrays = {"params": self.model.flat_params}
        arrays.update({f"frozen.{name}": self.model.params[name] for name in self.model.frozen})
        for prefix, optimizer in (("adamw", self.adamw), ("muon", self.muon)):
            if optimizer is not None:
                arrays.update({f"{prefix}.{name}": array for name, array in optimizer.state().items()})
        return arrays

    def _load(self, saved: Checkpoint, facts: dict[str, Any], source: str) -> None:
        """Go on from a checkpoint.  Raises DamagedError where its arrays are not this run's."""
        here, there = ({name: array.shape for name, array in arrays.items()} for arrays in (self._arrays(), saved.arrays))
        if wrong := sorted(name for name, _ in here.items() ^ there.items()):
            raise DamagedError(f"{source}: {', '.join(dict.fromkeys(wrong))} missing, unexpected or of another shape; use the "
                               "checkpoint before it")

        def load() -> None:
            self.model.flat_params[...] = saved.arrays["params"]
            for name in self.model.frozen:
                self.model.params[name][...] = saved.arrays[f"frozen.{name}"]
            for prefix, optimizer in (("adamw", self.adamw), ("muon", self.muon)):
                if optimizer is not None:
                    start = len(prefix) + 1
                    optimizer.load_state({k[start:]: v for k, v in saved.arrays.items() if k.startswith(prefix + ".")})

        self.model.lock.write(load)
        self.step, self.seconds, self.best = saved.step, facts["seconds"], facts["best"]
        self.sampled, self._samples_size = facts["sampled"], facts["samples_size"]
        self.batches.position = facts["position"]

    # What other data, objectives and models have otherwise: finetune.py, objectives.py

    def _check_causal(self) -> None:
        """Refuse a model whose positions see what this trainer asks for."""
        self.model.config.require_causal(type(self).__name__)

    def _read(self, ids: Any) -> Any:
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

    def _validation(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Inputs and targets (B, T) that cover the validation split in windows of n_positions tokens"""
        return windows(self.val_ids, self.model.config.n_positions, self.recipe.batch_size)

    @staticmethod
    def _fingerprint(ids: Any) -> str:
        return fingerprint(ids)

    @staticmethod
    def _model(config: GPTConfig, metadata: Mapping[str, Any], threads: int | None) -> GPT:
        """The model of a checkpoint; its parameters are loaded afterwards."""
        return GPT(config, dtype=metadata["dtype"], threads=threads, fast=metadata["fast"])

    def _metadata(self) -> dict[str, Any]:
        """What _model() needs beside the configuration"""
        return {}

    def _export(self) -> None:
        """Write the model as it is now into the run's folder."""
        save_pretrained(self.model, self.folder, self.tokenizer)

    # The steps

    def update(self) -> tuple[float, float, float, int]:
        """Train for one step -> loss in nats, gradient norm, AdamW's learning rate, tokens read.

        Raises FloatingPointError for a loss or gradient that is not finite.
        """
        return self.model.lock.write(self._update)

    def _update(self) -> tuple[float, float, float, int]:
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
        """log.csv and samples.txt as they were at this step: what came after it a resumed run will do again."""
        path = self.folder / "log.csv"
        write_atomic(path, log_until(path, self.step).encode("utf-8"))
        samples = self.folder / "samples.txt"
        if self._samples_size is not None and samples.exists():
            write_atomic(samples, samples.read_bytes()[: self._samples_size])

    def _bar(self) -> Bar:
        by_clock, terminal = self.recipe.minutes is not None, Tolerant(sys.stderr)
        return Bar(
            total=round(60 * self.recipe.minutes) if self.recipe.minutes is not None else self.recipe.steps,
            initial=round(self.seconds) if by_clock else self.step, unit="step", dynamic_ncols=True,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} s{postfix}" if by_clock else None,
            file=terminal, disable=self.quiet or not terminal.isatty(),
        )

    def _show(self, bar: Bar, loss: float, speed: float) -> None:
        done = self.step if self.recipe.minutes is None else min(bar.total or 0, round(self.seconds))
        bar.set_postfix_str(f"loss {loss:.3f}, {speed / 1000:.1f}k tokens/s", refresh=False)
        bar.update(done - bar.n)

    def _report(self, bar: Bar, loss: float, val_loss: float, speed: float) -> None:
        mark = "  best so far" if self.best is not None and self.best["step"] == self.step else ""
        self._say(bar, f"step {self.step:5}  {self.seconds:6.1f} s  train {loss:.3f}  validation {val_loss:.4f}"
                  f"  {speed:,.0f} tokens/s{mark}")

    def _sample_due(self) -> bool:
        if self.recipe.sample_tokens == 0:
            return False
        first = not self.sampled and self.seconds > FIRST_SAMPLE
        return first or self._finished() or self.step % self.recipe.eval_interval == 0

    def _sample(self, bar: Bar) -> None:
        self.sampled = True
        text = sample_text(self.model, self.tokenizer, self.recipe.sample_tokens, seed=[self.recipe.seed, self.step])
        self._say(bar, f"--- sample after step {self.step} ({self.seconds:.0f} s) ---\n{text}\n---")
        with open(self.folder / "samples.txt", "a", encoding="utf-8", newline="") as file:
            file.write(f"--- step {self.step} ---\n{text}\n")
            self._samples_size = file.tell()

    def _say(self, bar: Bar, text: str) -> None:
        if not self.quiet:
            say(for_terminal(text), sys.stdout, bar)


def sample_text(model: GPT, tokenizer: Tokenizer | CharTokenizer, n_tokens: int, seed: int | Sequence[int] | None) -> str:
    """Text that begins with a line feed, or with the vocabulary's first token where it has none."""
    try:
        prompt = tokenizer.encode("\n")
    except ValueError:
        prompt = [0]
    ids = model.generate(prompt, n_tokens, temperature=0.8, seed=seed, sliding_window=True)
    return tokenizer.decode(ids[len(prompt) :])


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Inside, Ctrl-C and SIGTERM are noted in the list this gives; a second one ends what is being done at once."""
    noted: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        noted.append(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                # only the main thread may; and a handler that is not Python's, None, could not be restored
                if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is not None:
                    before[number] = signal.getsignal(number)
                    signal.signal(number, note)
            yield noted
        finally:
            restore()
    except BaseException:
        restore()       # subtle: an interrupt may have come when the line above was about to begin
        raise
