"""The calls that a learner makes: the table, hints, solutions, checks of right answers, and what is remembered."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import minigpt
from learners import LEARNERS, changed
from minigpt.study import exercises
from minigpt.study.exercises import TABLE, running


@pytest.fixture(autouse=True)
def own_folder_and_language(tmp_path, monkeypatch):
    """Nothing is remembered in the user's home, and English is spoken whatever the locale."""
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setattr(exercises, "_hints_to_come", {})


@pytest.mark.parametrize("name", TABLE)
def test_a_right_answer_in_plain_numpy_passes(name, capsys):
    result = exercises.check(name, LEARNERS[name])
    assert result, result.message
    assert result.message.startswith(f"{name}: right. ")
    assert capsys.readouterr().out == result.message + "\n"


@pytest.mark.parametrize("name", TABLE)
def test_inputs_and_outputs_have_the_shapes_of_the_statement(name):
    exercise = TABLE[name]
    for inputs in running.drawn(exercise):
        trial = running.run(exercise, LEARNERS[name], inputs, set())
        assert list(trial.inputs) == list(exercise.inputs)
        for letters, value in [(exercise.inputs[n], x) for n, x in trial.inputs.items()] + [
            (exercise.outputs[n], x) for n, x in trial.truth.items()
        ]:
            if letters.startswith("("):
                expected = [trial.sizes[letter] + bool(more) for letter, more in re.findall(r"([A-Za-z]+)(\+1)?", letters)]
                assert [*value.shape] == expected
            elif letters not in ("Scope", "integer", "float"):
                assert type(value).__name__ == letters


# The table and what is remembered


def test_completion_offers_what_one_uses_and_no_modules():
    assert dir(exercises) == ["TABLE", "bugs", "check", "hint", "solution", "start_over"]
    assert dir(exercises.bugs) == ["Bug", "choices", "healthy", "hint", "name", "solution", "start", "start_over"]


def test_the_table_lists_each_exercise_on_a_line():
    lines = repr(TABLE).splitlines()
    assert [line.split()[0] for line in lines] == list(TABLE)
    assert "the gradient of GPT-2's activation function" in repr(TABLE)


def test_what_is_done_has_a_mark_until_one_starts_over():
    before = repr(TABLE)
    exercises.check("softmax", lambda x: x)
    assert repr(TABLE) == before
    for name in ("softmax", "merge", "softmax"):
        exercises.check(name, LEARNERS[name])
    assert [line.split()[1] for line in repr(TABLE).splitlines() if line.startswith("✓")] == ["merge", "softmax"]
    assert repr(TABLE).endswith(f"\n2 of {len(TABLE)} done")
    exercises.start_over("merge")
    assert repr(TABLE).endswith(f"\n1 of {len(TABLE)} done")
    exercises.start_over()
    assert repr(TABLE) == before


def test_a_check_works_where_nothing_can_be_remembered(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", "/dev/null/x", "~nobody\0"[:7], tmp_path / ("long" * 100)):
        monkeypatch.setenv("MINIGPT_CACHE", str(place))
        assert exercises.check("softmax", LEARNERS["softmax"])
        exercises.start_over()
        assert "✓" not in repr(TABLE)


def test_what_others_put_into_the_folder_is_neither_shown_nor_changed(tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "exercises"
    folder.mkdir(parents=True)
    (folder / "not an exercise").write_bytes(b"\0damaged")
    (folder / "merge").mkdir()                                      # cannot be removed as a file is
    (tmp_path / "elsewhere").write_text("mine")
    (folder / "softmax").symlink_to(tmp_path / "elsewhere")
    exercises.check("softmax", LEARNERS["softmax"])
    assert repr(TABLE).endswith(f"2 of {len(TABLE)} done")
    exercises.start_over()
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["merge", "not an exercise"]


# Hints and solutions


def test_hints_begin_with_the_task_and_go_on(capsys):
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


def test_the_next_hint_speaks_of_what_was_wrong(capsys):
    rows = {
        "softmax_backward": [(("dy - inner", "dy + inner"), "In the second y_i does not depend on j and goes in front"),
                             (("axis=-1", "axis=0"), "one sum for each row, along the last axis")],
        "layernorm_backward": [(("- xhat * m2", "+ xhat * m2"), "r depends on every x too"),
                               (("dy, xhat)", "dy, x)"), "w and b are shared"),
                               (("dx = r", "dx = 3 * r"), "the means over a position's C channels")],
        "attention_backward": [(("-np.inf", "0"), "A score of −∞ hides a key"),
                               (('att, do)', "att, v)"), "dv = att.swapaxes"),
                               (("ds, k) / D**0.5", "ds, k)"), "dq = dscores @ k / sqrt(D)")],
        "adamw_step": [(("    w = w - lr * weight_decay * w\n", ""), "The decay acts on w itself")],
        "merge": [(("            i += 2", "            i += 1"), "Two occurrences cannot share an id")],
        "linear_backward": [(("return dx, dw, db", "return dx, dw * x[0, 0, 0], db"), "All positions share w and b")],
    }
    for name, cases in rows.items():
        for change, words in cases:
            exercises.check(name, changed(name, change))
            capsys.readouterr()
            exercises.hint(name)
            assert words in (shown := capsys.readouterr().out), (name, change, shown)
            for _ in TABLE[name].hints[1:]:                 # the others follow, each once, then it ends
                exercises.hint(name)
            rest = capsys.readouterr().out
            assert sorted(re.findall(r"hint (\d) of", shown + rest)) == [str(1 + i) for i in range(len(TABLE[name].hints))]
            assert "That was the last one" in rest


def test_the_answer_is_in_the_hints_and_not_in_the_task(capsys):
    answers = {"softmax_backward": "dy_j y_j", "cross_entropy_backward": "onehot", "linear_backward": "dy Wᵀ",
               "gelu_backward": "1 − tanh", "layernorm_backward": "mean(dx̂", "attention_backward": "dscores",
               "block_backward": "dm =", "tied_embedding_backward": "dlogits.T", "dropout_forward": "/ (1 - p)",
               "merge": "i + 2", "top_p": "cumsum", "attention_step": "concatenate", "orthogonalize": "G² y",
               "adamw_step": "1 − βᵗ"}
    for name, answer in answers.items():
        exercises.hint(name, 0)
        assert answer not in capsys.readouterr().out, name
        for number in range(1, len(TABLE[name].hints) + 1):
            exercises.hint(name, number)
        assert answer in capsys.readouterr().out, name


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


def test_a_solution_is_the_textbook_and_says_nothing_of_the_engine(capsys):
    for name in TABLE.keys() - {"adamw_step", "orthogonalize"}:         # of optimizers there is only one form
        exercises.solution(name)
        text = capsys.readouterr().out.replace("@has_fast_twin\n", "")
        assert all(re.match("nn/(?!fast)|tokenization/bpe|generation/warpers", place)
                   for place in re.findall(r"^# minigpt/(\S+)", text, re.MULTILINE)), name
        for word in ("fast", "study", "engine", "empty(", " out=", "scratch", "CHUNK", "leave"):
            assert word not in text, (name, word)


def test_the_solution_of_softmax_backward_is_one_line_of_code(capsys):
    exercises.solution("softmax_backward")
    code = re.sub('r""".*?"""', "", capsys.readouterr().out, flags=re.DOTALL)
    assert [line.strip() for line in code.splitlines() if line.strip() and not line.startswith("#")] == [
        "def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:",
        "return y * (dy - (dy * y).sum(-1, keepdims=True))",
    ]


@pytest.mark.parametrize("name", TABLE)
def test_a_solution_that_has_a_scope_says_what_it_is(name, capsys):
    exercises.solution(name)
    text = capsys.readouterr().out
    assert ("s is the layer's Scope" in text) == bool(re.search(r"def \w+\([^)]*\bs\b", text))


# What is refused


@pytest.mark.parametrize("call", [exercises.hint, exercises.solution, exercises.start_over,
                                  lambda name: exercises.check(name, print)], ids=["hint", "solution", "start_over", "check"])
def test_an_unknown_name_lists_the_names(call):
    with pytest.raises(ValueError, match=r"^'layernorm': no such exercise, expected one of merge, .*, orthogonalize$"):
        call("layernorm")


def test_a_result_in_place_of_a_function_is_refused():
    with pytest.raises(TypeError, match=r"^check: 3.0, expected a function; write check\('softmax', my_function\)"):
        exercises.check("softmax", 3.0)


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match=r"^language: 'de', expected one of en, zh$"):
        exercises.check("softmax", np.exp, language="de")
