#!/usr/bin/env bash
# LoRA with init_lora_weights="olora" on a GPT-2, in peft 0.21.2 with transformers 5.24.0.
#
# Guessed before: a fresh adapter changes nothing, whichever way it is initialized, and for Conv1D, GPT-2's layer, the matrix is
# transposed first, as init_lora_weights=True and "pissa" do.
# Seen: OLoRA takes the matrix as it lies there.  For a matrix that is not square, c_attn or c_fc, the first forward pass is a
# RuntimeError about shapes.  For a square one, attn.c_proj, nothing is said, and the fresh model has other logits: what is taken
# out of the weight is the transpose of what the adapter adds.
#
# Training then starts from a damaged model.  Compare the logits before and after get_peft_model; use "pissa" for GPT-2.
#
# Usage: findings/peft_olora_of_conv1d.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "peft==0.21.2" "transformers==5.24.0" "accelerate==1.15.0" "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import copy

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

print("peft", peft.__version__, "transformers", transformers.__version__)
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2)).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
ids = torch.arange(9)[None]
before = model(ids).logits
found = {}
for layer in ("attn.c_proj", "c_attn"):
    for init in (True, "pissa", "olora"):
        config = LoraConfig(r=4, target_modules=[layer], fan_in_fan_out=True, init_lora_weights=init)
        try:
            after = get_peft_model(copy.deepcopy(model), config).eval()(ids).logits
            found[layer, init] = "the same logits" if torch.allclose(after, before, atol=1e-3) else "other logits"
            print(f"{layer}, init_lora_weights={init!r}: {found[layer, init]}, off by {(after - before).abs().max():.1g}")
        except RuntimeError as error:
            found[layer, init] = "RuntimeError"
            print(f"{layer}, init_lora_weights={init!r}: RuntimeError: {error}")
assert [outcome for (_, init), outcome in found.items() if init != "olora"] == ["the same logits"] * 4, "changed"
assert found["attn.c_proj", "olora"] == "other logits" and found["c_attn", "olora"] == "RuntimeError", "changed"
PYTHON
