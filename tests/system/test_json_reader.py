"""JSON from outside is taken as it stands, or refused in one line that names the source and the place."""

import json
import tracemalloc

import pytest

from minigpt.system.json_reader import MOST_BYTES, parse_json, read_json

NESTED = b"[" * 100_000 + b"]" * 100_000

REFUSED = {
    "nothing": (b"", "line 1, column 1: Expecting value, expected JSON"),
    "cut short": (b'{"a": 1,\n "b"', "line 2, column 5: Expecting ':' delimiter, expected JSON"),
    "two values": (b"{} {}", "line 1, column 4: Extra data, expected JSON"),
    "byte order mark": (b"\xef\xbb\xbf{}", "Unexpected UTF-8 BOM"),
    "not UTF-8": (b'{"a": "\xff"}', "invalid UTF-8 at byte 7, expected JSON in UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "invalid UTF-8 at byte 0"),
    "a control character": (b'{"a": "\x1b[2J"}', "line 1, column 8: Invalid control character at"),
    "NaN": (b'{"a": {"b": [0, NaN]}}', r"f: a\.b\[1\]: NaN, expected a finite number"),
    "Infinity": (b'{"a": -Infinity}', "f: a: -Infinity, expected a finite number"),
    "a float out of range": (b'{"a": 1e400}', "f: a: 1e400, expected a finite number"),
    "a long integer": (b'{"a": ' + b"9" * 5000 + b"}", "f: a: a number of 5,000 digits, expected at most 100"),
    "a long fraction": (b'{"a": 0.' + b"9" * 5000 + b"}", "f: a: a number of 5,002 digits, expected at most 100"),
    "a duplicate key": (b'{"a": {"x": 1, "y": 2, "x": 3}}', "f: a: duplicate key 'x', expected each key once"),
    "an escaped duplicate": (b'{"x": 1, "\\u0078": 1}', "f: duplicate key 'x'"),
    "a duplicate that steers": (b'{"\\u001b[2J": 1, "\\u001b[2J": 1}', r"f: duplicate key '\\x1b\[2J'"),
    "half a character": (b'{"a": ["\\ud83d"]}', r"f: a: a text with \\ud83d, half a character, expected whole ones"),
    "half a character in a key": (b'{"\\udc00": 1}', r"f: a text with \\udc00, half a character"),
    "brackets": (NESTED, "brackets nested too deeply, expected at most 64 levels"),
    "open brackets": (NESTED[:100_000], "brackets nested too deeply|line 1, column 100001"),
    "objects": (b'{"a":' * 65 + b"1" + b"}" * 65, "brackets nested too deeply, expected at most 64 levels"),
    "a list": (b"[]", "f: a list, expected an object"),
    "a text": (b'"{}"', "f: a text, expected an object"),
    "null": (b"null", "f: null, expected an object"),
    "true": (b"true", "f: true or false, expected an object"),
    "a number": (b"-0", "f: a number, expected an object"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_strict_json_is_refused_with_its_place(data, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_json(data, "f", dict)
    assert str(caught.value).startswith("f: ") and str(caught.value).endswith("; download or save the file again")


def test_what_is_json_comes_back_as_it_stands():
    value = {"a": [1, -2, 0.5, 1e-400, True, None, "ü😀\u202e"], "b": {"": {}}, "c" * 1000: 10**30, "\x1b": []}
    for ensure_ascii in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=ensure_ascii), "f", dict) == value
    assert parse_json(b"[]", "f", list) == []
    assert parse_json(b"[" * 64 + b"]" * 64, "f", list)


def test_minus_zero_is_a_float_and_large_integers_are_exact():
    assert [type(number) for number in parse_json("[-0, 0, -1]", "f", list)] == [float, int, int]
    assert parse_json("[1000000000000000019884624838656]", "f", list) == [1000000000000000019884624838656]


def test_a_message_names_the_file_and_raises_the_callers_error(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"k\\n": [[NaN]]}')
    with pytest.raises(LookupError) as caught:
        read_json(path, dict, error=LookupError)
    assert str(caught.value) == f"{path}: k\\n[0][0]: NaN, expected a finite number; download or save the file again"
    with pytest.raises(ValueError, match=r"^a\\n\\x1b\[2J: a list"):
        parse_json("[]", "a\n\x1b[2J", dict)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none", dict)


@pytest.mark.parametrize("data", [
    b'{"' + b"k" * 1_000_000 + b'": NaN}', b'{"' + b"k" * 1_000_000 + b'": 1, "' + b"k" * 1_000_000 + b'": 1}',
    b'{"%s":' % (b"k" * 10_000) * 60 + b"NaN" + b"}" * 60, b"[" * 60 + b"NaN" + b"]" * 60, b'{"a": 1e' + b"9" * 99 + b"}",
], ids=["a long key", "a long duplicate", "a deep place", "a deep list", "a long number"])
def test_a_message_is_bounded(data):
    with pytest.raises(ValueError, match="expected") as caught:
        parse_json(data, "f" * 10_000, dict)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("value", [b"[],", b"{},", b"99,", b'"",'], ids=["lists", "objects", "numbers", "texts"])
def test_many_values_are_refused_before_they_take_memory(value):
    data = b"[" + value * 4_000_000 + b"0]"
    tracemalloc.start()
    with pytest.raises(ValueError, match="too many values, expected at most 2,000,000"):
        parse_json(data, "f", list)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(data)


def test_a_small_file_takes_little_memory(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"{}")
    tracemalloc.start()
    read_json(path, dict)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_file_of_any_size_is_read_up_to_the_limit_only(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(50 * MOST_BYTES)      # a sparse file
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.json: too large, expected at most 64,000,000 bytes"):
        read_json(path, dict)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MOST_BYTES
