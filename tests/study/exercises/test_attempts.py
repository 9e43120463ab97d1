"""What is said of the wrong attempts in attempts/, and of each slip that an exercise knows."""

import itertools
import re

import pytest

from attempts import ATTEMPTS
from learners import changed
from minigpt.study.exercises import TABLE
from minigpt.study.exercises.chinese import CHINESE
from minigpt.study.exercises.diagnosis import diagnose
from minigpt.study.exercises.exercise import equal
from minigpt.study.exercises.guesses import with_slips
from minigpt.study.exercises.running import drawn
from minigpt.system.language import translator
from sentences import assert_chinese

IN_CHINESE = translator("zh", CHINESE)


@pytest.mark.parametrize("name", TABLE)
def test_each_mistake_of_a_wrong_attempt_is_named_in_both_languages(name):
    for changes, *words in ATTEMPTS[name]:
        diagnosis = diagnose(TABLE[name], changed(name, *changes))
        said = "\n".join(diagnosis.problems)
        assert all(each in said for each in words), (changes, words, said)
        for problem in diagnosis.problems:
            if not re.match("[A-Z]\\w+Error", problem):         # Python's own words
                assert_chinese(IN_CHINESE(problem))
                assert re.search("[\u4e00-\u9fff]", IN_CHINESE(problem)), problem


def test_the_attempts_are_many_some_have_two_mistakes_and_none_is_left_without_a_name():
    rows = [row for rows in ATTEMPTS.values() for row in rows]
    assert len(rows) > 400
    assert sum(len(words) > 1 for _, *words in rows) > 25
    assert not any("differs from" in word for _, *words in rows for word in words)


@pytest.mark.parametrize("name", TABLE)
def test_each_slip_is_named_when_it_is_made_and_no_two_are_the_same(name):
    """The formula without slips is the truth, and each slip gives something of its own; so no right answer is called wrong."""
    exercise, inputs = TABLE[name], list(drawn(TABLE[name]))
    results = {"the truth": [with_slips(exercise, frozenset(), each) for each in inputs],
               **{key: [with_slips(exercise, frozenset({key}), each) for each in inputs] for key in exercise.slips}}
    for each, result in zip(inputs, results["the truth"], strict=True):
        truth = exercise.truth(**each)
        for output, value in zip(exercise.outputs, truth if isinstance(truth, tuple) else (truth,), strict=True):
            assert equal(result[output], value, exercise.tolerance), output
    for (one, a), (other, b) in itertools.combinations(results.items(), 2):
        words = [exercise.slips[key].words for key in (one, other) if key in exercise.slips]
        same = all(equal(x[output], y[output], exercise.tolerance)
                   for x, y in zip(a, b, strict=True) for output in exercise.outputs)
        assert not same or (len(words) == 2 and words[0] == words[1]), f"{one} = {other}"
    for key, slip in exercise.slips.items():
        def function(*arguments, key=key):
            return exercise.formula(frozenset({key}), *arguments)

        found = diagnose(exercise, function)
        assert slip.words in found.problems, (key, found.problems)
        assert slip.hint in found.hints, key
        assert slip.hint in range(1, len(exercise.hints) + 1), key
