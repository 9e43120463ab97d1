"""Tokenizing: encoding new text with GPT-2's vocabulary, and training a vocabulary, here and in tiktoken and tokenizers."""

from __future__ import annotations

import functools
import random
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from minigpt.tokenization import Tokenizer
from minigpt.training.corpora import load_corpus

from .race import Entry, Run, quartiles, race, ratio
from .report import Row

SIZE = 56_000                        # characters of a text to encode, about
TEXTS = 12                           # of a kind, a new one in each round, the first two to warm up
KINDS = ("English", "Python code", "mixed Unicode", "random Unicode")
SPLIT = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""       # as tiktoken has it
ALPHABETS = (                        # first and last code point of the letters, and how long a word of them is
    (0x3B1, 0x3C9, 7), (0x430, 0x44F, 8), (0x4E00, 0x9FA5, 2), (0x3042, 0x3093, 4), (0x905, 0x939, 6), (0x627, 0x64A, 6),
    (0xE0, 0xFF, 7), (0x1F600, 0x1F64F, 1), (0x30, 0x39, 4), (0x61, 0x7A, 6),
)
WAYS = {"line by line": 1, "400 lines at a time": 400, "as one string": None}        # of feeding tokenizers' trainer
LEXICON = 4000                       # words of an alphabet


def text(kind: str, corpus: str, i: int) -> str:
    """Return the i-th text of a kind, a new one for each i.

    English is from the corpus, code from the standard library.  Mixed Unicode has invented words of ten alphabets
    as a language uses its own, the one of rank r as often as 1/r (Zipf), Han and Kana without spaces between a few of them.
    Random Unicode has words that are all new, which no text has: what nothing remembered from earlier text can help with.
    """
    if kind == "English":
        content = load_corpus(corpus).text
        start = i * (len(content) // TEXTS)
        return content[start : start + min(SIZE, len(content) // TEXTS)]
    if kind == "Python code":
        files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        random.Random(0).shuffle(files)
        code, start = "", i * SIZE
        for file in files:
            if len(code) >= start + SIZE:
                break
            code += file.read_text(encoding="utf-8", errors="replace")
        return code[start : start + SIZE]
    rng = random.Random(i)
    words: list[str] = []
    for _ in range(SIZE // 40):
        first, last, length = rng.choice(ALPHABETS)
        k = rng.randint(3, 12)
        if kind == "random Unicode":
            words += [_word(rng, first, last, length) + " " for _ in range(k)]
        else:
            spaces = 0.2 if 0x3042 <= first <= 0x4E00 else 1
            words += [word + " " * (rng.random() < spaces) for word in _choices(rng, first, last, length, k)]
    return "".join(words)


def _word(rng: random.Random, first: int, last: int, length: int) -> str:
    return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 2 * length - 1)))


def _choices(rng: random.Random, first: int, last: int, length: int, k: int) -> list[str]:
    words, cumulative = _lexicon(first, last, length)
    return rng.choices(words, cum_weights=cumulative, k=k)


@functools.cache
def _lexicon(first: int, last: int, length: int) -> tuple[list[str], list[float]]:
    rng = random.Random(first)
    words = [_word(rng, first, last, length) for _ in range(LEXICON)]
    return words, list(accumulate(1 / rank for rank in range(1, LEXICON + 1)))


def _encoder(kind: str, corpus: str, encode: Callable[[str], Sequence[int]]) -> Run:
    """run(i) -> the seconds for the i-th text, and what identifies its ids

    A worker has slept while others ran: the second text, which it knows from warming up, wakes it before the clock starts.
    """
    texts = [text(kind, corpus, i) for i in range(TEXTS)]

    def run(i: int) -> dict[str, Any]:
        encode(texts[1])
        start = time.perf_counter()
        ids = encode(texts[i])
        return {"seconds": time.perf_counter() - start, "ids": [len(ids), hash(tuple(ids))]}

    return run


def minigpt_encode(kind: str, corpus: str) -> Run:
    """Make minigpt's side."""
    tokenizer = Tokenizer.gpt2()
    return _encoder(kind, corpus, lambda text: tokenizer.encode(text, disallowed_special=()))


def tiktoken_encode(kind: str, corpus: str) -> Run:
    """Make tiktoken's, with its vocabulary from ours."""
    import tiktoken

    ours = Tokenizer.gpt2()
    ordinary = ours.vocab_size - len(ours.special_tokens)
    encoding = tiktoken.Encoding(
        "gpt2", pat_str=SPLIT, special_tokens=ours.special_tokens,
        mergeable_ranks={ours.token_bytes(id): id for id in range(ordinary)},
    )
    return _encoder(kind, corpus, lambda text: encoding.encode(text, disallowed_special=()))


def tokenizers_encode(kind: str, corpus: str) -> Run:
    """Make that of Hugging Face's tokenizers, from the files that ours writes."""
    import tokenizers

    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.gpt2().save(folder)
        tokenizer = tokenizers.ByteLevelBPETokenizer.from_file(f"{folder}/vocab.json", f"{folder}/merges.txt")
    return _encoder(kind, corpus, lambda text: tokenizer.encode(text).ids)


def minigpt_train(corpus: str, vocab_size: int) -> Run:
    """Make minigpt's side: how many tokens the vocabulary has."""
    content = load_corpus(corpus).text
    return lambda i: Tokenizer.train(content, vocab_size).vocab_size


def tokenizers_train(corpus: str, vocab_size: int, lines: int | None) -> Run:
    """Make that of tokenizers' BpeTrainer, fed so many lines at a time, or with None the whole text as one string."""
    import tokenizers

    content = load_corpus(corpus).text
    each = content.splitlines(keepends=True)
    fed = ["".join(each[i : i + lines]) for i in range(0, len(each), lines)] if lines else [content]

    def run(i: int) -> int:
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocab_size, show_progress=False,
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        )
        tokenizer.train_from_iterator(fed, trainer)
        return tokenizer.get_vocab_size()

    return run


def encode_rows(corpus: str) -> Iterator[Row]:
    """Encode text that the tokenizer has not seen, of each kind."""
    for kind in KINDS:
        names = ("minigpt", "tiktoken", "tokenizers")
        arguments = {"kind": kind, "corpus": corpus}
        sides = {name: Entry(f"bench.tokenizing.{name}_encode", arguments, one_core=True) for name in names}
        laps, notes = race(sides, TEXTS - 2, warmup=2)
        megabytes = [len(text(kind, corpus, 2 + i).encode()) / 1e6 for i in range(TEXTS - 2)]
        seconds = {name: [result["seconds"] for result in lap.results] for name, lap in laps.items()}
        speeds = {name: quartiles([m / s for m, s in zip(megabytes, times, strict=True)])[0] for name, times in seconds.items()}
        for name in names[1:]:
            row = Row(f"encode {kind}", "MB/s", speeds["minigpt"], name, note=notes.get(name, ""))
            if name in laps:
                row.theirs, row.ratio = speeds[name], ratio(seconds[name], seconds["minigpt"])
                if any(a["ids"] != b["ids"] for a, b in zip(laps[name].results, laps["minigpt"].results, strict=True)):
                    row.note = "not the same ids"
            yield row


def train_rows(corpus: str, quick: bool) -> Iterator[Row]:
    """Train a vocabulary, against tokenizers by its fastest way of feeding."""
    for vocab_size in (1024, 8192):
        arguments = dict(corpus=corpus, vocab_size=vocab_size)
        laps, notes = race({
            "minigpt": Entry("bench.tokenizing.minigpt_train", arguments),
            **{name: Entry("bench.tokenizing.tokenizers_train", {**arguments, "lines": lines}) for name, lines in WAYS.items()},
        }, 1 if quick else 12, warmup=1)
        ours = laps.pop("minigpt")
        row = Row(f"train a vocabulary of {vocab_size}", "s", quartiles(ours.seconds)[0], "tokenizers", better="less",
                  note=next(iter(notes.values()), ""))
        if laps:
            name, theirs = min(laps.items(), key=lambda item: quartiles(item[1].seconds)[0])
            row.theirs, row.ratio = quartiles(theirs.seconds)[0], ratio(ours.seconds, theirs.seconds)
            row.note = f"fed {name}, its fastest of {len(WAYS)} ways"
        yield row
