"""The exercises in Chinese: a catalog {English: Chinese} for each module; what is said of any attempt is in words.py."""

from . import attention, layernorm, layers, loss, memory, model, optimizers, tokens, words

CHINESE: dict[str, str] = {}
for _module in (words, tokens, loss, layers, layernorm, attention, memory, model, optimizers):
    CHINESE |= _module.CHINESE
