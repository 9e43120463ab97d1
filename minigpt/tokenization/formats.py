"""The files that tokenizers are kept in: GPT-2's, the tokenizers package's, tiktoken's ranks, and our list of characters.

    vocab.json           {token: id}, special tokens included; bytes as name_of_bytes writes them, a space as "Ġ"
    merges.txt           one merge a line under "#version: 0.2", earliest first
    added_tokens.json    {special token: id}
    tokenizer.json       all of it once more, for Hugging Face's tokenizers package; we do not read it
    r50k_base.tiktoken   a token in base64, a space and its rank on each line; we do not write it
    chars.json           {"type": "char", "chars": [the characters in the order of their ids]}
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..system.files import naming, remove_atomic, write_atomic, write_together
from ..system.json_reader import read_json
from ..system.text import printable
from .bpe import BYTE_NAMES, BYTE_ORDER, Pair, byte_ids, name_of_bytes
from .checks import shortened
from .fast import apply_merges

END_OF_TEXT = "<|endoftext|>"  # GPT-2's token between documents; its own vocab.json has it without listing it elsewhere
_GPT2_MERGES = Path(__file__).parents[1] / "assets" / "gpt2" / "merges.txt.gz"


def gpt2_merges() -> list[Pair]:
    """Read the 50,000 merges of GPT-2, which come with minigpt."""
    return _read_merges(gzip.decompress(_GPT2_MERGES.read_bytes()).decode(), _GPT2_MERGES)[1]


def write_gpt2_files(folder: Path, tokens: Sequence[bytes], merges: Collection[Pair], special: Mapping[str, int]) -> None:
    """Write vocab.json, merges.txt, added_tokens.json and tokenizer.json, and make the folder where there is none.

    tokens: the bytes of each ordinary token, by id.  special: special token -> id.  Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [*map(name_of_bytes, tokens), *special]
    vocab = {name: id for id, name in enumerate(names)}
    lines = [f"{names[left]} {names[right]}" for left, right in merges]

    def write() -> None:
        write_atomic(folder / "merges.txt", "".join(f"{line}\n" for line in ["#version: 0.2", *lines]).encode())
        write_atomic(folder / "vocab.json", _json_bytes(vocab))
        write_atomic(folder / "added_tokens.json", _json_bytes(special))
        write_atomic(folder / "tokenizer.json", _json_bytes(_hugging_face(vocab, lines, special)))
        remove_atomic(folder / "chars.json")        # of another tokenizer, whose place this one takes

    write_together(write)


def read_gpt2_files(folder: Path) -> tuple[list[Pair], list[str]]:
    """Read the merges and the special tokens of vocab.json, merges.txt and, where there is one, added_tokens.json.

    Raises FileNotFoundError; ValueError naming file and line for a merge that is missing, repeated or out of order, for
    holes in the ids, and for a token that is neither a byte, nor merged, nor listed as special.
    """
    names, merges = _read_merges(_read_text(folder / "merges.txt"), folder / "merges.txt")
    path = folder / "vocab.json"
    vocab = _read_vocab(path)
    for id, name in enumerate(names):
        if vocab.get(name) != id:
            source = "a byte" if id < 256 else f"made by line {_line_of(id)} of merges.txt"
            raise ValueError(
                f"{printable(path)}: {name!r} has id {vocab.get(name)}, expected {id}: it is {source}; "
                "a part of one of the two files is missing or out of order: take both from one source"
            )
    added_path = folder / "added_tokens.json"
    added = _read_vocab(added_path) if added_path.exists() else {}
    for name, id in added.items():
        if vocab.setdefault(name, id) != id:
            found = f"{printable(added_path)}: {shortened(name)} has id {id}"
            raise ValueError(f"{found}, expected {vocab[name]} as in vocab.json; fix it")
    by_id = {id: name for name, id in vocab.items()}
    if sorted(vocab.values()) != list(range(len(vocab))):
        hole = next(id for id in range(len(vocab)) if id not in by_id)
        raise ValueError(
            f"{printable(path)}: no token has id {hole}, expected {len(vocab)} ids without holes or repeats; "
            "take vocab.json and merges.txt from one source"
        )
    special_tokens = [by_id[id] for id in range(len(names), len(vocab))]
    for name in special_tokens:
        if name not in added and name != END_OF_TEXT:
            raise ValueError(
                f"{printable(folder / 'merges.txt')} line {_line_of(len(names))}: the end, but {shortened(name)} of vocab.json "
                "is not made, expected its merge; restore the missing lines, or list it in added_tokens.json if special"
            )
    return merges, special_tokens


def read_ranks(path: Path) -> list[Pair]:
    """Find the merges behind tiktoken's ranks, which name only what each merge makes.

    A token's two parts are what its own bytes become by the merges before it.
    Raises FileNotFoundError; ValueError naming the line for bytes in another order than GPT-2's, for ranks that do not
    count up from 0, and for a token that is there twice or is not made of two earlier ones.
    """
    where = printable(path)
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
                f"{where} line {rank + 1}: {shortened(line)}, expected a token in base64, a space and {rank}; "
                "fetch the file again"
            )
        if token in seen:
            raise ValueError(f"{where} line {rank + 1}: {shortened(token)} again, expected a new token; fetch it again")
        seen.add(token)
        if rank < 256:
            if token != bytes([BYTE_ORDER[rank]]):
                raise ValueError(
                    f"{where} line {rank + 1}: {shortened(token)}, expected the byte {bytes([BYTE_ORDER[rank]])!r}: the "
                    "bytes come first, in GPT-2's order; take r50k_base or a file of a tokenizer that has them so"
                )
            continue
        parts = apply_merges(byte_ids(token), merged)
        if len(parts) != 2:
            raise ValueError(
                f"{where} line {rank + 1}: {shortened(token)} is made of {len(parts)} earlier tokens, expected two; "
                "a line is missing or out of order: fetch the file again"
            )
        merged[parts[0], parts[1]] = rank
    if len(lines) < 256:
        raise ValueError(f"{where} line {len(lines)}: the end, expected the 256 bytes first; fetch the file again")
    return list(merged)


def write_chars(folder: Path, chars: Sequence[str]) -> None:
    """Write chars.json, and make the folder where there is none.  Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)

    def write() -> None:
        write_atomic(folder / "chars.json", _json_bytes({"type": "char", "chars": list(chars)}))
        for name in ("merges.txt", "vocab.json", "added_tokens.json", "tokenizer.json"):    # of one whose place this takes
            remove_atomic(folder / name)

    write_together(write)


def read_chars(path: Path) -> list[Any]:
    """Read the list of chars.json, whose entries are still to be checked.

    Raises FileNotFoundError; ValueError naming the file for another content.
    """
    match _read_json(path):
        case {"type": "char", "chars": list(chars)}:
            return chars
    raise ValueError(f'{printable(path)}: another content, expected {{"type": "char", "chars": […]}}; save the tokenizer again')


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _read_text(path: Path) -> str:
    _check_there(path)
    try:
        return naming(path, lambda: path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{printable(path)}: invalid UTF-8 at byte {error.start}, expected text; fetch it again") from error


def _read_json(path: Path) -> dict[str, Any]:
    _check_there(path)
    return read_json(path, dict)


def _check_there(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{printable(path)}: no such file, expected part of a saved tokenizer; check the folder")


def _read_vocab(path: Path) -> dict[str, int]:
    vocab = _read_json(path)
    for name, id in vocab.items():
        if type(id) is not int:
            found = f"{printable(path)}: {shortened(name)} has id {shortened(id)}"
            raise ValueError(f"{found}, expected an integer; fetch the file again")
    return vocab


def _read_merges(text: str, path: Path) -> tuple[list[str], list[Pair]]:
    """Read the text of merges.txt: the names of all tokens in the order of their ids, and the merged pairs of ids."""
    where = printable(path)
    lines = text.removesuffix("\n").split("\n")
    if not lines[0].startswith("#version"):
        raise ValueError(f"{where} line 1: {shortened(lines[0])}, expected '#version: 0.2'; restore the first line")
    ids = {name: id for id, name in enumerate(BYTE_NAMES)}
    merges: list[Pair] = []
    for new, line in enumerate(lines[1:], start=256):
        parts = line.split(" ")
        if len(parts) != 2:
            raise ValueError(f"{where} line {_line_of(new)}: {shortened(line)}, expected two tokens, one space; fix it")
        left, right = parts
        try:
            merges.append((ids[left], ids[right]))
        except KeyError as error:
            raise ValueError(
                f"{where} line {_line_of(new)}: {shortened(error.args[0])} is not known here, expected a byte or what an "
                "earlier line makes; a line is missing or out of order: fetch the file again"
            ) from None
        if (old := ids.setdefault(left + right, new)) != new:
            raise ValueError(
                f"{where} line {_line_of(new)}: makes {shortened(left + right)} again, expected a new token: line "
                f"{_line_of(old)} has it; remove one"
            )
    return list(ids), merges


def _line_of(id: int) -> int:
    """Return the line of merges.txt that makes an id: one line of version stands before them."""
    return id - 256 + 2


def _hugging_face(vocab: Mapping[str, int], merges: list[str], special: Mapping[str, int]) -> dict[str, Any]:
    """Say GPT-2's splitting and merging in the terms of Hugging Face's tokenizers package: what tokenizer.json holds."""
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
