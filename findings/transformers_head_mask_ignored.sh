#!/usr/bin/env bash
# Heads of a GPT-2 switched off by model(ids, head_mask=…), as older code does it, in transformers 5.24.0.
#
# Guessed before: it still works; or an argument that is gone is a TypeError, as in any Python function.
# Seen: forward() takes any name at all into its keyword arguments and does nothing with it: head_mask=0 for all heads gives the
# very logits of the whole model, and so does a misspelled attention_mask.  output_attentions=True gives an empty tuple, since
# only the "eager" attention has weights to give.  With attn_implementation="eager" the weights are there and head_mask is still
# ignored.
#
# A study that removes heads one by one then finds that none matters.  Multiply in a hook on attn.c_proj's input instead;
# compare with a mask of zeros first.
#
# Usage: findings/transformers_head_mask_ignored.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "transformers==5.24.0" "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
cat > heads.py <<'PYTHON'
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel

ids = torch.tensor([[5, 3, 7, 1, 9]])
for kind in ("sdpa", "eager"):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50, n_positions=8, n_embd=32, n_layer=2, n_head=2, attn_implementation=kind)
    model = GPT2LMHeadModel(config).eval()
    whole = model(ids).logits

    def moved(**options):
        return (model(ids, **options).logits - whole).abs().max().item()

    seen = {"head_mask": moved(head_mask=torch.zeros(2, 2)), "atention_mask": moved(atention_mask=torch.zeros(1, 5))}
    weights = len(model(ids, output_attentions=True).attentions)
    print(f"transformers {transformers.__version__}, {kind}: logits change by {seen}; attention weights of {weights} layers")
    assert set(seen.values()) == {0} and weights == (0 if kind == "sdpa" else 2), "changed"
PYTHON
venv/bin/python -W ignore heads.py 2> errors || { cat errors >&2; exit 1; }
