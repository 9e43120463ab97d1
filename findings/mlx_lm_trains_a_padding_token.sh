#!/usr/bin/env bash
# What mlx-lm 0.32.2's trainer counts as predicted where rows are padded; MLX 0.32.4 on a CPU.
#
# Guessed before: a row of n tokens has n − 1 predictions, as everywhere; padding behind it counts nothing.
# Seen: n.  Every row, also the longest, is padded with the id 0, and the first padding token behind a row is a target.  Its
# loss enters the loss that is printed, and it is trained: a table of next tokens that saw three rows without a single 0 in
# them gives 0 a probability of almost 1 after the last token of each.  In GPT-2's vocabulary 0 is "!".
#
# The last target's number is compared with the row's length by <=, where < was meant.  Losses of mlx-lm do not agree with
# those of other libraries for short rows.  Rows that end in an end token hide it from whoever stops there.
#
# Usage: findings/mlx_lm_trains_a_padding_token.sh        needs Linux, Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "mlx-lm==0.32.2" "mlx[cpu]==0.32.4" "transformers==5.24.0" "numpy==2.4.6"
cd "$folder"
export HF_HUB_OFFLINE=1 HF_HOME="$folder"
"$folder/venv/bin/python" - 2> errors <<'PYTHON' || { cat errors >&2; exit 1; }
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers
import mlx_lm
from mlx_lm.tuner.trainer import default_loss, iterate_batches

V, ROWS = 10, [[5, 6, 7], [5, 6, 8, 9], [4, 6, 7, 7, 3]]
print("mlx-lm", mlx_lm.__version__, "rows", ROWS)
batch, lengths = next(iter(iterate_batches([(row, 0) for row in ROWS], 3, 64)))

mx.random.seed(0)
model = nn.Embedding(V, V)                              # logits of the next token, from the last one
loss, counted = default_loss(model, batch, lengths)
predictions = sum(len(row) - 1 for row in ROWS)
right = sum(nn.losses.cross_entropy(model(mx.array(row[:-1])), mx.array(row[1:])).sum().item() for row in ROWS) / predictions
print(f"predictions in the rows: {predictions}, counted: {counted.item()}; "
      f"loss {loss.item():.4f}, over the rows alone {right:.4f}")
assert counted.item() == predictions + len(ROWS), "changed"

optimizer = mlx.optimizers.Adam(0.1)
gradient = nn.value_and_grad(model, lambda m: default_loss(m, batch, lengths)[0])
for _ in range(200):
    optimizer.update(model, gradient(model)[1])
    mx.eval(model.parameters())
after = {last: mx.softmax(model(mx.array(last)), -1)[0].item() for last in (8, 9, 3)}
print("trained, probability of the token 0 behind", {last: round(p, 3) for last, p in after.items()})
assert after[9] > 0.95 and after[3] > 0.95 and after[8] < 0.05, "changed"      # 8 has a token behind it
PYTHON
