"""The residual connection: a sum, of the last positions alone where the branch has no others."""

import numpy as np

from gradients import textbook_and_engine
from minigpt.nn import Scope, residual_backward, residual_forward


@textbook_and_engine
def test_the_branch_is_added_to_what_went_into_it(fast):
    y = residual_forward(np.full((1, 2, 3), 2.0), np.full((1, 2, 3), 5.0), Scope.of(fast=fast))
    np.testing.assert_array_equal(y, np.full((1, 2, 3), 7.0))


@textbook_and_engine
def test_a_branch_of_the_last_positions_meets_the_last_positions(fast):
    x = np.arange(8.0).reshape(1, 4, 2)
    y = residual_forward(x, np.full((1, 2, 2), 100.0), Scope.of(fast=fast))
    np.testing.assert_array_equal(y, [[[104, 105], [106, 107]]])


@textbook_and_engine
def test_the_gradients_of_both_ways_add_up(fast):
    dx = residual_backward(np.full((1, 2, 3), 2.0), np.full((1, 2, 3), 5.0), Scope.of(fast=fast))
    np.testing.assert_array_equal(dx, np.full((1, 2, 3), 7.0))


@textbook_and_engine
def test_what_went_past_the_branch_stays_as_it_is(fast):
    x, dy = np.ones((1, 2, 3)), np.ones((1, 2, 3))
    residual_forward(x, np.ones((1, 2, 3)), Scope.of(fast=fast))
    residual_backward(dy, np.ones((1, 2, 3)), Scope.of(fast=fast))
    assert (x == 1).all()
    assert (dy == 1).all()
