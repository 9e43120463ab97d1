"""Who asks for numbers gets numbers: trace with --names, --csv and --npz, and tokenize with the steps to each token."""

import csv

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.__main__ import main
from minigpt.study.report import with_targets
from minigpt.tokenization import CharTokenizer, Tokenizer, WordPieceTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "今", "天"]
TOKENIZERS = {
    "char": CharTokenizer.train("Romeo: 今天\x1b"),
    "bpe": Tokenizer.train("low lower lowest 今天", 262, ["<|endoftext|>"]),
    "words": WordPieceTokenizer(WORDS),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a model for each kind of tokenizer"""
    folder = tmp_path_factory.mktemp("models")
    for name, tokenizer in TOKENIZERS.items():
        model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, n_positions=40, n_embd=24, n_layer=1, n_head=2), seed=0)
        model.tokenizer = tokenizer
        model.save_pretrained(folder / name)
    return folder


@pytest.fixture
def run(models, capsys, monkeypatch):
    """run("trace", "char", "Romeo", …) -> (status, stdout, stderr), on a terminal of 60 columns"""
    monkeypatch.setenv("COLUMNS", "60")

    def call(command, model, text, *flags):
        folder = models / model if model in TOKENIZERS else model
        status = main([command, text, "--model", str(folder), *map(str, flags)])
        return status, *capsys.readouterr()

    return call


def trace_of(folder, text):
    model = GPT.from_pretrained(folder)
    return model.trace(*with_targets(model, model.tokenizer.encode(text)))


def test_trace_prints_the_attention_of_each_head_between_the_characters(run, models):
    status, out, err = run("trace", "char", "Ro今\x1b:", "--names", "h.0.attn.att")
    heads = trace_of(models / "char", "Ro今\x1b:")["h.0.attn.att"].value[0]
    lines = [line.split() for line in out.splitlines() if line]
    assert (status, err, out.count("\x1b")) == (0, "", 0)
    assert lines[0][0] == "h.0.attn.att" and "softmax(scores)" in out
    for h in (0, 1):
        top, *rows = lines[1 + 6 * h : 7 + 6 * h]
        assert top == ["head", str(h), "R", "o", "今", "\\x1b", ":"]
        assert [row[1] for row in rows] == top[2:]
        np.testing.assert_allclose([[*map(float, row[2:])] for row in rows], heads[h], atol=5.1e-4)     # three decimals


def test_trace_prints_gradients_and_says_how_to_get_what_does_not_fit(run):
    status, out, err = run("trace", "bpe", "low<|endoftext|>", "--names", "h.0.mlp.act", "loss", "--grad")
    titles = [line.split("  ")[0] for line in out.splitlines() if "(" in line]
    assert (status, titles) == (0, ["h.0.mlp.act (B=1, T=3, 4C=96)", "gradient of h.0.mlp.act (B=1, T=3, 4C=96)", "loss ()",
                                    "gradient of loss ()"])
    assert max(map(len, out.splitlines()[1:5])) <= 60 and out.count("…") == 8
    assert err == ("… stands for what does not fit into 60 columns and 60 rows; --csv FILE and --npz FILE write all, "
                   "and COLUMNS=500 before the command makes room\n")


def test_trace_writes_numbers_for_other_programs(run, models, tmp_path):
    paths = tmp_path / "a.csv", tmp_path / "a.npz"
    names = ("--names", "h.0.attn.*", "logits", "--grad")
    status, out, err = run("trace", "char", "Ro今\x1b:", *names, "--csv", paths[0], "--npz", paths[1])
    assert (status, out) == (0, "")
    assert err == f"wrote {paths[0]}; a line for each number\nwrote {paths[1]}; numpy.load reads it\n"
    trace = trace_of(models / "char", "Ro今\x1b:").select(["h.0.attn.*", "logits"])
    arrays = np.load(paths[1])
    assert set(arrays) == {"tokens", *trace, *(f"{name}.grad" for name in trace)}
    np.testing.assert_array_equal(arrays["h.0.attn.att.grad"], trace["h.0.attn.att"].grad)
    lines = [*csv.DictReader(paths[0].read_text(encoding="utf-8").splitlines())]
    place = ("h.0.attn.att", "1", "4", "2")
    (found,) = [line for line in lines if (line["name"], line["head"], line["position"], line["key"]) == place]
    assert (found["token"], found["key_token"]) == (":", "今")
    assert np.float32(found["value"]) == trace["h.0.attn.att"].value[0, 1, 4, 2]
    assert np.float32(found["gradient"]) == trace["h.0.attn.att"].grad[0, 1, 4, 2]
    assert run("trace", "char", "Ro今\x1b:", *names, "--csv", "-") == (0, paths[0].read_text(encoding="utf-8"), "")
    assert run("trace", "char", "Ro", "--npz", paths[1])[0] == 0 and "wte.weight" in np.load(paths[1])      # without names all


def test_tokenize_shows_each_id_with_its_text_or_its_part_of_a_character(run):
    assert run("tokenize", "char", "o今\x1b") == (0, "     6  'o'\n     7  '今'\n     0  '\\x1b'\n", "3 tokens, 3 characters\n")
    assert run("tokenize", "bpe", " low今<|endoftext|>") == (
        0, "   258  ' low'\n   160  今 1/3 [e4]\n   119  今 2/3 [bb]\n   232  今 3/3 [8a]\n   261  '<|endoftext|>'\n",
        "5 tokens, 18 characters\n")
    assert run("tokenize", "words", "Playing今?")[1] == "     5  ' play'\n     6  'ing'\n     7  ' 今'\n     1  ' [UNK]'\n"


def test_tokenize_shows_the_merges_of_every_kind_of_tokenizer(run):
    assert run("tokenize", "bpe", " lower", "--merges") == (0, """\
' lower'
  ␣ l o w e r
  ␣ lo w e r       l + o = lo, 256
  ␣ low e r        lo + w = low, 257
  ␣low e r         ␣ + low = ␣low, 258
  ␣lowe r          ␣low + e = ␣lowe, 259
259 81
""", "2 tokens, 6 characters\n")
    assert run("tokenize", "words", "Playing今", "--merges") == (
        0, "'Playing'\n  playing\n  play ing\n  play ##ing\n5 6\n'今'\n  今\n7\n", "3 tokens, 8 characters\n")
    assert run("tokenize", "char", "o今\x1b", "--merges") == (
        0, "'o今\\x1b'\n  o 今 \\x1b\n6 7 0\n", "no merges: each character is a token\n3 tokens, 3 characters\n")


def test_tokenize_needs_no_file_of_gpt2(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("MINIGPT_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("gpt2", "gpt2-medium", "openai-community/gpt2-xl", "distilgpt2"):
        status, out, err = run("tokenize", name, "今天天气很好")
        ids = [int(line.split()[0]) for line in out.splitlines()]
        assert ids == [20015, 232, 25465, 25465, 36365, 242, 36181, 230, 25001, 121]
        assert (status, err, out.splitlines()[:3]) == (
            0, "10 tokens, 6 characters\n", [" 20015  今 1/2 [e4 bb]", "   232  今 2/2 [8a]", " 25465  '天'"])
    assert "20015" in run("tokenize", "gpt2", "今", "--merges")[1]
