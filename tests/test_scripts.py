"""The commands a user types, as processes of their own."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import convert_gpt2
from minigpt import GPT, GPTConfig
from minigpt.commands.train import main as train_main
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.weights.pretrained import save_pretrained

SCRIPTS = Path(__file__).parents[1] / "scripts"
FIXTURES = Path(__file__).parent / "fixtures"
TEXT = Path(__file__).parents[1] / "README.md"
TINY = ["--data", str(TEXT), "--layers", "1", "--heads", "2", "--channels", "16", "--context", "16", "--batch-size", "4",
        "--sample-tokens", "20"]


def run(*command, **options):
    environment = {**os.environ, "MINIGPT_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, encoding="utf-8", env=environment,
                          timeout=600, **options)


@pytest.fixture
def spoken(capsys, monkeypatch):
    """spoken(main, *arguments): what run() gives, without a process of its own"""
    monkeypatch.setenv("MINIGPT_OFFLINE", "1")

    def call(main, *arguments):
        status = main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=out, stderr=err)

    return call


def train(folder, *flags):
    return run(SCRIPTS / "train_shakespeare.py", *TINY, "--out", folder, *flags)


@pytest.fixture
def resume(spoken):
    """resume(folder, *flags): a run that is there goes on, in this process"""
    return lambda folder, *flags: spoken(train_main, "--resume", "--out", folder, *flags)


def start(folder, *flags):
    """A long run as a process that goes on, once its first checkpoint is there."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "train_shakespeare.py"), *TINY, "--out", str(folder), "--steps", "100000", *flags],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 600
    while not list(folder.glob("checkpoint-*")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    return process


needs_descriptors = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full, as outside Linux")


def run_with(redirections, *command):
    """A command under a shell that has closed or filled its streams"""
    quoted = shlex.join([sys.executable, *map(str, command)])
    return subprocess.run(["sh", "-c", f"{quoted} {redirections}"], capture_output=True, encoding="utf-8", timeout=600,
                          env={**os.environ, "MINIGPT_OFFLINE": "1"}, start_new_session=True)


@needs_descriptors
@pytest.mark.parametrize(("redirections", "status", "said"), [
    (">/dev/full", 1, "error: standard output: No space left on device, expected to write to it; give another file or pipe\n"),
    (">&-", 1, "error: standard output: closed, expected a terminal, a file or a pipe; open one\n"),
    ("2>/dev/full", 0, ""),
    ("2>&-", 0, ""),
    (">&- 2>&- <&-", 1, ""),
])
def test_streams_that_take_nothing_end_in_a_sentence_and_no_traceback(redirections, status, said):
    done = run_with(redirections, "-m", "minigpt", "tokenize", "To be")
    assert (done.returncode, done.stderr) == (status, said)


@needs_descriptors
@pytest.mark.parametrize("redirections", [">/dev/full 2>/dev/full", ">&- 2>&-"])
def test_training_goes_on_without_streams(tmp_path, redirections):
    done = run_with(redirections, SCRIPTS / "train_shakespeare.py", *TINY, "--out", tmp_path, "--steps", "4")
    assert done.returncode == 0
    assert (tmp_path / "model.safetensors").exists()


def test_training_says_what_it_does_and_the_model_speaks(tmp_path):
    done = train(tmp_path / "run", "--steps", "12", "--eval-interval", "6")
    assert done.returncode == 0, done.stderr
    for part in ("The file ", "parameters", "best validation loss", "--- sample after step 12"):
        assert part in done.stdout
    spoken = run(SCRIPTS / "generate.py", "--model", tmp_path / "run", "--prompt", "The ", "--max-new-tokens", "30")
    assert spoken.returncode == 0, spoken.stderr
    assert spoken.stdout.startswith("The ")
    assert len(spoken.stdout.rstrip("\n")) >= 30


def test_without_network_the_run_says_which_text_it_takes_and_how_to_give_it_shakespeare(tmp_path, spoken, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path))
    monkeypatch.setattr("pydoc_data.topics.topics", {"a part of it": TEXT.read_text(encoding="utf-8")})
    done = spoken(train_main, *TINY[2:], "--steps", "2", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "The language reference of Python" in done.stdout
    assert "in place of Tiny Shakespeare" in done.stdout
    assert "--data FILE" in done.stdout


def test_a_second_run_in_the_folder_fails_fast_and_a_killed_one_is_resumed_where_its_checkpoint_was(tmp_path, spoken, resume):
    process = start(tmp_path, "--eval-interval", "20")
    try:
        done = spoken(train_main, *TINY, "--out", tmp_path, "--steps", "2")
    finally:
        process.kill()
        process.wait()
    assert done.returncode == 1
    assert "error: " in done.stderr and "another run is training here" in done.stderr
    step = max(int(path.stem.split("-")[1]) for path in tmp_path.glob("checkpoint-*.safetensors"))
    done = resume(tmp_path, "--steps", step + 5)
    assert done.returncode == 0, done.stderr
    assert f"continuing after step {step}" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves(tmp_path, resume, number, status):
    process = start(tmp_path, "--eval-interval", "20")
    process.send_signal(number)
    assert process.wait(timeout=600) == status
    assert resume(tmp_path, "--steps", "1").returncode == 0     # nothing left to do, but the checkpoint is good


@pytest.mark.parametrize(("flags", "message"), [
    (["--channels", "30", "--heads", "4"], "--channels 30 is not a multiple of --heads 4"),
    (["--steps", "0"], "steps 0, expected a whole number of at least 1"),
    (["--data", "no-such-file.txt"], "no such file"),
    (["--context", "100000"], "use a longer text or a smaller --context"),
    (["--threads", "0"], "threads: 0, expected at least 1"),
])
def test_bad_flags_get_one_clear_line(tmp_path, spoken, flags, message):
    done = spoken(train_main, "--data", TEXT, "--out", tmp_path / "run", *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_resume_without_a_run_is_an_error(tmp_path, resume):
    done = resume(tmp_path / "nothing")
    assert done.returncode == 1
    assert "no checkpoint" in done.stderr


# convert_gpt2.py


def make_model(**changes):
    return GPT(GPTConfig(vocab_size=9, n_positions=6, n_embd=8, n_layer=2, n_head=2, **changes), seed=3)


@pytest.fixture
def convert(spoken):
    """convert(source, out, *flags): the command's status and words"""
    return lambda source, out, *flags: spoken(convert_gpt2.main, source, "--out", out, *flags)


@pytest.fixture
def without_torch(monkeypatch):
    """As where torch and transformers are not installed"""
    for name in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(("source_format", "target_format"), [("safetensors", "npz"), ("npz", "safetensors")])
@pytest.mark.parametrize("source", ["file", "folder"])
def test_weights_are_converted_without_torch(tmp_path, convert, without_torch, source_format, target_format, source):
    model = make_model()
    model.tokenizer = CharTokenizer.train("hello")
    save_pretrained(model, tmp_path / "a", model.tokenizer, weight_format=source_format)
    path = tmp_path / "a" / (f"model.{source_format}" if source == "file" else "")
    done = convert(path, tmp_path / "b", "--to", target_format)
    assert done.returncode == 0, done.stderr
    assert f"config.json, model.{target_format}" in done.stdout
    loaded = GPT.from_pretrained(tmp_path / "b")
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params)
    assert loaded.tokenizer == model.tokenizer


def test_weights_are_converted_to_half_precision(tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path / "a")
    done = run(SCRIPTS / "convert_gpt2.py", tmp_path / "a", "--out", tmp_path / "b", "--to", "npz", "--dtype", "float16")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "b" / "model.npz") as arrays:
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
        np.testing.assert_array_equal(arrays["wte.weight"], model.params["wte.weight"].astype(np.float16))


def test_weights_too_large_for_half_precision_are_not_converted(tmp_path, convert):
    model = make_model()
    model.params["ln_f.weight"][0] = 1e5
    model.save_pretrained(tmp_path / "a")
    done = convert(tmp_path / "a", tmp_path / "b", "--dtype", "float16")
    assert (done.returncode, (tmp_path / "b").exists()) == (1, False)
    assert "ln_f.weight: values beyond float16" in done.stderr


def test_nanogpts_checkpoint_is_converted_without_torch(tmp_path, convert, without_torch):
    source = FIXTURES / "torch_nanogpt_2.13.0.pt"
    done = convert(source, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(GPT.from_pretrained(tmp_path)([[1, 2]]), GPT.from_pretrained(source)([[1, 2]]))


def test_llmc_gets_the_vocabulary_too(tmp_path, convert):
    model = make_model()
    model.tokenizer = CharTokenizer.train("hello")
    model.save_pretrained(tmp_path / "a")
    done = convert(tmp_path / "a", tmp_path / "b", "--to", "llmc")
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(GPT.from_pretrained(tmp_path / "b" / "gpt2_124M.bin").flat_params, model.flat_params)
    vocabulary = (tmp_path / "b" / "gpt2_tokenizer.bin").read_bytes()[1024:]
    assert vocabulary == b"\1e\1h\1l\1o" + b"\1\0" * 5        # 9 rows of the model, 4 characters


def test_what_a_format_cannot_hold_is_not_converted(tmp_path):
    with pytest.raises(ValueError, match="--dtype float16: unknown to llmc, expected one of float32, bfloat16"):
        convert_gpt2.convert(SimpleNamespace(source=tmp_path, out=tmp_path / "b", to="llmc", dtype="float16"))
    with pytest.raises(ValueError, match="the model has no tokenizer, expected one"):
        convert_gpt2.write(make_model(), tmp_path / "b", "gguf", "F32")
    assert not (tmp_path / "b").exists()


def test_a_name_that_needs_transformers_says_so(tmp_path, convert, without_torch, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    done = convert("gpt2-medium", tmp_path / "b")
    assert done.returncode == 1
    assert "https://huggingface.co/openai-community/gpt2-medium" in done.stderr
    assert "or pip install torch transformers" in done.stderr


@pytest.mark.parametrize("name", ["/tmp/no/such", "./no-such", "../no-such", "a/b/c", "~/x", "no-such.safetensors"])
def test_a_path_that_is_not_there_is_never_looked_for_elsewhere(name, monkeypatch, tmp_path):
    monkeypatch.setattr(convert_gpt2, "read_with_transformers", lambda *_: pytest.fail("asked transformers"))
    with pytest.raises(FileNotFoundError, match="no such folder or file"):
        convert_gpt2.read(name)
    monkeypatch.setattr(convert_gpt2, "read_with_transformers", lambda name, reason: name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert convert_gpt2.read("someone/gpt2.small") == "someone/gpt2.small"


def test_what_transformers_finds_of_a_model_is_converted_with_its_tokenizer_and_settings(tmp_path, monkeypatch):
    model = GPT(GPTConfig(vocab_size=258, n_positions=6, n_embd=8, n_layer=1, n_head=2, eos_token_id=257))

    class Tensor(np.ndarray):
        def float(self):
            return self

        def numpy(self):
            return np.asarray(self)

    class FromHub:
        def from_pretrained(self, name):
            assert name == "someone/gpt2"
            return self

    class Model(FromHub):
        config, generation_config = SimpleNamespace(to_json_string=model.config.to_json), SimpleNamespace(
            to_json_string=lambda: '{"top_k":  7}')

        def state_dict(self):
            return {f"transformer.{name}": array.view(Tensor) for name, array in model.params.items()}

    class AutoTokenizer(FromHub):
        def save_pretrained(self, folder):
            if not self.is_there:
                raise OSError("someone/gpt2 has none")
            Tokenizer([(0, 1)], ["</s>"]).save(folder)

    ours = ModuleType("transformers")
    ours.GPT2LMHeadModel, ours.AutoTokenizer = Model(), AutoTokenizer()
    monkeypatch.setitem(sys.modules, "transformers", ours)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    request = SimpleNamespace(source="someone/gpt2", out=tmp_path / "b", to="safetensors", dtype="float32")
    ours.AutoTokenizer.is_there = True
    convert_gpt2.convert(request)
    back = GPT.from_pretrained(tmp_path / "b")
    np.testing.assert_array_equal(back.flat_params, model.flat_params)
    assert back.tokenizer == Tokenizer([(0, 1)], ["</s>"])
    assert (tmp_path / "b" / "generation_config.json").read_text(encoding="utf-8") == '{"top_k":  7}'
    ours.AutoTokenizer.is_there = False
    with pytest.warns(UserWarning, match="no tokenizer, since it cannot be read: someone/gpt2 has none"):
        model, _ = convert_gpt2.read("someone/gpt2")
    assert model.tokenizer is None


def test_what_stands_beside_the_weights_is_converted_with_them(tmp_path):
    model = GPT(GPTConfig(vocab_size=260, n_positions=6, n_embd=8, n_layer=1, n_head=2))
    model.tokenizer = Tokenizer([(0, 1)], ["<s>", "</s>", "<pad>"])
    model.save_pretrained(tmp_path / "a")
    roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "</s>"}
    settings = {"tokenizer_class": "GPT2Tokenizer", "padding_side": "left", **roles}
    (tmp_path / "a" / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "a" / "generation_config.json").write_text('{"top_k":  7}', encoding="utf-8")
    convert_gpt2.convert(SimpleNamespace(source=str(tmp_path / "a"), out=tmp_path / "b", to="safetensors", dtype="float32"))
    assert (tmp_path / "b" / "generation_config.json").read_text(encoding="utf-8") == '{"top_k":  7}'
    written = json.loads((tmp_path / "b" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert written == {**settings, "add_prefix_space": False}


def test_weights_without_their_sizes_are_not_converted(tmp_path, convert):
    make_model().save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    done = convert(tmp_path / "model.safetensors", tmp_path / "b")
    assert done.returncode == 1
    assert "config.json: absent, expected the sizes of model.safetensors" in done.stderr


@pytest.mark.reference
@pytest.mark.parametrize("name", ["pytorch_model.bin", ""])
def test_pytorchs_state_dict_is_converted(tmp_path, convert, name):
    import torch

    model = make_model()
    model.save_pretrained(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").unlink()
    state = {f"transformer.{key}": torch.tensor(array) for key, array in model.params.items()}
    torch.save(state, tmp_path / "a" / "pytorch_model.bin")
    done = convert(tmp_path / "a" / name, tmp_path / "b")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(GPT.from_pretrained(tmp_path / "b").flat_params, model.flat_params)


@pytest.mark.reference
def test_nanogpts_checkpoint_is_converted(tmp_path, convert):
    import torch

    model = make_model(bias=False, activation_function="gelu")
    state = {
        f"_orig_mod.transformer.{name}": torch.tensor(array.T if name.startswith("h.") and array.ndim == 2 else array)
        for name, array in model.params.items()
    }
    state["_orig_mod.lm_head.weight"] = state["_orig_mod.transformer.wte.weight"]
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 8, "block_size": 6, "bias": False, "vocab_size": 9, "dropout": 0.0}
    torch.save({"model": state, "model_args": sizes, "iter_num": 5}, tmp_path / "ckpt.pt")
    done = convert(tmp_path / "ckpt.pt", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    ids = np.arange(6)[None]
    np.testing.assert_array_equal(GPT.from_pretrained(tmp_path / "b")(ids), model(ids))


@pytest.mark.reference
def test_a_pickle_with_code_in_it_is_not_run(tmp_path, convert):
    import torch

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    torch.save({"x": Evil()}, tmp_path / "pytorch_model.bin")
    done = convert(tmp_path / "pytorch_model.bin", tmp_path / "b")
    assert (done.returncode, (tmp_path / "evil").exists()) == (1, False)
    assert "posix.mkdir" in done.stderr and "nothing of it was run" in done.stderr
