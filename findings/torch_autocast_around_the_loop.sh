#!/usr/bin/env bash
# One torch.autocast(…, torch.bfloat16) around a whole training loop, in PyTorch 2.13.0 on the CPU.
#
# Guessed before: the context only chooses types, so it may stand around the loop or around each forward pass; where
# backward and step are inside it too, which the documentation does not recommend, they are slower or less exact.
# Seen: nothing is learned.  The bfloat16 copies of the weights, made in the first forward pass, are used until the context
# ends; step() changes the weights and not the copies.  The loss is the same number in each step, while the float32 weights
# run away by one learning rate a step.  Checkpoints that are loaded one after the other into one model inside one context,
# under torch.no_grad() too, all get the output of the first.
#
# Enter the context for each forward pass, or give cache_enabled=False.
#
# Usage: findings/torch_autocast_around_the_loop.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib

import torch
import torch.nn.functional as F

print("torch", torch.__version__)
torch.set_num_threads(1)
x = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
target = x[:, :1]


def build(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))


def bfloat16(**settings):
    return torch.autocast("cpu", torch.bfloat16, **settings)


def trained(around_loop, around_forward):
    """First and last loss of 100 steps, and how far the weights have gone"""
    model, losses = build(), []
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0)
    with around_loop():
        for _ in range(100):
            with around_forward():
                loss = F.mse_loss(model(x).float(), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    end = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    return losses[0], losses[-1], (end - start).abs().max().item()


nothing = contextlib.nullcontext
found = {
    "each forward pass": trained(nothing, bfloat16), "the loop": trained(bfloat16, nothing),
    "the loop, cache_enabled=False": trained(lambda: bfloat16(cache_enabled=False), nothing),
}
for name, (first, last, distance) in found.items():
    print(f"autocast around {name}: loss {first:.4f} at first, {last:.4f} after 100 steps; weights moved by {distance:.2f}")
assert found["the loop"][0] == found["the loop"][1] and found["the loop"][2] > 0.5, "changed"
assert found["each forward pass"][1] < 0.01 and found["the loop, cache_enabled=False"][1] < 0.01, "changed"

for grad in (True, False):
    for settings in ({}, {"cache_enabled": False}):
        model, losses = build(), []
        with bfloat16(**settings), torch.set_grad_enabled(grad):
            for seed in (0, 1, 2):
                model.load_state_dict(build(seed).state_dict())
                losses.append(round(F.mse_loss(model(x).float(), target).item(), 4))
        print(f"three checkpoints in one context, gradients {grad}, {settings}: losses {losses}")
        assert len(set(losses)) == (3 if settings else 1), "changed"
PYTHON
