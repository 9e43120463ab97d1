"""Traces: every gradient against central differences at that very activation, every equation against the layers of nn."""

import ast
import math
import re
import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt import GPT, GPTConfig
from minigpt.nn import (
    Scope,
    attention_backward,
    attention_forward,
    embedding_backward,
    embedding_forward,
    layernorm_backward,
    layernorm_forward,
    linear_backward,
    linear_forward,
    log_softmax,
    merge_heads,
    split_heads,
    unembedding_backward,
    unembedding_forward,
)
from minigpt.nn.activations import ACTIVATIONS
from minigpt.study.equations import activations, parameters

CONFIG = GPTConfig(vocab_size=7, n_positions=5, n_embd=6, n_layer=2, n_head=2)
VARIANTS = {
    "GPT-2's": CONFIG,
    "untied, no biases, relu": GPTConfig(vocab_size=7, n_positions=5, n_embd=6, n_layer=2, n_head=3, n_inner=10, bias=False,
                                         tie_word_embeddings=False, activation_function="relu", layer_norm_epsilon=0.1,
                                         scale_attn_by_inverse_layer_idx=True),
    "GPT-1's": GPTConfig(**{**CONFIG.to_dict(), "pre_norm": False}),
    "GPT-3's, banded": GPTConfig(**{**CONFIG.to_dict(), "attention_window": 2}),
    "BERT's, both ways": GPTConfig(**{**CONFIG.to_dict(), "causal": False}),
}
CASES = [(variant, name) for variant, config in VARIANTS.items() for name in activations(config) if name != "loss"]


@cache
def example(variant="GPT-2's", dtype=np.float64):
    """(model, ids, targets, trace); weights far larger than at the start, so that no gradient is small by chance"""
    rng = np.random.default_rng(0)
    model = GPT(VARIANTS[variant], seed=None, dtype=dtype)
    for array in model.params.values():
        array[...] = 0.5 * rng.standard_normal(array.shape)
    ids, targets = rng.integers(0, 7, (2, 2, 4))
    targets[0, 1] = -100
    return model, ids, targets, model.trace(ids, targets)


@pytest.mark.parametrize("variant, name", CASES)
def test_every_gradient_is_a_central_difference_at_that_activation(variant, name):
    model, ids, targets, trace = example(variant)
    grad = trace[name].grad
    h = 1e-5
    rng = np.random.default_rng(1)
    directions = [rng.standard_normal(grad.shape) / math.sqrt(grad.size)]           # all elements at once, and three alone
    for i in rng.choice(grad.size, min(grad.size, 3), replace=False):
        directions.append(np.zeros(grad.shape))
        directions[-1].reshape(-1)[i] = 1
    for direction in directions:

        def loss(step, direction=direction):
            return model.run(ids, targets, edits={name: lambda array: array + step * direction}, names="nll").loss

        central = (loss(h) - loss(-h)) / (2 * h)
        assert (grad * direction).sum() == pytest.approx(central, rel=0, abs=1e-7 * abs(grad).max())     # float64, h = 1e-5


def neighbors(variant):
    """{name: (value, gradient)}: what the layers of nn make of the trace's other names, as each documented equation says"""
    model, ids, targets, trace = example(variant)
    c, p = model.config, model.params
    V, L, T = c.vocab_size, c.n_layer, ids.shape[1]
    kept = targets != -100
    n = kept.sum()
    onehot = np.eye(V)[np.where(kept, targets, 0)] * kept[..., None]
    expected = {name: (p[name], 0) for name in p}

    def value(name):
        return trace[name].value

    def grad(name):
        return trace[name].grad

    def layer(name, forward, backward, *inputs, dy, **options):
        """A pair of nn by itself, with the parameters of this name -> y, dx, scope; its gradients go into `expected`"""
        s = Scope.of(**{kind: p[f"{name}.{kind}"] for kind in ("weight", "bias") if f"{name}.{kind}" in p})
        y = forward(*inputs, s, **options)
        dx = backward(dy, s)
        for kind in s.params:
            weight, gradient = expected[f"{name}.{kind}"]
            expected[f"{name}.{kind}"] = weight, gradient + s.grads[kind]
        return y, dx, s

    def norm(name, x, dout):
        """-> dx, what comes back through the norm"""
        y, dx, s = layer(name, layernorm_forward, layernorm_backward, x, dy=grad(f"{name}.out"), eps=c.layer_norm_epsilon)
        expected.update({f"{name}.{part}": (s.acts[part], s.dacts[part]) for part in ("mean", "rstd", "xhat")})
        expected[f"{name}.out"] = y, dout
        return dx

    def linear(name, x, dy):
        return layer(name, linear_forward, linear_backward, x, dy=dy)[:2]

    head = "wte" if c.tie_word_embeddings else "lm_head"
    last = value("ln_f.out" if c.pre_norm else f"h.{L - 1}.out")
    logits, dlast, _ = layer(head, unembedding_forward, unembedding_backward, last, dy=grad("logits"))
    tokens, _, _ = layer("wte", embedding_forward, embedding_backward, ids, dy=grad("wte.out"))
    positions, _, _ = layer("wpe", embedding_forward, embedding_backward, np.arange(T), dy=grad("wpe.out"))
    expected |= {
        "wte.out": (tokens, grad("h.0.in")),
        "wpe.out": (positions, grad("h.0.in").sum(0)),
        "logits": (logits, (value("probs") * kept[..., None] - onehot) / n),
        "logp": (log_softmax(value("logits")), -onehot / n),
        "probs": (np.exp(value("logp")), -onehot / value("probs") / n),
        "nll": (-(value("logp") * onehot).sum(-1), np.full(ids.shape, 1 / n)),
        "loss": (value("nll").sum() / n, 1.0),
    }
    dlast = norm("ln_f", value(f"h.{L - 1}.out"), dlast) if c.pre_norm else dlast
    for i in range(L):
        h = f"h.{i}"
        x, m = (value(f"{h}.{name}") for name in (("ln_1.out", "ln_2.out") if c.pre_norm else ("in", "mid")))
        s = Scope.of()
        dqkv = merge_heads([grad(f"{h}.attn.{name}") for name in "qkv"], s)
        qkv, from_attn = linear(f"{h}.attn.c_attn", x, dqkv)
        attn, dheads = linear(f"{h}.attn.c_proj", merge_heads([value(f"{h}.attn.o")], s), grad(f"{h}.attn.out"))
        attention_forward(*(value(f"{h}.attn.{name}") for name in "qkv"), s, causal=c.causal, window=c.window(i),
                          scale=c.attention_scale(i))
        attention_backward(grad(f"{h}.attn.o"), s)
        expected |= {f"{h}.attn.{name}": (s.acts[name], s.dacts[name]) for name in ("q", "k", "v", "scores", "att", "o")}
        for name, part in zip("qkv", split_heads(qkv, 3, c.n_head), strict=True):
            expected[f"{h}.attn.{name}"] = part, s.dacts[name]
        expected[f"{h}.attn.o"] = s.acts["o"], split_heads(dheads, 1, c.n_head)[0]
        pre, from_mlp = linear(f"{h}.mlp.c_fc", m, grad(f"{h}.mlp.pre"))
        function = ACTIVATIONS[c.activation_function]
        act, dpre, _ = layer("", function.forward, function.backward, value(f"{h}.mlp.pre"), dy=grad(f"{h}.mlp.act"))
        mlp, dact = linear(f"{h}.mlp.c_proj", value(f"{h}.mlp.act"), grad(f"{h}.mlp.out"))
        stream = value("wte.out") + value("wpe.out") if i == 0 else value(f"h.{i - 1}.out")
        mid, out = value(f"{h}.in") + value(f"{h}.attn.out"), value(f"{h}.mid") + value(f"{h}.mlp.out")
        dnext = grad(f"h.{i + 1}.in") if i + 1 < L else dlast
        if c.pre_norm:
            din = grad(f"{h}.mid") + norm(f"{h}.ln_1", value(f"{h}.in"), from_attn)
            dmid = grad(f"{h}.out") + norm(f"{h}.ln_2", value(f"{h}.mid"), from_mlp)
            dattn, dmlp = grad(f"{h}.mid"), grad(f"{h}.out")
        else:
            dattn, dmlp = norm(f"{h}.ln_1", mid, grad(f"{h}.mid")), norm(f"{h}.ln_2", out, grad(f"{h}.out"))
            din, dmid = dattn + from_attn, dmlp + from_mlp
            mid, out = value(f"{h}.ln_1.out"), value(f"{h}.ln_2.out")
        expected |= {
            f"{h}.in": (stream, din), f"{h}.mid": (mid, dmid), f"{h}.out": (out, dnext), f"{h}.attn.out": (attn, dattn),
            f"{h}.mlp.pre": (pre, dpre), f"{h}.mlp.act": (act, dact), f"{h}.mlp.out": (mlp, dmlp),
        }
    return expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_name_is_what_its_equation_makes_of_its_neighbors(variant):
    _, _, _, trace = example(variant)
    expected = neighbors(variant)
    assert set(expected) == set(trace)
    for name in trace:
        value, grad = expected[name]
        for side, array, equation in ((trace[name].value, value, trace[name].equation),
                                      (trace[name].grad, grad, trace[name].backward)):
            np.testing.assert_allclose(side, array, rtol=1e-12, atol=1e-13, err_msg=f"{name}: {equation}")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_trace_has_every_name_in_the_order_of_the_pass(variant):
    model, ids, targets, trace = example(variant)
    assert list(trace) == [*activations(model.config), *parameters(model.config)]
    assert set(parameters(model.config)) == set(model.params)
    seen = []
    model_names = list(activations(model.config))
    for name in model_names[:-1]:                                # each activation is made when its name says so
        model.run(ids, targets, edits={name: lambda array, name=name: seen.append(name) or array}, names="nll")
    assert seen == model_names[:-1]


def test_letters_name_the_sizes():
    _, _, _, trace = example()
    sizes = {"B": 2, "T": 4, "C": 6, "H": 2, "D": 3, "V": 7, "3C": 18, "4C": 24, "n_positions": 5, "1": 1}
    for step in trace.values():
        assert step.shape == tuple(sizes[letter] for letter in step.shape.letters) == step.value.shape
    assert repr(trace["h.0.attn.att"].shape) == "(B=2, H=2, T=4, T=4)"
    assert repr(trace["ln_f.mean"].shape) == "(B=2, T=4, 1)"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradients_of_parameters_are_those_of_training(variant):
    model, ids, targets, trace = example(variant)
    loss, grads = model.loss_and_grads(ids, targets)
    assert trace.loss == pytest.approx(loss, rel=1e-14)
    for name, grad in grads.items():
        np.testing.assert_allclose(trace[name].grad, grad, rtol=0, atol=1e-14, err_msg=name)        # another order of sums


@pytest.mark.parametrize("variant, name", [
    *(("GPT-2's", name) for name in ("h.0.in", "h.0.mid", "h.0.out", "h.1.in", "h.1.out", "h.0.ln_1.out", "wte.weight")),
    *(("GPT-1's", name) for name in ("h.0.in", "h.0.mid", "h.0.out", "h.1.mid", "wte.weight")),
])
def test_parts_sum_to_the_gradient(variant, name):
    _, _, _, trace = example(variant)
    parts = trace[name].parts
    assert len(parts) >= 2
    assert all(abs(part).max() > 1e-4 for part in parts.values())
    np.testing.assert_allclose(sum(parts.values()), trace[name].grad, rtol=0, atol=1e-15)


def test_the_tied_embedding_shows_lookup_and_output_apart():
    model, ids, targets, trace = example()
    parts = trace["wte.weight"].parts
    untied = GPT(GPTConfig(**{**CONFIG.to_dict(), "tie_word_embeddings": False}), seed=None, dtype=np.float64)
    for name in untied.params:
        untied.params[name][...] = model.params["wte.weight" if name == "lm_head.weight" else name]
    _, grads = untied.loss_and_grads(ids, targets)
    np.testing.assert_allclose(parts["wte.out"], grads["wte.weight"], rtol=0, atol=1e-14)
    np.testing.assert_allclose(parts["logits"], grads["lm_head.weight"], rtol=0, atol=1e-14)


def test_layer_norms_three_terms():
    _, _, _, trace = example()
    xhat, dxhat, r = trace["h.1.ln_2.xhat"].value, trace["h.1.ln_2.xhat"].grad, trace["h.1.ln_2.rstd"].value
    parts = trace["h.1.mid"].parts
    np.testing.assert_allclose(parts["h.1.out"], trace["h.1.out"].grad)                  # the residual connection
    np.testing.assert_allclose(parts["h.1.ln_2.xhat"], r * dxhat)
    mean = np.broadcast_to(dxhat.mean(-1, keepdims=True), dxhat.shape)
    np.testing.assert_allclose(parts["h.1.ln_2.mean"], -r * mean, rtol=1e-9)
    np.testing.assert_allclose(parts["h.1.ln_2.rstd"], -r * xhat * (dxhat * xhat).mean(-1, keepdims=True), rtol=1e-9)


def test_parts_need_their_names():
    model, ids, targets, _ = example()
    with pytest.raises(KeyError, match=r"h\.0\.mid"):
        _ = model.trace(ids, targets, names="h.0.in")["h.0.in"].parts
    with pytest.raises(ValueError, match="targets"):
        _ = model.trace(ids)["h.0.in"].parts


def test_a_filter_keeps_only_what_matches():
    model, ids, targets, whole = example()
    trace = model.trace(ids, targets, names=["h.*.attn.att", "logits"])
    assert list(trace) == ["h.0.attn.att", "h.1.attn.att", "logits"]
    for name in trace:
        np.testing.assert_array_equal(trace[name].value, whole[name].value)
        np.testing.assert_array_equal(trace[name].grad, whole[name].grad)
    assert list(whole.select("*.rstd")) == [name for name in whole if name.endswith(".rstd")]


def test_without_targets_there_are_values_only():
    model, ids, _, whole = example()
    trace = model.trace(ids)
    assert trace.loss is None
    assert set(trace) == set(activations(model.config)) - {"nll", "loss"}
    for name, step in trace.items():
        np.testing.assert_array_equal(step.value, whole[name].value)


def test_a_trace_without_gradients_says_how_to_have_them():
    model, ids, targets, whole = example()
    assert whole.has_grads and whole.select("*.att").has_grads
    for trace in (model.trace(ids), model.trace(ids).select("logits"), model.run(ids, targets)):
        step = trace["logits"]
        for ask in (lambda step=step: step.grad, lambda trace=trace: trace.grad("logits"), lambda step=step: step.parts):
            with pytest.raises(ValueError, match=r"logits: no gradient in this trace, .*; trace\(ids, targets=True\)"):
                ask()
        assert not trace.has_grads
        assert "float64" in repr(step)
        assert "logits" in repr(trace) + trace._repr_html_() + step._repr_html_()


def test_a_trace_belongs_to_its_caller():
    model, ids, targets, _ = example()
    trace = model.trace(ids, targets)
    before = {name: trace[name].value.copy() for name in trace}
    model.trace(ids[:, ::-1], targets)
    model.loss_and_grads(ids[::-1], targets)
    for name, value in before.items():
        np.testing.assert_array_equal(trace[name].value, value)


def test_tracing_leaves_the_models_own_gradients_alone():
    model, ids, targets, _ = example()
    model.loss_and_grads(ids, targets)
    before = model.flat_grads.copy()
    model.trace(ids[:1, :2], targets[:1, :2])
    np.testing.assert_array_equal(model.flat_grads, before)


@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_stays_float32(variant):
    model, ids, targets, trace = example(variant, np.float32)
    for name, step in trace.items():
        assert step.value.dtype == step.grad.dtype == np.float32, name
        for path, part in step.parts.items():
            assert part.dtype == np.float32, (name, path)


def test_a_sequence_alone_gives_what_it_gives_in_a_batch():
    model, ids, _, whole = example()
    alone = model.trace(ids[1:])
    for name, step in alone.items():
        value = whole[name].value
        np.testing.assert_allclose(step.value, value if name == "wpe.out" else value[1:], rtol=1e-13)


def test_memory_is_bounded_by_the_filter():
    model = GPT(GPTConfig(vocab_size=64, n_positions=128, n_embd=32, n_layer=8, n_head=4))
    ids = np.random.default_rng(0).integers(0, 64, (2, 128))
    att = 2 * 4 * 128 * 128 * 4      # bytes of one layer's attention

    def peak(names):
        tracemalloc.start()
        try:
            trace = model.trace(ids, names=names)
            kept = sum(step.value.nbytes for step in trace.values())
            return tracemalloc.get_traced_memory()[1] - kept
        finally:
            tracemalloc.stop()

    few, many = peak("logits"), peak("*")
    assert few < 8 * att        # one layer's scores, exponentials and copies, and the rest, for all 8 layers together
    assert many < 8 * att       # and no more beside what was asked for


def code_lines(path):
    """{number: text} of a module's lines of code: no definition, no docstring, no comment"""
    source = path.read_text(encoding="utf-8")
    numbers = set()
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and not text and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            numbers |= {*range(node.lineno, node.end_lineno + 1)}
    return {i: line.split("#")[0] for i, line in enumerate(source.splitlines(), 1) if i in numbers}


# Where a name is not recorded on the line that computes it: (value, gradient), None where it is
ELSEWHERE = {
    "logits": ("return h @ ", None), "probs": ('record("logp", log_', 'record_grad("logp"'), "loss": ("return ", "dnll = "),
    **dict.fromkeys(("attn.q", "attn.k", "attn.v"), ("q, k, v = split_heads(linear_forward", None)),
    "attn.o": (None, "do = linear_backward"), "mlp.act": ("return ", None), "mlp.pre": (None, "return dy * "),
}
PRE_NORM = {"ln_1.out": (None, "return linear_backward"), "ln_2.out": (None, "return linear_backward"),
            "ln_f.out": (None, "return dlogits @ ")}
POST_NORM = {"ln_1.out": (None, 'record_grad("mid"')}


@pytest.mark.parametrize("changes", [
    {"pre_norm": False, "activation_function": "relu", "tie_word_embeddings": False},
    *({"activation_function": name} for name in ACTIVATIONS),
], ids=["post-norm, relu, untied", *ACTIVATIONS])
def test_sources_point_at_the_lines(changes):
    root = Path(minigpt.__file__).parents[1]
    config = GPTConfig(**{**CONFIG.to_dict(), **changes})
    elsewhere = ELSEWHERE | (PRE_NORM if config.pre_norm else POST_NORM)
    trace = GPT(config).trace([[1, 2]], [[2, 3]])
    assert set(trace) == {*activations(config), *parameters(config)}
    for name, step in trace.items():
        local = re.sub(r"^h\.\d+\.", "", name)
        last = local.rpartition(".")[2]
        usual = (rf'record\("{last}", |params(\.get\(|\[)"{last}"', rf'record_grad\("{last}", |grads\.add(_\w+)?\("{last}", ')
        for place, exception, pattern in zip(step.source, elsewhere.get(local, (None, None)), usual, strict=True):
            file, line = place.split(":")
            assert re.fullmatch(r"minigpt/nn/\w+\.py", file), (name, place)            # the textbook, not nn/fast/
            text = code_lines(root / file).get(int(line), "no code")
            assert re.search(pattern, text) if exception is None else exception in text, (name, place, text)


def test_the_table_lists_every_name_and_equation():
    _, _, _, trace = example()
    for text in (repr(trace), trace._repr_html_()):
        assert all(name in text for name in trace)
        assert "softmax(scores)" in text
    assert "&lt;" not in repr(trace)
    assert "(B=2, H=2, T=4, T=4)" in repr(trace)


def test_the_tables_columns_stand_under_each_other():
    _, _, _, trace = example()
    head, *rows = (line for line in repr(trace).splitlines()[1:] if line)
    plain = [row.replace("\u0302", "") for row in rows]          # the hat of x̂ takes no column
    assert any("\u0302" in row for row in rows)
    for title in ("shape", "value", "gradient"):
        at = head.index(title)
        assert all(row[at - 2 : at] == "  " and row[at] != " " for row in plain), title


def test_without_targets_the_table_has_no_gradients():
    model, ids, _, _ = example()
    assert "gradient" not in repr(model.trace(ids))
    assert "softmax(scores)" in repr(model.trace(ids))


def test_a_step_shows_everything_about_itself():
    _, _, _, trace = example()
    step = trace["h.0.attn.att"]
    for text in (step.equation, step.backward, *step.source, step.section, "float64"):
        assert text in repr(step)


@pytest.mark.parametrize("names, message", [
    ("h.7.*", "matches no name"), (["logits", "h.0.attn.attt"], r"close are h\.0\.attn\.att"),
    ("*.atn.att", r"close are h\.1\.attn\.att, h\.0\.attn\.att"), ("nll", "matches no name"),
    ("att", r"names: 'att' .*; close are h\.0\.attn\.att, h\.1\.attn\.att$"),
])
def test_unknown_patterns_are_refused_before_the_pass(names, message):
    model, ids, _, _ = example()
    with pytest.raises(ValueError, match=message):
        model.trace(ids, names=names)
    with pytest.raises(ValueError, match=message):
        model.trace([[99]], names=names)            # bad ids too, but they would be looked at later


@pytest.mark.parametrize("name, close", [
    ("h.0.attn.attn", r"h\.0\.attn\.att\b"), ("att", r"close are h\.0\.attn\.att, h\.1\.attn\.att\b"),
    ("Attn.K", r"close are h\.0\.attn\.k, h\.1\.attn\.k\b"), ("xha", r"close are h\.0\.ln_1\.xhat, h\.0\.ln_2\.xhat, "),
    ("nonsense", r"print\(trace\) lists the names"), ("", r"print\(trace\) lists the names"),
])
def test_unknown_names_say_what_is_close(name, close):
    _, _, _, trace = example()
    with pytest.raises(KeyError, match=close):
        _ = trace[name]


@pytest.mark.parametrize("variant, hidden", [
    ("GPT-2's", ", −∞ where key > query"), ("GPT-3's, banded", ", −∞ where key > query or key ≤ query − 2"),
    ("BERT's, both ways", ""),
])
def test_the_equation_of_the_scores_says_what_is_hidden(variant, hidden):
    assert activations(VARIANTS[variant])["h.1.attn.scores"].forward == "scores = q kᵀ/√D" + hidden


@pytest.mark.parametrize("root, layers, first, second", [
    (True, False, "/√D", "/√D"), (True, True, "/√D", "/(√D · 2)"), (False, False, "", ""), (False, True, "", "/2"),
])
def test_the_equations_of_attention_say_what_the_products_are_divided_by(root, layers, first, second):
    config = GPTConfig(**{**CONFIG.to_dict(), "scale_attn_weights": root, "scale_attn_by_inverse_layer_idx": layers})
    for i, divisor in enumerate((first, second)):
        rows = {name: activations(config)[f"h.{i}.attn.{name}"] for name in ("scores", "q", "k")}
        assert rows["scores"].forward == f"scores = q kᵀ{divisor}, −∞ where key > query"
        assert (rows["q"].backward, rows["k"].backward) == (f"dq = dscores k{divisor}", f"dk = dscoresᵀ q{divisor}")
