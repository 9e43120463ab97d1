#!/usr/bin/env bash
# A query that may see no key at all, in PyTorch 2.13.0 on the CPU.
#
# Guessed before: NaN everywhere, since the softmax of −∞ alone is 0/0; or, as newer releases mend it, zeros everywhere.
# Seen: both, by what one asks for.  scaled_dot_product_attention gives zeros.  nn.MultiheadAttention on the same mask gives
# NaN with need_weights=True, its default, in weights and output.  With need_weights=False it gives zeros while gradients are
# recorded; under no_grad zeros with one head and NaN with two, since its inference path takes even numbers of heads alone.
#
# Such rows come about by padding at the left under a causal mask.  minigpt gives zeros for output, weights and gradients,
# whether anything is recorded or not (tests/nn/test_attention.py).
#
# Usage: findings/torch_attention_query_without_key.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
seen = torch.tensor([[True, False, False], [False, False, False], [True, True, True]])     # the second query sees no key
x = torch.randn(1, 3, 8)
found = {"scaled_dot_product_attention": ("zeros", F.scaled_dot_product_attention(x, x, x, attn_mask=seen)[0, 1])}
for heads in (1, 2):
    attention = nn.MultiheadAttention(8, heads, batch_first=True).eval()
    for gradients in (True, False):
        how = f"nn.MultiheadAttention, {heads} heads, {'with gradients' if gradients else 'no_grad'}, need_weights"
        with torch.set_grad_enabled(gradients):
            output, _ = attention(x, x, x, attn_mask=~seen, need_weights=False)
            found[f"{how}=False: output"] = "zeros" if gradients or heads == 1 else "NaN", output[0, 1]
            output, weights = attention(x, x, x, attn_mask=~seen)
            found[f"{how}=True: output"] = "NaN", output[0, 1]
            found[f"{how}=True: weights"] = "NaN", weights[0, 1]
print("torch", torch.__version__)
changed = []
for name, (expected, row) in found.items():
    seen_now = "NaN" if row.isnan().all() else "zeros" if (row == 0).all() else str(row.tolist())
    print(f"{name}: {seen_now}")
    changed += [name] if seen_now != expected else []
assert not changed, f"changed: {changed}"
PYTHON
