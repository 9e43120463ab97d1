"""Padding and the checks of what comes in; the messages are held by the tests of those who call them."""

import numpy as np
import pytest

from minigpt.inputs import check_count, check_number, checked_batch, checked_row, checked_targets, is_whole, pad_rows


@pytest.mark.parametrize(("options", "expected"), [
    ({}, [[5, 2, 3], [7, -1, -1], [-1, -1, -1]]),
    ({"left": True}, [[5, 2, 3], [-1, -1, 7], [-1, -1, -1]]),
    ({"length": 2}, [[5, 2, 3], [7, -1, -1], [-1, -1, -1]]),
    ({"length": 4}, [[5, 2, 3, -1], [7, -1, -1, -1], [-1, -1, -1, -1]]),
    ({"length": 4, "left": True}, [[-1, 5, 2, 3], [-1, -1, -1, 7], [-1, -1, -1, -1]]),
])
def test_rows_are_padded_to_one_length(options, expected):
    padded = pad_rows([[5, 2, 3], np.array([7], np.uint8), ()], -1, **options)
    np.testing.assert_array_equal(padded, expected)
    assert padded.dtype == np.int64


@pytest.mark.parametrize("length", [0, 3])
def test_no_rows_give_an_array_without_rows(length):
    assert pad_rows([], 0, length=length).shape == (0, length)


def test_a_padded_array_is_the_callers_own():
    rows = [np.array([1, 2])]
    pad_rows(rows, 0)[...] = 9
    assert rows[0].tolist() == [1, 2]


@pytest.mark.parametrize(("value", "expected"), [
    (1, True), (3, True), (0, False), (4, False), (True, False), (2.0, False), ("2", False), (None, False),
    (np.int64(2), False),       # a JSON file could not hold it
])
def test_whole_numbers_are_ints_in_a_range(value, expected):
    assert is_whole(value, 1, 3) is expected


@pytest.mark.parametrize("ids", [np.array([[0, 4]], np.uint64), [[0, 4]]])
def test_a_checked_batch_can_be_looked_up(ids):
    np.testing.assert_array_equal(np.arange(5)[checked_batch(ids, 5)], [[0, 4]])


def test_a_checked_row_is_a_list_of_ints():
    row = checked_row(np.array([0, 4], np.uint16), 5, "ids")
    assert row == [0, 4]
    assert {*map(type, row)} == {int}


def test_targets_of_minus_100_do_not_count():
    assert checked_targets([[-100, 2], [0, -100]], 3)[1] == 2


@pytest.mark.parametrize("number", [np.int64(3), np.float32(0.5), 0, 1])
def test_numbers_of_numpy_are_numbers(number):
    check_number(number, 0, 3, "number", "a number")
    if isinstance(number, (int, np.integer)):
        check_count(number, 0, "number", "take another")
