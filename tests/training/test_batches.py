"""Corpora say which text they are; batches are the tokens and the ones after them, repeatable from a position alone."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from minigpt.training import corpora as data
from minigpt.training.batches import Batches, windows
from minigpt.training.corpora import Corpus, fingerprint, load_corpus, split

PLAY = b"First Citizen:\nBefore we proceed any further, hear me speak.\n"


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache folder and no network."""
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MINIGPT_OFFLINE", "1")
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def shakespeare(offline, monkeypatch):
    """PLAY in the cache in place of Tiny Shakespeare."""
    monkeypatch.setattr(data, "_SHAKESPEARE_SHA256", hashlib.sha256(PLAY).hexdigest())
    monkeypatch.setattr(data, "_SHAKESPEARE_SIZE", len(PLAY))
    (offline / "tinyshakespeare.txt").write_bytes(PLAY)


def bigrams(batch):
    """The (token, next token) pairs of a batch, in order."""
    inputs, targets = batch
    return list(zip(inputs.ravel().tolist(), targets.ravel().tolist(), strict=True))


# --- corpora


def test_shakespeare_comes_from_the_cache(shakespeare):
    corpus = load_corpus("shakespeare")
    assert corpus == Corpus(PLAY.decode(), "shakespeare", "Tiny Shakespeare, 61 characters of his plays.")


def test_no_source_means_shakespeare_where_it_can_be_had(shakespeare):
    assert load_corpus() == load_corpus("shakespeare")


def test_shakespeare_that_cannot_be_had_is_an_error_when_asked_for(offline):
    with pytest.raises(data.DownloadError, match=r"tinyshakespeare.txt: absent and MINIGPT_OFFLINE is set"):
        load_corpus("shakespeare")


def test_no_source_falls_back_to_the_language_reference(offline):
    corpus = load_corpus()
    assert (corpus.name, corpus.text) == ("python", load_corpus("python").text)


@pytest.mark.parametrize(
    "part",
    [
        "The language reference of Python",
        "in place of Tiny Shakespeare",
        "MINIGPT_OFFLINE is set",
        "--data FILE",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "tinyshakespeare.txt",
    ],
)
def test_the_note_of_the_fallback_says_what_why_and_how_to_change_it(offline, part):
    note = load_corpus().note
    assert part in note
    assert max(len(line) for line in note.splitlines() if os.sep not in line) < 80


def test_the_language_reference_is_long_and_about_python():
    text = load_corpus("python").text
    assert len(text) > 300_000
    assert 'The "assert" statement' in text


def test_the_language_reference_is_the_same_text_every_time():
    assert load_corpus("python").text == load_corpus("python").text


def test_a_file_is_read_as_people_mean_it_which_its_note_says_or_to_the_byte(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo \x1c\xcf\x83")
    assert load_corpus(path).text == "one\ntwo \x1cσ"
    assert load_corpus(path).note.endswith("a.txt, 10 characters. The byte order mark was left out, 1 line end \\r\\n became "
                                           "\\n; --keep-bytes keeps every byte.")
    assert load_corpus(path, keep_bytes=True).text == "\ufeffone\r\ntwo \x1cσ"


def test_a_file_is_named_in_its_corpus(tmp_path):
    (tmp_path / "a.txt").write_text("abc", encoding="utf-8")
    corpus = load_corpus(str(tmp_path / "a.txt"))
    assert (corpus.name, corpus.note) == (str(tmp_path / "a.txt"), f"The file {tmp_path / 'a.txt'}, 3 characters.")


def test_a_path_object_is_a_file_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").write_text("abc", encoding="utf-8")
    assert load_corpus(Path("python")).text == "abc"


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"a\.txt: 0 bytes, expected a text; give another file"):
        load_corpus(tmp_path / "a.txt")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.txt: no such file, expected a UTF-8 text; give a path, 'shakes"):
        load_corpus(tmp_path / "a.txt")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="a folder, expected a text file; name a file inside it"):
        load_corpus(tmp_path)


# --- split


def test_split_puts_the_end_aside():
    train, validation = split(np.arange(10))
    assert (train.tolist(), validation.tolist()) == (list(range(9)), [9])


def test_split_takes_a_fraction():
    assert [len(part) for part in split(np.arange(12), 0.5)] == [6, 6]


def test_split_makes_views():
    ids = np.arange(10, dtype=np.uint16)
    assert all(np.shares_memory(part, ids) for part in split(ids))


@pytest.mark.parametrize(("count", "fraction", "message"), [
    (0, 0.9, "ids: 0 tokens, expected at least 2, "), (1, 0.9, "ids: 1 token, expected at least 2, "),
    (9, 0.1, "ids: 9 tokens, expected at least 10, "), (9, 0.0, "fraction: 0.0, expected"), (9, 1.0, "fraction: 1.0, expected"),
    (9, -1, "fraction: -1, expected"), (9, np.nan, "fraction: nan, expected"),
])
def test_split_refuses_an_empty_part(count, fraction, message):
    with pytest.raises(ValueError, match=message):
        split(np.arange(count), fraction)


# --- batches

ORDERS = pytest.mark.parametrize("order", ["crops", "windows", "shifted"])


@ORDERS
@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64"])
def test_batches_are_int64_of_batch_size_by_context(order, dtype):
    batch = Batches(np.arange(50).astype(dtype), 5, 7, order=order).next()
    assert [(part.shape, part.dtype) for part in batch] == [((5, 7), np.int64)] * 2


@ORDERS
def test_targets_are_the_tokens_after_the_inputs(order):
    ids = np.random.default_rng(0).permutation(50)  # each token once, so that every token has one successor
    after = dict(zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True))
    batches = Batches(ids, 5, 7, order=order)
    for _ in range(20):
        assert all(after[token] == target for token, target in bigrams(batches.next()))


@ORDERS
def test_rows_are_consecutive_tokens(order):
    inputs, _ = Batches(np.arange(50), 5, 7, order=order).next()
    assert (np.diff(inputs) == 1).all()


@ORDERS
def test_the_same_seed_gives_the_same_batches(order):
    first, second = (Batches(np.arange(50), 5, 7, seed=3, order=order) for _ in range(2))
    assert [bigrams(first.next()) for _ in range(9)] == [bigrams(second.next()) for _ in range(9)]


@ORDERS
def test_another_seed_gives_other_batches(order):
    first, second = (Batches(np.arange(500), 5, 7, seed=seed, order=order) for seed in (0, 1))
    assert bigrams(first.next()) != bigrams(second.next())


@ORDERS
def test_successive_batches_differ(order):
    batches = Batches(np.arange(500), 5, 7, order=order)
    assert bigrams(batches.next()) != bigrams(batches.next())


@ORDERS
def test_the_position_is_the_whole_state(order):
    batches = Batches(np.arange(50), 5, 7, seed=3, order=order)
    whole = [bigrams(batches.next()) for _ in range(9)]
    resumed = Batches(np.arange(50), 5, 7, seed=3, order=order)
    resumed.position = 4
    assert [bigrams(resumed.next()) for _ in range(5)] == whole[4:]


@ORDERS
def test_the_position_can_be_set_back(order):
    batches = Batches(np.arange(50), 5, 7, order=order)
    whole = [bigrams(batches.next()) for _ in range(9)]
    batches.position = 0
    assert [bigrams(batches.next()) for _ in range(9)] == whole


@ORDERS
def test_the_position_counts_batches(order):
    batches = Batches(np.arange(50), 5, 7, order=order)
    for _ in range(3):
        batches.next()
    assert batches.position == 3


@ORDERS
def test_iterating_goes_on_from_the_position(order):
    batches, twin = (Batches(np.arange(50), 5, 7, order=order) for _ in range(2))
    twin.next()
    batches.position = 1
    for _, batch in zip(range(20), batches, strict=False):
        assert bigrams(batch) == bigrams(twin.next())


@ORDERS
def test_a_batch_belongs_to_its_caller(order):
    ids = np.arange(50)
    for part in Batches(ids, 5, 7, order=order).next():
        part[:] = -1
    assert (ids == np.arange(50)).all()


@ORDERS
def test_a_batch_does_not_depend_on_global_random_state(order):
    batches = Batches(np.arange(50), 5, 7, order=order)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    batches.next()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_crops_reach_the_first_and_the_last_token():
    batches = Batches(np.arange(12), 5, 3)
    seen = {pair for _ in range(50) for pair in bigrams(batches.next())}
    assert seen == {(token, token + 1) for token in range(11)}


def test_crops_are_drawn_from_the_seed_and_the_position():
    ids = np.arange(50)
    batches = Batches(ids, 5, 7, seed=3)
    batches.position = 6
    starts = np.random.default_rng([3, 6]).integers(0, 50 - 7, size=5)
    assert batches.next()[0][:, 0].tolist() == starts.tolist()


def test_a_text_of_one_context_and_one_target_has_one_crop():
    inputs, targets = Batches(np.arange(8), 2, 7).next()
    assert (inputs.tolist(), targets.tolist()) == ([list(range(7))] * 2, [list(range(1, 8))] * 2)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 12])
def test_each_epoch_visits_each_window_once(batch_size):
    ids, context = np.arange(3 + 5 * 4), 4  # 5 windows and 2 tokens over
    batches = Batches(ids, batch_size, context, order="windows")
    starts = np.concatenate([batches.next()[0][:, 0] for _ in range(30)])
    epochs = starts[: len(starts) // 5 * 5].reshape(-1, 5)
    assert (np.sort(epochs) == [0, 4, 8, 12, 16]).all()


def test_the_last_window_leaves_room_for_its_target():
    starts = Batches(np.arange(20), 6, 5, order="windows").next()[0][:, 0]
    assert sorted(starts.tolist()) == [0, 0, 5, 5, 10, 10]  # the window at 15 has no target for its last token


def test_each_epoch_has_another_order():
    batches = Batches(np.arange(12 * 5 + 1), 12, 5, order="windows")
    assert batches.next()[0].tolist() != batches.next()[0].tolist()


def test_an_epoch_in_windows_covers_every_target_once():
    targets = Batches(np.arange(12 * 5 + 1), 12, 5, order="windows").next()[1]
    assert sorted(targets.ravel().tolist()) == list(range(1, 61))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 12])
def test_shifted_windows_lie_side_by_side_in_an_epoch_and_elsewhere_in_the_next(batch_size):
    ids, context = np.arange(3 + 5 * 4), 4  # 4 windows, wherever they start
    batches = Batches(ids, batch_size, context, seed=1, order="shifted")
    starts = np.concatenate([batches.next()[0][:, 0] for _ in range(40)])
    epochs = np.sort(starts[: len(starts) // 4 * 4].reshape(-1, 4))
    assert (np.diff(epochs) == context).all()
    assert len(set(epochs[:, 0].tolist())) > 3
    assert epochs[:, 0].tolist() == [np.random.default_rng([1, n, 1]).integers(23 - 4 * 4) for n in range(len(epochs))]


@pytest.mark.parametrize("count", range(8, 25))
def test_shifted_windows_use_short_texts_as_well(count):
    batches = Batches(np.arange(count), 5, 7, order="shifted")
    targets = np.concatenate([batches.next()[1].ravel() for _ in range(90)])
    assert set(targets.tolist()) == set(range(1, count))


def test_batches_read_a_memory_mapped_file(tmp_path):
    np.arange(50, dtype=np.uint16).tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint16, "r")
    batch = Batches(mapped, 5, 7).next()
    assert type(batch[0]) is np.ndarray
    assert bigrams(batch) == bigrams(Batches(np.arange(50), 5, 7).next())


@pytest.mark.parametrize("make", [lambda ids: Batches(ids, 5, 7), lambda ids: next(windows(ids, 7, 5))])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_text_shorter_than_the_context_is_refused(make, count):
    with pytest.raises(
        ValueError, match=rf"ids: {count} tokens, expected at least 8 .*; use a longer text or a smaller"
    ):
        make(np.arange(count))


@pytest.mark.parametrize(
    "make", [lambda ids: Batches(ids, 5, 7), lambda ids: next(windows(ids, 7, 5)), split, fingerprint]
)
@pytest.mark.parametrize("ids", [np.zeros(50), np.zeros((5, 10), int), np.zeros(50, bool), np.int64(3)])
def test_something_other_than_a_row_of_integers_is_refused(make, ids):
    with pytest.raises(ValueError, match=r"ids: .* of shape .*, expected integers \(N,\); pass one row"):
        make(ids)


@pytest.mark.parametrize("make", [lambda b, t: Batches(range(50), b, t), lambda b, t: next(windows(range(50), t, b))])
@pytest.mark.parametrize(
    ("batch_size", "context", "name"), [(0, 7, "batch_size"), (5, 0, "context"), (-5, 7, "batch_size")]
)
def test_sizes_below_one_are_refused(make, batch_size, context, name):
    with pytest.raises(ValueError, match=f"{name}: -?[05], expected at least 1"):
        make(batch_size, context)


def test_a_size_that_is_no_integer_is_refused():
    with pytest.raises(TypeError):
        Batches(np.arange(50), 2.5, 7)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="order: 'random', expected 'crops', 'windows', 'shifted'"):
        Batches(np.arange(50), 5, 7, order="random")


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed: -1, expected an integer ≥ 0"):
        Batches(np.arange(50), 5, 7, seed=-1)


# --- windows


@pytest.mark.parametrize("count", range(6, 40))
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_every_token_but_the_first_is_a_target_once(count, batch_size):
    ids = np.arange(count, dtype=np.uint16)
    pairs = [pair for batch in windows(ids, 5, batch_size) for pair in bigrams(batch)]
    assert pairs == [(token, token + 1) for token in range(count - 1)]


def test_windows_come_in_batches_and_the_shorter_one_alone():
    shapes = [inputs.shape for inputs, _ in windows(np.arange(28), 5, 2)]
    assert shapes == [(2, 5), (2, 5), (1, 5), (1, 2)]


def test_a_text_of_whole_windows_has_no_shorter_one():
    assert [inputs.shape for inputs, _ in windows(np.arange(21), 5, 2)] == [(2, 5), (2, 5)]


def test_windows_are_int64_and_belong_to_the_caller():
    ids = np.arange(28)
    for batch in windows(ids, 5, 2):
        for part in batch:
            assert part.dtype == np.int64
            part[:] = -1
    assert (ids == np.arange(28)).all()


# --- fingerprint


def test_the_fingerprint_of_a_text_is_frozen():
    assert fingerprint("abc") == "ba7816bf8f01cfea"  # FIPS 180-2's example


def test_the_fingerprint_of_ids_is_frozen():
    assert (
        fingerprint(np.array([1, 2, 50256]))
        == hashlib.sha256(b"\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\x50\xc4\0\0\0\0\0\0").hexdigest()[:16]
    )


def test_the_fingerprint_does_not_depend_on_the_type_of_ids():
    ids = np.random.default_rng(0).integers(0, 50_257, 2_000_000)
    assert fingerprint(ids) == fingerprint(ids.astype(np.uint16)) == fingerprint(ids.astype(">i4"))


def test_one_changed_token_changes_the_fingerprint():
    ids = np.zeros(2_000_000, np.uint16)
    before = fingerprint(ids)
    ids[-1] = 1
    assert fingerprint(ids) != before
