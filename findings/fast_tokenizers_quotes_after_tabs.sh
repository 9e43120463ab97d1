#!/usr/bin/env bash
# Two fast readers of tokenizer.json, tokie 0.1.4 and kitoken 0.11.1, beside tokenizers 0.23.3: a byte-level BPE with GPT-2's
# split, on Python and tab-indented source.
#
# Guessed before: the same ids for every text; tokie calls itself "100% accurate" and a drop-in replacement.
# Seen: prose and most code, yes.  A single quote behind a tab is split otherwise by both, and behind a line break by kitoken:
# GPT-2's pattern takes the white space by itself and then 's or 't as a contraction, whatever follows; they take the quote
# alone and the word whole.  So \t'test' is "'", "test" instead of "'t", "est".
#
# The ids decode to the same text, so nothing shows it; the model was trained on the others.  Compare ids on a sample of your
# own corpus before you change the tokenizer.
#
# Usage: findings/fast_tokenizers_quotes_after_tabs.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tokenizers==0.23.3" "tokie==0.1.4" "kitoken==0.11.1"
cd "$folder"
venv/bin/python - <<'PYTHON'
import sysconfig
from importlib.metadata import version
from pathlib import Path

import kitoken
import tokie
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

texts = [path.read_text("utf-8") for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-m]*.py"))]
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
    vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
tokenizer.save("tokenizer.json")
peers = {
    f"tokie {version('tokie')}": tokie.Tokenizer.from_json("tokenizer.json"),
    f"kitoken {version('kitoken')}": kitoken.Kitoken.from_tokenizers_file("tokenizer.json"),
}


def ids(peer, text):
    return peer.encode(text).ids if isinstance(peer, tokie.Tokenizer) else list(peer.encode(text, True))


samples = {"prose": "It's the model's text, isn't it?\n\nThey've said: 'test'.\n", "behind spaces": "[\n    'train',\n    'test',\n]\n",
           "behind line breaks": "[\n'train',\n'test',\n]\n", "behind tabs": "[\n\t'train',\n\t'test',\n]\n"}
for name, peer in peers.items():
    same = {kind: ids(peer, text) == tokenizer.encode(text).ids for kind, text in samples.items()}
    pieces = [tokenizer.id_to_token(number) for number in ids(peer, "\t'test'")]
    print(f"{name}: the ids of tokenizers {version('tokenizers')}: {same}; \\t'test' is {pieces}, "
          f"not {tokenizer.encode(chr(9) + chr(39) + 'test' + chr(39)).tokens}")
    assert same == {"prose": True, "behind spaces": True, "behind line breaks": name.startswith("tokie"), "behind tabs": False}, "changed"
PYTHON
