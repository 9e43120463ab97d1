#!/usr/bin/env bash
# Arrays that are views, saved by safetensors 0.8.0 for NumPy.
#
# Expected: a view that is not contiguous is copied in order first, as numpy.save does, or refused with an error, as
# safetensors.torch.save does.
# Seen: neither.  The bytes are written as they lie in memory, under the view's shape: a transposed matrix comes back with other
# numbers, without a warning.  Rows of a matrix, which are contiguous, come back right.
#
# A file that somebody made so from transposed linear layers is valid, and wrong.  minigpt writes the values of any view
# (tests/weights/test_safetensors.py); a file that is already wrong cannot be told from a right one.
#
# Usage: findings/safetensors_numpy_views.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "safetensors==0.8.0" "numpy==2.2.6"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import safetensors
from safetensors.numpy import load, save

matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
views = {"rows": matrix[1:], "transposed": matrix.T, "Fortran order": np.asfortranarray(matrix)}
print("safetensors", safetensors.__version__)
changed = []
for name, view in views.items():
    loaded = load(save({"view": view}))["view"]
    equal = np.array_equal(loaded, view)
    print(f"{name}: saved {view.tolist()}, loaded {loaded.tolist()}: {'equal' if equal else 'different'}")
    in_memory = view.ravel(order="K").reshape(view.shape)
    if equal != (name == "rows") or not np.array_equal(loaded, in_memory):
        changed.append(name)
assert not changed, f"changed: {changed}"
PYTHON
