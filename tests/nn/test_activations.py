"""The table of activation functions, row by row: its equation, gradient and twin, and a model that is trained with it."""

import math
import re

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt import GPT, GPTConfig
from minigpt.commands import train
from minigpt.nn import Scope, fast
from minigpt.nn.activations import ACTIVATIONS, Activation
from minigpt.study.gradcheck import check_gradients

every_function = pytest.mark.parametrize("name", ACTIVATIONS)
SPELLED = {"½": "0.5", "π": repr(math.pi), "²": "**2", "³": "**3", "−": "-", "√": "sqrt"}
FUNCTIONS = {"Φ": lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2))), "σ": lambda x: 1 / (1 + math.exp(-x)), "max": max,
             "min": min, "abs": abs, **{name: getattr(math, name) for name in ("exp", "log", "sqrt", "tanh", "erf")}}


def computed(equation, **values):
    """The right side of an equation, computed as it is written: what stands side by side is multiplied"""
    code, multiply = "", False
    for token in re.findall(r"[a-z]+|[\d.]+|\S", re.sub(r"\|([^|]+)\|", r"abs(\1)", equation)):
        code += "*" if multiply and (token.isidentifier() or token[0].isdecimal() or token in "(½√") else ""
        code += SPELLED.get(token, token)
        multiply = token == ")" or (token[0].isalnum() and token not in FUNCTIONS)
    return eval(code, {"__builtins__": {}}, FUNCTIONS | values)


def test_an_equation_is_computed_as_it_is_written():
    assert computed("½ x (1 + max(x, −2)) + 3 x²/(x + π) − √(x³ y)", x=4.0, y=9.0) == 2 * 5 + 48 / (4 + math.pi) - 24
    assert computed("x/(1 + 2 |x|) + |x − 1|", x=-4.0) == -4 / 9 + 5


@every_function
@textbook_and_engine
def test_values_are_those_of_the_equation(name, fast):
    x = np.concatenate([np.linspace(-9, 9, 361), [0.0, -0.0, 1e-300, -40.0, 40.0]])
    y = ACTIVATIONS[name].forward(x.copy(), Scope.of(fast=fast))
    expected = [computed(ACTIVATIONS[name].equation, x=v) for v in x.tolist()]
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=2e-15)         # 9 · (rounding of tanh, erf)


@every_function
@textbook_and_engine
def test_gradients(name, fast):
    x = np.append(2 * np.random.default_rng(1).standard_normal(30), [-40.0, 40.0])          # where exp(x²) would overflow, too
    check_gradients(ACTIVATIONS[name].forward, ACTIVATIONS[name].backward, {"x": x.reshape(2, 4, 4)}, Scope.of(fast=fast))


@textbook_and_engine
def test_relu_has_no_slope_at_zero(fast):
    relu, s = ACTIVATIONS["relu"], Scope.of(fast=fast)
    relu.forward(np.array([0.0, -0.0, 1e-300]), s)
    np.testing.assert_array_equal(relu.backward(np.ones(3), s), [0, 0, 1])


@every_function
def test_both_of_a_pair_have_twins_in_the_engine_or_neither_has(name):
    """What the twins compute, tests/nn/test_twins.py compares."""
    pair = ACTIVATIONS[name].forward, ACTIVATIONS[name].backward
    marked = [hasattr(function, "__wrapped__") for function in pair]            # by @has_fast_twin
    assert marked in ([hasattr(fast, function.__name__) for function in pair], [False, False]) and len({*marked}) == 1


def test_no_name_stands_for_two_functions():
    names = [name for own, function in ACTIVATIONS.items() for name in (own, *function.other_names)]
    assert len(names) == len({*names})


@every_function
def test_a_model_is_trained_with_it_and_its_trace_shows_the_equation(name, tmp_path, monkeypatch):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be " * 20, encoding="utf-8")
    flags = f"--activation {name} --layers 1 --heads 1 --channels 4 --context 4 --batch-size 2 --sample-tokens 0 --steps 1"
    monkeypatch.setattr(train, "save_loss_png", lambda *_: False)           # a picture takes longer than all the rest
    assert train.main(["--data", str(text), "--out", str(tmp_path / "run"), *flags.split()]) == 0
    model = GPT.from_pretrained(tmp_path / "run")
    assert model.config.activation_function == name
    ids = model.tokenizer.encode_array("to be")[None]
    trace = model.trace(ids[:, :-1], ids[:, 1:])
    pre, act = trace["h.0.mlp.pre"], trace["h.0.mlp.act"]
    assert act.section == ACTIVATIONS[name].section
    written = act.equation.removeprefix("act = f(pre) = ")
    expected = [computed(written, pre=v) for v in pre.value.ravel().tolist()]
    np.testing.assert_allclose(act.value.ravel(), expected, rtol=1e-5, atol=1e-6)       # float32
    assert all(place.startswith("minigpt/nn/") for place in (*pre.source, *act.source))


def test_ones_own_is_added_while_the_program_runs(monkeypatch):
    typed, own = "def forward(x, s):\n  s.acts['x'] = x\n  return x**3\n\ndef backward(dy, s): return 3*s.acts['x']**2 * dy", {}
    exec(typed, own)
    monkeypatch.setitem(ACTIVATIONS, "cube", Activation(own["forward"], own["backward"], "x³", "none"))
    config = GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=1, activation_function="cube")
    trace = GPT(config, seed=0).trace([[1, 2]], [[2, 3]])
    pre, act = trace["h.0.mlp.pre"], trace["h.0.mlp.act"]
    np.testing.assert_allclose(act.value, pre.value**3, rtol=1e-6)
    assert (act.equation, act.source[0], pre.source[1]) == ("act = f(pre) = pre³", "<string>:1", "<string>:5")
    assert "<string>:1" in repr(act)
