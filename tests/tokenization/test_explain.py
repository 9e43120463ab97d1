"""How Tokenizer.explain shows a text becoming tokens."""

import random
from itertools import pairwise

from minigpt.tokenization import Tokenizer
from minigpt.tokenization.bpe import merge
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
