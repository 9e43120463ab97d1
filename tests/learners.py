"""What learners write: a right answer for every exercise, and the changes of a line or two that spoil it.

Each writes the function that is asked for, and takes what belongs to other exercises from minigpt.nn.
"""

import inspect
import math

import numpy as np

from minigpt import nn


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


LEARNERS = (softmax, softmax_backward, cross_entropy, cross_entropy_backward, linear_backward, gelu_backward, layernorm_forward,
            layernorm_backward, attention_forward, attention_backward, block_backward, tied_embedding_backward, adamw_step)
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


MASK = ("    scores[:, ~nn.attention_mask(T, T)] = -np.inf\n", "")
SCALE = ("    scores = scores / D**0.5\n", "")

# {exercise: [([(old, new), …], words of the message)]}: every mistake that an exercise claims to recognise, planted
PLANTED = {
    "softmax": [
        ([("total = e.sum(axis=-1,", "total = e.sum(axis=1,"), ("x.max(axis=-1,", "x.max(axis=1,")], "over the wrong axis"),
        ([("total = e.sum(axis=-1,", "total = e.sum(axis=0,"), ("x.max(axis=-1,", "x.max(axis=0,")], "over the wrong axis"),
        ([("total = e.sum(axis=-1, keepdims=True)", "total = e.sum()"), ("x.max(axis=-1, keepdims=True)", "x.max()")],
         "over the whole array"),
        ([(" / total", "")], "did not divide by the sum"),
        ([(" / total", ""), (" - x.max(axis=-1, keepdims=True)", "")], "did not divide by the sum"),
        ([(" - x.max(axis=-1, keepdims=True)", "")], "not on large ones: exp(x) overflows"),
    ],
    "softmax_backward": [
        ([("y * (dy - inner)", "y * (1 - y) * dy")], "only the diagonal of the Jacobian"),
        ([("(dy - inner)", "dy")], "lacks the term −y Σ dy ⊙ y"),
        ([("y * (dy - inner)", "dy - inner")], "lacks the factor y in front"),
        ([("np.sum(dy * y,", "np.sum(dy,")], "of dy alone"),
        ([("np.sum", "np.mean")], "the mean of dy ⊙ y, it should be the sum"),
        ([("axis=-1", "axis=0")], "over the wrong axis"),
        ([("axis=-1", "axis=1")], "over the wrong axis"),
        ([(", axis=-1, keepdims=True", "")], "over the wrong axis"),
    ],
    "cross_entropy": [
        ([("nn.log_softmax(logits)", "logits")], "lacks the softmax's denominator"),
        ([("picked.mean", "np.exp(picked).mean")], "lacks the logarithm"),
        ([("-picked.mean()", "1 - np.exp(picked).mean()")], "lacks the logarithm"),
        ([("-picked.mean()", "-picked.mean() / math.log(2)")], "logarithm of base 2"),
        ([("nn.log_softmax(logits)", "np.log(np.exp(logits) / np.exp(logits).sum(0))")], "softmax is over the wrong axis"),
        ([("nn.log_softmax(logits)", "np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))")],
         "softmax is over the wrong axis"),
        ([("nn.log_softmax(logits)", "np.log(np.exp(logits) / np.exp(logits).sum())")], "softmax is over the wrong axis"),
        ([("-picked.mean()", "-np.log(np.exp(picked).mean())")], "log of the mean p"),
        ([("nn.log_softmax(logits)", "logits - np.log(np.exp(logits).sum(-1, keepdims=True))")],
         "not on large ones: exp overflows"),
        ([("nn.log_softmax(logits)", "np.log(nn.softmax(logits))")], "underflows to 0 has log 0"),
    ],
    "cross_entropy_backward": [
        ([("    d[np.arange(B)[:, None], np.arange(T), targets] -= 1\n", "")], "lacks −1 at the target"),
        ([("nn.softmax(logits)", "np.zeros_like(logits)")], "lacks the softmax"),
        ([("return d", "p = nn.softmax(logits)\n    return (d - p) / p")], "gradient with respect to the probabilities"),
        ([("-= 1", "+= 1")], "added 1 at the target"),
        ([("nn.softmax(logits)", "nn.softmax(logits) / (B * T)"), ("return d / (B * T)", "return d")],
         "divided the softmax by N but not the 1"),
        ([("-= 1", "-= 1 / (B * T)"), ("return d / (B * T)", "return d")],
         "divided the 1 at the target by N but not the softmax"),
        ([("nn.softmax(logits)", "np.exp(logits) / np.exp(logits).sum(0)")], "softmax is over the wrong axis"),
        ([("nn.softmax(logits)", "np.exp(logits) / np.exp(logits).sum(1, keepdims=True)")], "softmax is over the wrong axis"),
        ([("nn.softmax(logits)", "np.exp(logits) / np.exp(logits).sum()")], "softmax is over the wrong axis"),
        ([("nn.softmax(logits)", "np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)")],
         "not on large ones: exp overflows"),
    ],
    "linear_backward": [
        ([("dw +=", "dw =")], "the last sequence of the batch alone"),
        ([("dy.sum(axis=(0, 1))", "dy.sum(axis=-1)")], "summed db over the wrong axis"),
        ([("dy.sum(axis=(0, 1))", "dy.sum(axis=-1).sum(axis=0)")], "summed db over the wrong axis"),
        ([("dy.sum(axis=(0, 1))", "dy.sum(axis=-1).sum(axis=1)")], "summed db over the wrong axis"),
    ],
    "gelu_backward": [
        ([("slope * dy", "slope")], "forgot the chain rule's dy"),
        ([(" + x * bend * du / 2", "")], "lacks the second term of the product rule"),
        ([("(1 + t) / 2 + ", "")], "lacks the first term of the product rule"),
        ([("bend * du", "bend")], "lacks u'"),
        ([("0.134145", "0.044715")], "lacks the 3"),
        ([("1 - t * t", "1 - t")], "yours is 1 − tanh u"),
        ([("slope = (1 + t) / 2 + x * bend * du / 2", "cdf = (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2\n"
           "    slope = cdf + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)")], "the exact GELU"),
    ],
    "layernorm_forward": [
        ([("x.mean(axis=-1", "x.mean(axis=1"), (".mean(axis=-1", ".mean(axis=1")], "over the wrong axis"),
        ([("x.mean(axis=-1", "x.mean(axis=0"), (".mean(axis=-1", ".mean(axis=0")], "over the wrong axis"),
        ([("x.mean(axis=-1, keepdims=True)", "x.mean()"), (".mean(axis=-1, keepdims=True)", ".mean()")],
         "over the whole array"),
        ([("np.sqrt(var + eps)", "np.sqrt(var) + eps")], "ε stands outside the root"),
        ([("np.sqrt(var + eps)", "np.sqrt(var)")], "lacks ε"),
        ([("(centered**2).mean(axis=-1, keepdims=True)", "x.var(-1, keepdims=True, ddof=1)")], "divides by C − 1"),
        ([("np.sqrt(var + eps)", "var + eps")], "divided by the variance"),
        ([("return centered", "return x")], "lacks the mean"),
        ([(" + b", "")], "lacks the bias b"),
        ([(" * w", "")], "lacks the weight w"),
    ],
    "layernorm_backward": [
        ([("g - m1 -", "g -")], "lacks the mean of dx̂"),
        ([(" - xhat * m2", "")], "lacks the term x̂ mean(dx̂ ⊙ x̂)"),
        ([("(g - m1 - xhat * m2)", "g")], "treats μ and r as constants"),
        ([("r * (g - m1 - xhat * m2)", "g - m1 - xhat * m2")], "lacks the factor r"),
        ([("g = dy * w", "g = dy")], "lacks the weight: dx̂ = w ⊙ dy"),
        ([("g.sum(-1, keepdims=True) / C", "g.sum(-1, keepdims=True)"),
          ("(g * xhat).sum(-1, keepdims=True) / C", "(g * xhat).sum(-1, keepdims=True)")],
         "summed over the channels in dx where the mean belongs"),
        ([("g.sum(-1, keepdims=True) / C", "g.mean(0)"), ("(g * xhat).sum(-1, keepdims=True) / C", "(g * xhat).mean(0)")],
         "means in dx over the wrong axis"),
        ([("g.sum(-1, keepdims=True) / C", "g.mean(1, keepdims=True)"),
          ("(g * xhat).sum(-1, keepdims=True) / C", "(g * xhat).mean(1, keepdims=True)")], "means in dx over the wrong axis"),
        ([("g.sum(-1, keepdims=True) / C", "g.mean()"), ("(g * xhat).sum(-1, keepdims=True) / C", "(g * xhat).mean()")],
         "means in dx over the wrong axis"),
        ([("dy, xhat)", "dy, x)")], "dw is made of x;"),
        ([("dy, xhat)", "g, xhat)")], "dw has the weight in it"),
        ([('"btc,btc->c"', '"btc,btc->bt"')], "summed dw over the wrong axis"),
        ([('"btc->c"', '"btc->bt"')], "summed db over the wrong axis"),
    ],
    "attention_forward": [
        ([SCALE], "lack the factor 1/√D"),
        ([("D**0.5", "D")], "divided by D; it should be √D"),
        ([("    scores[:, ~seen] = -np.inf\n", "")], "lacks the mask"),
        ([("~seen", "~seen.T")], "the wrong way round"),
        ([("    scores[:, ~seen] = -np.inf\n", ""), ("    return", "    att[:, ~seen] = 0\n    return")],
         "its rows no longer sum to 1"),
        ([("-np.inf", "0")], "your mask sets scores to 0"),
        ([("nn.softmax(scores)", "np.exp(scores) / np.exp(scores).sum(-2, keepdims=True)")],
         "softmax is over the wrong axis"),
        ([('"bts,bsd->btd"', '"bst,bsd->btd"')], "multiplied by the transpose of att"),
        ([("nn.softmax(scores)", "np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)")],
         "not on large ones: exp overflows"),
    ],
    "attention_backward": [
        ([("nn.softmax_backward(datt, att)", "att * datt")], "lacks the sum"),
        ([("nn.softmax_backward(datt, att)", "att * (datt - att * datt)")], "only the diagonal of the softmax's Jacobian"),
        ([("nn.softmax_backward(datt, att)", "datt - np.sum(att * datt, -1, keepdims=True)")], "lacks the factor att in front"),
        ([("nn.softmax_backward(datt, att)", "att * (datt - np.sum(att * datt, -2, keepdims=True))")],
         "summed datt ⊙ att over the wrong axis"),
        ([("nn.softmax_backward(datt, att)", "att * (datt - np.sum(att * datt))")], "summed datt ⊙ att over the wrong axis"),
        ([("nn.softmax_backward(datt, att)", "datt")], "stops before the softmax"),
        ([MASK], "your att lacks the mask"),
        ([SCALE], "your att lacks 1/√D"),
        ([SCALE, ("ds, k) / D**0.5", "ds, k)"), ("ds, q) / D**0.5", "ds, q)")], "your att lacks 1/√D"),
        ([('"bts,bsd->btd", ds', '"bst,bsd->btd", ds')], "dq has dscores transposed"),
        ([('"bts,btd->bsd", ds', '"bts,bsd->btd", ds')], "dk lacks the transpose"),
        ([('"bts,btd->bsd", att', '"bts,bsd->btd", att')], "dv lacks the transpose"),
    ],
    "block_backward": [
        ([("dm = dy + d", "dm = d"), ("return dm + d", "return d")], "lacks the residual stream"),
        ([("dm = dy + d", "dm = d")], "lacks the way past the MLP"),
        ([("return dm + d", "return d")], "lacks the way past attention"),
        ([("nn.multihead_backward(dm,", "nn.multihead_backward(dy,")], "your attention branch got dy"),
        ([("return dm + d", "return dy + d")], "way past attention start from dy"),
        ([('nn.mlp_backward(dy, s.at("mlp"))', 'nn.multihead_backward(dy, s.at("attn"))'),
          ('nn.multihead_backward(dm, s.at("attn"))', 'nn.mlp_backward(dm, s.at("mlp"))'),
          ('nn.layernorm_backward(d, s.at("ln_2"))', 'nn.layernorm_backward(d, s.at("ln_1"))  # first'),
          ('nn.layernorm_backward(d, s.at("ln_1"))\n', 'nn.layernorm_backward(d, s.at("ln_2"))\n')],
         "went through attention first"),
        ([('    d = nn.layernorm_backward(d, s.at("ln_1"))\n', "")], "lacks ln_1"),
        ([('    d = nn.layernorm_backward(d, s.at("ln_2"))\n', "")], "lacks ln_2"),
        ([('d = nn.mlp_backward(dy, s.at("mlp"))', 'd = nn.layernorm_backward(dy, s.at("ln_2"))'),
          ('    d = nn.layernorm_backward(d, s.at("ln_2"))\n', '    d = nn.mlp_backward(d, s.at("mlp"))\n'),
          ('d = nn.multihead_backward(dm, s.at("attn"))', 'd = nn.layernorm_backward(dm, s.at("ln_1"))'),
          ('    d = nn.layernorm_backward(d, s.at("ln_1"))\n', '    d = nn.multihead_backward(d, s.at("attn"))\n')],
         "go through the norm first"),
    ],
    "tied_embedding_backward": [
        ([("dlogits.reshape(-1, V).T @ h.reshape(-1, C)", "np.zeros((V, C))")], "forgot the tied head's share of dwte"),
        ([("        dwte[i] += row\n", "        pass\n")], "forgot the lookup's share"),
        ([("    return", "    dwte = dlogits.reshape(-1, V).T @ h.reshape(-1, C)\n    dwte[ids] += dx\n    return")],
         "an id that comes twice got one dx only"),
        ([("dwte[i] += row", "dwte[i] = row")], "wrote over the head's share"),
    ],
    "adamw_step": [
        ([("mhat = m / (1 - beta1**t)", "mhat = m"), ("vhat = v / (1 - beta2**t)", "vhat = v")],
         "lacks the bias corrections m̂ = m/(1 − β₁ᵗ) and v̂"),
        ([("mhat = m / (1 - beta1**t)", "mhat = m")], "lacks the bias correction m̂"),
        ([("vhat = v / (1 - beta2**t)", "vhat = v")], "lacks the bias correction v̂"),
        ([("beta1**t", "beta1 ** (t + 1)"), ("beta2**t", "beta2 ** (t + 1)")], "count one step too many"),
        ([("np.sqrt(vhat)", "vhat")], "lacks the root"),
        ([("np.sqrt(vhat) + eps", "np.sqrt(vhat + eps)")], "ε stands inside the root"),
        ([("    w = w - lr * weight_decay * w\n", "")], "lacks the weight decay"),
        ([("lr * weight_decay", "weight_decay")], "decay lacks the learning rate"),
        ([("    w = w - lr * weight_decay * w\n", ""), ("    m = beta1", "    g = g + weight_decay * w\n    m = beta1")],
         "added the decay to the gradient"),
        ([("w - lr * mhat", "w + lr * mhat")], "goes uphill"),
        ([("(1 - beta1) * g", "g")], "m lacks the factor (1 − β₁)"),
        ([("return w, m, v", "return w, mhat, v")], "you returned m̂"),
        ([("    m = beta1", "    old = m\n    m = beta1"), ("return w, m, v", "return w, old, v")], "the old m"),
        ([("(1 - beta2) * g**2", "g**2")], "v lacks the factor (1 − β₂)"),
        ([("g**2", "g")], "v is made of g;"),
        ([("return w, m, v", "return w, m, vhat")], "you returned v̂"),
        ([("    m = beta1", "    old = v\n    m = beta1"), ("return w, m, v", "return w, m, old")], "the old v"),
    ],
}
