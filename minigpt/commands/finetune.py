"""The command `finetune`: learn a task by several methods, and compare them with baselines in a table."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..inputs import require_tokenizer
from ..models.classifier import Classifier
from ..models.gpt import GPT
from ..system.text import for_terminal, printable
from ..training import checkpoint, tasks
from ..training.adapters import add_lora, train_head, with_characters
from ..training.distributed import Alone
from ..training.finetune import Example, FineTuner, answered, answers, labeled
from ..training.recipe import Recipe
from ..training.tasks import Pairs, Task, accuracy, bag_of_words, majority
from .common import command_parser, exit_status
from .processes import add_mpi, on_processes, threads_of

# Optimizer settings by method: train a new model of the same size; or of the given model everything, adapters, the head
METHODS: dict[str, dict[str, Any]] = {
    "scratch": dict(optimizer="muon", lr=4e-3, muon_lr=0.014),
    "whole": dict(optimizer="muon", lr=2e-3, muon_lr=0.01),
    "lora": dict(optimizer="adamw", lr=4e-3),
    "head": dict(optimizer="adamw", lr=1e-2),
}
LORA_ON_TEXTS = 1e-2        # learning rate of adapters where the answers are texts; 4e-3 is too low for dates
SCHEDULES: dict[str, dict[str, Any]] = {
    "chapters": dict(steps=240, batch_size=16),
    "dates": dict(steps=160, batch_size=32),
    "speakers": dict(steps=160, batch_size=16),
}


class ResultRow(NamedTuple):
    """One row of the table"""

    name: str
    n_trained: int          # trained parameters
    accuracy: float         # share of the test examples answered correctly
    seconds: float


def main(argv: list[str] | None = None) -> int:
    """Learn a task.  Returns the exit status: 0, 1 after an error, 130 or 143 when stopped by a signal."""
    return exit_status(_finetune, _parser(), argv, goes_on=lambda args: True)


def _parser() -> argparse.ArgumentParser:
    steps = ", ".join(f"{task} {schedule['steps']}" for task, schedule in SCHEDULES.items())
    parser = command_parser(
        "minigpt finetune",
        "Fine-tune a model on a task by several methods, and compare them with baselines on unseen examples.",
        "python -m minigpt finetune dates", "python -m minigpt finetune chapters --ways lora head --rank 4 --steps 100",
        notes="tasks:\n"
        "  chapters   a line of Python's documentation -> its chapter; the text comes with Python\n"
        "  dates      a date in words -> ISO 8601: the third of March 1999 -> 1999-03-03\n"
        "  speakers   a line of a play -> who says it; needs --data, a file such as Tiny Shakespeare\n\n"
        "methods:\n"
        "  scratch    train all parameters of a new model of the same size\n"
        "  whole      train all parameters of the model\n"
        "  lora       freeze the model; train low-rank adapters of its matrices, the embedding and the head\n"
        "  head       freeze the model; train a linear classifier on its last output",
    )
    parser.add_argument("task", choices=tuple(tasks.TASKS), metavar="TASK", help="one of those below")
    parser.add_argument("--data", metavar="FILE", help="the play, for speakers (default: none, for the others)")
    parser.add_argument("--model", default="shakespeare-char", metavar="FOLDER",
                        help="the model to start from: a folder or a name")
    parser.add_argument("--ways", nargs="+", choices=tuple(METHODS), metavar="METHOD", help="of those below (default: all)")
    parser.add_argument("--steps", type=int, metavar="N", help=f"weight updates for each method (default: {steps})")
    parser.add_argument("--lora", nargs="+", default=["h.*"], metavar="NAME",
                        help="the matrices that get adapters, such as h.*.attn.c_attn; wte is trained too (default: h.*, all)")
    parser.add_argument("--rank", type=int, default=8, metavar="R", help="rank of the adapters")
    parser.add_argument("--alpha", type=float, default=16, metavar="A", help="the adapters are scaled by A/R")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of splits, new weights and batches")
    add_mpi(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="CPU cores to use (default: all)")
    parser.add_argument("--out", metavar="FOLDER", help="folder of the runs (default: out/finetune-TASK)")
    parser.add_argument("--resume", action="store_true", help="continue the runs in --out")
    return parser


def _finetune(args: argparse.Namespace) -> int:
    return on_processes(partial(_finetune_on, args), args.mpi, args.mpi_timeout)


def _finetune_on(args: argparse.Namespace, group: Alone) -> int:
    start = time.perf_counter()
    args.threads = threads_of(group, args.threads)
    out = Path(args.out or f"out/finetune-{args.task}")
    task = group.first(partial(_task, args))
    print(for_terminal(f"{task.note}; for example"))
    for x, y in task.test[:3]:
        print(for_terminal(f"  {x}  ->  {y}"))
    methods = args.ways or [method for method in METHODS if task.labels or method != "head"]
    if "head" in methods and not task.labels:
        raise ValueError(f"--ways: head with the task {task.name}, expected other methods; its answers are texts, not labels")
    base = group.first(partial(_base, args, task))
    if "lora" in methods:       # a wrong flag must fail now, not after the other methods have run
        add_lora(_copy(base), args.lora, args.rank, args.alpha, args.seed)
    rows: list[ResultRow] = []
    print("the baselines: the commonest answer, and a bag of words, trained to its end", flush=True)
    for name, baseline in (("the commonest answer", majority), ("bag of words", bag_of_words)):
        began = time.perf_counter()
        share = accuracy(baseline(task), task.test)
        rows.append(ResultRow(name, 0, share, time.perf_counter() - began))
    names = {"scratch": "all of a new model", "whole": f"all of {args.model}", "lora": f"{args.model} with LoRA",
             "head": f"the head of {args.model}"}
    for method in methods:
        tuner = _tuner(method, base, task, args, out / method, group)
        n_trained = tuner.model.flat_params.size
        print(f"{printable(names[method])}: training {n_trained:,} parameters", flush=True)
        if status := tuner.run():
            return status
        share = _test_accuracy(task, tuner.folder, args.threads, group)
        rows.append(ResultRow(names[method], n_trained, share, tuner.seconds))
    print(for_terminal(_table(task, rows)))
    default = SCHEDULES[task.name]["steps"]
    is_behind = any(row.n_trained and row.accuracy < rows[1].accuracy for row in rows)
    if is_behind and args.steps is not None and args.steps < default:
        print(f"--steps {args.steps} is a short run, in which the bag of words, trained to its end, may still be ahead; the "
              f"default is {default}")
    print(f"wrote the models, checkpoints and logs to {printable(out)}{os.sep}, {time.perf_counter() - start:.0f} s")
    return 0


def _task(args: argparse.Namespace) -> Task:
    if (args.task == "speakers") != (args.data is not None):
        raise ValueError(f"--data: {args.data or 'absent'} with the task {args.task}, expected a play, and only for speakers")
    make: Callable[..., Task] = tasks.TASKS[args.task]
    return make(args.data, seed=args.seed) if args.data else make(seed=args.seed)


def _base(args: argparse.Namespace, task: Task) -> GPT:
    """The model to start from, extended by a token for every character of the task"""
    model = GPT.from_pretrained(args.model, threads=args.threads)
    try:
        return with_characters(model, _characters(task), args.seed)
    except TypeError as error:                      # a tokenizer of another kind
        raise ValueError(f"--model: {error}") from None


def _characters(task: Task) -> str:
    """Every character of the task's texts, and the line feed that ends each question and answer"""
    return "\n" + "".join(text for part in (task.train, task.validation, task.test) for pair in part for text in pair)


def _tuner(method: str, base: GPT, task: Task, args: argparse.Namespace, folder: Path, group: Alone) -> FineTuner:
    """The run of one method, new or resumed"""
    examples = _examples(task, task.train, base), _examples(task, task.validation, base)
    if args.resume and checkpoint.exists(folder):
        changes = {} if args.steps is None else {"steps": args.steps}
        return FineTuner.resume(folder, examples, threads=args.threads, group=group, **changes)
    if method == "scratch":
        tokenizer, base = base.tokenizer, GPT(base.config, args.seed, base.dtype, args.threads)
        base.tokenizer = tokenizer
    model = Classifier.from_model(base, task.labels, args.seed) if task.labels else _copy(base)
    if method == "head":
        train_head(model)
    elif method == "lora":
        add_lora(model, args.lora, args.rank, args.alpha, args.seed, also=["wte.weight"])     # wte has rows for new characters
    recipe = Recipe(**SCHEDULES[task.name], **METHODS[method], seed=args.seed)
    if method == "lora" and task.labels is None:
        recipe = replace(recipe, lr=LORA_ON_TEXTS)
    if args.steps is not None:
        recipe = replace(recipe, steps=args.steps)
    return FineTuner(model, base.tokenizer, examples, recipe, folder, task.name, group=group)


def _copy(model: GPT) -> GPT:
    copy = GPT(model.config, None, model.dtype, model.pool.threads)
    copy.flat_params[...] = model.flat_params
    return copy


def _examples(task: Task, pairs: Pairs, model: GPT) -> list[Example]:
    encode = require_tokenizer(model).encode
    if task.labels:
        return [labeled(encode(x), task.labels.index(y)) for x, y in pairs]
    return [answered(encode(x + "\n"), encode(y + "\n")) for x, y in pairs]


def _test_accuracy(task: Task, folder: Path, threads: int | None, group: Alone) -> float:
    """The share of the test questions that a run's best model answers right; each process asks it a part of them"""
    part = task.test[group.rows(len(task.test))]
    (right,) = group.total(sum(a == y for a, (_, y) in zip(_answers(task, part, folder, threads), part, strict=True)))
    return right / len(task.test)


def _answers(task: Task, part: Pairs, folder: Path, threads: int | None) -> list[str]:
    questions = [x for x, _ in part]
    if task.labels:
        return Classifier.from_pretrained(folder, threads=threads).predict(questions)
    longest = max(len(y) for _, y in task.train) + 1
    return answers(GPT.from_pretrained(folder, threads=threads), [x + "\n" for x in questions], longest)


def _table(task: Task, rows: list[ResultRow]) -> str:
    width = max(len(row.name) for row in rows)
    lines = [f"{task.name}: {len(task.test)} test answers", f"{'':{width}}  {'trained':>9}  {'right':>6}  {'time':>6}"]
    for row in rows:
        n_trained = f"{row.n_trained:,}" if row.n_trained else ""
        lines.append(f"{row.name:{width}}  {n_trained:>9}  {100 * row.accuracy:5.1f}%  {row.seconds:4.0f} s")
    return "\n".join(lines)
