"""Which ids both tokenizers decode, and what they say to others."""

import numpy as np
import pytest

from minigpt.tokenization import CharTokenizer, Tokenizer

BOTH = pytest.mark.parametrize("any_tokenizer", [Tokenizer(), CharTokenizer("abc")], ids=["bytes", "chars"])


@BOTH
@pytest.mark.parametrize("id", [-1, 256, 10**12])
def test_an_id_outside_the_vocabulary_is_an_error_with_id_and_index(any_tokenizer, id):
    for ids in ([0, 1, id], np.array([0, 1, id])):
        with pytest.raises(ValueError, match=rf"ids\[2\]: {id}, expected an id from 0 to {len(any_tokenizer) - 1}"):
            any_tokenizer.decode(ids)


@BOTH
@pytest.mark.parametrize("id", [1.0, "1", True, None, np.float32(1), np.True_])
def test_an_id_that_is_no_integer_is_a_type_error(any_tokenizer, id):
    with pytest.raises(TypeError, match=r"ids\[1\]"):
        any_tokenizer.decode([0, id])


@BOTH
@pytest.mark.parametrize("ids", [5, None, "12", b"12", np.array([1.0]), np.array([True])])
def test_ids_that_are_no_sequence_of_integers_are_a_type_error(any_tokenizer, ids):
    with pytest.raises(TypeError, match="ids: "):
        any_tokenizer.decode(ids)


def test_an_array_of_several_rows_is_an_error():
    with pytest.raises(ValueError, match=r"shape \(2, 5\)"):
        Tokenizer().decode(np.zeros((2, 5), int))


@pytest.mark.parametrize(
    "convert", [tuple, iter, np.array, lambda ids: np.array(ids, np.uint8), lambda ids: map(np.int64, ids)]
)
def test_ids_can_be_any_iterable_of_integers(convert):
    ids = Tokenizer().encode("any")
    assert Tokenizer().decode(convert(ids)) == "any"
