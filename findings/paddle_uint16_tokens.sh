#!/usr/bin/env bash
# Token ids in uint16, as nanoGPT's .bin files and many corpora have them, given to PaddlePaddle 3.3.1.
#
# Guessed before: paddle.to_tensor of a uint16 array is uint16 or a larger integer type, or is refused as uint32 is.
# Seen: it is bfloat16.  The two bytes are taken as they are, for a number of that type: id 50256 becomes -832, 65535 becomes
# nan, and every id below 16256 a number below 1.  .astype("int64"), which an embedding needs, then gives 0 for all of these:
# with a vocabulary of up to 16,256 tokens the whole corpus is token 0, and nothing is said.  DataLoader and safetensors.paddle
# do the same.  to_tensor(ids, dtype="int64") and ids.astype(np.int64) give the ids.
#
# The loss then goes to 0 within a few steps, since all targets are one token.  In the other direction paddle.save pickles a
# bfloat16 weight as a uint16 array: whoever reads a .pdparams file without Paddle finds integers, 16256 where the weight is 1.
#
# Usage: findings/paddle_uint16_tokens.sh        needs Python 3.10 to 3.13 on x86-64 and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "paddlepaddle==3.3.1" "safetensors==0.8.0" "numpy==2.2.6"
cd "$folder"
venv/bin/python -W ignore - 2> errors <<'PYTHON' || { cat errors >&2; exit 1; }
import pickle

import numpy as np
import paddle
import safetensors.numpy
import safetensors.paddle
from paddle.io import DataLoader

print("paddlepaddle", paddle.__version__)
small, large = np.array([464, 3290, 0, 1, 16255], np.uint16), np.array([464, 50256, 65535], np.uint16)


def numbers(tensor):
    return tensor.astype("int64").numpy().tolist()


seen = paddle.to_tensor(small)
print(f"ids {small.tolist()} become {seen.dtype}, as int64 {numbers(seen)}")
assert seen.dtype == paddle.bfloat16 and numbers(seen) == [0] * 5, "changed"
seen = paddle.to_tensor(large).astype("float32").numpy()
print(f"ids {large.tolist()} become {seen.tolist()}")
assert seen[1] == -832 and np.isnan(seen[2]), "changed"

safetensors.numpy.save_file({"ids": small}, "ids.safetensors")
for name, tensor in (("DataLoader", next(iter(DataLoader([small, small], batch_size=2)))),
                     ("safetensors.paddle", safetensors.paddle.load_file("ids.safetensors")["ids"])):
    print(f"{name}: {tensor.dtype}, as int64 {numbers(tensor.flatten()[:5])}")
    assert tensor.dtype == paddle.bfloat16 and not any(numbers(tensor.flatten())), f"changed: {name}"
for name, tensor in (('dtype="int64"', paddle.to_tensor(small, dtype="int64")), ("astype first", paddle.to_tensor(small.astype(np.int64)))):
    print(f"{name}: {numbers(tensor)}")
    assert numbers(tensor) == small.tolist(), f"changed: {name}"

paddle.save({"weight": paddle.to_tensor([1.0, -2.0]).astype("bfloat16")}, "model.pdparams")
with open("model.pdparams", "rb") as file:
    weight = pickle.load(file)["weight"]
print(f"the bfloat16 weights [1, -2] in a .pdparams file: {weight!r}")
assert weight.dtype == np.uint16 and weight.tolist() == [16256, 49152], "changed"
PYTHON
