#!/usr/bin/env bash
# BertTokenizer(vocab_file=…) and GPT2Tokenizer(vocab_file=…, merges_file=…), as older code has it, in transformers 5.24.0.
#
# Expected: they load the files, as they did through version 4; or a TypeError says that the arguments are gone.
# Seen: the arguments by these names are taken and ignored.  What comes back is a tokenizer of its special tokens alone: every
# Chinese text encodes to [UNK].  The same path without a name, BertTokenizer("vocab.txt"), loads the file.
#
# Much code for Chinese GPT-2 models begins with this line.  minigpt.hf.BertTokenizer reads the file in both forms, as 4.57 does
# (tests/hf/test_idioms.py).
#
# Usage: findings/transformers_vocab_file_argument.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "transformers==5.24.0" "numpy==2.2.6"
cd "$folder"
TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PYTHON'
import json

import transformers
from transformers import BertTokenizer, GPT2Tokenizer

print("transformers", transformers.__version__)
with open("vocab.txt", "w", encoding="utf-8") as file:
    file.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "今", "天", "好"]) + "\n")
with open("vocab.json", "w", encoding="utf-8") as file:
    json.dump({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}, file)
with open("merges.txt", "w", encoding="utf-8") as file:
    file.write("#version: 0.2\na b\n")
by_name, by_place = BertTokenizer(vocab_file="vocab.txt"), BertTokenizer("vocab.txt")
found = {
    'BertTokenizer(vocab_file="vocab.txt")': (len(by_name), by_name.tokenize("今天好")),
    'BertTokenizer("vocab.txt")': (len(by_place), by_place.tokenize("今天好")),
    "GPT2Tokenizer(vocab_file=…, merges_file=…)": (len(gpt2 := GPT2Tokenizer(vocab_file="vocab.json", merges_file="merges.txt")),
                                                   gpt2.tokenize("ab")),
}
for call, (size, tokens) in found.items():
    print(f"{call}: {size} tokens, splits into {tokens}")
assert [size for size, _ in found.values()] == [5, 8, 1], "changed"
PYTHON
