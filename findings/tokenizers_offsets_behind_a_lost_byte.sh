#!/usr/bin/env bash
# Offsets of tokens behind a byte that the vocabulary does not have, in tokenizers 0.23.3.
#
# Expected: a byte without a token is left out of the ids, and the offsets of the others still point to where they stand in
# the text.
# Seen: the ids are as guessed, but the offsets count only what was encoded: in "Xab" the token ab is said to stand at 0 to 2,
# which is "Xa".  No error, and nothing in the encoding says that a byte is missing.
#
# Byte-level vocabularies that were trained without the whole alphabet are such.  minigpt's offsets come from the bytes that
# each token stands for (tests/tokenization/test_tokenizer_json.py).
#
# Usage: findings/tokenizers_offsets_behind_a_lost_byte.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tokenizers==0.23.3"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json

import tokenizers
from tokenizers import Tokenizer


def tokenizer_of(vocab, merges=(), added=()):
    """Byte-level BPE as tokenizer.json describes it; added: {text: id}"""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    return Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [{**flags, "content": text, "id": id} for text, id in added],
        "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": list(merges)},
    }))


print("tokenizers", tokenizers.__version__)

tokenizer = tokenizer_of({"a": 0, "b": 1, "ab": 2}, merges=[["a", "b"]])
encoding = tokenizer.encode("Xab")
start, end = encoding.offsets[0]
print(f"'Xab' -> {encoding.tokens}, offsets {encoding.offsets}: {'Xab'[start:end]!r}")
assert encoding.tokens == ["ab"] and encoding.offsets == [(0, 2)], "changed"
PYTHON
