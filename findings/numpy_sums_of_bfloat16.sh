#!/usr/bin/env bash
# Sums and means of bfloat16 arrays (ml_dtypes 0.6.0, the type that JAX, ONNX and safetensors give NumPy) in NumPy 2.4.6.
#
# Guessed before: a sum is good to bfloat16's two or three digits, as NumPy's float16 sums and JAX's bfloat16 sums are;
# mean() computes in float32, as it does for float16.
# Seen: the running sum is bfloat16 itself, and stands still where the next number is less than half its last digit.  A
# thousand ones sum to 256 and have the mean 0.256, whichever the axis, in cumsum and np.add.at too.  So a LayerNorm, a loss
# or a gradient's sum of a bfloat16 array is wrong by a factor, without a warning.  x @ y and np.dot are right, and so is
# np.linalg.norm.
#
# Say the type: x.sum(dtype=np.float32), or x.astype(np.float32) once, as minigpt's readers do.
#
# Usage: findings/numpy_sums_of_bfloat16.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.4.6" "ml_dtypes==0.6.0"
"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes
import numpy as np


def added_at(x):
    total = np.zeros(1, x.dtype)
    np.add.at(total, np.zeros(len(x), int), x)
    return total[0]


CALLS = {
    "x.sum()": (lambda x: x.sum(), 1000, 256), "x.mean()": (lambda x: x.mean(), 1, 0.256),
    "columns.sum(axis=0)": (lambda x: np.stack([x, x], 1).sum(axis=0)[0], 1000, 256),
    "x.cumsum()[-1]": (lambda x: x.cumsum()[-1], 1000, 256), "np.add.at": (added_at, 1000, 256),
    "x @ x": (lambda x: x @ x, 1000, 1000), "np.dot(x, x)": (lambda x: np.dot(x, x), 1000, 1000),
    "np.linalg.norm(x)**2": (lambda x: np.linalg.norm(x) ** 2, 1000, 1000),
    "x.sum(dtype=np.float32)": (lambda x: x.sum(dtype=np.float32), 1000, 1000),
    "x.mean(dtype=np.float32)": (lambda x: x.mean(dtype=np.float32), 1, 1),
}
print("1,000 ones, numpy", np.__version__, "ml_dtypes", ml_dtypes.__version__)
for name, (call, right, short) in CALLS.items():
    half, found = float(call(np.ones(1000, np.float16))), float(call(np.ones(1000, ml_dtypes.bfloat16)))
    print(f"{name:25} float16 {half:6.4g}   bfloat16 {found:6.4g}")
    assert abs(half - right) <= 1e-3 * right and abs(found - short) <= 1e-2 * short, "changed"

x = np.random.default_rng(0).normal(3, 1, 768).astype(ml_dtypes.bfloat16)
print(f"mean of 768 numbers around 3: {float(x.mean()):.4g}, in float32 {x.astype(np.float32).mean():.4g}")
assert float(x.mean()) < 2.9 < x.astype(np.float32).mean(), "changed"
PYTHON
