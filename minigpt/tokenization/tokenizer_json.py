"""tokenizer.json, the one file in which Hugging Face's tokenizers package keeps all of a tokenizer.

    {"added_tokens": […], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", …}, "post_processor": …, "decoder": …,
     "model": {"type": "BPE", "vocab": {token: id}, "merges": [["Ġ", "t"], …], …}}

Merges are written as pairs, or as texts with one space in older files.  A file is read where it describes a byte-level BPE
that splits as GPT-2 does; another one is refused by the name of what is different.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..system.text import printable
from .added import AddedToken, read_added
from .bpe import BYTE_NAMES
from .checks import shortened
from .settings import Settings
from .split import PATTERN
from .vocabulary import Vocabulary, checked_vocab

_GPT2_PATTERNS = (
    PATTERN,
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
)


def vocabulary_of(data: dict[str, Any], settings: Settings, path: Path) -> Vocabulary:
    """Read the content of a tokenizer.json, and what the settings beside it add.

    Raises ValueError naming the file and what is not as GPT-2 has it.
    """
    where = printable(path)
    model = data.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else model
        raise ValueError(f"{where}: model.type: {shortened(kind)}, expected 'BPE'; take a model with GPT-2's kind of tokenizer")
    vocab = model.get("vocab")
    if not isinstance(vocab, dict):
        raise ValueError(f"{where}: model.vocab: {shortened(vocab)}, expected an object from tokens to ids; fetch it again")
    merges = _merges(model.get("merges"), where)
    for key, value in (("normalizer", data.get("normalizer")), ("model.dropout", model.get("dropout")),
                       ("model.ignore_merges", model.get("ignore_merges")),
                       ("model.continuing_subword_prefix", model.get("continuing_subword_prefix")),
                       ("model.end_of_word_suffix", model.get("end_of_word_suffix"))):  # fmt: skip
        if value and value != {"type": "Sequence", "normalizers": []}:
            raise ValueError(f"{where}: {key}: {shortened(value)}, expected none, as GPT-2 has it; {_CONVERT}")
    add_prefix_space = _prefix_space(data.get("pre_tokenizer"), where)
    match data.get("decoder"):
        case None | {"type": "ByteLevel"} | {"type": "Sequence", "decoders": [{"type": "ByteLevel"}]}:
            pass
        case decoder:
            raise ValueError(f"{where}: decoder: {shortened(decoder)}, expected ByteLevel; {_CONVERT}")
    unk_token, fuse_unk = model.get("unk_token"), bool(model.get("fuse_unk"))
    if settings.is_gpt2 and (settings.tokenizer_class or (path.parent / "config.json").exists()):
        add_prefix_space, unk_token = settings.add_prefix_space, None  # the class makes its own parts
    if set(BYTE_NAMES) <= vocab.keys():
        unk_token = None  # never needed
    elif model.get("byte_fallback"):
        found = f"{where}: model.byte_fallback: true where bytes have no tokens"
        raise ValueError(f"{found}, expected false, as GPT-2 has it; {_CONVERT}")
    if unk_token is not None and not isinstance(unk_token, str):
        raise ValueError(f"{where}: model.unk_token: {shortened(unk_token)}, expected a token or null; fetch it again")
    listed = _listed(data.get("added_tokens"), where)
    added = settings.added([token for _, token in listed], vocab)
    fuse_unk = fuse_unk and unk_token is not None
    vocab = checked_vocab(vocab, where)
    try:
        vocabulary = Vocabulary(vocab, merges, added, add_prefix_space, unk_token, fuse_unk)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    for id, token in listed:
        if (counted := vocabulary.added_ids[token.text]) != id:
            text = f"{where}: added token {shortened(token.text)} gets id {counted}, as tokenizers counts them, though it says"
            warnings.warn(f"{text} {shortened(id)}", stacklevel=2)
    return vocabulary


_CONVERT = "take a tokenizer that does as GPT-2's, or load the model's weights without one"


def _merges(value: Any, where: str) -> list[tuple[str, str]]:
    pairs = [merge.split(" ") if type(merge) is str else merge for merge in (value if isinstance(value, list) else [value])]
    for i, pair in enumerate(pairs):
        if type(pair) is not list or [*map(type, pair)] != [str, str]:
            raise ValueError(f"{where}: model.merges[{i}]: {shortened(pair)}, expected two tokens; fetch it again")
    return list(map(tuple, pairs))


def _listed(value: Any, where: str) -> list[tuple[int, AddedToken]]:
    """Read the list of added tokens, each with the id that the file gives it."""
    value = [] if value is None else value
    if not isinstance(value, list):
        raise ValueError(f"{where}: added_tokens: {shortened(value)}, expected a list; fetch it again")
    tokens = [read_added(token, f"{where}: added_tokens[{i}]") for i, token in enumerate(value)]
    return [(entry.get("id"), token) for entry, token in zip(value, tokens, strict=True)]


def _prefix_space(pre_tokenizer: Any, where: str) -> bool:
    """Return add_prefix_space of a pre-tokenizer that splits as GPT-2 does."""
    match pre_tokenizer:
        case {"type": "Sequence", "pretokenizers": [only]}:
            return _prefix_space(only, where)
        case {"type": "ByteLevel", "add_prefix_space": bool(add_prefix_space)} if pre_tokenizer.get("use_regex", True) is True:
            return add_prefix_space
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}} as split,
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        } if pattern in _GPT2_PATTERNS and (split.get("behavior"), split.get("invert")) in _ALL_PIECES:
            return False
    found = pre_tokenizer
    if isinstance(found, dict) and isinstance(parts := found.get("pretokenizers"), list):
        found = [part.get("type") if isinstance(part, dict) else part for part in parts]
    raise ValueError(f"{where}: pre_tokenizer: {shortened(found)}, expected ByteLevel, which splits as GPT-2 does; {_CONVERT}")


_ALL_PIECES = (("Isolated", False), ("Isolated", True), ("Removed", True))


def tokenizer_json_of(vocabulary: Vocabulary, settings: Settings) -> dict[str, Any]:
    """Say a tokenizer in the terms of the tokenizers package: what tokenizer.json holds."""
    byte_level = {
        "type": "ByteLevel", "add_prefix_space": vocabulary.add_prefix_space, "trim_offsets": False, "use_regex": True,
    }  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": vocabulary.added_ids[token.text], "content": token.text, "single_word": token.single_word,
                "lstrip": token.lstrip, "rstrip": token.rstrip, "normalized": token.normalized, "special": token.special,
            }
            for token in vocabulary.added
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": _template(vocabulary.added_ids, settings) or byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": vocabulary.unk_token,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": vocabulary.fuse_unk,
            "byte_fallback": False,
            "vocab": vocabulary.ids,
            "merges": [f"{left} {right}" for left, right in vocabulary.merges],
        },
    }  # fmt: skip


def _template(ids: Mapping[str, int], settings: Settings) -> dict[str, Any] | None:
    """Return the post-processor that puts bos and eos around a text, None where nothing is put there."""
    named = (settings.bos_token, settings.add_bos_token), (settings.eos_token, settings.add_eos_token)
    bos, eos = ([text] if wanted and text is not None and text in ids else [] for text, wanted in named)
    if not bos and not eos:
        return None

    def around(name: str, type_id: int) -> list[dict[str, Any]]:
        kinds = [*(("SpecialToken", text) for text in bos), ("Sequence", name), *(("SpecialToken", text) for text in eos)]
        return [{kind: {"id": id, "type_id": type_id}} for kind, id in kinds]

    return {
        "type": "TemplateProcessing", "single": around("A", 0), "pair": [*around("A", 0), *around("B", 1)],
        "special_tokens": {text: {"id": text, "ids": [ids[text]], "tokens": [text]} for text in (*bos, *eos)},
    }  # fmt: skip
