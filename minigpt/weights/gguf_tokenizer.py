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
from ..system.text import printable
from ..tokenization import CharTokenizer, Tokenizer
from ..tokenization.added import AddedToken
from ..tokenization.vocabulary import Vocabulary
from .validation import WeightFormatError

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_END_OF_TEXT = "<|endoftext|>"
_NO_MERGE = "Ġ ĠĠ"      # llama.cpp wants one merge at least; this one never applies, since nothing makes its second half


class Written(NamedTuple):
    """What the keys hold, and the ids that end a text"""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    ends: tuple[int, ...]


def written(path: str | os.PathLike[str], tokenizer: Tokenizer | CharTokenizer, config: GPTConfig) -> Written:
    """Return what to write for a model's tokenizer.

    Ids without a token are given an unused one.  Where no token ends a text, one is appended, whose id is vocab_size: llama.cpp
    would take token 11.

    Raises: WeightFormatError for a tokenizer that llama.cpp cannot have.
    """
    if not isinstance(tokenizer, (Tokenizer, CharTokenizer)):
        _refuse(path, f"a {type(tokenizer).__name__}", "byte-level BPE or characters; save the model as safetensors")
    state, merges = tokenizer.state(), [_NO_MERGE]
    if isinstance(tokenizer, CharTokenizer):
        tokens = dict(enumerate(tokenizer.state()["chars"]))
        types = dict.fromkeys(tokens, _USER_DEFINED)
    else:
        tokens, special = tokenizer.token_names(), tokenizer.special_tokens
        types = {id: _CONTROL if text in special else _USER_DEFINED for text, id in tokenizer.added_tokens.items()}
        pairs = ((part if isinstance(part, str) else tokens[part] for part in pair) for pair in state["merges"])
        merges = [*map(" ".join, pairs)] or merges
        if state.get("add_prefix_space"):
            warnings.warn(f"{printable(path)}: a tokenizer that puts a space before a text, expected one that does not, since "
                          "llama.cpp cannot; begin prompts for it with a space", stacklevel=3)
    V = config.vocab_size
    if max(tokens) >= V:
        _refuse(path, f"a tokenizer of {max(tokens) + 1} ids for a model of {V}", "no more ids than rows of the embedding")
    given = config.eos_token_id if isinstance(config.eos_token_id, tuple) else (config.eos_token_id,)
    ends = tuple(id for id in given if id is not None and id in tokens)
    if len(ends) > 3:
        _refuse(path, f"{len(ends)} ids that end a text", "at most 3, for which llama.cpp has keys; set eos_token_id to fewer")
    if not ends and _END_OF_TEXT in tokenizer.special_tokens:
        ends = (tokenizer.special_tokens[_END_OF_TEXT],)
    if not ends:
        ends = (V,)
        tokens[V] = _END_OF_TEXT
        types[V] = _CONTROL
    names = [tokens.get(id, f"[PAD{id}]") for id in range(max(V, ends[-1] + 1))]
    _check(path, names)
    kinds = [types.get(id, _NORMAL) if id in tokens else _UNUSED for id in range(len(names))]
    return Written(names, kinds, merges, ends)


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
    try:
        return Tokenizer.from_state(Vocabulary(ids, [(left, right) for left, _, right in pairs], added).state())
    except ValueError as error:
        _refuse(path, f"a tokenizer that cannot be read ({error})", "GPT-2's kind of tokens and merges")


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
