#!/usr/bin/env bash
# How much gguf 0.19.0's GGUFReader makes of the metadata of one file.
#
# Expected: opening a file is cheap whatever it holds, since tensors are memory-mapped and an array of numbers is one view
# into the file, as its tensors are.
# Seen: each element of each array in the metadata becomes a NumPy array of its own, and a text two, all kept in lists.  An array of
# 100,000 numbers is 100,000 arrays; a GPT-2's tokens, merges and token types are 250,000, about 100 bytes each and some seconds
# before the first tensor can be asked for.
#
# minigpt reads the metadata itself and uses the package for quantized tensors (tests/weights/test_gguf.py).
#
# Usage: findings/gguf_reader_arrays.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "gguf==0.19.0" "numpy==2.2.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import gguf

print("gguf", version("gguf"))
n = 2000
writer = gguf.GGUFWriter("metadata.gguf", "gpt2")
writer.add_array("numbers", list(range(n)))
writer.add_array("texts", [f"token {i}" for i in range(n)])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()
reader = gguf.GGUFReader("metadata.gguf")
made = {name: len(reader.fields[name].parts) / n for name in ("numbers", "texts")}
for name, parts in made.items():
    print(f"{n} {name}: {parts:.2f} NumPy arrays each")
assert 1 <= made["numbers"] < 1.01 and 2 <= made["texts"] < 2.01, "changed"
PYTHON
