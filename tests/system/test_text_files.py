"""A text file is read as the text that people meant, and one in another encoding is named with the command that mends it."""

import pytest

from minigpt.system.encodings import guess_encoding
from minigpt.system.shell import quoted
from minigpt.system.text_files import read_text_file

CHINESE = "道可道，非常道。名可名，非常名。无名天地之始；有名万物之母。\n故常无欲，以观其妙；常有欲，以观其徼。\n"
TRADITIONAL = "此開卷第一回也。作者自云：因曾歷過一番夢幻之後，故將真事隱去。\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
KOREAN = "대한민국은 민주공화국이다. 대한민국의 주권은 국민에게 있고, 모든 권력은 국민으로부터 나온다.\n"
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"
FRENCH = "Longtemps, je me suis couché de bonne heure. Parfois, à peine ma bougie éteinte, mes yeux se fermaient.\n"
ENGLISH = "The quick brown fox\n"
# text, Python's encoding, what iconv is to be told
ENCODED = [
    (CHINESE, "gb18030", "GB18030"), (CHINESE, "gbk", "GB18030"), (TRADITIONAL, "big5", "BIG5"),
    (JAPANESE, "shift_jis", "SHIFT_JIS"), (JAPANESE, "euc_jp", "EUC-JP"), (KOREAN, "euc_kr", "EUC-KR"),
    (RUSSIAN, "cp1251", "CP1251"), (RUSSIAN, "koi8_r", "KOI8-R"), (FRENCH, "latin-1", "CP1252"), (FRENCH, "cp1252", "CP1252"),
    (FRENCH, "utf-16-le", "UTF-16LE"), (ENGLISH, "utf-16-be", "UTF-16BE"),
    *((text, encoding, encoding.upper()) for text in (CHINESE, ENGLISH) for encoding in ("utf-16", "utf-32")),
    (CHINESE, "utf-16-le", "UTF-16LE"), (JAPANESE, "utf-16-be", "UTF-16BE"),
]


def test_a_byte_order_mark_is_left_out_every_line_end_is_a_line_feed_and_the_note_says_so_once(tmp_path):
    path = tmp_path / "a.txt"
    for data, text, note in [
        (b"one\ntwo\0\x1c\xcf\x83", "one\ntwo\0\x1cσ", ""),
        (b"\xef\xbb\xbfone\xef\xbb\xbf", "one\ufeff", "The byte order mark was left out; --keep-bytes keeps every byte."),
        (b"\xef\xbb\xbfa\r\nb\r\nc\rd\n", "a\nb\nc\nd\n", "The byte order mark was left out, 2 line ends \\r\\n became \\n, "
         "1 line end \\r became \\n; --keep-bytes keeps every byte."),
        (b"a\r\r\n", "a\n\n", "1 line end \\r\\n became \\n, 1 line end \\r became \\n; --keep-bytes keeps every byte."),
        ("a\ufeff\u2028\x85".encode(), "a\ufeff\u2028\x85", ""),
    ]:
        path.write_bytes(data)
        assert read_text_file(path) == (text, note), data
        assert read_text_file(path, keep_bytes=True) == (data.decode(), ""), data


@pytest.mark.parametrize(("text", "encoding", "name"), ENCODED)
def test_another_encoding_is_named_with_the_line_that_makes_utf8_of_it(tmp_path, text, encoding, name):
    path = tmp_path / "my text.txt"
    path.write_bytes((20 * text).encode(encoding))
    with pytest.raises(ValueError, match="expected UTF-8; it looks like") as error:
        read_text_file(path)
    _, _, line = str(error.value).partition("and this makes UTF-8: ")
    made = quoted(tmp_path / "my text-utf8.txt")
    assert line == f"iconv -f {name} -t UTF-8 {quoted(path)} > {made}"
    assert path.read_bytes().decode(name) == 20 * text       # Python's codecs are those of iconv


def test_a_short_text_is_enough_and_what_is_no_text_gets_no_encoding():
    for data, name in [
        ("天地玄黃，宇宙洪荒。日月盈昃".encode("big5"), "BIG5"), ("café".encode("latin-1"), "CP1252"), (b"all ASCII", "UTF-8"),
        ((60 * "a" + 9 * CHINESE).encode("utf-16-le"), "UTF-16LE"),        # its first high byte is at an odd place
        (bytes(range(256)), None), (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x02" * 9, None), (b"", "UTF-8"),
    ]:
        assert guess_encoding(data) == name, data


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
