#!/usr/bin/env bash
# Perplexity of torchmetrics 1.9.0 against exp of PyTorch 2.13.0's cross_entropy.
#
# Guessed before: it takes the logits' log-softmax, so the two are equal, to the logits' precision, however unlikely a token
# is.
# Seen: it takes softmax, then the logarithm.  In float16 a probability below 3e-8 is 0, and one token with a loss above 17
# makes the perplexity of the whole text infinite; in float32 above 104.  In float16 the sum of the losses ends at 65,504
# besides: 20,000 tokens with a loss of 4, an ordinary validation set in one batch, have the perplexity inf, and in bfloat16
# the sum has two digits.
#
# Give it float32 logits, or take torch.nn.functional.cross_entropy(logits.float(), targets).exp().
#
# Usage: findings/torchmetrics_perplexity_of_float16.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torchmetrics==1.9.0" "torch==2.13.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import math

import torch
import torch.nn.functional as F
import torchmetrics
from torchmetrics.text import Perplexity

print("torchmetrics", torchmetrics.__version__)


def compare(name, logits, targets):
    perplexity = Perplexity()
    perplexity.update(logits, targets)
    found = float(perplexity.compute())
    right = float(F.cross_entropy(logits.float().flatten(0, 1), targets.flatten()).exp())
    print(f"{name}: {found:.5g}, exp(cross_entropy) {right:.5g}")
    return found, right


rng = torch.Generator().manual_seed(0)
logits, targets = torch.randn(4, 5000, 60, generator=rng), torch.randint(60, (4, 5000), generator=rng)
ordinary = {}
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    ordinary[dtype] = compare(f"20,000 tokens, {dtype}", logits.to(dtype), targets)
unlikely = {}
for gap, dtype in ((20, torch.float16), (20, torch.float32), (110, torch.float32)):
    one = torch.zeros(1, 10, 50)
    one[0, 0, 0] = gap
    name = f"10 tokens, one of them {gap} below the largest logit, {dtype}"
    unlikely[gap, dtype] = compare(name, one.to(dtype), torch.ones(1, 10, dtype=int))
for found, right in (ordinary[torch.float32], unlikely[20, torch.float32]):
    assert math.isclose(found, right, rel_tol=1e-3), "changed"
for found, right in (ordinary[torch.float16], unlikely[20, torch.float16], unlikely[110, torch.float32]):
    assert found == math.inf and right < 1e7, "changed"
PYTHON
