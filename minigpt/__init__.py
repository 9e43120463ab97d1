"""minigpt: a GPT in plain NumPy, with every gradient written by hand."""

from .config import ConfigError, GPTConfig
from .models.gpt import GPT

__version__ = "0.1.0"
__all__ = ["GPT", "ConfigError", "GPTConfig"]
