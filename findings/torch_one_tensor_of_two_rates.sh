#!/usr/bin/env bash
# A learning rate that is a tensor, two groups of parameters, and a schedule for each, in PyTorch 2.13.0.
#
# Guessed before: each group has its own learning rate, as with a float; LambdaLR([f, g]) schedules the one by f, the other by g.
# Seen: both groups hold the same tensor, and the scheduler writes into it.  The last group's rate is everybody's: the group
# that should decay from 0.001 stays at 0.0001, or the one that should rest trains on.  No warning; the documentation
# asks for a tensor with fused=True or capturable=True, and that is what is used here.
#
# get_last_lr() shows it.  Give each group a tensor of its own: {"params": …, "lr": torch.tensor(0.001)}.
#
# Usage: findings/torch_one_tensor_of_two_rates.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.2.6"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.optim.lr_scheduler import LambdaLR

print("torch", torch.__version__)


def moved(given):
    """How far the two groups' weights go in three steps, in units of the first learning rate, and the rates at the end"""
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    rates = [{}, {}]
    if given == "a tensor each":
        rates = [{"lr": torch.tensor(0.001)}, {"lr": torch.tensor(0.001)}]
    default = 0.001 if given == "a float" else torch.tensor(0.001)
    optimizer = torch.optim.AdamW(
        [{"params": [w], **rate} for w, rate in zip(weights, rates)], lr=default, weight_decay=0, fused=True
    )
    scheduler = LambdaLR(optimizer, [lambda step: 1.0, lambda step: 0.0])      # the first group trains, the second rests
    for _ in range(3):
        for w in weights:
            w.grad = torch.ones(1)
        optimizer.step()
        scheduler.step()
    return [round(abs(w.item()) / 0.001, 3) for w in weights], [round(float(rate), 6) for rate in scheduler.get_last_lr()]


found = {given: moved(given) for given in ("a float", "one tensor", "a tensor each")}
for given, (steps, rates) in found.items():
    print(f"lr is {given}: the groups have moved by {steps} learning rates, their rates are {rates}")
assert found["a float"] == found["a tensor each"] == ([3.0, 0.0], [0.001, 0.0]), "changed"
assert found["one tensor"] == ([0.0, 0.0], [0.0, 0.0]), "changed"
PYTHON
