"""The command line of fine-tuning: a task learned in several ways, and a table of them beside its baselines."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..generation.streaming import tokenizer_of
from ..models.classifier import Classifier
from ..models.gpt import GPT
from ..training import checkpoint, tasks
from ..training.adapters import add_lora, train_head, with_characters
from ..training.finetune import Example, FineTuner, answered, answers, labeled
from ..training.recipe import Recipe
from ..training.tasks import Pairs, Task, accuracy, bag_of_words, majority
from .common import exit_status

# What learns, by the name of its row: a new model of the same sizes, or of the model that is given all, adapters, the head
METHODS: dict[str, dict[str, Any]] = {
    "scratch": dict(optimizer="muon", lr=4e-3, muon_lr=0.014),
    "whole": dict(optimizer="muon", lr=2e-3, muon_lr=0.01),
    "lora": dict(optimizer="adamw", lr=4e-3),
    "head": dict(optimizer="adamw", lr=1e-2),
}
LORA_ON_TEXTS = 1e-2        # the learning rate of adapters where answers are texts: at 4e-3 a third as many dates are right
SIZES: dict[str, dict[str, Any]] = {
    "chapters": dict(steps=240, batch_size=16),
    "dates": dict(steps=160, batch_size=32),
    "speakers": dict(steps=160, batch_size=16),
}


class Row(NamedTuple):
    """A line of the table"""

    name: str
    learning: int           # parameters
    right: float            # the share of test answers that are right
    seconds: float


def main(argv=None) -> int:
    """Learn a task as the flags say. Returns the exit status: 0, 1 after an error, 130 or 143 when stopped by a signal."""
    return exit_status(_finetune, _parser(), argv)


def _parser():
    parser = argparse.ArgumentParser(
        prog="finetune", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Fine-tune a model on a task in several ways, and compare them with baselines on examples never seen.",
        epilog="tasks:\n"
        "  chapters   a line of Python's documentation -> its chapter; comes with every Python\n"
        "  dates      a date in words -> ISO 8601: the third of March 1999 -> 1999-03-03\n"
        "  speakers   a line of a play -> who says it; needs --data, a file such as Tiny Shakespeare\n"
        "ways:\n"
        "  scratch    a new model of the same sizes, all of it\n"
        "  whole      the model, all of it\n"
        "  lora       the model stays, adapters of low rank beside its matrices learn, with the embedding and the head\n"
        "  head       the model stays, a linear classifier of its last output learns",
    )
    parser.add_argument("task", choices=tuple(tasks.TASKS), metavar="TASK", help="one of those below")
    parser.add_argument("--data", metavar="FILE", help="the play, for speakers")
    parser.add_argument("--model", default="shakespeare-char", metavar="FOLDER",
                        help="a folder or the name of the model to start from (default shakespeare-char)")
    parser.add_argument("--ways", nargs="+", choices=tuple(METHODS), metavar="WAY", help="of those below (default: all)")
    parser.add_argument("--steps", type=int, metavar="N", help="updates for each way")
    parser.add_argument("--lora", nargs="+", default=["h.*"], metavar="NAME",
                        help="the matrices that get adapters, such as h.*.attn.c_attn (default: h.*, all); wte learns too")
    parser.add_argument("--rank", type=int, default=8, metavar="R", help="of the adapters (default 8)")
    parser.add_argument("--alpha", type=float, default=16, metavar="A", help="their weight is A/R (default 16)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of splits, new weights and batches (default 0)")
    parser.add_argument("--threads", type=int, metavar="N", help="cores to use (default: all)")
    parser.add_argument("--out", metavar="FOLDER", help="where the runs are kept (default out/finetune-TASK)")
    parser.add_argument("--resume", action="store_true", help="go on with the runs in --out")
    return parser


def _finetune(args) -> int:
    start = time.perf_counter()
    out = Path(args.out or f"out/finetune-{args.task}")
    task = _task(args)
    print(f"{task.note}; for example")
    for x, y in task.test[:3]:
        print(f"  {x}  ->  {y}")
    ways = args.ways or [way for way in METHODS if task.labels or way != "head"]
    if "head" in ways and not task.labels:
        raise ValueError(f"--ways: head with the task {task.name}, expected others; its answers are texts, not labels")
    base = _base(args, task)
    if "lora" in ways:
        add_lora(_copy(base), args.lora, args.rank, args.alpha, args.seed)      # a wrong flag is to fail now, not at its turn
    rows = []
    for name, baseline in (("the commonest answer", majority), ("bag of words", bag_of_words)):
        began = time.perf_counter()
        right = accuracy(baseline(task), task.test)
        rows.append(Row(name, 0, right, time.perf_counter() - began))
    names = {"scratch": "all of a new model", "whole": f"all of {args.model}", "lora": f"{args.model} with LoRA",
             "head": f"the head of {args.model}"}
    for way in ways:
        tuner = _tuner(way, base, task, args, out / way)
        learning = tuner.model.flat_params.size
        print(f"{names[way]}: {learning:,} parameters learn", flush=True)
        if status := tuner.run():
            return status
        rows.append(Row(names[way], learning, accuracy(_answers(task, tuner.folder, args.threads), task.test), tuner.seconds))
    print(_table(task, rows))
    print(f"wrote the models, their checkpoints and log.csv in {out}{os.sep}, {time.perf_counter() - start:.0f} s")
    return 0


def _task(args) -> Task:
    if (args.task == "speakers") != (args.data is not None):
        raise ValueError(f"--data: {args.data or 'absent'} with the task {args.task}, expected a play for speakers alone")
    make: Callable[..., Task] = tasks.TASKS[args.task]
    return make(args.data, seed=args.seed) if args.data else make(seed=args.seed)


def _base(args, task: Task) -> GPT:
    """The model to start from, with a token for every character of the task"""
    model = GPT.from_pretrained(args.model, threads=args.threads)
    try:
        return with_characters(model, _characters(task), args.seed)
    except TypeError as error:                      # a tokenizer of another kind
        raise ValueError(f"--model: {error}") from None


def _characters(task: Task) -> str:
    """Every character of the task's texts; a line feed ends a question and an answer"""
    return "\n" + "".join(text for part in (task.train, task.validation, task.test) for pair in part for text in pair)


def _tuner(way, base: GPT, task: Task, args, folder: Path) -> FineTuner:
    """The run of one way of learning, new or where it stopped"""
    examples = _examples(task, task.train, base), _examples(task, task.validation, base)
    if args.resume and checkpoint.exists(folder):
        changes = {} if args.steps is None else {"steps": args.steps}
        return FineTuner.resume(folder, examples, threads=args.threads, **changes)
    if way == "scratch":
        tokenizer, base = base.tokenizer, GPT(base.config, args.seed, base.dtype, args.threads)
        base.tokenizer = tokenizer
    model = Classifier.from_model(base, task.labels, args.seed) if task.labels else _copy(base)
    if way == "head":
        train_head(model)
    elif way == "lora":
        add_lora(model, args.lora, args.rank, args.alpha, args.seed, also=["wte.weight"])     # it has new characters
    recipe = Recipe(**SIZES[task.name], **METHODS[way], eval_interval=80, seed=args.seed)
    if way == "lora" and task.labels is None:
        recipe = replace(recipe, lr=LORA_ON_TEXTS)
    if args.steps is not None:
        recipe = replace(recipe, steps=args.steps)
    return FineTuner(model, base.tokenizer, examples, recipe, folder, task.name)


def _copy(model: GPT) -> GPT:
    copy = GPT(model.config, None, model.dtype, model.pool.threads)
    copy.flat_params[...] = model.flat_params
    return copy


def _examples(task: Task, pairs: Pairs, model: GPT) -> list[Example]:
    encode = tokenizer_of(model).encode
    if task.labels:
        return [labeled(encode(x), task.labels.index(y)) for x, y in pairs]
    return [answered(encode(x + "\n"), encode(y + "\n")) for x, y in pairs]


def _answers(task: Task, folder: Path, threads) -> list[str]:
    """What the best model of a run answers to the test"""
    questions = [x for x, _ in task.test]
    if task.labels:
        return Classifier.from_pretrained(folder, threads=threads).predict(questions)
    longest = max(len(y) for _, y in task.train) + 1
    return answers(GPT.from_pretrained(folder, threads=threads), [x + "\n" for x in questions], longest)


def _table(task: Task, rows: list[Row]) -> str:
    width = max(len(row.name) for row in rows)
    lines = [f"{task.name}: {len(task.test)} test answers", f"{'':{width}}  {'learning':>9}  {'right':>6}  {'time':>6}"]
    for row in rows:
        learning = f"{row.learning:,}" if row.learning else ""
        lines.append(f"{row.name:{width}}  {learning:>9}  {100 * row.right:5.1f}%  {row.seconds:4.0f} s")
    return "\n".join(lines)
