"""Imports run one way: a module imports from its own floor or from below, and none imports itself by way of others."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import minigpt

ROOT = Path(minigpt.__file__).parent
FLOORS = (      # from the ground up; the longest name that fits counts
    ("system", "colors"),
    ("config", "inputs", "nn", "tokenization", "weights"),
    ("models",),
    ("weights.pretrained", "weights.state_dict"),
    ("generation",),
    ("training", "hf", "weights.inspection"),
    ("study",),
    ("commands",),
    ("__main__",),
)
UPWARDS = {     # inside a function alone
    "models.shortcuts", "models.classifier", "models.transformer", "generation.scoring", "generation.candidates",
}


def floor(module):
    fits = [(len(name), i) for i, names in enumerate(FLOORS) for name in names if f"{module}.".startswith(f"{name}.")]
    return max(fits)[1]


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def imports(path, top_level):
    """Modules of minigpt that a file imports, when it is imported itself or inside a function"""
    package = list(path.relative_to(ROOT).parts[:-1])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checking = {n for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
                for n in ast.walk(node)}
    at_top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in checking and (node in at_top) == top_level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            module = ".".join(part for part in base if part)
            for alias in node.names:
                inside = f"{module}.{alias.name}" if module else alias.name
                yield inside if ROOT.joinpath(*inside.split(".")).with_suffix(".py").exists() or (
                    ROOT.joinpath(*inside.split("."), "__init__.py").exists()) else module


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"}


def test_no_module_imports_from_a_floor_above():
    up = [(name, other) for name, path in FILES.items() for other in imports(path, top_level=True)
          if other and floor(other) > floor(name)]
    assert up == []


def test_inside_functions_only_a_few_modules_call_upwards():
    up = {name for name, path in FILES.items() for other in imports(path, top_level=False)
          if other and floor(other) > floor(name)}
    assert up <= UPWARDS


def test_no_module_imports_itself_by_way_of_others():
    graph = {name: set(imports(path, top_level=True)) - {"", name} for name, path in FILES.items()}
    for package in [name for name, path in FILES.items() if path.name == "__init__.py"]:        # its modules run it first
        for name in graph:
            if name.startswith(f"{package}."):
                graph[package].discard(name)
    list(TopologicalSorter(graph).static_order())


def test_no_module_reaches_for_anothers_underscore_name():
    taken = []
    for name, path in FILES.items():
        text = path.read_text(encoding="utf-8")
        taken += [(name, found) for found in re.findall(r"\b(?:model|gpt|tokenizer|cache)\._[a-z]\w*", text)]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level:
                taken += [(name, alias.name) for alias in node.names if alias.name.startswith("_") and alias.name[1] != "_"]
    assert taken == []
