"""Text files in parts: together they are the whole, wherever it is cut."""

import pytest

from minigpt.system import text_parts
from minigpt.system.text_files import changes_note, read_text_file
from minigpt.tokenization.cutting import Cuts

DATA = "\ufeffIt's 日本 語👍🏽\r\n\r\n  don't\rstop  \n\n'll 12…\r\n<s>é".encode()


@pytest.mark.parametrize("cuts", [Cuts(), Cuts(anywhere=True), Cuts(tokens=("<s>",)), Cuts(before_space=True)])
@pytest.mark.parametrize(("window", "end"), [(4, ""), (1 << 14, ""), (4, "👍")])
def test_parts_of_every_length_and_from_every_stretch_are_the_file_as_people_mean_it(tmp_path, monkeypatch, cuts, window, end):
    monkeypatch.setattr(text_parts, "_WINDOW", window)
    path = tmp_path / "a.txt"
    data = DATA + end.encode()
    path.write_bytes(data)
    for keep_bytes in (False, True):
        text, note = read_text_file(path, keep_bytes)
        for part in (1, 2, 3, 5, 8, 100):
            for stretch in (part, 2 * part):
                parts = [found for start in range(0, len(data), stretch)
                         for found in text_parts.read_parts(path, start, start + stretch, cuts, keep_bytes, part)]
                assert "".join(found.text for found in parts) == text
                assert changes_note(*(sum(found[i] for found in parts) for i in (1, 2, 3))) == note


def test_a_part_in_another_encoding_is_refused_with_its_place_in_the_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"all well here " * 9 + "et voilà, déjà vu ".encode("latin-1") * 9)
    with pytest.raises(ValueError) as whole:
        read_text_file(path)
    with pytest.raises(ValueError) as part:
        list(text_parts.read_parts(path, 0, 1000, Cuts(), False, 10))
    assert str(part.value).partition(";")[0] == str(whole.value).partition(";")[0]
    assert "offset 133 of 288" in str(part.value)
