"""The command line of training, in this process; test_scripts.py starts it as a user does."""

import ntpath
import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from minigpt.commands import generate, train
from minigpt.commands.train import main
from minigpt.system.shell import quoted
from minigpt.training import long_texts, texts

TINY = ["--layers", "1", "--heads", "1", "--channels", "4", "--context", "4", "--batch-size", "2", "--steps", "2"]
CHINESE = "此开卷第一回也。作者自云：\n因曾历过一番梦幻之后，故将真事隐去。\n" * 20


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    monkeypatch.setattr(train, "save_loss_png", lambda *arguments: True)


@pytest.mark.parametrize("executable", ["D:\\Python\\python.exe", ""], ids=["another drive", "unknown"])
def test_the_advice_needs_no_path_from_here_to_this_python(tmp_path, monkeypatch, capsys, executable):
    monkeypatch.setattr(os.path, "relpath", lambda path: ntpath.relpath(path, "C:\\Users"))
    monkeypatch.setattr(sys, "executable", executable)
    (tmp_path / "text").write_text("to be or not to be\n" * 40, encoding="utf-8")
    assert main(["--data", str(tmp_path / "text"), "--out", str(tmp_path / "run"), "--sample-tokens", "0", *TINY]) == 0
    advice = capsys.readouterr().out.splitlines()[-1]
    assert advice == (f"  {quoted(executable or 'python')} -m minigpt generate --model {quoted(tmp_path / 'run')} "
                      '"to be or not to be"')


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no control characters in names")
def test_control_characters_of_paths_are_shown(tmp_path, capsys):
    (tmp_path / "text\x1b[2J").write_text("to be or not to be\n" * 40, encoding="utf-8")
    flags = ["--data", str(tmp_path / "text\x1b[2J"), "--out", str(tmp_path / "run\x1b[31m"), "--sample-tokens", "4"]
    assert main([*flags, *TINY]) == 0
    assert main(["--out", str(tmp_path / "none\x1b[31m"), "--resume"]) == 1
    out, err = capsys.readouterr()
    assert "run\\x1b[31m" in out and "none\\x1b[31m" in err
    assert "\x1b" not in out + err


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_the_command_at_the_end_makes_the_model_of_ones_own_text_speak(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    Path("红 楼梦.txt").write_text(CHINESE, encoding="utf-8")
    assert main(["--data", "红 楼梦.txt", "--tokenizer", kind, "--vocab-size", "270", "--sample-tokens", "0", *TINY]) == 0
    out = capsys.readouterr().out
    for run in (out, None):
        if run is None:                                 # and of a run that was resumed
            assert main(["--resume", "--steps", "3"]) == 0
            run = capsys.readouterr().out
        *_, before, command = run.splitlines()
        _, *words = shlex.split(command)
        assert (before, words[:5]) == ("Sample from it:", ["-m", "minigpt", "generate", "--model", "out/红 楼梦"])
        assert generate.main([*words[3:], "--max-new-tokens", "2"]) == 0
        assert capsys.readouterr().out.startswith("此开卷第一回也。作者自云：")
    assert "bits per byte, at step" in out


def test_the_folder_is_named_after_the_text_and_shakespeares_after_the_preset(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("to be or not to be\n" * 40, encoding="utf-8")
    found = []
    corpus = texts.load_corpus("text.txt")
    monkeypatch.setattr(texts, "load_corpus", lambda source, *_: replace(corpus, name=source))
    for source, preset in [*2 * [("text.txt", "ten-minutes")], ("shakespeare", "nanogpt-cpu"), ("python", None)]:
        main(["--data", source, *(["--preset", preset] if preset else []), "--sample-tokens", "0", *TINY])
        found += re.findall(r"the run is saved in (.*)", capsys.readouterr().out)
    assert found == [os.path.join("out", name, "") for name in ("text", "text-2", "nanogpt-cpu", "python")]


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_several_files_are_one_text_whatever_their_size(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(long_texts, "cpu_count", lambda: 1)
    Path("books").mkdir()
    for i in range(3):
        Path(f"books/{i}.txt").write_text(f"to be or not to be {i}\r\n" * 40, encoding="utf-8", newline="")
    models = []
    for size in (0, 1 << 23):
        monkeypatch.setattr(texts, "IN_MEMORY", size)
        flags = ["--data", "books/*.txt", "--tokenizer", kind, "--vocab-size", "266", "--sample-tokens", "0"]
        assert main([*flags, *TINY]) == 0
        out = capsys.readouterr().out
        assert re.match("3 files, 2,[0-9]{3} (bytes, tokenized once and kept in|characters. In 3 of them)", out)
        assert ("120 line ends \\r\\n became \\n" in out) is (size == 0)
        assert main(["--resume", "--steps", "3"]) == 0
        capsys.readouterr()
        models.append(Path("out/books" if size == 0 else "out/books-2") / "model.safetensors")
    assert models[0].read_bytes() == models[1].read_bytes()


def test_windows_line_ends_and_a_byte_order_mark_are_not_learned_unless_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_bytes(b"\xef\xbb\xbf" + b"to be\r\nor not\r\n" * 40)
    for flags, characters in (([], "\n benort"), (["--keep-bytes"], "\n\r benort\ufeff")):
        assert main(["--data", "a.txt", "--out", f"run{len(flags)}", "--sample-tokens", "0", *flags, *TINY]) == 0
        assert train.CharTokenizer.load(f"run{len(flags)}").decode(range(len(characters))) == characters
        assert capsys.readouterr().out.count("line ends \\r\\n became \\n") == (0 if flags else 1)
    assert main(["--resume"]) == 1
    assert "out: no run, expected one to resume; name its folder with --out" in capsys.readouterr().err
    assert main(["--resume", "--out", "run1", "--keep-bytes"]) == 1
    assert "--keep-bytes: cannot change with --resume" in capsys.readouterr().err


def test_without_matplotlib_the_summary_says_where_the_curve_is_and_how_to_have_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "save_loss_png", lambda *arguments: False)
    Path("my text.txt").write_text("to be or not to be\n" * 40, encoding="utf-8")
    assert main(["--data", "my text.txt", "--sample-tokens", "0", *TINY]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("This curve is only here, since matplotlib is not installed. For loss.png too:")
    assert lines[at - 1].startswith(" " * 8 + "loss in nats per token")
    assert lines[at + 1].endswith(" -m pip install matplotlib")
    words = shlex.split(lines[at + 2])
    assert words[1:4] == ["-m", "minigpt", "train"]
    monkeypatch.setattr(train, "save_loss_png", lambda path, *_: bool(path.write_bytes(b"png")))
    assert main(words[4:]) == 0                         # draws it without another step
    assert Path("out/my text/loss.png").exists()


def test_a_mistaken_value_is_told_by_its_flag(capsys):
    for flags, message in [
        (["--minutes", "0"], "--minutes 0.0, expected a number above 0"),
        (["--heads", "3"], "--channels 128 is not a multiple of --heads 3"),
        (["--dropout", "2"], "--dropout 2.0, expected a number from 0 to below 1"),
        (["--lr", "-1", "--batch-size", "0"], "--batch-size 0, expected a whole number of at least 1; --lr -1.0, expected a "
         "number above 0 and at most 10"),
    ]:
        assert main(flags) == 1
        assert capsys.readouterr().err == f"error: {message}\n"


def test_a_run_goes_on_when_its_own_text_is_named_again_and_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        Path(name).write_text("to be or not to be\n" * 40, encoding="utf-8")
    assert main(["--data", "a.txt", "--out", "run", "--sample-tokens", "0", *TINY]) == 0
    assert main(["--resume", "--out", "run", "--data", "a.txt", "--steps", "3"]) == 0
    assert main(["--resume", "--out", "run", "--data", "b.txt"]) == 1
    assert f"--data: b.txt, expected {tmp_path / 'a.txt'}, from which the run in run learns" in capsys.readouterr().err


def test_a_run_that_got_no_better_for_half_its_steps_says_how_to_end_it_earlier(tmp_path, monkeypatch, capsys):
    (tmp_path / "text").write_text("to be or not to be\n" * 40, encoding="utf-8")
    for i, (flags, best, spare) in enumerate([
        (["--steps", "16"], 4, "the 12 steps after that brought nothing: --steps 4 would do, with a learning rate that falls "
         "by then; a longer text"),
        (["--steps", "16", "--eval-interval", "1"], 10, ""), (["--steps", "4", "--eval-interval", "2"], 2, ""),
    ]):
        monkeypatch.setattr(train.Trainer, "evaluate", lambda self, best=best: 3 + abs(self.step - best))
        flags = [*TINY[:-2], *flags, "--data", str(tmp_path / "text"), "--out", str(tmp_path / str(i)), "--sample-tokens", "0"]
        assert main(flags) == 0
        out = capsys.readouterr().out
        assert spare in out and ("brought nothing" in out) == bool(spare)
    trainer = train.Trainer.resume(tmp_path / "0", quiet=True)
    trainer.recipe = replace(trainer.recipe, steps=None, minutes=2.0)
    assert "--minutes 0.5 would do" in train._spare(trainer, train.read_log(tmp_path / "0" / "log.csv"))


def test_the_title_of_the_curve_has_only_what_matplotlib_can_draw(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(train, "save_loss_png", lambda path, rows, title: titles.append(title.partition(":")[0]) or True)
    corpus = "to be or not to be\n" * 40
    for name in ["a$b$ é", "红楼梦", *([] if os.name == "nt" else ["a\x1b[2J"])]:
        (tmp_path / name).write_text(corpus, encoding="utf-8")
        main(["--data", str(tmp_path / name), "--out", str(tmp_path / f"run{len(titles)}"), "--sample-tokens", "0", *TINY])
    assert titles == ["a\\$b\\$ é", "training", *([] if os.name == "nt" else ["a\\x1b[2J"])]


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("flags, warned", [([], ""), (["--vocab-size", "300"], (
    "warning: vocab_size: 300, but the text has pairs for 258 tokens only; training stopped there. Give more text or a smaller "
    "vocab_size\n"
))])
def test_only_a_vocabulary_size_that_was_given_is_called_too_large_and_in_one_line(flags, warned, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("ab " * 300, encoding="utf-8")
    assert main(["--data", str(tmp_path / "a.txt"), "--tokenizer", "bpe", "--out", str(tmp_path / "run"), *flags, *TINY]) == 0
    output = capsys.readouterr()
    assert output.err == warned
    assert "258 tokens, " in output.out


def test_a_text_of_a_single_token_is_refused_for_what_it_is(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a" * 16, encoding="utf-8")
    assert main(["--data", str(tmp_path / "a.txt"), "--tokenizer", "bpe", "--out", str(tmp_path / "run"), *TINY]) == 1
    assert capsys.readouterr().err == ("error: ids: 1 token, expected at least 2, some for training and some for validation; "
                                       "use a longer text, or a tokenizer that makes more tokens of it\n")
