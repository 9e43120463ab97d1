"""The two-layer network applied to each position, and its activation functions."""

import math

import numpy as np

from .linear import linear_backward, linear_forward
from .ops import chunks

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)


def mlp_forward(x, s, activation="gelu_new"):
    r"""Widen, bend, narrow: two linear layers with an activation function between.

        y = f(x W_fc + b_fc) W_proj + b_proj

    x (..., C) -> y (..., C).  Parameters c_fc (C, 4C), c_proj (4C, C).  `activation` is a name in ACTIVATIONS.
    In study mode leaves pre and act (..., 4C), before and after f, and out (y) in s.acts.
    Vaswani et al. 2017 §3.3; articles A1 §3.1, A4 §4.2.
    """
    pre = s.leave("pre", linear_forward(x, s.at("c_fc")))
    act = s.leave("act", ACTIVATIONS[activation](pre, s.at("act")))
    return s.leave("out", linear_forward(act, s.at("c_proj")))


def mlp_backward(dy, s):
    r"""dx, through c_proj, the activation function and c_fc.  dy (..., C) -> dx (..., C)"""
    dact = s.leave_grad("act", linear_backward(s.leave_grad("out", dy), s.at("c_proj")))
    dpre = s.leave_grad("pre", activation_backward(dact, s.at("act")))
    return linear_backward(dpre, s.at("c_fc"))


def gelu_new_forward(x, s):
    r"""GELU in its tanh form, as GPT-2 has it: x times roughly the probability that a standard normal number is below x.

        y = x σ(2u) = ½ x (1 + tanh u),   u = √(2/π) (x + 0.044715 x³)
        y' = σ + 2 y (1 − σ) u',          u' = √(2/π) (1 + 3 · 0.044715 x²)

    x (...) -> y (...).  Leaves slope (y'), computed here because σ is at hand; on the fast path over x itself.
    Hendrycks and Gimpel 2016 §2.
    """
    slope = s.reuse("slope", np.ascontiguousarray(x))      # chunks() of a strided array would be copies
    y = s.acts.empty("y", x.shape, x.dtype)
    a, b = SQRT_2_OVER_PI, 0.044715 * SQRT_2_OVER_PI
    for x_part, y_part in chunks(slope, y):
        x2, t = (s.scratch(name, x_part.shape, x.dtype) for name in ("square", "sigma"))
        np.multiply(x_part, x_part, out=x2)          # x·x·x, never x**3: that costs 27 × as much
        np.multiply(x2, b, out=t)
        t += a
        t *= x_part                                  # u
        np.tanh(t, out=t)
        t *= 0.5
        t += 0.5                                     # σ(2u)
        np.multiply(x_part, t, out=y_part)
        if s.run.backward:
            x2 *= 6 * b
            x2 += 2 * a                              # 2 u'
            x2 *= y_part
            np.subtract(1, t, out=x_part)
            x_part *= x2
            x_part += t                              # y' stands where x stood
    return y


def gelu_forward(x, s):
    r"""GELU in its exact form: x times the probability that a standard normal number is below x.

        y = x Φ(x),   Φ(x) = ½ (1 + erf(x/√2)),   y' = Φ(x) + x φ(x),   φ(x) = exp(−x²/2)/√(2π)

    x (...) -> y (...).  Leaves slope (y').  Hendrycks and Gimpel 2016 §2.
    """
    slope = s.reuse("slope", np.ascontiguousarray(x))      # chunks() of a strided array would be copies
    y = s.acts.empty("y", x.shape, x.dtype)
    for x_part, y_part in chunks(slope, y):
        cdf = 0.5 * (1 + erf(x_part * math.sqrt(0.5)))
        np.multiply(x_part, cdf, out=y_part)
        density = np.exp(-0.5 * x_part * x_part) * (1 / math.sqrt(2 * math.pi))
        np.add(cdf, x_part * density, out=x_part)
    return y


def relu_forward(x, s):
    r"""y = max(x, 0),   y' = 1 where x > 0, else 0

    x (...) -> y (...).  Leaves slope (y').  The Transformer of 2017 used it, GPT does not; article A4 §4.2.
    """
    slope = s.reuse("slope", x)
    y = np.maximum(x, 0, out=s.acts.empty("y", x.shape, x.dtype))
    np.greater(x, 0, out=slope)
    return y


def activation_backward(dy, s):
    r"""dx = y' ⊙ dy, for every activation function here"""
    dx = s.reuse_grad("x", dy)
    dx *= s.acts["slope"]
    return dx


ACTIVATIONS = {"gelu_new": gelu_new_forward, "gelu": gelu_forward, "relu": relu_forward}  # Hugging Face's names


def erf(x):
    r"""The error function 2/√π ∫₀ˣ exp(−t²) dt, elementwise, to the rounding of x's dtype; NumPy has none.

    Rational approximations on |x| ≤ ½, ½ … 4 and above, with the coefficients of Cody 1969 (Math. Comp. 23, 631).
    """
    z = np.abs(x)
    square = np.minimum(z, 0.5) ** 2
    small = x * _ratio(square, _ERF_SMALL)
    middle = np.clip(z, 0.5, 4)
    z = np.clip(z, 4, 27)                       # above, erfc is 0 in float64
    inverse = 1 / (z * z)
    tail = (1 / math.sqrt(math.pi) - inverse * _ratio(inverse, _ERF_LARGE)) / z
    erfc = np.where(np.abs(x) <= 4, np.exp(-middle * middle) * _ratio(middle, _ERF_MIDDLE), np.exp(-z * z) * tail)
    return np.where(np.abs(x) <= 0.5, small, np.copysign(1 - erfc, x))


def _ratio(x, coefficients):
    """P(x)/Q(x), both written from the highest power down"""
    above, below = (c[0] + 0 * x for c in coefficients)
    for c in coefficients[0][1:]:
        above = above * x + c
    for c in coefficients[1][1:]:
        below = below * x + c
    return above / below


_ERF_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_ERF_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)
_ERF_LARGE = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)
