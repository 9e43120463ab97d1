"""Exercises on the layers that work on each position alone: linear, GELU and dropout.  Layer norm's are in layernorm.py."""

import math

import numpy as np

from ...nn import (
    Scope,
    dropout_backward,
    dropout_forward,
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    linear_backward,
    linear_forward,
)
from ...nn.activations import quick_gelu_backward, quick_gelu_forward
from ...nn.rows import rows
from .exercise import Exercise, Slip, Slips, lacks, should_add

SUM_OF_DB = "you summed db over the wrong axis: it keeps the channels, the last axis, and sums over the positions"


def _linear_truth(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = Scope.of(weight=w, bias=np.zeros(w.shape[1]))
    linear_forward(x, s)
    dx = linear_backward(dy, s)
    return dx, s.grads["weight"], s.grads["bias"]


def _linear_backward(on: Slips, dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    one = slice(-1, None) if "last sequence" in on else slice(1) if "first sequence" in on else slice(None)
    dw = rows(x[one]).T @ rows(dy[one])
    if "reshape" in on:
        dw = x.reshape(x.shape[-1], -1) @ rows(dy)
    if "w and dw" in on:
        dw = w + dw
    axes = -1 if "db −1" in on else (0, 2) if "db 0, 2" in on else (1, 2) if "db 1, 2" in on else (0, 1)
    db = dy[-1:] if "db last" in on else x if "db of x" in on else dy
    return dy @ w.T, dw, db.sum(axes)


def _gelu_truth(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    s = Scope.of()
    gelu_tanh_forward(x, s)
    return gelu_tanh_backward(dy, s)


def _gelu_backward(on: Slips, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    others = (("exact", gelu_forward, gelu_backward), ("quick", quick_gelu_forward, quick_gelu_backward))
    for key, forward, backward in others:
        if key in on:
            forward(x, s := Scope.of())
            return backward(dy, s)
    if "relu" in on:
        return dy * (x > 0)
    a = 2 / math.pi if "no root" in on else math.sqrt(math.pi / 2) if "√(π/2)" in on else math.sqrt(2 / math.pi)
    power = x**2 if "x²" in on else 0 * x if "u = x" in on else x**3
    t = np.tanh((1 if "no √ in u" in on else a) * (x + 0.044715 * power))
    du = (1 if "no √ in u'" in on else a) * ((0 if "no 1" in on else 1) + (1 if "no 3" in on else 3) * 0.044715 * x**2)
    bend = 1 - t if "1 − t" in on else 1 + t * t if "1 + t²" in on else np.sqrt(1 - t * t) if "√(1 − t²)" in on else 1 - t * t
    first = 0 * t if "no first" in on else t / 2 if "t alone" in on else 0.5 * (1 + t)
    first = 2 * first if "no ½ first" in on else first
    second = 0 * t if "no second" in on else (1 if "no x" in on else x) * bend * (1 if "no u'" in on else du) / 2
    second = 2 * second if "no ½ second" in on else -second if "− second" in on else second
    slope = 0.5 * x * (1 + t) if "forward" in on else first + second
    return slope if "no dy" in on else slope + dy if "dy added" in on else dy * slope


def _dropout(on: Slips, x: np.ndarray, u: np.ndarray, p: float) -> np.ndarray:
    if "nothing" in on:
        return x
    kept = u < p if "the others" in on else (u[:, :1] >= p) if "rows" in on else u >= p
    scale = 1 if "no scale" in on else 1 - p if "times 1 − p" in on else 1 / p if "1/p" in on else 1 / (1 - p)
    scale = scale * scale if "scale twice" in on else scale
    return x * (1 if "no mask" in on else kept) * scale


def _dropout_truth(x: np.ndarray, u: np.ndarray, p: float) -> np.ndarray:
    s = Scope.of()
    s.acts["mask"] = (u >= p) / (1 - p)
    return dropout_backward(x, s)          # the same product there and back


def _dropped(name: str) -> dict[str, Slip]:
    return {
        "no scale": Slip("what stays lacks the factor 1/(1 − p), without which the expected value shrinks", 2),
        "times 1 − p": Slip("you multiplied what stays by 1 − p; it is divided, so that the expected value is the same as "
                            "without dropout", 2),
        "1/p": Slip("you divided by p, the share that goes; 1 − p is the share that stays", 2),
        "scale twice": Slip("you scaled what stays twice: the factor 1/(1 − p) is in m already", 2),
        "nothing": Slip("you dropped nothing: an element goes where u < p", 1),
        "the others": Slip("you dropped what should stay: an element goes where u < p", 1),
        "rows": Slip("you dropped whole channels: each element has its own u", 1),
        "no mask": lacks(name, "m, which is 0 where u < p", 1),
    }


EXERCISES = (
    Exercise(
        name="linear_backward",
        about="the three gradients of a matrix product",
        shapes="dy (B, T, Cout), x (B, T, Cin), w (Cin, Cout) -> dx (B, T, Cin), dw (Cin, Cout), db (Cout,)",
        forward="y = x W + b",
        asked="The gradients of x, W and b are asked for, given dy = ∂loss/∂y. All positions share W and b.",
        hints=(
            "The shapes tell the formula: dx is shaped like x, (B, T, Cin), and made of dy (B, T, Cout) and w (Cin, Cout).",
            "All positions share w and b, so each adds its part: flatten to N = B·T rows with x.reshape(-1, x.shape[-1]).",
            "dx = dy Wᵀ, dW = Σ xᵀ dy, db = Σ dy: dx = dy @ w.T and, with x and dy flattened, dw = x.T @ dy and db = "
            "dy.sum(0).",
        ),
        hint_of={"dx": 1, "dw": 2, "db": 2},
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C + 4)), "x": rng.standard_normal((B, T, C)),
                                   "w": rng.standard_normal((C, C + 4))},
        truth=_linear_truth,
        formula=_linear_backward,
        slips={
            "last sequence": Slip("your dw holds the last sequence of the batch alone: add up the parts of all (+=, not =)", 2),
            "first sequence": Slip("your dw holds the first sequence of the batch alone: add up the parts of all", 2),
            "reshape": Slip("your dw comes from x.reshape(Cin, N), which cuts the numbers anew; what is needed is the "
                            "transpose of (N, Cin)", 2),
            "w and dw": Slip("your dw has w itself in it: begin from zeros", 2),
            "db −1": Slip(SUM_OF_DB, 2),
            "db 0, 2": Slip(SUM_OF_DB, 2),
            "db 1, 2": Slip(SUM_OF_DB, 2),
            "db last": Slip("your db holds the last sequence of the batch alone: it sums over all positions", 2),
            "db of x": Slip("your db sums x; it should sum dy", 3),
        },
        sources=(linear_backward, rows),
    ),
    Exercise(
        name="gelu_backward",
        about="the gradient of GPT-2's activation function",
        shapes="dy (B, T, C), x (B, T, C) -> dx (B, T, C)",
        forward="y = ½ x (1 + tanh u),   u = √(2/π) (x + 0.044715 x³)",
        asked="dx is asked for, given dy = ∂loss/∂y. Each y depends on its own x alone.",
        hints=(
            "By the chain rule dx = dy ⊙ dy/dx. y is a product of ½ x and 1 + tanh u, and both depend on x: the product rule "
            "gives two terms.",
            "The derivative of tanh u with respect to u is 1 − tanh² u; the chain rule multiplies it by u', that of u with "
            "respect to x.",
            "u' = √(2/π) (1 + 3 · 0.044715 x²), and dx = dy ⊙ (½ (1 + tanh u) + ½ x (1 − tanh² u) u').",
        ),
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C)), "x": 2 * rng.standard_normal((B, T, C))},
        truth=_gelu_truth,
        formula=_gelu_backward,
        slips={
            "no dy": Slip("you forgot the chain rule's dy: this is the slope of GELU alone", 1),
            "dy added": Slip("you added dy to the slope; the chain rule multiplies", 1),
            "no second": lacks("dx", "the second term of the product rule, ½ x (1 − tanh² u) u'", 1),
            "no first": lacks("dx", "the first term of the product rule, ½ (1 + tanh u)", 1),
            "no u'": lacks("dx", "u', the derivative of what stands inside tanh", 2),
            "no x": lacks("dx", "the factor x of the second term, ½ x (1 − tanh² u) u'", 1),
            "no ½ first": lacks("dx", "the ½ in its first term, ½ (1 + tanh u)", 3),
            "no ½ second": lacks("dx", "the ½ in its second term, ½ x (1 − tanh² u) u'", 3),
            "t alone": lacks("dx", "the 1 in its first term, ½ (1 + tanh u)", 1),
            "− second": should_add("dx", "½ x (1 − tanh² u) u'", 1),
            "no 3": Slip("your u' lacks the 3: the derivative of x³ is 3 x²", 3),
            "no 1": Slip("your u' lacks the 1, the derivative of x", 3),
            "no √ in u'": Slip("your u' lacks the factor √(2/π)", 3),
            "no √ in u": Slip("your u lacks the factor √(2/π)", 1),
            "no root": Slip("your √(2/π) lacks the root", 1),
            "√(π/2)": Slip("you took √(π/2); it is √(2/π)", 1),
            "x²": Slip("your u has x² where x³ belongs", 1),
            "u = x": Slip("your u lacks 0.044715 x³", 1),
            "1 − t": Slip("the derivative of tanh u is 1 − tanh² u, yours is 1 − tanh u", 2),
            "1 + t²": Slip("a sign is wrong: the derivative of tanh u is 1 − tanh² u, yours is 1 + tanh² u", 2),
            "√(1 − t²)": Slip("the derivative of tanh u is 1 − tanh² u, yours is its root: 1/cosh u instead of 1/cosh² u", 2),
            "forward": Slip("you multiplied dy by GELU itself, the forward; what is needed is its slope dy/dx", 1),
            "exact": Slip("this is the gradient of the exact GELU, with erf; GPT-2 has the tanh form", 1),
            "quick": Slip("this is the gradient of the quick GELU, x σ(1.702 x); GPT-2 has the tanh form", 1),
            "relu": Slip("this is the gradient of ReLU, 1 or 0; GPT-2 has GELU", 1),
        },
        sources=(gelu_tanh_forward, gelu_tanh_backward),
    ),
    Exercise(
        name="dropout_forward",
        about="some elements are set to 0 at random while training, the others scaled up",
        shapes="x (B, T, C), u (B, T, C), p float -> y (B, T, C)",
        forward="y = x ⊙ m",
        asked="u holds random numbers, uniform between 0 and 1: an element goes where u < p. Scale what stays so that the "
              "expected value of y is x.",
        hints=(
            "u >= p is true where an element stays, an array of booleans that can be multiplied.",
            "An element stays with probability 1 − p, so the expected value of x ⊙ (u ≥ p) is (1 − p) x.",
            "y = x * (u >= p) / (1 - p)",
        ),
        draw=lambda rng, B, T, C: {"x": rng.standard_normal((B, T, C)), "u": rng.random((B, T, C)), "p": 0.4},
        truth=_dropout_truth,
        formula=_dropout,
        slips=_dropped("y"),
        sources=(dropout_forward,),
    ),
    Exercise(
        name="dropout_backward",
        about="back through dropout, with the random numbers of the forward",
        shapes="dy (B, T, C), u (B, T, C), p float -> dx (B, T, C)",
        forward="y = x ⊙ m,   m = 0 if u < p else 1/(1 − p)",
        asked="dx is asked for, given dy = ∂loss/∂y and the forward's own u.",
        hints=(
            "An element that was dropped did not move y, so its gradient is 0: the same elements go as in the forward.",
            "An element that stayed was multiplied by 1/(1 − p), and that is its slope.",
            "dx = dy * (u >= p) / (1 - p)",
        ),
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C)), "u": rng.random((B, T, C)), "p": 0.4},
        truth=lambda dy, u, p: _dropout_truth(dy, u, p),
        formula=lambda on, dy, u, p: _dropout(on, dy, u, p),
        slips=_dropped("dx"),
        sources=(dropout_backward,),
    ),
)
