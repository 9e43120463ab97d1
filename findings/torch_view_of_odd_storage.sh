#!/usr/bin/env bash
# A float32 view of bytes, saved and loaded by PyTorch 2.13.0.
#
# Guessed before: torch.save writes whatever torch can hold, and torch.load reads whatever torch.save has written.
# Seen: a tensor of 7 bytes whose first 4 are viewed as one float32 is saved without an error, and torch.load raises
# RuntimeError for the file, since it counts the 7 bytes in items of 4.  With 8 bytes both work.  And two tensors that view the
# same 8 bytes as different types cannot be saved together at all.
#
# Weights that are views into one buffer of bytes, as some quantizers keep them, can be lost so at the moment they are saved.
# minigpt refuses such a file with a sentence that names the storage (tests/weights/test_torch_zip.py).
#
# Usage: findings/torch_view_of_odd_storage.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)


def saved_and_loaded(tensors):
    try:
        torch.save(tensors, "model.pt")
    except RuntimeError as error:
        return f"torch.save: RuntimeError: {error}"
    try:
        loaded = torch.load("model.pt")
    except RuntimeError as error:
        return f"torch.load: RuntimeError: {error}"
    return "equal" if all(loaded[name].equal(tensor) for name, tensor in tensors.items()) else "different"


of_8, of_7 = torch.zeros(8, dtype=torch.uint8), torch.zeros(7, dtype=torch.uint8)
found = {
    "4 of 8 bytes as float32": ("equal", saved_and_loaded({"view": of_8[:4].view(torch.float32)})),
    "4 of 7 bytes as float32": ("torch.load: RuntimeError", saved_and_loaded({"view": of_7[:4].view(torch.float32)})),
    "8 bytes as bytes and as float32": ("torch.save: RuntimeError", saved_and_loaded({"bytes": of_8, "view": of_8.view(torch.float32)})),
}
for name, (_, outcome) in found.items():
    print(f"{name}: {outcome}")
changed = [name for name, (expected, outcome) in found.items() if not outcome.startswith(expected)]
assert not changed, f"changed: {changed}"
PYTHON
