"""Characters that a model of characters has never met: refused with the name of a model that knows them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ..system.shell import quoted
from ..system.text import for_terminal, listed, printable
from ..tokenization import CharTokenizer
from ..weights.pretrained import find_tokenizer
from .runs import newest


def refuse_unknown(tokenizer: Any, text: str, what: str, model: str) -> None:
    """Refuse characters of a text that this model's tokenizer does not know; `what` the text is.  Raises ValueError."""
    if unknown := [c for c in dict.fromkeys(text) if not knows(tokenizer, c)]:
        known = tokenizer.decode(range(tokenizer.vocab_size))
        raise ValueError(f"{what}: {listed(map(repr, unknown))}, which {printable(model)} has never met, expected some of its "
                         f"{len(known):,} characters, {printable(known, 80)}; leave them out, or name another model, such as "
                         f"{_another(text)}")


def knows(tokenizer: Any, text: str) -> bool:
    """Whether it can be encoded; what is no text at all is refused elsewhere."""
    try:
        tokenizer.encode(text, disallowed_special=())
    except ValueError:
        return not isinstance(tokenizer, CharTokenizer)
    return True


def _another(text: str) -> str:
    """The newest run, if its model knows the text, or GPT-2, which knows any"""
    run: Path | None = newest(holding="config.json")
    with suppress(ValueError, OSError):
        if run is not None and knows(find_tokenizer(run), text):
            return f"your newest run: --model {for_terminal(quoted(run))}"
    return "--model gpt2, which knows every character"
