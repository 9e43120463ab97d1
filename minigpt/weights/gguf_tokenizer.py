"""A GGUF file's vocabulary: the keys tokenizer.ggml.* to a tokenizer and back.

    tokens  ["!", …, "Ġthe", …, "<|endoftext|>"]      token_type  [1, …, 1, …, 3]      merges  ["Ġ t", …]

Types are 1 normal, 3 control, 4 user-defined, 5 unused.  llama.cpp has no vocabulary of characters: it gets one of user-defined
tokens, which are found before anything is merged, and of one merge that never applies.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..config import GPTConfig
from ..system.text import listed, printable
from ..tokenization import CharTokenizer, Settings, Tokenizer
from ..tokenization.added import AddedToken
from ..tokenization.templates import MAIN
from ..tokenization.vocabulary import Vocabulary
from .validation import WeightFormatError

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_END_OF_TEXT = "<|endoftext|>"
_FLAGS = ("lstrip", "rstrip", "single_word")
_NO_MERGE = "Ġ ĠĠ"      # llama.cpp wants one merge at least; this one never applies, since nothing makes its second half


class Written(NamedTuple):
    """What the keys hold, the ids that end a text, the other ids and the switches by their keys, and the chat template"""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    ends: tuple[int, ...]
    ids: dict[str, int]
    switches: dict[str, bool]
    template: str | None


def written(path: str | os.PathLike[str], tokenizer: Tokenizer | CharTokenizer, config: GPTConfig) -> Written:
    """Return what to write for a model's tokenizer.

    Ids without a token are given an unused one.  Where no token ends a text, one is appended, whose id is vocab_size: llama.cpp
    would take token 11.

    Raises: WeightFormatError for a tokenizer that llama.cpp cannot have.
    """
    if not isinstance(tokenizer, (Tokenizer, CharTokenizer)):
        _refuse(path, f"a {type(tokenizer).__name__}", "byte-level BPE or characters; save the model as safetensors")
    state, merges, switches = tokenizer.state(), [_NO_MERGE], {}
    settings = (tokenizer.settings if isinstance(tokenizer, Tokenizer) else None) or Settings()
    if isinstance(tokenizer, CharTokenizer):
        tokens = dict(enumerate(tokenizer.state()["chars"]))
        types = dict.fromkeys(tokens, _USER_DEFINED)
    else:
        tokens, special = tokenizer.token_names(), tokenizer.special_tokens
        types = {id: _CONTROL if text in special else _USER_DEFINED for text, id in tokenizer.added_tokens.items()}
        pairs = ((part if isinstance(part, str) else tokens[part] for part in pair) for pair in state["merges"])
        merges = [*map(" ".join, pairs)] or merges
        if lost := [f"{token['text']} ({' '.join(flag for flag in _FLAGS if token[flag])})"
                    for token in state.get("added_tokens", ()) if any(token[flag] for flag in _FLAGS)]:
            warnings.warn(f"{printable(path)}: {listed(lost)}, expected added tokens without these flags, since GGUF has none: "
                          "they are found wherever their text stands, without the spaces beside it", stacklevel=3)
        if state.get("add_prefix_space"):
            switches["add_space_prefix"] = True
            warnings.warn(f"{printable(path)}: a tokenizer that puts a space before a text, expected one that does not, since "
                          "llama.cpp cannot; begin prompts for it with a space", stacklevel=3)
    V = config.vocab_size
    if max(tokens) >= V:
        _refuse(path, f"a tokenizer of {max(tokens) + 1} ids for a model of {V}", "no more ids than rows of the embedding")
    named = {key: id for key, id in settings.roles(tokenizer.special_tokens).items() if id < V}
    given = config.eos_token_id if isinstance(config.eos_token_id, tuple) else (config.eos_token_id,)
    ends = tuple(id for id in given if id is not None and id in tokens)
    ids = {"bos_token_id": config.bos_token_id, "padding_token_id": config.pad_token_id}
    own_ids = {"bos_token_id": named.get("bos_token_id"), "padding_token_id": named.get("pad_token_id"),
               "unknown_token_id": named.get("unk_token_id")}
    ids = own_ids | {key: id for key, id in ids.items() if id is not None}
    if settings.add_bos_token and "bos_token_id" in named:     # llama.cpp puts the token of this key there
        switches["add_bos_token"], ids["bos_token_id"] = True, named["bos_token_id"]
    if settings.add_eos_token and "eos_token_id" in named:
        switches["add_eos_token"], ends = True, tuple(dict.fromkeys((named["eos_token_id"], *ends)))
    if len(ends) > 3:
        _refuse(path, f"{len(ends)} ids that end a text", "at most 3, for which llama.cpp has keys; set eos_token_id to fewer")
    if not ends and "eos_token_id" in named:
        ends = (named["eos_token_id"],)
    if not ends and _END_OF_TEXT in tokenizer.special_tokens:
        ends = (tokenizer.special_tokens[_END_OF_TEXT],)
    if not ends:
        ends = (V,)
        tokens[V] = _END_OF_TEXT
        types[V] = _CONTROL
    names = [tokens.get(id, f"[PAD{id}]") for id in range(max(V, ends[-1] + 1))]
    _check(path, names)
    kinds = [types.get(id, _NORMAL) if id in tokens else _UNUSED for id in range(len(names))]
    known = {key: id for key, id in ids.items() if id is not None and id < len(names)}
    return Written(names, kinds, merges, ends, known, switches, settings.chat_template)


def read(path: str | os.PathLike[str], keys: Mapping[str, Any]) -> Tokenizer | CharTokenizer | None:
    """Return the tokenizer of a header's keys, None where they have none.

    Raises: WeightFormatError for one that is not as GPT-2's, and for keys that do not fit together.
    """
    model, before = keys.get("tokenizer.ggml.model"), keys.get("tokenizer.ggml.pre", "gpt-2")
    if model in (None, "none", "no_vocab"):
        return None
    if model != "gpt2" or before != "gpt-2":
        found = f"a tokenizer of model {model!r:.40} that splits by {before!r:.40}"
        _refuse(path, found, "'gpt2' and 'gpt-2'; load the weights, and give the tokenizer of the original model")
    tokens, merges = keys.get("tokenizer.ggml.tokens"), keys.get("tokenizer.ggml.merges")
    if not (isinstance(tokens, list) and isinstance(merges, list) and tokens and merges):
        _refuse(path, "tokenizer.ggml.tokens or merges that are no texts", "lists of them")
    default = np.array([_CONTROL if token == _END_OF_TEXT else _NORMAL for token in tokens])
    types = keys.get("tokenizer.ggml.token_type", default)
    if not isinstance(types, np.ndarray) or types.dtype.kind not in "iu" or len(types) != len(tokens):
        _refuse(path, f"{len(tokens)} tokens and other types than so many numbers", "one for each token")
    _check(path, tokens)
    own = keys.get("minigpt.vocab_size", len(tokens))
    used = {id: kind for id, kind in enumerate(types.tolist()) if kind != _UNUSED}
    chars = [tokens[id] for id, kind in used.items() if kind != _CONTROL]
    are_chars = all(used.get(id) == _USER_DEFINED and len(char) == 1 for id, char in enumerate(chars))
    if chars and are_chars and merges == [_NO_MERGE]:
        return CharTokenizer(chars)
    ids = {tokens[id]: id for id in used if not isinstance(own, int) or id < own}
    kinds = {text: used[id] for text, id in ids.items()}
    added = [AddedToken(text, kind == _CONTROL) for text, kind in kinds.items() if kind in (_CONTROL, _USER_DEFINED)]
    pairs = [merge.partition(" ") for merge in merges if merge != _NO_MERGE]
    prefix = keys.get("tokenizer.ggml.add_space_prefix") is True
    try:
        tokenizer = Tokenizer.from_state(Vocabulary(ids, [(left, right) for left, _, right in pairs], added, prefix).state())
    except ValueError as error:
        _refuse(path, f"a tokenizer that cannot be read ({error})", "GPT-2's kind of tokens and merges")
    tokenizer.settings = _settings(keys, {id: text for text, id in tokenizer.added_tokens.items()}, prefix)
    return tokenizer


def _settings(keys: Mapping[str, Any], texts: Mapping[int, str], prefix: bool) -> Settings:
    """Return what the keys say of the roles of added tokens; where they say nothing, those of GPT-2."""
    end = _END_OF_TEXT if _END_OF_TEXT in texts.values() else None

    def text(name: str, default: str | None = end) -> str | None:
        id = keys.get(f"tokenizer.ggml.{name}_token_id")
        return texts.get(id) if type(id) is int else default

    return Settings(
        bos_token=text("bos"), eos_token=text("eos"), unk_token=text("unknown"), pad_token=text("padding", None),
        add_prefix_space=prefix, add_bos_token=keys.get("tokenizer.ggml.add_bos_token") is True,
        add_eos_token=keys.get("tokenizer.ggml.add_eos_token") is True,
        templates={MAIN: template} if isinstance(template := keys.get("tokenizer.chat_template"), str) else {},
    )


def _check(path: str | os.PathLike[str], tokens: list[str]) -> None:
    """Refuse texts that llama.cpp cannot keep apart."""
    text, count = Counter(tokens).most_common(1)[0]
    if count > 1:
        ids = [id for id, token in enumerate(tokens) if token == text]
        _refuse(path, f"the token {text!r} as ids {ids[0]} and {ids[1]}", "a text of its own for each id")
    if bad := [id for id, token in enumerate(tokens) if not token or "\0" in token]:
        _refuse(path, f"token {bad[0]}, {tokens[bad[0]]!r:.40}", "a text without zero bytes, at which llama.cpp ends it")


def _refuse(path: str | os.PathLike[str], found: str, expected: str) -> NoReturn:
    raise WeightFormatError(f"{printable(path)}: {printable(found, 400)}, expected {printable(expected, 300)}")
