"""The same ids, offsets and merges as tiktoken and Hugging Face's tokenizers give, live."""

import random

import pytest

from make_tokenizer_fixture import random_strings, tiktoken_encoding, tokenizers_tokenizer
from minigpt.tokenization import Tokenizer
from texts import END, PROSE, nasty_text


@pytest.mark.reference
def test_encode_equals_tiktoken(tokenizer):
    pytest.importorskip("tiktoken")
    reference, rng = tiktoken_encoding(tokenizer), random.Random(7)
    for text in [PROSE, *(nasty_text(rng, rng.randrange(60)) for _ in range(5000))]:
        assert tokenizer.encode(text, allowed_special="all") == reference.encode(text, allowed_special="all")


@pytest.mark.reference
@pytest.mark.parametrize("seed", range(2, 6))
def test_gpt2_equals_tiktoken_and_hugging_face_on_strings_of_every_kind(tmp_path, seed):
    pytest.importorskip("tiktoken")
    pytest.importorskip("tokenizers")
    gpt2 = Tokenizer.gpt2()
    gpt2.save(tmp_path)
    encoding, hugging_face = tiktoken_encoding(gpt2), tokenizers_tokenizer(tmp_path)
    for text in random_strings(seed, 2500):
        ids = gpt2.encode(text, disallowed_special=())
        assert ids == encoding.encode(text, disallowed_special=())
        assert ids == hugging_face.encode(text).ids
        assert gpt2.decode(ids) == text


@pytest.mark.reference
def test_offsets_equal_those_of_hugging_face(tmp_path):
    pytest.importorskip("tokenizers")
    gpt2 = Tokenizer.gpt2()
    gpt2.save(tmp_path)
    reference = tokenizers_tokenizer(tmp_path)
    for text in random_strings(9, 2000):
        encoding = reference.encode(text)
        assert gpt2.encode_with_offsets(text, disallowed_special=()) == (encoding.ids, encoding.offsets)


@pytest.mark.reference
@pytest.mark.parametrize("allowed", ["all", set(), {END}, {"<|pad|>"}, {END, "<|pad|>"}, {"the", END}])
@pytest.mark.parametrize("disallowed", ["all", (), {END}, {"<|pad|>"}, {END, "<|pad|>"}, {"the"}])
def test_special_tokens_mean_what_they_mean_in_tiktoken(tokenizer, allowed, disallowed):
    pytest.importorskip("tiktoken")
    reference, rng = tiktoken_encoding(tokenizer), random.Random(13)

    def ids_or_error(encode, text):
        try:
            return encode(text, allowed_special=allowed, disallowed_special=disallowed)
        except ValueError:
            return ValueError

    for _ in range(100):
        text = "".join(rng.choices([END, "<|pad|>", "<|pad|", " the", "a", "\n"], k=rng.randrange(5)))
        assert ids_or_error(tokenizer.encode, text) == ids_or_error(reference.encode, text)


@pytest.mark.reference
def test_training_equals_hugging_faces_trainer():
    tokenizers = pytest.importorskip("tokenizers")
    reference = tokenizers.Tokenizer(tokenizers.models.BPE())
    reference.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
    reference.train_from_iterator([PROSE], trainer)
    assert Tokenizer.train(PROSE, 2000).encode(PROSE) == reference.encode(PROSE).ids
