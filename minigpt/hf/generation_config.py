"""GenerationConfig: what a model's generate() does unless a call says otherwise, and its file, generation_config.json."""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config import ConfigError, GPTConfig
from ..inputs import is_number, is_whole
from ..system.files import write_atomic
from ..system.json_reader import read_json
from ..system.option_names import nearest
from ..system.text import listed, printable
from ..tokenization.checks import shortened
from .config import SPECIAL_IDS, without_negative

FILENAME = "generation_config.json"


def _is_count(value: Any) -> bool:
    return is_whole(value, 0, 2**31 - 1)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _are_ids(value: Any) -> bool:
    return all(map(_is_count, value)) if _is_list(value) else _is_count(value)


_COUNT: tuple[Callable[[Any], bool], str] = _is_count, "a whole number from 0"
_NUMBER: tuple[Callable[[Any], bool], str] = is_number, "a finite number"
_LISTS: tuple[Callable[[Any], bool], str] = _is_list, "a list of lists of ids"
_FLAG: tuple[Callable[[Any], bool], str] = (lambda value: isinstance(value, bool)), "true or false"

# What can be set, with its check; model.py says what each means, and what it is where it is not set
SETTINGS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_length": _COUNT, "max_new_tokens": _COUNT, "min_length": _COUNT, "min_new_tokens": _COUNT,
    "do_sample": _FLAG, "temperature": _NUMBER, "top_k": _COUNT, "top_p": _NUMBER, "min_p": _NUMBER,
    "repetition_penalty": _NUMBER, "no_repeat_ngram_size": _COUNT, "bad_words_ids": _LISTS, "force_words_ids": _LISTS,
    "sequence_bias": ((lambda value: isinstance(value, (dict, list, tuple))), "[[ids, value], …]"),
    "num_return_sequences": _COUNT, "num_beams": _COUNT,
    "stop_strings": ((lambda value: isinstance(value, (str, list, tuple))), "a text or several"),
    "bos_token_id": (_is_count, "an id from 0"), "pad_token_id": (_is_count, "an id from 0"),
    "eos_token_id": (_are_ids, "an id from 0, or a list of ids"),
}

# What transformers has too, but what changes no token that is drawn here: how it computes, and what beams are searched by
PASSED_OVER = {
    "cache_config", "cache_implementation", "compile_config", "continuous_batching_config", "decoder_start_token_id",
    "disable_compile", "early_stopping", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "is_assistant",
    "length_penalty", "low_memory", "max_cache_len", "output_attentions", "output_hidden_states", "output_logits",
    "output_scores", "prefill_chunk_size", "remove_invalid_values", "renormalize_logits", "return_dict_in_generate",
    "transformers_version", "use_cache", "assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind",
    "num_assistant_tokens", "num_assistant_tokens_schedule", "speculation_type", "target_lookbehind",
}


class GenerationConfig:
    """What generate() does unless a call says otherwise, setting by setting; what is not set reads as None.

        model.generation_config.max_new_tokens = 50
        GenerationConfig(do_sample=True, temperature=0.8)

    Raises TypeError for an unknown name, ConfigError for a value that cannot be.
    """

    def __init__(self, **settings: Any) -> None:
        self._set: dict[str, Any] = {}
        self._config: GPTConfig | None = None       # whose special ids count where none are set
        for name, value in settings.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not (name in SETTINGS or name in PASSED_OVER):
            raise AttributeError(f"GenerationConfig has no {name!r}, expected one of {', '.join(SETTINGS)}")
        return self._set.get(name, getattr(self._config, name, None) if name in SPECIAL_IDS else None)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_set", "_config"):
            object.__setattr__(self, name, value)
            return
        if name not in SETTINGS and name not in PASSED_OVER:
            raise TypeError(f"GenerationConfig: {printable(name)}, expected {nearest(name, SETTINGS)}")
        if name in SPECIAL_IDS:
            value = without_negative(value)
        if name in SETTINGS and value is not None:
            is_right, expected = SETTINGS[name]
            if not is_right(value):
                raise ConfigError(f"{name}: {shortened(value)}, expected {expected}")
        self._set[name] = value

    def __delattr__(self, name: str) -> None:
        self._set.pop(name, None)

    def __repr__(self) -> str:
        return f"GenerationConfig({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def of(self, config: GPTConfig) -> "GenerationConfig":
        """Read the special ids that are not set from `config` from now on -> self."""
        self._config = config
        return self

    def to_dict(self) -> dict[str, Any]:
        """What is set, None too, and the special ids of the model that it belongs to."""
        ids = {name: getattr(self._config, name, None) for name in SPECIAL_IDS}
        return {**{name: id for name, id in ids.items() if id is not None}, **self._set}

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> "GenerationConfig":
        """Read a folder's generation_config.json; without one, what a config.json of old has of the kind, but special ids.

        What transformers has but generate() has not gets one warning.  Raises ConfigError in the name of the file.
        """
        path, old_path = Path(folder) / FILENAME, Path(folder) / "config.json"
        config, unknown = cls(), []
        stored = {}
        if path.is_file():
            stored = read_json(path, dict, error=ConfigError)
        elif old_path.is_file():
            path, found = old_path, read_json(old_path, dict, error=ConfigError)
            stored = {name: found[name] for name in SETTINGS.keys() & found.keys() - {*SPECIAL_IDS} if found[name] is not None}
            if stored.get("max_length") == 20:      # which transformers 2 wrote into every file; 5 takes it by its word
                del stored["max_length"]
        for name, value in stored.items():
            if name in SETTINGS:
                try:
                    setattr(config, name, value)
                except ConfigError as error:
                    raise ConfigError(f"{printable(path)}: {error}") from None
            elif not (name.startswith("_") or name in PASSED_OVER or asks_for_nothing(name, value)):
                unknown.append(printable(name))
        if unknown:
            warnings.warn(f"{printable(path)}: {listed(unknown)}, expected what generate() has; passed over, so texts may "
                          "differ from transformers'", stacklevel=3)
        return config

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write generation_config.json, which transformers reads too.  Raises OSError."""
        stored = {name: value for name, value in self.to_dict().items() if value is not None}
        if isinstance(bias := stored.get("sequence_bias"), dict):       # JSON has no tuples as keys
            stored["sequence_bias"] = [[list(ids), value] for ids, value in bias.items()]
        write_atomic(Path(folder) / FILENAME, (json.dumps(stored, indent=2) + "\n").encode("utf-8"))


def asks_for_nothing(name: str, value: Any) -> bool:
    """Tell whether a setting of transformers is at a value that changes nothing: none, off, or 1 of what multiplies."""
    simple = isinstance(value, (bool, int, float, str, list, tuple, dict)) and not name.endswith("_id")
    return value is None or (simple and (not value or (value == 1 and value is not True)))
