"""What a folder says of a tokenizer: the tokenizer itself, the settings beside it, and how much of it was added."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from ..system.json_reader import read_json
from ..system.text import printable
from ..tokenization import Tokenizer
from ..tokenization.checks import shortened
from ..tokenization.formats import END_OF_TEXT, means_gpt2
from ..tokenization.settings import Settings, read_settings
from ..tokenization.wordpiece import WordPieceTokenizer
from ..weights.pretrained import find
from ..weights.sources import tokenizer_at


class Found(NamedTuple):
    """A tokenizer, its settings, and what only transformers' calls need.

    own_size: the tokens in the vocabulary of its file, without those that are added to it; None where no file tells.
    options: split_special_tokens and model_input_names, where tokenizer_config.json has them.
    """

    tokenizer: Any
    settings: Settings
    own_size: int | None = None
    options: dict[str, Any] = {}  # noqa: RUF012  (never changed)


def read_tokenizer(name_or_folder: str | os.PathLike[str]) -> Found:
    """Read a tokenizer and what stands beside it from a folder, which needs no model in it, or by name.

    Raises what tokenization.load() does.
    """
    if means_gpt2(name_or_folder):
        return Found(Tokenizer.gpt2(), Settings(bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, unk_token=END_OF_TEXT,
                                                model_max_length=1024))
    place = Path(name_or_folder)
    if not place.is_dir():
        place = find(name_or_folder)
    tokenizer = tokenizer_at(place)
    folder = place if place.is_dir() else place.parent
    # BertTokenizer puts [CLS] and [SEP] around a text, whatever tokenizer.json says
    own = {} if isinstance(tokenizer, WordPieceTokenizer) else _content(folder / "tokenizer.json")
    size = _own_size(folder, own) if isinstance(tokenizer, Tokenizer) and place.is_dir() else None
    return Found(tokenizer, read_settings(folder, own), size, _options(folder / "tokenizer_config.json"))


def _own_size(folder: Path, tokenizer_json: dict[str, Any]) -> int | None:
    vocabulary = tokenizer_json["model"]["vocab"] if tokenizer_json else _content(folder / "vocab.json")
    return len(vocabulary) or None


def _options(path: Path) -> dict[str, Any]:
    config = _content(path)
    names, is_split = config.get("model_input_names"), config.get("split_special_tokens")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError(f"{printable(path)}: model_input_names: {shortened(names)}, expected a list of names; fix it")
    if is_split is not None and not isinstance(is_split, bool):
        raise ValueError(f"{printable(path)}: split_special_tokens: {shortened(is_split)}, expected true or false; fix it")
    given = {"model_input_names": names, "split_special_tokens": is_split}
    return {name: value for name, value in given.items() if value is not None}


def _content(path: Path) -> dict[str, Any]:
    return read_json(path, dict) if path.exists() else {}
