"""What learners write: a right answer for every exercise, and changed(), which spoils it in a line or two, as in attempts/.

Each writes the function that is asked for, and takes what belongs to other exercises from minigpt.nn.
"""

import inspect
import math
from collections import Counter
from itertools import pairwise

import numpy as np

from minigpt import nn
from minigpt.tokenization import bpe


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    total = e.sum(axis=-1, keepdims=True)
    return e / total


def softmax_backward(dy, y):
    inner = np.sum(dy * y, axis=-1, keepdims=True)
    return y * (dy - inner)


def cross_entropy(logits, targets):
    logp = nn.log_softmax(logits)
    picked = np.take_along_axis(logp, targets[..., None], axis=-1)
    return -picked.mean()


def cross_entropy_backward(logits, targets):
    B, T, V = logits.shape
    d = nn.softmax(logits)
    d[np.arange(B)[:, None], np.arange(T), targets] -= 1
    return d / (B * T)


def linear_backward(dy, x, w):
    dx = dy @ w.T
    dw = np.zeros(w.shape)
    for b in range(len(x)):
        dw += x[b].T @ dy[b]
    db = dy.sum(axis=(0, 1))
    return dx, dw, db


def gelu_backward(dy, x):
    a = math.sqrt(2 / math.pi)
    t = np.tanh(a * (x + 0.044715 * x * x * x))
    du = a * (1 + 0.134145 * x * x)
    bend = 1 - t * t
    slope = (1 + t) / 2 + x * bend * du / 2
    return slope * dy


def layernorm_forward(x, w, b, eps):
    mu = x.mean(axis=-1, keepdims=True)
    centered = x - mu
    var = (centered**2).mean(axis=-1, keepdims=True)
    std = np.sqrt(var + eps)
    return centered / std * w + b


def layernorm_backward(dy, x, w, eps):
    s = nn.Scope.of(weight=w)
    nn.layernorm_forward(x, s, eps)
    xhat, r, C = s.acts["xhat"], s.acts["rstd"], x.shape[-1]
    g = dy * w
    m1 = g.sum(-1, keepdims=True) / C
    m2 = (g * xhat).sum(-1, keepdims=True) / C
    dx = r * (g - m1 - xhat * m2)
    dw = np.einsum("btc,btc->c", dy, xhat)
    db = np.einsum("btc->c", dy)
    return dx, dw, db


def attention_forward(q, k, v):
    T, D = q.shape[1:]
    scores = np.einsum("btd,bsd->bts", q, k)
    scores = scores / D**0.5
    seen = nn.attention_mask(T, T)
    scores[:, ~seen] = -np.inf
    att = nn.softmax(scores)
    return np.einsum("bts,bsd->btd", att, v)


def attention_backward(do, q, k, v):
    T, D = q.shape[1:]
    scores = np.einsum("btd,bsd->bts", q, k)
    scores = scores / D**0.5
    scores[:, ~nn.attention_mask(T, T)] = -np.inf
    att = nn.softmax(scores)
    dv = np.einsum("bts,btd->bsd", att, do)
    datt = np.einsum("btd,bsd->bts", do, v)
    ds = nn.softmax_backward(datt, att)
    dq = np.einsum("bts,bsd->btd", ds, k) / D**0.5
    dk = np.einsum("bts,btd->bsd", ds, q) / D**0.5
    return dq, dk, dv


def block_backward(dy, s):
    d = nn.mlp_backward(dy, s.at("mlp"))
    d = nn.layernorm_backward(d, s.at("ln_2"))
    dm = dy + d
    d = nn.multihead_backward(dm, s.at("attn"))
    d = nn.layernorm_backward(d, s.at("ln_1"))
    return dm + d


def tied_embedding_backward(dlogits, h, dx, ids):
    V, C = dlogits.shape[-1], h.shape[-1]
    dwte = dlogits.reshape(-1, V).T @ h.reshape(-1, C)
    for i, row in zip(ids.ravel(), dx.reshape(-1, C), strict=True):
        dwte[i] += row
    return dwte


def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    mhat = m / (1 - beta1**t)
    vhat = v / (1 - beta2**t)
    w = w - lr * weight_decay * w
    w = w - lr * mhat / (np.sqrt(vhat) + eps)
    return w, m, v


def merge(ids, pair, new):
    merged = []
    i = 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def learn_merges(counts, n_merges):
    pieces = [(list(piece), count) for piece, count in counts.items()]
    merges = []
    while len(merges) < n_merges:
        frequent = Counter()
        for ids, count in pieces:
            for pair in pairwise(ids):
                frequent[pair] += count
        if not frequent:
            break
        best = max(sorted(frequent), key=frequent.get)
        pieces = [(bpe.merge(ids, best, 256 + len(merges)), count) for ids, count in pieces]
        merges.append(best)
    return merges


def top_p(logits, p):
    kept = np.full(logits.shape, -np.inf)
    for row, out in zip(logits, kept, strict=True):
        probabilities = nn.softmax(row)
        total = 0
        for v in np.argsort(-row):
            if total >= p:
                break
            out[v] = row[v]
            total += probabilities[v]
    return kept


def dropout_forward(x, u, p):
    mask = np.where(u < p, 0, 1 / (1 - p))
    return x * mask


def dropout_backward(dy, u, p):
    mask = np.where(u < p, 0, 1 / (1 - p))
    return dy * mask


def attention_step(q, k, v, keys, values):
    keys = np.concatenate([keys, k[:, None]], axis=1)
    values = np.concatenate([values, v[:, None]], axis=1)
    scores = np.einsum("bd,bsd->bs", q, keys) / math.sqrt(q.shape[-1])
    att = nn.softmax(scores)
    return np.einsum("bs,bsd->bd", att, values), keys, values


def cross_attention(q, k, v, real):
    D = q.shape[-1]
    scores = np.einsum("btd,bsd->bts", q, k) / math.sqrt(D)
    scores = np.where(real[:, None, :], scores, -np.inf)
    att = nn.softmax(scores)
    return att @ v


def orthogonalize(x, steps):
    y = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        A = y @ y.T
        B = -4.7750 * A + 2.0315 * A @ A
        y = 3.4445 * y + B @ y
    return y


LEARNERS = (merge, learn_merges, top_p, softmax, softmax_backward, cross_entropy, cross_entropy_backward, linear_backward,
            gelu_backward, dropout_forward, dropout_backward, layernorm_forward, layernorm_backward, attention_forward,
            attention_backward, attention_step, cross_attention, block_backward, tied_embedding_backward, adamw_step,
            orthogonalize)
LEARNERS = {learner.__name__: learner for learner in LEARNERS}


def changed(name, *changes):
    """A learner's function with pieces (old, new) of its source replaced"""
    source = inspect.getsource(LEARNERS[name])
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} is not in {name} once"
        source = source.replace(old, new)
    space = dict(globals())
    exec(source, space)
    return space[name]
