"""The exercises in Chinese: no sentence is missing, and no more are there than are said."""

import re

import pytest

from learners import LEARNERS, changed
from minigpt.study import exercises
from minigpt.study.exercises import TABLE
from minigpt.study.exercises.chinese import CHINESE
from minigpt.system.language import Sentence
from sentences import assert_chinese, assert_translated, templates

FILES = ("__init__", "diagnosis", "exercise", "guesses", "running", "wording")
# A text without any of these is a formula, the same in both languages.
WORDS = re.compile(r"\b(the|of|and|with|is|it|in|as|for|by|to|at|no|your|you|from|not|which|what|one|each|all|that)\b")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))


def texts(exercise):
    """What an exercise says in words of its own, and where that stands"""
    words = [exercise.about, exercise.asked, *exercise.hints, exercise.unstable, *(each.words for each in exercise.invariants)]
    for slip in exercise.slips.values():
        values = slip.words.values.values() if isinstance(slip.words, Sentence) else ()
        words += [value for value in values if isinstance(value, Sentence)] if values else [slip.words]
    return {str(text): exercise.name for text in words if WORDS.search(text)}


def test_every_sentence_has_its_chinese_and_nothing_else_has():
    said = templates(*(f"study/exercises/{name}.py" for name in FILES))
    for exercise in TABLE.values():
        said |= texts(exercise)
        assert not WORDS.search(exercise.forward), exercise.name
    assert_translated(CHINESE, said)


@pytest.mark.parametrize("how", ["asked for", "of the locale"])
def test_everything_is_said_in_chinese(how, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8" if how == "of the locale" else "en_US.UTF-8")
    monkeypatch.delenv("LANGUAGE", raising=False)
    language = {} if how == "of the locale" else {"language": "zh"}
    attempts = {name: LEARNERS[name] for name in TABLE}
    attempts |= {"softmax": lambda x: x[0], "merge": lambda *_: None, "adamw_step": lambda *_: (1, 2), "top_p": lambda: None,
                 "linear_backward": changed("linear_backward", ("return dx, dw, db", "return dx * 2, -dw * dw, 3 * x")),
                 "softmax_backward": changed("softmax_backward", ("- inner", "- 0.3 * inner"))}
    for name, function in attempts.items():
        for number in range(len(TABLE[name].hints) + 1):
            exercises.hint(name, number, **language)
        exercises.check(name, function, **language)
        exercises.hint(name, **language)
    said = capsys.readouterr().out
    assert_chinese("\n".join(line for line in said.splitlines() if "Error" not in line))         # Python's own words
    if how == "of the locale":
        assert_chinese(repr(TABLE))
        assert "已完成" in repr(TABLE)
        assert "hint" not in said.replace("exercises.hint", "")
