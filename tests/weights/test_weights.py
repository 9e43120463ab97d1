"""safetensors and npz files: the reference's bytes both ways, and a message for everything that is neither."""

import gzip
import io
import json
import math
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minigpt import weights
from minigpt.weights import WeightFormatError

# Written by safetensors 0.7: a float32, an int64 and a float16 array, and metadata.
REFERENCE = (
    b"\xd8\x00\x00\x00\x00\x00\x00\x00"
    b'{"__metadata__":{"format":"np"},"ids":{"dtype":"I64","shape":[2,1],"data_offsets":[0,16]},'
    b'"ln.weight":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},'
    b'"half":{"dtype":"F16","shape":[1],"data_offsets":[24,26]}}     '
    b"\x03\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"
    b"\x00\x00\xc0?\x00\x00\x00\xc0"
    b"\x008"
)
REFERENCE_TENSORS = {
    "ids": np.array([[3], [-1]], np.int64),
    "ln.weight": np.array([1.5, -2.0], np.float32),
    "half": np.array([0.5], np.float16),
}
# Written by safetensors from PyTorch's bfloat16.
REFERENCE_BF16 = b'8\x00\x00\x00\x00\x00\x00\x00{"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}} \x80? \xbe'

KINDS = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


def entry(dtype="F32", shape=(2,), data_offsets=(0, 8)):
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


def safetensors(header, data=b"", length=None) -> bytes:
    """The bytes of a file, from a header as bytes or as something that becomes JSON."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


@pytest.fixture
def load(tmp_path):
    """Load a file of these bytes."""

    def load_bytes(content: bytes):
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        return weights.load(path)

    return load_bytes


# --- good files


def test_loads_what_the_reference_wrote(load):
    tensors = load(REFERENCE)
    assert {name: (a.dtype.name, a.tolist()) for name, a in tensors.items()} == {
        "ids": ("int64", [[3], [-1]]),
        "ln.weight": ("float32", [1.5, -2.0]),
        "half": ("float32", [0.5]),
    }


def test_saves_the_bytes_that_the_reference_writes(tmp_path):
    weights.save(tmp_path / "a", dict(reversed(REFERENCE_TENSORS.items())), {"format": "np"})
    assert (tmp_path / "a").read_bytes() == REFERENCE


def test_bfloat16_becomes_float32(load):
    tensor = load(REFERENCE_BF16)["b"]
    assert (tensor.dtype, tensor.tolist()) == (np.float32, [1.0, -0.15625])


@pytest.mark.parametrize("dtype", KINDS)
def test_a_saved_array_comes_back(tmp_path, dtype):
    array = np.random.default_rng(0).integers(0, 100, (2, 5, 3)).astype(dtype)
    weights.save(tmp_path / "a", {"x": array})
    loaded = weights.load(tmp_path / "a")["x"]
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 5), (1,) * 32])
def test_unusual_shapes_come_back(tmp_path, shape):
    weights.save(tmp_path / "a", {"x": np.ones(shape, np.float32), "y": np.zeros(2)})
    assert weights.load(tmp_path / "a")["x"].shape == shape


def test_a_transposed_view_is_saved_in_row_major_order(tmp_path):
    array = np.arange(12.0).reshape(3, 4).T
    weights.save(tmp_path / "a", {"x": array})
    np.testing.assert_array_equal(weights.load(tmp_path / "a")["x"], array)


def test_big_endian_arrays_are_saved_little_endian(tmp_path):
    weights.save(tmp_path / "a", {"x": np.array([1, 2], ">i4")})
    assert (tmp_path / "a").read_bytes().endswith(b"\1\0\0\0\2\0\0\0")


def test_names_may_be_any_text(tmp_path):
    names = ["", 'q"\\\n', "σ日本", "h.0.attn.c_attn.weight"]
    weights.save(tmp_path / "a", dict.fromkeys(names, np.zeros(1)))
    assert sorted(weights.load(tmp_path / "a")) == sorted(names)


def test_no_tensors_at_all_is_a_file(tmp_path):
    weights.save(tmp_path / "a", {})
    assert weights.load(tmp_path / "a") == {}


def test_metadata_comes_back(tmp_path):
    weights.save(tmp_path / "a", {"x": np.zeros(2)}, {"format": "minigpt", "σ": "{}[]"})
    assert weights.read_metadata(tmp_path / "a") == {"format": "minigpt", "σ": "{}[]"}


def test_a_file_without_metadata_has_none(tmp_path):
    weights.save(tmp_path / "a", {"x": np.zeros(2)})
    assert weights.read_metadata(tmp_path / "a") == {}


def test_the_arrays_start_at_a_multiple_of_eight(tmp_path):
    for length in range(1, 9):
        weights.save(tmp_path / "a", {"x" * length: np.zeros(1)})
        assert struct.unpack("<Q", (tmp_path / "a").read_bytes()[:8])[0] % 8 == 0


def test_a_header_of_odd_length_gives_aligned_arrays(load):
    tensor = load(safetensors(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   ', struct.pack("<2f", 1, 2)))
    assert (tensor["x"].flags.aligned, tensor["x"].tolist()) == (True, [1.0, 2.0])


def test_arrays_are_in_the_order_of_the_header(load):
    assert list(load(safetensors({"b": entry(data_offsets=(8, 16)), "a": entry()}, bytes(16)))) == ["b", "a"]


def test_any_byte_but_zero_is_true(load):
    assert load(safetensors({"x": entry("BOOL", [3], [0, 3])}, b"\0\1\2"))["x"].tolist() == [False, True, True]


def test_writing_to_a_loaded_array_does_not_reach_the_file(tmp_path):
    weights.save(tmp_path / "a", {"x": np.zeros(3)})
    weights.load(tmp_path / "a")["x"][:] = 1
    assert weights.load(tmp_path / "a")["x"].tolist() == [0, 0, 0]


def test_loading_takes_no_memory_for_the_arrays(tmp_path):
    weights.save(tmp_path / "a", {"x": np.zeros(1 << 21, np.float32)})
    tracemalloc.start()
    tensors = weights.load(tmp_path / "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tensors["x"].nbytes == 8 << 20
    assert peak < 1 << 20


def test_saving_takes_no_memory_for_the_arrays(tmp_path):
    tensors = {"x": np.zeros(1 << 21, np.float32), "y": np.zeros((2, 1 << 10))}
    tracemalloc.start()
    weights.save(tmp_path / "a", tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


# --- what save refuses


@pytest.mark.parametrize("tensor", [[1.0], 1.0, None])
def test_something_other_than_an_array_is_not_saved(tmp_path, tensor):
    with pytest.raises(TypeError, match=r"x: \w+, expected a NumPy array; pass np.asarray"):
        weights.save(tmp_path / "a", {"x": tensor})


@pytest.mark.parametrize("dtype", ["complex64", "O", "U3", "M8[s]", [("a", "f4")], np.longdouble])
def test_a_type_the_format_does_not_know_is_not_saved(tmp_path, dtype):
    if np.dtype(dtype) == np.float64:
        pytest.skip("longdouble is float64 here")
    with pytest.raises(ValueError, match=r"x: dtype .*, expected one of bool, .*; convert it with .astype"):
        weights.save(tmp_path / "a", {"x": np.zeros(2, dtype)})


@pytest.mark.parametrize("name", ["__metadata__", 3, "\ud800"])
def test_a_name_the_format_does_not_allow_is_not_saved(tmp_path, name):
    with pytest.raises(ValueError, match="expected"):
        weights.save(tmp_path / "a", {name: np.zeros(2)})


@pytest.mark.parametrize("metadata", [{"step": 3}, {3: "step"}, {"step": None}])
def test_metadata_other_than_strings_is_not_saved(tmp_path, metadata):
    with pytest.raises(TypeError, match=r"metadata: .*expected strings by name"):
        weights.save(tmp_path / "a", {"x": np.zeros(2)}, metadata)


def test_a_header_that_load_would_refuse_is_not_saved(tmp_path):
    with pytest.raises(WeightFormatError, match="at most 16,000,000"):
        weights.save(tmp_path / "a", {"x": np.zeros(2)}, {"text": "a" * 16_000_000})


@pytest.mark.parametrize("tensors", [{"x": np.zeros(2, "O")}, {"x": None}, {"x": np.zeros(2), "\ud800": np.zeros(2)}])
def test_a_refused_save_leaves_the_old_file(tmp_path, tensors):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises((TypeError, ValueError)):
        weights.save(tmp_path / "a", tensors)
    assert ([path.name for path in tmp_path.iterdir()], (tmp_path / "a").read_bytes()) == (["a"], b"old")


def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def fail(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        weights.save(tmp_path / "a", REFERENCE_TENSORS)
    assert ([path.name for path in tmp_path.iterdir()], (tmp_path / "a").read_bytes()) == (["a"], b"old")


# --- what load refuses

GOOD = REFERENCE_BF16
NESTED = b"[" * 100_000

NOT_SAFETENSORS = {
    "empty file": (b"", "0 bytes, expected at least 8"),
    "seven bytes": (b"1234567", "7 bytes, expected at least 8"),
    "header length 0": (safetensors(b"", length=0), "header length of 0"),
    "header length 1": (safetensors(b"{"), "header length of 1"),
    "header beyond the file": (safetensors(b"{}", length=3), "header length of 3 bytes in a file of 10"),
    "header length 2^63": (safetensors(b"{}", length=2**63), "expected one that fits"),
    "header length 2^64 - 1": (safetensors(b"{}", length=2**64 - 1), "expected one that fits"),
    "header length big-endian": (struct.pack(">Q", 2) + b"{}", "expected one that fits"),
    "header over 16 MB": (safetensors(b"{}".ljust(16_000_001)), "expected at most 16,000,000"),
    "header not UTF-8": (safetensors(b'{"\xff":1}'), "expected UTF-8 JSON"),
    "byte order mark": (safetensors(b"\xef\xbb\xbf{}"), "header that starts with"),
    "header of spaces": (safetensors(b"    "), "header that starts with"),
    "header is a list": (safetensors([]), "header that starts with"),
    "trailing JSON": (safetensors(b"{}{}"), "Extra data"),
    "JSON cut short": (safetensors(b'{"x":'), "expected UTF-8 JSON"),
    "nested brackets": (safetensors(b'{"x":' + NESTED + b"]" * 100_000 + b"}"), "deeply nested"),
    "nested brackets, open": (safetensors(b'{"x":' + NESTED), "deeply nested"),
    "nested objects": (safetensors(b'{"x":' * 100_000 + b"1" + b"}" * 100_000), "deeply nested"),
    "NaN": (safetensors(b'{"x":NaN}'), "NaN where only integers belong"),
    "Infinity": (safetensors(b'{"x":-Infinity}'), "Infinity where only integers belong"),
    "integer of 5000 digits": (safetensors(b'{"x":' + b"9" * 5000 + b"}"), "integer of 5000 digits"),
    "lone surrogate": (safetensors(b'{"\\ud800":1}'), "surrogates not allowed"),
    "duplicate name": (safetensors(b'{"x":1,"x":1}'), "'x' appears twice"),
    "duplicate name, escaped": (safetensors(b'{"x":1,"\\u0078":1}'), "'x' appears twice"),
    "duplicate metadata": (safetensors(b'{"__metadata__":{},"__metadata__":{}}'), "'__metadata__' appears twice"),
    "metadata not a table": (safetensors({"__metadata__": "np"}), "__metadata__ with something other than strings"),
    "metadata null": (safetensors({"__metadata__": None}), "__metadata__ with something other than strings"),
    "metadata value a number": (safetensors({"__metadata__": {"step": 3}}), "something other than strings"),
    "metadata value a table": (safetensors({"__metadata__": {"a": {}}}), "something other than strings"),
    "tensor not a table": (safetensors({"x": [1, 2]}), "'x' of dtype None"),
    "dtype missing": (safetensors({"x": {"shape": [0], "data_offsets": [0, 0]}}), "'x' of dtype None"),
    "dtype unknown": (safetensors({"x": entry("F33")}, bytes(8)), "'x' of dtype 'F33', expected one of BOOL, "),
    "dtype not known here": (safetensors({"x": entry("F8_E4M3", [8])}, bytes(8)), "'x' of dtype 'F8_E4M3'"),
    "dtype a list": (safetensors({"x": entry(["F32"])}, bytes(8)), r"'x' of dtype \['F32'\]"),
    "shape missing": (safetensors({"x": {"dtype": "F32", "data_offsets": [0, 0]}}), "'x' of shape None"),
    "shape a number": (safetensors({"x": entry(shape=2)}, bytes(8)), "'x' of shape 2"),
    "shape negative": (safetensors({"x": entry(shape=[-2])}, bytes(8)), r"'x' of shape \[-2\]"),
    "shape twice negative": (safetensors({"x": entry(shape=[-1, -2])}, bytes(8)), "'x' of shape"),
    "shape a float": (safetensors({"x": entry(shape=[2.0])}, bytes(8)), "2.0 where only integers belong"),
    "shape a bool": (safetensors({"x": entry(shape=[True, 2])}, bytes(8)), r"'x' of shape \[True, 2\]"),
    "shape a string": (safetensors({"x": entry(shape=["2"])}, bytes(8)), "'x' of shape"),
    "shape of 33 dimensions": (safetensors({"x": entry(shape=[2] + [1] * 32)}, bytes(8)), "at most 32 integers"),
    "shape of 2^64 elements": (safetensors({"x": entry(shape=[2**32, 2**32])}, bytes(8)), "fewer than 2\\^63"),
    "shape of 2^63 bytes": (safetensors({"x": entry(shape=[2**31, 2**30])}, bytes(8)), "fewer than 2\\^63"),
    "shape of 2^64 x 0": (safetensors({"x": entry(shape=[2**32, 2**32, 0])}, b""), "fewer than 2\\^63"),
    "shape of 1e15": (
        safetensors({"x": entry(shape=[10**15])}, bytes(8)),
        "8 bytes of data, expected 4000000000000000",
    ),
    "shape and data disagree": (safetensors({"x": entry(shape=[3])}, bytes(8)), "8 bytes of data, expected 12 for"),
    "offsets missing": (safetensors({"x": {"dtype": "F32", "shape": [2]}}, bytes(8)), "'x' at data_offsets None"),
    "offsets of one": (safetensors({"x": entry(data_offsets=[8])}, bytes(8)), "'x' at data_offsets"),
    "offsets of three": (safetensors({"x": entry(data_offsets=[0, 8, 8])}, bytes(8)), "'x' at data_offsets"),
    "offsets reversed": (safetensors({"x": entry(data_offsets=[8, 0])}, bytes(8)), r"'x' at data_offsets \[8, 0\]"),
    "offsets negative": (safetensors({"x": entry(data_offsets=[-8, 0])}, bytes(8)), "'x' at data_offsets"),
    "offsets bool": (safetensors({"x": entry("U8", [1], [False, True])}, b"1"), "'x' at data_offsets"),
    "offsets beyond 2^64": (
        safetensors({"x": entry(data_offsets=[2**64 - 1, 2**64 + 7])}, bytes(8)),
        "hole of 18446744073709551615 bytes before 'x'",
    ),
    "overlapping": (
        safetensors({"x": entry(), "y": entry(data_offsets=[4, 12])}, bytes(12)),
        "'y' overlapping 'x', expected its data to begin at 8, not 4",
    ),
    "the same data twice": (safetensors({"x": entry(), "y": entry()}, bytes(8)), "'y' overlapping 'x'"),
    "hole between": (
        safetensors({"x": entry(), "y": entry(data_offsets=[12, 20])}, bytes(20)),
        "a hole of 4 bytes before 'y'",
    ),
    "hole at the start": (safetensors({"x": entry(data_offsets=[4, 12])}, bytes(12)), "a hole of 4 bytes before 'x'"),
    "trailing bytes": (GOOD + b"\0", "1 bytes after the last array"),
    "trailing bytes, no array": (safetensors({}, b"\0"), "1 bytes after the last array"),
    "one byte short": (GOOD[:-1], "3 bytes of data, expected 4: the file is cut short"),
    "HTML page": (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "an HTML page, expected a safetensors or npz file"),
    "HTML page, lower case": (b"\n <html lang=en><body>Sign in</body></html>", "an HTML page"),
    "Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:248df\nsize 548105171\n",
        "a Git LFS pointer, expected a safetensors or npz file; download the file itself",
    ),
    "JSON text": (b'{"error": "Repository not found"}', "a JSON text"),
    "gzip of a good file": (gzip.compress(GOOD, mtime=1_700_000_000), "a gzip archive"),
    # Without a time the first eight bytes are a plausible header length, 559,903.
    "gzip without a time": (gzip.compress(GOOD, mtime=0).ljust(600_000), "a gzip archive"),
    "pickle": (b"\x80\x02}q\x00X\x05\x00\x00\x00modelq\x01.", r"a pickle.*convert it with scripts/convert_gpt2\.py"),
    "zip archive": (b"PK\x03\x04" + bytes(60), "a zip archive"),
}


@pytest.mark.parametrize(("content", "message"), NOT_SAFETENSORS.values(), ids=NOT_SAFETENSORS.keys())
def test_load_refuses(load, content, message):
    with pytest.raises(WeightFormatError, match=message):
        load(content)


def test_every_message_names_the_file_what_was_found_and_what_to_do(tmp_path, load):
    with pytest.raises(WeightFormatError) as caught:
        load(GOOD + b"\0")
    assert str(caught.value) == (
        f"{tmp_path / 'model.safetensors'}: 1 bytes after the last array, expected the file to end there;"
        " download or save the file again"
    )


def test_every_truncation_of_a_good_file_is_refused(load):
    for length in range(len(REFERENCE)):
        with pytest.raises(WeightFormatError):
            load(REFERENCE[:length])


def test_reading_metadata_checks_the_whole_header(tmp_path):
    (tmp_path / "a").write_bytes(GOOD + b"\0")
    with pytest.raises(WeightFormatError, match="1 bytes after the last array"):
        weights.read_metadata(tmp_path / "a")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(WeightFormatError, match="a folder, expected a safetensors or npz file"):
        weights.load(tmp_path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        weights.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "header",
    [
        b'{"x":[' + b"[]," * 5_000_000 + b"[]]}",
        b'{"x":[' + b"999," * 3_900_000 + b"999]}",
        b'{"x":[' + b"{}," * 5_000_000 + b"{}]}",
        b'{"x":' + b"[" * 15_000_000,
        b"{" + b'"":0,' * 3_000_000 + b'"":0}',
        b'{"' + b"a" * 15_000_000 + b'":1}',
        b"{" + b"".join(b'"%d":0,' % i for i in range(190_000)) + b'"189999":0}',
        b'{"x":[' + b"{}," * 99_000 + b"{}]}",
    ],
    ids=["lists", "integers", "objects", "nesting", "names", "one name", "late duplicate", "just below the limit"],
)
def test_a_hostile_header_takes_little_memory(tmp_path, header):
    path = tmp_path / "a"
    path.write_bytes(safetensors(header))
    tracemalloc.start()
    with pytest.raises(WeightFormatError) as caught:
        weights.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * path.stat().st_size + 64e6
    assert len(str(caught.value)) < 1000


def test_a_random_change_of_one_byte_is_refused_or_loads(load):
    rng = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(REFERENCE)
        content[rng.integers(len(content))] = rng.integers(256)
        try:
            tensors = load(bytes(content))
        except WeightFormatError:
            continue
        assert sum(math.prod(tensor.shape) for tensor in tensors.values()) <= len(content)


def test_pickle_is_imported_nowhere():
    for path in Path(weights.__file__).parents[1].rglob("*.py"):
        assert "import pickle" not in path.read_text(encoding="utf-8"), path


# --- npz


def npy(array=None, *, descr="<f4", shape=(2,), order=False, data=bytes(8), header=None, version=1):
    """The bytes of a member: numpy's for an array, else with a header of one's own."""
    if array is not None:
        file = io.BytesIO()
        np.lib.format.write_array(file, array)
        return file.getvalue()
    header = f"{{'descr': {descr!r}, 'fortran_order': {order!r}, 'shape': {shape!r}, }}\n" if header is None else header
    header = header.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + data


def npz(members, compression=zipfile.ZIP_STORED):
    """The bytes of an archive, from (name, content) pairs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def patched(content, old, new):
    assert old in content
    return content.replace(old, new)


@pytest.mark.parametrize("savez", [np.savez, np.savez_compressed])
def test_loads_what_numpy_wrote(tmp_path, savez):
    arrays = {"wte.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "t": np.array(7), "flags": np.array([True, False]),
              "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "big": np.array([1, 2], ">i4"),
              "none": np.zeros((0, 3))}
    savez(tmp_path / "a.npz", **arrays)
    loaded = weights.load(tmp_path / "a.npz")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(loaded[name], array, strict=False)
        assert loaded[name].shape == array.shape


def test_numpy_loads_a_saved_npz(tmp_path):
    arrays = {"wte.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T, "half": np.array([0.5], np.float16),
              "t": np.array(7)}
    weights.save(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as loaded:
        assert sorted(loaded) == sorted(arrays)
        for name, array in arrays.items():
            assert loaded[name].dtype == array.dtype
            np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize("dtype", [*KINDS, "float16"])
@pytest.mark.parametrize("shape", [(2, 5, 3), (), (2, 0, 5)], ids=str)
def test_an_array_comes_back_from_npz(tmp_path, dtype, shape):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    weights.save(tmp_path / "a.npz", {"x": array})
    loaded = weights.load(tmp_path / "a.npz")["x"]
    assert (loaded.dtype, loaded.shape) == (np.float32 if dtype == "float16" else array.dtype, shape)
    np.testing.assert_array_equal(loaded, array)


def test_what_the_file_is_decides_and_not_its_name(tmp_path):
    weights.save(tmp_path / "a.npz", {"x": np.ones(3)})
    (tmp_path / "a.npz").rename(tmp_path / "model.safetensors")
    assert weights.load(tmp_path / "model.safetensors")["x"].tolist() == [1, 1, 1]


def test_metadata_comes_back_from_npz(tmp_path):
    weights.save(tmp_path / "a.npz", {"x": np.zeros(2)}, {"format": "minigpt", "σ": "{}[]"})
    assert weights.read_metadata(tmp_path / "a.npz") == {"format": "minigpt", "σ": "{}[]"}


def test_numpys_npz_has_no_metadata(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    assert weights.read_metadata(tmp_path / "a.npz") == {}


def test_the_same_arrays_give_the_same_npz(tmp_path):
    arrays = {"b": np.zeros(2), "a": np.ones(3)}
    weights.save(tmp_path / "a.npz", arrays)
    weights.save(tmp_path / "b.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_loaded_npz_arrays_are_writable(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    weights.load(tmp_path / "a.npz")["x"][:] = 1


def test_saving_an_npz_takes_little_memory(tmp_path):
    tensors = {"x": np.zeros(1 << 22, np.float32)}
    tracemalloc.start()
    weights.save(tmp_path / "a.npz", tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20       # two pieces of 1 MB and their copies, of 16 MB


@pytest.mark.parametrize(("name", "metadata", "error", "message"), [
    ("../x", None, ValueError, r"the name '\.\./x', expected a name that leads nowhere.*save as safetensors"),
    ("/x", None, ValueError, "the name '/x'"),
    ("x", {"long": "x" * 70_000}, WeightFormatError, "70,012 bytes of metadata, expected at most 65,535"),
])
def test_what_npz_cannot_hold_leaves_no_file(tmp_path, name, metadata, error, message):
    with pytest.raises(error, match=message):
        weights.save(tmp_path / "a.npz", {name: np.zeros(1)}, metadata)
    assert list(tmp_path.iterdir()) == []


ONE = npz([("x.npy", npy(np.arange(100.0)))])
BAD_NPZ = {
    "objects": (npz([("x.npy", npy(np.array([None, 1])))]), "'x.npy' of Python objects, expected numbers"),
    "records": (npz([("x.npy", npy(np.zeros(2, "f4,i4")))]), "'x.npy' of dtype"),
    "text": (npz([("x.npy", npy(np.array(["a"])))]), "'x.npy' of dtype '<U1'"),
    "forged shape": (npz([("x.npy", npy(shape=(10**15,)))]), "with 8 bytes of data, expected 4000000000000000 for shape"),
    "overflowing shape": (npz([("x.npy", npy(shape=(2**62, 2**62)))]), r"expected fewer than 2\^63 bytes"),
    "overflowing shape beside 0": (npz([("x.npy", npy(shape=(2**62, 0, 2**62), data=b""))]), r"fewer than 2\^63 bytes"),
    "negative shape": (npz([("x.npy", npy(shape=(-2, -1)))]), r"'x.npy' of shape \(-2, -1\)"),
    "float shape": (npz([("x.npy", npy(shape=(2.0,)))]), r"'x.npy' of shape \(2.0,\)"),
    "bool shape": (npz([("x.npy", npy(shape=(True, 2)))]), r"'x.npy' of shape \(True, 2\)"),
    "33 dimensions": (npz([("x.npy", npy(shape=(1,) * 33))]), "at most 32 integers"),
    "order": (npz([("x.npy", npy(order=3))]), "fortran_order 3, expected True or False"),
    "too little data": (npz([("x.npy", npy(shape=(3,)))]), "'x.npy' with 8 bytes of data, expected 12"),
    "too much data": (npz([("x.npy", npy(shape=(1,)))]), "'x.npy' with 8 bytes of data, expected 4"),
    "no npy": (npz([("x.npy", b"hello")]), "'x.npy' that starts with b'hello'"),
    "npy version 9": (npz([("x.npy", npy(version=9))]), "npy version 1 to 3"),
    "long npy header": (npz([("x.npy", npy(header=" " * 5000))]), "'x.npy' with a header of 5,000 bytes"),
    "code in the header": (npz([("x.npy", npy(header="__import__('os').getcwd()"))]), "header that cannot be read"),
    "nested brackets": (npz([("x.npy", npy(header="[" * 4000))]), "header that cannot be read"),
    "no dict": (npz([("x.npy", npy(header="3"))]), "with the header 3"),
    "other fields": (npz([("x.npy", npy(header="{'descr': '<f4'}"))]), "expected descr, fortran_order and shape"),
    "half an npy header": (npz([("x.npy", npy(data=b"")[:20])]), "'x.npy'"),
    "bomb": (npz([("x.npy", npy(data=bytes(10**8)))], zipfile.ZIP_DEFLATED), "bytes that unpack to 100,000,"),
    "bomb of many": (
        npz([(f"{i}.npy", npy(data=bytes(10**7))) for i in range(10)], zipfile.ZIP_DEFLATED), "bytes that unpack to 100,000,",
    ),
    "bomb that lies": (
        patched(npz([("x.npy", npy(data=bytes(10**8)))], zipfile.ZIP_DEFLATED),
                (10**8 + len(npy(data=b""))).to_bytes(4, "little"), len(npy()).to_bytes(4, "little")),
        "Bad CRC-32",
    ),
    "duplicate": (patched(npz([("x.npy", npy()), ("y.npy", npy())]), b"y.npy", b"x.npy"), "'x.npy' twice"),
    "upwards": (npz([("../x.npy", npy())]), r"a member '\.\./x.npy', expected a name that leads nowhere"),
    "hidden upwards": (npz([("a/../../x.npy", npy())]), "expected a name that leads nowhere"),
    "absolute": (npz([("/x.npy", npy())]), "a member '/x.npy'"),
    "backslashes": (npz([("..\\x.npy", npy())]), "a member '..*x.npy'"),
    "something else": (npz([("x.txt", b"")]), "a member 'x.txt', expected only arrays, NAME.npy"),
    "PyTorch's zip": (
        npz([("archive/data.pkl", b"\x80\x02}."), ("archive/data/0", bytes(8))]),
        r"a pickle.*convert it with scripts/convert_gpt2\.py",
    ),
    "encrypted": (patched(ONE, ONE[ONE.index(b"PK\1\2"):][:10], ONE[ONE.index(b"PK\1\2"):][:8] + b"\1\0"), "'x.npy' encrypted"),
    "other compression": (npz([("x.npy", npy())], zipfile.ZIP_LZMA), "'x.npy' compressed by method 14"),
    "flipped bit": (patched(ONE, np.array([50.0]).tobytes(), np.array([51.0]).tobytes()), "Bad CRC-32 for file 'x.npy'"),
    "cut short": (ONE[:-30], "a zip archive that cannot be read"),
    "cut to half": (ONE[: len(ONE) // 2], "a zip archive that cannot be read"),
    "long list of members": (npz([(f"{i:0200}.npy", b"") for i in range(4500)]), "a list of members of 1,1"),
}


@pytest.mark.parametrize(("content", "message"), BAD_NPZ.values(), ids=BAD_NPZ.keys())
def test_load_refuses_an_npz_in_little_memory(tmp_path, content, message):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(WeightFormatError, match=message) as caught:
            weights.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(str(path))
    assert peak < 3 * len(content) + 64e6


def test_a_random_change_of_some_bytes_of_an_npz_is_refused_or_loads(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.npz"
    for _ in range(300):
        content = bytearray(npz([("x.npy", npy()), ("h.0.y.npy", npy(np.ones((2, 3))))], zipfile.ZIP_DEFLATED))
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(4, len(content))] = rng.integers(256)
        path.write_bytes(content)
        try:
            weights.load(path)
        except WeightFormatError:
            continue
