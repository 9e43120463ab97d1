"""The exercises: right answers pass, and every mistake that one claims to recognize is named when a learner makes it."""

import inspect
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import minigpt
from learners import LEARNERS, PLANTED, changed
from minigpt import nn
from minigpt.study import exercises
from minigpt.study.exercises import TABLE, diagnosis

EVERY_PLANTED = [(name, changes, words) for name, rows in PLANTED.items() for changes, words in rows]


def message(name, *changes):
    """What check says of a learner's function with pieces of its source replaced"""
    result = exercises.check(name, changed(name, *changes))
    assert not result
    return result.message


def trials(name, function):
    """A function's outputs beside the truth, on the arrays that check() draws"""
    drawn = (TABLE[name].draw(np.random.default_rng(seed), *size) for seed, size in enumerate(diagnosis.SIZES))
    return [diagnosis._try(TABLE[name], function, inputs, set()) for inputs in drawn]


# Right answers


@pytest.mark.parametrize("name", TABLE)
def test_a_right_answer_in_plain_numpy_passes(name, capsys):
    result = exercises.check(name, LEARNERS[name])
    assert result, result.message
    assert result.message.startswith(f"{name}: right. ")
    assert capsys.readouterr().out == result.message + "\n"


@pytest.mark.parametrize("name", TABLE)
def test_the_solution_passes(name):
    assert exercises.check(name, lambda *inputs: TABLE[name].truth(**dict(zip(TABLE[name].inputs, inputs, strict=True))))


@pytest.mark.parametrize("name", TABLE)
def test_inputs_and_outputs_have_the_shapes_of_the_statement(name):
    exercise = TABLE[name]
    for trial in trials(name, LEARNERS[name]):
        assert list(trial.inputs) == list(exercise.inputs)
        for letters, array in [(exercise.inputs[n], x) for n, x in trial.inputs.items()] + [
            (exercise.outputs[n], x) for n, x in trial.truth.items()
        ]:
            if letters.startswith("("):
                assert array.shape == tuple(trial.sizes[letter] for letter in re.findall(r"\w+", letters))


# Mistakes that an exercise knows


@pytest.mark.parametrize("name, changes, words", EVERY_PLANTED, ids=[f"{name}, {words}" for name, _, words in EVERY_PLANTED])
def test_a_mistake_is_named(name, changes, words):
    assert words in message(name, *changes)


@pytest.mark.parametrize("name", TABLE)
def test_every_mistake_that_is_claimed_is_planted(name):
    planted = [trials(name, changed(name, *changes)) for changes, _ in PLANTED[name]]
    for mistake in TABLE[name].mistakes:
        for i, formula in enumerate(mistake.formulas):
            assert any(diagnosis.matches(formula, mistake.output, each) for each in planted), f"{mistake.words}, formula {i}"


@pytest.mark.parametrize("name", TABLE)
def test_no_mistake_gives_the_truth_or_what_another_mistake_gives(name):
    right = trials(name, LEARNERS[name])
    for output in TABLE[name].outputs:
        results = {"the truth": [trial.truth[output] for trial in right]}
        for mistake in TABLE[name].mistakes:
            for i, formula in enumerate(mistake.formulas):
                if mistake.output == output:
                    results[f"{mistake.words}, formula {i}"] = [diagnosis._evaluate(formula, trial) for trial in right]
        for (one, a), (other, b) in itertools.combinations(results.items(), 2):
            assert not all(map(diagnosis.equal, a, b)), f"{one} = {other}"


# Mistakes that any formula can have


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
    assert message("attention_backward", ("    scores = scores / D**0.5\n", "")).count("lacks 1/√D") == 1


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
    assert not diagnosis.equal(np.ones(3), np.array([1, np.inf, 1]))         # a tolerance relative to ∞ would allow all
    assert not diagnosis.equal(np.array([np.nan]), np.array([np.nan]))


def test_a_detour_through_float32_is_nearly_right():
    text = message("softmax_backward", ("dy - inner", "dy - inner.astype(np.float32)"))
    assert re.search(r"your dx is nearly right, off by \de-0\d of its largest number: is there a float32", text)


# Hints, solutions, names


def test_the_table_lists_each_exercise_on_a_line():
    lines = repr(TABLE).splitlines()
    assert [line.split()[0] for line in lines] == list(TABLE)
    assert "the gradient of GPT-2's activation function" in lines[5]


def test_hints_begin_with_the_task_and_go_on(capsys, monkeypatch):
    monkeypatch.setattr(exercises, "_next_hint", {})
    shown = []
    for _ in range(5):
        exercises.hint("softmax_backward")
        shown.append(capsys.readouterr().out)
    task, one, two, three, again = shown
    assert "def softmax_backward(dy, y):" in task
    assert "dy (B, T, C), y (B, T, C)\n    -> dx (B, T, C)\n" in task
    assert "y = softmax(x)" in task
    assert one.startswith("softmax_backward, hint 1 of 3: ")
    assert two.startswith("softmax_backward, hint 2 of 3: ")
    assert 'That was the last one; exercises.solution("softmax_backward")' in three
    assert again == task


def test_a_hint_by_number(capsys):
    exercises.hint("softmax", 2)
    assert capsys.readouterr().out.startswith("softmax, hint 2 of 3: ")


def test_a_hint_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=re.escape("hint: softmax has no hint 4, expected 0 (the task) to 3")):
        exercises.hint("softmax", 4)


@pytest.mark.parametrize("name", TABLE)
def test_a_solution_is_minigpts_own_source_with_its_place(name, capsys):
    exercises.solution(name)
    text = capsys.readouterr().out
    places = re.findall(r"^# minigpt/(\S+\.py), line (\d+)$", text, re.MULTILINE)
    assert len(places) == len(TABLE[name].sources)
    for (file, line), function in zip(places, TABLE[name].sources, strict=True):
        source = inspect.getsource(function)
        assert f"# minigpt/{file}, line {line}\n{source}\n" in text
        lines = (Path(minigpt.__file__).parent / file).read_text(encoding="utf-8").splitlines(keepends=True)
        assert "".join(lines[int(line) - 1 :]).startswith(source)


@pytest.mark.parametrize("name", [name for name in TABLE if name != "adamw_step"])
def test_a_solution_is_the_textbook_and_says_nothing_of_the_engine(name, capsys):
    exercises.solution(name)
    text = capsys.readouterr().out.replace("@has_fast_twin\n", "")
    assert all(place.startswith("nn/") for place in re.findall(r"^# minigpt/(\S+)", text, re.MULTILINE))
    for word in ("fast", "study", "engine", "empty(", " out=", "scratch", "CHUNK", "leave"):
        assert word not in text


@pytest.mark.parametrize("name", TABLE)
def test_a_solution_that_has_a_scope_says_what_it_is(name, capsys):
    exercises.solution(name)
    text = capsys.readouterr().out
    assert ("s is the layer's Scope" in text) == bool(re.search(r"def \w+\([^)]*\bs\b", text))


@pytest.mark.parametrize("call", [exercises.hint, exercises.solution, lambda name: exercises.check(name, print)],
                         ids=["hint", "solution", "check"])
def test_an_unknown_name_lists_the_names(call):
    with pytest.raises(ValueError, match=r"^'layernorm': no such exercise, expected one of softmax, .*, adamw_step$"):
        call("layernorm")


def test_a_result_in_place_of_a_function_is_refused():
    with pytest.raises(TypeError, match=r"^check: 3.0, expected a function; write check\('softmax', my_function\)"):
        exercises.check("softmax", 3.0)
