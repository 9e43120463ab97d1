"""What a catalog of Chinese sentences lacks: for the tests of what speaks both languages, minigpt/system/language.py."""

import ast
import re
from pathlib import Path
from string import Formatter

import minigpt

ROOT = Path(minigpt.__file__).parent
ENGLISH = re.compile(r"(?<![\w.(])[a-z]{2,} [a-z]{2,} [a-z]{2,}")       # three small words in a row


def templates(*paths, calls=("Sentence",)):
    """The templates of all Sentence("…") in files such as "study/checks.py": {template: "study/checks.py, line 71"}.

    calls: the functions whose first argument is a template.  Those without a word are left out.
    """
    found = {}
    for path in paths:
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
                chosen = [node.args[0].body, node.args[0].orelse] if isinstance(node.args[0], ast.IfExp) else [node.args[0]]
                assert all(isinstance(each, (ast.Constant, ast.Name)) for each in chosen), f"{path}, line {node.lineno}"
                found |= {each.value: f"{path}, line {node.lineno}" for each in chosen if isinstance(each, ast.Constant)}
    return {template: place for template, place in found.items() if re.search("[A-Za-z]", re.sub(r"\{.*?\}", "", template))}


def names(template):
    """The values that a template takes"""
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def assert_translated(catalog, sentences):
    """Each of the sentences, {English: where it stands}, has its Chinese, of the same values; the catalog has no others."""
    assert [f"{place}: {english}" for english, place in sentences.items() if english not in catalog] == []
    spare = {english for english in catalog if re.search("[A-Za-z]", re.sub(r"\{.*?\}", "", english))} - {*sentences}
    assert spare == set(), "Chinese for what nobody says"
    for english, chinese in catalog.items():
        assert re.search("[\u3000-\u9fff\uff00-\uffef]", chinese), f"not Chinese: {english!r}, {chinese!r}"
        assert ENGLISH.findall(chinese) == [], f"not all Chinese: {chinese!r}"
        if "{" in english and english in sentences:
            assert names(chinese) == names(english), f"other values: {english!r}, {chinese!r}"


def assert_chinese(text):
    """No English sentence is left in a text."""
    assert ENGLISH.findall(text) == [], text
