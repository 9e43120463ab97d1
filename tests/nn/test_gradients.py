"""How the engine adds up gradients: products in blocks where they belong, and the parts of a batch in a fixed order."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minigpt.nn.fast import gradients
from minigpt.nn.fast.gradients import FastGradients, SharedGradients, TurnTaker, blocks


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(gradients, "BLOCK", 2)


def test_products_add_up():
    rng = np.random.default_rng(1)
    a, b, c, d = (rng.standard_normal(shape) for shape in ((2, 5), (5, 3), (2, 4), (4, 3)))
    grads = FastGradients()
    grads.add_product("w", a, b)
    grads.add_product("w", c, d)
    np.testing.assert_allclose(grads["w"], a @ b + c @ d, rtol=1e-13)     # another order of the same sums


def test_the_first_contribution_overwrites_what_the_array_held():
    arrays = {name: np.full((2, 2), np.nan) for name in ("sum", "product", "rows")}
    grads = FastGradients({f"h.{name}": array for name, array in arrays.items()})
    for _ in range(2):
        grads.reset()
        grads.at("h").add("sum", np.ones((2, 2)))
        grads.at("h").add_product("product", np.eye(2), np.ones((2, 2)))
        grads.at("h").add_rows("rows", (2, 2), np.array([0, 1]), np.ones((2, 2)))
        for array in arrays.values():
            np.testing.assert_array_equal(array, 1)


@pytest.mark.parametrize("block", [1, 7, 12, 1000])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_products_in_blocks_equal_whole_ones(monkeypatch, block, order, shape):
    monkeypatch.setattr(gradients, "BLOCK", block)
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((shape[0], 2)), rng.standard_normal((2, shape[1]))
    grads = FastGradients({"w": np.full(shape, np.nan, order=order)})
    grads.add_product("w", a, b)
    np.testing.assert_allclose(grads["w"], a @ b, rtol=1e-14)
    grads.add_product("w", a, b)
    np.testing.assert_allclose(grads["w"], 2 * (a @ b), rtol=1e-14)


def test_blocks_cut_an_array_across_its_longer_side(monkeypatch):
    monkeypatch.setattr(gradients, "BLOCK", 6)
    everything = slice(None)
    assert blocks(np.zeros((5, 3))) == [(slice(0, 2), everything), (slice(2, 4), everything), (slice(4, 6), everything)]
    assert blocks(np.zeros((3, 4))) == [(everything, slice(0, 2)), (everything, slice(2, 4))]
    assert blocks(np.zeros(7)) == [(slice(0, 6),), (slice(6, 12),)]


def test_all_of_a_matrix_that_lies_transposed_is_added_to(small_blocks):
    grads = FastGradients({"w": np.full((2, 5), np.nan).T})
    value = np.arange(10.0).reshape(5, 2)
    grads.add("w", value)
    np.testing.assert_array_equal(grads["w"], value)
    grads.add("w", value)
    np.testing.assert_array_equal(grads["w"], 2 * value)


def test_rows_of_a_table_in_blocks_are_all_added(small_blocks):
    grads = FastGradients({"w": np.full((4, 2), np.nan)})
    for expected in (1, 2):
        grads.add_rows("w", (4, 2), np.arange(4), np.ones((4, 2)))
        np.testing.assert_array_equal(grads["w"], expected)


def test_rows_of_what_is_frozen_are_not_even_computed():
    grads = FastGradients(frozen=["w"])
    grads.add_rows("w", None, None, None)
    assert len(grads) == 0


# On several threads


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_threads_pass_each_place_in_the_order_of_their_numbers(n, seed):
    order, passed = TurnTaker(), {"a": [], "b": []}
    order.begin(n)

    def run(i):
        rng = random.Random(10 * seed + i)
        for places, turn in (["a"], i), (["b"], i), (["a", "b"], n + i):
            time.sleep(0.002 * rng.random())
            for place in places:
                order.wait(place, turn)
            for place in places:
                passed[place].append(i)
                order.pass_on(place, turn)

    with ThreadPoolExecutor(n) as pool:
        list(pool.map(run, range(n), timeout=60))
    assert passed == {"a": 2 * list(range(n)), "b": 2 * list(range(n))}


def test_nobody_waits_for_a_thread_that_has_failed():
    order = TurnTaker()
    order.begin(2)

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(order.wait, "a", 1)
        time.sleep(0.01)
        assert not waiting.done()
        order.abandon()
        waiting.result(timeout=60)
        pool.submit(order.wait, "b", 1).result(timeout=60)          # nor does who comes later


def test_a_turn_that_comes_while_a_waiter_is_registered_is_not_missed():
    order = TurnTaker()
    order.begin(2)

    class Slow(dict):
        def __setitem__(self, key, waiter):
            order.pass_on("a", 0)               # sees no waiter yet
            super().__setitem__(key, waiter)

    order._waiters = Slow()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(order.wait, "a", 1)
        try:
            waiting.result(timeout=60)
        finally:
            order.abandon()                     # or a failure would wait for ever


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("block", [2, 1000])
@pytest.mark.parametrize("slow", ["the first", "the last"])
def test_shared_gradients_are_the_sum_in_the_order_of_the_parts(monkeypatch, n, block, slow):
    """To the last bit, whoever is faster; by a plain sum, one contribution after the other"""
    monkeypatch.setattr("minigpt.nn.fast.gradients.BLOCK", block)
    rng = np.random.default_rng(n)
    a, b, rows, vectors = (rng.standard_normal((n, *shape)).astype(np.float32) for shape in ((4, 3), (3, 2), (2, 2), (2,)))
    ids = np.array([3, 0])
    order, arrays = TurnTaker(), {"w": np.full((4, 2), np.nan, np.float32), "v": np.full(2, np.nan, np.float32)}
    written = {}
    parts = [SharedGradients(arrays, i, order, written) for i in range(n)]

    def run(i):
        delay = random.Random(i)
        for contribute in (
            lambda: parts[i].add("v", vectors[i]),
            lambda: parts[i].add_product("w", a[i], b[i]),
            lambda: parts[i].add_rows("w", (4, 2), ids, rows[i]),
        ):
            time.sleep(0.002 * delay.random() * (n - i if slow == "the first" else i))
            contribute()

    w, v = np.zeros((4, 2), np.float32), np.zeros(2, np.float32)
    for _ in range(2):                                              # the second pass adds to the first
        order.begin(n)
        with ThreadPoolExecutor(n) as pool:
            list(pool.map(run, range(n), timeout=60))
        for i in range(n):
            w += np.concatenate([a[i][start : start + block // 2] @ b[i] for start in range(0, 4, block // 2)])
            v += vectors[i]
        for i in range(n):
            for id, row in zip(ids, rows[i], strict=True):
                w[id] += row
        np.testing.assert_array_equal(parts[0]["w"], w)
        np.testing.assert_array_equal(parts[0]["v"], v)


def test_of_the_first_two_parts_neither_waits_to_begin():
    order, written = TurnTaker(), {}
    arrays = {"v": np.full(1, np.nan, np.float32), "w": np.full((2, 1), np.nan, np.float32)}
    parts = [SharedGradients(arrays, i, order, written) for i in range(3)]
    order.begin(3)
    with ThreadPoolExecutor(2) as pool:
        parts[1].add("v", np.float32([2]))                  # returns, though part 0 has not come
        third = pool.submit(parts[2].add, "v", np.float32([4]))
        rows = pool.submit(parts[1].add_rows, "w", (2, 1), np.array([0]), np.float32([[1]]))
        time.sleep(0.01)
        assert not third.done()                             # from the third on the order counts,
        assert not rows.done()                              # and in sums that are made piece by piece
        parts[0].add("v", np.float32([1]))
        parts[0].add_rows("w", (2, 1), np.array([0]), np.float32([[8]]))
        third.result(timeout=60)
        rows.result(timeout=60)
    assert parts[0]["v"] == 7
    np.testing.assert_array_equal(parts[0]["w"], [[9], [0]])
