"""Texts longer than memory: the tokenizers and ids of short ones, made once, resumed, in the same memory whatever the size."""

import codecs
import copy
import gc
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minigpt.config import GPTConfig
from minigpt.models.gpt import GPT
from minigpt.system.files import LockedError
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.training import long_texts, texts, token_files
from minigpt.training.corpora import fingerprint, split, spread
from minigpt.training.documents import paths_of, paths_of_source, shown_source, source_of_paths
from minigpt.training.long_texts import LongText
from minigpt.training.recipe import Recipe
from minigpt.training.texts import ShortText, open_text, read_ids
from minigpt.training.token_files import TextChanged, TokenFile
from minigpt.training.trainer import Trainer

BPE = Tokenizer.train("low lower lowest said that", 262, ["<|endoftext|>"])
PROSE = "It's said that 42 low, lower, lowest clouds … don't rain?\n\n日本語の文章。 Naïve 👍🏽 café\n"


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch, tmp_path):
    """Every text is long, a job has two parts, and no other process helps."""
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(texts, "IN_MEMORY", 0)
    monkeypatch.setattr(long_texts, "PART", 50)
    monkeypatch.setattr(long_texts, "STRETCH", 100)
    monkeypatch.setattr(long_texts, "cpu_count", lambda: 1)
    monkeypatch.setattr(token_files, "SAVE_EVERY", 2)
    monkeypatch.setattr(long_texts, "NOTE_EVERY", 2)


@pytest.fixture
def files(tmp_path):
    """Three texts"""
    made = []
    for i, text in enumerate((PROSE * 9, "\ufeffone\r\ntwo\r" * 9, PROSE.upper() + "no line end")):
        made.append(str(tmp_path / f"{i}.txt"))
        (tmp_path / f"{i}.txt").write_bytes(text.encode())
    return made


def in_memory(sources, monkeypatch, keep_bytes=False):
    monkeypatch.setattr(texts, "IN_MEMORY", 1 << 23)
    text, _ = open_text(sources, keep_bytes)
    monkeypatch.setattr(texts, "IN_MEMORY", 0)
    assert isinstance(text, ShortText)
    return text


@pytest.mark.filterwarnings("ignore:vocab_size")            # the texts are small
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("keep_bytes", [False, True])
def test_a_long_text_has_the_tokenizers_and_the_ids_of_a_short_one(files, monkeypatch, several, keep_bytes):
    sources = files if several else files[1:2]
    long, short = open_text(sources, keep_bytes)[0], in_memory(sources, monkeypatch, keep_bytes)
    assert isinstance(long, LongText) and long.name == short.name
    for learn in (lambda text: text.characters(), lambda text: text.bpe(None), lambda text: text.bpe(258 + several)):
        tokenizer = learn(short)
        assert learn(long) == tokenizer
        ids = long.ids(tokenizer)
        assert isinstance(ids, TokenFile) and np.asarray(ids).dtype == np.uint16
        assert np.asarray(ids).tolist() == short.ids(tokenizer).tolist()
    assert ("9 line ends" in long.changes) is not keep_bytes


@pytest.mark.filterwarnings("ignore:vocab_size")
def test_between_two_files_is_the_end_of_text_token_or_an_empty_line(files):
    for tokenizer in (BPE, open_text(files)[0].bpe(None), open_text(files)[0].characters()):
        ids = np.asarray(open_text(files)[0].ids(tokenizer)).tolist()
        between = [tokenizer.special_tokens["<|endoftext|>"]] if tokenizer.special_tokens else tokenizer.encode("\n\n")
        documents = [tokenizer.encode_array(read).tolist()
                     for read in (PROSE * 9, "one\ntwo\n" + "\ufeffone\ntwo\n" * 8, PROSE.upper() + "no line end")]
        assert ids == documents[0] + between + documents[1] + between + documents[2]


def test_ids_are_made_once_and_again_when_a_byte_or_the_tokenizer_is_another(files, monkeypatch):
    tokenizer = BPE
    first = open_text(files)[0].ids(tokenizer)
    with monkeypatch.context() as m:
        m.setattr(LongText, "_work", lambda *args: pytest.fail("made again"))
        assert open_text(files)[0].ids(tokenizer).fingerprint == first.fingerprint == fingerprint(first)
    stat = os.stat(files[0])
    with open(files[0], "r+b") as file:
        file.write(b"X")
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))         # of the same size and date as before
    changed = open_text(files)[0].ids(tokenizer)
    others = {first.fingerprint, changed.fingerprint, open_text(files[:2])[0].fingerprint(tokenizer),
              open_text(files[::-1])[0].fingerprint(tokenizer), open_text(files)[0].fingerprint(Tokenizer()),
              open_text(files, keep_bytes=True)[0].fingerprint(tokenizer)}
    assert len(others) == 6
    assert np.asarray(changed)[0] != np.asarray(first)[0]


class Killed(BaseException):
    """Nobody expects it"""


def until(work, stop, done):
    """LongText._work, killed at a job"""
    def stopping(self, make_work, setup, jobs, first, what):
        for i, result in enumerate(work(self, make_work, setup, jobs, first, what), start=first):
            if i == stop:
                raise Killed
            done.append(i)
            yield result
    return stopping


@pytest.mark.parametrize("after", [0, 3, 6])
def test_a_killed_process_leaves_no_whole_file_and_the_next_goes_on_from_its_note(files, monkeypatch, after):
    whole = np.asarray(open_text(files)[0].ids(BPE)).tolist()
    path = open_text(files)[0].ids(BPE).path
    path.unlink()
    done, work = [], LongText._work
    monkeypatch.setattr(LongText, "_work", until(work, after, done))
    with pytest.raises(Killed):
        open_text(files)[0].ids(BPE)
    assert not path.exists()
    n_first = len(done)
    monkeypatch.setattr(LongText, "_work", until(work, -1, done))
    assert np.asarray(open_text(files)[0].ids(BPE)).tolist() == whole
    assert done[n_first:] == list(range(after // 2 * 2, done[-1] + 1))
    assert {p.suffix for p in path.parent.glob(f"{path.stem}.*")} == {".bin", ".json", ".lock"}


def test_counting_goes_on_from_its_note_too(files, monkeypatch):
    for i, learn in enumerate((lambda text: text.characters(), lambda text: text.bpe(259))):
        texts_ = [open_text(files)[0], open_text(files[:2])[0]]
        expected = [learn(text) for text in texts_]
        for learned in token_files.token_folder().glob("learned-*"):
            learned.unlink()
        done, work = [], LongText._work
        with monkeypatch.context() as m:
            m.setattr(LongText, "_work", until(work, 5, done))
            with pytest.raises(Killed):
                learn(texts_[0])
            m.setattr(LongText, "_work", until(work, -1, done))
            assert [learn(text) for text in texts_] == expected, i
        assert done[5] == 4 and not list(token_files.token_folder().glob("*.part"))


def test_who_needs_what_another_process_makes_waits_and_says_so(files, monkeypatch, capsys):
    real = token_files.lock

    def lock(path, timeout=0.0):
        if timeout == 0:
            raise LockedError(f"{path}: locked by process 7")
        return real(path, timeout)

    monkeypatch.setattr(token_files, "lock", lock)
    open_text(files)[0].ids(BPE)
    assert capsys.readouterr().err.startswith("waiting: ")


def test_a_damaged_note_or_a_short_part_begins_anew(files):
    tokenizer = BPE
    ids = open_text(files)[0].ids(tokenizer)
    whole, path = np.asarray(ids).tolist(), ids.path
    for note in (b"", b"[]", b'{"jobs": 3}', b'{"jobs": 3, "bytes": 1000000}', b'{"jobs": -1, "bytes": 2}'):
        path.unlink()
        path.with_suffix(".part").write_bytes(b"1234")
        path.with_suffix(".json").write_bytes(note)
        assert np.asarray(open_text(files)[0].ids(tokenizer)).tolist() == whole, note


@pytest.mark.parametrize("number", [0, 2])
def test_a_file_that_changes_before_it_is_read_ends_the_work_at_once_and_leaves_nothing(files, monkeypatch, number):
    text, done = open_text(files)[0], []
    with open(files[number], "ab") as file:
        file.write(b"more")
    monkeypatch.setattr(LongText, "_work", until(LongText._work, -1, done))
    for make in (lambda: text.ids(BPE), text.characters):
        with pytest.raises(TextChanged, match=rf"{number}\.txt: changed while it was read"):
            make()
        assert len(done) == [path for path, _, _ in text._jobs()].index(files[number])
        done.clear()
    assert {p.suffix for p in token_files.token_folder().iterdir()} == {".lock"}


def test_what_is_damaged_in_the_cache_is_made_again(files):
    def made():
        text = open_text(files)[0]
        tokenizer = text.bpe(270)
        return tokenizer, np.asarray(text.ids(tokenizer)).tolist(), text.changes

    whole = made()
    for path in token_files.token_folder().glob("*.*"):
        for content in (b"{}", b'{"changes": [1], "tokenizer": {"type": "bpe"}}', path.read_bytes()[:-3]):
            if path.suffix != ".lock":
                path.write_bytes(content)
                assert made() == whole, (path.name, content)


def test_without_a_cache_folder_the_message_names_it_and_the_variable(files, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", files[0])
    with pytest.raises(OSError, match=r"0\.txt.tokens: .*expected a folder .*; set MINIGPT_CACHE"):
        open_text(files)[0].ids(BPE)


def peak_of(work):
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(long_texts, "PART", 2000)
    monkeypatch.setattr(long_texts, "STRETCH", 4000)
    tokenizer = Tokenizer.train(PROSE, 300)

    def read(n):
        path = tmp_path / f"{n}.txt"
        path.write_text(PROSE * n, encoding="utf-8")
        text = open_text([path])[0]
        text.characters()
        text.bpe(300)
        text.ids(tokenizer)

    read(100)       # what is loaded once
    small, large = peak_of(lambda: read(200)), peak_of(lambda: read(1600))
    assert large < 1.1 * small + 20_000          # the text has 160 kB more


def test_of_too_many_pieces_the_frequent_ones_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(long_texts, "MOST_PIECES", 30)
    path = tmp_path / "a.txt"
    path.write_text("".join(f"often {i:03} often\n" for i in range(300)), encoding="utf-8")
    tokenizer = open_text([path])[0].bpe(256 + 5)
    assert b"often" in [tokenizer.token_bytes(id) for id in range(256, 261)]


def test_patterns_stand_for_their_files_in_order_and_one_that_fits_none_is_refused(tmp_path):
    for name in ("b.txt", "a.txt", "[1].txt", "c.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / "d.txt").mkdir()
    found = paths_of([tmp_path / "c.md", tmp_path / "*.txt", tmp_path / "[1].txt"])
    assert [os.path.basename(path) for path in found] == ["c.md", "[1].txt", "a.txt", "b.txt", "[1].txt"]
    with pytest.raises(FileNotFoundError, match="no file fits this pattern"):
        paths_of([tmp_path / "*.rst"])


def test_a_run_notes_one_file_by_its_path_and_several_as_a_list(tmp_path):
    names = [str(tmp_path / name) for name in ("a\nb.txt", "[1].txt", "c.txt")]
    for paths in (names, names[:1], names[1:2]):
        assert paths_of_source(source_of_paths(paths)) == paths
    assert shown_source(source_of_paths(names[1:])) == f"{names[1]} and 1 more"
    assert paths_of_source("[draft].txt") == ["[draft].txt"]


def test_empty_files_among_others_are_left_out(tmp_path, monkeypatch):
    for name, content in (("a.txt", b"abc"), ("b.txt", b""), ("c.txt", b"def"), ("d.txt", codecs.BOM_UTF8)):
        (tmp_path / name).write_bytes(content)
    for text in (open_text([tmp_path / "*.txt"])[0], in_memory([tmp_path / "*.txt"], monkeypatch)):
        ids = text.ids(text.characters())
        assert text.characters().decode(np.asarray(ids).tolist()) == "abc\n\ndef"


def test_utf_16_and_folders_are_refused_as_in_short_texts(tmp_path):
    (tmp_path / "a.txt").write_bytes("a long text, ".encode("utf-16") * 20)
    with pytest.raises(ValueError, match="iconv -f UTF-16"):
        open_text([tmp_path / "a.txt"])
    with pytest.raises(IsADirectoryError):
        open_text([tmp_path / "a.txt", tmp_path])


def trainer_of(files, folder, ids=None, keep_bytes=False):
    text = open_text(files, keep_bytes)[0]
    tokenizer = text.characters()
    config = GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=8, n_embd=8, n_layer=1, n_head=1)
    recipe = Recipe(steps=2, eval_interval=2, batch_size=2, sample_tokens=0)
    return Trainer(GPT(config, 0, threads=1), tokenizer, text.ids(tokenizer) if ids is None else ids, recipe, folder, text.name,
                   quiet=True)


@pytest.mark.parametrize("keep_bytes", [False, True])
def test_a_run_on_a_token_file_is_that_on_its_array_and_resumes_from_its_files(files, tmp_path, keep_bytes):
    run = trainer_of(files, tmp_path / "run", keep_bytes=keep_bytes)
    ids = open_text(files, keep_bytes)[0].ids(run.tokenizer)
    array = trainer_of(files, tmp_path / "array", np.asarray(ids).copy(), keep_bytes)
    assert run.run() == array.run() == 0
    assert np.array_equal(run.model.flat_params, array.model.flat_params) and run.best["val_loss"] == array.best["val_loss"]
    for folder, known in ((tmp_path / "run", ids.fingerprint), (tmp_path / "array", fingerprint(np.asarray(ids)))):
        again = Trainer.resume(folder, steps=3, quiet=True)
        assert again.data_fingerprint == known and again.run() == 0


def test_a_run_refuses_a_long_text_that_changed_without_encoding_it(files, tmp_path, monkeypatch):
    run = trainer_of(files, tmp_path / "run")
    run.run()
    with open(files[0], "r+b") as file:
        file.write(b"X")
    monkeypatch.setattr(LongText, "ids", lambda *args: pytest.fail("encoded"))
    with pytest.raises(ValueError, match=r"0\.txt and 2 more.* changed since the checkpoint"):
        Trainer.resume(tmp_path / "run", quiet=True)


def test_an_evaluation_reads_stretches_from_everywhere():
    assert spread(np.arange(10), most=4, stretches=2).tolist() == [0, 1, 8, 9]
    ids = np.arange(1000)
    assert spread(ids, most=1000) is ids and len(spread(ids, most=640)) == 640
    assert np.all(np.isin(spread(split(ids)[1], 64), split(ids)[1]))


def test_a_run_on_files_finds_them_again_even_where_the_first_is_called_like_a_text_that_minigpt_knows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("python", "shakespeare"):
        (tmp_path / name).write_text(f"to {name}", encoding="utf-8")
    for sources in (["pyth*"], ["./python"], [Path("python")], ["python", "shakespeare"]):
        for most in (0, 1 << 23):           # long, short
            monkeypatch.setattr(texts, "IN_MEMORY", most)
            text, _ = open_text(sources)
            ids = text.ids(tokenizer := text.characters())
            again = np.asarray(read_ids(text.name, tokenizer, fingerprint(ids)))
            assert tokenizer.decode(again).startswith("to python") and str(tmp_path / "python") in text.name


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no file that is open")
def test_a_run_goes_on_when_its_token_file_is_deleted_and_copies_read_a_file_of_their_own(files, tmp_path):
    ids = open_text(files)[0].ids(BPE)
    copies, whole, n_open = copy.deepcopy(ids), np.asarray(ids).tolist(), len(os.listdir("/dev/fd"))
    ids.path.unlink()
    assert np.asarray(ids[3:9]).tolist() == np.asarray(copies[3:9]).tolist() == whole[3:9]
    del ids
    gc.collect()
    assert len(os.listdir("/dev/fd")) == n_open - 1
    assert np.asarray(copies).tolist() == whole


def test_a_token_file_is_an_array_that_reads_what_it_needs(files):
    text = open_text(files)[0]
    tokenizer = text.characters()
    ids = text.ids(tokenizer)
    assert isinstance(np.asarray(ids).base, np.memmap) and not np.asarray(ids).flags.writeable
    assert ids.max() == tokenizer.vocab_size - 1 and len(ids) == len(np.asarray(ids)) == ids.path.stat().st_size // 2
    assert read_ids(text.name, tokenizer, ids.fingerprint).fingerprint == ids.fingerprint
    assert isinstance(tokenizer, CharTokenizer) and json.dumps(tokenizer.state())
