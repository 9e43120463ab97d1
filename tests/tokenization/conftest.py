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
