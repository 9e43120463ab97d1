"""minigpt: a GPT in plain NumPy, with every gradient written by hand."""

from importlib import import_module
from typing import TYPE_CHECKING

from .config import ConfigError, GPTConfig
from .models.gpt import GPT

if TYPE_CHECKING:
    from .system.files import LockedError
    from .tokenization import CharTokenizer, Tokenizer
    from .training.checkpoint import CheckpointError
    from .training.recipe import Recipe
    from .training.trainer import Trainer
    from .weights import WeightFormatError
    from .weights.hub import ChecksumError, DownloadError

__version__ = "0.1.0"
__all__ = [
    "GPT", "GPTConfig", "Tokenizer", "CharTokenizer", "Trainer", "Recipe",
    "ConfigError", "WeightFormatError", "CheckpointError", "LockedError", "DownloadError", "ChecksumError",
]

_IMPORTED_WHEN_ASKED_FOR = {
    "Tokenizer": "tokenization", "CharTokenizer": "tokenization", "Trainer": "training.trainer",
    "Recipe": "training.recipe", "WeightFormatError": "weights", "CheckpointError": "training.checkpoint",
    "LockedError": "system.files", "DownloadError": "weights.hub", "ChecksumError": "weights.hub",
}
_PACKAGES = ("commands", "generation", "hf", "models", "nn", "study", "system", "tokenization", "training", "weights")


def __getattr__(name: str) -> object:
    """What takes time to import and a pass through a model does not need"""
    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    if name not in _IMPORTED_WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_IMPORTED_WHEN_ASKED_FOR[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", *_PACKAGES])
