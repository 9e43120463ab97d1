#!/usr/bin/env bash
# Two special tokens of which one begins the other, such as <s> and <s>z, in tiktoken 0.14.0.
#
# Guessed before: where both match, the longer one is taken, as tokenizers does; or the one that was named first.
# Seen: neither.  It depends on the texts: <|b|>z is one token, <|a|>z is <|a|> and the bytes of z.  For some names it depends on
# the order in the dictionary as well.  The texts become one pattern of alternatives in the order of a hash table, and the first
# that matches wins.  It is the same in each process.
#
# A token of such a pair may never come out of encode, though the vocabulary has it and decode knows it.  End every special token
# with a sign that occurs in none of them before its end, as | > does.  minigpt takes the longer one
# (tests/tokenization/test_split.py).
#
# Usage: findings/tiktoken_special_tokens_with_one_beginning.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tiktoken==0.14.0" "tokenizers==0.23.3"
"$folder/venv/bin/python" - <<'PYTHON'
import tiktoken
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
longest, first, tiktokens = [], [], {}
for short in ("<|a|>", "<|b|>", "<|end|>", "<s>"):
    for names in ([short, short + "z"], [short + "z", short]):
        special = {name: 256 + i for i, name in enumerate(names)}
        ids = tiktoken.Encoding(
            "bytes", pat_str=r"\w+|\W", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens=special
        ).encode(short + "z", allowed_special="all")
        other = Tokenizer(models.BPE({sign: i for i, sign in enumerate(alphabet)}, []))
        other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        other.add_special_tokens([AddedToken(name, normalized=False) for name in names])
        whole = ids == [special[short + "z"]]
        tiktokens[tuple(names)] = whole
        longest.append(whole)
        first.append(whole == (names[0] == short + "z"))
        assert whole or ids == [special[short], ord("z")]
        assert other.encode(short + "z").tokens == [short + "z"]
        print(f"special tokens {names}: tiktoken {'takes the longer' if whole else 'takes the shorter and z'}, tokenizers the longer")
assert len(set(longest)) == 2 and len(set(first)) == 2, "changed: there is a rule now"
assert [tiktokens[short, short + "z"] for short in ("<|a|>", "<|b|>")] == [False, True], "changed"
PYTHON
