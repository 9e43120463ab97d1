"""What a run lets its model write, and when."""

import re

from minigpt import GPT, GPTConfig
from minigpt.generation.characters import INCOMPLETE
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.training.recipe import Recipe
from minigpt.training.trainer import Trainer, sample_text

TEXT = "to be or not to be, that is the question\n" * 20


def make_trainer(folder, tokenizer=None, **recipe):
    tokenizer = tokenizer or CharTokenizer.train(TEXT)
    model = GPT(GPTConfig(tokenizer.vocab_size, n_positions=8, n_embd=8, n_layer=1, n_head=1), seed=1, threads=1)
    recipe = Recipe(**{"steps": 8, "batch_size": 2, "sample_tokens": 9, **recipe})
    return Trainer(model, tokenizer, tokenizer.encode_array(TEXT), recipe, folder)


def sampled(folder):
    return [int(step) for step in re.findall(r"--- step (\d+) ---", (folder / "samples.txt").read_text(encoding="utf-8"))]


def test_after_the_last_step_the_best_model_writes_which_the_folder_keeps(tmp_path, monkeypatch, capsys):
    trainer = make_trainer(tmp_path, eval_interval=2)
    losses = iter([4.0, 3.0, 3.5, 5.0])
    monkeypatch.setattr(trainer, "evaluate", lambda: next(losses))
    trainer.run()
    best = sample_text(GPT.from_pretrained(tmp_path), trainer.tokenizer, 9, seed=[trainer.recipe.seed, 4])
    assert (tmp_path / "samples.txt").read_text(encoding="utf-8").endswith(f"--- step 4 ---\n{best}\n")
    assert "--- sample of the best model, that of step 4 (" in capsys.readouterr().out
    assert sampled(tmp_path) == [2, 4, 6, 4]


def test_a_run_of_a_few_steps_has_one_sample_unless_told_otherwise(tmp_path):
    for i, (recipe, n) in enumerate([({"steps": 8}, 1), ({"steps": 79}, 1), ({"steps": 80}, 8), ({"eval_interval": 4}, 2)]):
        make_trainer(tmp_path / str(i), **recipe).run()
        assert len(sampled(tmp_path / str(i))) == n, recipe


def test_half_a_character_in_a_sample_is_explained_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("minigpt.training.trainer.sample_text", lambda *arguments, **options: "道\ufffd")
    for tokenizer, n in [(Tokenizer.train(TEXT, 260), 1), (CharTokenizer.train(TEXT + "\ufffd"), 0)]:
        make_trainer(tmp_path / str(n), tokenizer, eval_interval=4).run()
        assert capsys.readouterr().out.count(INCOMPLETE) == n
