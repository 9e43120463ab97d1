#!/usr/bin/env bash
# Averages that PyTorch 2.13.0 keeps in bfloat16 for a model in bfloat16: AveragedModel's and the second moment of AdamW.
#
# Guessed before: an average of weights or of squared gradients is kept in float32, or is at least good to bfloat16's two or
# three digits; after 7,000 steps a decay of 0.999 has forgotten all but a thousandth of what was.
# Seen: they are bfloat16, and 0.1 % of a number is less than half its last digit, so the product with 0.999 is the number
# itself.  The second moment grows and never falls: ten gradients of 1 at the beginning, then 7,000 of 0.01, and AdamW's
# steps are a tenth of what they are in float32, for good.  The moving average with decay 0.999 of weights that went from 1
# to 2 is 1 after 3,000 steps.  AveragedModel's plain mean of a thousand times 1 and a thousand times 3 is 1.
#
# Keep float32 weights, and autocast the forward pass; beta2 = 0.99 works in bfloat16.
#
# Usage: findings/torch_averages_in_bfloat16_stand_still.sh        needs Python 3.11 or newer, PyPI; fails if changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

print("torch", torch.__version__)
torch.set_num_threads(1)
TYPES = torch.float32, torch.bfloat16


def adamw(dtype):
    """The second moment and the size of a step, in learning rates, 7,000 steps after ten large gradients"""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=dtype))
    optimizer = torch.optim.AdamW([weight], lr=0.001, weight_decay=0)
    for step in range(7010):
        weight.grad = torch.full_like(weight, 1 if step < 10 else 0.01)
        optimizer.step()
    state = optimizer.state[weight]
    return state["exp_avg_sq"].item(), (state["exp_avg"] / state["exp_avg_sq"].sqrt()).item()


def averaged(dtype, before, after, steps, **settings):
    """The average of a weight that is `before` at first, then `after`"""
    model = torch.nn.Linear(1, 1, bias=False, dtype=dtype)
    average = AveragedModel(model, **settings)
    for value, count in ((before, steps[0]), (after, steps[1])):
        torch.nn.init.constant_(model.weight, value)
        for _ in range(count):
            average.update_parameters(model)
    return average.module.weight.item()


moments = {dtype: adamw(dtype) for dtype in TYPES}
for dtype, (second, size) in moments.items():
    print(f"AdamW in {dtype}: second moment {second:.2g} of gradients 0.01, steps of {size:.2f} learning rates")
assert moments[torch.float32][1] > 0.9 and moments[torch.bfloat16][1] < 0.12, "changed"
moving = {dtype: averaged(dtype, 1, 2, (1, 3000), multi_avg_fn=get_ema_multi_avg_fn(0.999)) for dtype in TYPES}
mean = {dtype: averaged(dtype, 1, 3, (1000, 1000)) for dtype in TYPES}
for dtype in TYPES:
    print(f"AveragedModel in {dtype}: moving average {moving[dtype]:.3f}, mean of 1s and 3s {mean[dtype]:.3f}")
assert moving[torch.float32] > 1.9 and abs(mean[torch.float32] - 2) < 1e-3, "changed"
assert moving[torch.bfloat16] == 1 and mean[torch.bfloat16] == 1, "changed"
PYTHON
