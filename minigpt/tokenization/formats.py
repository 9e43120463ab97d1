"""The files that tokenizers are kept in: GPT-2's, the tokenizers package's, tiktoken's ranks, and our list of characters.

    vocab.json           {token: id}, added tokens included; bytes as name_of_bytes writes them, a space as "Ġ"
    merges.txt           one merge a line under "#version: 0.2", earliest first
    added_tokens.json    {added token: id}
    tokenizer.json       all of it once more, and more exactly: tokenizer_json.py; where it stands it alone is read
    tokenizer_config.json  which of the tokens have a meaning: settings.py
    r50k_base.tiktoken   a token in base64, a space and its rank on each line; we do not write it
    chars.json           {"type": "char", "chars": [the characters in the order of their ids]}
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..system.files import naming, remove_atomic, write_atomic, write_together
from ..system.json_reader import read_json
from ..system.text import printable
from .added import AddedToken
from .bpe import BYTE_NAMES, BYTE_ORDER, Pair, byte_ids
from .checks import shortened
from .fast import apply_merges
from .settings import END_OF_TEXT, Settings, read_settings
from .templates import write_templates
from .tokenizer_json import tokenizer_json_of, vocabulary_of
from .vocabulary import Vocabulary, checked_vocab

_FILES = (
    "merges.txt", "vocab.json", "added_tokens.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "vocab.txt",
)  # fmt: skip
# The models whose vocabulary is GPT-2's: short names, and those of their repositories at Hugging Face
GPT2_REPOSITORIES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
}
_GPT2_MERGES = Path(__file__).parents[1] / "assets" / "gpt2" / "merges.txt.gz"


def means_gpt2(name: str | os.PathLike[str]) -> bool:
    """Whether this is a name of a model with GPT-2's vocabulary, which is bundled, and not of a file or folder here."""
    return str(name) in {*GPT2_REPOSITORIES, *GPT2_REPOSITORIES.values()} and not Path(name).exists()


def gpt2_merges() -> list[Pair]:
    """Read the 50,000 merges of GPT-2, which come with minigpt."""
    lines = gzip.decompress(_GPT2_MERGES.read_bytes()).decode().removesuffix("\n").split("\n")[1:]
    numbers = {name: i for i, name in enumerate(BYTE_NAMES)}
    merges = []
    for new, line in enumerate(lines, start=256):
        left, _, right = line.partition(" ")
        merges.append((numbers[left], numbers[right]))
        numbers[left + right] = new
    return merges


def write_gpt2_files(folder: Path, vocabulary: Vocabulary, settings: Settings | None = None) -> None:
    """Write vocab.json, merges.txt, added_tokens.json, tokenizer.json and tokenizer_config.json.

    settings: what the last says; None: bos_token, eos_token and unk_token are <|endoftext|>, where that is a token.
    Makes the folder where there is none.  Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    added = vocabulary.added_ids
    lines = [f"{left} {right}" for left, right in vocabulary.merges]
    settings = Settings(bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, unk_token=END_OF_TEXT) if settings is None else settings
    tokenizer_json = tokenizer_json_of(vocabulary, settings)
    config = {
        # GPT-2's class would make its own parts, without unk_token
        "tokenizer_class": "GPT2Tokenizer" if settings.is_gpt2 and vocabulary.unk_token is None else "PreTrainedTokenizerFast",
        **settings.written(added), "add_prefix_space": vocabulary.add_prefix_space,
    }  # fmt: skip
    if vocabulary.unk_token is not None:
        config["unk_token"] = vocabulary.unk_token

    def write() -> None:
        write_atomic(folder / "merges.txt", "".join(f"{line}\n" for line in ["#version: 0.2", *lines]).encode())
        write_atomic(folder / "vocab.json", _json_bytes(vocabulary.ids | added))
        write_atomic(folder / "added_tokens.json", _json_bytes(added))
        write_atomic(folder / "tokenizer.json", _json_bytes(tokenizer_json))
        write_atomic(folder / "tokenizer_config.json", _json_bytes(config))
        write_templates(folder, settings.templates)
        for name in ("chars.json", "vocab.txt", "special_tokens_map.json"):  # of another tokenizer, whose place this one takes
            remove_atomic(folder / name)

    write_together(write)


def read_gpt2_files(folder: Path) -> tuple[Vocabulary, Settings]:
    """Read tokenizer.json, or where there is none vocab.json, merges.txt and added_tokens.json; and the settings beside them.

    Raises FileNotFoundError; ValueError naming the file, and in merges.txt the line, for what is damaged or of another kind.
    """
    path = folder / "tokenizer.json"
    if path.exists():
        data = _read_json(path)
        settings = read_settings(folder, data)
        return vocabulary_of(data, settings, path), settings
    merges = _read_merges(_read_text(folder / "merges.txt"), folder / "merges.txt")
    path = folder / "vocab.json"
    vocab = _read_json(path)
    settings = read_settings(folder)
    added = settings.added(_read_added(folder, settings, vocab), vocab)
    vocab = checked_vocab(vocab, printable(path))
    try:
        vocabulary = Vocabulary(vocab, merges, added, settings.add_prefix_space)
    except ValueError as error:
        raise ValueError(f"{printable(path)}: {error}") from None
    _check_all_made(vocabulary, folder / "merges.txt")
    return vocabulary, settings


def _read_added(folder: Path, settings: Settings, vocab: Mapping[str, Any]) -> list[AddedToken]:
    """Read added_tokens.json.  Its tokens are special where settings name them, or where no such file stands beside it."""
    path = folder / "added_tokens.json"
    table = _read_json(path) if path.exists() else {}
    for name, id in table.items():
        if type(id) is not int or vocab.get(name, id) != id or not name:
            found = f"{printable(path)}: {shortened(name)} has id {shortened(id)}"
            expected = f"{vocab[name]} as in vocab.json" if vocab.get(name, id) != id else "an integer"
            raise ValueError(f"{found}, expected {expected}; fix it")
    special = not any((folder / name).exists() for name in ("tokenizer_config.json", "special_tokens_map.json"))
    return [AddedToken(name, special=special, normalized=not special) for name in sorted(table, key=table.__getitem__)]


def _check_all_made(vocabulary: Vocabulary, path: Path) -> None:
    """Raise ValueError where a line of merges.txt is missing: a token among those that are made is not, though it has parts."""
    made = {left + right: vocabulary.ids[left + right] for left, right in vocabulary.merges}
    known = {*BYTE_NAMES, *made, *(token.text for token in vocabulary.added)}
    first = min(made.values(), default=0)
    for name in vocabulary.ids.keys() - known:
        if (id := vocabulary.ids[name]) < first or len(name) > 1000:  # of long ones the parts would take too long to find
            continue
        for i in range(1, len(name)):
            if name[:i] in vocabulary.ids and name[i:] in vocabulary.ids:
                line = 2 + sum(other < id for other in made.values())
                raise ValueError(
                    f"{printable(path)} line {line}: no merge makes {shortened(name)}, which vocab.json has with id {id}, "
                    f"expected '{printable(name[:i])} {printable(name[i:])}'; restore the missing lines, or list the token "
                    "in added_tokens.json if it is never made"
                )


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
        write_templates(folder, {})
        for name in _FILES:     # of one whose place this takes
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


def _read_merges(text: str, path: Path) -> list[tuple[str, str]]:
    """Read the text of merges.txt: the merged pairs of tokens."""
    where = printable(path)
    lines = text.removesuffix("\n").split("\n")
    if not lines[0].startswith("#version"):
        raise ValueError(f"{where} line 1: {shortened(lines[0])}, expected '#version: 0.2'; restore the first line")
    merges: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines[1:], start=2):
        left, space, right = line.partition(" ")
        if not (left and right) or " " in right:
            raise ValueError(f"{where} line {number}: {shortened(line)}, expected two tokens, one space; fix it")
        if (old := merges.setdefault((left, right), number)) != number:
            raise ValueError(
                f"{where} line {number}: makes {shortened(left + right)} again, expected a new token: line {old} has it; "
                "remove one"
            )
    made: dict[str, int] = {}
    for (left, right), number in merges.items():
        made.setdefault(left + right, number)
    for (left, right), number in merges.items():
        for part in (left, right):
            if part not in BYTE_NAMES and made.get(part, number) >= number:
                raise ValueError(
                    f"{where} line {number}: {shortened(part)} is not known here, expected a byte or what an earlier line "
                    "makes; a line is missing or out of order: fetch the file again"
                )
    return list(merges)
