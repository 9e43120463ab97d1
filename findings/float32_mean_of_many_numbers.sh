#!/usr/bin/env bash
# The mean of 67 million float32 numbers: NumPy 2.4.6, Numba 0.68.1 on the same arrays, and MLX 0.32.4 on a CPU.
#
# Guessed before: np.mean(x) in a function compiled by Numba is np.mean(x), and mx.mean(x) is it too, to a few digits:
# libraries add in pairs or in several lanes, or in float64.
# Seen: Numba adds one number after the other in float32.  From 2^24 on, 1 is less than half the last digit of the sum, and
# it stands still: the mean of 2^26 ones is 0.25, and that of 2^26 losses around 4 is 2.0.  MLX gives the same two numbers;
# by rows of 4,096 it is right.  NumPy is right in each case.
#
# A loss or a norm over a whole validation set, a token count as a mean of a mask: sum in float64, or row by row first.
#
# Usage: findings/float32_mean_of_many_numbers.sh        needs Linux, Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numba==0.68.1" "mlx[cpu]==0.32.4" "numpy==2.4.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import mlx.core as mx
import numba
import numpy as np

print({name: importlib.metadata.version(name) for name in ("numpy", "numba", "mlx")})


@numba.njit
def compiled(x):
    return np.mean(x)


rng = np.random.default_rng(0)
ones = np.ones(2**26, np.float32)
losses = rng.normal(4, 1, 2**26).astype(np.float32)
for name, x, exact in (("2^26 ones", ones, 1), ("2^26 losses around 4", losses, 4)):
    found = [float(np.mean(x)), float(compiled(x)), float(mx.mean(mx.array(x)).item())]
    rows = mx.mean(mx.mean(mx.array(x.reshape(-1, 4096)), axis=1)).item()
    print(f"mean of {name}: NumPy {found[0]:.4f}, Numba {found[1]:.4f}, MLX {found[2]:.4f}, MLX row by row {rows:.4f}")
    assert abs(found[0] - exact) < 1e-3 * exact and abs(rows - exact) < 1e-2 * exact, "changed"
    assert found[1] < 0.6 * exact and found[2] < 0.6 * exact, "changed"
PYTHON
