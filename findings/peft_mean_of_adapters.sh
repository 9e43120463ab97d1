#!/usr/bin/env bash
# The mean of two LoRA adapters of a GPT-2 by add_weighted_adapter, in peft 0.21.2.
#
# Guessed before: with combination_type="linear" and weights w, v the change of a matrix is w·ΔA + v·ΔB; the mean of an adapter
# and itself is the adapter.
# Seen: the factors are combined, not their products, each with the root of its weight.  The product then holds the
# mixed terms too: √(w v) times A's up matrix with B's down matrix, and the other way round.  The mean of an adapter and itself
# is twice the adapter; that of two unrelated ones is off by about as much as it is large.  "cat" and "svd" are what the
# formula says.
#
# A merged model is then pushed too far where the adapters agree.  Use "cat", whose rank is the sum of both, or "svd".
#
# Usage: findings/peft_mean_of_adapters.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "peft==0.21.2" "transformers==5.24.0" "accelerate==1.15.0" "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import peft
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

print("peft", peft.__version__)
torch.manual_seed(0)
config = LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True, init_lora_weights=False)     # False: random, as if trained
model = get_peft_model(GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=64, n_layer=1, n_head=2)), config, adapter_name="one")
model.add_adapter("two", config)
layer = model.base_model.model.transformer.h[0].attn.c_attn
one, two = layer.get_delta_weight("one"), layer.get_delta_weight("two")
off = {}
for kind in ("linear", "cat", "svd"):
    for pair, want in ((("one", "two"), (one + two) / 2), (("one", "one"), one)):
        name = f"{kind} of {' and '.join(pair)}"
        model.add_weighted_adapter(list(pair), [0.5, 0.5], name, combination_type=kind, **({"svd_rank": 8} if kind == "svd" else {}))
        found = layer.get_delta_weight(name)
        off[kind, pair] = ((found - want).norm() / want.norm()).item()
        print(f"{name}: off by {off[kind, pair]:.2g} of its size")
    twice = torch.allclose(found, 2 * one, atol=1e-5)
    print(f"{kind}: the mean of an adapter and itself is twice the adapter: {twice}")
    assert twice == (kind == "linear"), "changed"
for (kind, pair), number in off.items():
    assert number > 0.5 if kind == "linear" else number < 1e-4, f"changed: {kind} {pair}"
PYTHON
