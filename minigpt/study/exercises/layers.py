"""Exercises on the layers that work on each position alone: linear, GELU and layer norm."""

from collections.abc import Callable

import numpy as np

from ...nn import (
    Scope,
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    layernorm_backward,
    layernorm_forward,
    linear_backward,
    linear_forward,
)
from ...nn.activations import SQRT_2_OVER_PI
from ...nn.rows import rows
from .diagnosis import Exercise, Mistake


def _linear_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = Scope.of(weight=w, bias=np.zeros(w.shape[1]))
    linear_forward(x, s)
    dx = linear_backward(dy, s)
    return dx, s.grads["weight"], s.grads["bias"]


def _gelu_backward(
    dy: np.ndarray, x: np.ndarray, forward: Callable = gelu_tanh_forward, backward: Callable = gelu_tanh_backward,
) -> np.ndarray:
    s = Scope.of()
    forward(x, s)
    return backward(dy, s)


def _layernorm_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = Scope.of(weight=w, bias=np.zeros_like(w))
    layernorm_forward(x, s, eps)
    dx = layernorm_backward(dy, s)
    return dx, s.grads["weight"], s.grads["bias"]


def _gelu_terms(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """t = tanh u and u' of the tanh form"""
    return np.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x**3)), SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x**2)


def _normalized(x: np.ndarray, eps: float, axis: int | None = -1, ddof: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x̂ and r, normalized over any axis"""
    r = 1 / np.sqrt(x.var(axis, keepdims=True, ddof=ddof) + eps)
    return (x - x.mean(axis, keepdims=True)) * r, r


def _dx(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray, eps: float, *, first: bool = True, second: bool = True,
    mean: Callable = np.mean, axis: int | None = -1, scaled: bool = True,
) -> np.ndarray:
    """Layer norm's dx with parts of it left out or changed"""
    xhat, r = _normalized(x, eps)
    d = dy * w
    dx = d - first * mean(d, axis, keepdims=True) - second * xhat * mean(d * xhat, axis, keepdims=True)
    return dx * r if scaled else dx


EXERCISES = (
    Exercise(
        name="linear_backward",
        about="the three gradients of a matrix product",
        shapes="dy (B, T, Cout), x (B, T, Cin), w (Cin, Cout) -> dx (B, T, Cin), dw (Cin, Cout), db (Cout,)",
        equation="y = x W + b\ndx = dy Wᵀ,   dW = Σ xᵀ dy,   db = Σ dy,   the sums over all positions",
        hints=(
            "The shapes tell the formula: dx is shaped like x, (B, T, Cin), and made of dy (B, T, Cout) and w (Cin, Cout).",
            "All positions share w and b, so each adds its part: flatten to N = B·T rows with x.reshape(-1, x.shape[-1]).",
            "dx = dy @ w.T. With x and dy flattened, dw = x.T @ dy and db = dy.sum(0).",
        ),
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C + 4)), "x": rng.standard_normal((B, T, C)),
                                   "w": rng.standard_normal((C, C + 4))},
        truth=_linear_backward,
        mistakes=(
            Mistake("dw", "your dw holds the last sequence of the batch alone: add up the parts of all (+=, not =)",
                    lambda dy, x, w: x[-1].T @ dy[-1]),
            Mistake("db", "you summed db over the wrong axis: it keeps the channels, the last axis, and sums over the "
                    "positions",
                    lambda dy, x, w: dy.sum(-1), lambda dy, x, w: dy.sum((0, 2)), lambda dy, x, w: dy.sum((1, 2))),
        ),
        sources=(linear_backward, rows),
    ),
    Exercise(
        name="gelu_backward",
        about="the gradient of GPT-2's activation function",
        shapes="dy (B, T, C), x (B, T, C) -> dx (B, T, C)",
        equation="y = ½ x (1 + tanh u),   u = √(2/π) (x + 0.044715 x³)\ndx = dy ⊙ dy/dx",
        hints=(
            "y is a product of ½ x and 1 + tanh u, and both depend on x: the product rule gives two terms.",
            "The derivative of tanh u with respect to u is 1 − tanh² u; the chain rule multiplies it by "
            "u', that of u with respect to x.",
            "u' = √(2/π) (1 + 3 · 0.044715 x²), and dx = dy ⊙ (½ (1 + tanh u) + ½ x (1 − tanh² u) u').",
        ),
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C)), "x": 2 * rng.standard_normal((B, T, C))},
        truth=_gelu_backward,
        mistakes=(
            Mistake("dx", "you forgot the chain rule's dy: this is the slope of GELU alone",
                    lambda dy, x: _gelu_backward(np.ones_like(x), x)),
            Mistake("dx", "your dx lacks the second term of the product rule, ½ x (1 − tanh² u) u'",
                    lambda dy, x: dy * 0.5 * (1 + _gelu_terms(x)[0])),
            Mistake("dx", "your dx lacks the first term of the product rule, ½ (1 + tanh u)",
                    lambda dy, x: dy * 0.5 * x * (1 - _gelu_terms(x)[0] ** 2) * _gelu_terms(x)[1]),
            Mistake("dx", "your dx lacks u', the derivative of what stands inside tanh",
                    lambda dy, x: dy * 0.5 * (1 + _gelu_terms(x)[0] + x * (1 - _gelu_terms(x)[0] ** 2))),
            Mistake("dx", "your u' lacks the 3: the derivative of x³ is 3 x²",
                    lambda dy, x: dy * 0.5 * (1 + _gelu_terms(x)[0] + x * (1 - _gelu_terms(x)[0] ** 2)
                                              * (2 * SQRT_2_OVER_PI + _gelu_terms(x)[1]) / 3)),
            Mistake("dx", "the derivative of tanh u is 1 − tanh² u, yours is 1 − tanh u",
                    lambda dy, x: dy * 0.5 * (1 + _gelu_terms(x)[0] + x * (1 - _gelu_terms(x)[0]) * _gelu_terms(x)[1])),
            Mistake("dx", "this is the gradient of the exact GELU, with erf; GPT-2 has the tanh form",
                    lambda dy, x: _gelu_backward(dy, x, gelu_forward, gelu_backward)),
        ),
        sources=(gelu_tanh_forward, gelu_tanh_backward),
    ),
    Exercise(
        name="layernorm_forward",
        about="each position brought to mean 0 and variance 1, then scaled and shifted",
        shapes="x (B, T, C), w (C,), b (C,), eps float -> y (B, T, C)",
        equation="y = w ⊙ x̂ + b,   x̂ = (x − μ) r,   r = 1/√(σ² + ε)\nμ and σ² are the mean and variance of a position's C "
        "channels",
        hints=(
            "x.mean(-1, keepdims=True) is μ, (B, T, 1): one number for each position.",
            "σ² is the mean of (x − μ)², a division by C, not by C − 1. ε stands under the root.",
            "xhat = (x - mean) / np.sqrt(variance + eps), and y = w * xhat + b.",
        ),
        draw=lambda rng, B, T, C: {"x": 2 * rng.standard_normal((B, T, C)) + 1, "w": rng.standard_normal(C),
                                   "b": rng.standard_normal(C), "eps": 0.1},
        truth=lambda x, w, b, eps: layernorm_forward(x, Scope.of(weight=w, bias=b), eps),
        mistakes=(
            Mistake("y", "you took mean and variance over the wrong axis: each position has its own, over its C channels",
                    *(lambda x, w, b, eps, axis=axis: w * _normalized(x, eps, axis)[0] + b for axis in (0, 1))),
            Mistake("y", "you took mean and variance over the whole array: each position has its own; mean(-1, keepdims=True)",
                    lambda x, w, b, eps: w * _normalized(x, eps, None)[0] + b),
            Mistake("y", "your ε stands outside the root: it is √(σ² + ε), not √σ² + ε",
                    lambda x, w, b, eps: w * (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps) + b),
            Mistake("y", "your y lacks ε under the root", lambda x, w, b, eps: w * _normalized(x, 0)[0] + b),
            Mistake("y", "your variance divides by C − 1; layer norm divides by C",
                    lambda x, w, b, eps: w * _normalized(x, eps, ddof=1)[0] + b),
            Mistake("y", "you divided by the variance, σ² + ε, instead of by its root",
                    lambda x, w, b, eps: w * _normalized(x, eps)[0] * _normalized(x, eps)[1] + b),
            Mistake("y", "your y lacks the mean: x̂ = (x − μ) r, and you did not subtract μ",
                    lambda x, w, b, eps: w * x * _normalized(x, eps)[1] + b),
            Mistake("y", "your y lacks the bias b", lambda x, w, b, eps: w * _normalized(x, eps)[0]),
            Mistake("y", "your y lacks the weight w", lambda x, w, b, eps: _normalized(x, eps)[0] + b),
        ),
        sources=(layernorm_forward,),
    ),
    Exercise(
        name="layernorm_backward",
        about="back through a mean and a variance that depend on x themselves",
        shapes="dy (B, T, C), x (B, T, C), w (C,), eps float -> dx (B, T, C), dw (C,), db (C,)",
        equation="dx̂ = w ⊙ dy,   dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)),   dw = Σ dy ⊙ x̂,   db = Σ dy\n"
        "the means over a position's C channels, the sums over all positions; x̂ and r as in layernorm_forward",
        hints=(
            "w and b are shared by all positions, so their gradients are sums over B and T: sum((0, 1)).",
            "Begin with dx̂ = w ⊙ dy. With μ and r held constant, it would be dx = r dx̂.",
            "μ depends on every x of its position, which subtracts the mean of dx̂. So does r, which subtracts x̂ mean(dx̂ ⊙ "
            "x̂).",
            "dx = r * (d - d.mean(-1, keepdims=True) - xhat * (d * xhat).mean(-1, keepdims=True)) with d = w * dy.",
        ),
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C)), "x": 2 * rng.standard_normal((B, T, C)) + 1,
                                   "w": rng.standard_normal(C), "eps": 0.1},
        truth=_layernorm_backward,
        mistakes=(
            Mistake("dx", "your dx lacks the mean of dx̂: μ depends on every x of its position",
                    lambda **inputs: _dx(**inputs, first=False)),
            Mistake("dx", "your dx lacks the term x̂ mean(dx̂ ⊙ x̂): r depends on every x of its position",
                    lambda **inputs: _dx(**inputs, second=False)),
            Mistake("dx", "your dx treats μ and r as constants: it lacks both means, r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂))",
                    lambda **inputs: _dx(**inputs, first=False, second=False)),
            Mistake("dx", "your dx lacks the factor r = 1/√(σ² + ε) in front", lambda **inputs: _dx(**inputs, scaled=False)),
            Mistake("dx", "your dx lacks the weight: dx̂ = w ⊙ dy, not dy",
                    lambda dy, x, w, eps: _dx(dy, x, np.ones_like(w), eps)),
            Mistake("dx", "you summed over the channels in dx where the mean belongs",
                    lambda **inputs: _dx(**inputs, mean=np.sum)),
            Mistake("dx", "you took the means in dx over the wrong axis: over the C channels of a position, the last axis",
                    *(lambda axis=axis, **inputs: _dx(**inputs, axis=axis) for axis in (0, 1, None))),
            Mistake("dw", "your dw is made of x; it should be of x̂, which w is multiplied with",
                    lambda dy, x, w, eps: (dy * x).sum((0, 1))),
            Mistake("dw", "your dw has the weight in it: dw = Σ dy ⊙ x̂, not Σ dx̂ ⊙ x̂",
                    lambda dy, x, w, eps: (w * dy * _normalized(x, eps)[0]).sum((0, 1))),
            Mistake("dw", "you summed dw over the wrong axis: it keeps the channels, the last axis, and sums over the "
                    "positions",
                    lambda dy, x, w, eps: (dy * _normalized(x, eps)[0]).sum(-1)),
            Mistake("db", "you summed db over the wrong axis: it keeps the channels, the last axis, and sums over the "
                    "positions",
                    lambda dy, x, w, eps: dy.sum(-1)),
        ),
        sources=(layernorm_backward,),
    ),
)
