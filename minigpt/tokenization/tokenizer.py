"""Text to token ids and back by byte-level BPE, GPT-2's own or trained here.

Byte-level BPE starts from the 256 bytes, so that any text can be written, and gives an id of its own to each pair of
neighbors that is often seen together (Sennrich et al. 2016; on bytes, Radford et al. 2019, §2.2; A2 §2, A1 §3.2).
Here is the tokenizer as it is used.  The algorithm is in bpe.py to be read and in fast/ to be run, the splitting pattern in
split.py, single characters in char.py.  Files are in formats.py, what they can say beyond GPT-2's own order in vocabulary.py,
added.py and ranked.py.  Ids become vectors in nn/embedding.py; corpora and batches
are made in training/corpora.py and training/batches.py.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .added import AddedToken, Span, split_added
from .bpe import BYTE_NAMES, BYTE_ORDER, Pair, byte_ids, bytes_of_name, merge_steps, name_of_bytes
from .checks import allowed_in, checked_special_tokens, checked_text
from .cutting import Cuts
from .explain import Explanation, explanation
from .fast import PieceCache, learn_merges, split_pieces
from .formats import gpt2_merges, means_gpt2, read_gpt2_files, read_ranks, write_gpt2_files
from .gapped import GappedCache
from .ids import IdArray, check_id, checked_ids, id_dtype
from .parallel import encode_long, processes_for
from .ranked import RankedCache
from .settings import END_OF_TEXT, Settings
from .sizing import fitting_vocab_size
from .split import split_special
from .vocabulary import Vocabulary


class Tokenizer:
    """Byte-level BPE as in GPT-2: text is split into pieces (roughly words), and each piece's bytes are merged.

        tokenizer = Tokenizer.train("low lower lowest", vocab_size=260, special_tokens=["<|endoftext|>"])
        tokenizer.encode("lowest")                   -> [257, 68, 82, 83]
        tokenizer.token_bytes(257)                   -> b"low"
        tokenizer.decode([257, 68, 82, 83])          -> "lowest"

    Ids are laid out as in GPT-2: 0 … 255 are the bytes in the order of vocab.json ("!" is 0), 256 + i is made by
    merges[i], the special tokens follow.  So an id is also a priority: of two possible merges the lower id goes first.

    merges: the pairs of ids that make ids 256, 257, …, each of ids below the one it makes.
    special_tokens: texts that get one id each and are never split, such as "<|endoftext|>".
    settings: what save writes about the roles of tokens, padding and so on, and load has read; None: as GPT-2's.  Nothing here
    depends on it.
    Several threads may use one tokenizer; a copy, by copy or pickle, is whole, without the pieces that are remembered.
    Raises ValueError for a merge of unknown ids, for one that makes an existing token, for a special token that is
    empty, repeated, or written like another token in vocab.json.
    Radford et al. 2019, §2.2; A2 §2, A1 §3.2.
    """

    settings: Settings | None = None

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
        self._vocabulary: Vocabulary | None = None  # of ids in another order than GPT-2's
        self._numbers: dict[str, int] = {}  # added token -> the number that stands for it until ids are given
        for text in checked_special_tokens(special_tokens):
            if (written := bytes_of_name(text)) in made:
                raise ValueError(
                    f"special_tokens: vocab.json writes {text!r} for token {self._bytes.index(written)}, "
                    "expected a text of its own; choose another, such as '<|name|>'"
                )
            self._numbers[text] = len(self._bytes)
            self._bytes.append(text.encode())
        self._special = self._added = self._refused = self._numbers
        self._tokens = list(map(AddedToken, self._numbers))
        self._prefix_space = False
        self._id_of_number: npt.NDArray[np.uint32] | None = None
        self._pieces = PieceCache(self._merged)
        self._sizes = [*map(len, self._bytes)]  # of tokens of text: an added token can have the id of one

    @classmethod
    def _of(cls, vocabulary: Vocabulary) -> Tokenizer:
        """Make the tokenizer of a vocabulary in any order.

        Merging works on numbers in GPT-2's order, and a table gives each its id at the end; of bytes without a token gapped.py
        knows.  Where the merges have no such order, ranked.py merges ids themselves.
        """
        merged = vocabulary.merged
        if (special_tokens := vocabulary.special_tokens()) is not None and merged is not None:
            return cls(merged, special_tokens)
        self = cls()
        ids, ordinary = vocabulary.ids, dict.fromkeys(vocabulary.ordinary())
        self._vocabulary, self._tokens, self._prefix_space = vocabulary, vocabulary.added, vocabulary.add_prefix_space
        self._added = vocabulary.added_ids
        self._special = {token.text: self._added[token.text] for token in vocabulary.added if token.special}
        self._refused = {text: id for text, id in self._special.items() if text not in ordinary}
        self._bytes = [b""] * (max([*ids.values(), *self._added.values()]) + 1)
        for name, id in ids.items():
            if name in ordinary or name not in self._added:
                self._bytes[id] = bytes_of_name(name) or name.encode()
        self._sizes = [*map(len, self._bytes)]
        for name, id in self._added.items():
            if name not in ordinary:
                self._bytes[id] = name.encode()
        known = {byte: name for byte, name in zip(BYTE_ORDER, BYTE_NAMES, strict=True) if name in ids}
        unk_id, fuse = None if vocabulary.unk_token is None else ids[vocabulary.unk_token], vocabulary.fuse_unk
        if merged is not None:
            names = vocabulary.numbered()
            self._merged = merged
            self._numbers = {text: len(names) + i for i, text in enumerate(self._added)}
            self._id_of_number = np.array([*(ids.get(name, unk_id or 0) for name in names), *self._added.values()], np.uint32)
            self._pieces = PieceCache(merged)
            if not vocabulary.has_all_bytes:
                numbers = {byte: number for number, byte in enumerate(BYTE_ORDER) if byte in known}
                unknown = None if unk_id is None else next(n for n, byte in enumerate(BYTE_ORDER) if byte not in known)
                self._pieces = GappedCache(merged, numbers, unknown, fuse)
        else:
            self._numbers = self._added
            self._pieces = RankedCache(
                {(ids[left], ids[right]): (rank, ids[left + right]) for rank, (left, right) in enumerate(vocabulary.merges)},
                {byte: ids[name] for byte, name in known.items()}, unk_id, fuse,
            )
        return self

    @classmethod
    def train(cls, text: str, vocab_size: int | None = None, special_tokens: Sequence[str] = (),
              progress: bool = False) -> Tokenizer:
        """Learn the merges from a text: the most frequent pair of neighbors becomes a token, then the next.

        Of equally frequent pairs the lower pair of ids goes first, so the same text gives the same merges everywhere.
        Pairs do not reach across pieces.  A special token in the text separates documents and is not learned from.

        vocab_size: bytes + merges + special tokens; None fits it to the text by sizing.fitting_vocab_size(), and the special
        tokens come on top.  Where the text runs out of pairs, training stops there, and warns if a size was given.
        progress: show a progress bar.
        Raises TypeError for a text that is not str, ValueError for a vocab_size below 256 + len(special_tokens).
        Sennrich et al. 2016, algorithm 1, in bpe.learn_merges as one reads it.
        """
        text, special_tokens = checked_text(text), checked_special_tokens(special_tokens)
        size = fitting_vocab_size(text) + len(special_tokens) if vocab_size is None else vocab_size
        _check_size(size, special_tokens)
        counts: Counter[str] = Counter()
        for document in split_special(text, special_tokens)[::2]:
            for pieces in split_pieces(document):
                counts.update(pieces)
        tokenizer = cls.train_on_pieces(counts, size, special_tokens, progress)
        if vocab_size is not None and tokenizer.vocab_size < vocab_size:
            warnings.warn(
                f"vocab_size: {vocab_size}, but the text has pairs for {tokenizer.vocab_size} tokens only; training "
                "stopped there. Give more text or a smaller vocab_size",
                stacklevel=2,
            )
        return tokenizer

    @classmethod
    def train_on_pieces(
        cls, counts: Mapping[str, int], vocab_size: int, special_tokens: Sequence[str] = (), progress: bool = False
    ) -> Tokenizer:
        """Learn the merges from the pieces of a text and how often each occurs; else as train(), without the warning."""
        special_tokens = checked_special_tokens(special_tokens)
        _check_size(vocab_size, special_tokens)
        return cls(learn_merges(counts, int(vocab_size) - 256 - len(special_tokens), progress), special_tokens)

    @classmethod
    @functools.cache
    def gpt2(cls) -> Tokenizer:
        """Make GPT-2's tokenizer of 50,257 tokens, from the merge table that comes with minigpt; nothing is downloaded.

            Tokenizer.gpt2().encode("Hello world")       -> [15496, 995]
            Tokenizer.gpt2().special_tokens              -> {"<|endoftext|>": 50256}

        Read once per process; all callers share the object.  Radford et al. 2019, §2.2; A2 §2.
        """
        return cls(gpt2_merges(), [END_OF_TEXT])

    def encode(
        self,
        text: str,
        allowed_special: Collection[str] = (),
        disallowed_special: Collection[str] = "all",
        errors: str = "strict",
    ) -> list[int]:
        """Turn a text into ids, exactly those of merging each piece on its own; time grows linearly with the text.

        Special tokens in the text have tiktoken's meaning, so that a user's text cannot end a document by accident:

            encode("a<|endoftext|>")                                             ValueError
            encode("a<|endoftext|>", allowed_special="all")                      -> […, id of <|endoftext|>]
            encode("a<|endoftext|>", disallowed_special=())                      -> the ids of its characters

        allowed_special: the special tokens to parse, or "all"; of two that fit, the longer.  Other names do nothing.
        disallowed_special: texts to refuse, or "all" special tokens that are not allowed.  They go before the allowed.
        errors: "strict" raises UnicodeEncodeError at a lone surrogate; "replace" reads it as U+FFFD.
        Raises TypeError for bytes, None, a list; ValueError for refused special tokens; UnicodeEncodeError.
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
        """Turn a text, such as a whole corpus, into an array of ids (T,): uint16, or uint32 where the vocabulary needs it.

        Arguments as in encode; raises as in encode.  PaddlePaddle 3.3.1 takes uint16 for bfloat16: give it ids.astype(np.int64)
        (findings/paddle_uint16_tokens.sh).
        """
        parts = self._encode_parts(text, allowed_special, disallowed_special, errors)
        dtype = id_dtype(self.vocab_size)
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
        """Turn several texts into one array, where shorter ones are padded to the length of the longest.

            tokenizer.encode_batch(["low", "lowest"], pad_id=0)  -> [[257, 0, 0, 0], [257, 68, 82, 83]],
                                                                    [[1, 0, 0, 0], [1, 1, 1, 1]]

        B texts -> ids (B, T) and mask (B, T), int64; mask is 1 where a token of the text stands and 0 at padding.

        padding_side: "right", as for training, or "left", so that all rows end together and generation can go on.
        pad_id: the id to pad with; needed only where the texts differ in length.  GPT-2 has none: take 50256.
        max_length: keep at most so many ids of each text, the first ones.
        The others as in encode.
        Raises as in encode, naming the text; ValueError for texts that need a pad_id.
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
        check_id(pad_id, self.vocab_size, "pad_id")
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
        """Turn a text into ids and say where each comes from: text[start:end] are the characters it has bytes of.

            Tokenizer.gpt2().encode_with_offsets("a 日")          -> [64, 10545, 245, 98],
                                                                    [(0, 1), (1, 3), (2, 3), (2, 3)]

        Where several tokens share a character, here the three that "日" takes, each gets all of it.
        Arguments as in encode; raises as in encode.
        """
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for part, start, end, token in self._parts(text, allowed_special, disallowed_special):
            if token is not None:
                ids.append(self._added[token.text])
                spans.append((start, end))
                continue
            data = np.frombuffer(part.encode(), np.uint8)
            char_of_byte = np.cumsum((data & 0xC0) != 0x80) - 1  # in UTF-8 all but the first byte of a character are 10xxxxxx
            before = len(part) - (end - start)  # of a space that was put there
            char_of_byte = start + np.maximum(char_of_byte - before, 0)
            found, firsts, ends = self._byte_spans(part)
            ids += found
            chars = char_of_byte.tolist()
            spans += [(chars[first], chars[end - 1] + 1) for first, end in zip(firsts, ends, strict=True)]
        return ids, spans

    def explain(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> Explanation:
        """Show how a text becomes its tokens, merge by merge; made to be printed, or shown by a notebook.

            Tokenizer.gpt2().explain(" lowest")          -> ' lowest'
                                                              ␣ l o w e s t
                                                              ␣ l o w es t       e + s = es, 274
                                                              ␣l o w es t        ␣ + l = ␣l, 300
                                                              ␣l ow es t         o + w = ow, 322
                                                              ␣l ow est          es + t = est, 395
                                                              ␣low est           ␣l + ow = ␣low, 1877
                                                              ␣lowest            ␣low + est = ␣lowest, 9016
                                                            9016

        Of all neighbors that make a token, those that make the lowest id are merged first.  "␣" stands for a space.
        Arguments as in encode; raises as in encode.
        """
        return explanation(self, self._split(text, allowed_special, disallowed_special), self._steps, self._added)

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """Turn ids into text.  A token can end within a character: by default a broken one reads as U+FFFD.

        ids: integers, in a list, an array (T,) or any iterable.
        errors: "replace", "ignore", or "strict", which raises UnicodeDecodeError.
        Raises ValueError for an id that is not in the vocabulary, TypeError for float, str and bool ids.
        """
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of the ids, whole characters or not.  Raises as in decode."""
        return b"".join(map(self._bytes.__getitem__, checked_ids(ids, self.vocab_size)))

    def token_bytes(self, id: int) -> bytes:
        """Return the bytes of one token.  Raises as in decode."""
        return self.decode_bytes([id])

    @property
    def vocab_size(self) -> int:
        """The number of ids, the largest and one: of bytes, merges, added tokens and holes between them."""
        return len(self._bytes)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids, a copy."""
        return dict(self._special)

    @property
    def added_tokens(self) -> dict[str, int]:
        """The texts that are one token wherever they stand, special or not, and their ids; a copy."""
        return dict(self._added)

    @property
    def cuts(self) -> Cuts:
        """The places where a text can be cut, so that its parts have the ids of the whole."""
        return Cuts(tokens=tuple(self._added), before_space=self._prefix_space)

    def token_names(self) -> dict[int, str]:
        """Return the name of each id as vocab.json writes it, a space as "Ġ"; without ids that no token has."""
        names = {id: name for name, id in self._as_vocabulary().ids.items()}
        return names | {id: text for text, id in self._added.items()}

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size}, special_tokens={list(self._special)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return (self._merged, self._special, self._vocabulary) == (other._merged, other._special, other._vocabulary)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write vocab.json, merges.txt, added_tokens.json, tokenizer.json and tokenizer_config.json, for transformers too.

        vocab.json: {token: id}, special tokens included.  merges.txt: one merge a line under "#version: 0.2", earliest
        first.  added_tokens.json: {added token: id}.  tokenizer.json: all of it once more.  tokenizer_config.json: which class
        of transformers reads it.  Bytes are written as GPT-2 writes them, a space as "Ġ".  Makes the folder where there is
        none.  Raises OSError.
        """
        write_gpt2_files(Path(folder), self._as_vocabulary(), self.settings)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Tokenizer:
        """Read tokenizer.json, or where there is none vocab.json and merges.txt: those of save, of GPT-2 or of transformers.

            Tokenizer.load("gpt2")      GPT-2's own, without a folder of this name; so "gpt2-medium" and the other sizes

        Ids can be in any order and have holes, and tokens can be added, as tokenizer_config.json, special_tokens_map.json and
        added_tokens.json say.
        Raises FileNotFoundError; ValueError naming the file for a tokenizer of another kind and for a damaged one, and the
        line of merges.txt for a merge that is missing, repeated or out of order.
        """
        if means_gpt2(folder):
            return cls.gpt2()
        vocabulary, settings = read_gpt2_files(Path(folder))
        self = cls._of(vocabulary)
        self.settings = settings
        return self

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Tokenizer:
        """Read what state() returned.  Raises ValueError for anything else."""
        match state:
            case {"type": "bpe", "merges": list(merges), "special_tokens": list(special_tokens)}:
                self = cls(merges, special_tokens)
            case _:
                self = cls._of(Vocabulary.from_state(state))
        if isinstance(settings := state.get("settings"), dict):
            self.settings = Settings.from_state(settings)
        return self

    @classmethod
    def from_tiktoken(cls, path: str | os.PathLike[str], special_tokens: Sequence[str] = ()) -> Tokenizer:
        """Read tiktoken's file of ranks, such as r50k_base.tiktoken: a token in base64, a space and its rank on each line.

            Tokenizer.from_tiktoken("r50k_base.tiktoken", ["<|endoftext|>"]) == Tokenizer.gpt2()

        special_tokens: what tiktoken keeps elsewhere; they get the ids after the last rank.  The file does not say how text
        is split either: Tokenizer splits as GPT-2, so the ranks of later models, cl100k_base say, would give other ids.
        Raises FileNotFoundError; ValueError naming the line for bytes in another order than GPT-2's, for ranks that do not
        count up from 0, and for a token that is there twice or is not made of two earlier ones.
        """
        return cls(read_ranks(Path(path)), special_tokens)

    def fingerprint(self) -> str:
        """Return a SHA-256 of the tokens in the order of their ids, the special ones apart: equal for equal tokenizers."""
        tokens = f"{self._bytes!r} {self._special!r}"
        content = tokens if self._vocabulary is None else json.dumps(self._vocabulary.state(), sort_keys=True)
        return hashlib.sha256(f"bpe {content}".encode()).hexdigest()

    def state(self) -> dict[str, Any]:
        """Return all of the tokenizer as JSON-able values, for checkpoints; from_state reads it."""
        settings = {} if self.settings is None else {"settings": self.settings.state()}
        if self._vocabulary is not None:
            return self._vocabulary.state() | settings
        merges = [list(pair) for pair in self._merged]
        return {"type": "bpe", "merges": merges, "special_tokens": list(self._special)} | settings

    def _as_vocabulary(self) -> Vocabulary:
        if self._vocabulary is not None:
            return self._vocabulary
        names = [*map(name_of_bytes, self._bytes[: 256 + len(self._merged)]), *self._special]
        ids = {name: id for id, name in enumerate(names)}
        merges = [(names[left], names[right]) for left, right in self._merged]
        return Vocabulary(ids, merges, self._tokens)

    def _encode_parts(
        self,
        text: str,
        allowed_special: Collection[str],
        disallowed_special: Collection[str],
        errors: str,
        name: str = "text",
    ) -> Iterator[bytes]:
        """Yield the ids, a few thousand at a time, in four bytes each; those of a long text from all cores."""
        if (processes := processes_for(text)) > 1:
            text = checked_text(text, errors, name)
            allowed = allowed_in(text, self._refused, allowed_special, disallowed_special, name)
            return encode_long(self, text, sorted(allowed), processes)
        return self._encode_pieces(self._split(text, allowed_special, disallowed_special, errors, name))

    def encode_part(self, part: str, allowed_special: Collection[str]) -> bytes:
        """Turn a part of a long text into ids in four bytes each, in this process; no special token is refused."""
        return b"".join(self._encode_pieces(self._split(part, allowed_special, ())))

    def _encode_pieces(self, pieces: Iterator[tuple[list[str], bool]]) -> Iterator[bytes]:
        numbers = self._pieces.ids(pieces, self._numbers)
        return numbers if self._id_of_number is None else map(self._ids, numbers)

    def _ids(self, numbers: bytes) -> bytes:
        """Give each number its id, both in four bytes."""
        assert self._id_of_number is not None
        return self._id_of_number.take(np.frombuffer(numbers, np.uint32)).tobytes()

    def _split(
        self,
        text: str,
        allowed_special: Collection[str],
        disallowed_special: Collection[str],
        errors: str = "strict",
        name: str = "text",
    ) -> Iterator[tuple[list[str], bool]]:
        """Yield the pieces of a text, a few thousand at a time, with False, and added tokens, one at a time, with True."""
        for part, _, _, token in self._parts(text, allowed_special, disallowed_special, errors, name):
            if token is not None:
                yield [token.text], True
                continue
            for pieces in split_pieces(part):
                yield pieces, False

    def _parts(
        self,
        text: str,
        allowed_special: Collection[str],
        disallowed_special: Collection[str],
        errors: str = "strict",
        name: str = "text",
    ) -> Iterator[Span]:
        """Yield what is between added tokens, and these; with add_prefix_space the former begin with a space."""
        text = checked_text(text, errors, name)
        allowed = allowed_in(text, self._refused, allowed_special, disallowed_special, name)
        tokens = [token for token in self._tokens if token.text in allowed or token.text not in self._refused]
        for part, start, end, token in split_added(text, tokens):
            is_short = token is None and self._prefix_space and not part.startswith(" ")
            yield f" {part}" if is_short else part, start, end, token

    def _steps(self, piece: str) -> list[list[int]]:
        """Return the ids of a piece's bytes, those after each merge, and last its tokens."""
        if isinstance(self._pieces, GappedCache):
            steps = self._pieces.steps(piece)
        else:
            steps = [*merge_steps(byte_ids(piece.encode()), self._merged)]
        return [ids if self._id_of_number is None else self._id_of_number[ids].tolist() for ids in steps]

    def _byte_spans(self, part: str) -> tuple[list[int], list[int], list[int]]:
        """Return the ids of a part, with the place of the first byte of each and the place behind its last."""
        pieces = [piece for pieces in split_pieces(part) for piece in pieces]
        if isinstance(self._pieces, GappedCache):
            table = self._id_of_number
            sizes = self._sizes if table is None else [self._sizes[id] for id in table.tolist()]
            spans, start = [], 0
            for piece in pieces:
                spans += [(n, start + a, start + b) for n, a, b in self._pieces.spans(piece, sizes)]
                start += len(piece.encode())
            ids = [n if table is None else int(table[n]) for n, _, _ in spans]
            return ids, [first for _, first, _ in spans], [end for _, _, end in spans]
        numbers = b"".join(self._pieces.ids([(pieces, False)], {}))
        ids = memoryview(numbers if self._id_of_number is None else self._ids(numbers)).cast("I").tolist()
        ends = np.cumsum([self._sizes[id] for id in ids], dtype=np.int64).tolist()
        return ids, [0, *ends[:-1]], ends


def _check_size(vocab_size: Any, special_tokens: Sequence[str]) -> None:
    """Raises TypeError, ValueError unless bytes and special tokens fit into a vocabulary of this size."""
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, (int, np.integer)):
        raise TypeError(f"vocab_size: {vocab_size!r}, expected an integer; give a whole number of tokens")
    smallest = 256 + len(special_tokens)
    if vocab_size < smallest:
        raise ValueError(f"vocab_size: {vocab_size}, expected at least {smallest}: 256 bytes and {len(special_tokens)} special "
                         "tokens; raise vocab_size")
