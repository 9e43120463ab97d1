#!/usr/bin/env bash
# A tied GPT-2 written by safetensors.torch.save_model, safetensors 0.8.0, and read by transformers 5.24.0.
#
# Guessed before: of the two names of one matrix the file keeps transformer.wte.weight, the embedding, which comes first in the
# model and which every GPT-2 has; whatever reads the file finds it.
# Seen: it keeps lm_head.weight, the first name in the alphabet; the other stands in the metadata, which readers skip.
# GPT2LMHeadModel loads it and ties.  GPT2Model, which has no lm_head, loads it as well, draws a random embedding, and gives
# random features; a report on stderr is all there is to see.
#
# Save with save_pretrained, or rename the entry; the metadata says to what.  minigpt reads the file as the
# whole model that it is, and `inspect` says where the matrix came from (tests/weights/test_inspection.py).
#
# Usage: findings/safetensors_save_model_keeps_the_head.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "safetensors==0.8.0" "transformers==5.24.0" "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=warning
"$folder/venv/bin/python" - <<'PYTHON' 2> said || { cat said >&2; exit 1; }
import safetensors
import torch
import transformers
from safetensors.torch import save_model
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

print("safetensors", safetensors.__version__, "transformers", transformers.__version__)
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)).eval()
model.config.save_pretrained("model")
save_model(model, "model/model.safetensors")
with safetensors.safe_open("model/model.safetensors", "pt") as file:
    kept = [name for name in file.keys() if "wte" in name or "lm_head" in name]
    print(f"the file has {kept} and the metadata {file.metadata()}")
ids = torch.tensor([[1, 2, 3]])
logits = GPT2LMHeadModel.from_pretrained("model").eval()(ids).logits
features = [GPT2Model.from_pretrained("model").eval()(ids).last_hidden_state for _ in range(2)]
right = model.transformer(ids).last_hidden_state
whole = torch.equal(logits, model(ids).logits)
print(f"GPT2LMHeadModel gives the logits of before: {whole}; GPT2Model gives features of before: {torch.allclose(features[0], right)}, "
      f"the same when loaded twice: {torch.allclose(*features)}")
assert kept == ["lm_head.weight"] and whole, "changed"
assert not torch.allclose(features[0], right, atol=0.1) and not torch.allclose(*features, atol=0.1), "changed"
PYTHON
grep -o "wte.weight *| MISSING" said | head -1 || { echo "changed: no report" >&2; exit 1; }
