"""The training loop: batch, gradient, update; on the way evaluation, samples, the log, checkpoints and an orderly stop."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from dataclasses import fields as dataclass_fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from .. import __version__
from ..config import ConfigError, GPTConfig
from ..generation.characters import INCOMPLETE
from ..models.gpt import GPT
from ..nn.cross_entropy import IGNORED
from ..system.files import LockedError, lock, write_atomic
from ..system.signals import STOPPING, stop_signals
from ..system.text import printable
from ..system.threads import WorkerPool
from ..tokenization import CharTokenizer, Tokenizer
from ..weights.pretrained import save_pretrained
from . import checkpoint
from .batches import Batches, BatchSource, windows
from .checkpoint import Checkpoint, CheckpointError, DamagedError
from .corpora import fingerprint, split, spread
from .display import Display
from .distributed import ALONE, Alone
from .documents import shown_source
from .facts import READERS, Readers, read_facts
from .log import log_line, log_until
from .normuon import NorMuon
from .optim import AdamW, Muon, schedule
from .overfitting import Watch
from .recipe import Recipe
from .step import training_step
from .texts import read_ids
from .token_files import TokenFile

CHANGEABLE = ("steps", "minutes", "eval_interval", "sample_tokens")   # what a resumed run may have otherwise
FIRST_SAMPLE = 8        # seconds after the start
SAVE_EVERY = 600        # seconds of training between two checkpoints at most, where evaluations are rarer
EQUAL_EVERY = 100       # steps between two comparisons of the processes' parameters
EVALUATIONS = 8         # in a run whose recipe does not say how often; of fewer steps each is followed by one
SAMPLED_STEPS = 80      # such a run of fewer steps has a sample at its end only: one takes longer than many steps

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
    Raises ConfigError for a batch with fewer rows than there are processes, ValueError for a text that does not fit the model.
    """

    READERS: ClassVar[Readers] = READERS        # of what a checkpoint of this kind of run says beside its arrays
    AGAINST_OVERFITTING: ClassVar[str] = "a longer text, --dropout 0.2, fewer --steps or --minutes, or a smaller model"

    def __init__(self, model: GPT, tokenizer: Tokenizer | CharTokenizer | None, ids: Any, recipe: Recipe,
                 folder: str | os.PathLike[str], data_source: str | os.PathLike[str] = "", quiet: bool = False,
                 group: Alone = ALONE) -> None:
        self.model, self.recipe, self.folder, self.group = model, recipe, Path(folder), group
        if recipe.batch_size < group.size:
            raise ConfigError(f"Recipe: batch_size {recipe.batch_size} for {group.size} processes, expected a row for each; "
                              "raise --batch-size or start fewer")
        self.tokenizer: Any = tokenizer     # None will do where nothing is sampled or saved
        self.data_source, self.quiet = os.fspath(data_source), quiet
        self.clock: Callable[[], float] = time.perf_counter
        self._check_causal()
        self.data_fingerprint = self._fingerprint(ids)
        self.batches: BatchSource = self._read(ids)
        self.bits_per_nat = self._bits_per_nat()        # makes bits per byte of a loss in nats per token; None: it says nothing
        muon = {"muon": Muon, "normuon": NorMuon}.get(recipe.optimizer)
        self.muon = muon(model, weight_decay=recipe.weight_decay, group=group) if muon else None
        self.adamw = AdamW(model, start=self.muon.stop if self.muon else 0, betas=(recipe.beta1, recipe.beta2),
                           weight_decay=recipe.weight_decay)
        self.step = 0
        self.seconds = 0.0                  # spent in this run, earlier sittings included
        self.trained = 0.0                  # of these in steps, without evaluations, samples and files
        self.best: dict[str, Any] | None = None     # {"val_loss", "step", "seconds"}
        self.sampled = False
        self._has_said_incomplete = False
        self._samples_size: int | None = 0      # bytes of samples.txt up to this step; an old checkpoint does not say

    @classmethod
    def resume(cls: type[_Trainer], folder: str | os.PathLike[str], ids: Any = None, quiet: bool = False,
               threads: int | None = None, group: Alone = ALONE, **fields: Any) -> _Trainer:
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
        use = partial(cls._resumed, folder, ids, quiet, threads, group, fields)
        trainer: _Trainer = group.first(partial(checkpoint.load_newest, Path(folder), use))
        return trainer

    @classmethod
    def _resumed(cls: type[_Trainer], folder: str | os.PathLike[str], ids: Any, quiet: bool, threads: int | None, group: Alone,
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
            ids = cls._read_again(facts)
        if (found := cls._fingerprint(ids)) != facts["data_fingerprint"]:
            raise ValueError(
                f"{shown_source(facts['data_source']) or 'ids'}: fingerprint {found}, expected {facts['data_fingerprint']}: "
                f"the text changed since the checkpoint; restore it or start a new run"
            )
        if config.n_params > sum(array.size for array in saved.arrays.values()):      # before so many are allocated
            raise DamagedError(f"{source}: fewer arrays than {config.n_params:,} parameters; use the checkpoint before it")
        try:
            model = cls._model(config, facts, threads=facts["threads"] if threads is None else threads)
        except ValueError as error:
            raise DamagedError(f"{source}: {error}; use the checkpoint before it") from error
        trainer = cls(model, facts["tokenizer"], ids, replace(recipe, **changes), folder, facts["data_source"], quiet, group)
        trainer._load(saved, facts, source)
        return trainer

    @classmethod
    def _read_again(cls, facts: Mapping[str, Any]) -> Any:
        """The text of a run, from its source: as people mean it, or byte for byte if it is known so."""
        source = facts["data_source"]
        try:
            return read_ids(source, facts["tokenizer"], facts["data_fingerprint"])
        except ValueError as error:
            changed = f"{shown_source(source)}: {error}: it changed since the checkpoint"
            raise ValueError(f"{changed}; restore it or start a new run") from error

    def run(self) -> int:
        """Train to the end -> 0; or 130, 143, 138 after Ctrl-C, SIGTERM, SIGUSR1: the step was finished and a checkpoint saved.

        A second Ctrl-C raises KeyboardInterrupt at once, a second SIGTERM SystemExit; resume() then goes on from the last
        checkpoint.  In another thread than the main one, which alone gets signals, a run cannot be stopped so.
        Raises LockedError if another process trains in this folder, CheckpointError if it cannot be written to,
        FloatingPointError, naming the array, for a loss or gradient that is not finite.
        """
        try:
            return self._run_in_folder() if self.group.leads else self._run()
        except BaseException as error:
            self.group.end(error)

    def _run_in_folder(self) -> int:
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
        leads = self.group.leads
        if leads and self.step == 0 and checkpoint.exists(self.folder):
            raise CheckpointError(f"{self.folder}: holds a run, expected a new folder; --resume goes on with that run")
        self.group.check_equal(np.frombuffer(self._terms().encode(), np.uint8), "text or settings")
        self.group.check_equal(self.model.flat_params, "parameters at the start")
        for name in sorted(self.model.frozen):
            self.group.check_equal(self.model.params[name], name)
        watch = Watch(self._start_log() if leads else [])
        log_path = self.folder / "log.csv" if leads else os.devnull
        with stop_signals() as stop, self._display() as display, open(log_path, "a", encoding="utf-8", newline="") as log:
            began, before, eighth, saved = self.clock(), self.seconds, self._eighth(), self.trained
            while not self._finished():
                start = self.clock()
                loss, norm, rate, tokens = self.update()
                took = self.clock() - start
                self.seconds = before + self.clock() - began
                self.trained += took
                stopped = self._agree(stop)
                if self.step % EQUAL_EVERY == 0:
                    self.group.check_equal(self.model.flat_params, f"parameters after step {self.step}")
                val_loss = None
                if self._evaluation_due(eighth):
                    val_loss = self.evaluate()
                    self.seconds = before + self.clock() - began
                    eighth = self._eighth()
                    self._note_best(val_loss)
                log.write(log_line(self.step, loss, val_loss, rate, norm, tokens / took, self.seconds, self.bits_per_nat))
                log.flush()
                self._show(display, loss, took, tokens / took)
                overfitting = watch.add(self.step, loss, val_loss)
                if val_loss is not None:
                    self._report(display, loss, val_loss, tokens / took)
                if overfitting:
                    display.say(f"{overfitting}. What helps: {self.AGAINST_OVERFITTING}. The folder keeps the best model.")
                if leads and self._sample_due(val_loss is not None):
                    self._sample(display)
                if val_loss is not None or stopped or self.trained - saved >= SAVE_EVERY:
                    self.save()
                    saved = self.trained
                if stopped and not self._finished():
                    display.say(f"stopped after step {self.step}; --resume goes on from here")
                    self.group.wait()       # a signal at one that has left would end the one that still writes
                    return 128 + stopped
            self.group.wait()
        return 0

    def _terms(self) -> str:
        """What all processes must have alike."""
        return f"{self.data_fingerprint} {self.model.config} {self.recipe} {self.model.dtype} {self.step}"

    def _agree(self, stop: Sequence[int]) -> int | None:
        """Take over the clock of the process that leads, so that all decide alike -> a signal that one of them has got."""
        leads = self.group.leads
        noted = [bool(stop) and stop[0] == number for number in STOPPING]
        self.seconds, self.trained, *counts = self.group.total(leads * self.seconds, leads * self.trained, *noted)
        return next((number for number, count in zip(STOPPING, counts, strict=True) if count), None)

    def _evaluation_due(self, eighth: int) -> bool:
        """Whether to evaluate after this step, where the last evaluation was in this eighth of the run."""
        every = self.recipe.eval_interval
        return (self._eighth() > eighth if every is None else self.step % every == 0) or self._finished()

    def _eighth(self) -> int:
        return int(EVALUATIONS * self._progress())

    def evaluate(self) -> float:
        """Mean loss over every target of the validation split, in nats.  Raises FloatingPointError where it is not finite."""
        total = count = 0.0
        for inputs, targets in islice(self._validation(), self.group.rank, None, self.group.size):
            n = int(np.count_nonzero(targets != IGNORED))
            try:
                total += self.model.loss(inputs, targets) * n
            except FloatingPointError as error:
                raise FloatingPointError(f"after step {self.step}: validation {error}; lower the learning rate") from None
            count += n
        total, count = self.group.total(total, count)
        return total / count

    def save(self) -> Path | None:
        """Write a checkpoint of this moment -> its path, or None where another process writes it.

        Raises CheckpointError where it cannot be written.
        """
        if self.muon is not None:
            self.muon.gather()
        if not self.group.leads:
            return None
        metadata = {
            "version": __version__, "trainer": type(self).__name__, "seconds": self.seconds, "trained": self.trained,
            "best": self.best, "position": self.batches.position, "config": self.model.config.to_dict(),
            "recipe": asdict(self.recipe),
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
            for name in sorted(self.model.frozen):
                self.model.params[name][...] = saved.arrays[f"frozen.{name}"]
            for prefix, optimizer in (("adamw", self.adamw), ("muon", self.muon)):
                if optimizer is not None:
                    start = len(prefix) + 1
                    optimizer.load_state({k[start:]: v for k, v in saved.arrays.items() if k.startswith(prefix + ".")})

        self.model.lock.write(load)
        self.step, self.seconds, self.best = saved.step, facts["seconds"], facts["best"]
        self.trained = self.seconds if facts["trained"] is None else facts["trained"]
        self.sampled, self._samples_size = facts["sampled"], facts["samples_size"]
        self.batches.position = facts["position"]

    # What other data, objectives and models have otherwise: finetune.py, objectives.py

    def _check_causal(self) -> None:
        """Refuse a model whose positions see what this trainer asks for."""
        self.model.config.require_causal(type(self).__name__)

    def _read(self, ids: Any) -> Any:
        """The batches to train on; the rest is kept for validation."""
        n_positions = self.model.config.n_positions
        train_ids, validation_ids = split(ids)
        self.val_ids = spread(validation_ids) if isinstance(ids, TokenFile) else validation_ids
        if ids.max() >= self.model.config.vocab_size:
            raise ValueError(f"ids: up to {ids.max()}, expected below vocab_size {self.model.config.vocab_size}")
        if len(self.val_ids) <= n_positions:
            raise ValueError(
                f"{shown_source(self.data_source) or 'ids'}: {len(ids)} tokens leave {len(self.val_ids)} for validation, "
                f"expected more than n_positions {n_positions}; use a longer text or a smaller --context"
            )
        return Batches(train_ids, self.recipe.batch_size, n_positions, self.recipe.seed, self.recipe.order)

    def _validation(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Inputs and targets (B, T) that cover the validation split in windows of n_positions tokens"""
        return windows(self.val_ids, self.model.config.n_positions, self.recipe.batch_size)

    def _bits_per_nat(self) -> float | None:
        """How a loss in nats per token becomes bits per byte, which compare whatever the tokens are.

            bits per byte = nats per token · tokens/bytes / ln 2        over the targets of the validation split
        """
        if self.tokenizer is None:
            return None
        ids, counts = np.unique(self.val_ids[1:], return_counts=True)
        n_bytes = sum(n * len(self.tokenizer.token_bytes(id)) for id, n in zip(ids.tolist(), counts.tolist(), strict=True))
        return (len(self.val_ids) - 1) / n_bytes / math.log(2) if n_bytes else None

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
            group=self.group,
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
            return self.trained / (60 * self.recipe.minutes)
        return self.step / (self.recipe.steps or 1)

    def _finished(self) -> bool:
        return self._progress() >= 1

    def _note_best(self, val_loss: float) -> None:
        if self.best is None or val_loss < self.best["val_loss"]:
            self.best = {"val_loss": val_loss, "step": self.step, "seconds": self.seconds}
            if self.group.leads:
                self._export()

    # What the user sees

    def _start_log(self) -> list[dict[str, Any]]:
        """log.csv and samples.txt as they were at this step, since a run does again what came after it -> the log's rows"""
        path = self.folder / "log.csv"
        text, rows = log_until(path, self.step)
        write_atomic(path, text.encode("utf-8"))
        samples = self.folder / "samples.txt"
        if self._samples_size is not None and samples.exists():
            write_atomic(samples, samples.read_bytes()[: self._samples_size])
        return rows

    def _display(self) -> Display:
        quiet = self.quiet or not self.group.leads
        if self.recipe.minutes is not None:
            return Display(round(60 * self.recipe.minutes), round(self.trained), "s", quiet, self.clock)
        return Display(self.recipe.steps or 0, self.step, "step", quiet, self.clock)

    def _show(self, display: Display, loss: float, took: float, speed: float) -> None:
        done = self.step if self.recipe.minutes is None else min(round(60 * self.recipe.minutes), round(self.trained))
        display.show(done, took, f"loss {loss:.3f}{self._bits(loss, ', {:.2f} bits/byte')}, {speed / 1000:.1f}k tokens/s")

    def _report(self, display: Display, loss: float, val_loss: float, speed: float) -> None:
        mark = "  best so far" if self.best is not None and self.best["step"] == self.step else ""
        display.say(f"step {self.step:5}  {self.seconds:6.1f} s  train {loss:.3f}  validation {val_loss:.4f}"
                    f"{self._bits(val_loss, ' ({:.3f} bits per byte)')}  {speed:,.0f} tokens/s{mark}")

    def _bits(self, loss: float, form: str) -> str:
        """A loss in bits per byte, as text; "" where it has none."""
        return "" if self.bits_per_nat is None else form.format(loss * self.bits_per_nat)

    def _sample_due(self, evaluated: bool) -> bool:
        if self.recipe.eval_interval is None and (self.recipe.steps or SAMPLED_STEPS) < SAMPLED_STEPS:
            evaluated = self._finished()
        return self.recipe.sample_tokens > 0 and (evaluated or (not self.sampled and self.seconds > FIRST_SAMPLE))

    def _sample(self, display: Display) -> None:
        """Show a text by the model as it is now, or after the last step by the best one, which the folder keeps."""
        self.sampled = True
        model, step, of = self.model, self.step, f"sample after step {self.step}"
        if self._finished() and self.best is not None and self.best["step"] != step:
            model, step = GPT.from_pretrained(self.folder, threads=model.pool.threads), self.best["step"]
            of = f"sample of the best model, that of step {step}"
        text = sample_text(model, self.tokenizer, self.recipe.sample_tokens, seed=[self.recipe.seed, step])
        display.say(f"--- {of} ({self.seconds:.0f} s) ---\n{text}\n---")
        if "\ufffd" in text and isinstance(self.tokenizer, Tokenizer) and not self._has_said_incomplete:
            display.say(INCOMPLETE)
            self._has_said_incomplete = True
        with open(self.folder / "samples.txt", "a", encoding="utf-8", newline="") as file:
            file.write(f"--- step {step} ---\n{text}\n")
            self._samples_size = file.tell()


def sample_text(model: GPT, tokenizer: Tokenizer | CharTokenizer, n_tokens: int, seed: int | Sequence[int] | None) -> str:
    """Text that begins with a line feed, or with the vocabulary's first token where it has none."""
    try:
        prompt = tokenizer.encode("\n")
    except ValueError:
        prompt = [0]
    ids = model.generate(prompt, n_tokens, temperature=0.8, seed=seed, sliding_window=True)
    return tokenizer.decode(ids[len(prompt) :])
