#!/usr/bin/env bash
# One step of torch.optim.Muon in PyTorch 2.13.0, for a parameter in float32 and one in float64.
#
# Guessed before: the update is computed in the parameter's type, as AdamW's is; bfloat16 is for GPUs, or asked for.
# Seen: whatever the type, the matrix is orthogonalized in bfloat16.  Each number of the update has 8 significant bits, and is off
# by more than half a percent of the largest, in float64 too: a gradient check or a comparison of loss curves against
# torch's Muon can agree to two digits at best.
#
# minigpt's Muon computes in the parameter's type; its tests compare with the same five Newton–Schulz steps in float64, not with
# torch (tests/training/test_optim.py).
#
# Usage: findings/torch_muon_in_bfloat16.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.2.6"
"$folder/venv/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)
for dtype in (torch.float32, torch.float64):
    torch.manual_seed(0)
    gradient = torch.randn(8, 8, dtype=dtype)
    weight = torch.nn.Parameter(torch.zeros(8, 8, dtype=dtype))
    optimizer = torch.optim.Muon([weight], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False)
    weight.grad = gradient.clone()
    optimizer.step()
    update = -weight.detach().double()
    exact = gradient.double() / gradient.double().norm()
    a, b, c = optimizer.defaults["ns_coefficients"]
    for _ in range(optimizer.defaults["ns_steps"]):
        square = exact @ exact.T
        exact = a * exact + (b * square + c * square @ square) @ exact
    short = update.bfloat16().double().equal(update)
    error = ((update - exact).abs().max() / exact.abs().max()).item()
    print(f"{dtype}: the update is exactly representable in bfloat16: {short}; off by {100 * error:.1f} % of the largest number")
    assert short and 0.005 < error < 0.05, "changed"
PYTHON
