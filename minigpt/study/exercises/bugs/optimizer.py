"""The optimizer of a training run, AdamW with warm-up and clipping, array by array; and the faults in it.

training/optim.py computes the same in one buffer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ....models.gpt import GPT
from .fault import fault, measurement

if TYPE_CHECKING:
    from .parts import Parts
    from .run import Run

Arrays = dict[str, np.ndarray]


class Optimizer:
    r"""AdamW: run.optimizer.step(grads) changes the model's parameters once.

        g = min(1, max_norm/‖g‖) g
        m = β₁ m + (1 − β₁) g,   v = β₂ v + (1 − β₂) g²
        w = w − η λ w − η m̂/(√v̂ + ε),   m̂ = m/(1 − β₁ᵗ),   v̂ = v/(1 − β₂ᵗ)

    `t` counts the steps, m and v are dictionaries by name.  Only matrices decay (λ).  η rises over the first `warmup` steps.
    """

    peak, warmup, max_norm, weight_decay, betas, eps = 1e-2, 20, 1.0, 0.1, (0.9, 0.999), 1e-8

    def __init__(self, model: GPT, parts: Parts) -> None:
        self.model, self._parts = model, parts
        self.t = 0
        self.m: Arrays = {name: np.zeros_like(w) for name, w in model.params.items()}
        self.v: Arrays = {name: np.zeros_like(w) for name, w in model.params.items()}

    def rate(self, t: int) -> float:
        """The learning rate η of step t = 1, 2, …"""
        return self._parts.rate(t, self.peak, self.warmup)

    def clipped(self, grads: Mapping[str, np.ndarray]) -> Arrays:
        """The gradients as they are used: at most max_norm long, over all arrays together"""
        return self._parts.clip(grads, self.max_norm)

    def step(self, grads: Mapping[str, np.ndarray]) -> None:
        """One update with these gradients by name."""
        self.t += 1
        lr, (b1, b2) = self.rate(self.t), self.betas
        for name, g in self.clipped(grads).items():
            w, m, v = self.model.params[name], self.m[name], self.v[name]
            m[...] = b1 * m + (1 - b1) * g
            v[...] = b2 * v + (1 - b2) * g**2
            m_hat, v_hat = self._parts.corrected(m, v, self.t, b1, b2)
            decay = self.weight_decay if self._parts.decays(name, w) else 0
            w -= lr * decay * w + lr * m_hat / (np.sqrt(v_hat) + self.eps)


# The right parts


def rate(t: int, peak: float, warmup: int) -> float:
    """The learning rate of step t = 1, 2, …: it rises to its peak over `warmup` steps"""
    return peak * min(1, t / warmup)


def clip(grads: Mapping[str, np.ndarray], max_norm: float) -> Arrays:
    """The gradients, all by one factor, so that together they are at most max_norm long"""
    norm = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
    return {name: g * min(1, max_norm / (norm + 1e-6)) for name, g in grads.items()}


def corrected(m: np.ndarray, v: np.ndarray, t: int, b1: float, b2: float) -> tuple[np.ndarray, np.ndarray]:
    """The running means m and v, which began at 0, as means of the gradients so far"""
    return m / (1 - b1**t), v / (1 - b2**t)


def decays(name: str, w: np.ndarray) -> bool:
    """Whether weight decay pulls this parameter towards 0: matrices only"""
    return w.ndim == 2


# Measurements


@measurement("how many arrays of norms shrink in a step with gradients of 0")
def shrinking_norms(run: Run) -> int:
    before = {name: w.copy() for name, w in run.model.params.items()}
    run.optimizer.step({name: np.zeros_like(w) for name, w in before.items()})
    return sum(not np.array_equal(run.model.params[name], w) for name, w in before.items() if w.ndim == 1)


@measurement("the length of the first step of a bias, in learning rates")
def first_step(run: Run) -> float:
    before = run.model.params["h.0.mlp.c_fc.bias"].copy()
    run.optimizer.step({name: np.ones_like(w) for name, w in run.model.params.items()})
    return float((before - run.model.params["h.0.mlp.c_fc.bias"])[0] / run.optimizer.rate(1))


@measurement("the learning rate at the end of the warm-up, as a share of its peak")
def warm(run: Run) -> float:
    return run.optimizer.rate(run.optimizer.warmup) / run.optimizer.peak


@measurement("the length of a long gradient, all arrays together, after clipping to 1")
def clipped_length(run: Run) -> float:
    grads = run.optimizer.clipped({name: np.ones_like(w) for name, w in run.model.params.items()})
    return math.sqrt(sum(float((g**2).sum()) for g in grads.values()))


# The faults


@fault(
    "optimizer", "decays",
    words="weight decay also pulls at the norms' weights",
    effect="A matrix can make up for a norm that scales, so to decay a norm's weight regularizes nothing; it only pulls it "
           "away from 1, where it begins, to 0. The loss shows nothing of it.",
    hints=(
        "Which parameters should a step leave alone when their gradient is 0?",
        "In a new run copy run.model.params, call run.optimizer.step(grads) with zeros for all names, and see which arrays "
        "have changed.",
    ),
    shown_by=shrinking_norms,
)
def decay_on_norms(name: str, w: np.ndarray) -> bool:
    return name.endswith(".weight")         # right: return w.ndim == 2


@fault(
    "optimizer", "corrected",
    words="the bias correction is missing: m and v begin at 0 and are taken as they are",
    effect="Both are too small at first, and √v more than m, as β₂ is nearer to 1 than β₁: the first step is three times too "
           "long, the next ones more. The loss falls fast for a few steps, then stays behind that of a right run.",
    hints=(
        "Compare the first updates with the learning rate: Adam's very first step moves every parameter by η, whatever its "
        "gradient.",
        "In a new run copy a bias, call run.optimizer.step(grads) once, and divide what it moved by run.optimizer.rate(1).",
    ),
    shown_by=first_step,
)
def bias_correction_missing(m: np.ndarray, v: np.ndarray, t: int, b1: float, b2: float) -> tuple[np.ndarray, np.ndarray]:
    return m, v                             # right: return m / (1 - b1**t), v / (1 - b2**t)


@fault(
    "optimizer", "rate",
    words="the warm-up is in the wrong unit: as many tokens as 20 steps read, but counted in steps",
    effect="The learning rate reaches its peak after 2,560 steps instead of 20. Until then it is close to 0, and the loss "
           "falls slowly.",
    hints=(
        "Train 100 steps, here and in bugs.healthy(): here the loss falls slowly, though the gradients are right. How far "
        "does a step go?",
        "Look at run.optimizer.rate(t) for t = 1, 10, 20, 100: when should it reach run.optimizer.peak?",
    ),
    shown_by=warm,
    steps=100,
)
def warmup_in_tokens(t: int, peak: float, warmup: int) -> float:
    tokens = warmup * 128                   # right: tokens = warmup
    return peak * min(1, t / tokens)


@fault(
    "optimizer", "clip",
    words="each array is clipped on its own instead of all together",
    effect="Arrays with a long gradient are cut more than others, so the step no longer points along the gradient, and all "
           "together it is longer than allowed: by up to the root of the number of arrays.",
    hints=(
        "The losses are those of a right run, and so are the gradients. Clipping shortens a long gradient and leaves its "
        "direction: give it one and compare.",
        "Call run.optimizer.clipped(grads) with ones for all names, and compute the length over all arrays together.",
    ),
    shown_by=clipped_length,
)
def clip_each_array(grads: Mapping[str, np.ndarray], max_norm: float) -> Arrays:
    clipped = {}
    for name, g in grads.items():
        norm = math.sqrt(float((g**2).sum()))   # right: norm = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
        clipped[name] = g * min(1, max_norm / (norm + 1e-6))
    return clipped


FAULTS = (decay_on_norms, bias_correction_missing, warmup_in_tokens, clip_each_array)
