"""Exercises on layer norm.  Slips in x̂ and r are the same forward and backward."""

from types import MappingProxyType

import numpy as np

from ...nn import Scope, layernorm_backward, layernorm_forward
from .exercise import Exercise, Invariant, Slip, Slips, lacks, should_add, should_subtract

OWN_EPS = MappingProxyType({f"own ε {eps}": eps for eps in (1e-3, 1e-5, 1e-6, 1e-8)})


def _normalized(on: Slips, x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """x̂ and r"""
    axis = 0 if "axis 0" in on else 1 if "axis 1" in on else None if "whole array" in on else -1
    eps = next((value for key, value in OWN_EPS.items() if key in on), eps)
    eps = 0 if "no ε" in on else -eps if "− ε" in on else eps
    mean = x.mean(axis, keepdims=True)
    centered = x if "σ² of x" in on else x + mean if "+ μ twice" in on else x - mean
    squares = abs(centered) if "|x − μ|" in on else centered**2
    n = squares.size // squares.sum(axis, keepdims=True).size
    var = squares.sum(axis, keepdims=True) / (1 if "no division" in on else n - 1 if "n − 1" in on else n)
    std = np.sqrt(var) + eps if "ε outside" in on else var + eps if "no root" in on else np.sqrt(var + eps)
    r = std if "not inverted" in on else 1 / std
    centered = x if "no μ" in on else x + mean if "+ μ" in on or "+ μ twice" in on else x - mean
    return centered if "no r" in on else centered * r, r


def _forward(on: Slips, x: np.ndarray, w: np.ndarray, b: np.ndarray, eps: float) -> np.ndarray:
    xhat, _ = _normalized(on, x, eps)
    if "b inside" in on:
        return w * (xhat + b)
    scaled = xhat if "no w" in on else (1 + w) * xhat if "1 + w" in on else w * xhat
    return scaled + (0 if "no b" in on else -b if "− b" in on else b)


def _backward(
    on: Slips, dy: np.ndarray, x: np.ndarray, w: np.ndarray, eps: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    xhat, r = _normalized(on, x, eps)
    d = dy if "dx̂ without w" in on else dy / w if "dx̂ = dy/w" in on else w * dy
    axis = 0 if "means 0" in on else 1 if "means 1" in on else None if "means all" in on else -1
    many = np.sum if "sums" in on else np.mean
    first = 0 if "no first" in on or "constants" in on else many(dy if "first of dy" in on else d, axis, keepdims=True)
    second = many((dy if "second of dy" in on else d) * (x if "second of x" in on else xhat), axis, keepdims=True)
    second = 0 if "no second" in on or "constants" in on else second
    if "x̂ at the other" in on:
        first = first * xhat
    elif "second without x̂" not in on:
        second = second * xhat
    dx = d - (-first if "+ first" in on else first) - (-second if "+ second" in on else second)
    dx = dx if "no r in front" in on else dx / r if "1/r in front" in on else dx * r
    dw = dy * (1 if "dw without x̂" in on else x if "dw of x" in on else xhat) * (w if "w in dw" in on else 1)
    db = dy * (w if "w in db" in on else 1)
    return dx, dw.sum(-1 if "dw −1" in on else (0, 1)), db.sum(-1 if "db −1" in on else (0, 1))


def _truth(dy: np.ndarray, x: np.ndarray, w: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = Scope.of(weight=w, bias=np.zeros_like(w))
    layernorm_forward(x, s, eps)
    dx = layernorm_backward(dy, s)
    return dx, s.grads["weight"], s.grads["bias"]


def _normalizing(mean: int, variance: int, r: int) -> dict[str, Slip]:
    """The slips in x̂ and r, with the hints on the mean, on the variance and on what is made of them"""
    wrong_axis = "you took mean and variance over the wrong axis: each position has its own, over its C channels"
    own = "you took an ε of your own; eps is an argument"
    return {
        "axis 0": Slip(wrong_axis, mean),
        "axis 1": Slip(wrong_axis, mean),
        "whole array": Slip("you took mean and variance over the whole array: each position has its own; mean(-1, "
                            "keepdims=True)", mean),
        "ε outside": Slip("your ε stands outside the root: it is √(σ² + ε), not √σ² + ε", variance),
        "no ε": Slip("you left out ε: it stands under the root, √(σ² + ε)", variance),
        "− ε": Slip("a sign is wrong: ε is added to σ², not subtracted", variance),
        **{key: Slip(own, variance) for key in OWN_EPS},
        "n − 1": Slip("your variance divides by C − 1; layer norm divides by C", variance),
        "no division": Slip("your variance is a sum; it should be the mean of (x − μ)²", variance),
        "σ² of x": Slip("your variance is the mean of x²; it should be that of (x − μ)²", variance),
        "|x − μ|": Slip("your variance is the mean of |x − μ|; it should be that of (x − μ)²", variance),
        "no root": Slip("you divided by the variance, σ² + ε, instead of by its root", r),
        "not inverted": Slip("your r is √(σ² + ε), not inverted: r = 1/√(σ² + ε)", r),
        "no μ": Slip("you did not subtract the mean: x̂ = (x − μ) r lacks the mean μ", mean),
        "+ μ": Slip("a sign is wrong: μ is subtracted from x, not added", mean),
        "+ μ twice": Slip("a sign is wrong: μ is subtracted from x, not added, also in the variance", mean),
        "no r": Slip("your x̂ lacks the factor r = 1/√(σ² + ε): it is x − μ alone", r),
    }


MEANS = "you took the means in dx over the wrong axis: over the C channels of a position, the last axis"

EXERCISES = (
    Exercise(
        name="layernorm_forward",
        about="each position brought to mean 0 and variance 1, then scaled and shifted",
        shapes="x (B, T, C), w (C,), b (C,), eps float -> y (B, T, C)",
        forward="y = w ⊙ x̂ + b,   x̂ = (x − μ) r,   r = 1/√(σ² + ε)",
        asked="μ and σ² are the mean and variance of a position's C channels.",
        hints=(
            "x.mean(-1, keepdims=True) is μ, (B, T, 1): one number for each position.",
            "σ² is the mean of (x − μ)², a division by C, not by C − 1. ε stands under the root.",
            "xhat = (x - mean) / np.sqrt(variance + eps), and y = w * xhat + b.",
        ),
        draw=lambda rng, B, T, C: {"x": 2 * rng.standard_normal((B, T, C)) + 1, "w": rng.standard_normal(C),
                                   "b": rng.standard_normal(C), "eps": 0.1},
        truth=lambda x, w, b, eps: layernorm_forward(x, Scope.of(weight=w, bias=b), eps),
        formula=_forward,
        slips={
            **_normalizing(1, 2, 3),
            "no b": Slip("your y lacks the bias b", 3),
            "no w": Slip("your y lacks the weight w", 3),
            "− b": should_add("y", "b", 3),
            "b inside": Slip("you added b before the weight: it is w ⊙ x̂ + b, not w ⊙ (x̂ + b)", 3),
            "1 + w": Slip("you multiplied by 1 + w; the weight is w itself", 3),
        },
        invariants=(Invariant("y", "each position of (y − b)/w has mean 0",
                              lambda trial, y: ((y - trial.inputs["b"]) / trial.inputs["w"]).mean(-1)),),
        sources=(layernorm_forward,),
    ),
    Exercise(
        name="layernorm_backward",
        about="back through a mean and a variance that depend on x themselves",
        shapes="dy (B, T, C), x (B, T, C), w (C,), eps float -> dx (B, T, C), dw (C,), db (C,)",
        forward="y = w ⊙ x̂ + b,   x̂ = (x − μ) r,   r = 1/√(σ² + ε)",
        asked="The gradients of x, w and b are asked for, given dy = ∂loss/∂y. μ and σ² are as in layernorm_forward, and "
              "depend on every x of their position.",
        hints=(
            "w and b are shared by all positions, so their gradients are sums over B and T: dw = Σ dy ⊙ x̂, db = Σ dy.",
            "Compute x̂ and r again as in the forward. Begin with dx̂ = w ⊙ dy. With μ and r held constant, it would be dx = r "
            "dx̂.",
            "μ depends on every x of its position, which subtracts the mean of dx̂.",
            "r depends on every x too, which subtracts x̂ mean(dx̂ ⊙ x̂).",
            "dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)), the means over a position's C channels: dx = r * (d - d.mean(-1, "
            "keepdims=True) - xhat * (d * xhat).mean(-1, keepdims=True)) with d = w * dy.",
        ),
        hint_of={"dx": 5, "dw": 1, "db": 1},
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C)), "x": 2 * rng.standard_normal((B, T, C)) + 1,
                                   "w": rng.standard_normal(C), "eps": 0.1},
        truth=_truth,
        formula=_backward,
        slips={
            "no first": Slip("your dx lacks the mean of dx̂: μ depends on every x of its position", 3),
            "no second": Slip("your dx lacks the term x̂ mean(dx̂ ⊙ x̂): r depends on every x of its position", 4),
            "constants": Slip("your dx treats μ and r as constants: it lacks both means, which come from how μ and r depend on "
                              "x", 3),
            "+ first": should_subtract("dx", "mean(dx̂)", 3),
            "+ second": should_subtract("dx", "x̂ mean(dx̂ ⊙ x̂)", 4),
            "no r in front": Slip("your dx lacks the factor r = 1/√(σ² + ε) in front", 2),
            "1/r in front": Slip("you divided dx by r; r = 1/√(σ² + ε) is a factor", 2),
            "dx̂ without w": Slip("your dx lacks the weight: dx̂ = w ⊙ dy, not dy", 2),
            "dx̂ = dy/w": Slip("you divided dy by the weight: dx̂ = w ⊙ dy", 2),
            "sums": Slip("you summed over the channels in dx where the mean belongs", 5),
            "means 0": Slip(MEANS, 5),
            "means 1": Slip(MEANS, 5),
            "means all": Slip(MEANS, 5),
            "first of dy": Slip("the first mean in your dx is of dy; it should be of dx̂ = w ⊙ dy", 3),
            "second of dy": Slip("the second mean in your dx is of dy ⊙ x̂; it should be of dx̂ ⊙ x̂, with dx̂ = w ⊙ dy", 4),
            "second of x": Slip("the second mean in your dx is of dx̂ ⊙ x; it should be of dx̂ ⊙ x̂", 4),
            "second without x̂": Slip("your dx lacks the x̂ in front of mean(dx̂ ⊙ x̂)", 4),
            "x̂ at the other": Slip("the x̂ in your dx stands before the wrong mean: it belongs to mean(dx̂ ⊙ x̂)", 4),
            "dw of x": Slip("your dw is made of x; it should be of x̂, which w is multiplied with", 1),
            "dw without x̂": lacks("dw", "x̂: dw = Σ dy ⊙ x̂", 1),
            "w in dw": Slip("your dw has the weight in it: dw = Σ dy ⊙ x̂, not Σ dx̂ ⊙ x̂", 1),
            "w in db": Slip("your db has the weight in it: db = Σ dy, not Σ dx̂", 1),
            "dw −1": Slip("you summed dw over the wrong axis: it keeps the channels, the last axis, and sums over the "
                          "positions",
                          1),
            "db −1": Slip("you summed db over the wrong axis: it keeps the channels, the last axis, and sums over the "
                          "positions",
                          1),
            **_normalizing(2, 2, 2),
        },
        invariants=(Invariant("dx", "dx sums to 0 over the channels of each position: adding one number to all of them changes "
                                    "no y", lambda trial, dx: dx.sum(-1)),),
        sources=(layernorm_backward,),
    ),
)
