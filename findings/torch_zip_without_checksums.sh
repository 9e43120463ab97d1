#!/usr/bin/env bash
# A checkpoint saved by PyTorch 2.13.0 after torch.serialization.set_crc32_options(False).
#
# Guessed before: the checksums of the zip are computed in another, cheaper way, as the documentation suggests ("may cause
# unzip and zipfile to emit warnings"), or the entries say that they have none.
# Seen: every entry states the checksum 0.  torch.load reads the file without a word.  Python's zipfile lists it and opens
# each member, but raises BadZipFile as soon as one has been read: to it the file is damaged from end to end.
#
# So a reader that relies on a zip library refuses files that torch takes for whole.  minigpt reads PyTorch's files without
# torch; it takes a checksum of 0 for "none" and checks all others (tests/weights/test_torch_zip.py).
#
# Usage: findings/torch_zip_without_checksums.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import zipfile

import torch

print("torch", torch.__version__)
weights = {"wte.weight": torch.arange(6.0)}
found = {}
for checksums in (True, False):
    torch.serialization.set_crc32_options(checksums)
    torch.save(weights, "model.pt")
    assert torch.load("model.pt")["wte.weight"].equal(weights["wte.weight"])
    with zipfile.ZipFile("model.pt") as archive:
        stated = {entry.CRC for entry in archive.infolist() if entry.file_size}
        try:
            archive.read("model/data/0")
            outcome = "read"
        except zipfile.BadZipFile as error:
            outcome = f"BadZipFile: {error}"
    found[checksums] = (stated == {0}, outcome)
    print(f"set_crc32_options({checksums}): all checksums 0: {stated == {0}}; torch.load: equal; zipfile: {outcome}")
assert found == {True: (False, "read"), False: (True, "BadZipFile: Bad CRC-32 for file 'model/data/0'")}, "changed"
PYTHON
