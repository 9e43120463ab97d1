"""The four stores: names, shared memory, gradients that add up, and the two ways a pass can treat buffers."""

import numpy as np
import pytest

from minigpt.nn import Gradients, Pass, Scope, Store
from minigpt.nn.scope import blocks


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


def test_gradients_add_up():
    grads = Gradients()
    grads.add("b", np.array([1.0, 2.0]))
    grads.add("b", np.array([10.0, 20.0]))
    np.testing.assert_array_equal(grads["b"], [11, 22])


def test_gradients_start_afresh_after_reset():
    grads = Gradients()
    grads.add("b", np.array([1.0, 2.0]))
    grads.reset()
    grads.add("b", np.array([10.0, 20.0]))
    np.testing.assert_array_equal(grads["b"], [10, 20])


def test_products_add_up():
    rng = np.random.default_rng(1)
    a, b, c, d = (rng.standard_normal(shape) for shape in ((2, 5), (5, 3), (2, 4), (4, 3)))
    grads = Gradients()
    grads.add_product("w", a, b)
    grads.add_product("w", c, d)
    np.testing.assert_allclose(grads["w"], a @ b + c @ d, rtol=1e-13)     # another order of the same sums


def test_gradients_go_into_the_arrays_given_at_the_start():
    flat = np.full(4, np.nan)
    grads = Gradients({"h.w": flat.reshape(2, 2)})
    grads.at("h").add_product("w", np.eye(2), np.ones((2, 2)))
    np.testing.assert_array_equal(flat, 1)


@pytest.mark.parametrize("block", [1, 7, 12, 1000])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_products_in_blocks_equal_whole_ones(monkeypatch, block, order, shape):
    monkeypatch.setattr("minigpt.nn.scope.BLOCK", block)
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((shape[0], 2)), rng.standard_normal((2, shape[1]))
    grads = Gradients({"w": np.full(shape, np.nan, order=order)})
    grads.add_product("w", a, b)
    np.testing.assert_allclose(grads["w"], a @ b, rtol=1e-14)
    grads.add_product("w", a, b)
    np.testing.assert_allclose(grads["w"], 2 * (a @ b), rtol=1e-14)


def test_blocks_cut_an_array_across_its_longer_side(monkeypatch):
    monkeypatch.setattr("minigpt.nn.scope.BLOCK", 6)
    everything = slice(None)
    assert blocks(np.zeros((5, 3))) == [(slice(0, 2), everything), (slice(2, 4), everything), (slice(4, 6), everything)]
    assert blocks(np.zeros((3, 4))) == [(everything, slice(0, 2)), (everything, slice(2, 4))]
    assert blocks(np.zeros(7)) == [(slice(0, 6),), (slice(6, 12),)]


def test_rows_are_added_to_a_table_that_is_zero_at_first():
    grads = Gradients({"w": np.full((4, 2), np.nan)})
    grads.add_rows("w", (4, 2), np.array([1, 3, 1]), np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]]))
    np.testing.assert_array_equal(grads["w"], [[0, 0], [11, 22], [0, 0], [3, 4]])
    grads.add_rows("w", (4, 2), np.array([0]), np.array([[5.0, 6.0]]))
    np.testing.assert_array_equal(grads["w"], [[5, 6], [11, 22], [0, 0], [3, 4]])


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


def test_layers_share_their_dacts_on_the_fast_path():
    s = Scope.of(study=False)
    first = s.layer("h", 0).dacts.empty("x", (2,), np.float64)
    assert np.shares_memory(s.layer("h", 1).dacts.empty("x", (2,), np.float64), first)


def test_layers_keep_their_own_dacts_in_study_mode():
    s = Scope.of(study=True)
    s.layer("h", 0).dacts.empty("x", (2,), np.float64)
    s.layer("h", 1).dacts.empty("x", (2,), np.float64)
    assert list(s.dacts) == ["h.0.x", "h.1.x"]


def test_layers_share_their_acts_where_no_backward_follows():
    s = Scope(Store(), Gradients(), run=Pass(study=False, backward=False))
    s.layer("h", 0).acts["x"] = first = np.zeros(2)
    assert s.layer("h", 1).acts["x"] is first
    s.run.backward = True
    s.layer("h", 0).acts["x"] = np.ones(2)
    assert s.acts["h.x"] is first


def test_layers_keep_their_own_acts_for_a_backward():
    s = Scope.of(study=False)
    first = s.layer("h", 0).acts.empty("x", (2,), np.float64)
    assert not np.shares_memory(s.layer("h", 1).acts.empty("x", (2,), np.float64), first)


def test_reuse_is_the_array_itself_on_the_fast_path():
    s, x, dx = Scope.of(study=False), np.zeros(3), np.zeros(3)
    assert s.reuse("x", x) is x
    assert s.reuse_grad("x", dx) is dx
    assert s.acts["x"] is x
    assert s.dacts["x"] is dx


def test_reuse_is_a_copy_in_study_mode():
    s, x = Scope.of(study=True), np.arange(3.0)
    copy = s.reuse("x", x)
    assert not np.shares_memory(copy, x)
    np.testing.assert_array_equal(copy, x)
    assert s.acts["x"] is copy


def test_scratch_is_shared_by_all_layers_of_a_pass():
    s = Scope.of()
    first = s.at("a").scratch("spare", (3,), np.float64)
    assert np.shares_memory(s.at("b").scratch("spare", (3,), np.float64), first)


def test_what_holds_for_a_pass_is_seen_in_every_scope():
    s = Scope(Store(), Gradients(), run=Pass(study=False))
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


def test_all_of_a_matrix_that_lies_transposed_is_added_to(monkeypatch):
    monkeypatch.setattr("minigpt.nn.scope.BLOCK", 2)
    grads = Gradients({"w": np.full((2, 5), np.nan).T})
    value = np.arange(10.0).reshape(5, 2)
    grads.add("w", value)
    np.testing.assert_array_equal(grads["w"], value)
    grads.add("w", value)
    np.testing.assert_array_equal(grads["w"], 2 * value)
