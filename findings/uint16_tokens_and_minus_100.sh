#!/usr/bin/env bash
# Token ids in uint16, as nanoGPT's .bin files and many corpora have them, and the target -100 that losses ignore: NumPy 2.4.6 and
# PyTorch 2.13.0.
#
# Guessed before: since NumPy 2 a Python number that the type cannot hold raises OverflowError, in np.where as in ids + -100 and
# ids[mask] = -100; PyTorch refuses it too, or gives a larger type.
# Seen: np.where, np.select and np.pad write 65436 without a word, a token that exists in a vocabulary of 65,437 and more, and in a
# smaller one is an index error far away.  Arithmetic, assignment, np.copyto, np.putmask and np.full_like raise; np.append gives
# int64.  torch.where and torch.full_like write 65436.
#
# minigpt.training.objectives.masked did this with a tokenizer's array; tests/training/test_objectives.py has the case.
#
# Usage: findings/uint16_tokens_and_minus_100.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.4.6" "torch==2.13.0"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch

ids, kept = np.array([5, 7], np.uint16), np.array([True, False])
tokens, mask = torch.tensor([5, 7], dtype=torch.uint16), torch.tensor([True, False])


def assigned():
    copy = ids.copy()
    copy[~kept] = -100
    return copy


CALLS = {
    "np.where": lambda: np.where(kept, ids, -100), "np.select": lambda: np.select([kept], [ids], -100),
    "np.pad": lambda: np.pad(ids[:1], (0, 1), constant_values=-100), "ids + -100": lambda: ids + -100,
    "ids[mask] = -100": assigned, "np.copyto": lambda: np.copyto(ids.copy(), -100), "np.full_like": lambda: np.full_like(ids, -100),
    "np.append": lambda: np.append(ids[:1], -100), "torch.where": lambda: torch.where(mask, tokens, -100),
    "torch.full_like": lambda: torch.full_like(tokens, -100),
}
seen = {}
for name, call in CALLS.items():
    try:
        seen[name] = int(call()[-1])
    except OverflowError:
        seen[name] = "OverflowError"
    print(f"{name:17} {seen[name]}")
wrapped = {"np.where", "np.select", "np.pad", "torch.where", "torch.full_like"}
assert seen == {name: 65436 if name in wrapped else -100 if name == "np.append" else "OverflowError" for name in CALLS}, "changed"
PYTHON
