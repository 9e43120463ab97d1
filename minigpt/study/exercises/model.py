"""Exercises on the whole model: the residual block, the embedding table that is used twice, and an optimizer step."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from ...nn import (
    Gradients,
    Scope,
    block_backward,
    block_forward,
    embedding_backward,
    embedding_forward,
    layernorm_backward,
    mlp_backward,
    multihead_backward,
    unembedding_backward,
    unembedding_forward,
)
from ...system.rwlock import ReadWriteLock
from ...system.threads import WorkerPool
from ...training.optim import AdamW
from .diagnosis import Exercise, Mistake


def _block(rng: np.random.Generator, B: int, T: int, C: int) -> dict[str, Any]:
    """A block with one head whose forward has run on some x"""
    shapes = {"ln_1.weight": (C,), "attn.c_attn.weight": (C, 3 * C), "attn.c_attn.bias": (3 * C,), "attn.c_proj.weight": (C, C),
              "ln_2.weight": (C,), "mlp.c_fc.weight": (C, 2 * C), "mlp.c_proj.weight": (2 * C, C)}
    params: dict[str, Any] = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    s = Scope.of(**params)
    block_forward(rng.standard_normal((B, T, C)), s, 1)
    return {"dy": rng.standard_normal((B, T, C)), "s": s}


def _mlp_branch(d: np.ndarray, s: Scope) -> np.ndarray:
    return layernorm_backward(mlp_backward(d, s.at("mlp")), s.at("ln_2"))


def _attn_branch(d: np.ndarray, s: Scope) -> np.ndarray:
    return layernorm_backward(multihead_backward(d, s.at("attn")), s.at("ln_1"))


def _no_ln_1(dy: np.ndarray, s: Scope) -> np.ndarray:
    dmid = dy + _mlp_branch(dy, s)
    return dmid + multihead_backward(dmid, s.at("attn"))


def _no_ln_2(dy: np.ndarray, s: Scope) -> np.ndarray:
    dmid = dy + mlp_backward(dy, s.at("mlp"))
    return dmid + _attn_branch(dmid, s)


def _norms_first(dy: np.ndarray, s: Scope) -> np.ndarray:
    dmid = dy + mlp_backward(layernorm_backward(dy, s.at("ln_2")), s.at("mlp"))
    return dmid + multihead_backward(layernorm_backward(dmid, s.at("ln_1")), s.at("attn"))


def _attention_first(dy: np.ndarray, s: Scope) -> np.ndarray:
    dmid = dy + _attn_branch(dy, s)
    return dmid + _mlp_branch(dmid, s)


def _tied(rng: np.random.Generator, B: int, T: int, C: int) -> dict[str, np.ndarray]:
    V = C + 3
    return {"dlogits": rng.standard_normal((B, T, V)), "h": rng.standard_normal((B, T, C)),
            "dx": rng.standard_normal((B, T, C)), "ids": rng.integers(0, 2, (B, T)) * (V - 1)}       # ids that come again


def _tied_embedding_backward(dlogits: np.ndarray, h: np.ndarray, dx: np.ndarray, ids: np.ndarray) -> np.ndarray:
    s = Scope.of(weight=np.zeros((dlogits.shape[-1], h.shape[-1])))
    unembedding_forward(h, s)
    unembedding_backward(dlogits, s)
    embedding_forward(ids, s)
    embedding_backward(dx, s)
    return s.grads["weight"]


def _head_share(dlogits: np.ndarray, h: np.ndarray) -> np.ndarray:
    return np.einsum("btv,btc->vc", dlogits, h)


def _last_come(dlogits: np.ndarray, h: np.ndarray, dx: np.ndarray, ids: np.ndarray, start: int) -> np.ndarray:
    """What table[ids] += dx and table[ids] = dx leave: of several rows with the same id the last"""
    table = _head_share(dlogits, h)
    table[ids] = start * table[ids] + dx
    return table


def _adamw_step(
    w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AdamW keeps its m and v without their factors (1 − β)."""
    model = SimpleNamespace(flat_params=w.reshape(-1).copy(), flat_grads=g.reshape(-1), pool=WorkerPool(1),
                            lock=ReadWriteLock(), table=[("w", w.shape, "zeros")])
    adamw = AdamW(model, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)
    adamw.load_state({"m": m.reshape(-1) / (1 - beta1), "v": v.reshape(-1) / (1 - beta2), "t": np.array([t - 1])})
    adamw.step(lr)
    shape = w.shape
    return model.flat_params.reshape(shape), (1 - beta1) * adamw.m.reshape(shape), (1 - beta2) * adamw.v.reshape(shape)


def _w(
    w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float, *, mhat: bool = True, vhat: bool = True, late: int = 0, root: bool = True, inside: bool = False,
    decay: str = "lr", l2: bool = False,
) -> np.ndarray:
    """AdamW's w with parts of it left out or changed"""
    if l2:
        g = g + weight_decay * w
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    m = m / (1 - beta1 ** (t + late)) if mhat else m
    v = v / (1 - beta2 ** (t + late)) if vhat else v
    below = np.sqrt(v + eps) if inside else np.sqrt(v) + eps if root else v + eps
    return w - {"lr": lr * weight_decay, "whole": weight_decay, "none": 0}["none" if l2 else decay] * w - lr * m / below


EXERCISES = (
    Exercise(
        name="block_backward",
        about="a whole block: two branches and the residual stream that goes past them",
        shapes="dy (B, T, C), s Scope -> dx (B, T, C)",
        equation="m = x + attn(ln_1(x)),    y = m + mlp(ln_2(m))\n"
        "The forward has run on s. minigpt.nn has the backward of each part, to be called as\n"
        'layernorm_backward(d, s.at("ln_1")), multihead_backward(d, s.at("attn")), layernorm_backward(d, s.at("ln_2")),\n'
        'mlp_backward(d, s.at("mlp")). There is no dropout here.',
        hints=(
            "Begin at the end, with y = m + mlp(ln_2(m)). m goes two ways, so its gradient is the sum of what comes back on "
            "both.",
            "Back through mlp(ln_2(m)): last comes mlp, so first mlp_backward, then layernorm_backward. dm = dy + that.",
            "The same again with m = x + attn(ln_1(x)), where what arrives is dm, no longer dy.",
        ),
        draw=_block,
        truth=block_backward,
        mistakes=(
            Mistake("dx", "your dx lacks the residual stream: y = m + …, so dy also goes past each branch unchanged; dm = dy "
                    "+ …",
                    lambda dy, s: _attn_branch(_mlp_branch(dy, s), s)),
            Mistake("dx", "your dx lacks the way past the MLP: dm = dy + what comes back through mlp and ln_2",
                    lambda dy, s: _mlp_branch(dy, s) + _attn_branch(_mlp_branch(dy, s), s)),
            Mistake("dx", "your dx lacks the way past attention: dx = dm + what comes back through attn and ln_1",
                    lambda dy, s: _attn_branch(dy + _mlp_branch(dy, s), s)),
            Mistake("dx", "your attention branch got dy; it should get dm, which has the MLP's share in it",
                    lambda dy, s: dy + _mlp_branch(dy, s) + _attn_branch(dy, s)),
            Mistake("dx", "your dx has the way past attention start from dy; it should start from dm",
                    lambda dy, s: dy + _attn_branch(dy + _mlp_branch(dy, s), s)),
            Mistake("dx", "you went through attention first; in the forward the MLP came last, so now it comes first",
                    _attention_first),
            Mistake("dx", "your dx lacks ln_1: after multihead_backward comes the layer norm that stood before attention",
                    _no_ln_1),
            Mistake("dx", "your dx lacks ln_2: after mlp_backward comes the layer norm that stood before the MLP", _no_ln_2),
            Mistake("dx", "your branches go through the norm first; in the forward it came first, so now it comes last",
                    _norms_first),
        ),
        sources=(block_backward,),
    ),
    Exercise(
        name="tied_embedding_backward",
        about="where the backward pass ends: one table that was used twice, at the output and at the input",
        shapes="dlogits (B, T, V), h (B, T, C), dx (B, T, C), ids (B, T) -> dwte (V, C)",
        equation="logits = h Wᵀ   (the head),     x[b, t] = W[ids[b, t]]   (the lookup)\n"
        "dW = Σ dlogitsᵀ h  +  for each b, t: dx[b, t] added to row ids[b, t]",
        hints=(
            "Both uses of W move the loss, so dwte is the sum of two shares.",
            "The head is a linear layer with Wᵀ for its matrix: with rows flattened to N = B·T, its share is dlogits.T @ h, "
            "(V, C).",
            "The lookup gives dx[b, t] back to row ids[b, t]. An id that comes twice gets both: dwte[ids] += dx would keep "
            "only one of them, np.add.at(dwte, ids, dx) adds all.",
        ),
        draw=_tied,
        truth=_tied_embedding_backward,
        mistakes=(
            Mistake("dwte", "you forgot the tied head's share of dwte: Σ dlogitsᵀ h",
                    lambda dlogits, h, dx, ids: _tied_embedding_backward(0 * dlogits, h, dx, ids)),
            Mistake("dwte", "you forgot the lookup's share of dwte: dx[b, t] is added to row ids[b, t]",
                    lambda dlogits, h, dx, ids: _head_share(dlogits, h)),
            Mistake("dwte", "an id that comes twice got one dx only: dwte[ids] += dx writes a repeated row once; use np.add.at",
                    lambda dlogits, h, dx, ids: _last_come(dlogits, h, dx, ids, 1)),
            Mistake("dwte", "the lookup wrote over the head's share of the rows it found: add to them",
                    lambda dlogits, h, dx, ids: _last_come(dlogits, h, dx, ids, 0)),
        ),
        sources=(unembedding_backward, embedding_backward, Gradients.add_rows),
    ),
    Exercise(
        name="adamw_step",
        about="from a gradient to new weights",
        shapes="w (Cin, Cout), g (Cin, Cout), m (Cin, Cout), v (Cin, Cout), t integer, lr float, beta1 float, beta2 float, "
        "eps float, weight_decay float -> w (Cin, Cout), m (Cin, Cout), v (Cin, Cout)",
        equation="m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²\n"
        "w ← w − η λ w − η m̂/(√v̂ + ε),   m̂ = m/(1 − β₁ᵗ),   v̂ = v/(1 − β₂ᵗ)\n"
        "η is lr, λ weight_decay, and t counts the steps from 1. Returns new arrays.",
        hints=(
            "m and v are running means of g and of g², elementwise. Write m = beta1 * m + …, which makes a new array.",
            "m and v begin at 0 and are too small at first; dividing by 1 − βᵗ makes up for it. The corrected ones are used "
            "for w but not returned.",
            "The decay acts on w itself, by lr · weight_decay, and takes no part in m and v: that is the W in AdamW.",
        ),
        draw=lambda rng, B, T, C: {**{name: rng.standard_normal((T, C + 2)) for name in ("w", "g", "m")},
                                   "v": rng.random((T, C + 2)), "t": B + 1, "lr": 0.2, "beta1": 0.9, "beta2": 0.7, "eps": 0.1,
                                   "weight_decay": 0.3},
        truth=_adamw_step,
        mistakes=(
            Mistake("w", "your w lacks the bias corrections m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ)",
                    lambda **inputs: _w(**inputs, mhat=False, vhat=False)),
            Mistake("w", "your w lacks the bias correction m̂ = m/(1 − β₁ᵗ)", lambda **inputs: _w(**inputs, mhat=False)),
            Mistake("w", "your w lacks the bias correction v̂ = v/(1 − β₂ᵗ)", lambda **inputs: _w(**inputs, vhat=False)),
            Mistake("w", "your bias corrections count one step too many: t is 1 at the first step already",
                    lambda **inputs: _w(**inputs, late=1)),
            Mistake("w", "your w lacks the root: it divides by √v̂ + ε", lambda **inputs: _w(**inputs, root=False)),
            Mistake("w", "your ε stands inside the root; Adam's stands outside, √v̂ + ε",
                    lambda **inputs: _w(**inputs, inside=True)),
            Mistake("w", "your w lacks the weight decay, − η λ w", lambda **inputs: _w(**inputs, decay="none")),
            Mistake("w", "your weight decay lacks the learning rate: it is η λ w",
                    lambda **inputs: _w(**inputs, decay="whole")),
            Mistake("w", "you added the decay to the gradient, as in Adam with L2; in AdamW it acts on w alone",
                    lambda **inputs: _w(**inputs, l2=True)),
            Mistake("w", "your w goes uphill: the update is subtracted",
                    lambda **inputs: _w(**{**inputs, "lr": -inputs["lr"], "weight_decay": -inputs["weight_decay"]})),
            Mistake("m", "your m lacks the factor (1 − β₁) of g", lambda **i: i["beta1"] * i["m"] + i["g"]),
            Mistake("m", "you returned m̂; what is kept for the next step is m",
                    lambda **i: (i["beta1"] * i["m"] + (1 - i["beta1"]) * i["g"]) / (1 - i["beta1"] ** i["t"])),
            Mistake("m", "you returned the old m", lambda **i: i["m"]),
            Mistake("m", "you added the decay to the gradient, as in Adam with L2; in AdamW it acts on w alone",
                    lambda **i: i["beta1"] * i["m"] + (1 - i["beta1"]) * (i["g"] + i["weight_decay"] * i["w"])),
            Mistake("v", "your v lacks the factor (1 − β₂) of g²", lambda **i: i["beta2"] * i["v"] + i["g"] ** 2),
            Mistake("v", "your v is made of g; it is the running mean of g²",
                    lambda **i: i["beta2"] * i["v"] + (1 - i["beta2"]) * i["g"]),
            Mistake("v", "you returned v̂; what is kept for the next step is v",
                    lambda **i: (i["beta2"] * i["v"] + (1 - i["beta2"]) * i["g"] ** 2) / (1 - i["beta2"] ** i["t"])),
            Mistake("v", "you returned the old v", lambda **i: i["v"]),
            Mistake("v", "you added the decay to the gradient, as in Adam with L2; in AdamW it acts on w alone",
                    lambda **i: i["beta2"] * i["v"] + (1 - i["beta2"]) * (i["g"] + i["weight_decay"] * i["w"]) ** 2),
        ),
        sources=(AdamW,),
    ),
)
