"""Hugging Face's cache is read only within the repository's folder, and a user without a home folder is no obstacle."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from minigpt import GPT
from minigpt.commands import generate
from minigpt.training.corpora import load_corpus
from minigpt.weights.cache import cache_folder, hugging_face_cache, hugging_face_snapshot
from minigpt.weights.sources import has_weights

VARIABLES = ("MINIGPT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME")
FILES = ("config.json", "model.safetensors")
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only some users make symbolic links")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The folder of a repository as huggingface_hub makes it: links in a snapshot lead to blobs."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--someone--model"
    for name in ("refs", "blobs", "snapshots/0123abc"):
        (folder / name).mkdir(parents=True)
    (folder / "refs" / "main").write_text("0123abc", encoding="ascii")
    for name in FILES:
        (folder / "blobs" / name).write_bytes(b"{}")
        link_or_copy(folder / "snapshots/0123abc" / name, Path("../../blobs", name))
    return folder


def link_or_copy(path, target):
    if sys.platform == "win32":
        path.write_bytes((path.parent / target).read_bytes())
    else:
        path.symlink_to(target)


def found():
    return hugging_face_snapshot("someone/model", has_weights)


def test_links_to_the_repositorys_own_blobs_are_followed(repository):
    assert found() == repository / "snapshots" / "0123abc"


@needs_links
def test_a_repository_that_is_itself_a_link_is_used(repository, tmp_path):
    repository.rename(tmp_path / "on another disk")
    repository.symlink_to(tmp_path / "on another disk")
    assert found() == repository / "snapshots" / "0123abc"


@pytest.mark.parametrize("named", ["../../../outside", "/outside", "..", ".", "0123abc/../../../../outside", "", "0123\x1b",
                                   "g" * 40, "é", "a" * 10_000_000])
def test_a_reference_that_names_no_commit_leads_nowhere(repository, tmp_path, named):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in FILES:
        (outside / name).write_bytes(b"{}")
        (repository / "snapshots" / name).write_bytes(b"{}")
        (repository / name).write_bytes(b"{}")
    text = named if named != "/outside" else str(outside)
    (repository / "refs" / "main").write_text(text, encoding="latin-1")
    assert found() is None


@needs_links
@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json"])
def test_a_snapshot_with_a_link_out_of_the_repository_is_passed_over(repository, tmp_path, name):
    outside = tmp_path / "secret"
    outside.write_bytes(b"{}")
    link = repository / "snapshots/0123abc" / name
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    assert found() is None


@needs_links
def test_a_snapshot_that_is_a_link_out_of_the_repository_is_passed_over(repository, tmp_path):
    snapshot = repository / "snapshots/0123abc"
    for name in FILES:
        (snapshot / name).unlink()
        (tmp_path / name).write_bytes(b"{}")
    snapshot.rmdir()
    snapshot.symlink_to(tmp_path)
    assert found() is None


@needs_links
def test_links_in_a_circle_are_passed_over(repository):
    (repository / "snapshots/0123abc" / "merges.txt").symlink_to("merges.txt")
    (repository / "refs" / "main").unlink()
    (repository / "refs" / "main").symlink_to("main")
    assert found() is None
    hugging_face_snapshot("someone/model", has_weights, "0123abc")        # some versions of Python resolve it, others raise


# --- no home folder


def homeless(monkeypatch):
    """As under a user id that has no entry among the system's users"""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: os.fspath(path))
    monkeypatch.setenv("MINIGPT_OFFLINE", "1")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_without_a_home_folder_files_are_kept_among_the_temporary_ones(monkeypatch, platform):
    homeless(monkeypatch)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(tempfile.gettempdir(), "minigpt")


def test_without_a_home_folder_the_text_and_model_that_come_along_are_used(monkeypatch, tmp_path, capsys):
    homeless(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert load_corpus().name == "python"
    assert GPT.from_pretrained("shakespeare-char").tokenizer is not None
    assert generate.main(["To", "--model", "gpt2"]) == 1
    assert "absent and MINIGPT_OFFLINE is set" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", ["MINIGPT_CACHE", "XDG_CACHE_HOME", "HF_HUB_CACHE", "HF_HOME"])
@pytest.mark.parametrize("path", ["~no-such-user/x", os.devnull + "/x", "x" * 5000, "."], ids=["user", "file", "long", "."])
def test_an_impossible_cache_path_leaves_what_comes_along(monkeypatch, tmp_path, variable, path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINIGPT_OFFLINE", "1")
    monkeypatch.setenv(variable, path)
    assert load_corpus().name == "python"
    with pytest.raises(OSError, match=r"gpt2.*put"):
        GPT.from_pretrained("gpt2")
    with pytest.raises(OSError, match="'gpt2-xl': not in"):
        GPT.from_pretrained("gpt2-xl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
def test_an_unknown_users_home_stays_as_it_is_written(monkeypatch, variable):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "~no-such-user/hub")
    assert hugging_face_cache() == Path("~no-such-user/hub")
