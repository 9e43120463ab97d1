"""Write down what BertTokenizer of transformers makes of a small vocabulary: ids, texts, files.

    python tests/make_wordpiece_fixture.py       # writes tests/fixtures/wordpiece.json

Needs the bench extra.  tokenization/test_wordpiece.py compares minigpt with the file,
tokenization/test_wordpiece_reference.py with the library itself on every code point and on thousands of strings.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from minigpt.tokenization import bert_classes

FIXTURE = Path(__file__).parent / "fixtures" / "wordpiece.json"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Equal lines, an empty one, blanks at a line's beginning and end, and tokens that the rules would never make.
VOCAB = [
    *SPECIAL, "b", "a", "b ", "", " c", "A", "é", "e", "i", "##i\u0307", "i\u0307", "ss", "ß", "σ", "ς", "##σ", "α", "ᄒ", "##ᅡ",
    "##ᆫ", "か", "が", "##\u3099", "п", "##р", "the", "play", "##ing", "##ed", "un", "##aff", "##able", "do", "do not", "##n",
    "don", "t", "##t", "n't", "'", "s", "re", "300", "3", "##0", "##00", ".", ",", "!", "?", "-", "##-", "[", "]", "mask", "$",
    "。", "，", "“", "今", "天", "气", "很", "好", "##好", "豈", "𠀀",
    "𫠠", "〇", "😀", "x", "y", "##x", "##y", "\xad", "\ufffd",
]  # fmt: skip
TEXTS = [
    "", " ", "playing the unaffable PLAYED", "don't do not  300! 30 3.0, a-b",
    "今天天气，很好。“好”", "今天 play今天ing", "[MASK]今[CLS]",
    "[mask] [MASK", "é e\u0301 É ẞ ß SS", "İi\u0307 I", "ΑΣ σς Σ",
    "한 한", "が か\u3099 ガ", "пр Пр р", "a\u200bb a\xadb a\ufffdb a\x00b",
    "a\u00a0b a\u3000b a\u2028b a\tb\r\nb a\x0bb a\x85b a\u180eb",
    "豈 豈 𠀀a𠀀 𫠠a𫠠 〇a〇", "😀 a😀", "x" * 100, "x" * 101, "x" * 99 + " x",
    "a$b a\u2e43b a\u2010b", "$300", "##ing ##", "zz playzz", "x y xy", "X Y a[UNK]b", " c", "\u0301 a\u0301\u0323b", "b",
]  # fmt: skip
CONFIGS: list[dict[str, Any]] = [
    {}, {"do_lower_case": False}, {"strip_accents": False}, {"do_lower_case": False, "strip_accents": True},
    {"tokenize_chinese_chars": False}, {"eos_token": "</s>",
    "mask_token": {"content": "<mask>", "__type": "AddedToken"}, "pad_token": "a"},
]  # fmt: skip
ADDED = ["X Y", "很好"]
RULES = list(itertools.product([True, False], [None, True, False], [True, False]))


def edges() -> str:
    """Each first and last character of a run of a table, and its neighbors, between letters; and marks of later Unicodes."""
    tables = [table for name, table in vars(bert_classes).items() if name.isupper()]
    runs = " ".join(tables).replace("/2", "").replace("+", " +").split()
    codes = {int(code, 16) + step for run in runs if run[0] != "+" for code in run.split("-")[:2] for step in (-1, 0, 1)}
    valid = [code for code in sorted(codes) if 0 <= code < 0xD800 or 0xE000 <= code < 0x110000]
    return " ".join(f"x{chr(code)}y" for code in valid) + " x\U00011938y x\u0898\u0301\u1abf\u0316y x\u302f\u302ey"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def bert(folder: str, config: dict[str, Any] | None = None, vocab: list[str] = VOCAB):
    """Write a folder's vocab.txt and tokenizer_config.json and load them with transformers."""
    from transformers import BertTokenizer

    if config is not None:
        Path(folder, "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8", newline="\n")
        content = json.dumps(config | {"tokenizer_class": "BertTokenizer"})
        Path(folder, "tokenizer_config.json").write_text(content, encoding="utf-8")
    return BertTokenizer.from_pretrained(folder)


def rows(tokenizer) -> list[list[Any]]:
    """Text, ids, and what they decode to with and without special tokens."""
    made = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False) if text else []
        made.append([text, ids, tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=True)])
    return made


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import tokenizers
    import transformers
    from tokenizers import normalizers

    cases = []
    for config in CONFIGS:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = bert(folder, config)
            every = tokenizer.decode(range(len(VOCAB)))  # also tokens that no text gives
            cases.append({"config": config, "rows": rows(tokenizer), "every": every})
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = bert(folder, {}, sorted(set(VOCAB)))
        tokenizer.add_tokens(ADDED)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im|>"]})
        tokenizer.save_pretrained(folder)
        names = ("tokenizer.json", "tokenizer_config.json")
        saved = {
            "files": {name: json.loads(Path(folder, name).read_text(encoding="utf-8")) for name in names},
            "rows": rows(bert(folder)),
        }
    normalized = {}
    for lower, strip, ideographs in RULES:
        normalizer = normalizers.BertNormalizer(True, ideographs, strip, lower)
        normalized[f"{lower} {strip} {ideographs}"] = digest(normalizer.normalize_str(edges()))
    fixture = {
        "made_by": "tests/make_wordpiece_fixture.py",
        "versions": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
        "cases": cases,
        "saved": saved,
        "normalized": normalized,
    }
    content = json.dumps(fixture, ensure_ascii=True, separators=(",", ":")) + "\n"
    FIXTURE.write_text(content, encoding="utf-8", newline="\n")
    print(f"{FIXTURE}: {len(content)} bytes")


if __name__ == "__main__":
    main()
