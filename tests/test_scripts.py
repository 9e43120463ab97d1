"""The commands a user types, as processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
TINY = ["--data", "python", "--layers", "1", "--heads", "2", "--channels", "16", "--context", "16", "--batch-size", "4",
        "--sample-tokens", "20"]


def run(*command, **options):
    environment = {**os.environ, "MINIGPT_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, encoding="utf-8", env=environment,
                          timeout=120, **options)


def train(folder, *flags):
    return run(SCRIPTS / "train_shakespeare.py", *TINY, "--out", folder, *flags)


def resume(folder, *flags):
    return run(SCRIPTS / "train_shakespeare.py", "--resume", "--out", folder, *flags)


def start(folder, *flags):
    """A long run as a process that goes on, once its first checkpoint is there."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "train_shakespeare.py"), *TINY, "--out", str(folder), "--steps", "100000", *flags],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 60
    while not list(folder.glob("checkpoint-*")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_help_of_each_script(script):
    done = run(SCRIPTS / script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage:")


@pytest.mark.parametrize("command", ["train", "generate", "tokenize"])
def test_help_of_each_command_of_the_package(command):
    done = run("-m", "minigpt", command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage:")


def test_training_says_what_it_does_and_the_model_speaks(tmp_path):
    done = train(tmp_path / "run", "--steps", "12", "--eval-interval", "6")
    assert done.returncode == 0, done.stderr
    for part in ("The language reference of Python", "parameters", "best validation loss", "--- sample after step 12"):
        assert part in done.stdout
    spoken = run(SCRIPTS / "generate.py", "--model", tmp_path / "run", "--prompt", "The ", "--max-new-tokens", "30")
    assert spoken.returncode == 0, spoken.stderr
    assert spoken.stdout.startswith("The ")
    assert len(spoken.stdout.rstrip("\n")) >= 30


def test_without_network_the_run_says_which_text_it_takes_and_how_to_give_it_shakespeare(tmp_path):
    environment = {**os.environ, "MINIGPT_OFFLINE": "1", "MINIGPT_CACHE": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, str(SCRIPTS / "train_shakespeare.py"), *TINY[2:], "--steps", "2", "--out",
                           str(tmp_path / "run")], capture_output=True, encoding="utf-8", env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "in place of Tiny Shakespeare" in done.stdout
    assert "--data FILE" in done.stdout


def test_a_killed_run_is_resumed_where_its_checkpoint_was(tmp_path):
    process = start(tmp_path, "--eval-interval", "20")
    process.kill()
    process.wait()
    step = max(int(path.stem.split("-")[1]) for path in tmp_path.glob("checkpoint-*.safetensors"))
    done = resume(tmp_path, "--steps", str(step + 5))
    assert done.returncode == 0, done.stderr
    assert f"going on after step {step}" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves(tmp_path, number, status):
    process = start(tmp_path, "--eval-interval", "20")
    process.send_signal(number)
    assert process.wait(timeout=60) == status
    assert resume(tmp_path, "--steps", "1").returncode == 0     # nothing left to do, but the checkpoint is good


def test_a_second_run_in_the_same_folder_fails_fast(tmp_path):
    process = start(tmp_path, "--eval-interval", "20")
    try:
        done = train(tmp_path, "--steps", "2")
    finally:
        process.kill()
        process.wait()
    assert done.returncode == 1
    assert "error: " in done.stderr


@pytest.mark.parametrize(("flags", "message"), [
    (["--channels", "30", "--heads", "4"], "n_embd 30 is not a multiple of n_head 4"),
    (["--steps", "0"], "steps 0, expected a whole number of at least 1"),
    (["--data", "no-such-file.txt"], "no such file"),
    (["--context", "100000"], "use a longer text or a smaller --context"),
    (["--threads", "0"], "threads: 0, expected at least 1"),
])
def test_bad_flags_get_one_clear_line(tmp_path, flags, message):
    done = run(SCRIPTS / "train_shakespeare.py", "--data", "python", "--out", tmp_path / "run", *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_resume_without_a_run_is_an_error(tmp_path):
    done = resume(tmp_path / "nothing")
    assert done.returncode == 1
    assert "no checkpoint" in done.stderr
