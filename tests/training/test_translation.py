"""Numbers in two languages, their vocabulary, and a Transformer that learns them: at tiny size, the full one is a script's."""

import re

import numpy as np
import pytest

from minigpt.commands.translate import main
from minigpt.training import numerals
from minigpt.training.alignment import alignment_chart, save_alignment_png
from minigpt.training.translation import Translator, Vocabulary, exact_match, train

TINY = {"n_embd": 16, "n_layer": 1, "n_head": 2}
PAIRS = [("three", "三"), ("forty", "四十"), ("forty-three", "四十三"), ("three hundred", "三百")]


# Numbers


@pytest.mark.parametrize(("n", "text"), [
    (0, "zero"), (7, "seven"), (13, "thirteen"), (20, "twenty"), (42, "forty-two"), (100, "one hundred"),
    (119, "one hundred nineteen"), (1005, "one thousand five"), (10_010, "ten thousand ten"),
    (342_517, "three hundred forty-two thousand five hundred seventeen"), (900_000, "nine hundred thousand"),
])
def test_english_numbers(n, text):
    assert numerals.english(n) == text


@pytest.mark.parametrize(("n", "text"), [
    (0, "零"), (7, "七"), (10, "十"), (13, "十三"), (20, "二十"), (42, "四十二"), (100, "一百"), (105, "一百零五"),
    (110, "一百一十"), (119, "一百一十九"), (1005, "一千零五"), (1050, "一千零五十"), (1500, "一千五百"),
    (10_000, "一万"), (10_010, "一万零一十"), (10_203, "一万零二百零三"), (100_000, "十万"), (100_005, "十万零五"),
    (110_000, "十一万"), (342_517, "三十四万二千五百一十七"), (900_090, "九十万零九十"),
])
def test_chinese_numerals(n, text):
    assert numerals.chinese(n) == text


def value(text):
    """What a Chinese numeral means, read from left to right: the twin of writing it"""
    high, _, low = text.rpartition("万")
    total = 10_000 * value(high) if high else 0
    for digit, unit in re.findall("([一二三四五六七八九]?)([千百十]?)", low.replace("零", "")):
        if digit or unit:
            total += ("一二三四五六七八九".index(digit) + 1 if digit else 1) * {"千": 1000, "百": 100, "十": 10, "": 1}[unit]
    return total


def test_numerals_mean_their_numbers_and_say_no_zero_twice():
    for n in [*range(2000), *np.random.default_rng(0).integers(2000, 1_000_000, 3000).tolist()]:
        text = numerals.chinese(n)
        assert value(text) == n
        assert "零零" not in text
        assert n == 0 or text[0] != "零" != text[-1]


def test_drawn_numbers_are_in_one_list_only():
    pairs, unseen = numerals.draw(400, 150, np.random.default_rng(1))
    assert (len(pairs), len(unseen), len({*pairs, *unseen})) == (400, 150, 550)
    assert ("zero", "零") in pairs
    assert ("ninety-nine", "九十九") in pairs


def test_tested_numbers_have_three_to_six_digits():
    _, unseen = numerals.draw(400, 150, np.random.default_rng(2))
    assert {len(str(value(chinese))) for _, chinese in unseen} == {3, 4, 5, 6}


def test_the_seed_decides_the_numbers():
    draws = [numerals.draw(120, 10, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


# Vocabulary


def test_pieces_are_words_and_single_characters():
    assert Vocabulary.split("Forty-two thousand 四十二") == ["forty", "two", "thousand", "四", "十", "二"]


def test_ids_follow_those_of_the_special_tokens():
    vocabulary = Vocabulary.of(["forty-two", "四十二"])
    assert vocabulary.pieces == ["<pad>", "<s>", "</s>", "forty", "two", "二", "十", "四"]
    assert vocabulary.encode("forty-two") == [3, 4]


@pytest.mark.parametrize(("text", "decoded"), [
    ("Forty-two thousand", "forty two thousand"), ("四十二", "四十二"), ("四 十 two thousand 二", "四十two thousand二"),
])
def test_decoding_puts_spaces_between_words_alone(text, decoded):
    vocabulary = Vocabulary.of([text])
    assert vocabulary.decode([1, *vocabulary.encode(text), 2, 0]) == decoded


@pytest.mark.parametrize(("text", "message"), [("forty-tow", "'tow', expected words that the model has learned: forty two"),
                                               (" - ", "no word, expected")])
def test_unknown_words_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary.of(["forty-two"]).encode(text)


# Learning


@pytest.fixture(scope="module")
def learned():
    """A translator that has learned all numbers below 100 by heart, in a second"""
    pairs = numerals.draw(101, 1, np.random.default_rng(0))[0][:100]
    translator = Translator.new(pairs, seed=0, threads=1, **TINY)
    losses = train(translator, pairs, steps=400, batch_size=32, lr=0.01, seed=0)
    return translator, pairs, losses


def test_pairs_are_padded_at_their_ends():
    translator = Translator.new(PAIRS, **TINY)
    source, targets = translator.batch(PAIRS)
    ids = translator.vocabulary.encode
    assert source.tolist()[:3] == [[*ids("three"), 0], [*ids("forty"), 0], ids("forty three")]
    assert targets.tolist()[:2] == [[*ids("三"), 2, -100, -100], [*ids("四十"), 2, -100]]


def test_the_loss_falls_and_the_numbers_are_learned(learned):
    translator, pairs, losses = learned
    assert losses[-1] < 0.1 < losses[0]
    assert exact_match(translator, pairs)[0] > 0.9


def test_the_score_is_the_share_of_equal_texts(learned):
    translator, pairs, _ = learned
    right = [(text, translator([text])[0]) for text, _ in pairs[:3]]
    score, wrong = exact_match(translator, [*right, ("seven", "错")])
    assert score == 0.75
    assert wrong == [("seven", "错", translator(["seven"])[0])]


def test_the_seed_decides_the_training():
    losses = [train(Translator.new(PAIRS, threads=1, **TINY), PAIRS, steps=4, batch_size=2, seed=seed) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_more_texts_than_a_batch_holds_come_in_their_order(learned, monkeypatch):
    translator, pairs, _ = learned
    texts = [text for text, _ in pairs[:7]]
    expected = translator(texts)
    monkeypatch.setattr("minigpt.training.translation.TEXTS_AT_ONCE", 3)
    assert translator(texts) == expected


def test_a_beam_may_be_asked_for(learned):
    translator, _, _ = learned
    assert translator(["forty-two"], beams=4) == translator(["forty-two"])


def test_a_loss_that_is_not_finite_ends_the_training():
    translator = Translator.new(PAIRS, **TINY)
    translator.model.params["wte.weight"][...] = np.nan
    with pytest.raises(FloatingPointError, match=r"step 0: loss nan.* params wte.weight"):
        train(translator, PAIRS, steps=1, batch_size=2)


def test_a_saved_translator_translates_alike(learned, tmp_path):
    translator, pairs, _ = learned
    translator.save(tmp_path)
    texts = [text for text, _ in pairs]
    assert Translator.load(tmp_path)(texts) == translator(texts)


# The alignment


def test_an_alignment_names_its_rows_and_columns(learned):
    alignment = learned[0].alignment("forty-two", "四十二")
    assert alignment.source == ["forty", "two"]
    assert alignment.target == ["四", "十", "二", "</s>"]
    assert alignment.att.shape == (4, 2)
    np.testing.assert_allclose(alignment.att.sum(1), 1, rtol=1e-5)      # float32


def test_an_alignment_is_the_mean_over_the_heads_of_its_layer():
    translator = Translator.new(PAIRS, n_embd=8, n_head=2, n_layer=2)
    maps = translator.model.activations(*translator.batch([("forty-three", "四十三")]), "decoder.h.*.cross.att")
    for layer, name in ((0, "decoder.h.0.cross.att"), (-1, "decoder.h.1.cross.att")):
        np.testing.assert_array_equal(translator.alignment("forty-three", "四十三", layer).att, maps[name][0].mean(0))


def test_attention_that_is_not_finite_is_no_alignment():
    translator = Translator.new(PAIRS, **TINY)
    translator.model.params["wte.weight"][...] = np.nan
    with pytest.raises(FloatingPointError, match="model: its attention holds NaN"):
        translator.alignment("forty-three", "四十三")


def test_the_chart_is_darkest_where_attention_is():
    chart = alignment_chart(["forty", "two"], ["四", "</s>"], np.array([[0.95, 0.05], [0.5, 0.5]]))
    assert chart.splitlines() == ["      forty two", "   四 █████", " </s> ▒▒▒▒▒ ▒▒▒"]


def test_the_picture_needs_no_chinese_font(tmp_path):
    pytest.importorskip("matplotlib")
    assert save_alignment_png(tmp_path / "a.png", ["two"], ["二", "</s>"], np.eye(2)[:, :1], numerals.MEANING)      # no warning
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


# The command


FEW = ["--steps", "3", "--pairs", "120", "--tested", "5", "--threads", "1"]


def test_the_command_trains_shows_and_keeps_a_model_that_it_translates_with(tmp_path, capsys):
    folder = str(tmp_path / "model")
    assert main(["--model", folder, *FEW]) == 0
    said = capsys.readouterr().out
    for part in ("120 numbers to train on", "3 steps in", "exact match on 5 numbers not seen", "attends to"):
        assert part in said
    assert main(["--model", folder, "--attention", "forty-two", "ten"]) == 0
    translated = capsys.readouterr().out
    first, _, rest = translated.partition("\n")
    assert first == Translator.load(folder)(["forty-two"])[0]
    assert "forty two" in rest


@pytest.mark.parametrize(("flags", "message"), [
    (["ten"], "no model, expected one; train it with: python -m minigpt translate"),
    (["--pairs", "100"], "--pairs: 100, expected at least 101"),
    (["--steps", "0"], "--steps: 0, expected at least 1"),
])
def test_errors_are_one_line(tmp_path, capsys, flags, message):
    assert main(["--model", str(tmp_path), *flags]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_folder_that_holds_a_model_is_not_written_over(tmp_path, capsys):
    Translator.new(PAIRS, **TINY).save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["--model", str(tmp_path), *FEW]) == 1
    assert "holds a model, expected a new folder" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_ctrl_c_ends_with_130(tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minigpt.commands.translate.train", interrupt)
    assert main(["--model", str(tmp_path / "model"), *FEW]) == 130
    assert not (tmp_path / "model").exists()
