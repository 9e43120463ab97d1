"""The algorithm as one reads it; test_fast.py holds the fast twins to it."""

import pytest

from minigpt.tokenization.bpe import (
    BYTE_NAMES,
    apply_merges,
    byte_ids,
    bytes_of_name,
    learn_merges,
    merge,
    merge_steps,
    name_of_bytes,
)


@pytest.mark.parametrize(
    ("ids", "pair", "expected"),
    [
        ([1, 2, 3, 1, 2], (1, 2), [4, 3, 4]),
        ([1, 1, 1], (1, 1), [4, 1]),
        ([1, 1, 1, 1], (1, 1), [4, 4]),
        ([], (1, 2), []),
    ],
)
def test_merge_replaces_a_pair_from_left_to_right(ids, pair, expected):
    assert merge(ids, pair, 4) == expected


def test_the_most_frequent_pair_is_merged_first():
    assert learn_merges({"ab": 3, "cd": 4, "cdab": 2}, 3) == [
        tuple(byte_ids(b"cd")),  # 6 times
        tuple(byte_ids(b"ab")),  # 5 times
        (256, 257),  # 2 times
    ]


def test_of_equally_frequent_pairs_the_lower_pair_of_ids_comes_first():
    assert learn_merges({"yz": 1, "de": 1}, 2) == [tuple(byte_ids(b"de")), tuple(byte_ids(b"yz"))]


def test_learning_ends_where_no_pairs_are_left():
    assert len(learn_merges({"abc": 2}, 100)) == 2
    assert learn_merges({}, 100) == learn_merges({"a": 5}, 100) == []


def test_the_merge_that_was_learned_first_is_applied_first():
    a, b, c = byte_ids(b"abc")
    assert apply_merges([a, b, c], {(b, c): 256, (a, b): 257}) == [a, 256]
    assert apply_merges([a, b, c], {(a, b): 256, (b, c): 257}) == [256, c]


def test_the_steps_of_merging_begin_with_the_bytes():
    merged = {(75, 78): 256, (256, 86): 257}
    assert list(merge_steps(byte_ids(b"low"), merged)) == [[75, 78, 86], [256, 86], [257]]
    assert list(merge_steps([], merged)) == [[]]


def test_every_byte_has_a_visible_name_that_leads_back_to_it():
    assert len(set(BYTE_NAMES)) == 256
    assert all(name.isprintable() and name != " " for name in BYTE_NAMES)
    data = bytes(range(256))
    assert bytes_of_name(name_of_bytes(data)) == data
    assert [BYTE_NAMES[id] for id in byte_ids(data)] == list(name_of_bytes(data))


def test_a_name_with_a_character_for_no_byte_has_no_bytes():
    assert bytes_of_name("Ġthe") == b" the"
    assert bytes_of_name(" the") is None
    assert bytes_of_name("日") is None
