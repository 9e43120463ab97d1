#!/usr/bin/env bash
# One corpus, trained on three times by tokenizers 0.23.3, each time in a new process: BPE, BPE with limit_alphabet=1000,
# BertWordPieceTokenizer with its defaults, Unigram.
#
# Guessed before: the same corpus and the same settings give the same vocabulary; nothing in these algorithms is random, and
# ties are broken by a rule.
# Seen: BPE without a limit does so.  With limit_alphabet the characters are sorted by how often they occur and by nothing else,
# out of a hash map whose order is another one in each process: which of the equally rare ones are kept is left to chance, and
# all ids of the tokens that merge after them move.  BertWordPieceTokenizer sets 1000 by itself, so every corpus with more
# characters, any Chinese one, is hit.  Unigram gives other scores each time, by which it sorts, so that the same tokens have
# other ids.
#
# A model trained with the one vocabulary reads noise with the other, though "the same script made both".  Keep the file; set
# limit_alphabet above the number of characters, or None.
#
# Usage: findings/tokenizers_trained_twice.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tokenizers==0.23.3"
cd "$folder"
export HF_HUB_OFFLINE=1
cat > train.py <<'PYTHON'
import json
import random
import sys

from tokenizers import BertWordPieceTokenizer, Tokenizer, models, pre_tokenizers, trainers

rng = random.Random(0)
characters = [chr(0x4E00 + i) for i in range(2000)]
lines = ["".join(rng.choices(characters, [1 / (i + 1) for i in range(2000)], k=20)) for _ in range(1500)]


def trained(model, trainer):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


bert = BertWordPieceTokenizer()
bert.train_from_iterator(lines, vocab_size=2000, show_progress=False)
made = {
    "BPE": trained(models.BPE(), trainers.BpeTrainer(vocab_size=3000, show_progress=False)),
    "BPE, limit_alphabet": trained(models.BPE(), trainers.BpeTrainer(vocab_size=3000, limit_alphabet=1000, show_progress=False)),
    "BertWordPieceTokenizer": bert,
    "Unigram": trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=2500, show_progress=False)),
}
scores = json.loads(made["Unigram"].to_str())["model"]["vocab"]
json.dump({"vocab": {name: tokenizer.get_vocab() for name, tokenizer in made.items()}, "scores": scores}, open(sys.argv[1], "w"))
PYTHON
for i in 1 2 3; do venv/bin/python train.py $i.json; done
venv/bin/python - <<'PYTHON'
import json
from importlib.metadata import version

print("tokenizers", version("tokenizers"))
runs = [json.load(open(f"{i}.json")) for i in (1, 2, 3)]
for name, first in runs[0]["vocab"].items():
    others = [run["vocab"][name] for run in runs[1:]]
    lost = max(len(first.keys() - other.keys()) for other in others)
    moved = max(sum(other.get(token) != number for token, number in first.items()) for other in others)
    print(f"{name}: of {len(first)} tokens up to {lost} are missing and {moved} have no or another id in a second vocabulary")
    assert (moved == 0) == (name == "BPE"), f"changed: {name}"
    if name in ("BPE, limit_alphabet", "BertWordPieceTokenizer"):
        assert lost > 10 and moved > 100, f"changed: {name}"
same = runs[0]["scores"] == runs[1]["scores"] == runs[2]["scores"]
print(f"Unigram: the tokens and scores of the three are equal: {same}")
assert not same, "changed"
PYTHON
