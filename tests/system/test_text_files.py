"""A text file is read as the text that people meant, and one in another encoding is named with the command that mends it."""

import os
import shutil
import subprocess

import pytest

from minigpt.system.shell import quoted
from minigpt.system.text_files import read_text_file

RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"
UKRAINIAN = "Ніхто з нас не хотів повертатися додому.\n"


def test_a_byte_order_mark_is_left_out_every_line_end_is_a_line_feed_and_the_note_says_so_once(tmp_path):
    path = tmp_path / "a.txt"
    for data, text, note in [
        (b"one\ntwo\x1b[0m\x1c\xcf\x83", "one\ntwo\x1b[0m\x1cσ", ""),
        (b"\xef\xbb\xbfone\xef\xbb\xbf", "one\ufeff", "The byte order mark was left out; --keep-bytes keeps every byte."),
        (b"\xef\xbb\xbfa\r\nb\r\nc\rd\n", "a\nb\nc\nd\n", "The byte order mark was left out, 2 line ends \\r\\n became \\n, "
         "1 line end \\r became \\n; --keep-bytes keeps every byte."),
        (b"a\r\r\n", "a\n\n", "1 line end \\r\\n became \\n, 1 line end \\r became \\n; --keep-bytes keeps every byte."),
        ("a\ufeff\u2028\x85".encode(), "a\ufeff\u2028\x85", ""),
    ]:
        path.write_bytes(data)
        assert read_text_file(path) == (text, note), data
        assert read_text_file(path, keep_bytes=True) == (data.decode(), ""), data


@pytest.mark.parametrize(("text", "encoding", "names"), [
    (RUSSIAN, "koi8_r", "KOI8-R"), (RUSSIAN, "utf-16-le", "UTF-16LE"), (RUSSIAN[:22].replace(" ", ""), "utf-16-be", "UTF-16BE"),
    (UKRAINIAN, "koi8_u", "KOI8-U or KOI8-R"), ("plain ASCII", "utf-16-be", "UTF-16BE"), ("plain ASCII", "utf-16", "UTF-16"),
    ("plain ASCII", "utf-32-le", "UTF-32LE"), ("吾輩は猫である。", "iso2022_jp", "ISO-2022-JP"), ("道可道，非常道", "hz", "HZ"),
])
def test_another_encoding_is_named_with_the_line_that_makes_utf8_of_it(tmp_path, text, encoding, names):
    path, made = tmp_path / "my text.txt", tmp_path / "my text-utf8.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=f"expected UTF-8; it may be {names}; look at what this makes of it: ") as error:
        read_text_file(path)
    line = str(error.value).partition("makes of it: ")[2]
    if os.name != "nt" and (names == "HZ" or shutil.which("iconv")):
        subprocess.run(line, shell=True, check=True)
        assert made.read_text(encoding="utf-8").removeprefix("\ufeff") == text
    assert names == "HZ" or line == f"iconv -f {names.split()[0]} -t UTF-8 {quoted(path)} > {quoted(made)}"


def test_zero_bytes_and_escapes_are_kept_only_on_request(tmp_path):
    path, made = tmp_path / "a.txt", tmp_path / "a-utf8.txt"
    for data, found in [("one\0 two σ\0\n".encode(), "2 zero bytes"),
                        ("吾輩は猫".encode("iso2022_jp"), "bytes that seem to stand for other")]:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"a\.txt: {found}.*, which --keep-bytes keeps, expected UTF-8; ") as error:
            read_text_file(path)
        assert read_text_file(path, keep_bytes=True) == (data.decode(), "")
        if os.name != "nt" and b"\0" in data:
            subprocess.run(str(error.value).partition("this leaves them out: ")[2], shell=True, check=True)
            assert made.read_text(encoding="utf-8") == "one two σ\n"


def test_damaged_utf8_gets_the_line_that_leaves_the_bad_bytes_out(tmp_path):
    (tmp_path / "a.txt").write_bytes("naïve ".encode() + "naïve".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.txt: byte 0xef at offset 9 of 12 \(.*\), expected UTF-8; a few bytes are damaged"
                       r".*: iconv -c -f UTF-8 -t UTF-8 .*a\.txt > .*a-utf8\.txt"):
        read_text_file(tmp_path / "a.txt")


def test_a_mark_and_nothing_after_it_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf")
    with pytest.raises(ValueError, match="a byte order mark and nothing after it, expected a text"):
        read_text_file(tmp_path / "a.txt")
    assert read_text_file(tmp_path / "a.txt", keep_bytes=True).text == "\ufeff"
