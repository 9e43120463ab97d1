"""Text on a terminal's columns, Chinese characters two columns wide."""

import textwrap

import numpy as np
import pytest

from minigpt.system.columns import columns, filled, to_width


def test_chinese_takes_two_columns_and_a_combining_hat_none():
    assert [columns(text) for text in ("", "abc", "今天", "今 x̂", "（，）", "∂→≤", "😀")] == [0, 3, 4, 4, 6, 3, 2]
    assert [columns(text) for text in ("か\u3099", "e\u0301", "☀\ufe0f", "a\u20dd", "ｱ！")] == [2, 1, 1, 1, 3]
    assert [columns(text) for text in ("a\u200bb", "\ufeff今", "\u200d\u2060", "a\u00adb", "\u06dd")] == [2, 2, 0, 3, 1]
    assert [to_width("今天", width) for width in (3, 4, 7)] == ["今天", "今天", "今天   "]
    assert to_width("今x̂", 5, right=True) == "  今x̂"


def test_english_breaks_where_textwrap_breaks_it():
    rng = np.random.default_rng(0)
    for width in (12, 20, 80):
        words = ["x" * n for n in rng.integers(1, 14, size=200)]
        words[50] = "a-long-name-with-hyphens" * 9
        text = " ".join(words)
        lines = textwrap.wrap(text, width, initial_indent="  ok  ", subsequent_indent=" " * 6, break_on_hyphens=False)
        assert filled(text, width, "  ok  ").splitlines() == [line.rstrip() for line in lines]
    assert filled("", 80) == ""


def test_chinese_breaks_anywhere_but_not_before_a_comma_or_after_an_opening_bracket():
    text = "注意力掩码让未来的词元漏了过来（causal=False）。位置 3 的预测依赖于位置 12，它在后面。"
    for width in range(26, 60):
        lines = filled(text, width, "  错误  ").splitlines()
        assert max(map(columns, lines)) <= width
        assert all(line.startswith(" " * 8) for line in lines[1:])
        assert not any(line.strip()[0] in "，。）" or line[-1] in "（" for line in lines), lines
        assert "".join(line.strip() for line in lines)[4:].replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("text, width, begin", [("abc def", 6, "begin: "), ("今天", 1, "")])
def test_what_does_not_fit_at_all_stands_a_character_a_line(text, width, begin):
    assert "".join(filled(text, width, begin).split()) == "".join((begin + text).split())
