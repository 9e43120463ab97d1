#!/usr/bin/env bash
# An added token that is a letter of byte-level BPE's alphabet, such as é, in tokenizers 0.23.3.
#
# Expected: an added token is split out before the bytes and put back as the text it is; it decodes to itself.
# Seen: on the way back its characters are read as names of bytes, like those of all other tokens.  é stands for the byte E9, which
# alone is no UTF-8: it decodes to U+FFFD.  Ġx decodes to a space and x.  A text outside the alphabet, such as 日本, comes back.
#
# Whoever adds words of a language with accents loses them in every decoded text.  minigpt decodes added tokens to themselves,
# a difference that its README lists (tests/tokenization/test_tokenizer_json.py).
#
# Usage: findings/tokenizers_added_token_with_accent.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
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

added = {"é": "\ufffd", "Ġx": " x", "日本": "日本", "caf\u00e9": "caf\ufffd"}
tokenizer = tokenizer_of({"a": 0}, added=[(text, 1 + i) for i, text in enumerate(added)])
found = {text: tokenizer.decode(tokenizer.encode(text).ids) for text in added}
for text, decoded in found.items():
    print(f"added {text!r}: encoded to {tokenizer.encode(text).tokens}, decoded to {decoded!r}")
assert found == added, "changed"
PYTHON
