"""The exercises: right answers pass, and every mistake that one claims to recognise is named when a learner makes it."""

import numpy as np
import pytest

from learners import LEARNERS, PLANTED, changed
from minigpt.study import exercises
from minigpt.study.exercises import TABLE, diagnosis


@pytest.mark.parametrize("name", TABLE)
def test_a_right_answer_in_plain_numpy_passes(name, capsys):
    result = exercises.check(name, LEARNERS[name])
    assert result, result.message
    assert result.message.startswith(f"{name}: right. ")
    assert capsys.readouterr().out == result.message + "\n"


@pytest.mark.parametrize("name", TABLE)
def test_the_solution_passes(name):
    assert exercises.check(name, lambda *inputs: TABLE[name].truth(**dict(zip(TABLE[name].inputs, inputs, strict=True))))


@pytest.mark.parametrize("name, changes, words", PLANTED, ids=[f"{name}, {words}" for name, _, words in PLANTED])
def test_a_mistake_is_named(name, changes, words):
    result = exercises.check(name, changed(name, *changes))
    assert not result
    assert words in result.message


@pytest.mark.parametrize("name", TABLE)
def test_every_mistake_that_is_claimed_is_planted(name):
    seen = []
    for other, changes, _ in PLANTED:
        if other == name:
            function = changed(name, *changes)
            inputs = [TABLE[name].draw(np.random.default_rng(i), *size) for i, size in enumerate(diagnosis.SIZES)]
            seen.append([diagnosis._try(TABLE[name], function, x, set()) for x in inputs])
    for mistake in TABLE[name].mistakes:
        for i, formula in enumerate(mistake.formulas):
            assert any(diagnosis.matches(formula, mistake.output, trials) for trials in seen), f"{mistake.words}, formula {i}"
