"""PyTorch's zip files without PyTorch: what torch 2.13 and 1.13 saved, and a message, in little memory, for all else."""

import collections
import copy
import fractions
import io
import pickle
import random
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

import make_torch_fixture as fixture
from minigpt.weights import WeightFormatError, torch_zip

VERSIONS = ["2.13.0", "1.13.1"]
SIX = np.arange(6, dtype="<f4")


def saved(name, version=VERSIONS[0]):
    return fixture.FIXTURES / f"torch_{name}_{version}.pt"


# --- files by hand: a pickle's instructions, as bytes that put one value on its stack


def plain(value):
    """A value of Python or NumPy"""
    return pickle.dumps(value, 2)[2:-1]


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def storage(type_name="torch FloatStorage", key="0", count=6):
    return b"(" + plain("storage") + name(*type_name.split()) + plain(key) + plain("cpu") + plain(count) + b"tQ"


def tensor(stored=None, offset=0, shape=(2, 3), strides=(3, 1), last=b"", rebuild="_rebuild_tensor_v2"):
    place = plain(offset) + plain(shape) + plain(strides) + b"\x89" + name("collections", "OrderedDict") + b")R"
    return name("torch._utils", rebuild) + b"(" + (stored or storage()) + place + last + b"tR"


def table(**items):
    return b"}(" + b"".join(plain(key) + value for key, value in items.items()) + b"u"


def zipped(members, compression=zipfile.ZIP_STORED, aligned=True):
    """The bytes of an archive; as torch does it, each member starts at a multiple of 64 behind an extra field"""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for member, content in members.items():
            info = zipfile.ZipInfo(member)
            pad = -(file.tell() + 34 + len(member)) % 64
            info.extra = b"FB" + pad.to_bytes(2, "little") + b"Z" * pad if aligned else b""
            archive.writestr(info, content, compression)
    return file.getvalue()


def archive(content, data=None, aligned=True, **others):
    """The bytes of a file whose pickle has these instructions"""
    members = {"a/data.pkl": b"\x80\2" + content + b".", "a/data/0": SIX.tobytes() if data is None else data}
    return zipped(members | {f"a/{member}": bytes_ for member, bytes_ in others.items()}, aligned=aligned)


def relisted(change, count=6):
    """The bytes of a small archive after a change to its list of members"""
    file = io.BytesIO(archive(table(a=tensor(storage(count=count)))))
    with zipfile.ZipFile(file, "a") as opened:
        opened.comment = b" "       # a reason to write the list again
        change(opened.filelist)
    return file.getvalue()


def longer(infos):
    infos[-1].file_size = infos[-1].compress_size = 360


def overlapping(infos):
    for i in range(9):
        infos.append(copy.copy(infos[0]))
        infos[-1].filename = f"a/data/{i + 1}"


def encrypted(infos):
    infos[-1].flag_bits |= 1


def of_another_method(infos):
    infos[-1].compress_type = zipfile.ZIP_BZIP2


def patched(content, old, new):
    assert old in content and len(old) == len(new)
    return content.replace(old, new)


def members_of(path):
    """The members of a file by name, as they lie there: its checksums say nothing about damage made on purpose"""
    with zipfile.ZipFile(path) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


@pytest.fixture
def load(tmp_path):
    """Load a file of these bytes"""

    def load_bytes(content, read=torch_zip.load):
        (tmp_path / "model.pt").write_bytes(content)
        return read(tmp_path / "model.pt")

    return load_bytes


# --- good files


def expected_tensors():
    """What fixture.tensors() is for NumPy, half precision widened"""
    arrays = {kind: fixture.numbers(2, 3, kind=kind) for kind in fixture.KINDS if kind != "bfloat16"}
    arrays["float16"] = arrays["bfloat16"] = arrays["float32"]
    arrays.update(scalar=np.float32(2.5), empty=np.zeros((2, 0, 3), np.float32), parameter=np.ones(2, np.float32))
    return arrays | fixture.views()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", ["tensors", "protocol_4"])
def test_every_type_shape_and_view_comes_back(file, version):
    loaded, expected = torch_zip.load(saved(file, version)), expected_tensors()
    assert sorted(loaded) == sorted(expected)
    for key, array in expected.items():
        assert (key, loaded[key].dtype, loaded[key].shape) == (key, array.dtype, array.shape)
        np.testing.assert_array_equal(loaded[key], array)


def test_tensors_come_in_the_order_of_the_file():
    assert list(torch_zip.load(saved("tensors")))[:3] == ["float64", "float32", "float16"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_nanogpt_checkpoint_gives_its_weights_and_its_sizes(version):
    path = saved("nanogpt", version)
    loaded = torch_zip.load(path)
    assert list(loaded) == [f"_orig_mod.{key}" for key in (*fixture.parameters(), "lm_head.weight")]
    for key, array in fixture.parameters().items():
        np.testing.assert_array_equal(loaded[f"_orig_mod.{key}"], array)
    assert torch_zip.read_config(path) == fixture.MODEL_ARGS


def test_tied_tensors_and_views_share_memory(load):
    loaded = torch_zip.load(saved("nanogpt"))
    assert np.shares_memory(loaded["_orig_mod.lm_head.weight"], loaded["_orig_mod.transformer.wte.weight"])
    halves = storage("torch HalfStorage", count=12)
    loaded = load(archive(table(a=tensor(halves), b=tensor(halves, offset=6))))
    assert loaded["a"].base is loaded["b"].base
    loaded = torch_zip.load(saved("tensors"))
    assert all(np.shares_memory(loaded[key], loaded["whole"]) for key in ("transposed", "part", "expanded"))


def test_a_write_to_a_loaded_tensor_never_reaches_the_file(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(saved("tensors").read_bytes())
    torch_zip.load(path)["whole"][:] = 7
    assert path.read_bytes() == saved("tensors").read_bytes()


@pytest.mark.parametrize("key", ["model", "state_dict", "module", "model_state_dict", "model_state"])
def test_weights_are_found_under_the_keys_of_checkpoints(load, key):
    content = archive(table(**{"step": plain(3), "mean": tensor(), key: table(a=tensor(), note=plain("x"))}))
    assert list(load(content)) == ["a"]


def test_a_flat_state_dict_is_read_and_what_is_no_tensor_left_out(load):
    assert list(load(archive(table(a=tensor(), step=plain(3), model=plain("x"), b=tensor())))) == ["a", "b"]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("kind", "dtype", "result"), [
    ("Double", "f8", "f8"), ("Float", "f4", "f4"), ("Half", "f2", "f4"), ("Long", "i8", "i8"), ("Int", "i4", "i4"),
    ("Short", "i2", "i2"), ("Char", "i1", "i1"), ("Byte", "u1", "u1"), ("Bool", "u1", "?"),
])
def test_both_byte_orders_are_read(load, order, kind, dtype, result):
    data = np.arange(6).astype(np.dtype(dtype).newbyteorder(order)).tobytes()
    array = load(archive(table(a=tensor(storage(f"torch {kind}Storage"))), data, byteorder=order.encode()))["a"]
    assert array.dtype == np.dtype(result)
    np.testing.assert_array_equal(array, np.arange(6).astype(result).reshape(2, 3))


@pytest.mark.parametrize("order", ["little", "big"])
def test_bfloat16_is_the_upper_half_of_float32(load, order):
    data = np.array([0x3F80, 0xBE20, 0x7F80, 0xFF80, 0x7FC0, 1]).astype(np.dtype("u2").newbyteorder(order)).tobytes()
    array = load(archive(table(a=tensor(storage("torch BFloat16Storage"))), data, byteorder=order.encode()))["a"]
    np.testing.assert_array_equal(array, np.array([[1, -0.15625, np.inf], [-np.inf, np.nan, 2.0**-133]], np.float32))


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64"])
def test_unsigned_integers_lie_in_untyped_storages_counted_in_bytes(load, dtype):
    data = np.arange(6, dtype=dtype)
    stored = storage("torch.storage UntypedStorage", count=data.nbytes)
    array = load(archive(table(a=tensor(stored, last=name("torch", dtype), rebuild="_rebuild_tensor_v3")), data.tobytes()))["a"]
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, data.reshape(2, 3))


def test_a_dimension_of_size_one_may_have_any_stride(load):
    assert load(archive(table(a=tensor(shape=(1, 6), strides=(2**62, 1)))))["a"].tolist() == [SIX.tolist()]


def test_a_storage_at_an_odd_byte_is_copied(load):
    content = archive(table(a=tensor()), aligned=False)
    assert content.index(SIX.tobytes()) % 4
    array = load(content)["a"]
    assert array.flags.aligned
    np.testing.assert_array_equal(array.ravel(), SIX)


def test_a_file_saved_without_checksums_is_read(load):
    content = archive(table(a=tensor()))
    for at in [i for i in range(len(content)) if content[i : i + 4] == b"PK\1\2"]:
        content = content[: at + 16] + bytes(4) + content[at + 20 :]
    np.testing.assert_array_equal(load(content)["a"].ravel(), SIX)


def test_sizes_may_be_numpys_numbers(load):
    sizes = {"n_layer": np.int64(2), "vocab_size": np.uint16(65), "dropout": np.float32(0.5), "bias": np.bool_(True)}
    config = load(archive(plain({"model_args": sizes, "model": {}})), torch_zip.read_config)
    assert config == {"n_layer": 2, "vocab_size": 65, "dropout": 0.5, "bias": True}
    assert [type(value) for value in config.values()] == [int, int, float, bool]


def test_sizes_are_only_plain_values(load):
    sizes = table(n_layer=plain(2), a=tensor(), b=plain([1]), c=plain("x"), d=plain(None), e=plain(10**5000))
    assert load(archive(table(model_args=sizes)), torch_zip.read_config) == {"n_layer": 2, "c": "x", "d": None}


@pytest.mark.parametrize("content", [table(a=tensor()), tensor(), plain([1]), table(model_args=plain(3))])
def test_a_file_without_sizes_has_none(load, content):
    assert load(archive(content), torch_zip.read_config) is None


def test_only_the_weights_are_read(load):
    members = members_of(saved("nanogpt"))
    used = len(fixture.parameters())
    others = [key for key in members if "/data/" in key and int(key.rpartition("/")[2]) >= used]        # the optimizer's
    content = saved("nanogpt").read_bytes()
    for key in others:
        content = patched(content, members[key], b"x" * len(members[key])) if len(members[key]) > 4 else content
    assert content != saved("nanogpt").read_bytes()
    np.testing.assert_equal(load(content), torch_zip.load(saved("nanogpt")))


@pytest.mark.parametrize(("kind", "most"), [("Float", 3 << 20), ("Half", 20 << 20), ("BFloat16", 20 << 20)])
def test_reading_takes_at_most_twice_the_memory_of_the_file(load, kind, most):
    count = 1 << 22
    data = bytes(count * (4 if kind == "Float" else 2))
    content = archive(table(a=tensor(storage(f"torch {kind}Storage", count=count), shape=(count,), strides=(1,))), data)
    tracemalloc.start()
    load(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most       # 16 MB of float32 are mapped; 8 MB of halves become 16, and a piece of 1 MB and its copies


# --- what a pickle names


@pytest.mark.parametrize("read", [torch_zip.load, torch_zip.read_config])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_name_that_is_not_on_the_list_is_refused_before_it_is_called(monkeypatch, read, version):
    called = []
    monkeypatch.setattr(fractions, "Fraction", lambda *args: called.append(args))
    with pytest.raises(WeightFormatError, match=r"needs fractions\.Fraction before byte .*torch\.save"):
        read(saved("fraction", version))
    assert called == []


def test_a_name_that_is_not_on_the_list_is_not_even_imported(load):
    assert "colorsys" not in sys.modules
    with pytest.raises(WeightFormatError, match=r"needs colorsys\.rgb_to_hsv before byte"):
        load(archive(table(a=tensor(), b=name("colorsys", "rgb_to_hsv"))))
    assert "colorsys" not in sys.modules


@pytest.mark.parametrize("content", [
    name("collections", "Counter") + b")R",                                     # GLOBAL, REDUCE
    name("collections", "Counter") + b")\x81",                                  # NEWOBJ
    plain("collections") + plain("Counter") + b"\x93)R",                        # STACK_GLOBAL
    plain(collections.Counter("aab")),
    name("collections", "OrderedDict.fromkeys") + plain((3,)) + b"R",           # parts of what is known
    name("torch", "_utils._rebuild_tensor_v2.__globals__"),
    name("torch", "FloatStorage.from_buffer"),
    name("builtins", "getattr"),
    name("__builtin__", "list"),
])
def test_known_names_are_whole_and_exact(load, content):
    with pytest.raises(WeightFormatError, match=r"data.pkl' needs \S+ before byte"):
        load(archive(table(a=tensor(), b=content)))


@pytest.mark.parametrize("content", [
    b"(icollections\nOrderedDict\n",            # INST
    b"(" + name("collections", "OrderedDict") + b"o",       # OBJ
    b"\x82\x01",                                # EXT1
    b"Pname\n",                                 # PERSID
    name("collections", "OrderedDict") + b")}\x92",         # NEWOBJ_EX
    b"\x8f",                                    # EMPTY_SET
    b"\x96" + (2**40).to_bytes(8, "little"),    # BYTEARRAY8
])
def test_instructions_that_torch_does_not_need_are_refused(load, content):
    with pytest.raises(WeightFormatError, match=r"with the instruction 0x.. before byte"):
        load(archive(table(a=tensor(), b=content)))


def test_what_stands_for_a_function_cannot_be_changed_by_the_file(load):
    target = name("torch._utils", "_rebuild_tensor_v2")
    state = b"N" + plain({"__defaults__": (1, 2), "__code__": None}) + b"\x86b"      # BUILD
    before = dict(vars(torch_zip._Reader))
    assert list(load(archive(table(a=tensor(), b=target + state)))) == ["a"]
    assert dict(vars(torch_zip._Reader)) == before


def test_what_a_file_calls_on_a_tensor_or_text_is_refused(load):
    for called in (tensor(), plain("x"), plain([]), name("torch", "Size") + b")R"):
        with pytest.raises(WeightFormatError, match="a call of a"):
            load(archive(table(a=tensor(), b=called + b")R")))


# --- bad files


GOOD = archive(table(a=tensor()))
DEEP = b")" + b"\x85" * 100_000
BAD = {
    "old form": (saved("old_form").read_bytes(), r"before version 1.6, expected the zip form; .*torch.save\(torch.load"),
    "pickle": (pickle.dumps({"a": 1}, 2), "a pickle, as PyTorch wrote before .*; open it once with torch"),
    "HTML": (b"<!DOCTYPE html><html>", "an HTML page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "empty": (b"", "b'' at its start"),
    "npz": (zipped({"x.npy": b""}), "a zip archive of x.npy, expected one that torch.save wrote"),
    "two pickles": (zipped({"a/data.pkl": b"", "b/data.pkl": b""}), "with one NAME/data.pkl"),
    "cut": (GOOD[:-30], "a zip archive that cannot be read"),
    "deflated": (zipped({"a/data.pkl": b"x" * 99}, zipfile.ZIP_DEFLATED), "'a/data.pkl' encrypted or compressed"),
    "encrypted": (relisted(encrypted), "'a/data/0' encrypted or compressed"),
    "method": (relisted(of_another_method), "'a/data/0' encrypted or compressed"),
    "longer": (relisted(longer, count=90), "'a/data/0' cut short at byte .*, expected 360 bytes"),
    "overlapping": (relisted(overlapping), "members of .* bytes in a file of"),
    "twice": (patched(archive(b"N", **{"data/1": b""}), b"a/data/1", b"a/data/0"), "'a/data/0' twice"),
    "many members": (zipped({f"a/{i:0200}": b"" for i in range(4500)}), "a list of members of 1,"),
    "flipped": (patched(GOOD, SIX.tobytes(), SIX.tobytes()[:-1] + b"\1"), "'a/data/0' with the checksum"),
    "byte order": (archive(b"N", byteorder=b"middle"), "'a/byteorder' with b'middle'"),
    "long byte order": (archive(b"N", byteorder=b"x" * 99), "'a/byteorder' of 99 bytes"),
    "no header": (GOOD[:9] + GOOD[9:].replace(b"PK\3\4", b"PK\3\5"), "no member 'a/data/0' at byte"),
    "long pickle": (zipped({"a/data.pkl": bytes(17_000_000)}), "of 17,000,000 bytes, expected at most"),
    "no end": (zipped({"a/data.pkl": b"\x80\2}"}), "what cannot be read .EOFError"),
    "text that is not there": (archive(b"X\xff\xff\xff\x7fabc"), "what cannot be read"),
    "large memo": (archive(table(a=tensor()) + b"r\xff\xff\xff\xffj\xfe\xff\xff\xff"), "what cannot be read"),
    "deep key": (archive(b"}" + DEEP + b"Ns"), "a key of type tuple"),
    "wide key": (archive(b"})q\0" + b"h\0h\0\x86q\0" * 60 + b"0}h\0Ns"), "a key of type tuple"),
    "colliding keys": (archive(b"}" + plain(2**61 - 1) + b"Ns"), "a key of type int"),
    "deep value": (archive(table(b=DEEP)), "no tensors among the keys b"),
    "a type that would have to be hashed": (
        archive(table(b=name("numpy.core.multiarray", "scalar") + name("numpy", "dtype") + b"]\x85R"
                      + plain((3, "<")) + b"b" + name("_codecs", "encode") + plain(("x", "latin1")) + b"R\x86R")),
        "no tensors among the keys b",
    ),
    "keys for a list": (archive(b"]K\0Ns"), "keys for a list"),
    "a list": (archive(b"]"), "a saved list, expected a state dict"),
    "a tensor": (archive(tensor()), "a saved tensor, expected a state dict"),
    "nothing": (archive(b"}"), "no tensors among the keys none"),
    "numbers for names": (archive(b"}K\3" + tensor() + b"s"), "a tensor by the name 3"),
    "NumPy's array": (archive(table(a=tensor(), b=plain(np.zeros(2)))), "'b', a NumPy array, expected tensors"),
    "no storage": (archive(table(a=tensor(storage(key="1")))), "a storage '1', of which the archive has nothing"),
    "upwards": (archive(table(a=tensor(storage(key="../data.pkl")))), "of which the archive has nothing"),
    "other count": (archive(table(a=tensor(storage(count=5)))), "5 items of torch.float32 in storage '0' of 24 bytes"),
    "large count": (archive(table(a=tensor(storage(count=2**61)))), "items of torch.float32 in storage '0' of 24 bytes"),
    "endless count": (archive(table(a=tensor(storage(count=1 << 30_000)))), "a storage without kind, key or count"),
    "negative count": (archive(table(a=tensor(storage(count=-6)))), "a storage without kind, key or count"),
    "two types": (
        archive(table(a=tensor(), b=tensor(storage("torch IntStorage")))), "storage '0' of two types .* expected torch.float32",
    ),
    "complex": (archive(table(a=tensor(storage("torch ComplexFloatStorage", count=3)))), "needs torch.ComplexFloatStorage"),
    "no type": (archive(table(a=tensor(storage("torch float32")))), "what cannot be read .KeyError"),
    "beyond": (archive(table(a=tensor(offset=1))), "ends at item 6 of storage '0' before .*, expected one inside its 6 items"),
    "strides beyond": (archive(table(a=tensor(strides=(4, 1)))), "ends at item 6 of storage '0'"),
    "large shape": (archive(table(a=tensor(shape=(2**40, 3)))), "ends at item .* of storage '0'"),
    "large shape of one item": (archive(table(a=tensor(shape=(2**40, 2**40), strides=(0, 0)))), r"fewer than 2\^63 bytes"),
    "large shape beside 0": (archive(table(a=tensor(shape=(2**62, 0, 2**62), strides=(1, 1, 1)))), r"fewer than 2\^63 bytes"),
    "endless shape": (archive(table(a=tensor(shape=(1 << 30_000, 1)))), r"sizes beyond 2\^63"),
    "negative stride": (archive(table(a=tensor(strides=(-1, 1)))), "without shape and strides"),
    "negative offset": (archive(table(a=tensor(offset=-1))), "a tensor without a storage"),
    "truth for a size": (archive(table(a=tensor(shape=(True, 3)))), "without shape and strides"),
    "three strides": (archive(table(a=tensor(strides=(3, 1, 1)))), "without shape and strides"),
    "33 dimensions": (archive(table(a=tensor(shape=(1,) * 33, strides=(1,) * 33))), "at most 32 integers"),
    "negated": (archive(table(a=tensor(last=plain({"neg": True})))), "the negative or conjugate of its values"),
    "type of one storage, items of another": (
        archive(table(a=tensor(last=name("torch", "uint16"), rebuild="_rebuild_tensor_v3"))), "a tensor of torch.uint16",
    ),
    "a type with a storage of its own in an untyped one": (
        archive(table(a=tensor(storage("torch.storage UntypedStorage", count=24), last=name("torch", "float32"),
                               rebuild="_rebuild_tensor_v3"))), "a tensor of torch.float32 before",
    ),
    "control characters": (archive(table(a=name("x\x1b[2J", "y\u202e"))), r"needs x\\x1b\[2J.y\\u202e before"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_load_refuses_a_file_in_little_memory(tmp_path, content, message):
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(WeightFormatError, match=message) as caught:
            torch_zip.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < len(str(path)) + 1000
    assert peak < 3 * len(content) + 100e6


def test_the_pieces_of_a_pickle_are_counted_since_one_byte_makes_a_dictionary(monkeypatch, load):
    monkeypatch.setattr(torch_zip, "_MAX_PIECES", 1000)
    load(archive(table(a=tensor(), b=b"(" + b"}" * 900 + b"t")))
    with pytest.raises(WeightFormatError, match=r"more than 1,000 pieces\) before byte"):
        load(archive(table(a=tensor(), b=b"(" + b"}" * 1100 + b"t")))


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch_zip.load(tmp_path / "a.pt")


def damaged(data, rng):
    """The bytes with a few of them changed, taken out, doubled or cut off"""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at, size = rng.randrange(len(data)), rng.choice((1, 1, 2, 8))
        piece = data[at : at + size]
        others = rng.randbytes(1), bytes([piece[0] ^ 1 << rng.randrange(8)]), b"", piece * 2
        data[at : at + size] = rng.choice(others)
        if rng.random() < 0.1 and len(data) > 1:
            del data[rng.randrange(1, len(data)) :]
    return bytes(data)


@pytest.mark.parametrize("part", ["file", "pickle", "beginning", "noise"])
def test_damage_is_refused_or_loads(load, part):
    rng = random.Random(part)
    whole, members = saved("tensors").read_bytes(), members_of(saved("tensors"))
    pickled = next(key for key in members if key.endswith("data.pkl"))
    for i in range(500):
        if part == "file":
            content = damaged(whole, rng)
        elif part == "pickle":
            content = zipped({**members, pickled: damaged(members[pickled], rng)})
        elif part == "beginning":
            content = whole[: rng.randrange(len(whole))]
        else:
            content = (b"PK\3\4" if i % 2 else b"") + rng.randbytes(rng.randrange(200))
        for read in (torch_zip.load, torch_zip.read_config):
            try:
                load(content, read)
            except WeightFormatError as error:
                assert len(str(error)) < 1500


# --- the same with torch itself


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def as_numpy(tensor):
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype.itemsize == 2 and tensor.is_floating_point() else tensor).numpy()


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("file", "key"), [("tensors", "state_dict"), ("protocol_4", "state_dict"), ("nanogpt", "model")])
def test_torch_reads_the_same_from_the_fixtures(torch, file, key, version):
    theirs = torch.load(saved(file, version), weights_only=False)
    ours = torch_zip.load(saved(file, version))
    assert list(ours) == list(theirs[key])
    for name_, tensor_ in theirs[key].items():
        np.testing.assert_array_equal(ours[name_], as_numpy(tensor_), strict=True)
    assert theirs["versions"]["torch"].startswith(version)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("stem", ["pytorch_model.bin", "模型 1.v2.pt", "a"])
def test_what_the_installed_torch_saves_comes_back(torch, tmp_path, stem, checksums):
    state = fixture.tensors(torch) | {kind: torch.arange(5).to(getattr(torch, kind)) for kind in ("uint16", "uint32", "uint64")}
    torch.serialization.set_crc32_options(checksums)
    try:
        torch.save(state, tmp_path / stem)
    finally:
        torch.serialization.set_crc32_options(True)
    ours = torch_zip.load(tmp_path / stem)
    assert list(ours) == list(state)
    for name_, tensor_ in state.items():
        np.testing.assert_array_equal(ours[name_], as_numpy(tensor_), strict=True)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_torch_itself_takes_damage_for_values(torch, tmp_path):
    """Why checksums are checked here: torch does not."""
    torch.save({"a": torch.arange(6.0)}, tmp_path / "a.pt")
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(patched(content, SIX.tobytes(), SIX.tobytes()[:-1] + b"\1"))
    assert torch.load(tmp_path / "a.pt")["a"][5] != 5
    with pytest.raises(WeightFormatError, match="'a/data/0' with the checksum"):
        torch_zip.load(tmp_path / "a.pt")
