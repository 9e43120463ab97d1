"""The articles' code as it stands there, but for the import and "np" in place of "pt"."""

import ast
import builtins
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.hf import model as hf
from minigpt.hf.model import GPT2Config, GPT2LMHeadModel
from minigpt.hf.tokenizer import GPT2Tokenizer
from minigpt.tokenization import Tokenizer

A0 = '''
from minigpt.hf import GPT2LMHeadModel, GPT2Tokenizer

model = GPT2LMHeadModel.from_pretrained('gpt2')
tokenizer = GPT2Tokenizer.from_pretrained('gpt2')

input_text = "Once upon a time"
input_ids = tokenizer.encode(input_text, return_tensors='np')
output = model.generate(input_ids)
generated_text = tokenizer.decode(output[0])
'''

A0_GPT3 = '''
from minigpt.hf import GPT3LMHeadModel, GPT3Tokenizer

model = GPT3LMHeadModel.from_pretrained('gpt3')
tokenizer = GPT3Tokenizer.from_pretrained('gpt3')
'''

A2 = '''
from minigpt.hf import GPT2LMHeadModel, GPT2Tokenizer

# 加载预训练的GPT-2模型和分词器
model = GPT2LMHeadModel.from_pretrained('gpt2')
tokenizer = GPT2Tokenizer.from_pretrained('gpt2')

# 输入文本进行Token化
input_text = "今天天气很好，阳光明媚。"
inputs = tokenizer.encode(input_text, return_tensors='np')

# 使用模型生成文本
outputs = model.generate(inputs, max_length=50, num_return_sequences=1)

# 解码生成的文本
generated_text = tokenizer.decode(outputs[0], skip_special_tokens=True)

print(generated_text)
'''

A3 = '''
# 使用Hugging Face Transformers库加载GPT-2模型
from minigpt.hf import GPT2LMHeadModel, GPT2Tokenizer

# 加载预训练模型和词表
model_name = "gpt2"
model = GPT2LMHeadModel.from_pretrained(model_name)
tokenizer = GPT2Tokenizer.from_pretrained(model_name)

# 输入文本
prompt = "The world is a beautiful place."

# 将文本转换为模型输入
input_ids = tokenizer.encode(prompt, return_tensors="np")

# 生成文本
output = model.generate(input_ids, max_length=50)

# 将模型输出转换为文本
generated_text = tokenizer.decode(output[0], skip_special_tokens=True)

# 打印生成文本
print(generated_text)
'''

A4 = '''
from minigpt.hf import GPT2LMHeadModel, GPT2Tokenizer

tokenizer = GPT2Tokenizer.from_pretrained('gpt2')
model = GPT2LMHeadModel.from_pretrained('gpt2')

inputs = tokenizer.encode("Hello, how are you?", return_tensors='np')
outputs = model.generate(inputs, max_length=100, temperature=0.7, num_return_sequences=3)

for i, output in enumerate(outputs):
    print(f"Generated text {i+1}: {tokenizer.decode(output)}")
'''


@pytest.fixture
def gpt2(tmp_path, monkeypatch):
    """A small random model and a small vocabulary under the name "gpt2"."""
    tokenizer = Tokenizer.train("The world is a beautiful place. Hello, how are you? 今天天气", 280, ["<|endoftext|>"])
    end = tokenizer.special_tokens["<|endoftext|>"]
    sizes = {"vocab_size": 280, "n_positions": 128, "n_embd": 12, "n_layer": 2, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=end, eos_token_id=end)).save_pretrained(tmp_path)
    monkeypatch.chdir(tmp_path)     # where no folder is called gpt2
    monkeypatch.setattr(hf, "find", lambda name: tmp_path if name in ("gpt2", tmp_path) else pytest.fail(f"asked for {name}"))
    monkeypatch.setattr(Tokenizer, "gpt2", lambda: tokenizer, raising=False)


def run(snippet):
    names = {}
    exec(compile(snippet, "article", "exec"), names)
    return names


def test_a0_continues_once_upon_a_time(gpt2):
    names = run(A0)
    assert names["output"].shape[1] <= names["input_ids"].shape[1] + 20
    assert names["generated_text"].startswith("Once upon a time")


def test_a2_continues_the_weather(gpt2, capsys):
    names = run(A2)
    assert names["outputs"].shape[1] <= 50
    assert capsys.readouterr().out == names["generated_text"] + "\n"
    assert names["generated_text"].startswith("今天天气很好，阳光明媚。")


def test_a3_continues_the_beautiful_place(gpt2, capsys):
    names = run(A3)
    assert names["output"].shape[1] <= 50
    assert capsys.readouterr().out.startswith("The world is a beautiful place.")


def test_a4_is_told_what_it_lacks(gpt2):
    with pytest.raises(ValueError, match=r"num_return_sequences: 3, expected 1 while greedy, .*pass do_sample=True"):
        run(A4)


def test_a4_with_what_it_lacks_prints_three_texts(gpt2, capsys):
    run(A4.replace("temperature", "do_sample=True, temperature"))
    assert re.findall(r"^Generated text (\d): Hello, how are you\?", capsys.readouterr().out, re.M) == ["1", "2", "3"]


def test_gpt3_is_explained():
    with pytest.raises(ValueError, match=r"GPT3LMHeadModel: 'gpt3', .* OpenAI never released"):
        run(A0_GPT3)


def test_the_articles_code_needs_no_torch(gpt2, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)     # importing it would raise
    monkeypatch.setitem(sys.modules, "transformers", None)
    run(A0)


def test_the_stand_in_is_a_model_folder(gpt2, tmp_path):
    model = GPT.from_pretrained(tmp_path)
    assert isinstance(model.config, GPTConfig)
    assert model(np.array([[1, 2]])).shape == (1, 2, 280)


PROMPT = "Alan Turing theorized that computers would one day become"
CONTINUATION = (
    " the most powerful machines on the planet.\n\nThe computer is a machine that can perform complex calculations, and it can "
    "perform these calculations in a way that is very similar to the human brain."
)


def test_gpt2_continues_as_it_does_in_transformers(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")       # only where the weights are in a cache
    try:
        model = GPT2LMHeadModel.from_pretrained("gpt2")
    except OSError:
        pytest.skip("GPT-2's weights are not in a cache")
    tokenizer = GPT2Tokenizer.from_pretrained("gpt2")
    inputs = tokenizer(PROMPT, return_tensors="np")
    out = model.generate(**inputs, max_new_tokens=40)
    assert tokenizer.decode(out[0]) == PROMPT + CONTINUATION


# The notebook that follows them

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST, *CELLS = json.loads((ROOT / "notebooks" / "00_articles.ipynb").read_text(encoding="utf-8"))["cells"]


def parts():
    """{"A0 §3.1.1": the text under its heading, …}, as notebook 00 has them"""
    text = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    found = {}
    for part in re.split(r"(?m)^#+ ", text):
        heading, _, body = part.partition("\n")
        found |= dict.fromkeys(re.findall(r"A\d §[\d.]*\d", heading), body)
    return found


def sections(heading):
    """The sections in the first column of the README's table under this heading: "A0 §1, A2 §6" -> ["A0 §1", "A2 §6"]"""
    table = README.partition(f"\n{heading}\n")[2].partition("\n#")[0]
    column = "\n".join(line.split("|")[1] for line in table.splitlines() if re.match(r"\| A\d (§|附录|code)", line))
    column = column.replace("附录", "§6").replace("code", "§4")         # of A0 and of A4
    articles = [(match.start(), match[0]) for match in re.finditer(r"A\d", column)]
    return [f"{[article for start, article in articles if start < match.start()][-1]} {match[0]}"
            for match in re.finditer(r"§[\d.]*\d", column)]


def test_each_section_of_the_readmes_table_is_in_the_notebook():
    found = parts()
    named = sections("## From the articles to the files")
    assert len(set(named)) > 40
    missing = [section for section in named
               if not any(f"{each}.".startswith(f"{section}.") for each in found)              # it or one under it
               and f"**{section[3:]}**" not in found.get(section.rpartition(".")[0], "")]     # an item of a list
    assert missing == []


def test_each_correction_of_the_readme_is_in_the_notebook():
    found = parts()
    named = sections("### What the articles get wrong")
    assert len(set(named)) > 15
    assert [section for section in named
            if not any("**更正**" in text for each, text in found.items() if f"{each}.".startswith(f"{section}."))] == []


def test_each_chapter_of_the_notebook_needs_the_first_cell_alone():
    def names(nodes, context):
        return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)}

    chapters, known = {}, set()
    for cell in CELLS:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            if title := re.search(r"(?m)^# (.*)", text):
                chapter = chapters[title[1]] = []
        elif chapters:
            chapter.append(text)
        else:
            known = bound(text)
    assert len(chapters) == 6
    for title, cells in chapters.items():
        defined = set(known)
        for text in cells:
            defined |= bound(text)
            tree = ast.parse(text)
            assert names(ast.walk(tree), ast.Load) - defined - {*dir(builtins)} == set(), title


def bound(text):
    """The names that a cell binds: variables, imports, functions and their arguments"""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, (ast.FunctionDef, ast.ExceptHandler)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def test_the_notebooks_links_lead_somewhere():
    prose = "\n".join("".join(cell["source"]) for cell in (FIRST, *CELLS) if cell["cell_type"] == "markdown")
    for words, target in re.findall(r"\[([^]\n]*)\]\(([^#)\n][^)\n]*)\)", prose):
        assert (ROOT / "notebooks" / target).exists(), target
        if section := re.search(r"§(\d+)$", words):
            other = (ROOT / "notebooks" / target).read_text(encoding="utf-8")
            assert f'"## {section[1]} ' in other, (words, target)


def test_the_key_says_in_three_places_which_article_is_which():
    notebooks = [(ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8") for name in ("00_articles", "01_tokens")]
    for article, file, words in [
        ("A0", "000_72ee3c3903f3f788.txt", "文本生成技术在近年来取得了显著的进展"),
        ("A1", "001_99175219714b5bd6.txt", "自从2018年的GPT-2模型出现以来"),
        ("A2", "002_b4beb36899d82bbc.txt", "关键词：GPT-2、生成预训练模型"),
        ("A3", "003_73b10043c142b0b2.txt", "自然语言处理的挑战"),
        ("A4", "004_596df588dbce23ea.txt", "在深度学习领域，语言模型（Language Model）是非常核心的一个部分"),
    ]:
        for text in (README, *notebooks):
            (line,) = [line for line in text.splitlines() if f"`{file}`" in line]
            assert article in line
            assert words in line
