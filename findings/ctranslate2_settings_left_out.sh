#!/usr/bin/env bash
# A GPT-2 of transformers 5.24.0 with settings of its own, converted by CTranslate2 4.8.5.
#
# Guessed before: the converter carries every setting over that its engine knows (it has a layer_norm_epsilon), and refuses a model
# with one that it does not.
# Seen: activation functions and the width of the MLP are carried over.
# layer_norm_epsilon, scale_attn_weights and scale_attn_by_inverse_layer_idx are not read for GPT-2: the converted model has 1e-5
# and the usual scale, and other logits, without a word; its config.json says "layer_norm_epsilon": null.
#
# Compare one row of logits (Generator.forward_batch) after a conversion.
# minigpt computes with all three (tests/models/test_settings.py).
#
# Usage: findings/ctranslate2_settings_left_out.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "ctranslate2==4.8.5" "transformers==5.24.0" "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
"$folder/venv/bin/python" - <<'PYTHON' 2> errors || { cat errors >&2; exit 1; }
import json

import ctranslate2
import numpy as np
import torch
import transformers
from ctranslate2.converters import TransformersConverter
from transformers import GPT2Config, GPT2LMHeadModel

print("ctranslate2", ctranslate2.__version__, "transformers", transformers.__version__)
tokens = [*"abcdefghijklmnopqrs", "<|endoftext|>"]
sizes = {"vocab_size": 20, "n_positions": 16, "n_embd": 16, "n_layer": 3, "n_head": 2, "bos_token_id": 19, "eos_token_id": 19}
ids = torch.randint(19, (1, 9), generator=torch.Generator().manual_seed(0))
SETTINGS = (
    ({}, True), ({"activation_function": "relu"}, True), ({"n_inner": 24}, True), ({"layer_norm_epsilon": 0.1}, False),
    ({"scale_attn_weights": False}, False), ({"scale_attn_by_inverse_layer_idx": True}, False),
)
for settings, carried in SETTINGS:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**sizes, **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained("model")
    vocabulary = {token: i for i, token in enumerate(tokens)}
    for name, content in (("vocab", vocabulary), ("tokenizer_config", {"tokenizer_class": "GPT2Tokenizer"})):
        with open(f"model/{name}.json", "w", encoding="utf-8") as file:
            json.dump(content, file)
    with open("model/merges.txt", "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n")
    TransformersConverter("model").convert("converted", force=True)
    generator = ctranslate2.Generator("converted", device="cpu", compute_type="float32", intra_threads=1)
    found = np.array(generator.forward_batch([[tokens[i] for i in ids[0]]]))
    off = np.abs(found - model(ids).logits.detach().numpy()).max()
    with open("converted/config.json", encoding="utf-8") as file:
        epsilon = json.load(file)["layer_norm_epsilon"]
    print(f"{settings}: logits differ by up to {off:.1g}; layer_norm_epsilon of the converted model: {epsilon}")
    assert (off < 1e-4 if carried else off > 0.1) and epsilon is None, "changed"
PYTHON
