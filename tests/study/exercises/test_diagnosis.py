"""Kinds of mistakes that any function can have, and what a check says of them."""

import inspect
import re

import numpy as np
import pytest

from learners import LEARNERS, changed
from minigpt import nn
from minigpt.study import exercises
from minigpt.study.exercises import TABLE
from minigpt.study.exercises.exercise import equal
from minigpt.study.exercises.running import drawn, run


@pytest.fixture(autouse=True)
def own_folder_and_language(tmp_path, monkeypatch):
    """Nothing is remembered in the user's home, and English is spoken whatever the locale."""
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LC_ALL", "C")


def message(name, *changes):
    """What check says of a learner's function with pieces of its source replaced"""
    result = exercises.check(name, changed(name, *changes))
    assert not result
    return result.message


def test_a_mean_in_place_of_a_sum_is_off_by_the_number_of_positions():
    text = message("linear_backward", ("dy.sum(axis=(0, 1))", "dy.mean(axis=(0, 1))"))
    assert "your db is right but for the factor N (= B·T): yours is N (= B·T) times too small" in text
    assert "Right already: dx, dw." in text


def test_a_mean_over_the_batch_alone_is_off_by_its_size():
    text = message("linear_backward", ("    db =", "    dw /= len(x)\n    db ="))
    assert "your dw is right but for the factor B: yours is B times too small" in text


def test_a_loss_that_was_not_averaged_is_off_by_one_over_n():
    assert "right but for the factor 1/N (= B·T): yours is N (= B·T) times too large" in message(
        "cross_entropy_backward", ("d / (B * T)", "d"))


def test_a_missing_factor_is_named_by_its_letter():
    text = message("attention_backward", ("ds, k) / D**0.5", "ds, k)"))
    assert "your dq is right but for the factor 1/√D: yours is √D times too large" in text
    assert "Right already: dk, dv." in text


def test_the_wrong_sign_is_named():
    assert "your dx is right but for the wrong sign" in message("softmax_backward", ("dy - inner", "inner - dy"))


def test_a_factor_without_a_letter_is_given_as_a_number():
    assert "a factor: yours is 3 times too large" in message("gelu_backward", ("slope * dy", "slope * dy * 3"))


def test_factor_and_sign_together():
    assert "the factor 1/2: yours is 2 times too large and the wrong sign" in message(
        "gelu_backward", ("slope * dy", "-2 * slope * dy"))


def test_a_mistake_and_a_factor_together():
    text = message("layernorm_backward", ("g - m1 -", "g -"), ("dx = r *", "dx = -r *"))
    assert "your dx lacks the mean of dx̂" in text
    assert "besides, there is the wrong sign" in text


def test_each_wrong_output_gets_its_own_words():
    text = message("layernorm_backward", ("g - m1 -", "g -"), ("dy, xhat)", "dy, x)"))
    assert "your dx lacks the mean of dx̂" in text
    assert "your dw is made of x;" in text
    assert "Right already: db." in text


def test_one_mistake_behind_several_outputs_is_said_once():
    assert message("attention_backward", ("    scores = scores / D**0.5\n", "")).count("lack the factor 1/√D") == 1


def test_outputs_in_another_order():
    text = message("attention_backward", ("return dq, dk, dv", "return dk, dq, dv"))
    assert "your dq is what dk should be: return dq, dk, dv in this order" in text


def test_a_transposed_output():
    text = message("linear_backward", ("return dx, dw, db", "return dx, dw.T, db"))
    assert "your dw has shape (9, 5) = (Cout, Cin), expected (5, 9) = (Cin, Cout): it is transposed" in text


@pytest.mark.parametrize("subscripts, over", [("btc->bc", "B"), ("btc->tc", "T"), ("btc->btc", "B and T")])
def test_an_output_that_is_not_summed_yet(subscripts, over):
    text = message("layernorm_backward", ('"btc->c"', f'"{subscripts}"'))
    assert text.count(f"expected (5,) = (C,): it is not summed over {over} yet") == 1


def test_an_axis_left_over():
    text = message("linear_backward", ("dy.sum(axis=(0, 1))", "dy.sum(axis=(0, 1), keepdims=True)"))
    assert "has shape (1, 1, 9), expected (9,) = (Cout,): the numbers are right, so leave out keepdims=True" in text


def test_another_shape():
    text = message("softmax_backward", ("return y * (dy - inner)", "return np.zeros(7)"))
    assert "your dx has shape (7,), expected (2, 3, 5) = (B, T, C)" in text


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("    return dx, dw, db", "", "your function returned None: does it end in return dx, dw, db?"),
        ("return dx, dw, db", "return dx", "returned 1 array, expected 3 in this order: dx, dw, db"),
        ("return dx, dw, db", "return dx, dw, db, x", "returned 4 arrays, expected 3 in this order: dx, dw, db"),
        ("return dx, dw, db", "return dx, None, db", "your dw is None"),
        ("return dx, dw, db", "return dx, dw, db.tolist()", "your db is a list, expected an array"),
        ("return dx, dw, db", "return dx, dw.astype(np.float32), db", "your dw is float32, expected float64"),
        ("return dx, dw, db", "return 0 * dx, dw, db", "your dx is zero everywhere"),
        ("return dx, dw, db", "dx[1:, 2] = np.nan\n    return dx, dw, db", "your dx[1, 2, 0] is nan: look for 0/0"),
    ],
    ids=["None", "too few", "too many", "one None", "list", "float32", "zero", "NaN"],
)
def test_what_is_no_gradient_at_all(old, new, words):
    assert words in message("linear_backward", (old, new))


def test_right_outputs_in_a_list_pass():
    assert exercises.check("linear_backward", changed("linear_backward", ("return dx, dw, db", "return [dx, dw, db]")))


def test_a_loss_as_an_integer_is_named():
    assert "your loss is a int, expected a float" in message("cross_entropy", ("return -picked.mean()", "return 1"))


def raises(dy, x, w):
    dx = dy @ w         # the line that fails
    return dx, None, None


def test_an_exception_shows_the_learners_line_and_the_shapes():
    result = exercises.check("linear_backward", raises)
    assert not result
    first, line, shapes, _ = result.message.splitlines()[1:]
    assert first.startswith("  - ValueError: matmul: ")
    number = inspect.getsourcelines(raises)[1] + 1
    assert line == f"    on your line {number}: dx = dy @ w         # the line that fails"
    assert shapes == "    with dy (2, 3, 9) = (B, T, Cout), x (2, 3, 5) = (B, T, Cin), w (5, 9) = (Cin, Cout)"


def calls_a_layer_wrongly(dy, s):
    return nn.mlp_backward(dy[..., :2], s.at("mlp"))


def test_an_exception_inside_minigpt_shows_the_line_that_called_it():
    text = exercises.check("block_backward", calls_a_layer_wrongly).message
    assert 'return nn.mlp_backward(dy[..., :2], s.at("mlp"))' in text


def test_a_function_of_other_arguments_is_told_how_it_is_called():
    text = exercises.check("layernorm_backward", lambda dy, x: dy).message
    assert "TypeError" in text
    assert "it is called as layernorm_backward(dy, x, w, eps)" in text


def test_an_input_changed_in_place_is_named_although_the_result_is_right():
    text = message("softmax_backward", ("return y * (dy - inner)", "dy -= inner\n    return y * dy"))
    assert "you changed your input in place: dy." in text
    assert "Right already: dx." in text


def test_a_formula_that_is_right_for_a_single_sequence_only_says_so():
    text = message("softmax_backward", ("return y * (dy - inner)", "return y * (dy - inner[:1])"))
    assert re.search(r"your dx differs from the truth in \d+ of 30 numbers, first at \[1, 0, 0\]: yours is \S+, expected", text)
    assert "with B = 2, T = 3, C = 5, while it is right with B = 1, T = 4, C = 7" in text


def test_nothing_equals_what_is_not_finite():
    assert not equal(np.ones(3), np.array([1, np.inf, 1]))         # a tolerance relative to ∞ would allow all
    assert not equal(np.array([np.nan]), np.array([np.nan]))


def test_a_detour_through_float32_is_nearly_right():
    text = message("softmax_backward", ("dy - inner", "dy - inner.astype(np.float32)"))
    assert re.search(r"your dx is nearly right, off by \de-0\d of its largest number: is there a float32", text)


def test_what_no_guess_explains_breaks_invariants_that_are_told():
    rows = [
        ("softmax", ("return e / total", "return e / total + 0.1 * x"), "each row of y along the last axis sums to 1",
         "no y is negative"),
        ("softmax_backward", ("dy - inner", "dy - 0.3 * inner"), "each row of dx sums to 0"),
        ("cross_entropy_backward", ("-= 1", "-= 0.7"), "each row of dlogits sums to 0"),
        ("layernorm_forward", ("x - mu", "x - 0.9 * mu"), "each position of (y − b)/w has mean 0"),
        ("layernorm_backward", ("g - m1", "g - 0.9 * m1"), "dx sums to 0 over the channels of each position"),
        ("attention_forward", ("-np.inf", "-0.5"), "att is 0 where the key comes after the query"),
        ("attention_forward", ("att, v)", "att + 0.1, v)"), "the rows of att sum to 1"),
        ("attention_backward", ("ds = nn.softmax_backward(datt, att)", "ds = nn.softmax_backward(datt, att) + 0.1"),
         "the rows of dscores sum to 0", "dscores is 0 where the key comes after"),
        ("attention_backward", ("bsd\", att, do", "bsd\", 0.9 * att ** 1.1, do"),
         "the sum of dv over the positions is that of do"),
        ("cross_attention", ("-np.inf", "-0.5"), "att is 0 at padding"),
        ("tied_embedding_backward", ("dwte[i] += row", "dwte[i - 1] += row"),
         "rows of ids that do not occur have the head's share"),
    ]
    for name, change, *invariants in rows:
        text = message(name, change)
        assert "differs from the truth" in text, (name, text)
        for invariant in invariants:
            assert re.search(re.escape(invariant) + ".*; here it is off by [0-9.e-]+", text), (name, invariant, text)


def test_a_right_answer_breaks_no_invariant():
    for name, exercise in TABLE.items():
        for inputs in drawn(exercise):
            trial = run(exercise, LEARNERS[name], inputs, set())
            for invariant in exercise.invariants:
                off = invariant.measure(trial, trial.truth[invariant.output])
                assert off is None or np.max(abs(off), initial=0) < 1e-9, (name, invariant.words)


def test_a_function_that_adds_to_what_an_earlier_call_left_is_found_out():
    left = []

    def accumulates(dy, x, w):
        left.append(dy.sum((0, 1)))
        return *LEARNERS["linear_backward"](dy, x, w)[:2], sum(each for each in left if each.shape == left[-1].shape)

    text = exercises.check("linear_backward", accumulates).message
    assert "called a second time with the same inputs, your function gives something else: does it add to what" in text
    assert not exercises.check("linear_backward", accumulates)


def test_a_gradient_that_is_added_twice_is_asked_about():
    assert "2 times too large (is something added up twice?)" in message("linear_backward", ("dw += x", "dw += 2 * x"))


def test_what_two_outputs_share_is_found_beside_a_third_mistake():
    text = message("attention_backward", ("    scores[:, ~nn.attention_mask(T, T)] = -np.inf\n", ""),
                   ("    scores = scores / D**0.5\n", ""), ("nn.softmax_backward(datt, att)", "att * datt"))
    assert "your att lacks the mask" in text
    assert "your scores lack the factor 1/√D" in text
    assert "your dscores lacks the sum" in text


def test_mistakes_in_lists_are_shown_by_a_call_that_one_can_repeat():
    text = message("merge", ("            merged.append(new)", "            merged.append(new + 1)"))
    assert "merge([1, 2, 3, 1, 2], (1, 2), 4) should be [4, 3, 4], yours is [5, 3, 5]" in text
    assert exercises.check("learn_merges", changed("learn_merges", ("merges.append(best)", "merges.append([*best])")))


def test_a_result_of_any_kind_is_answered_in_words():
    values = (True, 1, "x", b"x", [], (), {}, [[1], [2, 3]], [None], [10**400], [np.ones(3)], object(), range(3), np.array("a"),
              np.array([None, 1]), np.ones((2, 3, 5), complex), np.ones((2, 3, 5), bool), np.full((2, 3, 5), np.nan),
              np.full((2, 3, 5), np.inf), np.full((2, 3, 5), 1e308), np.ones(0), np.nan, np.float32(3))
    for name in ("merge", "softmax", "cross_entropy", "linear_backward"):
        for value in values:
            for result in (value, (value,) * len(TABLE[name].outputs)):
                text = exercises.check(name, lambda *_, result=result: result).message
                assert re.search("your (function|merged|y|loss|dx) |, yours is ", text), (name, result, text)
