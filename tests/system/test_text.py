"""Text from outside cannot steer the terminal that shows it, nor fill it."""

from pathlib import PurePosixPath

import pytest

from minigpt.system.text import for_terminal, listed, printable


@pytest.mark.parametrize("text", ["", "h.0.attn.c_attn.weight", "C:\\models\\gpt2", "a 'quoted' name", "数字 ελ 🎈"])
def test_what_is_printable_stays_as_it_is(text):
    assert printable(text) == for_terminal(text) == text


@pytest.mark.parametrize(("text", "shown"), [
    ("a\nb\r\tc", r"a\nb\r\tc"),
    ("\x1b[2J\x07", r"\x1b[2J\x07"),
    ("\x7f\x9b31m", r"\x7f\x9b31m"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\ud800 \udcff", r"\ud800 \udcff"),
    ("a\u2028b\ufeff\U000e0041", r"a\u2028b\ufeff\U000e0041"),
], ids=["lines", "escape sequence", "C1", "right to left", "surrogates", "separators"])
def test_a_message_shows_what_cannot_be_printed_as_an_escape(text, shown):
    assert printable(text) == shown


def test_no_character_at_all_leaves_a_message_unprintable():
    text = "".join(map(chr, range(0x110000)))
    assert printable(text, most=len(text)).isprintable()


@pytest.mark.parametrize("most", [1, 2, 5, 200])
def test_long_text_keeps_its_beginning_and_its_end(most):
    text = "a" * 500 + "b" * 500
    cut = printable(text, most)
    assert len(cut) == most
    assert cut.strip("ab") == "…" and cut.startswith("a" * (most // 2)) and cut.endswith("b" * ((most - 1) // 2))
    assert printable("a" * most, most) == "a" * most


def test_what_is_no_text_is_shown_as_str_shows_it():
    assert printable(PurePosixPath("a\n", "b")) == r"a\n/b"
    assert printable(3) == "3"


def test_text_of_many_lines_keeps_newlines_tabs_and_joiners():
    text = "To be,\n\tor not\u00a0to be\u3000\u200d"
    assert for_terminal(text) == text


@pytest.mark.parametrize(("text", "shown"), [
    ("a\r\x1b]0;title\x07", r"a\r\x1b]0;title\x07"),
    ("\x00\x0b\x0c\x7f\x85\x9b", r"\x00\x0b\x0c\x7f\x85\x9b"),
    ("\u202a\u202e\u2066\u2069\udc80", r"\u202a\u202e\u2066\u2069\udc80"),
])
def test_text_of_many_lines_shows_what_a_terminal_would_obey(text, shown):
    assert for_terminal(text) == shown


def test_a_list_shows_what_fits_and_counts_the_rest():
    assert listed([]) == ""
    assert listed(["a", "b\n"]) == "a, b\\n"
    assert listed([f"h.{i}" for i in range(10)], "; ", most=20) == "h.0; h.1; h.2; h.3; and 6 more"
    assert listed(["x" * 30, "y"], most=20) == "x" * 30 + ", and 1 more"
    assert len(listed(["h.11.attn.c_attn.weight is missing"] * 148, "; ")) < 750
