"""How Tokenizer.explain shows a text becoming tokens."""

import ast
import random
import re
from itertools import pairwise

from minigpt.system.columns import columns
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.tokenization.bpe import byte_ids, merge
from minigpt.tokenization.explain import shown_tokens
from texts import END, PROSE, nasty_text


def test_an_explanation_shows_each_merge_of_each_piece():
    shown = """\
'é'
  \\xc3 \\xa9
  é              \\xc3 + \\xa9 = é, 2634
2634
' lowest'
  ␣ l o w e s t
  ␣ l o w es t       e + s = es, 274
  ␣l o w es t        ␣ + l = ␣l, 300
  ␣l ow es t         o + w = ow, 322
  ␣l ow est          es + t = est, 395
  ␣low est           ␣l + ow = ␣low, 1877
  ␣lowest            ␣low + est = ␣lowest, 9016
9016
'<|endoftext|>'
  <|endoftext|>
50256
'\\n'
  \\n
198"""
    explanation = Tokenizer.gpt2().explain(f"é lowest{END}\n", allowed_special="all")
    assert str(explanation) == repr(explanation) == shown


def test_explanations_begin_with_the_bytes_and_end_with_the_tokens():
    rng, gpt2 = random.Random(12), Tokenizer.gpt2()
    for text in [PROSE[:500], *(nasty_text(rng, 30) for _ in range(50))]:
        pieces = gpt2.explain(text, disallowed_special=()).pieces
        assert [id for _, steps in pieces for id in steps[-1]] == gpt2.encode(text, disallowed_special=())
        assert [id for _, steps in pieces for id in steps[0]] == Tokenizer().encode(text)


def test_each_step_of_an_explanation_is_one_merge_of_the_lowest_id():
    gpt2 = Tokenizer.gpt2()
    merges = gpt2.state()["merges"]
    for _, steps in gpt2.explain(PROSE[:300]).pieces:
        for before, after in pairwise(steps):
            possible = [merges.index(list(pair)) for pair in pairwise(before) if list(pair) in merges[: max(after)]]
            assert after == merge(before, tuple(merges[min(possible)]), 256 + min(possible))


def test_wide_characters_keep_an_explanation_straight():
    shown = str(Tokenizer.train("今天天气" * 9, 267).explain("今天天气")).splitlines()
    merges = [line for line in shown if " = " in line]
    assert len(merges) == 9 and merges[-1].split() == ["今天天气", "今天天", "+", "气", "=", "今天天气,", "264"]
    starts = [re.search(r"\S+ \+ ", line).start() for line in merges]
    assert len({columns(line[:start]) for line, start in zip(merges, starts, strict=True)}) == 1


def test_characters_have_nothing_to_merge():
    tokenizer = CharTokenizer.train("hello ")
    assert str(tokenizer.explain("hole o")) == "'hole o'\n  h o l e ␣ o\n2 4 3 1 0 4"
    assert str(tokenizer.explain("")) == ""


def test_a_token_of_a_part_of_a_character_says_which_part_of_which():
    gpt2 = Tokenizer.gpt2()
    for text, shown in {
        "今天": ["今 1/2 [e4 bb]", "今 2/2 [8a]", "'天'"],
        "a 日": ["'a'", "' ' 日 1/3 [e6]", "日 2/3 [97]", "日 3/3 [a5]"],
        "\n👩\u200d": ["'\\n'", "👩 1/2 [f0 9f 91]", "👩 2/2 [a9]", "\\u200d 1/2 [e2 80]", "\\u200d 2/2 [8d]"],
        "\ue000": ["\\ue000 1/2 [ee 80]", "\\ue000 2/2 [80]"],
    }.items():
        assert shown_tokens(gpt2, gpt2.encode(text)) == shown, text
    assert shown_tokens(Tokenizer(), byte_ids(b"a\xff\xe4\xbb")) == ["'a'", "[ff]", "[e4]", "[bb]"]
    two = Tokenizer([(byte_ids(b"\x8a")[0], byte_ids(b"\xe4")[0])])         # the end of a character, the beginning of the next
    assert shown_tokens(two, two.encode("今今")) == [
        "今 1/3 [e4]", "今 2/3 [bb]", "今 3/3 [8a] 今 1/3 [e4]", "今 2/3 [bb]", "今 3/3 [8a]"]
    assert shown_tokens(two, []) == []


def test_what_is_shown_of_tokens_holds_every_byte_of_a_text():
    rng, gpt2 = random.Random(5), Tokenizer.gpt2()
    for _ in range(100):
        text = nasty_text(rng, 30)
        ids = gpt2.encode(text, allowed_special="all")
        for id, shown in zip(ids, shown_tokens(gpt2, ids), strict=True):
            parts = re.findall(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\[([0-9a-f ]+)\](?: |$)""", shown)
            data = b"".join(bytes.fromhex(hexadecimal) or ast.literal_eval(whole).encode() for whole, hexadecimal in parts)
            assert data == gpt2.token_bytes(id), (shown, text)
