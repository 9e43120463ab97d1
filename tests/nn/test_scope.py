"""The four stores: names, shared memory, gradients that add up, and what a pass records."""

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt.nn import Gradients, Pass, Scope, Store
from minigpt.nn.fast.gradients import FastGradients


def test_a_store_seen_from_a_prefix_shares_its_arrays():
    acts = Store()
    x = np.zeros(3)
    acts["h.0.x"] = x
    assert acts.at("h.0")["x"] is x


def test_a_name_set_below_a_prefix_appears_above():
    acts = Store()
    acts.at("h").at("0")["x"] = np.zeros(3)
    assert list(acts) == ["h.0.x"]


def test_a_store_iterates_over_the_names_below_its_prefix():
    acts = Store({"h.1.x": np.zeros(1), "h.10.x": np.zeros(1), "wte.y": np.zeros(1), "h.1.attn.y": np.zeros(1)})
    assert list(acts.at("h.1")) == ["x", "attn.y"]      # not h.10
    assert len(acts.at("h.1")) == 2


def test_a_name_can_be_deleted_while_iterating():
    acts = Store({"a": np.zeros(1), "b": np.zeros(1)})
    for name in acts:
        del acts[name]
    assert len(acts) == 0


def test_a_store_prints_names_shapes_and_dtypes():
    assert str(Store({"ln_f.y": np.zeros((2, 3), np.float32)})).split() == ["ln_f.y", "(2,", "3)", "float32"]


def test_empty_hands_out_the_same_memory_again():
    acts = Store()
    first = acts.empty("x", (2, 3), np.float32)
    first[...] = 7
    assert np.shares_memory(acts.empty("x", (2, 3), np.float32), first)


def test_empty_cuts_a_smaller_array_from_the_same_memory():
    acts = Store()
    first = acts.empty("x", (4, 6), np.float32)
    second = acts.empty("x", (3, 5), np.float32)
    assert second.shape == acts["x"].shape == (3, 5)
    assert second.flags.c_contiguous
    assert np.shares_memory(second, first)


def test_empty_grows_where_the_memory_is_too_small():
    acts = Store()
    acts.empty("x", (2, 3), np.float32)
    assert acts.empty("x", (4, 6), np.float32).shape == (4, 6)


def test_empty_changes_the_dtype_where_another_is_asked_for():
    acts = Store()
    acts.empty("x", (2, 3), np.float32)
    assert acts.empty("x", (2, 3), np.float64).dtype == np.float64


def test_two_names_never_share_memory():
    acts = Store()
    assert not np.shares_memory(acts.empty("x", (4,), np.float64), acts.at("h").empty("x", (4,), np.float64))


# Gradients: the textbook's, and what the engine's share with them; the rest of those is test_gradients.py's


both_kinds = pytest.mark.parametrize("kind", [Gradients, FastGradients])


@both_kinds
def test_gradients_add_up(kind):
    grads = kind()
    grads.add("b", np.array([1.0, 2.0]))
    grads.add("b", np.array([10.0, 20.0]))
    np.testing.assert_array_equal(grads["b"], [11, 22])


@both_kinds
def test_products_add_up(kind):
    grads = kind()
    a, b = np.array([[1.0, 2.0]]), np.array([[3.0], [5.0]])
    grads.add_product("w", a, b)
    grads.add_product("w", 2 * a, b)
    np.testing.assert_array_equal(grads["w"], [[39]])


@both_kinds
def test_a_product_of_what_is_frozen_is_not_even_computed(kind):
    grads = kind(frozen=["w"])
    grads.add_product("w", None, None)
    assert len(grads) == 0


@both_kinds
def test_gradients_start_afresh_after_reset(kind):
    grads = kind()
    grads.add("b", np.array([1.0, 2.0]))
    grads.reset()
    grads.add("b", np.array([10.0, 20.0]))
    np.testing.assert_array_equal(grads["b"], [10, 20])


@both_kinds
def test_gradients_go_into_the_arrays_given_at_the_start(kind):
    flat = np.zeros(4)
    grads = kind({"h.w": flat.reshape(2, 2)})
    for _ in range(2):
        grads.reset()
        grads.at("h").add("w", np.full((2, 2), 3.0))
        grads.at("h").add("w", np.full((2, 2), 4.0))
        np.testing.assert_array_equal(flat, 7)


@both_kinds
def test_what_is_frozen_gets_no_gradient(kind):
    grads = kind(frozen=["h.w"])
    grads.at("h").add("w", np.ones(2))
    grads.add("w", np.ones(2))
    assert list(grads) == ["w"]
    assert grads.at("h").is_frozen("w")
    assert not grads.is_frozen("w")


@both_kinds
def test_rows_are_added_to_a_table_that_is_zero_at_first(kind):
    grads = kind()
    grads.add_rows("w", (4, 2), np.array([1, 3, 1]), np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]]))
    np.testing.assert_array_equal(grads["w"], [[0, 0], [11, 22], [0, 0], [3, 4]])
    grads.add_rows("w", (4, 2), np.array([0]), np.array([[5.0, 6.0]]))
    np.testing.assert_array_equal(grads["w"], [[5, 6], [11, 22], [0, 0], [3, 4]])


@both_kinds
def test_a_gradient_and_rows_of_it_add_up_in_any_order(kind):
    expected = [[1, 1], [4, 5]]
    for rows_first in (False, True):
        grads = kind()
        steps = [lambda grads=grads: grads.add("w", np.ones((2, 2))),
                 lambda grads=grads: grads.add_rows("w", (2, 2), np.array([1]), np.array([[3.0, 4.0]]))]
        for step in steps[::-1] if rows_first else steps:
            step()
        np.testing.assert_array_equal(grads["w"], expected)


# Scopes


def test_a_scope_descends_by_name_in_all_four_stores():
    s = Scope.of(**{"ln_1.weight": np.ones(2)})
    below = s.at("ln_1")
    below.acts["x"], below.dacts["x"], below.grads["weight"] = np.zeros(1), np.zeros(2), np.zeros(3)
    assert below.params["weight"] is s.params["ln_1.weight"]
    assert below.acts["x"] is s.acts["ln_1.x"]
    assert below.dacts["x"] is s.dacts["ln_1.x"]
    assert below.grads["weight"] is s.grads["ln_1.weight"]


def test_a_scope_keeps_what_is_saved_below():
    s = Scope.of()
    s.at("attn").saved["n_head"] = 2
    assert s.at("attn").saved["n_head"] == 2


def test_a_layer_is_the_scope_of_its_dotted_name():
    s = Scope.of()
    assert s.layer("h", 3) is s.at("h.3")
    assert s.layer("h", 3).name == "h.3."


def test_layers_share_their_dacts_in_the_engine():
    s = Scope.of(fast=True)
    first = s.layer("h", 0).dacts.empty("x", (2,), np.float64)
    assert np.shares_memory(s.layer("h", 1).dacts.empty("x", (2,), np.float64), first)


def test_layers_keep_their_own_dacts_in_the_textbook():
    s = Scope.of()
    s.layer("h", 0).record_grad("x", np.zeros(2))
    s.layer("h", 1).record_grad("x", np.zeros(2))
    assert list(s.dacts) == ["h.0.x", "h.1.x"]


@textbook_and_engine
def test_layers_share_their_acts_where_no_backward_follows(fast):
    s = Scope(Store(), Gradients(), run=Pass(fast=fast, backward=False))
    s.layer("h", 0).acts["x"] = first = np.zeros(2)
    assert s.layer("h", 1).acts["x"] is first
    s.run.backward = True
    s.layer("h", 0).acts["x"] = np.ones(2)
    assert s.acts["h.x"] is first


@textbook_and_engine
def test_layers_keep_their_own_acts_for_a_backward(fast):
    s = Scope.of(fast=fast)
    first = s.layer("h", 0).acts.empty("x", (2,), np.float64)
    assert not np.shares_memory(s.layer("h", 1).acts.empty("x", (2,), np.float64), first)


def test_scratch_is_shared_by_all_layers_of_a_pass():
    s = Scope.of()
    first = s.at("a").scratch("spare", (3,), np.float64)
    assert np.shares_memory(s.at("b").scratch("spare", (3,), np.float64), first)


def test_what_holds_for_a_pass_is_seen_in_every_scope():
    s = Scope(Store(), Gradients(), run=Pass(fast=True))
    below = s.at("h.0")
    s.run.dropout_key = (1, 2)
    assert below.run.dropout_key == (1, 2)


def test_a_tied_scope_has_anothers_parameters_and_its_own_activations():
    s = Scope.of(**{"wte.weight": np.ones(2)})
    tied = s.at("encoder").tied("wte", s.at("wte"))
    tied.acts["y"] = np.zeros(3)
    tied.grads.add("weight", np.full(2, 3.0))
    s.at("wte").grads.add("weight", np.full(2, 4.0))
    assert tied.params["weight"] is s.params["wte.weight"]
    assert (list(s.acts), list(s.grads)) == (["encoder.wte.y"], ["wte.weight"])
    np.testing.assert_array_equal(s.grads["wte.weight"], [7, 7])        # both uses added up
    assert tied.name == "encoder.wte."                                  # what dropout masks and visitors go by


# What a pass records


def test_a_pass_runs_the_textbook_where_nothing_else_is_said():
    assert not Pass().fast
    assert not Scope.of().run.fast
    assert type(Scope.of().grads) is Gradients
    assert Scope.of(fast=True).run.fast
    assert type(Scope.of(fast=True).grads) is FastGradients


def test_the_textbook_records_the_array_itself_under_its_name():
    s, x, dx = Scope.of(), np.zeros(3), np.ones(3)
    assert s.at("h.0").record("x", x) is x
    assert s.at("h.0").record_grad("x", dx) is dx
    assert s.acts["h.0.x"] is x
    assert s.dacts["h.0.x"] is dx


def test_a_visitor_may_change_an_activation_before_it_is_used():
    def visit(name, array):
        assert name == "h.0.x"
        array *= 2

    s = Scope(Store(), Gradients(), run=Pass(visit=visit))
    np.testing.assert_array_equal(s.at("h.0").record("x", np.ones(3)), 2)
    np.testing.assert_array_equal(s.acts["h.0.x"], 2)


def test_a_gradient_goes_to_its_visitor_and_is_not_kept():
    seen = {}
    s = Scope(Store(), Gradients(), run=Pass(visit_grad=seen.__setitem__))
    dx = np.ones(3)
    assert s.at("h.0").record_grad("x", dx) is dx
    assert seen["h.0.x"] is dx
    assert len(s.dacts) == 0


def test_the_engine_records_nothing():
    def visit(name, array):
        raise AssertionError(name)

    s, x = Scope(Store(), Gradients(), run=Pass(fast=True, visit=visit, visit_grad=visit)), np.zeros(3)
    assert s.record("x", x) is x
    assert s.record_grad("x", x) is x
    assert len(s.acts) == len(s.dacts) == 0
