#!/usr/bin/env bash
# A config.json of GPT-2 that holds n_embd and also hidden_size, in transformers 5.24.0.
#
# Guessed before: n_embd is GPT-2's own name and wins over the general one; or two different numbers are refused.
# Seen: hidden_size wins, whichever comes first in the file, and nothing is said.  The same holds for num_hidden_layers,
# num_attention_heads and max_position_embeddings against n_layer, n_head and n_positions.
#
# Configurations that were put together by hand, or by tools for several architectures, have both.  minigpt reads them as
# transformers does (tests/models/test_settings.py).
#
# Usage: findings/transformers_two_names_of_a_size.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "transformers==5.24.0" "numpy==2.2.6"
cd "$folder"
export TRANSFORMERS_VERBOSITY=error
"$folder/venv/bin/python" - <<'PYTHON'
import transformers
from transformers import GPT2Config

print("transformers", transformers.__version__)
names = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "max_position_embeddings": "n_positions"}
changed = []
for general, own in names.items():
    for values in ({general: 8, own: 4}, {own: 4, general: 8}):
        found = getattr(GPT2Config.from_dict(values), own)
        print(f"{values}: {own} is {found}")
        changed += [values] if found != 8 else []
assert not changed, f"changed: {changed}"
PYTHON
