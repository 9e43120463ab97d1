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
from minigpt.tokenization import Tokenizer
from minigpt.tokenization.sizing import fitting_vocab_size
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


def test_the_vocabulary_of_bpe_fits_the_text_and_its_script(tmp_path, monkeypatch, capsys):
    assert fitting_vocab_size("") == 256
    assert fitting_vocab_size("a" * 10_000) == 256 + 300
    assert fitting_vocab_size("道" * 9 + "可" * 10 + "a" * 43) == 256 + 30 + 2       # 3 √(27 + 30 + 43), one often enough
    sizes = []
    monkeypatch.setattr(Tokenizer, "train", lambda text, size, **_: sizes.append(size) or 1 / 0)
    (tmp_path / "a.txt").write_text(CHINESE, encoding="utf-8")
    for flags in ([], ["--vocab-size", "300"]):
        with pytest.raises(ZeroDivisionError):
            main(["--data", str(tmp_path / "a.txt"), "--tokenizer", "bpe", "--out", str(tmp_path / "run"), *flags, *TINY])
    assert sizes == [fitting_vocab_size(CHINESE), 300]
