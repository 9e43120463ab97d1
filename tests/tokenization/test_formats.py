"""The files of tokenizers: what is written, what is read, and what a damaged one gets; load and from_state."""

import base64
import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from make_tokenizer_fixture import random_strings, tiktoken_encoding
from minigpt.tokenization import CharTokenizer, Tokenizer, formats, from_state, load
from texts import END, PROSE, nasty_text

ROOT = Path(__file__).parents[2]
GPT2_MERGES = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"  # sha256


def test_load_returns_what_was_saved(tokenizer, folder):
    assert Tokenizer.load(folder) == load(folder) == tokenizer
    assert load(without_tokenizer_json(folder)) == tokenizer
    assert Tokenizer.load(str(folder)).encode(PROSE) == tokenizer.encode(PROSE)


def test_saved_files_are_those_of_gpt2(tokenizer, folder):
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    assert (lines[0], len(lines), lines[-1]) == ("#version: 0.2", 1 + 442 + 1, "")
    assert "Ġ t" in lines
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert (len(vocab), vocab["!"], vocab["Ġ"], vocab["Ċ"], vocab["ÿ"], vocab[END]) == (700, 0, 220, 198, 187, 698)
    assert vocab[lines[-2].replace(" ", "")] == 697
    assert json.loads((folder / "added_tokens.json").read_text(encoding="utf-8")) == tokenizer.special_tokens


def test_saving_again_leaves_nothing_of_the_tokenizer_before(folder):
    Tokenizer().save(folder)
    assert load(folder) == Tokenizer()


def test_windows_line_ends_in_merges_are_accepted(tokenizer, released):
    path = released / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load(released) == tokenizer


def test_gpt2s_own_files_need_no_list_of_special_tokens(tmp_path):
    Tokenizer([(0, 1)], [END]).save(tmp_path)
    (without_tokenizer_json(tmp_path) / "added_tokens.json").unlink()
    assert load(tmp_path) == Tokenizer([(0, 1)], [END])


def test_special_tokens_can_stand_in_added_tokens_alone(tmp_path):
    Tokenizer([(0, 1)]).save(tmp_path)
    (without_tokenizer_json(tmp_path) / "added_tokens.json").write_text('{"<|a|>": 257, "<|b|>": 258}', encoding="utf-8")
    assert load(tmp_path) == Tokenizer([(0, 1)], ["<|a|>", "<|b|>"])


def write_ranks(tokenizer, path) -> Path:
    ordinary = range(tokenizer.vocab_size - len(tokenizer.special_tokens))
    lines = [base64.b64encode(tokenizer.token_bytes(rank)) + b" %d\n" % rank for rank in ordinary]
    path.write_bytes(b"".join(lines))
    return path


def test_a_trained_tokenizer_comes_back_from_tiktokens_ranks(tokenizer, tmp_path):
    path = write_ranks(tokenizer, tmp_path / "ranks.tiktoken")
    assert Tokenizer.from_tiktoken(path, [END, "<|pad|>"]) == tokenizer


def test_a_tokenizer_trained_on_text_that_overlaps_itself_comes_back_from_ranks(tmp_path):
    rng = random.Random(14)
    tokenizer = Tokenizer.train("".join(rng.choice("aab ") for _ in range(3000)), 500)
    assert Tokenizer.from_tiktoken(write_ranks(tokenizer, tmp_path / "ranks")) == tokenizer


def test_gpt2_comes_back_from_tiktokens_ranks(tmp_path):
    path = write_ranks(Tokenizer.gpt2(), tmp_path / "r50k_base.tiktoken")
    assert Tokenizer.from_tiktoken(path, [END]) == Tokenizer.gpt2()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: lines.insert(300, lines[299]), "line 301: .* expected a token in base64, a space and 300"),
        (lambda lines: lines.__setitem__(300, lines[299].split()[0] + " 300"), "line 301: .* again, expected a new"),
        (lambda lines: lines.__setitem__(300, "???? 300"), r"line 301: '\?\?\?\? 300', expected"),
        (lambda lines: lines.__setitem__(300, "dGg="), "line 301: 'dGg=', expected"),
        (lambda lines: lines.__setitem__(300, "cXp4 300"), "line 301: b'qzx' is made of 3 earlier tokens, expected two"),
        (lambda lines: lines.__setitem__(3, "AAA= 3"), r"line 4: b'\\x00\\x00', expected the byte b'\$'"),
        (lambda lines: lines.__delitem__(slice(200, None)), "line 200: the end, expected the 256 bytes first"),
        (lambda lines: lines.__delitem__(slice(None)), "line 1: '', expected"),
    ],
)
def test_a_damaged_file_of_ranks_is_an_error_with_its_line(tokenizer, tmp_path, edit, message):
    path = write_ranks(tokenizer, tmp_path / "ranks")
    edit_lines(path, edit)
    with pytest.raises(ValueError, match=f"ranks {message}"):
        Tokenizer.from_tiktoken(path)


def test_a_missing_file_of_ranks_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tiktoken"):
        Tokenizer.from_tiktoken(tmp_path / "none.tiktoken")


def test_tokenizer_json_holds_the_vocabulary_the_merges_and_the_special_tokens(folder):
    saved = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert saved["model"]["vocab"] == json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert saved["model"]["merges"] == (folder / "merges.txt").read_text(encoding="utf-8").split("\n")[1:-1]
    assert {token["content"]: token["id"] for token in saved["added_tokens"]} == {END: 698, "<|pad|>": 699}


def test_characters_load_as_saved(tmp_path):
    CharTokenizer("b\n😀a").save(tmp_path / "new" / "folder")
    assert load(tmp_path / "new" / "folder") == CharTokenizer("b\n😀a")
    assert CharTokenizer.load(tmp_path / "new" / "folder").encode("a\n") == [3, 1]


@pytest.mark.parametrize("line", [2, 3, 20, 443])
def test_a_missing_merge_is_an_error_with_file_and_line(released, line):
    edit_lines(released / "merges.txt", lambda lines: lines.pop(line - 1))
    with pytest.raises(ValueError, match=r"merges.txt line \d+|line \d+ of merges.txt"):
        load(released)


def test_a_repeated_merge_is_an_error_with_both_lines(released):
    edit_lines(released / "merges.txt", lambda lines: lines.insert(30, lines[9]))
    with pytest.raises(ValueError, match=r"merges.txt line 31: makes .* again.* line 10 has it"):
        load(released)


@pytest.mark.parametrize("broken", ["", "Ġ", "Ġ t x", "Ġ  t", "日 t"])
def test_a_line_that_is_no_merge_is_an_error_with_its_number(released, broken):
    edit_lines(released / "merges.txt", lambda lines: lines.insert(4, broken))
    with pytest.raises(ValueError, match=r"merges.txt line 5: "):
        load(released)


def test_a_merge_used_before_it_is_made_is_an_error_with_its_line(tmp_path):
    Tokenizer([(0, 1), (256, 2)]).save(tmp_path)
    edit_lines(without_tokenizer_json(tmp_path) / "merges.txt", lambda lines: lines.insert(1, lines.pop()))
    with pytest.raises(ValueError, match=r"merges.txt line 2: '!\"' is not known here"):
        load(tmp_path)


def test_merges_without_their_first_line_are_an_error(released):
    edit_lines(released / "merges.txt", lambda lines: lines.pop(0))
    with pytest.raises(ValueError, match=r"merges.txt line 1: .*expected '#version: 0.2'"):
        load(released)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda vocab: vocab.pop("A"), "vocab.json: merge .* is of .* and 'A', but 'A' has no id"),
        (lambda vocab: vocab.pop("Ġt"), "vocab.json: merge .* is of 'Ġ' and 't', but 'Ġt' has no id"),
        (lambda vocab: vocab.update({END: 705}), "added_tokens.json: .* has id 698, expected 705"),
        (lambda vocab: vocab.update({"<|new|>": 697}), r"vocab.json: '<\|new\|>' and .* have id 697, expected ids without"),
        (lambda vocab: vocab.update({"theq": 700}), r"merges.txt line 444: no merge makes 'theq', .* expected 'the? h?e?q'"),
        (lambda vocab: vocab.update(A="32"), "'A' has id '32', expected an integer"),
        (lambda vocab: vocab.update(A=-1), "'A' has id -1, expected an integer from 0"),
        (lambda vocab: vocab.update(A=2**31), "'A' has id 2147483648, expected an integer from 0"),
        (lambda vocab: vocab.update(A=True), "'A' has id True, expected an integer"),
    ],
)
def test_a_vocabulary_that_does_not_fit_the_merges_is_an_error(released, change, message):
    vocab = json.loads((released / "vocab.json").read_text(encoding="utf-8"))
    change(vocab)
    (released / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load(released)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "added_tokens.json"])
def test_every_truncation_of_a_file_is_an_error_that_names_it(released, name):
    whole = (released / name).read_bytes()
    for length in {0, 1, 5, len(whole) // 2, len(whole) - 3}:
        (released / name).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"vocab.json|merges.txt" if name == "merges.txt" else name):
            load(released)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "chars.json"])
def test_bytes_that_are_not_utf8_are_an_error_with_their_place(released, name):
    (released / name).write_bytes(b"#version\xff")
    with pytest.raises(ValueError, match=f"{name}: invalid UTF-8 at byte 8"):
        (CharTokenizer if name == "chars.json" else Tokenizer).load(released)


@pytest.mark.parametrize("content", ["[]", "{}", '{"type": "char"}', '{"type": "char", "chars": ["ab"]}', "{", ""])
def test_a_damaged_chars_file_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "chars.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"chars.json"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_missing_file_is_an_error_that_names_it(released, name):
    (released / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load(released)


def test_a_folder_without_a_tokenizer_is_an_error_that_says_what_is_expected(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=r"tokenizer.json, vocab.json and merges.txt, vocab.txt, or chars.json"):
            load(folder)


def test_a_folder_with_two_tokenizers_is_an_error(folder):
    (folder / "chars.json").write_text('{"type": "char", "chars": ["a", "b"]}')
    with pytest.raises(ValueError, match=r"tokenizer.json and chars.json, expected one"):
        load(folder)


def test_a_tokenizer_that_is_saved_takes_the_place_of_one_of_the_other_kind(folder, tokenizer):
    CharTokenizer("abc").save(folder)
    assert load(folder) == CharTokenizer("abc")
    tokenizer.save(folder)
    assert load(folder) == tokenizer


def test_state_survives_json(tokenizer):
    for original in (tokenizer, CharTokenizer("b\n😀a")):
        copy = from_state(json.loads(json.dumps(original.state())))
        assert copy == original
        assert copy.state() == original.state()


@pytest.mark.parametrize(
    "state",
    [
        {},
        None,
        {"type": "bpe"},
        {"type": "other", "chars": ["a"]},
        {"type": "bpe", "merges": [[1]], "special_tokens": []},
    ],
)
def test_a_state_of_another_form_is_an_error(state):
    with pytest.raises(ValueError, match=r"state: |merges"):
        from_state(state)


def test_the_script_writes_a_tokenizer_that_loads(tmp_path):
    (tmp_path / "text").write_bytes(b"low lower lowest\r\n" * 9)
    command = [sys.executable, ROOT / "scripts" / "train_tokenizer.py", "--data", "text", "--out", "out"]
    run = subprocess.run(
        [*command, "--vocab-size", "260", "--special", END],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["read", "trained", "wrote", "example"]
    assert load(tmp_path / "out") == Tokenizer.train("low lower lowest\r\n" * 9, 260, [END])


def test_gpt2_saves_its_own_merges_and_loads_them(tmp_path):
    Tokenizer.gpt2().save(tmp_path)
    assert hashlib.sha256((tmp_path / "merges.txt").read_bytes()).hexdigest() == GPT2_MERGES
    assert load(tmp_path) == Tokenizer.gpt2()


def test_the_vocabulary_derived_for_gpt2_is_the_published_one(tmp_path):
    Tokenizer.gpt2().save(tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))  # as OpenAI's encoder.json writes it:
    assert hashlib.sha256(json.dumps(vocab).encode()).hexdigest() == (
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
    )


def test_the_merge_table_of_gpt2_is_the_published_one():
    table = gzip.decompress(formats._GPT2_MERGES.read_bytes())
    assert hashlib.sha256(table).hexdigest() == GPT2_MERGES


@pytest.mark.reference
@pytest.mark.parametrize("name", ["gpt2", "trained"])
def test_tokenizers_reads_the_saved_tokenizer_json(tokenizer, tmp_path, name):
    tokenizers = pytest.importorskip("tokenizers")
    ours = Tokenizer.gpt2() if name == "gpt2" else tokenizer
    ours.save(tmp_path)
    reference, rng = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")), random.Random(15)
    assert reference.get_vocab_size() == len(ours)
    for text in [PROSE, *random_strings(10, 1000), *(nasty_text(rng, rng.randrange(60)) for _ in range(1000))]:
        encoding = reference.encode(text)
        assert ours.encode_with_offsets(text, allowed_special="all") == (encoding.ids, encoding.offsets)
        assert reference.decode(encoding.ids, skip_special_tokens=False) == text


@pytest.mark.reference
def test_tiktoken_reads_the_ranks_that_these_tests_write(tokenizer, tmp_path):
    tiktoken_load = pytest.importorskip("tiktoken.load")
    path = write_ranks(tokenizer, tmp_path / "ranks.tiktoken")
    assert tiktoken_load.load_tiktoken_bpe(str(path)) == tiktoken_encoding(tokenizer)._mergeable_ranks


@pytest.mark.reference
def test_transformers_reads_the_saved_folder(tokenizer, folder):
    transformers = pytest.importorskip("transformers")
    reference, rng = transformers.GPT2Tokenizer.from_pretrained(folder), random.Random(8)
    assert len(reference) == len(tokenizer)
    for text in [PROSE, *(nasty_text(rng, rng.randrange(60)) for _ in range(1000))]:
        assert tokenizer.encode(text, allowed_special="all") == reference.encode(text)


def without_tokenizer_json(folder: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    return folder


def edit_lines(path: Path, edit) -> None:
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    edit(lines)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


STEERS = "\x1b[2J\u202e\n"


@pytest.mark.parametrize(("name", "content", "message"), [
    ("vocab.json", '{"a": 0, "a": 1}', "duplicate key 'a', expected each key once"),
    ("vocab.json", '{"a": NaN}', "a: NaN, expected a finite number"),
    ("vocab.json", '{"a": 0.5}', "'a' has id 0.5, expected an integer"),
    ("vocab.json", '{"a": -0}', "'a' has id -0.0, expected an integer"),
    ("vocab.json", json.dumps({STEERS: True}), r"'\\x1b\[2J\\u202e\\n' has id True"),
    ("vocab.json", json.dumps({"a" * 100_000: None}), "'aaa"),
    ("vocab.json", "[" * 100_000, "brackets nested too deeply"),
    ("added_tokens.json", json.dumps({"<|endoftext|>": STEERS}), r"'<\|endoftext\|>' has id '\\x1b\[2J\\u202e\\n'"),
    ("added_tokens.json", json.dumps({STEERS * 10_000: 3, "!": 9}), "'!' has id 9, expected 0 as in vocab.json"),
    ("added_tokens.json", "3", "a number, expected an object"),
    ("merges.txt", f"#version\n{STEERS[:5]} a\n", r"line 2: '\\x1b\[2J\\u202e' is not known here"),
    ("merges.txt", "#version\n" + "a" * 100_000 + " b\n", "line 2: 'aaa.* is not known here"),
])
def test_a_stranger_in_a_file_is_shown_in_one_bounded_line(released, name, content, message):
    (released / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name}:? {message}") as caught:
        load(released)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


@pytest.mark.parametrize("content", [
    '{"type": "char", "chars": ["a", "\\u001b[2J"]}', json.dumps({"type": "char", "chars": ["a" * 100_000]}),
    '{"type": "char", "chars": ["a", "a"]}', '{"type": "char", "chars": [-0]}', '{"type": "char", "chars": ["\\ud800"]}',
], ids=["escape sequence", "long", "twice", "-0", "half a character"])
def test_characters_that_are_none_are_refused_in_one_bounded_line(tmp_path, content):
    (tmp_path / "chars.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"chars\.json: .*, expected") as caught:
        load(tmp_path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_folder_of_any_name_is_shown_in_one_line(tmp_path):
    (tmp_path / STEERS).mkdir()
    for name in ("none", "vocab.json", "chars.json"):
        (tmp_path / STEERS / name).write_text("{}", encoding="utf-8")
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            load(tmp_path / STEERS)
        assert str(caught.value).isprintable() and r"\x1b[2J\u202e\n" in str(caught.value)
