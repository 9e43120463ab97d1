"""GPT2Config: a GPTConfig with Hugging Face's defaults, whose ids of special tokens can be set on a model that is there."""

import os
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

from ..config import ConfigError, GPTConfig
from ..inputs import is_whole
from ..weights.pretrained import find

END_OF_TEXT = 50_256        # GPT-2's
SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


@dataclass(frozen=True)
class _Defaults(GPTConfig):
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    bos_token_id: int | None = END_OF_TEXT                      # where an empty prompt starts
    eos_token_id: int | tuple[int, ...] | None = END_OF_TEXT    # ends a text, each of several
    pad_token_id: int | None = None                             # pads a row that has ended; None: eos_token_id does


class GPT2Config(_Defaults):
    """A GPTConfig with Hugging Face's defaults for dropout, and with the ids of special tokens; None: there is none.

        model.config.pad_token_id = model.config.eos_token_id

    A start or end that is not given is GPT-2's 50256, or None where the vocabulary is smaller; transformers has 50256 there
    too, an id without a token.  The three ids can be set; sizes cannot, since the weights have them.  An id below 0 stands for
    None, as in old files.
    Raises ConfigError.
    """

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        names = {name for name in ("bos_token_id", "eos_token_id") if name not in named and getattr(self, name) == END_OF_TEXT}
        unset = names if self.vocab_size <= END_OF_TEXT else set()
        for name in unset:
            object.__setattr__(self, name, None)
        object.__setattr__(self, "_unset", unset)

    @property
    def unset(self) -> set[str]:
        """The ids that nobody gave and that are None since the vocabulary is too small for GPT-2's."""
        return {*self.__dict__["_unset"]}

    def __setattr__(self, name: str, value: object) -> None:
        if name not in SPECIAL_IDS:
            raise FrozenInstanceError(
                f"GPT2Config: {name} cannot be set, expected one of {', '.join(SPECIAL_IDS)}; make another config and a model "
                "of it, or set on model.generation_config what a text is drawn with"
            )
        value = without_negative(value)
        if expected := self._expected(name, value):
            raise ConfigError(f"GPT2Config: {name} {value!r}, expected {expected}")
        object.__setattr__(self, name, value)
        self.__dict__["_unset"].discard(name)

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str]) -> "GPT2Config":
        """Load the config.json of a model.  Raises ConfigError, and what weights.pretrained.find() does."""
        place = find(name_or_folder)
        return cls.from_file((place if place.is_dir() else place.parent) / "config.json")


def without_negative(ids: object) -> object:
    """An id, or several as a tuple; None for what lies below 0, as files have it that mean none."""
    if isinstance(ids, (list, tuple)):
        return tuple(id for id in ids if not is_whole(id, -(2**31), -1)) or None
    return None if is_whole(ids, -(2**31), -1) else ids
