from pathlib import Path

import pytest

from minigpt.tokenization import Tokenizer
from texts import END, PROSE


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(PROSE, 700, [END, "<|pad|>"])


@pytest.fixture
def folder(tokenizer, tmp_path) -> Path:
    tokenizer.save(tmp_path)
    return tmp_path


@pytest.fixture
def released(folder) -> Path:
    """As GPT-2 was released: vocab.json and merges.txt, here with added_tokens.json beside them."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    return folder
