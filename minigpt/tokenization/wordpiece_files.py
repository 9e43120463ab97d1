"""The files of a BERT-style tokenizer, as transformers writes them.

    vocab.txt                  a token on each line, whose number is its id
    tokenizer_config.json      the names of the special tokens, how words are found, and tokens that were added
    tokenizer.json             all of it, for Hugging Face's tokenizers package; where it is there, vocab.txt is not read
    special_tokens_map.json, added_tokens.json     older places of the same; read where they are there
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..system.files import read_start, remove_atomic, write_atomic, write_together
from ..system.json_reader import MOST_BYTES, MOST_VALUES, read_json
from ..system.text import printable
from .added import AddedToken, read_added
from .bert_text import BertRules
from .checks import shortened
from .settings import Settings
from .split import code_ranges
from .templates import write_templates
from .unicode_classes import WHITE_SPACE

ROLES = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
BERT_TOKENS = tuple(ROLES.values())
_WHITE = "".join(chr(code) for first, last in code_ranges(WHITE_SPACE) for code in range(first, last + 1))
_RULES = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
_AS_WRITTEN = {"single_word": False, "lstrip": False, "rstrip": False}

Numbered = tuple[int, AddedToken]       # an added token and its id


class WordPieceFiles(NamedTuple):
    """What the files of a folder say, in the order of WordPieceTokenizer's arguments; path is the file with the vocabulary."""

    tokens: list[str | None]
    special_tokens: list[str]
    rules: BertRules
    unk_token: str
    added: list[Numbered]
    path: Path


def read_wordpiece_files(folder: Path) -> WordPieceFiles:
    """Read the tokenizer of a folder, from tokenizer.json or else vocab.txt, with the settings beside it.

    Raises FileNotFoundError; ValueError naming the file, and the line of vocab.txt, for what is damaged or not BERT's.
    """
    config_path = folder / "tokenizer_config.json"
    config = read_json(config_path, dict) if config_path.exists() else {}
    map_path = folder / "special_tokens_map.json"
    names = ROLES | (read_json(map_path, dict) if map_path.exists() else {}) | config
    roles = {role: _content(names[role], role, config_path) for role in ("bos_token", "eos_token", *ROLES) if role in names}
    more = [names.get(key) for key in ("additional_special_tokens", "extra_special_tokens")]
    special = [text for text in roles.values() if text]
    special += [_content(token, "special token", config_path) or "" for tokens in more if isinstance(tokens, list)
                for token in tokens]  # fmt: skip
    added: list[Numbered] = []
    rules: dict[str, Any] = {}
    path = folder / "tokenizer.json"
    if path.exists():
        tokens, rules, added = _read_tokenizer_json(path)
        if str(config.get("tokenizer_class", "")).startswith("Bert"):
            rules = {}  # transformers' class then builds them from its own defaults
    else:
        path = folder / "vocab.txt"
        tokens = read_vocab_txt(path)
    added += _listed(config.get("added_tokens_decoder", {}), config_path)
    added_path = folder / "added_tokens.json"
    if added_path.exists():
        added += [_added({"id": id, "content": text, "special": text in special, "normalized": text not in special}, added_path)
                  for text, id in read_json(added_path, dict).items()]  # fmt: skip
    by_text = {token.text: (id, token) for id, token in reversed(added)}  # subtle: the first place that has a text wins
    rules |= {key: config[key] for key in _RULES if key in config}
    return WordPieceFiles(
        tokens,
        list(dict.fromkeys(special)),
        _rules(rules, config_path),
        roles["unk_token"] or ROLES["unk_token"],
        [(id, replace(token, special=token.special or token.text in special)) for id, token in reversed(by_text.values())],
        path,
    )  # fmt: skip


def read_vocab_txt(path: Path) -> list[str | None]:
    """Read a token from each line, without the white space at its end; of equal lines the last has the token.

    Raises FileNotFoundError; ValueError for what is no text, empty or too large.
    """
    where = printable(path)
    if not path.exists():
        raise FileNotFoundError(f"{where}: no such file, expected a token on each line; check the folder")
    data = read_start(path, MOST_BYTES)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{where}: too large, expected at most {MOST_BYTES:,} bytes; fetch the file again")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{where} line {line}: invalid UTF-8, expected a token; fetch the file again") from error
    if not text:
        raise ValueError(f"{where} line 1: the end, expected a token on each line; fetch the file again")
    if (lines := text.count("\n") + 1) > MOST_VALUES:
        raise ValueError(f"{where} line {MOST_VALUES + 1}: {lines:,} lines, expected at most {MOST_VALUES:,}; fetch it again")
    tokens = [line.rstrip(_WHITE) for line in text.removesuffix("\n").split("\n")]
    last = {token: id for id, token in enumerate(tokens)}
    return [token if last[token] == id else None for id, token in enumerate(tokens)]


def write_wordpiece_files(
    folder: Path, tokens: Sequence[str | None], rules: BertRules, unk_token: str, added: Iterable[Numbered],
    settings: Settings | None = None,
) -> None:
    """Write tokenizer.json, tokenizer_config.json and, where it can say the vocabulary, vocab.txt.

    settings: what tokenizer_config.json says beyond the tokenizer itself; None: the roles of BERT's special tokens.
    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    added = list(added)
    settings = Settings.from_state(dict(ROLES)) if settings is None else settings
    config = {
        **dict.fromkeys(ROLES),
        **settings.written({token.text for _, token in added if token.special}),
        "tokenizer_class": "BertTokenizer",
        **asdict(rules),
        "unk_token": unk_token,
        "added_tokens_decoder": {str(id): _entry(token) for id, token in added},
    }
    # A line that no token has repeats the last one: of equal lines the last counts.
    lines = [tokens[-1] if token is None else token for token in tokens]
    writable = all(line is not None and line == line.rstrip(_WHITE) and "\n" not in line for line in lines)

    def write() -> None:
        write_atomic(folder / "tokenizer.json", _json_bytes(_hugging_face(tokens, rules, unk_token, added)))
        write_atomic(folder / "tokenizer_config.json", _json_bytes(config))
        write_templates(folder, settings.templates)
        if writable:
            write_atomic(folder / "vocab.txt", "".join(f"{line}\n" for line in lines).encode())
        else:
            remove_atomic(folder / "vocab.txt")
        for name in ("chars.json", "merges.txt", "vocab.json", "added_tokens.json", "special_tokens_map.json"):
            remove_atomic(folder / name)  # of another tokenizer, whose place this one takes

    write_together(write)


def _read_tokenizer_json(path: Path) -> tuple[list[str | None], dict[str, Any], list[Numbered]]:
    """Read the vocabulary, the rules under transformers' names, and the added tokens."""
    data = read_json(path, dict)

    def part(name: str, **expected: Any) -> dict[str, Any]:
        found = data.get(name)
        for key, value in expected.items():
            if not isinstance(found, dict) or found.get(key, value if key != "type" else None) != value:
                shown = shortened(found if not isinstance(found, dict) else found.get(key))
                raise ValueError(
                    f"{printable(path)}: {name}.{key}: {shown}, expected {value!r} as in BERT's; "
                    "load the folder with the library that wrote it"
                )
        assert isinstance(found, dict)
        return found

    model = part("model", type="WordPiece", continuing_subword_prefix="##", max_input_chars_per_word=100)
    normalizer = part("normalizer", type="BertNormalizer", clean_text=True)
    part("pre_tokenizer", type="BertPreTokenizer")
    part("decoder", type="WordPiece", prefix="##", cleanup=True)
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not vocab:
        raise ValueError(f"{printable(path)}: model.vocab: {shortened(vocab)}, expected {{token: id}}; fetch the file again")
    by_id: dict[int, str] = {}
    for token, id in vocab.items():
        if type(id) is not int or not 0 <= id < MOST_VALUES or by_id.setdefault(id, token) != token:
            raise ValueError(
                f"{printable(path)}: model.vocab: {shortened(token)} has id {shortened(id)}, expected an id of its own "
                f"from 0 to {MOST_VALUES - 1:,}; fetch the file again"
            )
    rules = {ours: normalizer[theirs] for ours, theirs in _RULES.items() if theirs in normalizer}
    return [by_id.get(id) for id in range(max(by_id) + 1)], rules, _listed(data.get("added_tokens", []), path)


def _listed(tokens: object, path: Path) -> list[Numbered]:
    """Read added tokens: a list of objects, or an object of them by id."""
    if isinstance(tokens, dict):
        tokens = [{"id": int(id) if id.isdecimal() and len(id) < 10 else id, **(token if isinstance(token, dict) else {})}
                  for id, token in tokens.items()]  # fmt: skip
    if not isinstance(tokens, list):
        raise ValueError(f"{printable(path)}: added tokens: {shortened(tokens)}, expected a list; fetch the file again")
    return [_added(token, path) for token in tokens]


def _added(entry: object, path: Path) -> Numbered:
    where = f"{printable(path)}: added token"
    token, id = read_added(entry, where), entry["id"] if isinstance(entry, dict) and "id" in entry else None
    if type(id) is not int or not 0 <= id < MOST_VALUES:
        raise ValueError(f"{where} {shortened(entry)}, expected content and id; download or save the file again")
    if chosen := [key for key in _AS_WRITTEN if getattr(token, key)]:
        raise ValueError(f"{where} {shortened(token.text)}: {chosen[0]}, expected a token that is parsed as it is written; "
                         "load the folder with the library that wrote it")
    return id, token


def _content(token: object, name: str, path: Path) -> str | None:
    """Read a special token: its text, null, or an object with its content."""
    text = token.get("content") if isinstance(token, dict) else token
    if text is None or isinstance(text, str):
        return text
    raise ValueError(f"{printable(path)}: {name}: {shortened(token)}, expected a text; download or save the file again")


def _rules(chosen: Mapping[str, Any], path: Path) -> BertRules:
    for name, value in chosen.items():
        if not isinstance(value, bool) and not (name == "strip_accents" and value is None):
            raise ValueError(f"{printable(path)}: {name}: {shortened(value)}, expected true or false; correct it")
    return BertRules(**chosen)


def _entry(token: AddedToken) -> dict[str, Any]:
    return {"content": token.text, **_AS_WRITTEN, "normalized": token.normalized, "special": token.special}


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _hugging_face(
    tokens: Sequence[str | None], rules: BertRules, unk_token: str, added: Iterable[Numbered]
) -> dict[str, Any]:
    """Say BERT's rules and the vocabulary in the terms of Hugging Face's tokenizers package: what tokenizer.json holds."""
    ids = {token.text: id for id, token in added}
    ends = {text: {"id": text, "ids": [ids[text]], "tokens": [text]} for text in ("[CLS]", "[SEP]") if text in ids}

    def template(*sequences: str) -> list[dict[str, Any]]:
        pieces: list[dict[str, Any]] = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] if "[CLS]" in ends else []
        for type_id, sequence in enumerate(sequences):
            pieces.append({"Sequence": {"id": sequence, "type_id": type_id}})
            pieces += [{"SpecialToken": {"id": "[SEP]", "type_id": type_id}}] if "[SEP]" in ends else []
        return pieces

    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, **_entry(token)} for id, token in added],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            **{theirs: getattr(rules, ours) for ours, theirs in _RULES.items()},
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template("A"),
            "pair": template("A", "B"),
            "special_tokens": ends,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": unk_token,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: id for id, token in enumerate(tokens) if token is not None},
        },
    }
