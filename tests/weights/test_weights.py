"""load and save, whichever the format: which file is which, what is refused, and that nothing is lost."""

import os
from pathlib import Path

import numpy as np
import pytest

from minigpt import weights
from minigpt.weights import WeightFormatError


def test_what_the_file_is_decides_and_not_its_name(tmp_path):
    weights.save(tmp_path / "a.npz", {"x": np.ones(3)})
    (tmp_path / "a.npz").rename(tmp_path / "model.safetensors")
    assert weights.load(tmp_path / "model.safetensors")["x"].tolist() == [1, 1, 1]


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(WeightFormatError, match="a folder, expected a file of weights; name the file inside it"):
        weights.load(tmp_path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        weights.load(tmp_path / "nowhere")


@pytest.mark.parametrize("filename", ["a", "a.npz"])
@pytest.mark.parametrize("tensor", [[1.0], 1.0, None])
def test_something_other_than_an_array_is_not_saved(tmp_path, tensor, filename):
    with pytest.raises(TypeError, match=r"x: \w+, expected a NumPy array; pass np.asarray"):
        weights.save(tmp_path / filename, {"x": tensor})


@pytest.mark.parametrize("filename", ["a", "a.npz"])
@pytest.mark.parametrize("dtype", ["complex64", "O", "U3", "M8[s]", [("a", "f4")], np.longdouble])
def test_a_type_the_format_does_not_know_is_not_saved(tmp_path, dtype, filename):
    if np.dtype(dtype) == np.float64:
        pytest.skip("longdouble is float64 here")
    with pytest.raises(ValueError, match=r"x: dtype .*, expected one of bool, .*; convert it with .astype"):
        weights.save(tmp_path / filename, {"x": np.zeros(2, dtype)})


@pytest.mark.parametrize("metadata", [{"step": 3}, {3: "step"}, {"step": None}])
def test_metadata_other_than_strings_is_not_saved(tmp_path, metadata):
    with pytest.raises(TypeError, match=r"metadata: .*expected strings by name"):
        weights.save(tmp_path / "a", {"x": np.zeros(2)}, metadata)


@pytest.mark.parametrize("filename", ["a", "a.npz"])
@pytest.mark.parametrize("tensors", [{"x": np.zeros(2, "O")}, {"x": None}, {"x": np.zeros(2), "\ud800": np.zeros(2)}])
def test_a_refused_save_leaves_the_old_file(tmp_path, tensors, filename):
    path = tmp_path / filename
    path.write_bytes(b"old")
    with pytest.raises((TypeError, ValueError)):
        weights.save(path, tensors)
    assert (list(tmp_path.iterdir()), path.read_bytes()) == ([path], b"old")


@pytest.mark.parametrize("filename", ["a", "a.npz"])
def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch, filename):
    path = tmp_path / filename
    path.write_bytes(b"old")

    def fail(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        weights.save(path, {"x": np.zeros(2)})
    assert (list(tmp_path.iterdir()), path.read_bytes()) == ([path], b"old")


def test_pickle_is_imported_only_for_the_reader_that_closes_it():
    found = [path.name for path in Path(weights.__file__).parents[1].rglob("*.py")
             if "import pickle" in path.read_text(encoding="utf-8")]
    assert found == ["torch_zip.py"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("content", [b"", b"\x02" + bytes(7) + b"[]", b"PK\x03\x04", b"<html>", None])
def test_a_file_of_any_name_is_shown_in_one_line(tmp_path, content):
    path = tmp_path / "\x1b[2J\u202e\n"
    path.mkdir() if content is None else path.write_bytes(content)
    for read in (weights.load, weights.read_metadata):
        with pytest.raises(weights.WeightFormatError) as caught:
            read(path)
        assert str(caught.value).isprintable() and r"\x1b[2J\u202e\n" in str(caught.value)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
@pytest.mark.parametrize(("tensors", "metadata"), [
    ({"\x1b[2J": [1.0]}, None), ({"\x1b[2J": np.array([None])}, None), ({"/\x1b[2J" * 10_000: 3}, None),
    ({"a": np.zeros(2)}, {"\x1b[2J" * 10_000: 3}),
])
def test_names_that_steer_are_shown_escaped_when_they_are_not_saved(tmp_path, suffix, tensors, metadata):
    with pytest.raises((TypeError, ValueError)) as caught:
        weights.save(tmp_path / f"a.{suffix}", tensors, metadata)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700 and r"\x1b[2J" in str(caught.value)
