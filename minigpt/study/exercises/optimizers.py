"""Exercises on optimizers: AdamW's step, and the orthogonal update of Muon."""

import math
from types import SimpleNamespace

import numpy as np

from ...system.rwlock import ReadWriteLock
from ...system.threads import WorkerPool
from ...training.optim import AdamW, orthogonalize
from .exercise import Exercise, Slip, Slips, lacks, should_add, should_subtract


def _adamw_truth(
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


def _adamw(
    on: Slips, w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, lr: float, beta1: float, beta2: float,
    eps: float, weight_decay: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    old_w, old_m, old_v = w, m, v
    g = g + weight_decay * w if "l2" in on else g
    own, new = (1 - beta1, beta1) if "m: β round" in on else (beta1, 1 if "m: no 1 − β" in on else 1 - beta1)
    m = own * m - new * g if "m: −" in on else own * m + new * g
    own, new = (1 - beta2, beta2) if "v: β round" in on else (beta2, 1 if "v: no 1 − β" in on else 1 - beta2)
    new = 1 - beta1 if "v: β₁" in on else new
    square = g if "v: g" in on else g * g
    v = own * v - new * square if "v: −" in on else own * v + new * square
    late = 1 if "late" in on else -1 if "early" in on else 0
    power1, power2 = (beta1 * t, beta2 * t) if "βt" in on else (beta1 ** (t + late), beta2 ** (t + late))
    mhat = (old_m if "w of old m" in on else m) / (1 if "no m̂" in on or "no hats" in on else 1 - power1)
    vhat = (old_v if "w of old v" in on else v) / (1 if "no v̂" in on or "no hats" in on else 1 - power2)
    mhat = g if "w of g" in on else mhat
    small = 0 if "no ε" in on else -eps if "− ε" in on else eps
    root = np.sqrt(v) / (1 - power2) if "root before" in on else vhat if "no root" in on else np.sqrt(vhat)
    below = np.sqrt(vhat + eps) if "ε inside" in on else root + small
    step = (1 if "no lr" in on else lr) * (np.sign(mhat) if "sign" in on else mhat / below)
    decay = (0 if "no decay" in on or "l2" in on else weight_decay if "decay without lr" in on else lr * weight_decay)
    decay = -decay if "+ decay" in on else decay
    if "decay without w" in on:
        w = w - decay - step
    elif "decay after" in on:
        w = (w - step) * (1 - decay)
    else:
        w = w * (1 - decay) - (-step if "uphill" in on else step)
    m = mhat if "m̂ returned" in on else old_m if "old m" in on else m
    v = vhat if "v̂ returned" in on else old_v if "old v" in on else v
    return w - old_w if "step returned" in on else w, m, v


def _newton_schulz(on: Slips, x: np.ndarray, steps: int) -> np.ndarray:
    a, b, c = 3.4445, -4.7750, 2.0315
    if "exact" in on:
        u, _, vt = np.linalg.svd(x, full_matrices=False)
        return u @ vt
    b, c = (c, b) if "b and c" in on else (-b if "− b" in on else b, 0 if "no c" in on else -c if "− c" in on else c)
    norm = {"no norm": 1, "spectral": np.linalg.norm(x, 2), "squared": (x * x).sum(), "largest": abs(x).max(),
            "rows": np.linalg.norm(x, axis=-1, keepdims=True), "columns": np.linalg.norm(x, axis=0, keepdims=True)}
    y = x / next((value for key, value in norm.items() if key in on), np.linalg.norm(x))
    gram = y @ y.T
    for _ in range(steps - 1 if "few" in on else steps + 1 if "many" in on else steps):
        gram = gram if "first gram" in on else y @ y.T
        square = gram * gram if "elementwise" in on else gram @ gram
        y = (0 if "no a" in on else y if "a = 1" in on else a * y) + (b * gram + c * square) @ y
    return 0.2 * math.sqrt(max(x.shape)) * y if "Muon's factor" in on else y


L2 = "you added the decay to the gradient, as in Adam with L2; in AdamW it acts on w alone"
NORM = "you divided by another norm: it is the root of the sum of all squares, np.linalg.norm(x)"

EXERCISES = (
    Exercise(
        name="adamw_step",
        about="from a gradient to new weights",
        shapes="w (Cin, Cout), g (Cin, Cout), m (Cin, Cout), v (Cin, Cout), t integer, lr float, beta1 float, beta2 float, eps "
               "float, weight_decay float -> w (Cin, Cout), m (Cin, Cout), v (Cin, Cout)",
        forward="gradient descent:   w ← w − η g",
        asked="A step of AdamW is asked for instead. m and v are running means of g and of g², elementwise: at each step the "
              "new one counts 1 − β₁ (for v 1 − β₂), and what was there the rest. They were 0 before the first step, so they "
              "are too small; m̂ and v̂ are m and v divided by what a mean of nothing but ones would have come to after t "
              "steps. In place of g stands m̂ in units of the root of v̂, to which ε is added. Besides, every weight loses "
              "the share η λ of itself, of which m and v know nothing. η is lr, λ weight_decay, ε eps, and t counts the "
              "steps from 1. Returns new arrays.",
        hints=(
            "m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g². Write m = beta1 * m + …, which makes a new array.",
            "Of ones alone the mean is (1 − β)(1 + β + … + βᵗ⁻¹) = 1 − βᵗ after t steps, so m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − "
            "β₂ᵗ). They are used for w but not returned.",
            "The decay acts on w itself, by lr · weight_decay, and takes no part in m and v: that is the W in AdamW.",
            "w = w - lr * weight_decay * w - lr * mhat / (np.sqrt(vhat) + eps), with the w of before on the right.",
        ),
        hint_of={"w": 4, "m": 1, "v": 1},
        draw=lambda rng, B, T, C: {**{name: rng.standard_normal((T, C + 2)) for name in ("w", "g", "m")},
                                   "v": rng.random((T, C + 2)) + 3, "t": B + 1, "lr": 0.2, "beta1": 0.2, "beta2": 0.15,
                                   "eps": 0.1, "weight_decay": 0.3},
        truth=_adamw_truth,
        formula=_adamw,
        slips={
            "no hats": Slip("your w lacks the bias corrections m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ)", 2),
            "no m̂": Slip("your w lacks the bias correction m̂ = m/(1 − β₁ᵗ)", 2),
            "no v̂": Slip("your w lacks the bias correction v̂ = v/(1 − β₂ᵗ)", 2),
            "late": Slip("your bias corrections count one step too many: t is 1 at the first step already", 2),
            "early": Slip("your bias corrections count one step too few: t is 1 at the first step, so the power is βᵗ "
                          "itself", 2),
            "βt": Slip("your bias corrections multiply β by t; it is the power, βᵗ", 2),
            "no root": Slip("your w lacks the root: it divides by √v̂ + ε", 4),
            "root before": Slip("you took the root before the bias correction: it is √v̂ with v̂ = v/(1 − β₂ᵗ)", 2),
            "ε inside": Slip("your ε stands inside the root; Adam's stands outside, √v̂ + ε", 4),
            "no ε": lacks("w", "ε: it divides by √v̂ + ε", 4),
            "− ε": should_add("w", "ε", 4),
            "no decay": Slip("your w lacks the weight decay, − η λ w", 3),
            "+ decay": should_subtract("w", "η λ w", 3),
            "decay without lr": Slip("your weight decay lacks the learning rate: it is η λ w", 3),
            "decay without w": Slip("your weight decay lacks w: it is η λ w, in proportion to each weight", 3),
            "decay after": Slip("your decay acts on the w that the step has changed already; it is η λ w of the old w", 3),
            "l2": Slip(L2, 3),
            "uphill": Slip("your w goes uphill: the update is subtracted", 4),
            "no lr": lacks("w", "the learning rate in front of m̂/(√v̂ + ε)", 4),
            "sign": Slip("your update has the sign of m̂ alone; it is m̂/(√v̂ + ε)", 4),
            "w of g": Slip("your update is made of g; it is made of m̂, the running mean", 1),
            "w of old m": Slip("your update is made of the m of the step before: first update m, then w", 1),
            "w of old v": Slip("your update is made of the v of the step before: first update v, then w", 1),
            "step returned": Slip("you returned the change of w; it should be added to w", 4),
            "m: no 1 − β": Slip("your m lacks the factor (1 − β₁) of g", 1),
            "m: −": should_add("m", "(1 − β₁) g", 1),
            "m: β round": Slip("your m has β₁ and 1 − β₁ the wrong way round: β₁ belongs to the old m", 1),
            "m̂ returned": Slip("you returned m̂; what is kept for the next step is m", 2),
            "old m": Slip("you returned the old m", 1),
            "v: no 1 − β": Slip("your v lacks the factor (1 − β₂) of g²", 1),
            "v: −": should_add("v", "(1 − β₂) g²", 1),
            "v: β round": Slip("your v has β₂ and 1 − β₂ the wrong way round: β₂ belongs to the old v", 1),
            "v: β₁": Slip("your v has 1 − β₁ in front of g²; it is 1 − β₂", 1),
            "v: g": Slip("your v is made of g; it is the running mean of g²", 1),
            "v̂ returned": Slip("you returned v̂; what is kept for the next step is v", 2),
            "old v": Slip("you returned the old v", 1),
        },
        sources=(AdamW,),
    ),
    Exercise(
        name="orthogonalize",
        about="Muon's update: a matrix made nearly orthogonal by Newton–Schulz steps, without an SVD",
        shapes="x (R, C), steps integer -> y (R, C)",
        forward="x/‖x‖ = U S Vᵀ,   y = U p(… p(S)) Vᵀ,   p(σ) = a σ + b σ³ + c σ⁵\na = 3.4445,   b = −4.7750,   c = 2.0315",
        asked="‖x‖ is the root of the sum of all squares, so no singular value σ is above 1. p acts on each of them, `steps` "
              "times; each time they come nearer to 1, while the directions U and V stay. Work without them, by matrix "
              "products with y alone: a product costs far less than an SVD.",
        hints=(
            "np.linalg.norm(x) is √Σ x². After the division no singular value is above 1, which the steps need.",
            "With y = U S Vᵀ and G = y yᵀ = U S² Uᵀ the odd powers are products: G y = U S³ Vᵀ, G² y = U S⁵ Vᵀ. G = y @ y.T "
            "is new in each step, and G² is the matrix product G @ G.",
            "y = a * y + (b * gram + c * gram @ gram) @ y, as often as steps says.",
        ),
        draw=lambda rng, B, T, C: {"x": 0.3 * rng.standard_normal((T, C + 1)), "steps": 2 + B % 2},
        truth=lambda x, steps: orthogonalize(x, steps),
        formula=_newton_schulz,
        slips={
            "no norm": Slip("you did not divide by the norm first: with singular values above 1 the steps do not converge", 1),
            "spectral": Slip(NORM, 1),
            "squared": Slip("you divided by the sum of all squares; it is its root, np.linalg.norm(x)", 1),
            "largest": Slip(NORM, 1),
            "rows": Slip("you divided each row by its own norm; it is one norm for the whole matrix", 1),
            "columns": Slip("you divided each column by its own norm; it is one norm for the whole matrix", 1),
            "no a": lacks("y", "the term a y", 3),
            "a = 1": lacks("y", "the factor a of its first term, a y", 3),
            "− b": Slip("a sign is wrong: b is negative, −4.7750", 3),
            "no c": lacks("y", "the term c G² y", 3),
            "− c": Slip("a sign is wrong: c is positive, 2.0315", 3),
            "b and c": Slip("b and c have changed places: b G + c G²", 3),
            "elementwise": Slip("you squared the elements of G; G² is the matrix product G @ G", 2),
            "first gram": Slip("your G is that of the first step: it is made anew from each y", 2),
            "few": Slip("you made one step too few", 3),
            "many": Slip("you made one step too many", 3),
            "exact": Slip("this is U Vᵀ exactly, from the SVD; a few Newton–Schulz steps come near it, and are what is asked "
                          "for",
                          3),
            "Muon's factor": Slip("you multiplied by Muon's factor 0.2 √max(rows, columns) already; that comes after this "
                                  "function", 3),
        },
        sources=(orthogonalize,),
        tolerance=1e-4,         # Jordan's own code adds 1e-7 to the norm
    ),
)
