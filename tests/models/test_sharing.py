"""One model, several Python threads: each gets what it would get alone, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.models.network import MOST_LANES
from minigpt.training.optim import AdamW

CONFIG = GPTConfig(vocab_size=11, n_positions=16, n_embd=16, n_layer=2, n_head=2)
IDS = np.arange(64).reshape(4, 16) % 11
CALLS = {
    "logits": lambda model: model(IDS),
    "loss": lambda model: model.loss(IDS, IDS),
    "gradients": lambda model: model.loss_and_grads(IDS, IDS)[0],
    "generate": lambda model: model.generate(IDS[:, :5], 6, seed=1),
    "score": lambda model: model.score(IDS[0]).logprobs,
    "trace": lambda model: model.trace(IDS, IDS)["h.1.attn.att"].grad,
    "run": lambda model: model.run(IDS, edits={"h.0.mlp.out": 0})["logits"].value,
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_eight_threads_get_what_each_gets_alone(threads, fast):
    model = GPT(CONFIG, threads=threads, fast=fast)
    alone = {name: call(model) for name, call in CALLS.items()}
    gradients = model.flat_grads.copy()
    names = [*CALLS] * 12
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: CALLS[name](model), names, timeout=120))
    for name, value in zip(names, found, strict=True):
        np.testing.assert_array_equal(value, alone[name], err_msg=name)
    np.testing.assert_array_equal(model.flat_grads, gradients)


def test_passes_without_gradients_run_at_the_same_time_and_not_more_than_there_are_lanes(monkeypatch):
    model = GPT(CONFIG, threads=1)
    meeting = threading.Barrier(2, timeout=20)          # neither pass goes on before the other has begun
    forward = GPT.forward

    def met(self, *args, **options):
        meeting.wait()
        return forward(self, *args, **options)

    monkeypatch.setattr(GPT, "forward", met)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: model.loss(IDS, IDS), range(8), timeout=60))
    assert 2 <= len(model._lanes) <= MOST_LANES


def test_training_goes_on_beside_readers_who_see_whole_steps_only():
    model = GPT(CONFIG, threads=2)
    adamw = AdamW(model)
    losses, stop = {model.loss(IDS, IDS)}, threading.Event()

    def read():
        seen = set()
        while not stop.is_set():
            seen.add(model.loss(IDS, IDS))
        return seen

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for _ in range(20):
            model.loss_and_grads(IDS, IDS)
            adamw.step(1e-2)
            losses.add(model.loss(IDS, IDS))
        stop.set()
        seen = set.union(*(reader.result(60) for reader in readers))
    assert seen <= losses


def test_a_function_that_looks_inside_a_pass_may_read_the_model_but_not_train_it():
    model = GPT(CONFIG, threads=2)
    loss = model.loss(IDS, IDS)
    seen = []

    def read(array):
        seen.append(model.loss(IDS, IDS))
        return array

    def train(array):
        model.loss_and_grads(IDS, IDS)

    model.run(IDS, edits={"h.0.mlp.out": read})
    assert seen == [loss]
    with pytest.raises(RuntimeError, match="train afterwards"):
        model.run(IDS, edits={"h.0.mlp.out": train})
    assert model.loss_and_grads(IDS, IDS)[0] == loss
