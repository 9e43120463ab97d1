#!/usr/bin/env bash
# Added tokens beside a vocabulary with holes, in tokenizers 0.23.3.
#
# Expected: tokenizer.json states the id of each added token, so that is its id; an id that is taken is an error.
# Seen: the stated id is not read.  The first added token gets the number of tokens in the vocabulary as its id, the next one
# more, whatever stands there already.  In a vocabulary of two tokens with the ids 0 and 3, the second added token becomes 3 as
# well: two texts encode to the same id, which decodes to the added one, without an error or a warning.
#
# Vocabularies from which tokens were taken out have such holes.  minigpt gives the same ids as this library, since a model was
# trained with them, and warns of the collision (tests/tokenization/test_tokenizer_json.py).
#
# Usage: findings/tokenizers_added_tokens_beside_holes.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
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

tokenizer = tokenizer_of({"a": 0, "b": 3}, added=[("<x>", 10), ("<y>", 11)])
found = {text: tokenizer.encode(text).ids for text in ("a", "b", "<x>", "<y>")}
print("stated: a 0, b 3, <x> 10, <y> 11; given:", found)
print("decode([3]):", repr(tokenizer.decode([3])))
assert found == {"a": [0], "b": [3], "<x>": [2], "<y>": [3]} and tokenizer.decode([3]) == "<y>", "changed"
PYTHON
