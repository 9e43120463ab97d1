"""Text to token ids and back: byte-level BPE, GPT-2's own or trained here, and a tokenizer of single characters.

Byte-level BPE starts from the 256 bytes, so that any text can be written, and gives an id of its own to each pair of
neighbours that is often seen together (Sennrich et al. 2016; on bytes, Radford et al. 2019, §2.2; A2 §2, A1 §3.2).
Here are the tokenizers, their special tokens and their files; the algorithm, splitting and merging, is in bpe.py.
Ids become vectors in nn/embedding.py; corpora and batches are made in data.py.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import operator
import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..system.files import write_atomic
from .bpe import (
    BYTE_NAMES,
    BYTE_ORDER,
    Pair,
    PieceCache,
    apply_merges,
    byte_ids,
    bytes_of_name,
    learn_merges,
    merge,
    name_of_bytes,
    split_pieces,
    split_special,
)

IdArray = npt.NDArray[np.unsignedinteger[Any]]  # uint16, or uint32 for vocabularies above 65,536
_GPT2_MERGES = Path(__file__).parents[1] / "assets" / "gpt2" / "merges.txt.gz"
_END_OF_TEXT = "<|endoftext|>"  # the one special token that GPT-2's own vocab.json has without listing it elsewhere


class Tokenizer:
    """Byte-level BPE as in GPT-2: text is split into pieces (roughly words), and each piece's bytes are merged.

        tokenizer = Tokenizer.train("low lower lowest", vocab_size=260, special_tokens=["<|endoftext|>"])
        tokenizer.encode("lowest")                   -> [257, 68, 82, 83]
        tokenizer.token_bytes(257)                   -> b"low"
        tokenizer.decode([257, 68, 82, 83])          -> "lowest"

    Ids are laid out as in GPT-2: 0 … 255 are the bytes in the order of vocab.json ("!" is 0), 256 + i is made by
    merges[i], the special tokens follow. So an id is also a priority: of two possible merges the lower id goes first.

    merges: the pairs of ids that make ids 256, 257, …, each of ids below the one it makes.
    special_tokens: texts that get one id each and are never split, such as "<|endoftext|>".
    Errors: ValueError for a merge of unknown ids, for one that makes an existing token, for a special token that is
    empty, repeated, or written like another token in vocab.json.
    """

    def __init__(self, merges: Iterable[Sequence[int]] = (), special_tokens: Sequence[str] = ()) -> None:
        self._merged: dict[Pair, int] = {}  # pair -> the id it becomes
        self._bytes = [bytes([byte]) for byte in BYTE_ORDER]  # id -> bytes
        made = set(self._bytes)
        for new, pair in enumerate(merges, start=256):
            try:
                left, right = pair
                left, right = operator.index(left), operator.index(right)
                known = 0 <= left < new and 0 <= right < new
            except (TypeError, ValueError):
                known = False
            if not known:
                raise ValueError(
                    f"merges[{new - 256}]: {pair!r}, expected two ids from 0 to {new - 1}; keep the trained order"
                )
            token = self._bytes[left] + self._bytes[right]
            if token in made:
                raise ValueError(
                    f"merges[{new - 256}]: makes {token!r} again, expected a new token; remove the second merge"
                )
            made.add(token)
            self._merged[left, right] = new
            self._bytes.append(token)
        self._special: dict[str, int] = {}
        for text in _checked_special_tokens(special_tokens):
            if (written := bytes_of_name(text)) in made:
                raise ValueError(
                    f"special_tokens: vocab.json writes {text!r} for token {self._bytes.index(written)}, "
                    "expected a text of its own; choose another, such as '<|name|>'"
                )
            self._special[text] = len(self._bytes)
            self._bytes.append(text.encode())
        self._pieces = PieceCache(self._merged)

    @classmethod
    def train(cls, text: str, vocab_size: int, special_tokens: Sequence[str] = (), progress: bool = False) -> Tokenizer:
        """Learn the merges from a text: the most frequent pair of neighbours becomes a token, then the next.

        Of equally frequent pairs the lower pair of ids goes first, so the same text gives the same merges everywhere.
        Pairs do not reach across pieces. A special token in the text separates documents and is not learned from.

        vocab_size: bytes + merges + special tokens. Where the text runs out of pairs, training stops there and warns.
        progress: show a progress bar.
        Errors: TypeError for a text that is not str, ValueError for a vocab_size below 256 + len(special_tokens).
        """
        text = _checked_text(text)
        special_tokens = _checked_special_tokens(special_tokens)
        if isinstance(vocab_size, bool) or not isinstance(vocab_size, (int, np.integer)):
            raise TypeError(f"vocab_size: {vocab_size!r}, expected an integer; give a whole number of tokens")
        smallest = 256 + len(special_tokens)
        if vocab_size < smallest:
            raise ValueError(
                f"vocab_size: {vocab_size}, expected at least {smallest}: 256 bytes and {len(special_tokens)} special "
                "tokens; raise vocab_size"
            )
        counts: Counter[str] = Counter()
        for document in split_special(text, special_tokens)[::2]:
            for pieces in split_pieces(document):
                counts.update(pieces)
        tokenizer = cls(learn_merges(counts, int(vocab_size) - smallest, progress), special_tokens)
        if tokenizer.vocab_size < vocab_size:
            warnings.warn(
                f"vocab_size: {vocab_size}, but the text has pairs for {tokenizer.vocab_size} tokens only; training "
                "stopped there. Give more text or a smaller vocab_size",
                stacklevel=2,
            )
        return tokenizer

    @classmethod
    @functools.cache
    def gpt2(cls) -> Tokenizer:
        """GPT-2's tokenizer of 50,257 tokens, from the merge table that comes with minigpt; nothing is downloaded.

            Tokenizer.gpt2().encode("Hello world")       -> [15496, 995]
            Tokenizer.gpt2().special_tokens              -> {"<|endoftext|>": 50256}

        Read once per process, in 0.1 s; all callers share the object. Radford et al. 2019, §2.2; A2 §2.
        """
        table = gzip.decompress(_GPT2_MERGES.read_bytes()).decode()
        return cls(_read_merges(table, _GPT2_MERGES)[1], [_END_OF_TEXT])

    def encode(
        self,
        text: str,
        allowed_special: Collection[str] = (),
        disallowed_special: Collection[str] = "all",
        errors: str = "strict",
    ) -> list[int]:
        """Text to ids, exactly those of merging each piece on its own; time grows linearly with the text.

        Special tokens in the text have tiktoken's meaning, so that a user's text cannot end a document by accident:

            encode("a<|endoftext|>")                                             ValueError
            encode("a<|endoftext|>", allowed_special="all")                      -> […, id of <|endoftext|>]
            encode("a<|endoftext|>", disallowed_special=())                      -> the ids of its characters

        allowed_special: the special tokens to parse, or "all"; of two that fit, the longer. Other names do nothing.
        disallowed_special: texts to refuse, or "all" special tokens that are not allowed. They go before the allowed.
        errors: "strict" raises UnicodeEncodeError at a lone surrogate; "replace" reads it as U+FFFD.
        Errors: TypeError for bytes, None, a list; ValueError for refused special tokens.
        """
        ids: list[int] = []
        for part in self._encode_parts(text, allowed_special, disallowed_special, errors):
            ids += memoryview(part).cast("I").tolist()
        return ids

    def encode_array(
        self,
        text: str,
        allowed_special: Collection[str] = (),
        disallowed_special: Collection[str] = "all",
        errors: str = "strict",
    ) -> IdArray:
        """The ids of encode as an array, for whole corpora: uint16, or uint32 where the vocabulary needs it."""
        parts = self._encode_parts(text, allowed_special, disallowed_special, errors)
        dtype = _id_dtype(self.vocab_size)
        return np.concatenate([np.empty(0, dtype), *(np.frombuffer(part, np.uint32).astype(dtype) for part in parts)])

    def encode_batch(
        self,
        texts: Iterable[str],
        padding_side: str = "right",
        pad_id: int | None = None,
        max_length: int | None = None,
        allowed_special: Collection[str] = (),
        disallowed_special: Collection[str] = "all",
        errors: str = "strict",
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Several texts to one array: shorter ones are filled up to the longest.

            tokenizer.encode_batch(["low", "lowest"], pad_id=0)  -> [[257, 0, 0, 0], [257, 68, 82, 83]],
                                                                    [[1, 0, 0, 0], [1, 1, 1, 1]]

        B texts -> ids (B, T) and mask (B, T), int64; mask is 1 where a token of the text stands and 0 at padding.

        padding_side: "right", as for training, or "left", so that all rows end together and generation can go on.
        pad_id: the id to fill with; needed only where the texts differ in length. GPT-2 has none: take 50256.
        max_length: keep at most so many ids of each text, the first ones.
        The others as in encode. Errors: as in encode, naming the text; ValueError for texts that need a pad_id.
        """
        if isinstance(texts, (str, bytes)):
            raise TypeError(f"texts: {type(texts).__name__}, expected a list of texts; put a single text into a list")
        if padding_side not in ("left", "right"):
            raise ValueError(f"padding_side: {padding_side!r}, expected 'left' or 'right'; choose one")
        if max_length is not None and operator.index(max_length) < 0:
            raise ValueError(f"max_length: {max_length}, expected 0 or more; leave it out to keep all ids")
        encoded = [
            b"".join(self._encode_parts(text, allowed_special, disallowed_special, errors, f"texts[{i}]"))
            for i, text in enumerate(texts)
        ]
        rows = [np.frombuffer(row, np.uint32)[:max_length] for row in encoded]
        lengths = [len(row) for row in rows]
        T = max(lengths, default=0)
        if pad_id is None:
            if len(set(lengths)) > 1:
                raise ValueError(
                    f"pad_id: None for texts of {min(lengths)} to {T} tokens, expected an id to fill up with; pass pad_id"
                )
            pad_id = 0  # not used: all rows are full
        _check_id(pad_id, self.vocab_size, "pad_id")
        ids = np.full((len(rows), T), pad_id, np.int64)
        mask = np.zeros((len(rows), T), np.int64)
        for b, row in enumerate(rows):
            place = slice(T - len(row), T) if padding_side == "left" else slice(len(row))
            ids[b, place] = row
            mask[b, place] = 1
        return ids, mask

    def encode_with_offsets(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Text to ids and, for each, where it comes from: text[start:end] are the characters it has bytes of.

            Tokenizer.gpt2().encode_with_offsets("a 日")          -> [64, 10545, 245, 98],
                                                                    [(0, 1), (1, 3), (2, 3), (2, 3)]

        Where several tokens share a character, here the three that "日" takes, each gets all of it.
        Arguments and errors as in encode.
        """
        ids = self.encode(text, allowed_special, disallowed_special)
        data = np.frombuffer(text.encode(), np.uint8)
        char_of_byte = np.cumsum((data & 0xC0) != 0x80) - 1  # in UTF-8 all but the first byte of a character are 10xxxxxx
        ends = np.cumsum([len(self._bytes[id]) for id in ids], dtype=np.int64)
        starts = np.concatenate([[0], ends])[:-1]
        spans = zip(char_of_byte[starts].tolist(), (char_of_byte[ends - 1] + 1).tolist(), strict=True)
        return ids, list(spans)

    def explain(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> Explanation:
        """How a text becomes its tokens, merge by merge; made to be printed, or shown by a notebook.

            Tokenizer.gpt2().explain(" lowest")          -> ' lowest'
                                                              ␣ l o w e s t
                                                              ␣ l o w es t       e + s = es, 274
                                                              ␣l o w es t        ␣ + l = ␣l, 300
                                                              ␣l ow es t         o + w = ow, 322
                                                              ␣l ow est          es + t = est, 395
                                                              ␣low est           ␣l + ow = ␣low, 1877
                                                              ␣lowest            ␣low + est = ␣lowest, 9016
                                                            9016

        Of all neighbours that make a token, those that make the lowest id are merged first. "␣" stands for a space.
        Arguments and errors as in encode.
        """
        pieces: list[tuple[str, list[list[int]]]] = []
        for chunk, is_special in self._split(text, allowed_special, disallowed_special):
            for piece in chunk:
                ids = [self._special[piece]] if is_special else byte_ids(piece.encode())
                steps = [ids]
                while pairs := self._merged.keys() & set(pairwise(ids)):
                    pair = min(pairs, key=self._merged.__getitem__)
                    ids = merge(ids, pair, self._merged[pair])
                    steps.append(ids)
                pieces.append((piece, steps))
        return Explanation(self, pieces)

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """Ids to text. A token can end within a character: by default a broken one reads as U+FFFD.

        ids: integers, in a list, an array (T,) or any iterable.
        errors: "replace", "ignore", or "strict", which raises UnicodeDecodeError.
        Errors: ValueError for an id that is not in the vocabulary, TypeError for float, str and bool ids.
        """
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of the ids, whole characters or not. Errors as in decode."""
        return b"".join(map(self._bytes.__getitem__, _checked_ids(ids, self.vocab_size)))

    def token_bytes(self, id: int) -> bytes:
        """The bytes of one token. Errors as in decode."""
        return self.decode_bytes([id])

    @property
    def vocab_size(self) -> int:
        """The number of tokens: bytes, merges and special tokens."""
        return len(self._bytes)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids, a copy."""
        return dict(self._special)

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size}, special_tokens={list(self._special)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self._merged == other._merged and self._special == other._special

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write vocab.json, merges.txt and added_tokens.json, as Hugging Face's GPT2Tokenizer reads them, and tokenizer.json.

        vocab.json: {token: id}, special tokens included. merges.txt: one merge a line under "#version: 0.2", earliest
        first. added_tokens.json: {special token: id}. tokenizer.json: all of it once more, for the tokenizers package;
        load does not need it. Bytes are written as GPT-2 writes them, a space as "Ġ". Makes the folder where there is none.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        ordinary = len(self._bytes) - len(self._special)
        names = [*map(name_of_bytes, self._bytes[:ordinary]), *self._special]
        vocab = {name: id for id, name in enumerate(names)}
        merges = [f"{names[left]} {names[right]}" for left, right in self._merged]
        write_atomic(folder / "merges.txt", "".join(f"{line}\n" for line in ["#version: 0.2", *merges]).encode())
        write_atomic(folder / "vocab.json", _json_bytes(vocab))
        write_atomic(folder / "added_tokens.json", _json_bytes(self._special))
        write_atomic(folder / "tokenizer.json", _json_bytes(_hugging_face(vocab, merges, self._special)))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Tokenizer:
        """Read what save wrote, or GPT-2's own vocab.json and merges.txt.

        Errors: FileNotFoundError; ValueError naming file and line for a merge that is missing, repeated or out of
        order, for holes in the ids, and for a token that is neither a byte, nor merged, nor listed as special.
        """
        folder = Path(folder)
        names, merges = _read_merges(_read_text(folder / "merges.txt"), folder / "merges.txt")
        path = folder / "vocab.json"
        vocab = _read_vocab(path)
        for id, name in enumerate(names):
            if vocab.get(name) != id:
                source = "a byte" if id < 256 else f"made by line {_line_of(id)} of merges.txt"
                raise ValueError(
                    f"{path}: {name!r} has id {vocab.get(name)}, expected {id}: it is {source}; "
                    "a part of one of the two files is missing or out of order: take both from one source"
                )
        added_path = folder / "added_tokens.json"
        added = _read_vocab(added_path) if added_path.exists() else {}
        for name, id in added.items():
            if vocab.setdefault(name, id) != id:
                raise ValueError(f"{added_path}: {name!r} has id {id}, expected {vocab[name]} as in vocab.json; fix it")
        by_id = {id: name for name, id in vocab.items()}
        if sorted(vocab.values()) != list(range(len(vocab))):
            hole = next(id for id in range(len(vocab)) if id not in by_id)
            raise ValueError(
                f"{path}: no token has id {hole}, expected {len(vocab)} ids without holes or repeats; "
                "take vocab.json and merges.txt from one source"
            )
        special_tokens = [by_id[id] for id in range(len(names), len(vocab))]
        for name in special_tokens:
            if name not in added and name != _END_OF_TEXT:
                raise ValueError(
                    f"{folder / 'merges.txt'} line {_line_of(len(names))}: the end, but {name!r} of vocab.json is not "
                    "made, expected its merge; restore the missing lines, or list it in added_tokens.json if special"
                )
        return cls(merges, special_tokens)

    @classmethod
    def from_tiktoken(cls, path: str | os.PathLike[str], special_tokens: Sequence[str] = ()) -> Tokenizer:
        """Read tiktoken's file of ranks, such as r50k_base.tiktoken: a token in base64, a space and its rank on each line.

            Tokenizer.from_tiktoken("r50k_base.tiktoken", ["<|endoftext|>"]) == Tokenizer.gpt2()

        special_tokens: what tiktoken keeps elsewhere; they get the ids after the last rank. The file does not say how text
        is split either: Tokenizer splits as GPT-2, so the ranks of later models, cl100k_base say, would give other ids.
        Errors: FileNotFoundError; ValueError naming the line for bytes in another order than GPT-2's, for ranks that do not
        count up from 0, and for a token that is there twice or is not made of two earlier ones.
        """
        return cls(_read_ranks(Path(path)), special_tokens)

    def state(self) -> dict[str, Any]:
        """All of the tokenizer as JSON-able values, for checkpoints; from_state reads it."""
        return {
            "type": "bpe",
            "merges": [list(pair) for pair in self._merged],
            "special_tokens": list(self._special),
        }

    def _encode_parts(
        self,
        text: str,
        allowed_special: Collection[str],
        disallowed_special: Collection[str],
        errors: str,
        name: str = "text",
    ) -> Iterator[bytes]:
        """The ids, a few thousand at a time, in four bytes each."""
        chunks = self._split(text, allowed_special, disallowed_special, errors, name)
        return self._pieces.ids(chunks, self._special)

    def _split(
        self,
        text: str,
        allowed_special: Collection[str],
        disallowed_special: Collection[str],
        errors: str = "strict",
        name: str = "text",
    ) -> Iterator[tuple[list[str], bool]]:
        """The pieces of a text, a few thousand at a time and False, or one special token and True."""
        text = _checked_text(text, errors, name)
        allowed = _allowed_in(text, self._special, allowed_special, disallowed_special, name)
        for i, span in enumerate(split_special(text, allowed)):
            if i % 2:
                yield [span], True
                continue
            for pieces in split_pieces(span):
                yield pieces, False


@dataclass(frozen=True)
class Explanation:
    """How a text becomes tokens, made by Tokenizer.explain. Printed it shows every step; pieces is for programs.

    pieces: each piece of the text with its lists of ids: those of its bytes, those after each merge, last its tokens.
    """

    tokenizer: Tokenizer
    pieces: list[tuple[str, list[list[int]]]]

    def __str__(self) -> str:
        return "\n".join(line for piece, steps in self.pieces for line in self._lines(piece, steps))

    __repr__ = __str__  # a notebook shows the repr

    def _lines(self, piece: str, steps: list[list[int]]) -> Iterator[str]:
        yield repr(piece)
        shown = [" ".join(map(self._shown, ids)) for ids in steps]
        width = len(shown[0])  # of the row of bytes, the widest
        yield f"  {shown[0]}"
        for before, ids, row in zip(steps, steps[1:], shown[1:], strict=False):
            i = next(i for i, (old, new) in enumerate(zip(before, ids, strict=False)) if old != new)
            left, right, made = map(self._shown, (before[i], before[i + 1], ids[i]))
            yield f"  {row:{width}}      {left} + {right} = {made}, {ids[i]}"
        yield " ".join(map(str, steps[-1]))

    def _shown(self, id: int) -> str:
        """A token without white space in it: " the" -> "␣the", half a character -> "\\xc3"."""
        text = self.tokenizer.token_bytes(id).decode("utf-8", "backslashreplace")
        return "".join("␣" if c == " " else c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class CharTokenizer:
    """One id for each character: nothing is learned but the list of characters.

        tokenizer = CharTokenizer.train("hello")     ids 0 … 3 are "e", "h", "l", "o"
        tokenizer.encode("hole")                     -> [1, 3, 2, 0]
        tokenizer.decode([1, 3, 2, 0])               -> "hole"

    chars: the distinct characters, in the order of their ids.
    """

    def __init__(self, chars: Sequence[str]) -> None:
        self._chars = list(chars)
        if not self._chars:
            raise ValueError("chars: empty, expected at least one character; train on a text that is not empty")
        for i, char in enumerate(self._chars):
            if type(char) is not str or len(char) != 1:
                raise ValueError(f"chars[{i}]: {char!r}, expected one character; split the text into characters")
        if len(set(self._chars)) < len(self._chars):
            char, count = Counter(self._chars).most_common(1)[0]
            raise ValueError(f"chars: {char!r} stands there {count} times, expected once; remove the repeats")
        codes = _code_points("".join(self._chars))
        self._id_of_code = np.full(codes.max() + 2, -1, np.int32)  # -1: unknown; its last entry serves all higher codes
        self._id_of_code[codes] = np.arange(len(codes))

    @classmethod
    def train(cls, text: str) -> CharTokenizer:
        """Take the characters of a text, in sorted order."""
        return cls(sorted(set(_checked_text(text))))

    def encode(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> list[int]:
        """Text to ids.

        allowed_special, disallowed_special: as in Tokenizer.encode, so that a caller need not know which kind it has. There
        are no special tokens to parse; texts can be refused.
        Errors: TypeError for other than str, ValueError for a character that is not in the vocabulary. Lone surrogates
        raise UnicodeEncodeError.
        """
        return self.encode_array(text, allowed_special, disallowed_special).tolist()

    def encode_array(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> IdArray:
        """The ids of encode as an array: uint16, or uint32 where the vocabulary needs it."""
        text = _checked_text(text)
        _allowed_in(text, (), allowed_special, disallowed_special)
        # One look-up in a table for the whole text: 8 times faster than a dict, character by character.
        codes = _code_points(text)
        ids = self._id_of_code[np.minimum(codes, len(self._id_of_code) - 1)]
        if ids.min(initial=0) < 0:
            index = int(np.argmax(ids < 0))
            raise ValueError(
                f"text: {text[index]!r} (U+{ord(text[index]):04X}) at index {index}, expected one of the "
                f"{self.vocab_size} characters {_shortened(''.join(self._chars))}; train on a text that has it"
            )
        return ids.astype(_id_dtype(self.vocab_size))

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text. Errors: ValueError for an id that is not in the vocabulary, TypeError for float, str, bool."""
        return "".join(map(self._chars.__getitem__, _checked_ids(ids, self.vocab_size)))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The UTF-8 of the text. Errors as in decode."""
        return self.decode(ids).encode()

    def token_bytes(self, id: int) -> bytes:
        """The UTF-8 of one character. Errors as in decode."""
        return self.decode_bytes([id])

    @property
    def vocab_size(self) -> int:
        """The number of characters."""
        return len(self._chars)

    @property
    def special_tokens(self) -> dict[str, int]:
        """Empty: this tokenizer has characters only."""
        return {}

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"CharTokenizer({_shortened(''.join(self._chars))}, vocab_size={self.vocab_size})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CharTokenizer):
            return NotImplemented
        return self._chars == other._chars

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write chars.json: {"type": "char", "chars": [the characters in the order of their ids]}.

        Makes the folder where there is none.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "chars.json", _json_bytes(self.state()))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> CharTokenizer:
        """Read what save wrote. Errors: FileNotFoundError; ValueError naming the file."""
        path = Path(folder) / "chars.json"
        match _read_json(path):
            case {"type": "char", "chars": list(chars)}:
                try:
                    return cls(chars)
                except ValueError as error:
                    raise ValueError(f"{path}: {error}") from error
        raise ValueError(
            f'{path}: another content, expected {{"type": "char", "chars": […]}}; save the tokenizer again'
        )

    def state(self) -> dict[str, Any]:
        """All of the tokenizer as JSON-able values, for checkpoints; from_state reads it."""
        return {"type": "char", "chars": list(self._chars)}


def load(folder: str | os.PathLike[str]) -> Tokenizer | CharTokenizer:
    """Read the tokenizer that a folder holds, of either kind.

    Errors: FileNotFoundError where there is none; ValueError where there are both, or a file is damaged.
    """
    folder = Path(folder)
    bpe = [name for name in ("vocab.json", "merges.txt") if (folder / name).exists()]
    char = (folder / "chars.json").exists()
    if bpe and char:
        raise ValueError(f"{folder}: {bpe[0]} and chars.json, expected one tokenizer; delete the files of the other")
    if not bpe and not char:
        raise FileNotFoundError(
            f"{folder}: no tokenizer, expected a folder with vocab.json and merges.txt, or chars.json; save one there"
        )
    return CharTokenizer.load(folder) if char else Tokenizer.load(folder)


def from_state(state: dict[str, Any]) -> Tokenizer | CharTokenizer:
    """Make the tokenizer, of either kind, whose state() this is. Errors: ValueError for anything else."""
    match state:
        case {"type": "bpe", "merges": list(merges), "special_tokens": list(special_tokens)}:
            return Tokenizer(merges, special_tokens)
        case {"type": "char", "chars": list(chars)}:
            return CharTokenizer(chars)
    raise ValueError(
        f"state: {_shortened(state)}, expected type 'bpe' with merges and special_tokens or type 'char' with chars; "
        "pass what state() returned"
    )


# Checks ------------------------------------------------------------------------------------------------------------


def _checked_text(text: str, errors: str = "strict", name: str = "text") -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name}: {type(text).__name__}, expected str; decode bytes with .decode('utf-8')")
    if errors not in ("strict", "replace"):
        raise ValueError(f"errors: {errors!r}, expected 'strict' or 'replace'; choose one")
    if text.isascii():
        return text
    if errors == "replace":  # by way of UTF-16, where the two halves of a surrogate pair become one character
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"{name}: a lone surrogate, expected whole characters; Tokenizer.encode(…, errors='replace') replaces it"
        raise UnicodeEncodeError("utf-8", text, error.start, error.end, reason) from None
    return text


def _allowed_in(
    text: str,
    special: Collection[str],
    allowed_special: Collection[str],
    disallowed_special: Collection[str],
    name: str = "text",
) -> set[str]:
    """The special tokens to parse, by tiktoken's rules; an error where the text holds one to refuse."""
    for argument, given in (("allowed_special", allowed_special), ("disallowed_special", disallowed_special)):
        if isinstance(given, str) and given != "all":
            raise TypeError(f"{argument}: {given!r}, expected 'all' or a collection; write {{{given!r}}}")
    allowed = set(special) if allowed_special == "all" else set(allowed_special) & set(special)
    refused = set(special) - allowed if disallowed_special == "all" else set(disallowed_special)
    if found := [(text.index(token), token) for token in refused if token in text]:
        index, token = min(found)
        parse = f"pass allowed_special={{{token!r}}} to parse it, " if token in set(special) - allowed else ""
        raise ValueError(
            f"{name}: special token {token!r} at index {index}, expected plain text; "
            f"{parse}disallowed_special=() to encode its characters"
        )
    return allowed


def _checked_special_tokens(special_tokens: Sequence[str]) -> Sequence[str]:
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens: {special_tokens!r}, expected a list; write [{special_tokens!r}]")
    for i, token in enumerate(special_tokens):
        if not isinstance(token, str):
            raise TypeError(f"special_tokens[{i}]: {token!r}, expected str; give the token's text")
        if not token:
            raise ValueError(f"special_tokens[{i}]: empty, expected at least one character; remove it")
        if token in special_tokens[:i]:
            raise ValueError(f"special_tokens[{i}]: {token!r} a second time, expected distinct tokens; remove it")
        _checked_text(token)
    return special_tokens


def _checked_ids(ids: Iterable[int], vocab_size: int) -> list[int]:
    if isinstance(ids, np.ndarray):
        if ids.dtype.kind not in "iu":
            raise TypeError(f"ids: an array of {ids.dtype}, expected integers; convert it with .astype(int)")
        if ids.ndim != 1:
            raise ValueError(f"ids: an array of shape {ids.shape}, expected (T,); decode row by row")
        values: list[int] = ids.tolist()
    elif isinstance(ids, (str, bytes, bytearray)) or not isinstance(ids, Iterable):
        raise TypeError(f"ids: {ids!r}, expected a sequence of integers; put a single id into a list")
    else:
        values = list(ids)
    if set(map(type, values)) - {int} or (values and not (min(values) >= 0 and max(values) < vocab_size)):
        for i, id in enumerate(values):  # one of them may be wrong
            _check_id(id, vocab_size, f"ids[{i}]")
    return values


def _check_id(id: int, vocab_size: int, name: str) -> None:
    if isinstance(id, bool) or not isinstance(id, (int, np.integer)):
        raise TypeError(f"{name}: {id!r} of type {type(id).__name__}, expected an integer; convert it")
    if not 0 <= id < vocab_size:
        raise ValueError(
            f"{name}: {id}, expected an id from 0 to {vocab_size - 1}; take the tokenizer that encoded the text"
        )


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:40]} … {text[-35:]}"


def _id_dtype(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


# Files -------------------------------------------------------------------------------------------------------------


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _read_text(path: Path) -> str:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file, expected part of a saved tokenizer; check the folder")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: invalid UTF-8 at byte {error.start}, expected text; fetch the file again") from error


def _read_json(path: Path) -> object:
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} line {error.lineno}: {error.msg}, expected JSON; fetch the file again") from error


def _read_vocab(path: Path) -> dict[str, int]:
    vocab = _read_json(path)
    if not isinstance(vocab, dict):
        raise ValueError(f"{path}: a {type(vocab).__name__}, expected an object {{token: id}}; fetch the file again")
    for name, id in vocab.items():
        if type(id) is not int:
            raise ValueError(f"{path}: {name!r} has id {id!r}, expected an integer; fetch the file again")
    return vocab


def _read_merges(text: str, path: Path) -> tuple[list[str], list[Pair]]:
    """Names of all tokens in the order of their ids, and the pairs of ids of merges.txt, whose text is given."""
    lines = text.removesuffix("\n").split("\n")
    if not lines[0].startswith("#version"):
        raise ValueError(f"{path} line 1: {_shortened(lines[0])}, expected '#version: 0.2'; restore the first line")
    ids = {name: id for id, name in enumerate(BYTE_NAMES)}
    merges: list[Pair] = []
    for new, line in enumerate(lines[1:], start=256):
        parts = line.split(" ")
        if len(parts) != 2:
            raise ValueError(f"{path} line {_line_of(new)}: {_shortened(line)}, expected two tokens, one space; fix it")
        left, right = parts
        try:
            merges.append((ids[left], ids[right]))
        except KeyError as error:
            raise ValueError(
                f"{path} line {_line_of(new)}: {error} is not known here, expected a byte or what an earlier line makes; "
                "a line is missing or out of order: fetch the file again"
            ) from None
        if (old := ids.setdefault(left + right, new)) != new:
            raise ValueError(
                f"{path} line {_line_of(new)}: makes {left + right!r} again, expected a new token: line "
                f"{_line_of(old)} has it; remove one"
            )
    return list(ids), merges


def _read_ranks(path: Path) -> list[Pair]:
    """The merges behind tiktoken's ranks, which name only what each merge makes.

    A token's two parts are what its own bytes become by the merges before it.
    """
    merged: dict[Pair, int] = {}
    seen = set()
    lines = _read_text(path).removesuffix("\n").split("\n")
    for rank, line in enumerate(lines):
        try:
            encoded, number = line.split(" ")
            token, ok = base64.b64decode(encoded, validate=True), int(number) == rank
        except ValueError:
            ok = False
        if not ok:
            raise ValueError(
                f"{path} line {rank + 1}: {_shortened(line)}, expected a token in base64, a space and {rank}; "
                "fetch the file again"
            )
        if token in seen:
            raise ValueError(f"{path} line {rank + 1}: {token!r} again, expected a new token; fetch the file again")
        seen.add(token)
        if rank < 256:
            if token != bytes([BYTE_ORDER[rank]]):
                raise ValueError(
                    f"{path} line {rank + 1}: {token!r}, expected the byte {bytes([BYTE_ORDER[rank]])!r}: the bytes come "
                    "first, in GPT-2's order; take r50k_base or a file of a tokenizer that has them so"
                )
            continue
        parts = apply_merges(byte_ids(token), merged)
        if len(parts) != 2:
            raise ValueError(
                f"{path} line {rank + 1}: {token!r} is made of {len(parts)} earlier tokens, expected two; "
                "a line is missing or out of order: fetch the file again"
            )
        merged[parts[0], parts[1]] = rank
    if len(lines) < 256:
        raise ValueError(f"{path} line {len(lines)}: the end, expected the 256 bytes first; fetch the file again")
    return list(merged)


def _hugging_face(vocab: dict[str, int], merges: list[str], special: dict[str, int]) -> dict[str, Any]:
    """The content of tokenizer.json: GPT-2's splitting and merging in the terms of Hugging Face's tokenizers package."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    as_written = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, "content": text, **as_written, "special": True} for text, id in special.items()],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocab,
            "merges": merges,
        },
    }


def _line_of(id: int) -> int:
    """The line of merges.txt that makes an id: one line of version stands before them."""
    return id - 256 + 2
