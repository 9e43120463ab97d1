"""The bug lab as a learner meets it: what start, answer, hint and solution say, in English and in Chinese."""

import inspect
import re

import pytest

from minigpt.study.exercises import bugs, progress
from minigpt.study.exercises.bugs.chinese import CHINESE
from minigpt.study.exercises.bugs.fault import FIX
from minigpt.study.exercises.bugs.lab import FAULTS, KINDS, NUMBERED
from sentences import assert_chinese, assert_translated, templates

FOLDER = "study/exercises/bugs"


@pytest.fixture(autouse=True)
def nothing_solved(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")


def number_of(name):
    return 1 + NUMBERED.index(FAULTS[name])


def said(capsys, function, *arguments, **options):
    function(*arguments, **options)
    return capsys.readouterr().out


def test_start_hands_over_the_bug_of_a_number_or_the_first_that_is_not_solved(capsys):
    run = bugs.start(7)
    assert capsys.readouterr().out.startswith("Bug 7 of 20, 0 solved: a training run with one fault.")
    assert repr(run) == "<bug 7: 7,920 parameters, 0 steps>"
    assert bugs.start().number == 1
    bugs.name(1, NUMBERED[0].name)
    for number in (2, 4):
        progress.remember(NUMBERED[number - 1].name)
    assert bugs.start().number == 3
    assert "Bug 3 of 20, 3 solved" in capsys.readouterr().out
    bugs.start_over(2)
    assert bugs.start().number == 2
    for fault in NUMBERED:
        progress.remember(fault.name)
    assert bugs.start().number == 1
    bugs.start_over()
    assert bugs.start().number == 1
    assert progress.done() == set()


@pytest.mark.parametrize("number", [0, 21, 1.0, "1", True])
def test_a_number_that_no_bug_has_is_refused(number):
    for function in (bugs.start, bugs.hint, bugs.solution, bugs.start_over, lambda number: bugs.name(number, "mask")):
        with pytest.raises((ValueError, TypeError), match=r"number: .* from 1|bugs 1 to 20"):
            function(number)


def test_choices_lists_every_kind_and_fault_and_nothing_of_the_run(capsys):
    one, other = (said(capsys, bugs.Bug(number).choices) for number in (1, 2))
    assert one == other == said(capsys, bugs.choices)
    for fault in FAULTS.values():
        assert f"  {fault.name:28}{fault.words}\n" in one
    for kind in KINDS:
        assert f"\n{kind}: " in f"\n{one}"


def test_the_right_kind_leads_to_its_faults(capsys):
    text = said(capsys, bugs.name, number_of("scale_missing"), "mask")
    assert "the kind is right, mask. Which of these is it?" in text
    named = [name for name in FAULTS if name in text]
    assert named == [name for name, fault in FAULTS.items() if fault.kind == "mask"]


def test_a_wrong_kind_is_told_what_one_measurement_shows_and_the_same_one_when_it_is_named_again(capsys):
    number = number_of("scale_missing")
    text = said(capsys, bugs.name, number, "data")
    assert text.startswith(f"Bug {number}: its kind is not data.")
    assert [fault.name for fault in FAULTS.values() if fault.shown_by.question in text] == ["targets_not_shifted"]
    assert text.endswith("a right run has 1, this one has 1.\n")
    assert said(capsys, bugs.name, number, "data") == text
    other = said(capsys, bugs.name, number_of("gradient_not_zeroed"), "mask")
    assert "a right run has 0, 0, this one has 0, 0." in other


def test_what_a_fault_changes_elsewhere_is_called_so(capsys, monkeypatch):
    fault = FAULTS["targets_not_shifted"]
    monkeypatch.setattr(bugs.lab, "_shown", lambda measured, which: "1" if which is None else "2")
    text = said(capsys, bugs.name, number_of(fault.name), "mask")
    assert text.endswith("a right run has 1, this one has 2.\nThat differs because of the fault, but is not where it lies.\n")


def test_a_wrong_fault_is_told_what_it_would_show_and_what_is_shown_here(capsys):
    text = said(capsys, bugs.name, number_of("targets_not_shifted"), "scale_missing")
    assert "it is not scale_missing. That would show in what the products of queries and keys are multiplied by:" in text
    assert "a right run has 0.354, one with scale_missing has 1, this one has 0.354." in text
    text = said(capsys, bugs.name, number_of("tied_gradient_dropped"), "layernorm_mean_missing")
    assert "one with layernorm_mean_missing has 26: h.1.mlp.c_proj.weight, …, this one has 1: wte.weight, …." in text


def test_the_right_answer_tells_what_every_measurement_shows_and_is_remembered(capsys):
    run = bugs.Bug(number_of("positions_restart"))
    text = said(capsys, run.answer, "positions_restart")
    fault = FAULTS["positions_restart"]
    assert text.startswith(f"Bug {run.number}: right, {fault.words}.\n{fault.effect}\n")
    questions = {other.shown_by.question for other in FAULTS.values()}
    rows = [line for line in text.splitlines() if line.endswith(tuple(f" {question}" for question in questions))]
    assert len(rows) == len(questions)
    assert [line.split()[:3] for line in rows if "≠" in line] == [["32", "16", "≠"]]
    assert progress.done() == {"positions_restart"}


@pytest.mark.parametrize("what, close", [("maks", "write 'mask'"), ("scale_mising", "write 'scale_missing'"),
                                         ("", "the kinds are data, mask"), (3, "the kinds are data, mask")])
def test_an_answer_that_is_no_choice_names_the_nearest(what, close):
    with pytest.raises(ValueError, match=close):
        bugs.name(1, what)
    assert progress.done() == set()


def test_hints_lead_from_what_is_seen_to_the_measurement(capsys):
    run, fault = bugs.Bug(3), NUMBERED[2]
    texts = [said(capsys, run.hint) for _ in range(4)]
    assert texts[:2] == [f"Bug 3, hint {i} of 3: {hint}\n" for i, hint in enumerate(fault.hints, 1)]
    assert fault.shown_by.question in texts[2]
    assert f"def {fault.shown_by.measure.__name__}(run: Run)" in texts[2]
    assert texts[3] == texts[0]
    assert all(name not in hint for other in FAULTS.values() for hint in other.hints for name in FAULTS)


def test_hints_begin_anew_with_a_new_start_and_never_with_the_last(capsys):
    for fault in NUMBERED:
        number = number_of(fault.name)
        for trained in (0, 300):
            bugs.hint(number)
            run = bugs.start(number)
            run.optimizer.t = trained
            capsys.readouterr()
            texts = [said(capsys, run.hint) for _ in range(3)]
            assert texts[0].startswith(f"Bug {number}, hint {2 if trained and fault.steps else 1} of 3: "), fault.name
            assert texts[2].startswith(f"Bug {number}, hint 3 of 3: measure ")


def test_a_hint_that_asks_for_training_says_how_much_and_so_does_its_fault():
    for fault in FAULTS.values():
        asked = re.search(r"Train (\d+) steps", fault.hints[0])
        assert fault.steps == (int(asked[1]) if asked else 0), fault.name


def test_the_right_answer_counts_hints_and_wrong_answers(capsys):
    run = bugs.start(number_of("rows_scrambled"))
    run.hint()
    for what in ("mask", "data", "targets_not_shifted"):
        run.answer(what)
    capsys.readouterr()
    assert "\nHints: 1, wrong answers: 2. bugs.solution(" in said(capsys, run.answer, "rows_scrambled")


def test_the_solution_shows_the_planted_line_above_the_right_one_and_where_it_stands(capsys):
    text = said(capsys, bugs.Bug(number_of("scale_missing")).solution)
    assert "is scale_missing, of the kind mask: attention's scores lack the factor 1/√D." in text
    assert "−     return attention_forward(q, k, v, s, scale=1.0)\n+     return attention_forward(q, k, v, s)\n" in text
    lines, _ = inspect.getsourcelines(bugs.lab.mask)
    place = next(line for line in text.splitlines() if line.startswith("minigpt/study/exercises/bugs/mask.py, line "))
    assert "def scale_missing(" in lines[int(place.split("line ")[1].split(",")[0]) - 1]
    missing = said(capsys, bugs.solution, number_of("tied_gradient_dropped"))
    assert '+     s.grads.add_product("weight", rows(dlogits).T, rows(s.acts["h"]))\n      return dlogits @' in missing
    assert not FIX.search(text + missing)


def test_nothing_that_the_lab_says_lacks_its_chinese():
    sentences = templates(f"{FOLDER}/lab.py", f"{FOLDER}/run.py") | dict.fromkeys(KINDS.values(), "KINDS")
    for fault in FAULTS.values():
        sentences |= dict.fromkeys((fault.words, fault.effect, *fault.hints, fault.shown_by.question), fault.name)
    assert_translated(CHINESE, sentences)


def test_with_the_language_asked_for_or_of_the_locale_all_is_chinese(capsys, monkeypatch):
    run = bugs.start(number_of("rows_scrambled"), language="zh")
    for what in ("optimizer", "data", "clip_each_array", "rows_scrambled"):
        run.answer(what)
    run.hint()
    run.hint()
    run.choices()
    run.train(2)
    text = capsys.readouterr().out
    assert_chinese(text)
    assert "第 4 个故障：答对了" in text
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert said(capsys, bugs.choices) in text
    assert said(capsys, bugs.choices, language="en").startswith("data: which windows of the text a step reads")
