"""The facts of a run in a checkpoint's metadata: each has a reader, which refuses what no run writes.

Which arrays belong to them, and what becomes of both, is trainer.py's; that they are what was written, checkpoint.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..config import GPTConfig
from ..inputs import is_number, is_text, is_whole
from ..system.text import printable
from ..tokenization import from_state
from .checkpoint import DamagedError
from .recipe import Recipe

Readers = Mapping[str, Callable[[Any], Any]]


def which(right: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Make a reader of values that are right as they are; for others it raises ValueError."""

    def read(value: Any) -> Any:
        if not right(value):
            raise ValueError(printable(repr(value)))
        return value

    return read


def _is_best(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and value.keys() == {"val_loss", "step", "seconds"}
                             and is_whole(value["step"], 1) and is_number(value["val_loss"]) and is_number(value["seconds"]))


# Of every run. An old checkpoint lacks those in DEFAULTS.
READERS: Readers = {
    "config": GPTConfig.from_dict,
    "recipe": lambda fields: Recipe(**fields),
    "tokenizer": from_state,
    "dtype": which(lambda value: value in ("float32", "float64")),
    "fast": which(lambda value: isinstance(value, bool)),
    "threads": which(lambda value: is_whole(value, 1)),
    "seconds": which(is_number),
    "trained": which(lambda value: value is None or is_number(value)),
    "best": which(_is_best),
    "position": which(lambda value: is_whole(value, 0)),
    "sampled": which(lambda value: isinstance(value, bool)),
    "samples_size": which(lambda value: value is None or is_whole(value, 0)),
    "data_source": which(is_text),
    "data_fingerprint": which(is_text),
}
DEFAULTS = {"fast": True, "sampled": True, "samples_size": None, "trained": None}


def read_facts(metadata: Mapping[str, Any], readers: Readers, source: str) -> dict[str, Any]:
    """What the readers make of the metadata, by name.

    Raises DamagedError in the name of `source`, which lists everything that is missing or wrong.
    """
    facts, bad = {}, []
    for name, read in readers.items():
        try:
            facts[name] = read({**DEFAULTS, **metadata}[name])
        except KeyError as error:
            bad.append(f"no {name}" if error.args == (name,) else f"{name} without {error}")
        except (ValueError, TypeError, AttributeError) as error:
            bad.append(f"{name}: {printable(error)}")
    if bad:
        raise DamagedError(f"{source}: {'; '.join(bad)}: expected what a run saves; use the checkpoint before it")
    return facts
