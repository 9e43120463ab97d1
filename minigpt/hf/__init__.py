"""Hugging Face's names for minigpt: the articles' code runs with one import changed, and NumPy instead of torch.

    from minigpt.hf import GPT2LMHeadModel, GPT2Tokenizer
"""

from .auto import AutoTokenizer
from .bert import BertTokenizer
from .config import GPT2Config
from .generation_config import GenerationConfig
from .model import CausalLMOutput, GPT2LMHeadModel, GPT3LMHeadModel, GPT3Tokenizer
from .tokenizer import Encoding, GPT2Tokenizer

__all__ = [
    "AutoTokenizer", "BertTokenizer", "CausalLMOutput", "Encoding", "GPT2Config", "GPT2LMHeadModel", "GPT2Tokenizer",
    "GPT3LMHeadModel", "GPT3Tokenizer", "GenerationConfig",
]
