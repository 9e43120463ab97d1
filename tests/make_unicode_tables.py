"""Write down which characters are letters, numbers, white space, … for the libraries whose tokens minigpt's equal.

    python tests/make_unicode_tables.py       # writes minigpt/tokenization/unicode_classes.py and bert_classes.py

Needs the bench extra.  Every code point is put to tiktoken and to the tokenizers package: what they know of Unicode is built
into them, and another version of Python, or of any package, must not change the tokens.
tokenization/test_unicode.py compares the tables with both libraries.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "minigpt" / "tokenization"
CODES = [*range(0xD800), *range(0xE000, 0x110000)]  # surrogates cannot be encoded
ALL = "".join(map(chr, CODES))


def ranges(codes: Iterable[int]) -> list[tuple[int, int]]:
    """Sorted code points -> the first and the last of each run: [65, 66, 70] -> [(65, 66), (70, 70)]."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return [(first, last) for first, last in runs]


def tiktoken_class(pattern: str) -> list[int]:
    """The characters that tiktoken matches: it leaves out of a text what its pattern does not match."""
    import tiktoken

    bytes_alone = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=pattern, mergeable_ranks=bytes_alone, special_tokens={})
    return [ord(char) for char in bytes(encoding.encode_ordinary(ALL)).decode()]


def bert_normalizer(**chosen: bool) -> Callable[[str], str]:
    """BERT's normalization of tokenizers with some of its steps alone."""
    from tokenizers import normalizers

    steps = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**(steps | chosen)).normalize_str


def bert_punctuation() -> list[int]:
    """The characters that BERT's pre-tokenizer makes words of their own."""
    from tokenizers.pre_tokenizers import BertPreTokenizer

    split = BertPreTokenizer().pre_tokenize_str
    return [code for code in CODES if len(split(f"a{chr(code)}")) == 2]


def bert_tables() -> dict[str, str]:
    """Name -> content, of all tables that BERT's rules need."""
    from tokenizers import normalizers

    clean, blanks = bert_normalizer(clean_text=True), bert_normalizer(handle_chinese_chars=True)
    accents, lower = bert_normalizer(strip_accents=True), bert_normalizer(lowercase=True)
    decompose = normalizers.NFD().normalize_str
    cleaned = {code: clean(chr(code)) for code in CODES}
    return {
        "REMOVED": spelled(ranges(code for code, text in cleaned.items() if not text)),
        "BLANKS": spelled(ranges(code for code, text in cleaned.items() if text == " ")),
        "IDEOGRAPHS": spelled(ranges(code for code in CODES if blanks(chr(code)) == f" {chr(code)} ")),
        "PUNCTUATION": spelled(ranges(bert_punctuation())),
        "ACCENTS": spelled(ranges(code for code in CODES if not accents(chr(code)))),
        # Characters that decompose, and those that change places with a second one: all that decomposing a text can change.
        "DECOMPOSED": spelled(ranges(code for code in CODES if changes(chr(code), decompose))),
        "LOWER": spelled_shifts({code: lower(chr(code)) for code in CODES if lower(chr(code)) != chr(code)}),
    }


def changes(char: str, decompose: Callable[[str], str]) -> bool:
    """Whether a character decomposes, or is moved: past U+0345, which goes last, or past U+0334, which goes first."""
    return any(decompose(text) != text for text in (char, f"a\u0345{char}", f"a{char}\u0334"))


def spelled(runs: Iterable[tuple[int, int]]) -> str:
    """Runs in hexadecimal: [(65, 90), (170, 170)] -> "41-5A AA"."""
    return " ".join(f"{first:X}-{last:X}" if last > first else f"{first:X}" for first, last in runs)


def spelled_shifts(lower: dict[int, str]) -> str:
    """Runs of characters that have the same distance to their lower case: "41-5A+32 100-12E/2+1", the latter every other."""
    shifts = {code: ord(text) - code for code, text in lower.items() if len(text) == 1}
    runs: list[list[int]] = []  # first, last, step, shift
    for code, shift in shifts.items():
        if runs and shift == runs[-1][3] and (step := code - runs[-1][1]) <= 2 and runs[-1][2] in (0, step):
            runs[-1][1:3] = [code, step]
        else:
            runs.append([code, code, 0, shift])
    return " ".join(
        f"{first:X}" + (f"-{last:X}" if last > first else "") + ("/2" if step == 2 else "") + f"{shift:+}"
        for first, last, step, shift in runs
    )


def module(docstring: str, tables: dict[str, str]) -> str:
    """The source of a module of tables."""
    lines = [docstring]
    for name, content in tables.items():
        rows = textwrap.wrap(content, 120)
        lines += [f"{name} = (", *(f'    "{row} "' for row in rows[:-1]), f'    "{rows[-1]}"', ")"]
    return "\n".join(lines) + "\n"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import tiktoken
    import tokenizers

    made = "Made by tests/make_unicode_tables.py with"
    runs = "Each run of code points in hexadecimal, its first and last."
    classes = {"LETTERS": r"\p{L}", "NUMBERS": r"\p{N}", "WHITE_SPACE": r"\s"}
    content = module(
        rf'r"""The characters that \p{{L}}, \p{{N}} and \s match in tiktoken {tiktoken.__version__}, those of Unicode 16.'
        f'\n\n{runs}  {made} that version.\n"""\n',
        {name: spelled(ranges(tiktoken_class(pattern))) for name, pattern in classes.items()},
    )
    write("unicode_classes.py", content)
    content = module(
        f'"""What BERT\'s tokenizer knows of each character, as the tokenizers package {tokenizers.__version__} has it.\n\n'
        f"{runs}  LOWER has the distance to the lower case after it; /2 takes\nevery other one.  {made} that version.\n"
        '"""\n',
        bert_tables(),
    )
    write("bert_classes.py", content)


def write(name: str, content: str) -> None:
    (FOLDER / name).write_text(content, encoding="utf-8", newline="\n")
    print(f"{FOLDER / name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
