#!/usr/bin/env bash
# Keras 3.15.1's optimizers on weights in bfloat16, as a model with dtype="bfloat16" has them; JAX 0.10.2 is the backend.
#
# Guessed before: three steps of Adam with a constant gradient move a weight by three learning rates, to bfloat16's two or
# three digits, as they do in float32 and float16.
# Seen: Adam and AdamW do not move it at all, and Nadam makes it NaN.  SGD and Lion are right.  No warning; fit() runs and
# the loss stays where it was.
#
# beta_2 = 0.999 is taken in the weight's type, and the next number of bfloat16 is 1.  The bias correction √(1 − β₂ᵗ) is
# then 0. beta_2 = 0.99 works, and dtype="mixed_bfloat16", whose weights are float32.
#
# Usage: findings/keras_adam_in_bfloat16.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "keras==3.15.1" "jax==0.10.2" "jaxlib==0.10.2" "ml_dtypes==0.6.0" "numpy==2.4.6"
cd "$folder"
export KERAS_HOME="$folder" KERAS_BACKEND=jax JAX_PLATFORMS=cpu
"$folder/venv/bin/python" - <<'PYTHON'
import keras
import numpy as np

print("keras", keras.__version__)
RATE, STEPS = 0.01, 3
OPTIMIZERS = {
    "Adam": keras.optimizers.Adam, "AdamW": keras.optimizers.AdamW, "Nadam": keras.optimizers.Nadam,
    "SGD": keras.optimizers.SGD, "Lion": keras.optimizers.Lion,
    "Adam, beta_2=0.99": lambda rate: keras.optimizers.Adam(rate, beta_2=0.99),
}


def moved(build, dtype):
    """By how many learning rates a weight goes in three steps whose gradient is 1"""
    weight, optimizer = keras.Variable(np.zeros(1), dtype=dtype), build(RATE)
    for _ in range(STEPS):
        optimizer.apply([keras.ops.ones(1, dtype)], [weight])
    return round(abs(float(np.asarray(weight.value, np.float32)[0])) / RATE, 1)


found = {name: [moved(build, dtype) for dtype in ("float32", "float16", "bfloat16")] for name, build in OPTIMIZERS.items()}
for name, (single, half, short) in found.items():
    print(f"{name:18} float32 {single}, float16 {half}, bfloat16 {short}")
    if name in ("Adam", "AdamW"):
        assert single == half == 3 and short == 0, "changed"
    elif name == "Nadam":
        assert single == half > 2 and np.isnan(short), "changed"
    else:
        assert single == half == 3 and abs(short - 3) < 0.3, "changed"

# A whole model: y = x learned from 256 numbers, in 200 steps
x = np.random.default_rng(0).normal(size=(256, 1))
losses = {}
for dtype in ("mixed_bfloat16", "bfloat16"):
    layer = keras.layers.Dense(1, kernel_initializer="zeros", dtype=dtype)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.AdamW(0.05), "mse")
    history = model.fit(x, x, batch_size=256, epochs=200, verbose=0).history["loss"]
    losses[dtype] = [round(history[0], 2), round(history[-1], 2)]
    print(f"AdamW, dtype={dtype!r}: loss {losses[dtype][0]} at the beginning, {losses[dtype][1]} after 200 steps")
assert losses["mixed_bfloat16"][1] < 0.05 < losses["bfloat16"][0] == losses["bfloat16"][1], "changed"
PYTHON
