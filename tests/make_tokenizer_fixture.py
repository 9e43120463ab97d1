"""Write down the ids that tiktoken and Hugging Face's tokenizers give to a few hundred strings with GPT-2's vocabulary.

    python tests/make_tokenizer_fixture.py       # writes tests/fixtures/gpt2_tokens.json

Needs the bench extra and Python 3.14 or older, whose Unicode is 16 at most.  tokenization/test_tokenizer.py compares minigpt
with the file, tokenization/test_tokenizer_reference.py with both libraries on thousands more strings.  Both get the merges from
minigpt, so that nothing is downloaded; that they are GPT-2's is tested by their hash.
"""

import argparse
import json
import random
import unicodedata
from collections import defaultdict
from pathlib import Path

from minigpt.tokenization import Tokenizer

FIXTURE = Path(__file__).parent / "fixtures" / "gpt2_tokens.json"
# Assigned by Unicode 15 and 16, which the unicodedata of an older Python does not know.
NEW = [
    (0x11F02, 0x11F10), (0x11F50, 0x11F59), (0x1E4D0, 0x1E4F9), (0x31350, 0x323AF), (0x2EBF0, 0x2EE5D),
    (0x105C0, 0x105C9), (0x10D40, 0x10D65), (0x11380, 0x11389), (0x116D0, 0x116E3), (0x11BC0, 0x11BE1),
    (0x11BF0, 0x11BF9), (0x13460, 0x143FA), (0x16100, 0x16139), (0x16D40, 0x16D79), (0x1CC00, 0x1CCF9),
    (0x1E5D0, 0x1E5FA), (0x1FADC, 0x1FADC), (0xA7CB, 0xA7CD), (0xA7DA, 0xA7DC),
]  # fmt: skip
SPACES = [*"    \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2003\u2009\u2028\u2029\u202f\u205f\u3000"]
NO_SPACES = [*"\u180e\u200b\u200c\u200d\u2060\ufeff\x00\x07\x08\x1b\x7f\x80\x9f\xad\ufffd\uffff\U0010ffff"]
CONTRACTIONS = [q + end for q in "'’" for end in ("s", "t", "re", "ve", "m", "ll", "d", "S", "RE", "x", "")]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪🇫🇷", "❤️", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "☺︎", "🫜"]
WORDS = [
    *["the", "of", "and", "internationalisation", "Привет", "κόσμε", "你好世界", "こんにちは", "안녕하세요", "नमस्ते"],
    *["שלום", "مرحبا", "naïve", "e\u0301", "<|endoftext|>"],
]


def characters_by_category() -> list[list[int]]:
    """The code points of Unicode 16 (surrogates cannot be encoded), a list for each general category."""
    codes = defaultdict(list)
    for code in range(0x110000):
        codes[unicodedata.category(chr(code))].append(code)
    del codes["Cs"], codes["Cn"]  # unassigned ones can get any meaning in later versions
    return [*codes.values(), [code for first, last in NEW for code in range(first, last + 1)]]


def random_string(rng: random.Random, categories: list[list[int]]) -> str:
    """A few runs, each of one kind: what a splitting pattern and a merge loop can get wrong, next to one another."""
    any_character = [lambda: chr(rng.choice(rng.choice(categories)))]
    makers = 3 * any_character + [
        lambda: rng.choice(SPACES),
        lambda: rng.choice(SPACES) * rng.randrange(1, 9),
        lambda: rng.choice(NO_SPACES),
        lambda: rng.choice(CONTRACTIONS),
        lambda: rng.choice(EMOJI),
        lambda: rng.choice(["", " "]) + rng.choice(WORDS),
        lambda: "".join(rng.choices("etaoinshrdlu", k=rng.randrange(1, 12))),
        lambda: str(rng.randrange(10 ** rng.randrange(1, 12))),
        lambda: chr(rng.randrange(33, 127)),
    ]
    kinds = rng.sample(makers, rng.randrange(1, 5))
    string = "".join(rng.choice(kinds)() for _ in range(rng.randrange(1, 20)))
    return string * rng.choice([1] * 40 + [2, 20])


def random_strings(seed: int, count: int) -> list[str]:
    """Every seed gives the same strings on one version of Python."""
    rng, categories = random.Random(seed), characters_by_category()
    return [random_string(rng, categories) for _ in range(count)]


def tiktoken_encoding(tokenizer: Tokenizer):
    """tiktoken's encoding of a tokenizer's vocabulary."""
    import tiktoken

    ordinary = tokenizer.vocab_size - len(tokenizer.special_tokens)
    return tiktoken.Encoding(
        "minigpt",
        pat_str=r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",  # r50k_base's
        mergeable_ranks={tokenizer.token_bytes(id): id for id in range(ordinary)},
        special_tokens=tokenizer.special_tokens,
    )


def tokenizers_tokenizer(folder):
    """Hugging Face's byte-level BPE over a saved folder's vocab.json and merges.txt; it adds no special tokens."""
    import tokenizers

    return tokenizers.ByteLevelBPETokenizer.from_file(f"{folder}/vocab.json", f"{folder}/merges.txt")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import tempfile

    import tiktoken
    import tokenizers

    strings = ["", *WORDS, *EMOJI, *(a + b for a in ("a", " ") for b in SPACES)]
    strings += [chr(first) + "'s" for first, _ in NEW]  # a sign would take the apostrophe, a letter leaves it to the s
    strings += random_strings(1, 300)
    gpt2 = Tokenizer.gpt2()
    with tempfile.TemporaryDirectory() as folder:
        gpt2.save(folder)
        hugging_face = tokenizers_tokenizer(folder)
    encoding = tiktoken_encoding(gpt2)
    rows = []
    for string in strings:
        ids = encoding.encode(string, disallowed_special=())
        if hugging_face.encode(string).ids != ids:
            raise SystemExit(f"{string!r}: tiktoken and tokenizers disagree")
        rows.append(json.dumps([string, ids], separators=(",", ":")))
    versions = {
        "tiktoken": tiktoken.__version__,
        "tokenizers": tokenizers.__version__,
        "unicode": f"{unicodedata.unidata_version}, 16 in part",
    }
    head = json.dumps({"made_by": "tests/make_tokenizer_fixture.py", "versions": versions}, indent=1).removesuffix("\n}")
    content = f'{head},\n "ids": [\n' + ",\n".join(rows) + "\n ]\n}\n"
    FIXTURE.write_text(content, encoding="utf-8", newline="\n")
    print(f"{FIXTURE}: {len(rows)} strings, {len(content)} bytes")


if __name__ == "__main__":
    main()
