#!/usr/bin/env bash
# mx.softmax over a vocabulary of 50,257 in float16 and bfloat16, in MLX 0.32.4 on a CPU.
#
# Guessed before: the probabilities sum to 1 within 1 %; the result is rounded to half precision, the sum in between is kept in
# float32 as logsumexp's is, and precise=True is about the last digit.
# Seen: the denominator is added up in the type of the input and stops growing: 1 + 1 + 1 … at 2048 in float16 and at 256 in
# bfloat16.  50,257 equal logits give "probabilities" that sum to 24.5 and 196; logits drawn with deviation 2 give 1.6 and 3.1.
# mx.logsumexp of the same logits is right, and softmax(precise=True) sums to 1.001 at most.
#
# A top-p cut at 0.9 of such probabilities keeps 268 tokens instead of 11,862, and a perplexity from them is too good. Write
# softmax(logits, precise=True) or exp(logits − logsumexp), or cast first.
#
# Usage: findings/mlx_softmax_in_half_precision.sh        needs Python 3.10 or newer on Linux and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "mlx[cpu]==0.32.4"
cd "$folder"
venv/bin/python - <<'PYTHON'
import math

import mlx.core as mx

print("mlx", mx.__version__)
mx.set_default_device(mx.cpu)
size = 50257


def total(probabilities):
    return probabilities.astype(mx.float32).sum().item()


for name, logits in (("equal logits", mx.zeros((size,))), ("deviation 2", 2 * mx.random.normal((size,), key=mx.random.key(0)))):
    for dtype in (mx.float32, mx.float16, mx.bfloat16):
        x = logits.astype(dtype)
        plain, precise = total(mx.softmax(x)), total(mx.softmax(x, precise=True))
        off = abs(mx.logsumexp(x).item() - mx.logsumexp(x.astype(mx.float32)).item())
        probabilities = mx.sort(mx.softmax(x).astype(mx.float32))[::-1]
        kept = int((mx.cumsum(probabilities) < 0.9).sum().item()) + 1
        print(f"{name}, {str(dtype).split('.')[-1]}: softmax sums to {plain:.4g}, with precise=True to {precise:.4g}; "
              f"logsumexp is off by {off:.2g}; top-p of 0.9 keeps {kept:,}")
        assert math.isclose(precise, 1, rel_tol=0.01) and off < 0.02, "changed"
        if dtype == mx.float32:
            assert math.isclose(plain, 1, rel_tol=0.001), "changed"
        else:
            assert plain > (10 if name == "equal logits" else 1.3), "changed"
PYTHON
