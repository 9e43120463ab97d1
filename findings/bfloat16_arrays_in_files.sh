#!/usr/bin/env bash
# bfloat16 arrays of ml_dtypes 0.5.4, as JAX has them, in files of NumPy 2.4.6 and safetensors 0.8.0.
#
# Guessed before: numpy.savez refuses a type that the .npy format does not have, or the type comes back while ml_dtypes is
# imported; and what safetensors.numpy can save it can load.
# Seen: numpy.savez writes the numbers without a word as '<V2', two bytes of nothing in particular, and numpy.load gives |V2,
# with which nothing can be computed; the bits are there, that they are bfloat16 is not.  safetensors.numpy.save writes a
# right file, dtype BF16, and its own load of these bytes raises KeyError: 'BF16'.
#
# minigpt's npz reader names the array and says what it probably is and how to save it (tests/weights/test_npz.py); its
# safetensors reader gives float32 (tests/weights/test_safetensors.py).
#
# Usage: findings/bfloat16_arrays_in_files.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "ml_dtypes==0.5.4" "safetensors==0.8.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import io

import ml_dtypes
import numpy as np
import safetensors.numpy

weights = np.array([1, -2, 3], ml_dtypes.bfloat16)
file = io.BytesIO()
np.savez(file, wte=weights)
file.seek(0)
loaded = np.load(file)["wte"]
print(f"numpy {np.__version__}: saved {weights.dtype}, loaded {loaded.dtype}; the bits are equal: {loaded.tobytes() == weights.tobytes()}")
data = safetensors.numpy.save({"wte": weights})
try:
    outcome = str(safetensors.numpy.load(data)["wte"].dtype)
except KeyError as error:
    outcome = f"KeyError: {error}"
print(f"safetensors {safetensors.__version__}: the file says BF16: {b'BF16' in data}; loading it gives {outcome}")
assert loaded.dtype == np.dtype("V2") and loaded.tobytes() == weights.tobytes(), "changed"
assert b"BF16" in data and outcome == "KeyError: 'BF16'", "changed"
PYTHON
