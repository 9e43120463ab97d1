"""The notebooks run from top to bottom, offline, and keep what they print and draw."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigpt
from minigpt.study import exercises

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""
MACHINE = re.compile(r"(?<![\w.])/(home|root|Users|tmp|var|opt|usr|mnt|work)/\w|\b[A-Z]:\\\w|site-packages|ipykernel")

assert NOTEBOOKS
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """The environment of a kernel of this Python that imports this minigpt, is offline, and writes to a folder of its own."""
    folder = tmp_path_factory.mktemp("jupyter")
    kernel = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "Python 3",
              "language": "python"}
    (folder / "kernels" / "python3").mkdir(parents=True)
    (folder / "kernels" / "python3" / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    places = ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR",
              "MINIGPT_CACHE")
    environment = {
        **os.environ, **dict.fromkeys(places, str(folder)), "PYTHONPATH": str(Path(minigpt.__file__).parents[1]),
        **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),       # where nothing listens
        "PYTHONUTF8": "1",
    }
    # its list of fonts, so that no cell reports that it takes a moment
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], env=environment, capture_output=True, check=True)
    return environment


@each
def test_it_runs_and_shows_what_it_keeps(path, jupyter, tmp_path):
    done = subprocess.run(
        # a process of its own: warnings of Jupyter's packages are no errors there
        [sys.executable, "-c", EXECUTE, str(path), str(tmp_path / path.name)],
        cwd=path.parent, env=jupyter, capture_output=True, encoding="utf-8", timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    for kept, run in zip(code_cells(path), code_cells(tmp_path / path.name), strict=True):
        assert "stderr" not in shown(run), text_of(run)
        assert shown(run) == shown(kept), "".join(kept["source"])


@each
def test_it_keeps_a_run_from_top_to_bottom(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in shown(cell) for cell in cells)


@each
def test_it_keeps_no_error_and_no_path_of_a_machine(path):
    for cell in code_cells(path):
        assert not {"error", "stderr"} & shown(cell)
        assert not MACHINE.search(text_of(cell))
        assert cell["metadata"] == {}       # no times, no state of an editor


@each
def test_it_is_small(path):
    assert path.stat().st_size < 600_000


@each
def test_it_names_sections_in_chinese_and_is_english_but_for_the_first(path):
    prose = "".join("".join(cell["source"]) for cell in cells_of(path) if cell["cell_type"] == "markdown")
    assert prose.startswith(f"# {path.stem[:2]} ")
    assert re.search(r"A[0-4] §\d[\d.]* [^\n]*[\u4e00-\u9fff]", prose)
    is_english = len(re.findall(r"[\u4e00-\u9fff]", prose)) < len(re.findall(r"[a-z]{2,}", prose))
    assert is_english == (path.stem != "00_articles")


def test_no_answer_stands_between_a_task_and_the_end_of_its_notebook():
    """Where it is the reader's turn a cell holds an attempt that the check finds wrong; minigpt's function comes last."""
    for path in NOTEBOOKS:
        cells = cells_of(path)
        turns = [i for i, cell in enumerate(cells) if "Your turn" in "".join(cell["source"])]
        end = next((i for i, cell in enumerate(cells) if "".join(cell["source"]).startswith("## Answers")), len(cells))
        asked = set()
        for turn in (turn for turn in turns if "means:" not in "".join(cells[turn]["source"])):        # there it is explained
            near = [cell for cell in cells[turn - 1 : turn + 2] if cell["cell_type"] == "code"]
            found = [(cell, name, own) for cell in near
                     for name, own in re.findall(r'exercises\.check\("(\w+)", (\w+)\)', "".join(cell["source"]))]
            assert found, "".join(cells[turn]["source"])
            for cell, name, own in found:
                assert f"def {own}(" in "".join(cell["source"]), f"{name}: {own} is not the reader's own"
                assert f"{name}: not yet" in text_of(cell)
                asked.add(name)
        printed = "".join(text_of(cell) for cell in cells[:end] if cell["cell_type"] == "code")
        for name in sorted(asked):
            for function in exercises.TABLE[name].sources[:1]:
                answer = inspect.getsource(function).rsplit('"""', 1)[-1].strip()
                assert answer not in printed, f"{path.stem}: the answer to {name}"


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_cells(path):
    return [cell for cell in cells_of(path) if cell["cell_type"] == "code"]


def shown(cell):
    """The kinds of what a cell prints and draws: {"stdout", "text/plain", "image/png"}"""
    return {kind for output in cell["outputs"] for kind in output.get("data", [output.get("name", output["output_type"])])}


def text_of(cell):
    """All that a cell prints and draws, but for the pictures"""
    return "".join(
        "".join(part)
        for output in cell["outputs"]
        for part in [output.get("text", ""), *(data for kind, data in output.get("data", {}).items() if kind != "image/png")]
    )
