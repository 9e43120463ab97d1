"""GPT2Tokenizer: a tokenizer with Hugging Face's calls.  The tokens themselves are tokenization/tokenizer.py's."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..inputs import is_whole, pad_rows
from ..system.files import write_atomic, write_together
from ..system.json_reader import read_json
from ..system.text import printable
from ..tokenization import Tokenizer
from ..tokenization.bpe import name_of_bytes
from ..tokenization.checks import shortened
from ..tokenization.formats import END_OF_TEXT
from ..weights.pretrained import find

# Models that share one vocabulary, that of Tokenizer.gpt2()
GPT2_NAMES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2")


class Encoding(dict):
    """The input_ids and the attention_mask of a text, by key and by attribute."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"Encoding has no {name!r}, expected one of {', '.join(self)}")


class GPT2Tokenizer:
    """GPT-2's tokenizer with Hugging Face's calls; `tokenizer` is the Tokenizer under it.

    Its start, end and unknown token is <|endoftext|>, which is parsed wherever it occurs in a text; there is no pad token
    until one is set: tokenizer.pad_token = tokenizer.eos_token.  padding_side: "right", or "left", for generate().
    """

    def __init__(self, tokenizer: Tokenizer, *, pad_token: str | None = None, padding_side: str = "right",
                 model_max_length: int = 1024) -> None:
        self.tokenizer = tokenizer
        if not is_whole(model_max_length, 1):
            raise ValueError(f"model_max_length: {shortened(model_max_length)}, expected a whole number of tokens above 0")
        self.padding_side = padding_side
        self.model_max_length = model_max_length
        self.eos_token = END_OF_TEXT if END_OF_TEXT in tokenizer.special_tokens else None
        self.bos_token = self.unk_token = self.eos_token
        self.bos_token_id = self.eos_token_id = self.unk_token_id = tokenizer.special_tokens.get(END_OF_TEXT)
        special = {id: name for name, id in tokenizer.special_tokens.items()}
        self._names = [special.get(id) or name_of_bytes(tokenizer.token_bytes(id)) for id in range(tokenizer.vocab_size)]
        self._ids = {name: id for id, name in enumerate(self._names)}
        self.pad_token = pad_token

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str]) -> "GPT2Tokenizer":
        """Load GPT-2's, bundled and the same for all sizes, or that of a folder.  Raises what Tokenizer.load() does."""
        folder = Path(name_or_folder)
        if not (folder / "vocab.json").is_file():
            if str(name_or_folder).rpartition("/")[2] in GPT2_NAMES:
                return cls(Tokenizer.gpt2())
            folder = find(name_or_folder)
        settings = {}
        if (path := folder / "tokenizer_config.json").is_file():
            stored = read_json(path, dict)
            names = ("pad_token", "padding_side", "model_max_length")
            settings = {name: stored[name] for name in names if stored.get(name) is not None}
            if isinstance(pad := settings.get("pad_token"), dict):      # transformers' AddedToken
                settings["pad_token"] = pad.get("content", pad)
        tokenizer = Tokenizer.load(folder)
        try:
            return cls(tokenizer, **settings)
        except ValueError as error:
            raise ValueError(f"{printable(path)}: {error}") from None

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write vocab.json, merges.txt, added_tokens.json and tokenizer_config.json, which transformers loads too."""
        settings = {
            "tokenizer_class": "GPT2Tokenizer", "bos_token": self.bos_token, "eos_token": self.eos_token,
            "unk_token": self.unk_token, "pad_token": self.pad_token, "padding_side": self.padding_side,
            "model_max_length": self.model_max_length, "add_prefix_space": False,
        }

        def write() -> None:
            self.tokenizer.save(folder)
            write_atomic(Path(folder) / "tokenizer_config.json", (json.dumps(settings, indent=2) + "\n").encode("utf-8"))

        write_together(write)

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return self.tokenizer.vocab_size

    def __len__(self) -> int:
        return self.vocab_size

    @property
    def padding_side(self) -> str:
        """Where padding goes: "right" or "left"."""
        return self._padding_side

    @padding_side.setter
    def padding_side(self, side: str) -> None:
        if side not in ("left", "right"):
            raise ValueError(f"padding_side: {shortened(side)}, expected 'left' or 'right'")
        self._padding_side = side

    @property
    def pad_token(self) -> str | None:
        """The token that rows are padded with; it can be set to any token of the vocabulary, None by default."""
        return self._pad_token

    @pad_token.setter
    def pad_token(self, token: Any) -> None:
        if token is not None and not (isinstance(token, str) and token in self._ids):
            raise ValueError(f"pad_token: {shortened(token)}, expected a token of the vocabulary; take tokenizer.eos_token")
        self._pad_token: str | None = token

    @property
    def pad_token_id(self) -> int | None:
        """The id of pad_token, or None."""
        return None if self.pad_token is None else self._ids[self.pad_token]

    def encode(self, text: str, *, truncation: bool = False, max_length: int | None = None,
               return_tensors: str | None = None) -> list[int] | np.ndarray:
        """Encode a text: a list of ids, or with return_tensors="np" an int64 array (1, T).  No token is added.

            encode("Hello world") -> [15496, 995]

        Raises what Tokenizer.encode() does, and ValueError for tensors of other libraries.
        """
        return self(text, truncation=truncation, max_length=max_length, return_tensors=return_tensors)["input_ids"]

    def __call__(
        self, text: str | list[str] | tuple[str, ...], *, padding: bool | str = False, truncation: bool = False,
        max_length: int | None = None, return_tensors: str | None = None,
    ) -> Encoding:
        """Encode a text or a list of texts: their input_ids and attention_mask, as lists or int64 arrays (B, T).

        padding: True or "longest" pads to the longest row, "max_length" to max_length.  truncation=True cuts at max_length,
        which is by default model_max_length.  return_tensors: None or "np".
        Raises what Tokenizer.encode() does; ValueError for rows that no array can hold, and for bad options.
        """
        if return_tensors not in (None, "np"):
            raise ValueError(f'return_tensors: {return_tensors!r}, expected "np": minigpt has NumPy only; write "np"')
        if padding not in (False, True, "longest", "max_length"):
            raise ValueError(f"padding: {padding!r}, expected True, False, 'longest' or 'max_length'")
        pad = self.pad_token_id if padding else None
        if padding and pad is None:
            raise ValueError("padding: no pad token, expected one to pad with; set tokenizer.pad_token = tokenizer.eos_token")
        most = self.model_max_length if max_length is None else max_length
        texts = text if isinstance(text, (list, tuple)) else [text]
        rows = [self.tokenizer.encode(one, allowed_special="all") for one in texts]
        if truncation:
            rows = [row[:most] for row in rows]
        masks = [[1] * len(row) for row in rows]
        if pad is not None:
            length = most if padding == "max_length" else max(map(len, rows), default=0)

            # row by row, since without truncation some may be longer than max_length
            def padded(row: list[int], fill: int) -> list[int]:
                return pad_rows([row], fill, length=length, left=self.padding_side == "left")[0].tolist()

            rows, masks = [padded(row, pad) for row in rows], [padded(mask, 0) for mask in masks]
        encoding = Encoding(input_ids=rows, attention_mask=masks)
        if return_tensors is None:
            return encoding if texts is text else Encoding({name: rows[0] for name, rows in encoding.items()})
        if len(lengths := sorted({len(row) for row in encoding["input_ids"]})) > 1:
            raise ValueError(
                f"return_tensors: rows of {lengths[0]} to {lengths[-1]} tokens, expected equal lengths; pass padding=True"
            )
        return Encoding({name: np.array(rows, np.int64).reshape(len(texts), -1) for name, rows in encoding.items()})

    def decode(self, ids: int | Iterable[int], skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: bool = False) -> str:
        """Decode ids, an int, a list or an array (T,), to their text.  Part of a character reads as U+FFFD.

        skip_special_tokens leaves out <|endoftext|>; clean_up_tokenization_spaces joins punctuation to the word before.
        """
        ids = np.atleast_1d(ids).tolist() if isinstance(ids, (int, np.integer, np.ndarray)) else list(ids)
        if skip_special_tokens:
            special = set(self.tokenizer.special_tokens.values())
            ids = [id for id in ids if id not in special]
        text = self.tokenizer.decode(ids)
        if clean_up_tokenization_spaces:
            for spaced in (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're"):
                text = text.replace(spaced, spaced[1:])
        return text

    def batch_decode(self, rows: Iterable[Iterable[int]], skip_special_tokens: bool = False,
                     clean_up_tokenization_spaces: bool = False) -> list[str]:
        """Decode each row of (B, T), or of a list of B lists: decode()."""
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in rows]

    def tokenize(self, text: str) -> list[str]:
        """Split a text into tokens as vocab.json writes them: tokenize("Hello world é") -> ["Hello", "Ġworld", "ĠÃ©"]."""
        return [self._names[id] for id in self.encode(text)]

    def convert_ids_to_tokens(self, ids: int | Iterable[int]) -> str | list[str]:
        """Look up an id or several -> tokens as vocab.json writes them.  Raises IndexError for an id beyond the vocabulary."""
        return self._names[ids] if isinstance(ids, (int, np.integer)) else [self._names[id] for id in ids]

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int | None] | None:
        """Look up a token or several, as vocab.json writes them -> ids; for what is no token the id of unk_token."""
        if isinstance(tokens, str):
            return self._ids.get(tokens, self.unk_token_id)
        return [self._ids.get(token, self.unk_token_id) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """The ids by token, a copy."""
        return dict(self._ids)
