"""Numbers of a trace with their labels: on a terminal, and as files that other programs read."""

import csv
import re
from functools import cache

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.study.export import csv_pieces, write_csv, write_npz
from minigpt.study.tables import MAX_ROWS
from minigpt.system.columns import columns
from minigpt.tokenization import CharTokenizer, Tokenizer

CHARS = "今\na\x1be\u0301 Z"


@cache
def traced(*texts, has_tokenizer=True):
    """A trace, with gradients, of texts of one length; the second position sees the first, and so on"""
    model = GPT(GPTConfig(vocab_size=len(CHARS), n_positions=70, n_embd=6, n_layer=1, n_head=2), seed=3)
    for array in model.params.values():
        array += np.random.default_rng(0).standard_normal(array.shape).astype(array.dtype)
    tokenizer = CharTokenizer(CHARS)
    model.tokenizer = tokenizer if has_tokenizer else None
    ids = np.array([*map(tokenizer.encode, texts)])
    return model.trace(ids, np.roll(ids, -1, 1))


def blocks(text):
    """The title of a table, and the lines of each of its squares"""
    title, _, rest = text.partition("\n")
    return title, [block.splitlines() for block in rest.lstrip("\n").split("\n\n")]


def test_each_head_is_a_square_with_tokens_along_its_rows_and_its_columns():
    step = traced("Za今")["h.0.attn.att"]
    title, squares = blocks(step.table().text())
    assert title == "h.0.attn.att (B=1, H=2, T=3, T=3)  att = softmax(scores)"
    for h, (square, head) in enumerate(zip(squares, step.value[0], strict=True)):
        assert [line.split()[:2] for line in square] == [["head", str(h)], ["0", "Z"], ["1", "a"], ["2", "今"]]
        assert square[0].split()[2:] == ["Z", "a", "今"]
        np.testing.assert_allclose([[*map(float, line.split()[2:])] for line in square[1:]], head, rtol=0, atol=5.1e-4)
        assert [line.split()[2:].count("0") for line in square[1:]] == [2, 1, 0]        # what the mask hides is exactly 0


@pytest.mark.parametrize("texts", [("Za今",), ("Za今", "e\u0301\n")], ids=["one sequence", "two"])
def test_every_array_is_printed_whole_with_its_rows_and_columns(texts):
    for name, step in traced(*texts).items():
        for grad, array in ((False, step.value), (True, step.grad)):
            title, squares = blocks(step.table(grad).text())
            assert title.startswith(f"{'gradient of ' * grad}{name} (")
            assert title.endswith(step.backward if grad else step.equation)
            axes = [letter for letter in step.axes.split() if letter not in "BH1"]
            n_columns = 1 if axes in (["T"], []) else array.shape[-1]
            n_rows = array.shape[step.axes.split().index(axes[0])] if len(axes) == 2 or axes == ["T"] else 1
            shown = [[float(cell) for cell in line.split()[-n_columns:]] for lines in squares for line in lines[-n_rows:]]
            largest = np.abs(array[np.isfinite(array)]).max()
            np.testing.assert_allclose(np.ravel(shown), array.ravel(), rtol=0, atol=6e-4 * largest, err_msg=name)


def test_each_sequence_has_its_own_tokens():
    trace = traced("Za今", "e\u0301\n").select(["nll", "h.0.attn.att"])
    for table, above in ((trace["nll"].table(), []), (trace["h.0.attn.att"].table(), ["e", "\u0301", "⏎"])):
        square = blocks(table.text())[1][-1]
        assert square[0].split()[:2] == ["sequence", "1"] or square[0].split()[:2] == ["sequence", "1,"]
        assert [line.split()[1] for line in square[1:]] == ["e", "\u0301", "⏎"] and square[0].split()[4:] == above
    lines = [*csv.DictReader("".join(csv_pieces(trace)).splitlines())]
    tokens = {(line["sequence"], line["token"], line["key_token"]) for line in lines if line["name"] == "h.0.attn.att"}
    words = {"0": ["Z", "a", "今"], "1": ["e", "\u0301", "⏎"]}
    assert tokens == {(i, query, key) for i, word in words.items() for query in word for key in word}


def test_wide_and_invisible_characters_keep_the_columns_straight():
    text = str(traced("今\x1b\ne\u0301")["h.0.attn.scores"].table())
    assert re.findall(r"\d (\S+) ", text)[:5] == ["今", "\\x1b", "⏎", "e", "\u0301"] and "\x1b" not in text
    for square in blocks(text)[1]:
        assert len({columns(line) for line in square}) == 1, square


def test_what_does_not_fit_is_left_out_in_the_middle_and_said():
    table = traced("Za今" * 22)["h.0.attn.att"].table()
    for width in (1, 30, 50, 80, 117, 200, 999):
        text, is_whole = table.fitted(width)
        lines = text.splitlines()[1:]
        if width > 40:
            assert max(map(columns, lines)) <= width
        rows = [line.split()[0] for line in lines[2:] if line][: MAX_ROWS + 1]
        assert rows == [*map(str, range(30)), "…", *map(str, range(36, 66))]
        heading = lines[1].split()[2:]
        assert heading[0] == "Z" and (len(heading) == 66 or heading.count("…") == 1) and not is_whole
        assert len(heading) == 2 or heading[-1] in ("今", "…")
    assert table.text().count("\n") == 2 * (66 + 2) and "…" not in table.text()
    assert repr(table).endswith("\n(… stands for what does not fit; print(table.text()) shows all)")


def test_a_long_token_is_cut_to_a_label():
    model = GPT(GPTConfig(vocab_size=258, n_positions=4, n_embd=6, n_layer=1, n_head=2), seed=3)
    model.tokenizer = Tokenizer([], ["<|今今今今今今今今|>", "<|14 columns|>"])
    text = model.trace([[256, 257]])["h.0.attn.att"].table().text()
    assert [*map(columns, text.splitlines()[2:5])] == [16 + 2 + 13 + 2 + 14] * 3
    assert re.findall("<.*?(?= |$)", text.splitlines()[2]) == ["<|今今今今今…", "<|14␣columns|>"]


def test_labels_are_ids_without_a_tokenizer():
    assert traced("Za今", has_tokenizer=False)["nll"].table().text().split()[-6::3] == ["1", "2"]
    text = traced("Za今", has_tokenizer=False)["h.0.attn.att"].table().text()
    assert text.splitlines()[2].split() == ["head", "0", "#7", "#2", "#0"]


@pytest.mark.parametrize("texts", [("Za今",), ("Za今", "e\u0301\n")], ids=["one sequence", "two"])
def test_csv_and_npz_hold_every_number_exactly(texts, tmp_path):
    trace = traced(*texts)
    write_csv(trace, tmp_path / "a.csv", grad=True)
    write_npz(trace, tmp_path / "a.npz", grad=True)
    arrays = dict(np.load(tmp_path / "a.npz", allow_pickle=False))
    tokens = arrays.pop("tokens")
    assert tokens.tolist() == [["Z", "a", "今"], ["e", "\u0301", "⏎"]][: len(texts)]
    assert arrays.keys() == {name + end for name in trace for end in ("", ".grad")}
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        lines = [*reader]
    assert ("sequence" in reader.fieldnames) == (len(texts) > 1)
    for name, step in trace.items():
        found = [line for line in lines if line["name"] == name]
        for column, array, key in (("value", step.value, name), ("gradient", step.grad, f"{name}.grad")):
            np.testing.assert_array_equal(np.array([line[column] for line in found], array.dtype).reshape(array.shape), array)
            np.testing.assert_array_equal(arrays[key], array)


def test_a_line_of_csv_says_what_its_number_belongs_to():
    lines = "".join(csv_pieces(traced("Za今").select(["h.0.attn.att", "logits", "h.0.mlp.c_fc.weight", "wpe.weight", "loss"])))
    header, *rows = csv.reader(lines.splitlines())
    assert header == ["name", "head", "position", "token", "key", "key_token", "id", "id_token", "input", "channel", "value"]
    assert rows[5][:-1] == ["h.0.attn.att", "0", "1", "a", "2", "今", "", "", "", ""]
    assert ["logits", "", "2", "今", "", "", "3", "\\x1b", "", ""] in [row[:-1] for row in rows]
    assert ["h.0.mlp.c_fc.weight", *[""] * 7, "5", "23"] in [row[:-1] for row in rows]
    assert ["wpe.weight", "", "69", *[""] * 6, "5"] in [row[:-1] for row in rows]
    assert ["loss", *[""] * 9] in [row[:-1] for row in rows]
    assert float(rows[5][-1]) == 0


def test_a_trace_without_gradients_writes_no_file_of_them(tmp_path):
    trace = traced("Za今")
    without = trace._model.trace(trace.ids)
    for write in (write_csv, write_npz):
        with pytest.raises(ValueError, match="no gradient"):
            write(without, tmp_path / "a", grad=True)
    with pytest.raises(ValueError, match=r"h\.0\.in: no gradient"):
        without["h.0.in"].table(grad=True)
    assert not [*tmp_path.iterdir()]
