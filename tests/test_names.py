"""What a newcomer types first: the imports, and options that are misspelt."""

import subprocess
import sys

import pytest

import minigpt
from minigpt import GPT, GPTConfig, Recipe
from minigpt.config import TransformerConfig
from minigpt.generation.options import Sampling
from minigpt.system.option_names import nearest


def test_what_one_would_import_is_there_in_a_new_process():
    lines = [
        f"from minigpt import {', '.join(minigpt.__all__)}", "from minigpt import Tokenizer, CharTokenizer, Trainer, Recipe",
        "from minigpt.nn import softmax, layernorm_forward, attention_backward, gelu_forward, cross_entropy_forward",
        "import minigpt.nn.softmax, minigpt.training.trainer", "from minigpt.nn import softmax", "from minigpt import nn, hf",
        "assert callable(softmax) and callable(Trainer) and {*minigpt.__all__} <= {*dir(minigpt)}",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


@pytest.mark.parametrize(("misspelt", "meant"), [
    ("topk", "top_k"), ("topK", "top_k"), ("max_tokens", "max_new_tokens"), ("temp", "temperature"),
    ("n_samples", "num_samples"), ("stop", "stop_ids"), ("repeat_penalty", "repetition_penalty"), ("Seed", "seed"),
])
def test_a_misspelt_option_names_the_nearest(misspelt, meant):
    model = GPT(GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=1))
    for call in (model.generate, model.stream, model.candidates):
        with pytest.raises(TypeError, match=rf"^{misspelt}: no option of \w+\(\), expected {meant}$"):
            call([1], **{misspelt: 1})


def test_a_misspelt_field_names_the_nearest():
    for call, message in (
        (lambda: GPTConfig(n_embed=3), "n_embed: no option of GPTConfig, expected n_embd"),
        (lambda: GPTConfig.preset("gpt2", layers=3, nhead=2), "layers: .* expected n_layer; nhead: .* expected n_head"),
        (lambda: TransformerConfig(vocabsize=3), "vocabsize: no option of TransformerConfig, expected vocab_size"),
        (lambda: Recipe(batchsize=3), "batchsize: no option of Recipe, expected batch_size"),
        (lambda: Sampling(topk=3), "topk: no option of Sampling, expected top_k"),
    ):
        with pytest.raises(TypeError, match=f"^{message}$"):
            call()
    with pytest.raises(TypeError, match="qqq: no option of Recipe, expected one of steps, minutes, batch_size"):
        Recipe(qqq=1)
    assert GPTConfig(7, n_embd=12).vocab_size == 7


def test_the_nearest_name_is_the_one_that_begins_so_or_looks_alike():
    known = ["top_p", "top_k", "stop_ids"]
    assert [nearest(option, known) for option in ("stop", "top", "topk", "xyz")] == [
        "stop_ids", "top_p", "top_k", "one of top_p, top_k, stop_ids"]
