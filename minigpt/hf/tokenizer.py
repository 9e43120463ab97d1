"""Tokenizers with Hugging Face's calls: what both kinds share, and GPT2Tokenizer.  The tokens are tokenization/'s.

BERT's kind, which most Chinese GPT-2 models have, is in bert.py; special tokens by their roles are in special_tokens.py.
"""

import inspect
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..inputs import is_whole
from ..system.files import write_atomic
from ..system.json_reader import read_json
from ..system.option_names import nearest
from ..system.text import printable
from ..tokenization import Tokenizer
from ..tokenization.checks import shortened
from ..tokenization.formats import END_OF_TEXT
from ..tokenization.settings import Settings
from .added import own_size, with_added_tokens, with_prefix_space
from .encoding import PADDINGS, TRUNCATIONS, Encoding, as_arrays, choice, padded
from .reading import Found, read_tokenizer
from .special_tokens import LISTS, ROLES, SpecialTokens
from .unsupported import check_tokenizer_options

NO_LIMIT = int(1e30)        # what transformers gives as model_max_length where there is none

_CLASS_OF = {"Tokenizer": "take minigpt.hf.GPT2Tokenizer", "WordPieceTokenizer": "take minigpt.hf.BertTokenizer"}
_TIDIED = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", " n't": "n't", " 'm": "'m", " 's": "'s", " 've": "'ve",
           " 're": "'re"}

_Self = TypeVar("_Self", bound="PretrainedTokenizer")


class PretrainedTokenizer(SpecialTokens):
    """A tokenizer with Hugging Face's calls; `tokenizer` is the Tokenizer or WordPieceTokenizer under it.

    Special tokens are parsed wherever they occur in a text, unless split_special_tokens is set; then their characters are
    encoded.  padding_side: "right", or "left", for generate().  truncation_side: where a text that is too long is cut.
    model_input_names: what a call returns besides input_ids.
    clean_up_tokenization_spaces: what decode() does unless a call says otherwise; of no effect for byte-level tokens, which
    have their spaces, as in transformers 5.  roles: bos_token, eos_token, pad_token and so on.
    """

    model_input_names: Sequence[str] = ("input_ids", "attention_mask")
    kind: type = Tokenizer      # of the tokenizer under this one

    def __init__(self, tokenizer: Any, *, padding_side: str = "right", truncation_side: str = "right",
                 model_max_length: int | None = None, clean_up_tokenization_spaces: bool = False,
                 split_special_tokens: bool = False, model_input_names: Sequence[str] | None = None,
                 **roles: str | None) -> None:
        super().__init__()
        if unknown := [name for name in roles if name not in ROLES]:
            own = list(inspect.signature(PretrainedTokenizer).parameters)[1:-1]
            expected = nearest(unknown[0], [*own, *ROLES])
            raise TypeError(f"{type(self).__name__}: unknown argument {', '.join(unknown)}, expected {expected}")
        model_max_length = NO_LIMIT if model_max_length is None else model_max_length
        if not is_whole(model_max_length, 1):
            raise ValueError(f"model_max_length: {shortened(model_max_length)}, expected a whole number of tokens above 0")
        self.tokenizer = tokenizer
        self.padding_side = padding_side
        self.truncation_side = truncation_side
        self.split_special_tokens = split_special_tokens
        if model_input_names is not None:
            self.model_input_names = list(model_input_names)
        self.model_max_length = model_max_length
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self._own_size = own_size(tokenizer)
        for role, text in roles.items():
            setattr(self, role, text)

    @classmethod
    def from_pretrained(cls: type[_Self], name_or_folder: str | os.PathLike[str], **changes: Any) -> _Self:
        """Load the tokenizer of a folder, or by name; GPT-2's is bundled and the same for all sizes.

            GPT2Tokenizer.from_pretrained("gpt2", pad_token="<pad>", padding_side="left")

        changes: arguments of the class, instead of what tokenizer_config.json and special_tokens_map.json say; use_fast does
        nothing, since there is one kind.  A special token that the vocabulary does not have, of these files or in changes, is
        added to it.
        Raises what tokenization.load() does; ValueError for a folder that holds another kind of tokenizer.
        """
        return cls.of(read_tokenizer(name_or_folder), name_or_folder, **changes)

    @classmethod
    def of(cls: type[_Self], found: Found, source: object, **changes: Any) -> _Self:
        """Make it of what read_tokenizer() read from `source`."""
        tokenizer, settings = found.tokenizer, found.settings
        if type(tokenizer) is not cls.kind:
            raise ValueError(f"{printable(source)}: a {type(tokenizer).__name__}, expected a {cls.kind.__name__}; "
                             f"{_CLASS_OF.get(type(tokenizer).__name__, 'take GPT.from_pretrained(…).tokenizer')}")
        changes.pop("use_fast", None)
        if (prefix := changes.pop("add_prefix_space", None)) is not None:
            tokenizer = with_prefix_space(tokenizer, prefix)
        roles = {role: getattr(settings, role) for role in ROLES}
        if END_OF_TEXT not in tokenizer.special_tokens:     # GPT-2's default is not added to a vocabulary without it
            roles = {role: None if text == END_OF_TEXT else text for role, text in roles.items()}
        roles |= {role: changes.pop(role) for role in ROLES if role in changes}
        loaded = cls(tokenizer, **{**cls._options(settings), **found.options, **changes})
        if found.own_size is not None:
            loaded._own_size = found.own_size
        named = {role: text for role, text in roles.items() if text is not None}
        loaded.extra_special_tokens = [token.text for token in settings.special if token.text not in named.values()]
        loaded.add_special_tokens(named)
        loaded.roles = roles
        return loaded

    @classmethod
    def _options(cls, settings: Settings) -> dict[str, Any]:
        """The arguments of the class, apart from roles, that a folder's settings give."""
        return {"padding_side": settings.padding_side, "truncation_side": settings.truncation_side,
                "model_max_length": settings.model_max_length,
                "clean_up_tokenization_spaces": settings.clean_up_tokenization_spaces}

    # The vocabulary

    @property
    def tokenizer(self) -> Any:
        """The tokenizer under this one."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.__dict__.pop("_names", None)
        self.__dict__.pop("_ids", None)

    @cached_property
    def _names(self) -> dict[int, str]:
        return dict(self._tokenizer.token_names())

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: id for id, name in self._names.items()}

    def names(self) -> dict[int, str]:
        """The tokens by id, as the vocabulary file writes them."""
        return self._names

    def ids(self) -> dict[str, int]:
        """The ids by token, as the vocabulary file writes them."""
        return self._ids

    def get_vocab(self) -> dict[str, int]:
        """The ids by token, a copy."""
        return dict(self._ids)

    def get_added_vocab(self) -> dict[str, int]:
        """The ids of what is split out before anything else, special or not, by token."""
        return dict(sorted(self._tokenizer.added_tokens.items(), key=lambda pair: pair[1]))

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary's own file, without those that are added to it; len() counts them too."""
        return self._own_size

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size}, special_tokens={self.special_tokens_map})"

    def add_tokens(self, new_tokens: str | Sequence[str], special_tokens: bool = False) -> int:
        """Add texts that are tokens of their own from now on -> how many were none before.

        A text that is in the vocabulary keeps its id, and is from now on split out before anything else.
        The model needs as many rows: model.resize_token_embeddings(len(tokenizer)).
        special_tokens: leave them out where skip_special_tokens says so.  Raises TypeError, ValueError.
        """
        texts: list[Any] = [new_tokens] if isinstance(new_tokens, str) else list(new_tokens)
        if not all(isinstance(text, str) and text for text in texts):
            raise TypeError(f"new_tokens: {shortened(new_tokens)}, expected a text or several, none empty")
        known = self._tokenizer.special_tokens if special_tokens else self._tokenizer.added_tokens
        texts = [text for text in dict.fromkeys(texts) if text not in known]
        if texts:
            self.tokenizer = with_added_tokens(self._tokenizer, texts, special_tokens)
        return len(texts)

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any]) -> int:
        """Give roles to tokens, and add those that are none yet -> how many that were.

            tokenizer.add_special_tokens({"pad_token": "<pad>", "additional_special_tokens": ["<user>", "<bot>"]})

        Raises ValueError for a role that there is not, and what add_tokens() does.
        """
        if unknown := [role for role in special_tokens_dict if role not in (*ROLES, *LISTS)]:
            raise ValueError(f"add_special_tokens: {shortened(unknown[0])}, expected one of {', '.join((*ROLES, *LISTS))}")
        texts = [list(given) if role in LISTS else [given] for role, given in special_tokens_dict.items()]
        added = self.add_tokens([text for several in texts for text in several], special_tokens=True)
        for role, given in special_tokens_dict.items():
            if role in LISTS:
                self.extra_special_tokens = list(given)
            else:
                setattr(self, role, given)
        return added

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a role; transformers 5 calls them extra_special_tokens."""
        return self.extra_special_tokens

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The roles that there are, and their tokens."""
        return {role: text for role in ROLES if (text := self.roles.get(role)) is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """Every token with a role, and the other special ones, once."""
        others = sorted(self._tokenizer.special_tokens, key=self._tokenizer.special_tokens.__getitem__)
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.extra_special_tokens, *others]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all_special_tokens."""
        return [self._ids[text] for text in self.all_special_tokens]

    @property
    def padding_side(self) -> str:
        """Where padding goes: "right" or "left"."""
        return self._padding_side

    @padding_side.setter
    def padding_side(self, side: str) -> None:
        self._padding_side = _checked_side(side)

    @property
    def truncation_side(self) -> str:
        """Where a text that is too long is cut: "right" or "left"."""
        return self._truncation_side

    @truncation_side.setter
    def truncation_side(self, side: str) -> None:
        self._truncation_side = _checked_side(side, "truncation_side")

    # Text to ids

    def encode(self, text: str, text_pair: None = None, *, add_special_tokens: bool = True, padding: bool | str = False,
               truncation: bool | str | None = None, max_length: int | None = None, padding_side: str | None = None,
               return_tensors: str | None = None, **options: Any) -> list[int] | np.ndarray:
        """Encode a text: a list of ids, or with return_tensors="np" an int64 array (1, T).

            encode("Hello world") -> [15496, 995]

        Options as in a call.  Raises what Tokenizer.encode() does, and ValueError for tensors of other libraries.
        """
        return self(text, text_pair, add_special_tokens=add_special_tokens, padding=padding, truncation=truncation,
                    max_length=max_length, padding_side=padding_side, return_tensors=return_tensors, **options)["input_ids"]

    def __call__(
        self, text: str | list[str] | tuple[str, ...], text_pair: None = None, *, add_special_tokens: bool = True,
        padding: bool | str = False, truncation: bool | str | None = None, max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None, return_tensors: str | None = None, return_attention_mask: bool | None = None,
        return_token_type_ids: bool | None = None, split_special_tokens: bool | None = None, **options: Any,
    ) -> Encoding:
        """Encode a text or a list of texts: their input_ids and attention_mask, as lists or int64 arrays (B, T).

        add_special_tokens: the tokens that this tokenizer puts around a text, if it does.
        padding: True or "longest" pads to the longest row, "max_length" to max_length, "do_not_pad" and False not.
        truncation: True, "longest_first" or "only_first" cuts at max_length, False and "do_not_truncate" do not; None does
        where max_length is given and padding is not.  max_length is by default model_max_length; where that has no limit,
        nothing is cut at it or padded to it.  pad_to_multiple_of: what is padded gets a length that it divides.
        return_tensors: None or "np".  return_attention_mask, return_token_type_ids: by default what model_input_names lists.
        split_special_tokens: by default the attribute.
        Raises what Tokenizer.encode() does; ValueError for text_pair and other options that only transformers has, for
        rows that no array can hold, and for bad options.
        """
        check_tokenizer_options({"text_pair": text_pair, **options})
        if truncation is None:
            truncation = max_length is not None and choice(PADDINGS, padding, "padding") is None
        cut = choice(TRUNCATIONS, truncation, "truncation")
        most = self._limit(max_length)
        texts = text if isinstance(text, (list, tuple)) else [text]
        rows = [self._encoded(one, split_special_tokens) for one in texts]
        around = len(self.with_special_tokens([])) if add_special_tokens else 0
        if cut and most is not None:
            if most < around:
                raise ValueError(f"max_length: {most}, expected at least the {around} tokens around a text; raise it, or pass "
                                 "add_special_tokens=False")
            is_left, kept = self.truncation_side == "left", most - around
            rows = [row[max(0, len(row) - kept) :] if is_left else row[:kept] for row in rows]
        if add_special_tokens:
            rows = [self.with_special_tokens(row) for row in rows]
        columns = {"input_ids": rows}
        if "token_type_ids" in self.model_input_names if return_token_type_ids is None else return_token_type_ids:
            columns["token_type_ids"] = [[0] * len(row) for row in rows]
        return self._padded(columns, texts is not text, padding, most, pad_to_multiple_of, padding_side, return_attention_mask,
                            return_tensors)

    def _encoded(self, text: str, split_special_tokens: bool | None = None) -> list[int]:
        is_split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        return self._tokenizer.encode(text, allowed_special=() if is_split else "all", disallowed_special=())

    def with_special_tokens(self, ids: list[int]) -> list[int]:
        """Put the tokens around a text's ids that this tokenizer puts there: none."""
        return ids

    def pad(
        self, encoded: Mapping[str, Any] | Sequence[Mapping[str, Any]], padding: bool | str = True, *,
        max_length: int | None = None, pad_to_multiple_of: int | None = None, padding_side: str | None = None,
        return_attention_mask: bool | None = None, return_tensors: str | None = None,
    ) -> Encoding:
        """Pad what was encoded before, together or text by text: {"input_ids": rows, …} or [{"input_ids": row, …}, …].

        input_ids are filled with pad_token_id, attention_mask, made where there is none, and token_type_ids with 0; other
        entries stay.  Options as in a call.  Raises TypeError, ValueError.
        """
        if not isinstance(encoded, Mapping):
            encoded = {name: [one[name] for one in encoded] for name in (encoded[0] if len(encoded) else {"input_ids": []})}
        columns = {name: _lists(rows) for name, rows in encoded.items()}
        if "input_ids" not in columns:
            raise ValueError(f"pad: {shortened([*columns])}, expected input_ids; pass what the tokenizer returned")
        single = bool(columns["input_ids"]) and not isinstance(columns["input_ids"][0], list)
        return self._padded({name: [rows] if single else rows for name, rows in columns.items()}, single, padding,
                            self._limit(max_length), pad_to_multiple_of, padding_side, return_attention_mask, return_tensors)

    def tokenize(self, text: str) -> list[str]:
        """Split a text into tokens as the vocabulary file writes them: tokenize("Hello é") -> ["Hello", "ĠÃ©"]."""
        return [self._names[id] for id in self._encoded(text)]

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int | None] | None:
        """Look up a token or several, as the vocabulary file writes them -> ids; for what is no token the id of unk_token."""
        if isinstance(tokens, str):
            return self._ids.get(tokens, self.unk_token_id)
        return [self._ids.get(token, self.unk_token_id) for token in tokens]

    # Ids to text

    def decode(self, ids: Any, skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: bool | None = None) -> str | list[str]:
        """Decode ids, an int, a list or an array (T,), to their text; rows of ids, (B, T), to a list of texts.

        Part of a character reads as U+FFFD; an id that no token has, such as one of a padded table, as nothing.
        skip_special_tokens leaves out the special ones, not others that were added.  clean_up_tokenization_spaces joins
        punctuation to the word before.
        Raises ValueError for an id below 0.
        """
        ids = _lists(ids)
        if isinstance(ids, list) and ids and isinstance(ids[0], list):
            return [self._text(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        return self._text(ids if isinstance(ids, list) else [ids], skip_special_tokens, clean_up_tokenization_spaces)

    def batch_decode(self, rows: Any, skip_special_tokens: bool = False,
                     clean_up_tokenization_spaces: bool | None = None) -> list[str]:
        """Decode each row of (B, T), or of a list of B lists; a single row, not in a list, to one text."""
        rows = _lists(rows)
        texts = self.decode(rows, skip_special_tokens, clean_up_tokenization_spaces) if rows else []
        return [texts] if isinstance(texts, str) else texts

    def convert_ids_to_tokens(self, ids: int | Iterable[int], skip_special_tokens: bool = False) -> Any:
        """Look up an id or several -> tokens as the vocabulary file writes them, None for an id that no token has.

        Raises ValueError for an id below 0.
        """
        rows = _lists(ids)
        special = self.all_special_ids if skip_special_tokens else []
        names = [self._names.get(_at_least_0(id)) for id in (rows if isinstance(rows, list) else [rows]) if id not in special]
        return names if isinstance(rows, list) else names[0] if names else None

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens as the vocabulary file writes them to a text.  Raises ValueError for what is no token."""
        if unknown := [token for token in tokens if token not in self._ids]:
            raise ValueError(f"tokens: {shortened(unknown[0])}, expected tokens of the vocabulary; decode ids instead")
        return self._tokenizer.decode([self._ids[token] for token in tokens])

    def token_bytes(self, id: int) -> bytes:
        """Return the bytes that an id adds to a text, none for one that no token has."""
        return self._tokenizer.token_bytes(id) if id in self._names else b""

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the tokenizer's files and tokenizer_config.json, which transformers loads too."""
        path = Path(folder) / "tokenizer_config.json"
        self._tokenizer.save(folder)
        stored = read_json(path, dict) if path.is_file() else {}
        write_atomic(path, (json.dumps({**stored, **self._stored()}, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))

    def _stored(self) -> dict[str, Any]:
        """What tokenizer_config.json says about this class."""
        return {
            "tokenizer_class": type(self).__name__, **{role: self.roles[role] for role in ROLES if role in self.roles},
            "extra_special_tokens": self.extra_special_tokens, "padding_side": self.padding_side,
            "truncation_side": self.truncation_side, "split_special_tokens": self.split_special_tokens,
            "model_input_names": list(self.model_input_names),
            "model_max_length": self.model_max_length, "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
        }

    def _text(self, ids: list[Any], skip_special_tokens: bool, clean_up_tokenization_spaces: bool | None) -> str:
        left_out = set(self._tokenizer.special_tokens.values()) if skip_special_tokens else set()
        size = self._tokenizer.vocab_size
        text = self._tokenizer.decode([id for id in ids if id not in left_out and not (is_whole(id, size))])
        if clean_up_tokenization_spaces:
            for spaced, tidy in _TIDIED.items():
                text = text.replace(spaced, tidy)
        return text

    def _padded(
        self, columns: dict[str, list[Any]], single: bool, padding: bool | str, most: int | None, multiple: int | None,
        padding_side: str | None, return_attention_mask: bool | None, return_tensors: str | None,
    ) -> Encoding:
        """Pad rows, as pad() says, and give them the form that is asked for: of one text, of several, arrays."""
        if return_tensors not in (None, "np"):
            raise ValueError(f'return_tensors: {return_tensors!r}, expected "np": minigpt has NumPy only; write "np"')
        to, rows = choice(PADDINGS, padding, "padding"), columns["input_ids"]
        left = _checked_side(self.padding_side if padding_side is None else padding_side) == "left"
        if return_attention_mask is False:
            columns.pop("attention_mask", None)
        elif return_attention_mask or "attention_mask" in self.model_input_names:
            columns.setdefault("attention_mask", [[1] * len(row) for row in rows])
        length = most if to == "max_length" else max(map(len, rows), default=0) if to == "longest" else None
        if length is not None:
            if self.pad_token_id is None:
                raise ValueError(
                    "padding: no pad token, expected one to pad with; set tokenizer.pad_token = tokenizer.eos_token"
                )
            columns = padded(columns, self.pad_token_id, -(-length // (multiple or 1)) * (multiple or 1), left)
        if return_tensors == "np":
            return as_arrays(columns)
        return Encoding({name: rows[0] for name, rows in columns.items()} if single else columns)

    def _limit(self, max_length: int | None) -> int | None:
        most = self.model_max_length if max_length is None else max_length
        return most if most < 10**20 else None


class GPT2Tokenizer(PretrainedTokenizer):
    """GPT-2's tokenizer with Hugging Face's calls; `tokenizer` is the Tokenizer under it.

    Its start, end and unknown token is <|endoftext|>, where the vocabulary has it and no other is given; there is no pad token
    until one is set: tokenizer.pad_token = tokenizer.eos_token.  add_bos_token, add_eos_token: begin and end every text with
    these tokens.
    """

    def __init__(self, tokenizer: Tokenizer | None = None, *files: Any, add_bos_token: bool = False,
                 add_eos_token: bool = False, model_max_length: int | None = 1024, **options: Any) -> None:
        if files or not isinstance(tokenizer, Tokenizer):
            raise TypeError(f"GPT2Tokenizer: {type(tokenizer).__name__}, expected a minigpt.Tokenizer; of vocab.json and "
                            "merges.txt in a folder GPT2Tokenizer.from_pretrained(folder) makes one")
        end = END_OF_TEXT if END_OF_TEXT in tokenizer.special_tokens else None
        super().__init__(tokenizer, model_max_length=model_max_length,
                         **{"bos_token": end, "eos_token": end, "unk_token": end, **options})
        self.add_bos_token = add_bos_token
        self.add_eos_token = add_eos_token

    def with_special_tokens(self, ids: list[int]) -> list[int]:
        """Put bos_token before a text's ids if add_bos_token says so, eos_token after them if add_eos_token does."""
        bos = [self.bos_token_id] if self.add_bos_token and self.bos_token is not None else []
        eos = [self.eos_token_id] if self.add_eos_token and self.eos_token is not None else []
        return [*bos, *ids, *eos]

    @classmethod
    def _options(cls, settings: Settings) -> dict[str, Any]:
        return {**super()._options(settings), "add_bos_token": settings.add_bos_token, "add_eos_token": settings.add_eos_token}

    def _stored(self) -> dict[str, Any]:
        return {**super()._stored(), "add_bos_token": self.add_bos_token, "add_eos_token": self.add_eos_token}

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens as vocab.json writes them to a text; what is no token stays as it is."""
        known = self.ids()
        parts = [self.token_bytes(known[token]) if token in known else token.encode() for token in tokens]
        return b"".join(parts).decode("utf-8", "replace")


def _checked_side(side: Any, name: str = "padding_side") -> str:
    if side not in ("left", "right"):
        raise ValueError(f"{name}: {shortened(side)}, expected 'left' or 'right'")
    return side


def _lists(ids: Any) -> Any:
    """Ids in any form, a number, an array, an iterable, or rows of them -> an int, or lists."""
    if isinstance(ids, (np.ndarray, np.integer)):
        return ids.tolist()
    if isinstance(ids, (int, float, str, bytes)) or not np.iterable(ids):
        return ids
    return [_lists(id) for id in ids]


def _at_least_0(id: Any) -> int:
    if not is_whole(id, 0):
        raise ValueError(f"ids: {shortened(id)}, expected ids from 0; pass what the tokenizer returned")
    return id
