#!/usr/bin/env bash
# wordchipper 0.9.2, a tokenizer that stands in for tiktoken, where the network does not answer.
#
# Guessed before: nothing depends on the network, since the package says that the vocabularies are built in and that
# from_pretrained never makes a request; or, if it downloads, a failed download is an error, as it is in tiktoken.
# Seen: it downloads, and a failed download leaves an empty file in its cache.  An empty vocabulary counts as one: the tokenizer
# has the 256 bytes and nothing else, "hello world" is eleven tokens, [104, 101, …], and no error or warning is seen.  The empty
# file stays: also later, with the network back, this user gets bytes.  tiktoken's names in wordchipper.compat do the same.
#
# A corpus encoded so is four times as long, and its ids, all below 256, are other tokens of a pre-trained model.  Check
# n_vocab, 50257 for r50k_base and GPT-2, and delete the cache.
#
# Usage: findings/wordchipper_without_its_vocabulary.sh        needs Python 3.10 or newer on Linux and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "wordchipper==0.9.2"
cd "$folder"
mkdir home
export HOME="$folder/home" HTTPS_PROXY=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9       # nothing listens there
unset XDG_CACHE_HOME
cat > encode.py <<'PYTHON'
from importlib.metadata import version
from pathlib import Path

import wordchipper
from wordchipper.compat import tiktoken

print("wordchipper", version("wordchipper"))
tokenizer = wordchipper.Tokenizer.from_pretrained("r50k_base")
ids = tokenizer.encode("hello world")
print(f"r50k_base: {tokenizer.vocab_size} tokens; hello world: {ids}")
assert tokenizer.vocab_size == 256 and ids == list(b"hello world"), "changed"
ids = tiktoken.get_encoding("cl100k_base").encode("hello world")
print(f"cl100k_base by tiktoken's name: {ids}")
assert ids == list(b"hello world"), "changed"
sizes = {path.name: path.stat().st_size for path in sorted(Path.home().rglob("*.tiktoken"))}
print(f"bytes in the cache: {sizes}")
assert sizes == {"cl100k_base.tiktoken": 0, "r50k_base.tiktoken": 0}, "changed"
PYTHON
for run in first second; do
    echo "$run run"
    "$folder/venv/bin/python" encode.py
done
