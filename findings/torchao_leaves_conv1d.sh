#!/usr/bin/env bash
# A GPT-2 quantized to int8 weights by torchao 0.18.0, by itself and through transformers 5.24.0.
#
# Guessed before: all matrices of the layers become int8, and the model takes somewhat more than a quarter of the memory.
# Seen: none of them.  torchao takes nn.Linear alone, and the layers of transformers' GPT-2 are Conv1D, which holds its matrix
# transposed.  quantize_() finds one nn.Linear, the output layer, whose float32 matrix is the embedding and is kept: the file
# grows.  from_pretrained(quantization_config=TorchAoConfig(…)) leaves the output layer out too, so that nothing at all is
# quantized.  Neither says a word.
#
# Measured losses and speeds are then those of float32.  Count the bytes before and after; replace Conv1D by nn.Linear first.
#
# Usage: findings/torchao_leaves_conv1d.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torchao==0.18.0" "transformers==5.24.0" "accelerate==1.15.0" "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
export HF_HUB_OFFLINE=1
cat > quantize.py <<'PYTHON'
import logging
import os
import warnings

import torch
import torchao
import transformers
from torchao.quantization import Int8WeightOnlyConfig, quantize_
from transformers import GPT2Config, GPT2LMHeadModel, TorchAoConfig

transformers.logging.disable_progress_bar()
said = []
transformers.logging.get_logger().addHandler(logging.Handler())
logging.Handler.handle = lambda self, record: said.append(record.getMessage())
warnings.showwarning = lambda message, *rest, **more: said.append(str(message))
warnings.simplefilter("always")


def size(model):
    torch.save(model.state_dict(), "weights.pt")
    return os.path.getsize("weights.pt")


def quantized(model):
    return [name for name, parameter in model.named_parameters() if type(parameter.data) is not torch.Tensor]


torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=5000, n_positions=32, n_embd=128, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0))
model.save_pretrained("model")
before = size(model)
said.clear()
quantize_(model, Int8WeightOnlyConfig())
after, names = size(model), quantized(model)
print(f"torchao {torchao.__version__}, quantize_: quantized {names}; the file had {before:,} bytes and has {after:,}")
assert names == ["lm_head.weight"] and after > before, "changed"

loaded = GPT2LMHeadModel.from_pretrained("model", quantization_config=TorchAoConfig(Int8WeightOnlyConfig()))
plain = GPT2LMHeadModel.from_pretrained("model")
bytes_of = loaded.get_memory_footprint(), plain.get_memory_footprint()
print(f"transformers {transformers.__version__}, TorchAoConfig: quantized {quantized(loaded)}; {bytes_of[0]:,} bytes, "
      f"without it {bytes_of[1]:,}; messages {said}")
assert quantized(loaded) == [] and bytes_of[0] == bytes_of[1], "changed"
assert not any("quanti" in message.lower() or "linear" in message.lower() for message in said), f"changed: {said}"
PYTHON
"$folder/venv/bin/python" quantize.py 2> errors || { cat errors >&2; exit 1; }
