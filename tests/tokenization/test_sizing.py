"""The size of a vocabulary that is learned from a text, where none is given."""

import numpy as np
import pytest

from minigpt.tokenization import Tokenizer
from minigpt.tokenization.sizing import fitting_vocab_size

CHINESE = "道可道，非常道。名可名，非常名。\n" * 12


def test_the_size_fits_the_text_and_its_script():
    assert fitting_vocab_size("") == 256
    assert fitting_vocab_size("a" * 10_000) == 256 + 300
    assert fitting_vocab_size({"a": 10**9}, 10**9) == 65_536                            # ids of two bytes
    assert fitting_vocab_size("道" * 9 + "可" * 10 + "a" * 43) == 256 + 30 + 2       # 3 √(27 + 30 + 43), one often enough


def test_without_a_size_the_text_s_own_is_learned_and_special_tokens_come_on_top():
    text = "".join(map(chr, np.random.default_rng(0).integers(97, 123, size=2000))) + CHINESE
    assert Tokenizer.train(text) == Tokenizer.train(text, fitting_vocab_size(text))
    assert Tokenizer.train(text, special_tokens=["<|x|>"]).vocab_size == fitting_vocab_size(text) + 1


def test_a_text_without_so_many_pairs_is_no_reason_to_warn_about_a_size_that_nobody_gave():
    assert Tokenizer.train("ab " * 300).vocab_size == 258           # a warning would be an error here
    with pytest.warns(UserWarning, match="vocab_size: 300, but the text has pairs for 258 tokens only"):
        Tokenizer.train("ab " * 300, 300)
