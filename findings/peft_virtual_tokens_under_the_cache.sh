#!/usr/bin/env bash
# generate() of a GPT-2 with a trained prefix or prompt: peft 0.21.2 with transformers 5.24.0, each the newest.
#
# Guessed before: generate() without sampling takes the token with the highest logit of forward(), one after the other, as it does
# without an adapter; the cache saves time and changes nothing.
# Seen: with use_cache=True, the default, it does not.  PrefixTuning: the prefix's keys and values are not used at all, since
# transformers prefers its own new argument, cache, to the past_key_values in which peft passes them (a FutureWarning says so);
# already the first logits are others.  PromptTuning: the first token is right, then the virtual tokens are put in
# front of each new token again, at positions that run on: 14 to 19 instead of 14 for the second token.  use_cache=False gives what
# forward() gives, for both.
#
# A model that was tuned well then writes badly, which looks like bad training; near the last position it raises IndexError.
# Generate with use_cache=False, or use LoRA.
#
# Usage: findings/peft_virtual_tokens_under_the_cache.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
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
import transformers
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

print("peft", peft.__version__, "transformers", transformers.__version__)
ids = torch.arange(1, 10)[None]
for kind in (PrefixTuningConfig, PromptTuningConfig):
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0))
    gpt2.generation_config.eos_token_id = None
    model = get_peft_model(gpt2, kind(task_type="CAUSAL_LM", num_virtual_tokens=5)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_((1.0 if parameter.requires_grad else 0.3) * torch.randn_like(parameter))
    positions = []
    gpt2.transformer.wpe.register_forward_pre_hook(lambda module, args: positions.append(args[0].flatten().tolist()))
    whole, expected = ids, []
    for _ in range(3):
        expected.append(model(input_ids=whole).logits[:, -1].detach())
        whole = torch.cat([whole, expected[-1].argmax(-1, keepdim=True)], 1)
    for cache in (True, False):
        positions.clear()
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, do_sample=False, use_cache=cache,
            pad_token_id=0, output_logits=True, return_dict_in_generate=True,
        )
        right = [torch.allclose(logits, wanted, atol=1e-3) for logits, wanted in zip(made.logits, expected)]
        print(f"{kind.__name__}, use_cache={cache}: first logits are forward()'s: {right[0]}; tokens {made.sequences[0, 9:].tolist()}, "
              f"by forward() {whole[0, 9:].tolist()}; positions of the second pass {positions[1]}")
        if not cache:
            assert all(right), "changed"
        elif kind is PrefixTuningConfig:
            assert not right[0], "changed"
        else:
            assert right[0] and positions[1] == [14, 15, 16, 17, 18, 19], "changed"
PYTHON
