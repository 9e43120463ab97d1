"""A model with more rows than its tokenizer has tokens, such as nanoGPT's of 50,304: nothing ends in the middle of a text."""

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.__main__ import main
from minigpt.generation.streaming import whole_characters
from minigpt.hf import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer
from minigpt.tokenization import Tokenizer

N_TOKENS, N_ROWS = 260, 2000        # hardly trained, it draws an id without text nearly every time
SIZES = {"vocab_size": N_ROWS, "n_positions": 64, "n_embd": 12, "n_layer": 1, "n_head": 2}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train("low lower lowest", N_TOKENS, ["<|endoftext|>"])


@pytest.fixture
def model(tokenizer):
    model = GPT(GPTConfig(**SIZES))
    model.tokenizer = tokenizer
    return model


def test_an_id_without_text_is_never_drawn(model, tokenizer):
    several = {"seed": 1, "num_samples": 3, "logprobs": True}
    for options in ({"temperature": 0}, {"seed": 1}, several, {"logit_bias": {1999: 50.0}}):
        out = model.generate(tokenizer.encode("low"), 20, stop_ids=(), **options)
        ids = out[0] if isinstance(out, tuple) else out
        assert ids.max() < N_TOKENS, options
    assert model.generate(np.array([[5]]), 20, seed=1, vocab_size=N_ROWS).max() >= N_TOKENS       # on request
    model.tokenizer = None
    assert model.generate(np.array([[5]]), 20, seed=1).max() >= N_TOKENS


def test_text_is_streamed_to_its_end(model, tokenizer):
    text = "".join(model.stream_text("low", 30, seed=1, stop_ids=(), bad_words=["lo", "w"]))
    assert text and "w" not in text
    prompt = [1999, 700, *tokenizer.encode("lo"), 700]          # ids without text in a prompt have none
    assert "lowe" not in "lo" + "".join(model.stream_text(prompt, 30, seed=2, bad_words=["lowe"], stop_strings=["zz"]))
    assert "".join(whole_characters(tokenizer, [*tokenizer.encode("é")[:1], 1999, *tokenizer.encode("é")[1:]])) == "é"


def test_forced_words_have_text(model):
    with pytest.raises(ValueError, match=r"force_words_ids\[0\]\[0\]: 1999, expected an id from 0 to 259"):
        model.generate([5], 5, force_words_ids=[[1999]])


def test_the_command_writes_text(model, tmp_path, capsys):
    model.save_pretrained(tmp_path)
    assert main(["generate", "--model", str(tmp_path), "--prompt", "low", "--max-new-tokens", "20", "--seed", "1"]) == 0
    assert capsys.readouterr().out.startswith("low")


def test_hugging_faces_generate_draws_them_and_decodes_them_to_nothing(tokenizer):
    model, hf = GPT2LMHeadModel(GPT2Config(**SIZES, eos_token_id=None)), GPT2Tokenizer(tokenizer)
    model.gpt.tokenizer = tokenizer
    ids = hf("low", return_tensors="np").input_ids
    out = model.generate(ids, max_new_tokens=20)
    assert out.max() >= N_TOKENS
    assert hf.decode(out[0]) == tokenizer.decode([id for id in out[0] if id < N_TOKENS])
    assert hf.batch_decode(out) == [hf.decode(out[0])]
    assert hf.convert_ids_to_tokens(out[0])[:1] == ["low"]
    stopped = model.generate(ids, max_new_tokens=20, stop_strings=["no such text"], tokenizer=hf, pad_token_id=0)
    np.testing.assert_array_equal(stopped, out)
