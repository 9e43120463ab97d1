"""Where runs lie, and the command that samples from one."""

import os
import shlex
from pathlib import Path

import pytest

from minigpt.commands.runs import free_folder, name_of_text, newest, prompt_from, sampling_command


@pytest.mark.parametrize(("text", "prompt"), [
    ("First Citizen:\nBefore we proceed any further, hear me speak.\n", "First Citizen:"),
    ("Call me Ishmael. Some years ago, never mind how long", "Call me Ishmael. Some"),
    ("此开卷第一回也。作者自云：因曾历过一番梦幻之后，故将真事隐去，而借通灵之说，撰此", "此开卷第一回也。"),
    ("豫章故郡，洪都新府。星分翼轸，地接衡庐。襟三江而带五湖，控蛮荆而引瓯越。", "豫章故郡，"),
    ("Donaudampfschifffahrtsgesellschaftskapitän auf See", "Donaudampfschifffahrtsgesellschaftskapitän"),
    (60 * "道", 8 * "道"),
    ("Call me Ishmaelishmaelishmaelishmael", "Call me"),
    ("第一回 甄士隐梦幻识通灵 贾雨村风尘怀闺秀\n", "第一回 甄士隐梦幻识通灵 贾雨村风尘怀闺秀"),
    ("\ufeff\n\n  # The \"whole\" $PATH\n", "The"),                   # what a shell would read stays outside
    ("--- a\n* x\n12 % of them\n", "12"),
    ("“Well,” said he\n", "Well,"),
    ("It's 5 o'clock\r\n", "It's 5 o'clock"),
    ("\x1b[2Jtwo words", "2Jtwo words"),
    ("!!! ???\n\n…", ""),
    ("x\ny\n", ""),
    ("", ""),
])
def test_a_prompt_is_the_beginning_of_the_text_without_what_shells_read(text, prompt):
    assert prompt_from(text) == prompt
    assert prompt in text


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_the_command_reaches_the_model_whatever_the_folder_is_called():
    command = sampling_command(Path("my runs/the author's $1"), "道可道，非常道。\n")
    assert shlex.split(command)[1:] == ["-m", "minigpt", "generate", "--model", "my runs/the author's $1", "道可道，非常道。"]
    assert sampling_command(Path("out/run"), "?").endswith("generate --model out/run")


def test_a_run_is_named_after_its_text():
    for path, name in [
        ("/books/hongloumeng.txt", "hongloumeng"), ("红楼梦.utf8.txt", "红楼梦.utf8"), ("My Book .md", "My Book"),
        ("notes", "notes"), (".txt", "txt"), ("...", "text"), ("a\x1b[2J.txt", "a_[2J"), ("x" * 250 + ".txt", "x" * 60),
    ]:
        assert name_of_text(path) == name, path


def test_a_new_run_gets_a_folder_of_its_own_and_the_newest_one_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert newest() is None
    assert free_folder("a") == Path("out/a")
    for i, name in enumerate(("a", "b", "a-2")):
        Path("out", name).mkdir(parents=True)
        Path("out", name, "log.csv").touch()
        os.utime(Path("out", name, "log.csv"), (1000 + i, 1000 + i))
    Path("out/c").mkdir()
    Path("out/b/config.json").touch()
    assert free_folder("a") == Path("out/a-3")
    assert free_folder("c") == Path("out/c")            # empty
    assert newest() == Path("out/a-2")
    assert newest(holding="config.json") == Path("out/b")


def test_a_file_in_the_place_of_a_runs_folder_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "play").write_text("", encoding="utf-8")
    assert free_folder("play") == Path("out/play-2")
