"""A log that grows is read as the whole file would be, and only what is new of it."""

import pytest

from minigpt.training import log
from minigpt.training.log import COLUMNS, GrowingLog, log_line, read_log


def line(step):
    return log_line(step, 4 - step / 100, 3.5 if step % 3 == 0 else None, 1e-3, 1.0, 1000, 0.1 * step)


HEADING = f"{','.join(COLUMNS)}\r\n"
DAMAGED = [HEADING, line(1), line(2), "dam中aged\n", line(3), line(900), line(4), line(4), line(5), "\r\n", line(6), line(7),
           line(2), line(8)]


@pytest.mark.parametrize("stride", [1, 7, 64, 300])
def test_after_every_look_there_are_the_rows_of_the_whole_file(tmp_path, stride):
    path, data = tmp_path / "log.csv", "".join(DAMAGED).encode()
    growing = GrowingLog(path)
    for end in range(0, len(data) + stride, stride):
        path.write_bytes(data[:end])
        assert growing.rows() == read_log(path, quiet=True), end
    assert [row["step"] for row in growing.rows()] == [1, 2, 3, 4, 5, 6, 8]
    path.write_bytes((HEADING + line(1) + line(3) + line(8)).encode())
    assert [row["step"] for row in growing.rows()] == [1, 3, 8], "written anew, and shorter"
    again = [HEADING, *(line(step) for step in range(20, 40))]
    path.write_bytes("".join(again).encode())
    assert growing.rows() == read_log(path), "written anew, and longer"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        growing.rows()


def test_only_what_is_new_is_read(tmp_path, monkeypatch):
    path, parsed, whole = tmp_path / "log.csv", [], log._row
    monkeypatch.setattr(log, "_row", lambda text: parsed.append(text) or whole(text))
    path.write_text(HEADING + "".join(map(line, range(1, 400))), encoding="utf-8", newline="")
    growing = GrowingLog(path)
    assert len(growing.rows()) == 399
    parsed.clear()
    with open(path, "a", encoding="utf-8", newline="") as file:
        file.write(line(400))
    assert growing.rows()[-1]["step"] == 400 and len(parsed) == 2
