#!/usr/bin/env bash
# The loss that the Trainer of transformers 5.24.0 gives a GPT-2, and a LLaMA.
#
# Guessed before: it is the mean over all tokens that are predicted, as model(ids, labels=ids).loss is, with gradient accumulation
# too.
# Seen: for GPT2LMHeadModel the sum is divided by one token too many a row, since the first label of a row is counted although
# nothing predicts it.  Rows of 5 tokens give 4/5 of the loss and of the gradient, and evaluate() 4/5 of the loss as well.
# LlamaForCausalLM gets all right: the count leaves the first labels out if the class's name says that its loss is ForCausalLM's,
# and the name GPT2LMHeadModel does not, though its loss is the same one.
#
# Short rows give perplexities that are too good, exp of 3.1 instead of 3.9, and losses of two libraries do not agree.  Multiply
# by T / (T − 1), or take model(ids, labels=ids).loss.
#
# Usage: findings/transformers_trainer_counts_first_labels.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "transformers==5.24.0" "accelerate==1.15.0" "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
"$folder/venv/bin/python" - <<'PYTHON' 2> errors || { cat errors >&2; exit 1; }
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

T = 5
gpt2 = GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)
llama = LlamaConfig(vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
ids = torch.randint(50, (8, T), generator=torch.Generator().manual_seed(0))
rows = [{"input_ids": row, "labels": row} for row in ids]
found = {}
print("transformers", transformers.__version__)
for build, config in ((GPT2LMHeadModel, gpt2), (LlamaForCausalLM, llama)):
    for batch, steps in ((8, 1), (2, 4)):
        torch.manual_seed(0)
        model = build(config)
        loss = model(ids, labels=ids).loss
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm().item()
        model.zero_grad()
        settings = TrainingArguments(
            "run", per_device_train_batch_size=batch, gradient_accumulation_steps=steps, max_steps=1, learning_rate=0, logging_steps=1,
            max_grad_norm=1e9, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True,
        )
        trainer = Trainer(model, settings, train_dataset=rows, eval_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        logged = trainer.state.log_history[0]
        evaluated = trainer.evaluate()["eval_loss"]
        ratios = logged["loss"] / loss.item(), logged["grad_norm"] / norm, evaluated / loss.item()
        print(f"{build.__name__}, {steps} batches of {batch} rows of {T} tokens: loss {loss.item():.4f}, logged {logged['loss']:.4f}, "
              f"evaluated {evaluated:.4f}; of the gradient's norm {ratios[1]:.4f}")
        want = (T - 1) / T if build is GPT2LMHeadModel else 1
        assert all(abs(ratio - right) < 1e-3 for ratio, right in zip(ratios, (want, want, want))), f"changed: {ratios}"
PYTHON
