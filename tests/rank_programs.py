"""Programs for tests/training/test_distributed.py, which mpiexec starts: python rank_programs.py NAME [ARGUMENT …]"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from minigpt import GPT, GPTConfig
from minigpt.__main__ import main
from minigpt.commands import train as train_command
from minigpt.tokenization import CharTokenizer
from minigpt.training import tasks
from minigpt.training import trainer as loop
from minigpt.training.adapters import add_lora
from minigpt.training.batches import Batches
from minigpt.training.distributed import ranks, starts_first
from minigpt.training.finetune import FineTuner, answered
from minigpt.training.normuon import NorMuon
from minigpt.training.optim import AdamW
from minigpt.training.recipe import Recipe
from minigpt.training.step import training_step
from minigpt.training.trainer import Trainer

TEXT = "the cat sat on the mat; the dog ran to the cat.\n" * 40
SIZES = dict(n_positions=16, n_embd=16, n_layer=3, n_head=2, embd_pdrop=0.1, attn_pdrop=0.1, resid_pdrop=0.1)


def steps(group, n_steps, threads, textbook=""):
    """What comes of steps in float64, with all that depends on rows: dropout, accumulation, targets that do not count"""
    ids = np.random.default_rng(0).integers(0, 50, 5000)
    model = GPT(GPTConfig(vocab_size=50, **SIZES), seed=0, dtype=np.float64, threads=int(threads), fast=not textbook)
    batches = Batches(ids, 7, 16, seed=1)
    read = batches.next

    def uneven():
        inputs, targets = read()
        targets[: 3 + batches.position % 3, ::2] = -100
        if batches.position % 5 == 0:
            targets[:4] = -100          # all that one of the processes reads
        return inputs, targets

    batches.next = uneven
    muon = NorMuon(model, group=group)
    adamw = AdamW(model, start=muon.stop)
    found = []
    for _ in range(int(n_steps)):
        found.append(training_step(model, batches, adamw, 1e-3, clip=1.0, seed=3, when="", muon=muon, muon_lr=0.01,
                                   accumulate=2, group=group))
        group.check_equal(model.flat_params, "parameters")
    muon.gather()
    return {"steps": np.array(found), "params": model.flat_params, **muon.state()}


def write_steps(out, *arguments):
    group = ranks(timeout=60)
    found = steps(group, *arguments)
    if group.leads:
        np.savez(out, **found)


def trainer_of(group, folder, n_steps, **recipe):
    tokenizer = CharTokenizer.train(TEXT)
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **SIZES), seed=0, threads=1)
    recipe = Recipe(**{"steps": int(n_steps), "batch_size": 6, "eval_interval": 4, "sample_tokens": 8, **recipe})
    return Trainer(model, tokenizer, tokenizer.encode_array(TEXT), recipe, folder, group=group)


def resume(folder):
    tokenizer = CharTokenizer.train(TEXT)
    return Trainer.resume(folder, tokenizer.encode_array(TEXT), group=ranks(timeout=60)).run()


def disturbed(what, folder, n_steps=1000):
    """Rank 1 goes wrong at step 6, between two checkpoints"""
    group = ranks(timeout=3 if what == "hangs" else 60)
    loop.EQUAL_EVERY = 8
    trainer = trainer_of(group, Path(folder), n_steps)
    update = trainer.update
    if what == "raises outside" and group.rank == 1:
        raise ValueError("no such luck")

    def step():
        if trainer.step == 6 and group.rank == 1:
            if what == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "hangs":
                time.sleep(600)
            if what == "raises":
                raise ValueError("no such luck")
            if what == "differs":
                trainer.model.flat_params[-5] += 1e-3       # what AdamW updates: Muon's matrices come from their owner
            if what in ("SIGTERM", "SIGINT", "SIGUSR1"):
                os.kill(os.getpid(), getattr(signal, what))
        return update()

    trainer.update = step
    return trainer.run()


def tune(folder):
    """Fine-tuning with LoRA, of two bases that differ in what does not learn"""
    group = ranks(timeout=60)
    tokenizer = CharTokenizer.train(TEXT)
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **SIZES), seed=0, threads=1)
    add_lora(model, rank=2)
    model.params["h.1.mlp.c_fc.weight"][1, 2] += group.rank
    examples = [answered(tokenizer.encode("the cat"), tokenizer.encode(" sat"[: 1 + i % 4])) for i in range(24)]
    recipe = Recipe(steps=6, batch_size=5, eval_interval=3, optimizer="adamw")
    return FineTuner(model, tokenizer, (examples[:16], examples[16:]), recipe, folder, group=group).run()


def commands(*arguments):
    """Command lines, one after the other, with "then" between them and between what they print: the status of the last"""
    tasks.TASKS["dates"] = lambda seed: tasks.dates(40, 6, 5, seed)
    while "then" in arguments:
        end = arguments.index("then")
        assert main(list(arguments[:end])) == 0
        if starts_first():
            print("then", flush=True)
        arguments = arguments[end + 1 :]
    return main(list(arguments))


def stopped(where, rank, name, *arguments):
    """A signal comes to one of two ranks, or for "mpiexec" from outside, before the first step or after the last"""
    def wait(*_):
        print("here", flush=True)
        time.sleep(600)

    def signaled(call):
        def then_signaled(*args):
            result = call(*args)
            if rank == ("0" if starts_first() else "1"):
                os.kill(os.getpid(), getattr(signal, name))
            return result

        return then_signaled

    if where == "start":
        train_command.threads_of, train_command.open_text = signaled(train_command.threads_of), wait
    else:
        Trainer.run, train_command._summarize = signaled(Trainer.run), wait
    return main(list(arguments))


def reads_long():
    """Each of two ranks reads its files for longer than anybody waits for anything else"""
    group = ranks(timeout=60)
    group.wait()
    group.timeout = 0.01
    read = group.first(lambda: time.sleep(0.2) or "read")
    group.timeout = 60
    print(read, flush=True)
    return 0


def absent():
    """A rank that ends before MPI has started"""
    if starts_first():
        ranks(timeout=2)
    return 0


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
