#!/usr/bin/env bash
# optax 0.2.8's inject_hyperparams around AdamW, for parameters in bfloat16; JAX 0.10.2.
#
# Guessed before: the wrapper only makes the settings visible and changeable (it is how a learning rate is logged or a
# schedule is set from outside); the steps are those of AdamW without it, to a rounding.
# Seen: NaN in the first step, for bfloat16 alone; float16 and float32 are as without it.  The settings are kept in the type
# of the parameters, and 0.999, the default of b2, becomes 1: the second moment takes up nothing, and its bias correction
# divides 0 by 0. Without the wrapper the same optimizer on the same parameters takes ordinary steps.
#
# hyperparam_dtype=jnp.float32 mends it.
#
# Usage: findings/optax_injected_rates_in_bfloat16.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "optax==0.2.8" "jax==0.10.2" "jaxlib==0.10.2" "ml_dtypes==0.6.0" "numpy==2.4.6"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import math

import jax.numpy as jnp
import optax

RATE = 0.01
print("optax", optax.__version__)
WAYS = {
    "adamw": lambda: optax.adamw(RATE),
    "inject_hyperparams(adamw)": lambda: optax.inject_hyperparams(optax.adamw)(learning_rate=RATE),
    "the same, hyperparam_dtype=float32":
        lambda: optax.inject_hyperparams(optax.adamw, hyperparam_dtype=jnp.float32)(learning_rate=RATE),
}


def steps(build, dtype):
    """Three steps with a constant gradient, in learning rates, and what the state holds as b2"""
    params, optimizer = jnp.ones(1, dtype), build()
    state, taken = optimizer.init(params), []
    for _ in range(3):
        updates, state = optimizer.update(jnp.full(1, 0.5, dtype), state, params)
        params = optax.apply_updates(params, updates)
        taken.append(round(-float(updates[0]) / RATE, 1))
    kept = getattr(state, "hyperparams", {}).get("b2")
    return taken, None if kept is None else float(kept)


for name, build in WAYS.items():
    for dtype in ("float32", "float16", "bfloat16"):
        taken, b2 = steps(build, dtype)
        print(f"{dtype:8} {name}: steps of {taken} learning rates" + (f", b2 = {b2:.6g}" if b2 else ""))
        if dtype == "bfloat16" and name == "inject_hyperparams(adamw)":
            assert all(map(math.isnan, taken)) and b2 == 1, "changed"
        else:
            assert taken == [1, 1, 1] and (b2 is None or b2 < 1), "changed"
PYTHON
