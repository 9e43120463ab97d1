#!/usr/bin/env bash
# The same tensors and the same metadata, saved eight times by safetensors 0.8.0.
#
# Guessed before: the header is sorted, as it is for the tensors, so that equal contents are equal bytes, and a file's SHA-256
# says whether two models are the same.
# Seen: tensors come in a fixed order, but two or more entries of metadata in another order in each process.  Of eight files
# several differ, though they hold the same.  With one entry, as transformers writes ({"format": "pt"}), all are equal.
#
# So a checksum of a file with metadata does not identify a model.  minigpt writes metadata in the order given: equal arrays and
# metadata are equal bytes (tests/weights/test_safetensors.py).
#
# Usage: findings/safetensors_metadata_order.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "safetensors==0.8.0" "numpy==2.2.6"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

import safetensors

program = """
import hashlib, sys
import numpy as np
from safetensors.numpy import save

tensors = {name: np.zeros(2, np.float32) for name in "wte ln_f h.0.mlp h.1.mlp".split()}
print(hashlib.sha256(save(tensors, {f"key {i}": "value" for i in range(int(sys.argv[1]))})).hexdigest())
"""
print("safetensors", safetensors.__version__)
found = {}
for entries in (0, 1, 8):
    runs = [subprocess.run([sys.executable, "-c", program, str(entries)], capture_output=True, check=True).stdout for _ in range(8)]
    found[entries] = len(set(runs))
    print(f"{entries} entries of metadata: {found[entries]} different files of 8")
assert found[0] == found[1] == 1 and found[8] > 1, "changed"        # by chance equal: (1/8!)^7
PYTHON
