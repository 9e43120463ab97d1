"""The tasks' splits share nothing, their answers are right, and the baselines know what they can know."""

import datetime
import re

import numpy as np
import pytest

from minigpt.training import tasks
from minigpt.training.tasks import Task, accuracy, bag_of_words, majority
from play import play


@pytest.fixture(scope="module")
def speakers(tmp_path_factory):
    path = tmp_path_factory.mktemp("play") / "play.txt"
    path.write_text(play(), encoding="utf-8")
    return tasks.speakers(path)


@pytest.fixture(scope="module")
def chapters():
    return tasks.chapters()


@pytest.fixture(params=["chapters", "dates", "speakers"])
def task(request):
    return tasks.dates() if request.param == "dates" else request.getfixturevalue(request.param)


def test_no_question_is_in_two_splits_and_none_is_empty(task):
    parts = [{x for x, _ in part} for part in (task.train, task.validation, task.test)]
    assert min(map(len, parts)) >= 50
    assert len(set.union(*parts)) == sum(map(len, parts))


def test_every_label_is_learned_and_tested(task):
    for part in (task.train, task.test):
        assert task.labels is None or {y for _, y in part} == set(task.labels)


def test_the_same_seed_splits_the_same_way_and_another_does_not(chapters):
    assert tasks.chapters() == chapters
    assert tasks.chapters(seed=1).test != chapters.test


def test_no_paragraph_of_the_documentation_is_in_two_splits(chapters):
    from pydoc_data.topics import topics

    split = {x: i for i, part in enumerate((chapters.train, chapters.validation, chapters.test)) for x, _ in part}
    paragraphs = re.split(r"\n\s*\n", topics["typesseq"])
    found = [{split[line.strip()] for line in paragraph.split("\n") if line.strip() in split} for paragraph in paragraphs]
    assert sum(len(splits) == 1 for splits in found) > 50
    # a line that an earlier paragraph has too may have been drawn with that one
    assert sum(len(splits) > 1 for splits in found) <= 3


def test_no_speech_is_in_two_splits(speakers):
    split = {}
    for i, part in enumerate((speakers.train, speakers.validation, speakers.test)):
        for x, _ in part:
            split.setdefault(re.search(r"\d+", x)[0], set()).add(i)
    assert max(map(len, split.values())) == 1


def test_the_speakers_lines_are_of_the_last_tenth_and_of_six_names(speakers):
    numbers = [int(re.search(r"\d+", x)[0]) for part in (speakers.train, speakers.validation, speakers.test) for x, _ in part]
    assert min(numbers) >= 3590
    assert len(speakers.labels) == 6


def test_a_play_with_too_few_speakers_is_refused(tmp_path):
    (tmp_path / "play.txt").write_text(play(3), encoding="utf-8")
    with pytest.raises(ValueError, match="3 speakers in its last tenth, expected 6 or more"):
        tasks.speakers(tmp_path / "play.txt")


def test_no_date_is_in_two_splits():
    task = tasks.dates(3000, 500, 500)
    answers = [y for part in (task.train, task.validation, task.test) for _, y in part]
    assert len(set(answers)) == len(answers) == 4000


@pytest.mark.parametrize(("year", "words"), [
    (1900, "nineteen hundred"), (1905, "nineteen oh five"), (1912, "nineteen twelve"), (1940, "nineteen forty"),
    (1999, "nineteen ninety-nine"), (2000, "two thousand"), (2007, "two thousand and seven"), (2010, "twenty ten"),
    (2021, "twenty twenty-one"), (2099, "twenty ninety-nine"),
])
def test_years_in_words(year, words):
    assert tasks.year_in_words(year) == words


@pytest.mark.parametrize(("n", "digits", "words"), [
    (1, "1st", "first"), (2, "2nd", "second"), (3, "3rd", "third"), (11, "11th", "eleventh"), (12, "12th", "twelfth"),
    (13, "13th", "thirteenth"), (20, "20th", "twentieth"), (21, "21st", "twenty-first"), (30, "30th", "thirtieth"),
    (31, "31st", "thirty-first"),
])
def test_ordinals(n, digits, words):
    assert (tasks.ordinal(n), tasks.ordinal_in_words(n)) == (digits, words)


def test_a_date_is_worded_in_every_way():
    rng, date = np.random.default_rng(0), datetime.date(1999, 12, 3)
    found = {tasks.wording(date, rng) for _ in range(2000)}
    for expected in ("the third of December 1999", "December the 3rd, nineteen ninety-nine", "3 December 1999",
                     "the third of the 12th, 1999", "3.12.1999"):
        assert expected in found
    assert len(found) == 4 + 4 + 2 + 8 + 1


def test_no_two_dates_are_worded_the_same():
    rng = np.random.default_rng(1)
    meant = {}
    for day in range(datetime.date(1900, 1, 1).toordinal(), datetime.date(2100, 1, 1).toordinal()):
        date = datetime.date.fromordinal(day)
        assert meant.setdefault(tasks.wording(date, rng), date) == date


# Baselines


def toy(pairs, test, labels=("x", "y")):
    return Task("toy", "", pairs, [], test, labels)


def test_the_majority_answers_the_commonest_whatever_is_asked():
    task = toy([("a", "x"), ("b", "y"), ("c", "y")], [("a", "x"), ("b", "y")])
    assert majority(task) == ["y", "y"]
    assert accuracy(majority(task), task.test) == 0.5


def test_a_bag_of_words_learns_which_word_means_what():
    rng = np.random.default_rng(0)

    def draw(n):
        pairs = []
        for _ in range(n):
            y = ("x", "y")[rng.integers(2)]
            words = [*rng.choice(["and", "then", "so", "thus"], 4), {"x": "sun", "y": "rain"}[y]]
            pairs.append((" ".join(rng.permutation(words)), y))
        return pairs

    task = toy(draw(60), draw(40))
    assert accuracy(bag_of_words(task), task.test) == 1


def test_a_bag_of_words_is_blind_to_order():
    task = toy([("dog bites man", "x"), ("man bites dog", "y")] * 5, [("dog bites man", "x"), ("man bites dog", "y")])
    first, second = bag_of_words(task)
    assert first == second


def test_a_bag_of_words_answers_a_text_character_by_character():
    pairs = [(f"{a} and {b}", f"{i}{j}") for i, a in enumerate(("no", "one", "two")) for j, b in enumerate(("red", "blue"))]
    task = toy(pairs * 2, pairs, None)
    assert bag_of_words(task) == [y for _, y in pairs]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")       # the overflow itself
def test_a_bag_of_words_that_diverges_is_refused():
    with pytest.raises(FloatingPointError, match="bag_of_words: its scores are not finite, expected numbers; lower lr"):
        bag_of_words(toy([("a a", "x"), ("b b", "y")] * 3, [("a", "x"), ("b", "y")]), lr=1e38)


def test_a_task_of_wrong_types_lists_every_bad_field():
    with pytest.raises(TypeError, match=r"Task: name 5, expected a text; train .*, expected pairs of texts; test .*labels 'x'"):
        Task(5, "", [("a", 1)], [], None, "x")
