"""TensorFlow's checkpoints: what TensorFlow and OpenAI's code wrote, and a message for every file that breaks the format."""

import json
import re
import shutil
import tracemalloc

import numpy as np
import pytest

from make_tensorflow_fixture import FIXTURES, HPARAMS, KINDS, numbers, values
from minigpt import GPT, GPTConfig
from minigpt.weights import WeightFormatError, tensorflow
from minigpt.weights.crc32c import crc32c

GPT2 = FIXTURES / "tensorflow_gpt2" / "model-1000.index"
SHARDS = FIXTURES / "tensorflow_shards"


# --- an index of one's own, written from the description alone


def bytewise_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def crc_table():
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        yield crc


CRC_TABLE = list(crc_table())


def masked(data):
    crc = bytewise_crc(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def varint(number):
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def message(fields):
    """A protocol buffer of numbers, bytes, and 4-byte numbers given as a tuple"""
    out = b""
    for field, value in fields:
        if isinstance(value, tuple):
            out += varint(field << 3 | 5) + value[0].to_bytes(4, "little")
        elif isinstance(value, bytes):
            out += varint(field << 3 | 2) + varint(len(value)) + value
        else:
            out += varint(field << 3) + varint(value)
    return out


def entry(shape=(2,), data=bytes(8), dtype=1, *more, shard=0, offset=0, size=None):
    dims = message([(2, message([(1, n)])) for n in shape])
    size = len(data) if size is None else size
    return message([(1, dtype), (2, dims), (3, shard), (4, offset), (5, size), (6, (masked(data),)), *more])


def items(pairs, kept=0):
    """A block's content: entries that repeat nothing of the name before, and one place to start from"""
    rows = b"".join(varint(kept) + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs)
    return rows + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


def table(*blocks, kind=0, spans=None):
    """The bytes of a table with these blocks; spans: what the last block says instead of where they are"""
    out, places = b"", []
    for block in [*blocks, items([])]:
        places.append(varint(len(out)) + varint(len(block)))
        out += block + bytes([kind]) + masked(block + bytes([kind])).to_bytes(4, "little")
    *places, metaindex = places
    last = items((b"%d" % i, place) for i, place in enumerate(places if spans is None else spans))
    place = varint(len(out)) + varint(len(last))
    out += last + bytes([0]) + masked(last + bytes([0])).to_bytes(4, "little")
    return out + (metaindex + place).ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")


HEADER = (b"", message([(1, 1), (3, message([(1, 1)]))]))


def index(*pairs, header=HEADER):
    return table(items([header, *pairs]))


def write(folder, content, data=bytes(8)):
    (folder / "a.index").write_bytes(content)
    if data is not None:
        (folder / "a.data-00000-of-00001").write_bytes(data)
    return folder / "a.index"


# --- what TensorFlow wrote


def test_the_variables_of_openais_model_are_there_by_name():
    tensors = tensorflow.load(GPT2)
    variables = [name for name in tensors if name.startswith("model/") and "Adam" not in name]
    assert len(variables) == 2 + 2 * 12 + 2
    assert tensors["model/h1/attn/c_attn/w"].shape == (1, 4, 12)
    for name in variables:
        np.testing.assert_array_equal(tensors[name], numbers(name, tensors[name].shape))
    assert tensors["global_step"] == 0 and tensors["model/wte/Adam"].shape == (11, 4)


def test_a_model_of_openais_checkpoint_computes_what_openais_code_computed():
    config = GPTConfig(**tensorflow.read_config(GPT2.with_name("hparams.json")))
    model = GPT.from_state_dict(tensorflow.gpt2_parameters(tensorflow.load(GPT2), GPT2), config)
    fixture = json.loads(GPT2.with_name("logits.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(model(np.array(fixture["ids"])), fixture["logits"], rtol=0, atol=3e-6)     # float32


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_of_number_comes_back(kind):
    array = tensorflow.load(FIXTURES / "tensorflow_kinds" / "model.ckpt.index")[f"kind/{kind}"]
    assert array.dtype == ("float32" if kind in ("float16", "bfloat16") else kind)
    np.testing.assert_array_equal(array, values(kind))
    assert array.flags.aligned and array.flags.writeable


def test_scalars_and_empty_tensors_come_back_and_texts_are_left_out():
    tensors = tensorflow.load(FIXTURES / "tensorflow_kinds" / "model.ckpt.index")
    assert tensors["scalar"].shape == () and tensors["scalar"] == 2.5
    assert tensors["empty"].shape == (2, 0, 3)
    assert "text" not in tensors


@pytest.mark.parametrize("name", ["model.ckpt", "model.ckpt.index", "model.ckpt.meta", "model.ckpt.data-00001-of-00002"])
def test_a_checkpoint_in_two_data_files_loads_by_any_of_its_names(name):
    tensors = tensorflow.load(SHARDS / name)
    assert list(tensors) == [f"rows/{i}" for i in range(4)]
    for row, array in tensors.items():
        np.testing.assert_array_equal(array, numbers(row, (2, 3)))


def test_a_checkpoint_of_tensorflow_2s_objects_loads():
    tensors = tensorflow.load(FIXTURES / "tensorflow_object" / "model.ckpt")
    assert list(tensors) == ["wte/.ATTRIBUTES/VARIABLE_VALUE"]
    np.testing.assert_array_equal(tensors["wte/.ATTRIBUTES/VARIABLE_VALUE"], numbers("wte", (3, 2)))


def test_a_write_to_an_array_does_not_reach_the_file(tmp_path):
    path = write(tmp_path, index((b"x", entry())))
    tensorflow.load(path)["x"][:] = 1
    assert tensorflow.load(path)["x"].tolist() == [0, 0]


def test_loading_takes_no_memory_for_what_lies_in_the_file(tmp_path):
    data = bytes(1 << 20)
    x, y = entry((1 << 20,), data, 6), entry((1 << 20,), data, 6, offset=1 << 20)
    path = write(tmp_path, index((b"x", x), (b"y", y)), 2 * data)
    tensorflow.load(path)
    tracemalloc.start()
    tensors = tensorflow.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20 and tensors["y"].nbytes == 1 << 20


def test_several_blocks_are_read_in_their_order(tmp_path):
    first, second = items([HEADER, (b"a", entry())]), items([(b"b", entry(offset=8)), (b"c", entry((0,), b"", offset=16))])
    assert list(tensorflow.load(write(tmp_path, table(first, second), bytes(16)))) == ["a", "b", "c"]


# --- checksums


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 100, 5681, 5682, 45_480, 45_481, 69_167, 69_168, 69_169, 138_337])
def test_the_checksum_is_the_bytewise_one(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == bytewise_crc(data)


@pytest.mark.parametrize(("data", "crc"), [      # RFC 3720 §B.4
    (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E), (b"123456789", 0xE3069283),
])
def test_the_checksum_is_that_of_the_standard(data, crc):
    assert crc32c(data) == crc


# --- folders and names


@pytest.mark.parametrize(("state", "expected"), [
    ('model_checkpoint_path: "model-7"\nall_model_checkpoint_paths: "model-3"\n', "model-7.index"),
    ('model_checkpoint_path: "/content/checkpoint/run1/model-3"\n', "model-3.index"),
    ('model_checkpoint_path: "C:\\\\runs\\\\model-3"\n', "model-3.index"),
])
def test_the_newest_checkpoint_is_the_one_the_folder_names(tmp_path, state, expected):
    for name in ("model-3.index", "model-7.index"):
        (tmp_path / name).touch()
    (tmp_path / "checkpoint").write_text(state, encoding="utf-8")
    assert tensorflow.newest(tmp_path) == tmp_path / expected


@pytest.mark.parametrize("state", [None, 'model_checkpoint_path: "model-9"\n', "", "\xff"])
def test_the_only_checkpoint_of_a_folder_needs_no_naming(tmp_path, state):
    (tmp_path / "model.ckpt.index").touch()
    if state is not None:
        (tmp_path / "checkpoint").write_text(state, encoding="latin-1")
    assert tensorflow.newest(tmp_path) == tmp_path / "model.ckpt.index"


@pytest.mark.parametrize(("names", "message"), [
    ([], "no .index file, expected one checkpoint"), (["a.index", "b.index"], r"a\.index, b\.index, expected one .*you mean"),
])
def test_a_folder_without_one_newest_checkpoint_is_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(WeightFormatError, match=message):
        tensorflow.newest(tmp_path)


def test_hparams_become_the_sizes_of_a_configuration():
    sizes = tensorflow.read_config(GPT2.with_name("hparams.json"))
    assert sizes == {"vocab_size": 11, "n_positions": 6, "n_embd": 4, "n_layer": 2, "n_head": 2}


@pytest.mark.parametrize(("changes", "message"), [
    ({"n_vocab": 0}, "n_vocab 0, expected a whole number above 0"), ({"n_head": 2.0}, r"n_head 2\.0"),
    ({"n_ctx": True}, "n_ctx True"), ({"n_layer": None}, "n_layer None"), ({"n_embd": [4]}, r"n_embd \[4\]"),
])
def test_hparams_without_a_size_are_refused(tmp_path, changes, message):
    path = tmp_path / "hparams.json"
    path.write_text(json.dumps({**HPARAMS, **changes}), encoding="utf-8")
    with pytest.raises(WeightFormatError, match=message):
        tensorflow.read_config(path)


def test_hparams_that_are_no_json_are_refused(tmp_path):
    (tmp_path / "hparams.json").write_text("n_vocab=3", encoding="utf-8")
    with pytest.raises(WeightFormatError, match="expected JSON"):
        tensorflow.read_config(tmp_path / "hparams.json")


def test_parameters_get_gpt2s_names_and_shapes_without_copies():
    tensors = tensorflow.load(GPT2)
    parameters = tensorflow.gpt2_parameters(tensors, GPT2)
    assert len(parameters) == 2 + 2 * 12 + 2
    assert parameters["h.1.mlp.c_proj.weight"].shape == (16, 4) and parameters["h.1.mlp.c_proj.bias"].shape == (4,)
    assert parameters["h.0.ln_1.weight"] is tensors["model/h0/ln_1/g"] and parameters["ln_f.bias"] is tensors["model/ln_f/b"]
    assert np.shares_memory(parameters["h.0.attn.c_attn.weight"], tensors["model/h0/attn/c_attn/w"])


@pytest.mark.parametrize(("names", "message"), [
    ([], "no tensors, expected the variables of OpenAI's GPT-2"),
    (["wte/.ATTRIBUTES/VARIABLE_VALUE"], "wte/.ATTRIBUTES/VARIABLE_VALUE, expected"),
    (["model/wte", "model/h0/attn/c_attn/x"], "model/h0/attn/c_attn/x, expected"),
    (["model/wte", "model/h01/ln_1/g"], "model/h01/ln_1/g, expected"),
    (["model/wte", "model/x\x1b[2J"], r"model/x\\x1b\[2J, expected"),
])
def test_variables_of_another_model_are_refused(names, message):
    with pytest.raises(WeightFormatError, match=message):
        tensorflow.gpt2_parameters({name: np.zeros(2) for name in names}, "a.index")


# --- what breaks the format


BAD_INDEX = {
    "empty": (b"", "0 bytes without a table's end"),
    "HTML": (b"<!DOCTYPE html>" + bytes(100), "an HTML page, expected the index of a TensorFlow checkpoint"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "magic alone": (0xDB4775248B80FB57.to_bytes(8, "little"), "8 bytes without a table's end"),
    "snappy": (table(items([HEADER]), kind=1), "compressed by method 1, expected plain blocks"),
    "block outside": (table(items([HEADER]), spans=[varint(0) + varint(2**60)]), "from byte 0 to 1,152,921,504,606,846,976"),
    "block twice": (table(items([HEADER]), spans=[varint(0) + varint(len(items([HEADER])))] * 2), "at byte 0, expected"),
    "places to start from": (table((99).to_bytes(4, "little")), "more places to start from"),
    "block of 3 bytes": (table(b"\0\0\0"), "a block of 3 bytes"),
    "no header": (table(), "'' as the first name, expected the empty one, with the number of data files"),
    "header with a name": (index(header=(b"x", HEADER[1])), "'x' as the first name"),
    "no data files": (index(header=(b"", message([(3, b"")]))), "'' as the first name"),
    "header of text": (index(header=(b"", message([(1, b"1")]))), "field 1 of another kind, expected a number"),
    "big-endian": (index(header=(b"", message([(1, 1), (2, 1)]))), "big-endian order, expected little-endian"),
    "names out of order": (index((b"y", entry()), (b"x", entry())), "'x' behind 'y', expected names in their order"),
    "name twice": (index((b"x", entry()), (b"x", entry())), "'x' behind 'x'"),
    "name of bytes": (index((b"\xff", entry())), r"the name .*xff', expected UTF-8"),
    "long name": (index((b"x" * 1001, entry())), r"a name of 0 \+ 1001 bytes"),
    "name of more than there is": (table(items([HEADER, (b"x", entry())], kept=1)), r"a name of 1 \+ 0 bytes and"),
    "value outside": (table(bytes([0, 1, 50]) + b"x" + items([])), "1 bytes and 50 about it behind '', expected what fits"),
    "long value": (index((b"x", message([(2, b"\x12\0" * 5001)]))), "bytes and 10,005 about it"),
    "number without end": (table(b"\x80" * 20 + items([])), "a number that does not end"),
    "field outside": (index((b"x", varint(1 << 3 | 2) + b"\x09")), "a field of 9 bytes where 0 are left"),
    "field of 4 bytes cut off": (index((b"x", varint(6 << 3 | 5) + b"\0")), "a field of 4 bytes where 1 are left"),
    "group": (index((b"x", b"\x0b")), "a field of kind 3"),
    "partitioned": (index((b"x", entry((2,), bytes(8), 1, (7, b"")))), "'x' in parts, expected whole variables"),
    "complex": (index((b"x", entry(dtype=8))), "'x' of TensorFlow's type 8, expected numbers"),
    "no type": (index((b"x", entry(dtype=0))), "'x' of TensorFlow's type 0"),
    "another data file": (index((b"x", entry(shard=1))), "'x' in data file 1 of 1"),
    "too little data": (index((b"x", entry((3,)))), r"'x' with 8 bytes of data, expected 12 for shape \(3,\) of float32"),
    "forged shape": (index((b"x", entry((10**15,)))), "'x' with 8 bytes of data, expected 4000000000000000"),
    "overflowing shape": (index((b"x", entry((2**62, 2**62)))), r"fewer than 2\^63 bytes"),
    "negative shape": (index((b"x", entry((2**64 - 1, 2)))), r"fewer than 2\^63 bytes"),
    "33 dimensions": (index((b"x", entry((1,) * 33))), "at most 32 integers"),
    "shape of a number": (index((b"x", message([(1, 1), (2, 3)]))), "field 2 of another kind, expected something"),
    "flipped bit": (index((b"x", entry())).replace(b"x", b"y"), "a block at byte 0 with the checksum"),
}
BAD_DATA = {
    "cut short": ([(b"x", entry())], bytes(7), "7 bytes, expected at least 8, for 'x': the file is cut short"),
    "none": ([(b"x", entry())], b"", "0 bytes, expected at least 8"),
    "missing": ([(b"x", entry())], None, "no such file, expected all data files beside the index"),
    "far away": ([(b"x", entry(offset=2**60))], bytes(8), "8 bytes, expected at least 1,152,921,504,606,846,984"),
    "overlapping": ([(b"x", entry()), (b"y", entry(offset=4))], bytes(12), "'y' overlapping 'x', expected its .* at 8"),
    "huge text": ([(b"x", entry(dtype=7, size=2**62))], bytes(8), "8 bytes, expected at least"),
    "flipped bit": ([(b"x", entry())], b"\1" + bytes(7), "'x' with the checksum [0-9a-f]{8}, expected"),
}


def refusal(path, named, message):
    tracemalloc.start()
    try:
        with pytest.raises(WeightFormatError, match=message) as caught:
            tensorflow.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert text.startswith(f"{named}: ") and text.isprintable() and len(text) < 1000
    assert peak < 4e6


@pytest.mark.parametrize(("content", "message"), BAD_INDEX.values(), ids=BAD_INDEX.keys())
def test_a_bad_index_is_refused_in_little_memory(tmp_path, content, message):
    path = write(tmp_path, content)
    refusal(path, path, message)


@pytest.mark.parametrize(("pairs", "data", "message"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_are_refused_in_little_memory(tmp_path, pairs, data, message):
    path = write(tmp_path, index(*pairs), data)
    refusal(path, path.with_name("a.data-00000-of-00001"), message)


def test_an_index_of_many_names_is_refused_before_all_are_read(tmp_path):
    pairs = [(b"%07d" % i, b"\x08\x07") for i in range(50_001)]
    with pytest.raises(WeightFormatError, match="more than 50,000 tensors"):
        tensorflow.load(write(tmp_path, index(*pairs)))


def test_a_large_index_is_refused_unread(tmp_path):
    path = tmp_path / "a.index"
    with open(path, "wb") as file:
        file.truncate(20_000_000)
    refusal(path, path, "an index of 20,000,000 bytes, expected at most 16,000,000")


def test_a_partitioned_variable_of_tensorflows_is_refused_by_name():
    path = FIXTURES / "tensorflow_partitioned" / "model.ckpt.index"
    refusal(path, path, "'rows/1' in parts, expected whole variables")


def test_a_checkpoint_of_version_1_is_refused_by_name():
    path = FIXTURES / "tensorflow_v1" / "model.ckpt"
    refusal(path, path, "a checkpoint of version 1, expected NAME.index")


def test_a_checkpoint_of_version_1_under_an_indexs_name_is_refused(tmp_path):
    path = tmp_path / "a.index"
    shutil.copy(FIXTURES / "tensorflow_v1" / "model.ckpt", path)
    refusal(path, path, "of another kind")


def test_another_file_by_a_checkpoints_name_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"PK\3\4")
    refusal(tmp_path / "a", tmp_path / "a", "no .index file beside it, expected NAME.index")


def test_no_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.index"):
        tensorflow.load(tmp_path / "a")


def outcome(path):
    """None where the checkpoint is refused, else its tensors as bytes"""
    try:
        return {name: array.tobytes() for name, array in tensorflow.load(path).items()}
    except WeightFormatError as error:
        assert str(error).isprintable() and len(str(error)) < 1000
        return None


def copied(folder):
    shutil.copytree(SHARDS, folder, dirs_exist_ok=True)
    return sorted(folder.iterdir())


def test_a_checkpoint_cut_anywhere_is_refused(tmp_path):
    for path in copied(tmp_path):
        content = path.read_bytes()
        for size in range(len(content)):
            path.write_bytes(content[:size])
            assert outcome(tmp_path / "model.ckpt") is None, (path.name, size)
        path.write_bytes(content)


def test_a_thousand_random_changes_are_refused_or_change_nothing(tmp_path):
    rng = np.random.default_rng(0)
    files = copied(tmp_path)
    contents = [path.read_bytes() for path in files]
    right = outcome(tmp_path / "model.ckpt")
    for i in range(1000):
        path, content = files[i % 3], bytearray(contents[i % 3])
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content)
        assert outcome(tmp_path / "model.ckpt") in (None, right)
        path.write_bytes(contents[i % 3])


def test_a_thousand_changes_under_right_checksums_are_refused_or_load(tmp_path):
    rng = np.random.default_rng(1)
    pairs = [(b"a", entry()), (b"ab", entry((), bytes(4), offset=8)), (b"b", entry((4,), bytes(8), 19, offset=12))]
    block = items([HEADER, *pairs])
    assert outcome(write(tmp_path, table(block), bytes(20)))
    for _ in range(1000):
        content = bytearray(block)
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(len(content))] = rng.integers(256)
        outcome(write(tmp_path, table(bytes(content)), bytes(20)))


def test_random_bytes_are_refused(tmp_path):
    rng = np.random.default_rng(2)
    for size in (1, 10, 48, 100, 1000) * 20:
        content = rng.bytes(size)
        assert outcome(write(tmp_path, content)) is None
        assert outcome(write(tmp_path, content + 0xDB4775248B80FB57.to_bytes(8, "little"))) is None


def test_messages_show_names_without_control_characters(tmp_path):
    path = write(tmp_path, index((b"\x1b[2J\n", entry(dtype=8))))
    with pytest.raises(WeightFormatError, match=re.escape(r"'\x1b[2J\n' of TensorFlow's type 8")):
        tensorflow.load(path)
