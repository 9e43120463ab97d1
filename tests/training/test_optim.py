"""AdamW, Muon, clipping and schedules, each against a plain twin written from its paper's lines."""

import math
from contextlib import suppress

import numpy as np
import pytest

from faults.engine import calls_of
from minigpt import GPT, GPTConfig
from minigpt.nn.fast.ops import CHUNK
from minigpt.system.threads import WorkerPool
from minigpt.training.normuon import NorMuon
from minigpt.training.optim import SCHEDULES, AdamW, Muon, clip_scale, gradient_norm, orthogonalize, schedule

SIZES = {"vocab_size": 13, "n_positions": 7, "n_embd": 48, "n_layer": 2, "n_head": 2}     # two chunks of parameters
BETAS, EPS, DECAY = (0.9, 0.95), 1e-8, 0.1


def make_model(threads=1, dtype=np.float64, seed=0, **changes):
    return GPT(GPTConfig(**{**SIZES, **changes}), seed=seed, dtype=dtype, threads=threads)


def random_gradients(model, rng):
    """Fill the model's gradients with numbers of very different sizes, a few of them 0"""
    g = rng.standard_normal(model.flat_grads.size) * 10.0 ** rng.uniform(-6, 1, model.flat_grads.size)
    g[::17] = 0
    model.flat_grads[...] = g


def step_with(optimizer, model, rng, lr=1e-2, **options):
    random_gradients(model, rng)
    optimizer.step(lr, **options)


class PlainAdamW:
    """Loshchilov and Hutter 2019, algorithm 2, parameter by parameter; only matrices decay"""

    def __init__(self, params):
        self.params = {name: p.copy() for name, p in params.items()}
        self.m = {name: np.zeros_like(p) for name, p in params.items()}
        self.v = {name: np.zeros_like(p) for name, p in params.items()}
        self.t = 0

    def step(self, grads, lr):
        self.t += 1
        for name, w in self.params.items():
            g, m, v = grads[name], self.m[name], self.v[name]
            m[...] = BETAS[0] * m + (1 - BETAS[0]) * g
            v[...] = BETAS[1] * v + (1 - BETAS[1]) * g * g
            m_hat, v_hat = m / (1 - BETAS[0] ** self.t), v / (1 - BETAS[1] ** self.t)
            decay = DECAY if w.ndim == 2 else 0.0
            w[...] = w - lr * decay * w - lr * m_hat / (np.sqrt(v_hat) + EPS)


# AdamW


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_adamw_equals_the_algorithm(monkeypatch, threads):
    monkeypatch.setattr("minigpt.training.optim.CHUNK", 1000)
    rng = np.random.default_rng(1)
    model = make_model(threads)
    adamw, plain = AdamW(model), PlainAdamW(model.params)
    assert 1000 < adamw.decay_stop < model.flat_params.size             # decay ends inside a chunk that is not the first
    for step in range(5):
        lr = 1e-2 / (step + 1)
        step_with(adamw, model, rng, lr)
        plain.step(model.grads, lr)
    for name, expected in plain.params.items():
        np.testing.assert_allclose(model.params[name], expected, rtol=1e-12, atol=1e-15, err_msg=name)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_adamw_equals_torchs():
    import torch

    rng = np.random.default_rng(2)
    model = make_model()
    adamw = AdamW(model)
    theirs = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in model.params.items()}
    groups = [
        {"params": [p for p in theirs.values() if p.ndim == 2], "weight_decay": DECAY},
        {"params": [p for p in theirs.values() if p.ndim == 1], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=1e-2, betas=BETAS, eps=EPS)
    for _ in range(5):
        step_with(adamw, model, rng)
        for name, p in theirs.items():
            p.grad = torch.tensor(model.grads[name])
        reference.step()
    for name, p in theirs.items():
        np.testing.assert_allclose(model.params[name], p.detach().numpy(), rtol=1e-12, atol=1e-15, err_msg=name)


def test_without_gradient_matrices_decay_and_vectors_stay():
    model = make_model(seed=3)
    model.flat_params[...] = np.random.default_rng(3).standard_normal(model.flat_params.size)
    before = {name: p.copy() for name, p in model.params.items()}
    model.flat_grads[...] = 0
    AdamW(model).step(0.5)
    for name, p in model.params.items():
        factor = 1 - 0.5 * DECAY if p.ndim == 2 else 1
        np.testing.assert_array_equal(p, before[name] * factor, err_msg=name)


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate():
    model = make_model(seed=4)
    before = model.flat_params.copy()
    model.flat_grads[...] = np.random.default_rng(4).choice([-3.0, -0.1, 0.1, 3.0], before.size)
    AdamW(model, weight_decay=0.0).step(1e-3)
    step = model.flat_params - before
    np.testing.assert_allclose(step, -1e-3 * np.sign(model.flat_grads), rtol=2e-7)         # ε = 1e-8 beside |g| = 0.1


def test_scale_multiplies_the_gradients_on_the_way():
    one, other = make_model(), make_model()
    step_with(AdamW(one), one, np.random.default_rng(5), scale=0.25)
    random_gradients(other, np.random.default_rng(5))
    np.multiply(other.flat_grads, 0.25, out=other.flat_grads)
    AdamW(other).step(1e-2)
    np.testing.assert_array_equal(one.flat_params, other.flat_params)


def test_adamw_over_the_rest_of_the_buffer_leaves_the_beginning_alone():
    rng = np.random.default_rng(6)
    model, whole = make_model(), make_model()
    start = Muon(model).stop
    before = model.flat_params.copy()
    step_with(AdamW(model, start=start), model, rng)
    np.testing.assert_array_equal(model.flat_params[:start], before[:start])
    whole.flat_grads[...] = model.flat_grads
    AdamW(whole).step(1e-2)
    np.testing.assert_array_equal(model.flat_params[start:], whole.flat_params[start:])


@pytest.mark.parametrize("make", [AdamW, Muon, NorMuon])
def test_an_optimizer_goes_on_exactly_from_its_state(make):
    whole, parts = make_model(), make_model()
    for model in (whole, parts):
        rng, optimizer = np.random.default_rng(7), make(model)
        for step in range(6):
            if model is parts and step == 3:
                state = {name: array.copy() for name, array in optimizer.state().items()}
                optimizer = make(model)
                optimizer.load_state(state)
            step_with(optimizer, model, rng)
    np.testing.assert_array_equal(parts.flat_params, whole.flat_params)


@pytest.mark.parametrize("make", [AdamW, Muon, NorMuon])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_and_two_threads_make_the_same_step(make, dtype):
    results = []
    for threads in (1, 2):
        model = make_model(threads, dtype)
        rng, optimizer = np.random.default_rng(8), make(model)
        for _ in range(3):
            step_with(optimizer, model, rng)
        results.append(model.flat_params)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", [AdamW, NorMuon])      # whose step is Muon's
def test_an_interrupted_step_is_made_whole_or_not_at_all(make, threads):
    model = make_model(threads)
    optimizer = make(model)
    random_gradients(model, np.random.default_rng(0))

    def state():
        return [model.flat_params.copy(), *(array.copy() for array in optimizer.state().values())]

    def restore(arrays):
        model.flat_params[...] = arrays[0]
        optimizer.load_state(dict(zip(optimizer.state(), arrays[1:], strict=True)))

    optimizer.step(1e-2)
    before = state()
    n_calls = calls_of(lambda: optimizer.step(1e-2))
    after = state()
    seen = set()
    for k in range(1, n_calls + 1):
        restore(before)
        with suppress(KeyboardInterrupt):
            calls_of(lambda: optimizer.step(1e-2), k)
        found = [i for i, arrays in enumerate((before, after)) if all(map(np.array_equal, state(), arrays))]
        assert found, f"call {k} of {n_calls}"
        seen.update(found)
    assert seen == {0, 1}


# Clipping


@pytest.mark.parametrize("size", [1, 5, CHUNK, 3 * CHUNK + 7])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_gradient_norm_is_the_root_of_the_sum_of_squares(size, threads):
    g = np.random.default_rng(9).standard_normal(size)
    assert gradient_norm(g, WorkerPool(threads)) == pytest.approx(math.sqrt(math.fsum(v * v for v in g.tolist())), rel=1e-13)


@pytest.mark.parametrize("norm, max_norm, expected", [(0.5, 1.0, 1.0), (0.0, 1.0, 1.0), (4.0, None, 1.0), (4.0, 1.0, 0.25)])
def test_only_a_gradient_above_the_limit_is_scaled(norm, max_norm, expected):
    assert clip_scale(norm, max_norm) == pytest.approx(expected, rel=1e-6)      # torch's 1e-6 beside the norm


def test_a_clipped_gradient_has_the_norm_asked_for():
    g = np.random.default_rng(10).standard_normal(1000)
    norm = gradient_norm(g, WorkerPool(1))
    assert gradient_norm(g * clip_scale(norm, 0.3), WorkerPool(1)) == pytest.approx(0.3, rel=1e-6)


# Muon


def plain_newton_schulz(x, iterations):
    """X ← a X + (b A + c A²) X with A = X Xᵀ, on X itself, as in Jordan's article"""
    x = x / np.linalg.norm(x)
    for _ in range(iterations):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


@pytest.mark.parametrize("shape", [(6, 6), (5, 12), (12, 5), (1, 4), (4, 1)], ids=lambda s: "×".join(map(str, s)))
@pytest.mark.parametrize("iterations", [1, 2, 4, 5])
def test_orthogonalize_equals_newton_schulz_on_the_matrix_itself(shape, iterations):
    x = np.random.default_rng(11).standard_normal(shape)
    np.testing.assert_allclose(orthogonalize(x, iterations), plain_newton_schulz(x, iterations), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(16, 16), (12, 40), (40, 12)], ids=lambda s: "×".join(map(str, s)))
def test_singular_values_come_near_one(shape):
    rng = np.random.default_rng(12)
    n = min(shape)
    u, _ = np.linalg.qr(rng.standard_normal((shape[0], n)))
    v, _ = np.linalg.qr(rng.standard_normal((shape[1], n)))
    x = u * np.geomspace(0.02, 1, n) @ v.T               # divided by its norm still above 0.01
    values = np.linalg.svd(orthogonalize(x), compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.21


def test_the_directions_stay():
    rng = np.random.default_rng(13)
    x = rng.standard_normal((6, 9))
    u, _, vt = np.linalg.svd(x, full_matrices=False)
    rotated = u.T @ orthogonalize(x) @ vt.T              # diagonal where the singular vectors are the same
    np.testing.assert_allclose(rotated - np.diag(np.diag(rotated)), 0, atol=1e-12)


def test_the_size_of_a_matrix_does_not_matter():
    x = np.random.default_rng(14).standard_normal((5, 7))
    np.testing.assert_allclose(orthogonalize(1000 * x), orthogonalize(x), rtol=1e-10)


def test_a_matrix_of_zeros_stays():
    np.testing.assert_array_equal(orthogonalize(np.zeros((3, 5))), 0)


def test_orthogonalize_leaves_its_input_alone():
    x = np.random.default_rng(15).standard_normal((5, 7))
    before = x.copy()
    orthogonalize(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_orthogonalize_keeps_the_dtype(dtype):
    assert orthogonalize(np.ones((3, 5), dtype)).dtype == dtype


@pytest.mark.parametrize("threads", [1, 2])
def test_muon_equals_its_equations(threads):
    rng = np.random.default_rng(16)
    model = make_model(threads, n_embd=10)
    names = [name for name, p in model.params.items() if name.startswith("h.") and p.ndim == 2]
    weights = {name: model.params[name].copy() for name in names}
    momenta = {name: np.zeros_like(model.params[name]) for name in names}
    muon, lr, mu = Muon(model), 1e-2, 0.95
    for _ in range(3):
        step_with(muon, model, rng, lr)
        for name in names:
            momenta[name] = mu * momenta[name] + model.grads[name]
            u = model.grads[name] + mu * momenta[name]                              # Nesterov
            for part in np.split(np.arange(u.shape[1]), 3 if "c_attn" in name else 1):       # q, k, v on their own
                w = weights[name][:, part]
                o = plain_newton_schulz(u[:, part], 4)
                weights[name][:, part] = w - lr * DECAY * w - lr * 0.2 * math.sqrt(max(w.shape)) * o
    for name in names:
        np.testing.assert_allclose(model.params[name], weights[name], rtol=1e-8, atol=1e-11, err_msg=name)


def test_muon_leaves_embeddings_norms_and_biases_alone():
    rng = np.random.default_rng(17)
    model = make_model()
    before = {name: p.copy() for name, p in model.params.items()}
    step_with(Muon(model), model, rng)
    for name, p in model.params.items():
        changed = name.startswith("h.") and p.ndim == 2
        assert (p != before[name]).all() if changed else (p == before[name]).all(), name


def test_an_update_of_muon_is_about_as_large_as_one_of_adamw():
    model = make_model(seed=18)
    before = model.params["h.0.mlp.c_fc.weight"].copy()
    model.flat_grads[...] = np.random.default_rng(18).standard_normal(model.flat_grads.size)
    Muon(model, weight_decay=0.0).step(1.0)
    step = model.params["h.0.mlp.c_fc.weight"] - before
    assert 0.1 < np.sqrt((step**2).mean()) < 0.3                                    # Liu et al.: 0.2 to 0.4 for AdamW


# Schedules


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_starts_at_the_peak(name):
    assert schedule(name, 0.0) == 1


@pytest.mark.parametrize("name, end", [("linear", 0), ("cosine", 0), ("constant", 1)])
def test_a_schedule_ends(name, end):
    assert schedule(name, 1.0) == pytest.approx(end, abs=1e-15)


@pytest.mark.parametrize("name, value", [("linear", 0.75), ("cosine", (1 + math.sqrt(0.5)) / 2), ("constant", 1)])
def test_a_schedule_after_a_quarter(name, value):
    assert schedule(name, 0.25) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_stays_where_it_ended(name):
    assert schedule(name, 1.5) == schedule(name, 1.0)
    assert schedule(name, -0.5) == schedule(name, 0.0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_never_rises(name):
    values = [schedule(name, i / 100) for i in range(101)]
    assert values == sorted(values, reverse=True)
