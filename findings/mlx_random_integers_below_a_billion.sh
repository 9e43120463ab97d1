#!/usr/bin/env bash
# Random offsets into a long corpus by mlx.core.random.randint, MLX 0.32.4 on a CPU.
#
# Guessed before: each whole number from low to high − 1 is equally likely, as its documentation says, up to the 2^31 of
# int32.
# Seen: they come from a float32.  Below 2^24 all is well.  Below 40 million a fifth of the numbers is odd; of a billion one
# in a hundred, and two thirds are multiples of 64.  A training run that draws its crops this way sees every corpus of more
# than 17 million tokens from even offsets most of the time, and a billion tokens from every 64th.
#
# NumPy's Generator.integers is exact.
#
# Usage: findings/mlx_random_integers_below_a_billion.sh        needs Linux, Python 3.10 or newer, PyPI; fails if changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "mlx[cpu]==0.32.4" "numpy==2.2.6"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import mlx.core as mx
import numpy as np

print("mlx", importlib.metadata.version("mlx"))
mx.random.seed(0)
rng, found = np.random.default_rng(0), {}
for high in (10_000_000, 40_000_000, 300_000_000, 1_000_000_000):
    drawn, exact = np.array(mx.random.randint(0, high, (200_000,))), rng.integers(high, size=200_000)
    (odd, coarse), (odd_exact, coarse_exact) = ((np.mean(x % 2 == 1), np.mean(x % 64 == 0)) for x in (drawn, exact))
    found[high] = odd, coarse
    print(f"below {high:13,}: odd {odd:.3f}, multiples of 64 {coarse:.3f}; NumPy: {odd_exact:.3f}, {coarse_exact:.3f}")
    assert 0 <= drawn.min() and drawn.max() < high and abs(odd_exact - 0.5) < 0.01, "changed"
assert abs(found[10_000_000][0] - 0.5) < 0.01 and 0.15 < found[40_000_000][0] < 0.3, "changed"
assert found[300_000_000][0] < 0.05 and found[1_000_000_000][0] < 0.02 and found[1_000_000_000][1] > 0.5, "changed"
PYTHON
