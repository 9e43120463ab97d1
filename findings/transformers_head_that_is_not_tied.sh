#!/usr/bin/env bash
# A GPT-2 whose file holds an lm_head.weight of its own while its config.json says that it is tied, in transformers 5.24.0
# and 4.57.6.
#
# Guessed before: the config decides, so both versions tie the output layer to the embedding and drop lm_head.weight, the newer
# one with a warning; or both refuse the file as contradicting its config.
# Seen: 4.57.6 ties, without a word.  5.24.0 compares the two arrays, finds them different, warns, and keeps both: the same
# folder is two models with different logits.  And when 5.24.0 saves what it has loaded, the new folder holds both arrays again
# and its config.json still says "tie_word_embeddings": true, so that the older version reads another model than was saved.
#
# minigpt loads such a folder untied, as 5.24 does, warns, and saves it with tie_word_embeddings false, which every version
# reads alike (tests/weights/test_sources.py).
#
# Usage: findings/transformers_head_that_is_not_tied.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 5.24.0 4.57.6; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q "transformers==$version" "torch==2.13.0" "safetensors==0.8.0" "numpy==2.2.6"
done
cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=warning
"$folder/5.24.0/bin/python" - <<'PYTHON'
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
sizes = {"vocab_size": 20, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained("model")
tensors = load_file("model/model.safetensors")
tensors["lm_head.weight"] = torch.randn(20, 8)
save_file(tensors, "model/model.safetensors", {"format": "pt"})
PYTHON
cat > load.py <<'PYTHON'
import json
import sys

import torch
import transformers

name, expected = sys.argv[1], sys.argv[2] == "tied"
model = transformers.GPT2LMHeadModel.from_pretrained(name).eval()
tied = torch.equal(model.lm_head.weight, model.transformer.wte.weight)
logits = [round(x, 3) for x in model(torch.tensor([[1, 2]])).logits[0, 0, :3].tolist()]
print(f"transformers {transformers.__version__}: {name} is {'tied' if tied else 'not tied'}, logits {logits}")
assert tied == expected, "changed"
if not tied:
    model.save_pretrained("saved")
    says = json.load(open("saved/config.json")).get("tie_word_embeddings", True)
    print("saved again, its config.json says tie_word_embeddings:", says)
    assert says is True, "changed"
PYTHON
warned=$("$folder/5.24.0/bin/python" load.py model untied 2>&1 | tee /dev/stderr | grep -c "we will NOT tie them" || true)
[ "$warned" = 1 ] || { echo "changed: no warning" >&2; exit 1; }
for name in model saved; do
    silent=$("$folder/4.57.6/bin/python" load.py "$name" tied 2>&1 | tee /dev/stderr | grep -ci "tie_word\|not tie\|newly" || true)
    [ "$silent" = 0 ] || { echo "changed: a warning" >&2; exit 1; }
done
