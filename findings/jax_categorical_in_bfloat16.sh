#!/usr/bin/env bash
# Tokens drawn by jax.random.categorical from logits in bfloat16 and float16, as a model in that type gives them: JAX 0.10.2 on
# a CPU.
#
# Guessed before: the draws follow softmax(logits) within the rounding of the logits, 1 % or so.
# Seen: the Gumbel noise is drawn in the type of the logits, from 128 values in bfloat16 and 1,024 in float16, and ends at 4.84
# and 6.93.  The largest value comes many times in a row of 50,257, and of equals the first wins.  From equal logits no id above
# 2,000 is drawn in bfloat16; a last token of probability 0.5 is drawn every time; from logits of deviation 2 the least probable
# tokens that share a tenth of the probability are never drawn.  mode="high" errs the other way: it draws from that tenth five
# times too often.  float32 is right.
#
# Text then looks as if it had been sampled at a lower temperature, and differs between types of weights.  Cast first:
# jax.random.categorical(key, logits.astype(jnp.float32)).
#
# Usage: findings/jax_categorical_in_bfloat16.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6"
cd "$folder"
export JAX_PLATFORMS=cpu
venv/bin/python - <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np

print("jax", jax.__version__)
size, draws = 50257, 300
normal = np.random.default_rng(0).standard_normal(size) * 2
last = np.zeros(size)
last[-1] = np.log(size - 1)


def drawn(logits, dtype, seed, **options):
    return np.asarray(jax.random.categorical(jax.random.key(seed), jnp.asarray(logits, dtype), shape=(draws,), **options))


def rare(ids):
    """The share of the ids that lie outside the most probable tokens with 0.9 of the probability."""
    p = np.exp(normal) / np.exp(normal).sum()
    order = np.argsort(-p)
    return np.isin(ids, order[np.searchsorted(np.cumsum(p[order]), 0.9):]).mean()


seen = {}
for dtype in (jnp.float32, jnp.float16, jnp.bfloat16):
    name = dtype.__name__
    equal, half, tenth = drawn(np.zeros(size), dtype, 0), drawn(last, dtype, 1), drawn(normal, dtype, 2)
    seen[name] = equal.max(), (half == size - 1).mean(), rare(tenth)
    print(f"{name}, {draws} draws: largest id from equal logits {seen[name][0]}; token of p = 0.5 drawn in {seen[name][1]:.0%}; "
          f"tokens that share p = 0.1 in {seen[name][2]:.1%}")
high = rare(drawn(normal, jnp.bfloat16, 2, mode="high"))
print(f'bfloat16, mode="high": tokens that share p = 0.1 in {high:.1%}')

assert seen["float32"][0] > 49000 and 0.4 < seen["float32"][1] < 0.6 and 0.04 < seen["float32"][2] < 0.17, "float32 is wrong too"
assert seen["bfloat16"][0] < 2000 and seen["float16"][0] < 15000, "changed: equal logits"
assert seen["bfloat16"][1] == 1 and seen["float16"][1] == 1, "changed: half"
assert seen["bfloat16"][2] == 0 and seen["float16"][2] < 0.02, "changed: tail"
assert high > 0.3, "changed: high"
PYTHON
