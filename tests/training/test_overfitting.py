"""Overfitting is noticed, once, and nothing else is taken for it."""

import pytest

from minigpt.training.overfitting import Watch

UP = [(3.0, 3.1), (2.0, 2.5), (1.5, 2.6), (1.0, 2.8)]       # (training, validation) at each evaluation


def spoken(evaluations, watch, first=1):
    """The evaluations, counted from `first`, at which the watch speaks; each is of two steps."""
    found = []
    for i, (train, val) in enumerate(evaluations, first):
        assert watch.add(2 * i - 1, train + 0.25, None) is None
        if watch.add(2 * i, train - 0.25, val):
            found.append(i)
    return found


@pytest.mark.parametrize(("evaluations", "expected"), [
    (UP, [4]),
    ([*UP, (0.8, 3.0), (0.6, 3.5)], [4]),                               # once
    ([(3.0, 3.1), (2.0, 2.5), (1.5, 2.6), (1.0, 2.6)], []),             # it does not rise on
    ([(3.0, 3.1), (2.0, 2.5), (1.5, 2.501), (1.0, 2.502)], []),         # by less than a hundredth
    ([(3.0, 3.1), (2.0, 2.5), (2.2, 2.6), (2.4, 2.8)], []),             # training rises too: the learning rate is too high
    ([(3.0, 3.1), (2.0, 2.5), (1.5, 2.6), (1.0, 2.4)], []),             # one bad evaluation
    ([*UP, (0.8, 2.4), (0.6, 2.5), (0.5, 2.6)], [4, 7]),                # it was wrong, and is right later
    ([(3.0, 3.1)] * 18 + [(2.0, 2.5), (1.5, 2.6), (1.0, 2.8)], []),     # a few steps of many: losses go up and down
    ([(3.0, 3.1)], []),
    ([(3.0, 3.1), (2.0, 3.2)], []),
])
def test_it_speaks_when_validation_rises_while_training_falls(evaluations, expected):
    assert spoken(evaluations, Watch()) == expected


def test_the_rows_of_an_earlier_sitting_count_and_what_was_said_then_is_not_said_again():
    rows = [{"step": 2 * i - 1 + k, "train_loss": train + 0.25 - k / 2, "val_loss": val if k else None}
            for i, (train, val) in enumerate(UP, 1) for k in (0, 1)]
    assert spoken([(0.9, 2.9)], Watch(rows), first=5) == []
    assert spoken([(0.9, 2.9)], Watch(rows[:6]), first=4) == [4]


def test_the_sentence_says_since_when_and_by_how_much():
    watch = Watch()
    for step, (train, val) in enumerate(UP, 1):
        sentence = watch.add(step, train, val)
    assert sentence.startswith("since step 2 the validation loss has risen, 2.500 to 2.800, while the training loss fell, "
                               "2.000 to 1.000")
