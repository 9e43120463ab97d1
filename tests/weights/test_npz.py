"""npz files: numpy's both ways, and a message, in little memory, for every file that breaks the format."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from minigpt import weights
from minigpt.weights import WeightFormatError

KINDS = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


def npy(array=None, *, descr="<f4", shape=(2,), order=False, data=bytes(8), header=None, version=1):
    """The bytes of a member: numpy's for an array, else with a header of one's own."""
    if array is not None:
        file = io.BytesIO()
        np.lib.format.write_array(file, array)
        return file.getvalue()
    header = f"{{'descr': {descr!r}, 'fortran_order': {order!r}, 'shape': {shape!r}, }}\n" if header is None else header
    header = header.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + data


def npz(members, compression=zipfile.ZIP_STORED, level=None):
    """The bytes of an archive, from (name, content) pairs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression, level)
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


def test_metadata_comes_back_from_npz(tmp_path):
    weights.save(tmp_path / "a.npz", {"x": np.zeros(2)}, {"format": "minigpt", "σ": "{}[]"})
    assert weights.read_metadata(tmp_path / "a.npz") == {"format": "minigpt", "σ": "{}[]"}


def test_metadata_are_json_in_the_comment_of_the_archive(tmp_path):
    weights.save(tmp_path / "a.npz", {"x": np.zeros(2)}, {"format": "minigpt"})
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        assert archive.comment == b'{"format": "minigpt"}'
        archive.comment = b'{"step": 3}'
    assert weights.read_metadata(tmp_path / "a.npz") == {}      # somebody else's


def test_numpys_npz_has_no_metadata(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    assert weights.read_metadata(tmp_path / "a.npz") == {}


def test_the_same_arrays_give_the_same_npz(tmp_path):
    arrays = {"b": np.zeros(2), "a": np.ones(3)}
    weights.save(tmp_path / "a.npz", arrays)
    weights.save(tmp_path / "b.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_names_may_be_any_text(tmp_path):
    names = ["", "file", "x", "x.npy", "allow_pickle", "σ日本", "h.0.attn.c_attn.weight"]
    weights.save(tmp_path / "a.npz", {name: np.array(i) for i, name in enumerate(names)})
    assert weights.load(tmp_path / "a.npz") == {name: i for i, name in enumerate(names)}


def test_any_byte_but_zero_is_true(tmp_path):
    (tmp_path / "a.npz").write_bytes(npz([("x.npy", npy(descr="|b1", shape=(3,), data=b"\0\1\2"))]))
    assert weights.load(tmp_path / "a.npz")["x"].view(np.uint8).tolist() == [0, 1, 1]


def test_loading_an_npz_takes_the_memory_of_its_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(1 << 21, np.float32))
    tracemalloc.start()
    weights.load(tmp_path / "a.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20       # 8 MB of array


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
DEFLATED = npz([("x.npy", npy(np.arange(100.0)))], zipfile.ZIP_DEFLATED)
BOMB = npz([("x.npy", npy(data=bytes(10**8)))], zipfile.ZIP_DEFLATED, 1)
BAD_NPZ = {
    "objects": (npz([("x.npy", npy(np.array([None, 1])))]), "'x.npy' of Python objects, expected numbers"),
    "records": (npz([("x.npy", npy(np.zeros(2, "f4,i4")))]), "'x.npy' of dtype"),
    "text": (npz([("x.npy", npy(np.array(["a"])))]), "'x.npy' of dtype '<U1'"),
    "what numpy makes of bfloat16": (npz([("x.npy", npy(np.zeros(2, "V2")))]), "perhaps bfloat16 to be saved as float32"),
    "forged shape": (npz([("x.npy", npy(shape=(10**15,)))]), "with 8 bytes of data, expected 4000000000000000 for shape"),
    "overflowing shape": (npz([("x.npy", npy(shape=(2**62, 2**62)))]), r"expected fewer than 2\^63 bytes"),
    "overflowing shape beside 0": (npz([("x.npy", npy(shape=(2**62, 0, 2**62), data=b""))]), r"fewer than 2\^63 bytes"),
    "negative shape": (npz([("x.npy", npy(shape=(-2, -1)))]), r"'x.npy' of shape \(-2, -1\)"),
    "float shape": (npz([("x.npy", npy(shape=(2.0,)))]), r"'x.npy' with a header .*shape is not valid: \(2.0,\)"),
    "bool shape": (npz([("x.npy", npy(shape=(True, 2)))]), r"'x.npy' of shape \(True, 2\)"),
    "33 dimensions": (npz([("x.npy", npy(shape=(1,) * 33))]), "at most 32 integers"),
    "order": (npz([("x.npy", npy(order=3))]), "'x.npy' with a header .*fortran_order is not a valid bool: 3"),
    "too little data": (npz([("x.npy", npy(shape=(3,)))]), "'x.npy' with 8 bytes of data, expected 12"),
    "too much data": (npz([("x.npy", npy(shape=(1,)))]), "'x.npy' with 8 bytes of data, expected 4"),
    "no npy": (npz([("x.npy", b"hello")]), "'x.npy' with a header that cannot be read"),
    "npy version 9": (npz([("x.npy", npy(version=9))]), "npy version 1 to 3"),
    "long npy header": (npz([("x.npy", npy(header=" " * 5000))]), "expected one .* in the first 4,096 bytes"),
    "code in the header": (npz([("x.npy", npy(header="__import__('os').getcwd()"))]), "header that cannot be read"),
    "nested brackets": (npz([("x.npy", npy(header="[" * 4000))]), "header that cannot be read"),
    "no dict": (npz([("x.npy", npy(header="3"))]), "header that cannot be read .*not a dictionary: 3"),
    "other fields": (npz([("x.npy", npy(header="{'descr': '<f4'}"))]), r"'x.npy' with a header .*correct keys: \['descr'\]"),
    "other descriptions": (npz([("x.npy", npy(descr=()))]), "header that cannot be read"),
    "half an npy header": (npz([("x.npy", npy(data=b"")[:20])]), "'x.npy'"),
    "bomb": (BOMB, "bytes that unpack to 100,000,"),
    "bomb of many": (
        npz([(f"{i}.npy", npy(data=bytes(10**7))) for i in range(10)], zipfile.ZIP_DEFLATED, 1),
        "bytes that unpack to 100,000,",
    ),
    "bomb that lies": (
        patched(BOMB, (10**8 + len(npy(data=b""))).to_bytes(4, "little"), len(npy()).to_bytes(4, "little")),
        "Bad CRC-32",
    ),
    "duplicate": (patched(npz([("x.npy", npy()), ("y.npy", npy())]), b"y.npy", b"x.npy"), "'x.npy' twice"),
    "upwards": (npz([("../x.npy", npy())]), r"a member '\.\./x.npy', expected a name that leads nowhere"),
    "hidden upwards": (npz([("a/../../x.npy", npy())]), "expected a name that leads nowhere"),
    "absolute": (npz([("/x.npy", npy())]), "a member '/x.npy'"),
    "backslashes": (npz([("..\\x.npy", npy())]), "a member '..*x.npy'"),
    "something else": (npz([("x.txt", b"")]), "a member 'x.txt', expected only arrays, NAME.npy"),
    "PyTorch's zip": (
        npz([("archive/data/0", bytes(8)), ("archive/data.pkl", b"\x80\x02}.")]),
        "an archive of PyTorch's that was packed again",
    ),
    "encrypted": (patched(ONE, ONE[ONE.index(b"PK\1\2"):][:10], ONE[ONE.index(b"PK\1\2"):][:8] + b"\1\0"), "'x.npy' encrypted"),
    "other compression": (npz([("x.npy", npy())], zipfile.ZIP_LZMA), "'x.npy' compressed by method 14"),
    "flipped bit": (patched(ONE, np.array([50.0]).tobytes(), np.array([51.0]).tobytes()), "Bad CRC-32 for file 'x.npy'"),
    "damaged deflate stream": (
        patched(DEFLATED, DEFLATED[:36], DEFLATED[:35] + b"\xff"), "'x.npy' that cannot be read .*decompressing",
    ),
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


def test_a_damaged_list_that_swallows_a_member_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    weights.save(path, {name: np.arange(5) for name in "abcd"})
    data = bytearray(path.read_bytes())
    entry = data.find(b"PK\1\2", data.find(b"PK\1\2") + 1)
    length = data.find(b"PK\1\2", entry + 1) - entry
    data[entry + 32 : entry + 34] = length.to_bytes(2, "little")        # the next entry is this one's comment
    path.write_bytes(data)
    with pytest.raises(weights.WeightFormatError, match="a list of 3 members, expected all that the end"):
        weights.load(path)


def test_a_damaged_end_that_says_there_are_no_members_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    weights.save(path, {"a": np.arange(5)})
    data = path.read_bytes()
    path.write_bytes(data[:-22] + b"PK\5\6" + bytes(18))
    with pytest.raises(weights.WeightFormatError, match="a list of 0 members"):
        weights.load(path)
