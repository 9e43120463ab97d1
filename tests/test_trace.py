"""Traces: every gradient against central differences at that very activation, every documented equation against NumPy."""

import math
import tracemalloc
from functools import cache

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.study.equations import activations, parameters

CONFIG = GPTConfig(vocab_size=7, n_positions=5, n_embd=6, n_layer=2, n_head=2)
VARIANTS = {
    "GPT-2's": CONFIG,
    "untied, no biases, relu": GPTConfig(vocab_size=7, n_positions=5, n_embd=6, n_layer=2, n_head=3, n_inner=10, bias=False,
                                         tie_word_embeddings=False, activation_function="relu", layer_norm_epsilon=0.1),
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


def plain(model, ids, targets):
    """{name: (value, gradient)}: each documented equation as NumPy, computed from the trace's other names alone"""
    _, _, _, trace = example(next(variant for variant, config in VARIANTS.items() if config is model.config))
    c, p = model.config, model.params
    V, D, L, eps = c.vocab_size, c.n_embd // c.n_head, c.n_layer, c.layer_norm_epsilon
    B, T = ids.shape
    kept = targets != -100
    n = kept.sum()
    onehot = np.eye(V)[np.where(kept, targets, 0)] * kept[..., None]
    W_out = p["wte.weight" if c.tie_word_embeddings else "lm_head.weight"]

    def value(name):
        return trace[name].value

    def grad(name):
        return trace[name].grad

    def bias(name):
        return p[f"{name}.bias"] if c.bias else 0

    def heads(x):
        return x.reshape(B, T, c.n_head, D).transpose(0, 2, 1, 3)

    def merged(x):
        return x.transpose(0, 2, 1, 3).reshape(B, T, -1)

    def through(norm):
        dxhat, xhat = grad(f"{norm}.xhat"), value(f"{norm}.xhat")
        inner = dxhat - dxhat.mean(-1, keepdims=True) - xhat * (dxhat * xhat).mean(-1, keepdims=True)
        return value(f"{norm}.rstd") * inner

    def matrix(x, dy):
        return np.einsum("bti,btj->ij", x, dy)

    last = value("ln_f.out" if c.pre_norm else f"h.{L - 1}.out")
    plain = {
        "wte.out": (p["wte.weight"][ids], grad("h.0.in")),
        "wpe.out": (p["wpe.weight"][:T], grad("h.0.in").sum(0)),
        "logits": (last @ W_out.T, (value("probs") * kept[..., None] - onehot) / n),
        "probs": (np.exp(value("logits")) / np.exp(value("logits")).sum(-1, keepdims=True), -onehot / value("probs") / n),
        "nll": (-np.log((value("probs") * onehot).sum(-1) + ~kept), np.full((B, T), 1 / n)),
        "loss": (value("nll").sum() / n, 1.0),
    }

    def norm(name, x, dout):
        mu, r, xhat = (value(f"{name}.{part}") for part in ("mean", "rstd", "xhat"))
        dxhat = grad(f"{name}.xhat")
        plain[f"{name}.mean"] = x.mean(-1, keepdims=True), -(r * dxhat).sum(-1, keepdims=True)
        plain[f"{name}.rstd"] = (
            1 / np.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + eps), (dxhat * (x - mu)).sum(-1, keepdims=True)
        )
        plain[f"{name}.xhat"] = (x - mu) * r, p[f"{name}.weight"] * grad(f"{name}.out")
        plain[f"{name}.out"] = p[f"{name}.weight"] * xhat + bias(name), dout
        plain[f"{name}.weight"] = p[f"{name}.weight"], (grad(f"{name}.out") * xhat).sum((0, 1))
        plain[f"{name}.bias"] = bias(name), grad(f"{name}.out").sum((0, 1))

    def linear(name, x, dy):
        plain[f"{name}.weight"] = p[f"{name}.weight"], matrix(x, dy)
        plain[f"{name}.bias"] = bias(name), dy.sum((0, 1))

    for i in range(L):
        h = f"h.{i}"
        q, k, v, scores, att, o = (value(f"{h}.attn.{name}") for name in ("q", "k", "v", "scores", "att", "o"))
        dscores, datt, do, dout = (grad(f"{h}.attn.{name}") for name in ("scores", "att", "o", "out"))
        dqkv = np.concatenate([merged(grad(f"{h}.attn.{name}")) for name in "qkv"], axis=-1)
        stream = value("wte.out") + value("wpe.out") if i == 0 else value(f"h.{i - 1}.out")
        from_attn, from_mlp = dqkv @ p[f"{h}.attn.c_attn.weight"].T, grad(f"{h}.mlp.pre") @ p[f"{h}.mlp.c_fc.weight"].T
        sums = value(f"{h}.in") + value(f"{h}.attn.out"), value(f"{h}.mid") + value(f"{h}.mlp.out")
        dnext = grad(f"h.{i + 1}.in") if i + 1 < L else through("ln_f") if c.pre_norm else grad("logits") @ W_out
        if c.pre_norm:
            x, m = value(f"{h}.ln_1.out"), value(f"{h}.ln_2.out")
            plain[f"{h}.in"] = stream, grad(f"{h}.mid") + through(f"{h}.ln_1")
            plain[f"{h}.mid"] = sums[0], grad(f"{h}.out") + through(f"{h}.ln_2")
            plain[f"{h}.out"] = sums[1], dnext
            norm(f"{h}.ln_1", value(f"{h}.in"), from_attn)
            norm(f"{h}.ln_2", value(f"{h}.mid"), from_mlp)
            dattn, dmlp = grad(f"{h}.mid"), grad(f"{h}.out")
        else:
            x, m = value(f"{h}.in"), value(f"{h}.mid")
            plain[f"{h}.in"] = stream, through(f"{h}.ln_1") + from_attn
            plain[f"{h}.mid"] = value(f"{h}.ln_1.out"), through(f"{h}.ln_2") + from_mlp
            plain[f"{h}.out"] = value(f"{h}.ln_2.out"), dnext
            norm(f"{h}.ln_1", sums[0], grad(f"{h}.mid"))
            norm(f"{h}.ln_2", sums[1], grad(f"{h}.out"))
            dattn, dmlp = through(f"{h}.ln_1"), through(f"{h}.ln_2")
        qkv = np.split(x @ p[f"{h}.attn.c_attn.weight"] + bias(f"{h}.attn.c_attn"), 3, axis=-1)
        plain[f"{h}.attn.q"] = heads(qkv[0]), dscores @ k / math.sqrt(D)
        plain[f"{h}.attn.k"] = heads(qkv[1]), dscores.swapaxes(-1, -2) @ q / math.sqrt(D)
        plain[f"{h}.attn.v"] = heads(qkv[2]), att.swapaxes(-1, -2) @ do
        key, query = np.arange(T), np.arange(T)[:, None]
        hidden = ((key > query) & c.causal) | (key <= query - (c.window(i) or T))
        plain[f"{h}.attn.scores"] = (
            np.where(hidden, -np.inf, q @ k.swapaxes(-1, -2) / math.sqrt(D)), att * (datt - (datt * att).sum(-1, keepdims=True))
        )
        plain[f"{h}.attn.att"] = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True), do @ v.swapaxes(-1, -2)
        plain[f"{h}.attn.o"] = att @ v, heads(dout @ p[f"{h}.attn.c_proj.weight"].T)
        plain[f"{h}.attn.out"] = merged(o) @ p[f"{h}.attn.c_proj.weight"] + bias(f"{h}.attn.c_proj"), dattn
        linear(f"{h}.attn.c_attn", x, dqkv)
        linear(f"{h}.attn.c_proj", merged(o), dout)
        pre, act, dact, dout = value(f"{h}.mlp.pre"), value(f"{h}.mlp.act"), grad(f"{h}.mlp.act"), grad(f"{h}.mlp.out")

        def f(x):
            if c.activation_function == "relu":
                return np.maximum(x, 0)
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))

        slope = (f(pre + 1e-6) - f(pre - 1e-6)) / 2e-6          # f′, to about 1e-9
        plain[f"{h}.mlp.pre"] = m @ p[f"{h}.mlp.c_fc.weight"] + bias(f"{h}.mlp.c_fc"), slope * dact
        plain[f"{h}.mlp.act"] = f(pre), dout @ p[f"{h}.mlp.c_proj.weight"].T
        plain[f"{h}.mlp.out"] = act @ p[f"{h}.mlp.c_proj.weight"] + bias(f"{h}.mlp.c_proj"), dmlp
        linear(f"{h}.mlp.c_fc", m, grad(f"{h}.mlp.pre"))
        linear(f"{h}.mlp.c_proj", act, dout)
    if c.pre_norm:
        norm("ln_f", value(f"h.{L - 1}.out"), grad("logits") @ W_out)
    lookup = np.zeros((V, c.n_embd))
    for b in range(B):
        for t in range(T):
            lookup[ids[b, t]] += grad("wte.out")[b, t]
    head = matrix(grad("logits"), last)
    plain["wte.weight"] = p["wte.weight"], lookup + head * c.tie_word_embeddings
    plain["lm_head.weight"] = W_out, head
    plain["wpe.weight"] = p["wpe.weight"], np.concatenate([grad("wpe.out"), np.zeros((c.n_positions - T, c.n_embd))])
    return plain


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_equation_says_what_numpy_computes(variant):
    model, ids, targets, trace = example(variant)
    expected = plain(model, ids, targets)
    for name in trace:
        value, grad = expected[name]
        np.testing.assert_allclose(trace[name].value, value, rtol=1e-12, atol=1e-12, err_msg=f"{name}: {trace[name].equation}")
        np.testing.assert_allclose(
            trace[name].grad, grad, rtol=1e-8, atol=1e-8, err_msg=f"{name}: {trace[name].backward}"    # f′ is a difference
        )


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
        assert step.grad is None
        np.testing.assert_array_equal(step.value, whole[name].value)       # buffers are shared, what was kept is not


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


def test_sources_point_at_the_lines():
    from pathlib import Path

    import minigpt

    root = Path(minigpt.__file__).parents[1]
    _, _, _, trace = example()
    for name, word in {"h.0.attn.att": '"att"', "h.1.ln_2.xhat": '"xhat"', "h.0.mlp.pre": '"pre"', "h.0.mid": '"mid"'}.items():
        forward, backward = trace[name].source
        for place, verb in ((forward, "leave("), (backward, "leave_grad(")):
            file, line = place.split(":")
            text = (root / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
            assert verb in text and word in text, (name, place, text)
    for name, step in trace.items():
        for place in step.source:
            file, line = place.split(":")
            assert (root / file).exists() and int(line) > 1, (name, place)


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
    ("h.7.*", "matches no name"), (["logits", "h.0.attn.attt"], r"close are h\.0\.attn\.att"), ("nll", "matches no name"),
])
def test_unknown_patterns_are_refused_before_the_pass(names, message):
    model, ids, _, _ = example()
    with pytest.raises(ValueError, match=message):
        model.trace(ids, names=names)
    with pytest.raises(ValueError, match=message):
        model.trace([[99]], names=names)            # bad ids too, but they would be looked at later


def test_unknown_names_say_what_is_close():
    _, _, _, trace = example()
    with pytest.raises(KeyError, match=r"h\.0\.attn\.att"):
        _ = trace["h.0.attn.attn"]


@pytest.mark.parametrize("variant, hidden", [
    ("GPT-2's", ", −∞ where key > query"), ("GPT-3's, banded", ", −∞ where key > query or key ≤ query − 2"),
    ("BERT's, both ways", ""),
])
def test_the_equation_of_the_scores_says_what_is_hidden(variant, hidden):
    assert activations(VARIANTS[variant])["h.1.attn.scores"].forward == "scores = q kᵀ/√D" + hidden
