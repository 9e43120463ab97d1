"""The mask, drawn: a row for each query, x where it sees the key."""

import numpy as np

from minigpt.nn import attention_mask


def drawn(mask):
    return ["".join(".x"[int(sees)] for sees in row) for row in mask]


def test_a_query_sees_itself_and_those_before():
    assert drawn(attention_mask(4, 4)) == [
        "x...",
        "xx..",
        "xxx.",
        "xxxx",
    ]


def test_the_last_query_stands_at_the_last_key():
    assert drawn(attention_mask(2, 5)) == [
        "xxxx.",
        "xxxxx",
    ]


def test_queries_before_the_first_key_see_none():
    assert drawn(attention_mask(4, 2)) == [
        "..",
        "..",
        "x.",
        "xx",
    ]


def test_without_a_causal_mask_every_query_sees_every_key():
    assert drawn(attention_mask(3, 2, causal=False)) == ["xx", "xx", "xx"]


def test_a_window_lets_a_query_see_so_many_keys_itself_and_before():
    assert drawn(attention_mask(5, 5, window=2)) == [
        "x....",
        "xx...",
        ".xx..",
        "..xx.",
        "...xx",
    ]


def test_a_window_of_one_is_the_query_itself():
    assert drawn(attention_mask(3, 3, window=1)) == ["x..", ".x.", "..x"]


def test_a_window_without_a_causal_mask_reaches_as_far_to_both_sides():
    assert drawn(attention_mask(5, 5, causal=False, window=2)) == [
        "xx...",
        "xxx..",
        ".xxx.",
        "..xxx",
        "...xx",
    ]


def test_a_window_is_counted_from_where_the_query_stands():
    assert drawn(attention_mask(2, 5, window=3)) == [
        ".xxx.",
        "..xxx",
    ]
    assert drawn(attention_mask(2, 5, causal=False, window=2)) == [
        "..xxx",
        "...xx",
    ]


def test_a_window_wider_than_the_sequence_changes_nothing():
    np.testing.assert_array_equal(attention_mask(4, 4, window=100), attention_mask(4, 4))


def test_nobody_sees_padding():
    mask = attention_mask(3, 3, key_padding_mask=np.array([[False, True, True], [True, False, True], [False, False, False]]))
    assert mask.shape == (3, 1, 3, 3)               # for all heads of a sequence
    assert mask.dtype == bool
    left, hole, nothing = mask[:, 0]
    assert drawn(left) == ["...", ".x.", ".xx"]
    assert drawn(hole) == ["x..", "x..", "x.x"]
    assert drawn(nothing) == ["...", "...", "..."]


def test_padding_is_of_keys_and_hides_no_query():
    mask = attention_mask(2, 3, causal=False, window=2, key_padding_mask=np.array([[True, True, False]]))
    assert drawn(mask[0, 0]) == ["xx.", ".x."]


def test_the_callers_padding_stays():
    padding = np.array([[True, False, True]])
    attention_mask(3, 3, key_padding_mask=padding)
    np.testing.assert_array_equal(padding, [[True, False, True]])
