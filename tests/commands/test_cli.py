"""The command lines of generation and tokenization, in this process; test_scripts.py starts them as a user does."""

import os
import re

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.__main__ import COMMANDS, main
from minigpt.commands import generate, score, trace
from minigpt.generation.characters import INCOMPLETE
from minigpt.study.report import report
from minigpt.system.shell import quoted
from minigpt.tokenization import CharTokenizer, Tokenizer


def save(folder, tokenizer, seed=0):
    config = GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=16, n_embd=12, n_layer=1, n_head=2)
    model = GPT(config, seed=seed)
    model.tokenizer = tokenizer
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def char_model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("char"), CharTokenizer.train("to be or not to be, é日\n"))


@pytest.fixture(scope="module")
def bpe_model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("bpe"), Tokenizer.train("to be or not to be", 260, ["<|endoftext|>"]))


def generated(capsys, *argv):
    """(status, text, messages) of a run of generate"""
    status = generate.main([str(argument) for argument in argv])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("fixture", ["char_model", "bpe_model"])
def test_generate_writes_the_prompt_and_what_the_model_continues(capsys, request, fixture):
    folder = request.getfixturevalue(fixture)
    status, out, err = generated(capsys, "--model", folder, "--prompt", "to be", "--max-new-tokens", 40, "--seed", 3, "--raw")
    model = GPT.from_pretrained(folder)
    ids = model.generate(model.tokenizer.encode("to be"), 40, temperature=0.8, seed=3, sliding_window=True)
    assert (status, out) == (0, model.tokenizer.decode(ids) + "\n")
    notes = f"{INCOMPLETE}\n" if fixture == "bpe_model" else ""          # an untrained model draws any byte
    assert re.fullmatch(r"40 tokens in [\d.]+ s, [\d.]+ tokens/s\n" + notes, err)


def test_the_prompt_may_stand_without_its_flag(capsys, char_model):
    flags = ["--model", char_model, "--max-new-tokens", 8, "--seed", 3]
    assert generated(capsys, "to be", *flags)[1] == generated(capsys, "--prompt", "to be", *flags)[1]


def test_what_is_banned_never_comes_and_what_is_forced_does(capsys, char_model):
    flags = ["to", "--model", char_model, "--max-new-tokens", 60, "--seed", 3]
    plain = generated(capsys, *flags)[1]
    assert "e" in plain
    assert "t" in plain[2:]
    out = generated(capsys, *flags, "--ban", "e", "--ban", "t", "--force", "é日é", "--force", "bbb")[1]
    assert not {*out[2:]} & {*"et"}
    assert "é日é" in out
    assert "bbb" in out


def test_a_bias_steers_a_token(capsys, char_model):
    flags = ["to", "--model", char_model, "--max-new-tokens", 20, "--seed", 3]
    assert generated(capsys, *flags, "--bias", "b=100")[1] == "to" + 20 * "b" + "\n"
    assert "b" not in generated(capsys, *flags, "--bias", "b=-inf", "--bias", "e=2.5")[1]


def test_several_samples_follow_one_another(capsys, char_model):
    flags = ["to", "--model", char_model, "--max-new-tokens", 8, "--seed", 3]
    out = generated(capsys, *flags, "--num-samples", 3)[1]
    first, second, third = re.split(r"--- [23] ---\n", out)
    assert first == generated(capsys, *flags)[1]
    assert second != third
    assert second.startswith("to")


def test_the_text_ends_before_end_of_text(capsys, bpe_model, monkeypatch):
    end = GPT.from_pretrained(bpe_model).tokenizer.special_tokens["<|endoftext|>"]
    monkeypatch.setattr(GPT, "stream", lambda *arguments, **options: iter([0, 1, end]))
    status, out, err = generated(capsys, "to", "--model", bpe_model)
    assert (status, out) == (0, 'to!"\n')
    assert err.startswith("2 tokens")


@pytest.mark.parametrize(("flags", "shown"), [([], "to\\x1b[2J\\r\n\t\\x9b"), (["--raw"], "to\x1b[2J\r\n\t\x9b")])
def test_control_characters_that_a_model_draws_are_shown_unless_raw(capsys, bpe_model, monkeypatch, flags, shown):
    tokenizer = GPT.from_pretrained(bpe_model).tokenizer
    ids = tokenizer.encode("\x1b[2J\r\n\t\x9b")
    monkeypatch.setattr(GPT, "stream", lambda *arguments, **options: iter(np.array([ids, ids]).T))
    _, out, _ = generated(capsys, "to", "--num-samples", 2, "--model", bpe_model, *flags)
    assert out == f"{shown}\n--- 2 ---\n{shown}\n"


def test_without_a_model_the_bundled_one_is_named_and_so_is_ones_own_newest_run(capsys, char_model, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked, load = [], GPT.from_pretrained
    monkeypatch.setattr(GPT, "from_pretrained", lambda name, **_: asked.append(name) or load(char_model))
    bundled = "model: shakespeare-char, which comes with minigpt"
    assert generated(capsys, "to", "--max-new-tokens", 2)[2].startswith(f"{bundled}\n2 tokens")
    run = tmp_path / "out" / "红 楼梦"
    save(run, CharTokenizer.train("红楼梦"))
    (run / "log.csv").touch()
    own = f"your newest run: --model {quoted(os.path.join('out', '红 楼梦'))}"
    assert generated(capsys, "to", "--max-new-tokens", 2)[2].startswith(f"{bundled}; {own}\n")
    assert "model:" not in generated(capsys, "to", "--max-new-tokens", 2, "--model", "shakespeare-char")[2]
    status, out, err = generated(capsys, "红楼梦")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        "error: prompt: '红', '楼', '梦', which shakespeare-char has never met, expected some of its 11 characters, "
        f"\\n ,benorté日; leave them out, or name another model, such as {own}")
    assert asked == 4 * ["shakespeare-char"]
    for command in ("tokenize", "trace", "score"):
        assert main([command, "红楼梦"]) == 1
        assert capsys.readouterr().err.endswith(f"leave them out, or name another model, such as {own}\n"), command
        assert main([command, "红楼梦人"]) == 1
        assert "another model, such as --model gpt2" in capsys.readouterr().err


def test_a_model_of_characters_without_a_line_feed_begins_with_its_first(capsys, tmp_path):
    save(tmp_path, CharTokenizer.train("abc"))
    assert generated(capsys, "--model", tmp_path, "--max-new-tokens", 2)[1][0] == "a"


def test_ctrl_c_keeps_the_text_so_far(capsys, char_model, monkeypatch):
    def interrupted(*arguments, **options):
        yield from (0, 1, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(GPT, "stream", interrupted)
    status, out, err = generated(capsys, "to", "--model", char_model)
    assert (status, out) == (130, "to" + GPT.from_pretrained(char_model).tokenizer.decode([0, 1, 2]) + "\n")
    assert err.startswith("3 tokens")


@pytest.mark.parametrize(("flags", "message"), [
    (["--model", "no-such-model"], "model 'no-such-model': no such folder or file, expected"),
    (["--prompt", "x to y"], "prompt: 'x', 'y', which "),
    (["--prompt", ""], "--prompt: empty, and this model has no token that begins a text"),
    (["--temperature", "-1"], "temperature: -1.0, expected"),
    (["--top-p", "1.5"], "top_p: 1.5, expected"),
    (["--threads", "0"], "threads: 0, expected at least 1"),
    (["to", "--bias", "b"], "--bias: 'b', expected TOKEN=NUMBER; write 'e=-2'"),
    (["to", "--bias", "b=much"], "--bias: 'b=much', expected TOKEN=NUMBER"),
    (["to", "--bias", "be=1"], "--bias: 'be' is 2 tokens, expected one; see python -m minigpt tokenize"),
    (["to", "--bias", "=1"], "--bias: '' is 0 tokens, expected one"),
    (["to", "--bias", "b=nan"], "logit_bias[3]: nan, expected a finite number or -inf"),
    (["to", "--ban", ""], "bad_words: [''], expected no empty text"),
    (["to", "--ban", "be", "--force", "to be"], "force_words: 'to be', expected none with the bad word 'be' in it"),
    (["to", "--force", "to be", "--max-new-tokens", "4"], "force_words_ids: 5 tokens, expected at most max_new_tokens 4"),
])
def test_bad_flags_get_one_clear_line(capsys, char_model, flags, message):
    status, out, err = generated(capsys, "--model", char_model, *flags)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert len(err.splitlines()) == 1


def test_a_model_without_tokenizer_is_refused(capsys, tmp_path):
    GPT(GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=1)).save_pretrained(tmp_path)
    status, _, err = generated(capsys, "--model", tmp_path)
    assert status == 1
    assert "no tokenizer, expected vocab.json and merges.txt" in err


def scored(capsys, *argv):
    """(status, text, messages) of a run of score"""
    status = score.main([str(argument) for argument in argv])
    return status, *capsys.readouterr()


def numbers(score):
    return (f"{len(score):,} tokens and {score.n_bytes:,} bytes", f"nats per token {-score.mean:9.4f}",
            f"perplexity     {score.perplexity:9.4f}", f"bits per byte  {score.bits_per_byte:9.4f}")


@pytest.mark.parametrize("fixture", ["char_model", "bpe_model"])
def test_score_prints_how_likely_a_text_is(capsys, request, fixture):
    folder = request.getfixturevalue(fixture)
    status, out, err = scored(capsys, "to be or not", "--model", folder)
    head, *rest = numbers(GPT.from_pretrained(folder).score("to be or not"))
    assert (status, out.splitlines()) == (0, [f"{head} of the text", *rest])
    assert re.fullmatch(r"\d+ tokens in [\d.]+ s, [\d,.]+ tokens/s\n", err)


def test_score_reads_a_file(capsys, bpe_model, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("to bé\r\n<|endoftext|>to be ".encode() * 40)
    model = GPT.from_pretrained(bpe_model)
    for flags, data, changes in (([], path.read_bytes().replace(b"\r", b""), "40 line ends \\r\\n became \\n"),
                                 (["--keep-bytes"], path.read_bytes(), "")):
        status, out, err = scored(capsys, path, "--model", bpe_model, *flags)
        head, *rest = numbers(model.score(model.tokenizer.encode(data.decode(), allowed_special="all")))
        assert (status, out.splitlines()) == (0, [f"{head} of the file {path}", *rest])
        assert err.startswith(changes) and ("\\r" in err) == bool(changes)


def test_a_text_longer_than_any_file_name_is_a_text(capsys, char_model):
    assert scored(capsys, "to be " * 1000, "--model", char_model)[1].startswith("5,999 tokens and 5,999 bytes of the text")


@pytest.mark.parametrize("by", [None, "tokens", "bytes"])
def test_score_ranks_answers(capsys, char_model, by):
    flags = [] if by is None else ["--normalize", by]
    status, out, err = scored(capsys, "to ", "--model", char_model, "--answers", "be", "é", "not be", *flags)
    choices = GPT.from_pretrained(char_model).choose("to ", ["be", "é", "not be"], by)
    assert (status, err) == (0, "")
    rows = [[choice.probability, choice.logprob] + ([] if by is None else [choice.score]) for choice in choices]
    expected = [[*(f"{number:.4f}" for number in row), repr(choice.answer)] for row, choice in zip(rows, choices, strict=True)]
    assert [line.split(maxsplit=len(rows[0])) for line in out.splitlines()[1:]] == expected


@pytest.mark.parametrize(("flags", "message"), [
    ([""], "text: 0 tokens, expected at least two"),
    (["xyz"], "text: 'x', 'y', 'z', which "),
    (["to", "--normalize", "bytes"], "--normalize: no --answers, expected both"),
    (["to", "--answers", "be", ""], "answers: ['be', ''], expected no empty text"),
    (["to", "--answers", "to be or not to be"], "answers: up to 18 tokens, expected at most n_positions 16"),
])
def test_bad_scores_get_one_clear_line(capsys, char_model, flags, message):
    status, out, err = scored(capsys, *flags, "--model", char_model)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert len(err.splitlines()) == 1


def test_a_file_that_is_no_text_is_refused(capsys, char_model, tmp_path):
    path = tmp_path / "text.bin"
    path.write_bytes(b"to \xff be")
    status, _, err = scored(capsys, path, "--model", char_model)
    assert (status, err.startswith(f"error: {path}: byte 0xff at offset 3 of 7")) == (1, True)


def traced(capsys, *argv):
    """(status, text, messages) of a run of trace"""
    status = trace.main([str(argument) for argument in argv])
    return status, *capsys.readouterr()


def test_trace_prints_the_table_of_names(capsys, char_model):
    status, out, err = traced(capsys, "to be", "--model", char_model)
    model = GPT.from_pretrained(char_model)
    ids = model.tokenizer.encode_array("to be")[None]
    names = list(model.trace(ids[:, :-1], ids[:, 1:]))
    lines = [line for line in out.splitlines() if line]
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in lines[2:]] == names
    assert lines[0] == f"{len(names)} names, ids (1, 5), loss {model.loss(ids[:, :-1], ids[:, 1:]):.4g}"
    assert "dscores = att ⊙ (datt − Σ_j datt ⊙ att)" in out


def test_trace_writes_a_page(capsys, char_model, tmp_path):
    path = tmp_path / "page.html"
    status, out, err = traced(capsys, "to be", "--model", char_model, "--html", path)
    assert (status, out, err) == (0, "", f"wrote {path}; it opens in any browser, offline\n")
    assert path.read_text(encoding="utf-8") == report(GPT.from_pretrained(char_model), "to be").html


@pytest.mark.parametrize(("flags", "message"), [
    (["t"], "text: 1 tokens, expected 2 to n_positions 16; give a longer text"),
    (["to be or not to be"], "text: 18 tokens, expected 2 to n_positions 16; give a shorter text"),
    (["to be", "--names", "h.7.*"], "names: 'h.7.*' matches no name"),
    (["to be", "--log", "log.csv"], "--log: no --html, expected both"),
    (["to be", "--grad"], "--grad: no --names, --csv or --npz, expected one of them"),
    (["to be", "--csv", "no-such-folder/a.csv"], "no-such-folder/a.csv: no folder"),
    (["to be", "--npz", "no-such-folder/a.npz"], "no-such-folder/a.npz: no folder"),
    (["to be", "--html", "no-such-folder/page.html"], "no-such-folder/page.html: no folder"),
])
def test_bad_traces_get_one_clear_line(capsys, char_model, flags, message):
    status, out, err = traced(capsys, *flags, "--model", char_model)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert len(err.splitlines()) == 1


def test_the_package_runs_commands_by_name(capsys, char_model):
    flags = ["to be", "--model", str(char_model), "--max-new-tokens", "8", "--seed", "3"]
    assert main(["generate", *flags]) == 0
    assert capsys.readouterr().out == generated(capsys, *flags)[1]


def test_an_unknown_command_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["genrate"])
    assert "invalid choice: 'genrate'" in capsys.readouterr().err


def test_without_a_command_the_commands_are_listed(capsys):
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert (out.splitlines()[0], err) == ("usage: minigpt [-h] [--version] COMMAND …", "")
    assert all(f"\n  {name} " in out for name in COMMANDS)
