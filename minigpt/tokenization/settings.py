"""The settings beside a tokenizer: tokenizer_config.json and special_tokens_map.json, read as transformers 5 reads them.

    read_settings("model").pad_token            -> "<pad>"

What a tokenizer's own files hold, vocabularies and merges, is in tokenizer_json.py and formats.py; chat templates are in
templates.py.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..system.json_reader import read_json
from ..system.text import printable
from .added import AddedToken, added_of_state, read_added
from .checks import shortened
from .templates import MAIN, is_name, read_templates

END_OF_TEXT = "<|endoftext|>"  # GPT-2's token between documents; its own vocab.json has it without listing it elsewhere
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_SWITCHES = ("add_prefix_space", "add_bos_token", "add_eos_token", "clean_up_tokenization_spaces")
_BERT = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
_GPT2 = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
_TOKENS = ("listed", "special")
_NO_LIMIT = 10**9  # transformers writes 1e30 where there is none


@dataclass(frozen=True)
class Settings:
    """What tokenizer_config.json and special_tokens_map.json say; where they say nothing, the defaults of the class.

    tokenizer_class: as transformers names it; None where no file does.
    bos_token … mask_token: the texts of the tokens with these meanings, whether the vocabulary has them or not.
    model_max_length: the tokens that the model takes, None where nothing limits them.
    add_bos_token, add_eos_token: bos_token goes before each text, eos_token behind it.
    listed: texts to add to the vocabulary, in the order of their ids.  special: those that are named above or that
    extra_special_tokens lists.
    rest: the other keys of tokenizer_config.json, and templates, the chat templates by file name: written again as they are.
    """

    tokenizer_class: str | None = None
    bos_token: str | None = None
    eos_token: str | None = None
    unk_token: str | None = None
    sep_token: str | None = None
    pad_token: str | None = None
    cls_token: str | None = None
    mask_token: str | None = None
    padding_side: str = "right"
    truncation_side: str = "right"
    model_max_length: int | None = None
    add_prefix_space: bool = False
    add_bos_token: bool = False
    add_eos_token: bool = False
    clean_up_tokenization_spaces: bool = False
    listed: tuple[AddedToken, ...] = ()
    special: tuple[AddedToken, ...] = ()
    rest: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)

    @property
    def is_gpt2(self) -> bool:
        """Whether the class is GPT-2's, which takes add_prefix_space from these settings, where others ask tokenizer.json."""
        return self.tokenizer_class in (None, "GPT2Tokenizer", "GPT2TokenizerFast")

    def roles(self, ids: Mapping[str, int]) -> dict[str, int]:
        """Return the ids of the named tokens that the vocabulary has: "bos_token_id", "eos_token_id" and so on."""
        return {f"{name}_id": ids[text] for name in _NAMED if (text := getattr(self, name)) in ids}

    @property
    def chat_template(self) -> str | None:
        """The model's own template, where there are several the one called "default"; None where there is none."""
        found = self.templates.get(MAIN, self.rest.get("chat_template"))
        if isinstance(found, list):
            named = [each for each in found if isinstance(each, dict)]
            found = next((each.get("template") for each in named if each.get("name") == "default"), None)
        return found if isinstance(found, str) else None

    def written(self, known: Collection[str]) -> dict[str, Any]:
        """Return what tokenizer_config.json says of these settings, apart from the class and from what is as by default.

        known: the texts that are split out before anything else; a token that is none of them is written as None.
        """
        named = {name: text if (text := getattr(self, name)) in known else None for name in _NAMED}
        values = {name: text for name, text in named.items() if text is not None or name in _GPT2}
        if others := [token.text for token in self.special if token.text not in named.values()]:
            values["additional_special_tokens"] = others
        plain = Settings()
        for key in ("padding_side", "truncation_side", "model_max_length", *_SWITCHES):
            values |= {} if (value := getattr(self, key)) == getattr(plain, key) else {key: value}
        return {**self.rest, **values}

    def state(self) -> dict[str, Any]:
        """Return what differs from the defaults as JSON-able values, for checkpoints; from_state reads it."""
        plain, tokens = Settings(), {key: list(map(asdict, getattr(self, key))) for key in _TOKENS}
        return {key: value for key, value in {**vars(self), **tokens}.items() if value not in (getattr(plain, key), [])}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Settings:
        """Read what state() returned.  Raises ValueError for anything else."""
        values = dict(state)
        for key in _TOKENS:
            if isinstance(values.get(key), list):
                values[key] = tuple(map(added_of_state, values[key]))
        kinds = {each.name: str(each.type) for each in fields(cls)}
        for key, value in values.items():
            kind = "None" if value is None else type(value).__name__
            if kind not in kinds.get(key, "").replace("[", " ").split():
                raise ValueError(f"state: {shortened(key)}: {shortened(value)}, expected settings; pass what state() returned")
        for name, text in values.get("templates", {}).items():
            if not (is_name(name) and isinstance(text, str)):
                raise ValueError(f"state: {shortened(name)}: expected a chat template; pass what state() returned")
        return cls(**values)

    def added(self, own: Iterable[AddedToken], known: Collection[str]) -> list[AddedToken]:
        """Return all texts to add to a vocabulary, with those that its own file lists.

        What is named as special is special.  known: the vocabulary; the tokens that a class has by default count only there.
        """
        added = {token.text: token for token in (*own, *self.listed)}
        named = dict.fromkeys((self.bos_token, self.eos_token, self.unk_token))
        defaults = [AddedToken(text) for text in named if text is not None and text in known]
        for token in (*self.special, *defaults):
            added[token.text] = replace(added.get(token.text, token), special=True)
        return list(added.values())


_OWN = {each.name for each in fields(Settings)} - {*_TOKENS, "rest", "templates"} | {
    "additional_special_tokens", "extra_special_tokens", "added_tokens_decoder",
}  # fmt: skip


def read_settings(folder: str | os.PathLike[str], tokenizer_json: dict[str, Any] | None = None) -> Settings:
    """Read the settings beside a tokenizer; without files those that its class has.

    special_tokens_map.json goes before tokenizer_config.json, but counts only where the latter lists no added tokens.
    tokenizer_json: the content of the folder's file, where the caller has read it.
    Raises ValueError naming the file for values of another kind; OSError.
    """
    folder = Path(folder)
    path, map_path, own_path = (folder / f"{name}.json" for name in ("tokenizer_config", "special_tokens_map", "tokenizer"))
    config, special_map = _read(path), _read(map_path)
    own = _read(own_path) if tokenizer_json is None else tokenizer_json
    name = _value(config, "tokenizer_class", str, path)
    settings: dict[str, Any] = dict(_defaults(name, folder))
    if isinstance(padding := own.get("padding"), dict):
        settings["pad_token"] = _text(padding.get("pad_token"), own_path, "padding.pad_token")
        settings["padding_side"] = str(padding.get("direction", "right")).lower()
    listed = config.get("added_tokens_decoder")
    special: dict[str, AddedToken] = {}
    for source, where in ((config, path), ({} if listed is not None else special_map, map_path)):
        for key in _NAMED:
            if key in source:
                token = None if source[key] is None else _token(source[key], where, key)
                settings[key] = token and token.text
                special |= {} if token is None else {key: token}
        for key in ("additional_special_tokens", "extra_special_tokens"):
            values = source.get(key) or []
            if not isinstance(values, (list, dict)):
                raise ValueError(f"{printable(where)}: {key}: {shortened(values)}, expected a list of tokens; fix it")
            for value in values.values() if isinstance(values, dict) else values:
                token = _token(value, where, key)
                special[f"{key} {token.text}"] = token
    for key in ("padding_side", "truncation_side"):
        settings |= {key: config[key]} if config.get(key) is not None else {}
        if settings.get(key, "right") not in ("left", "right"):
            raise ValueError(f"{printable(path)}: {key}: {shortened(settings[key])}, expected 'left' or 'right'; fix it")
    for key in _SWITCHES:
        if (value := _value(config, key, bool, path)) is not None:
            settings[key] = value
    if own:
        settings |= _ends(own.get("post_processor"), settings, own_path)
    order = [*_NAMED, *(key for key in special if key not in _NAMED)]
    return Settings(
        tokenizer_class=name,
        model_max_length=_length(config.get("model_max_length"), path),
        listed=_listed(listed, path),
        special=tuple(special[key] for key in order if key in special and settings.get(key, special[key].text) is not None),
        rest={key: value for key, value in config.items() if key not in _OWN},
        templates=read_templates(folder),
        **settings,
    )


def _defaults(name: str | None, folder: Path) -> dict[str, str]:
    """Return the named tokens that a class has; without a name the files tell."""
    is_bert = name.startswith("Bert") if name else (folder / "vocab.txt").exists() and not (folder / "vocab.json").exists()
    return _BERT if is_bert else _GPT2 if name in (None, "GPT2Tokenizer", "GPT2TokenizerFast") else {}


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, dict) if path.exists() else {}


def _value(source: dict[str, Any], key: str, kind: type, path: Path) -> Any:
    value = source.get(key)
    if value is not None and not isinstance(value, kind):
        expected = {str: "a text", bool: "true or false"}[kind]
        raise ValueError(f"{printable(path)}: {key}: {shortened(value)}, expected {expected}; fix it")
    return value


def _text(value: Any, path: Path, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{printable(path)}: {key}: {shortened(value)}, expected a token's text; fix it")
    return value


def _token(value: Any, path: Path, key: str) -> AddedToken:
    """Read a token that is written as its text, or as an object with its content."""
    if isinstance(value, dict):
        return replace(read_added(value, f"{printable(path)}: {key}"), special=True)
    return AddedToken(_text(value, path, key))


def _listed(value: Any, path: Path) -> tuple[AddedToken, ...]:
    """Read added_tokens_decoder, {"50257": {"content": "<pad>", …}}, in the order of the ids."""
    value = {} if value is None else value
    if not isinstance(value, dict) or not all(id.isascii() and id.isdigit() and len(id) < 10 for id in value):
        found = f"{printable(path)}: added_tokens_decoder: {shortened(value)}"
        raise ValueError(f"{found}, expected an object from ids to tokens; fix it")
    where = f"{printable(path)}: added_tokens_decoder"
    return tuple(read_added(value[id], f"{where}.{id}") for id in sorted(value, key=int))


def _length(value: Any, path: Path) -> int | None:
    if value is None or (type(value) in (int, float) and value >= _NO_LIMIT):
        return None
    if type(value) not in (int, float) or value != int(value) or value < 1:
        found = f"{printable(path)}: model_max_length: {shortened(value)}"
        raise ValueError(f"{found}, expected a whole number of tokens above 0; fix it")
    return int(value)


def _ends(processor: Any, settings: dict[str, Any], path: Path) -> dict[str, bool]:
    """Say which tokens tokenizer.json puts around a text; what tokenizer_config.json says of it then does not count.

    A text alone is {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}.
    """
    ends = {"add_bos_token": False, "add_eos_token": False}
    match processor:
        case None | {"type": "ByteLevel" | "BertProcessing"}:
            return ends
        case {"type": "Sequence", "processors": list(processors)}:
            for part in processors:
                found = _ends(part, settings, path)
                ends = {key: ends[key] or found[key] for key in ends}
            return ends
        case {"type": "TemplateProcessing", "single": list(single)}:
            names = [part["SpecialToken"].get("id") if _is_special(part) else None for part in single]
            bos, eos = settings.get("bos_token"), settings.get("eos_token")
            for key, expected in (("add_bos_token", [bos, None]), ("add_eos_token", [None, eos])):
                ends[key] = names == expected or names == [bos, None, eos]
            if names == [None] or any(ends.values()):
                return ends
    text = f"{printable(path)}: post_processor: {shortened(processor)} puts other tokens around a text than bos and eos"
    warnings.warn(f"{text}, which is not done here; add them to the text", stacklevel=3)
    return ends


def _is_special(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("SpecialToken"), dict)
