#!/usr/bin/env bash
# A GPT-2 whose generation_config.json does not mention eos_token_id while its config.json does, in transformers 5.24.0.
#
# Expected: what generation_config.json leaves out is taken from config.json, as it is where the file is absent.
# Seen: the file counts as a whole.  With {"temperature": 1.0} in it generate() knows no end token and draws max_new_tokens tokens
# each time; without the file, or with the id in it, it stops at the end token.  No warning (4.57.6 does the same).
#
# minigpt.hf takes from config.json what the file leaves out, so that such a model stops (tests/hf/test_calls.py).
#
# Usage: findings/transformers_generation_file_without_end.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "transformers==5.24.0" "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
export HF_HUB_OFFLINE=1
"$folder/venv/bin/python" - <<'PYTHON'
import json
import os

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
print("transformers", transformers.__version__)
torch.manual_seed(0)
sizes = {"vocab_size": 5, "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 2}
GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).save_pretrained("model")


def lengths():
    """How many tokens each of eight texts has, of at most 1 + 40"""
    model = GPT2LMHeadModel.from_pretrained("model").eval()
    found = []
    for seed in range(8):
        torch.manual_seed(seed)
        found.append(model.generate(torch.tensor([[1]]), do_sample=True, max_new_tokens=40, pad_token_id=4).shape[1])
    return found, model.config.eos_token_id, model.generation_config.eos_token_id


found = {"as saved": lengths()}
with open("model/generation_config.json", "w", encoding="utf-8") as file:
    json.dump({"temperature": 1.0}, file)
found["without eos_token_id"] = lengths()
os.remove("model/generation_config.json")
found["no such file"] = lengths()
for name, (counts, config, generation) in found.items():
    print(f"generation_config.json {name}: eos_token_id {config} in config, {generation} in generation_config; lengths {counts}")
assert found["without eos_token_id"] == ([41] * 8, 0, None) and found["as saved"] == found["no such file"], "changed"
assert max(found["as saved"][0]) < 41, "changed"
PYTHON
