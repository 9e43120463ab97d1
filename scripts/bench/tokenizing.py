"""Tokenizing: encoding new text with GPT-2's vocabulary, and training a vocabulary, here and in tiktoken and tokenizers."""

from __future__ import annotations

import random
import sysconfig
import tempfile
from pathlib import Path

from minigpt.data import load_corpus
from minigpt.tokenizer import Tokenizer

from .race import Entry, race, ratio, spread
from .report import Row

SIZE = 40_000                        # characters of a text to encode
TEXTS = 12                           # of a kind, a new one in each round, the first two to warm up
KINDS = ("English", "Python code", "mixed Unicode")
SPLIT = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""       # as tiktoken has it
ALPHABETS = (                        # first and last code point of letters, and how long a word of them is
    ((0x3B1, 0x3C9), 7), ((0x430, 0x44F), 8), ((0x4E00, 0x9FA5), 3), ((0x3042, 0x3093), 4), ((0x905, 0x939), 6),
    ((0x627, 0x64A), 6), ((0xE0, 0xFF), 7), ((0x1F600, 0x1F64F), 1), ((0x30, 0x39), 4), ((0x61, 0x7A), 6),
)


def text(kind, i):
    """The i-th text of a kind, a new one for each i"""
    if kind == "mixed Unicode":
        rng = random.Random(i)
        words = []
        for _ in range(SIZE // 6):
            (first, last), length = rng.choice(ALPHABETS)
            words.append("".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 2 * length - 1))))
        return " ".join(words)
    start = i * SIZE
    if kind == "English":
        return load_corpus("python").text[start : start + SIZE]
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    random.Random(0).shuffle(files)
    code = ""
    for file in files:
        if len(code) >= start + SIZE:
            break
        code += file.read_text(encoding="utf-8", errors="replace")
    return code[start : start + SIZE]


def _encoder(kind, encode):
    """run(i) -> what identifies the ids; the texts are made before the race"""
    texts = [text(kind, i) for i in range(TEXTS)]

    def run(i):
        ids = encode(texts[i])
        return [len(ids), hash(tuple(ids))]

    return run


def minigpt_encode(kind):
    """minigpt's side"""
    tokenizer = Tokenizer.gpt2()
    return _encoder(kind, lambda text: tokenizer.encode(text, disallowed_special=()))


def tiktoken_encode(kind):
    """tiktoken's, with its vocabulary from ours"""
    import tiktoken

    ours = Tokenizer.gpt2()
    ordinary = ours.vocab_size - len(ours.special_tokens)
    encoding = tiktoken.Encoding(
        "gpt2", pat_str=SPLIT, special_tokens=ours.special_tokens,
        mergeable_ranks={ours.token_bytes(id): id for id in range(ordinary)},
    )
    return _encoder(kind, lambda text: encoding.encode(text, disallowed_special=()))


def tokenizers_encode(kind):
    """Hugging Face tokenizers', from the files that ours writes"""
    import tokenizers

    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.gpt2().save(folder)
        tokenizer = tokenizers.ByteLevelBPETokenizer.from_file(f"{folder}/vocab.json", f"{folder}/merges.txt")
    return _encoder(kind, lambda text: tokenizer.encode(text).ids)


def minigpt_train(corpus, vocab_size):
    """run() -> how many tokens the vocabulary has"""
    content = load_corpus(corpus).text
    return lambda i: Tokenizer.train(content, vocab_size).vocab_size


def tokenizers_train(corpus, vocab_size, whole):
    """The same by tokenizers' BpeTrainer, fed the text as one string or line by line"""
    import tokenizers

    content = load_corpus(corpus).text
    fed = [content] if whole else content.splitlines(keepends=True)

    def run(i):
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocab_size, show_progress=False,
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        )
        tokenizer.train_from_iterator(fed, trainer)
        return tokenizer.get_vocab_size()

    return run


def encode_rows():
    """Encoding text that the tokenizer has not seen, of three kinds"""
    for kind in KINDS:
        names = ("minigpt", "tiktoken", "tokenizers")
        laps, notes = race(
            {name: Entry(f"bench.tokenizing.{name}_encode", {"kind": kind}) for name in names}, TEXTS - 2, warmup=2
        )
        megabytes = [len(text(kind, 2 + i).encode()) / 1e6 for i in range(TEXTS - 2)]
        speeds = {name: spread([m / s for m, s in zip(megabytes, lap.seconds, strict=True)])[0] for name, lap in laps.items()}
        for name in names[1:]:
            row = Row(f"encode {kind}", "MB/s", speeds["minigpt"], name, note=notes.get(name, ""))
            if name in laps:
                row.theirs, row.ratio = speeds[name], ratio(laps[name].seconds, laps["minigpt"].seconds)
                if laps[name].results != laps["minigpt"].results:
                    row.note = "not the same ids"
            yield row


def train_rows(corpus, quick):
    """Training a vocabulary, against tokenizers by its faster way of feeding"""
    for vocab_size in (1024, 8192):
        arguments = dict(corpus=corpus, vocab_size=vocab_size)
        laps, notes = race({
            "minigpt": Entry("bench.tokenizing.minigpt_train", arguments),
            "by line": Entry("bench.tokenizing.tokenizers_train", {**arguments, "whole": False}),
            "whole": Entry("bench.tokenizing.tokenizers_train", {**arguments, "whole": True}),
        }, 2 if quick else 8, warmup=1)
        ours = laps.pop("minigpt")
        row = Row(f"train a vocabulary of {vocab_size}", "s", spread(ours.seconds)[0], "tokenizers", better="less",
                  note=notes.get("whole", ""))
        if laps:
            name, theirs = min(laps.items(), key=lambda item: spread(item[1].seconds)[0])
            row.theirs, row.ratio = spread(theirs.seconds)[0], ratio(ours.seconds, theirs.seconds)
            row.note = f"fed {name}, which is faster"
        yield row
