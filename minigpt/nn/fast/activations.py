"""The activation functions' twins: value and slope computed together, chunk by chunk, the slope over x itself.

In the forward the sigmoid or the normal distribution is at hand, so the slope costs a few multiplications; the backward is
one.  gelu_tanh is written with σ(2u) = ½ (1 + tanh u):

    y = x σ,   y' = σ + 2 y (1 − σ) u',   u = √(2/π) (x + 0.044715 x³),   u' = √(2/π) (1 + 3 · 0.044715 x²)
"""

import math

import numpy as np

from ..activations import SQRT_2_OVER_PI
from ..erf import erf
from ..scope import Scope
from .ops import chunks


def gelu_tanh_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    """Apply GELU's tanh form; its slope comes along and goes over x.

        y = x σ(2u),   y' = σ + 2 y (1 − σ) u'

    x (...) -> y (...)
    """
    slope, y = _slope_and_output(x, s)
    a, b = SQRT_2_OVER_PI, 0.044715 * SQRT_2_OVER_PI
    for x_part, y_part in chunks(slope, y):
        x2, t = (s.scratch(name, x_part.shape, x.dtype) for name in ("square", "sigma"))
        np.multiply(x_part, x_part, out=x2)          # x·x·x, never x**3, which calls pow()
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


def gelu_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    """Apply the exact GELU; its slope comes along and goes over x.

        y = x Φ(x),   y' = Φ(x) + x φ(x)

    x (...) -> y (...)
    """
    slope, y = _slope_and_output(x, s)
    for x_part, y_part in chunks(slope, y):
        cdf = 0.5 * (1 + erf(x_part * math.sqrt(0.5)))
        np.multiply(x_part, cdf, out=y_part)
        density = np.exp(-0.5 * x_part * x_part) * (1 / math.sqrt(2 * math.pi))
        np.add(cdf, x_part * density, out=x_part)
    return y


def relu_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    """Cut off what is negative; the slope goes over x.

        y = max(x, 0),   y' = 1 where x > 0, else 0

    x (...) -> y (...)
    """
    slope, y = _slope_and_output(x, s)
    np.maximum(slope, 0, out=y)
    np.greater(slope, 0, out=slope)
    return y


def silu_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    """Multiply x by its own sigmoid; the slope comes along and goes over x.

        y = x σ(x),   y' = σ + y (1 − σ)

    x (...) -> y (...)
    """
    return _gated(x, s, 1)


def quick_gelu_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    """Apply GELU's quick form; its slope comes along and goes over x.

        y = x σ(1.702 x),   y' = σ + 1.702 y (1 − σ)

    x (...) -> y (...)
    """
    return _gated(x, s, 1.702)


def tanh_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    """Apply tanh; the slope goes over x.

        y = tanh(x),   y' = 1 − y²

    x (...) -> y (...)
    """
    slope, y = _slope_and_output(x, s)
    np.tanh(slope, out=y)
    np.multiply(y, y, out=slope)
    np.subtract(1, slope, out=slope)
    return y


def _gated(x: np.ndarray, s: Scope, a: float) -> np.ndarray:
    """x σ(a x) with σ(2u) = ½ (1 + tanh u), its slope over x: σ + a y (1 − σ)"""
    slope, y = _slope_and_output(x, s)
    for x_part, y_part in chunks(slope, y):
        t = s.scratch("sigma", x_part.shape, x.dtype)
        np.multiply(x_part, 0.5 * a, out=t)
        np.tanh(t, out=t)
        t *= 0.5
        t += 0.5                                     # σ(a x)
        np.multiply(x_part, t, out=y_part)
        if s.run.backward:
            np.subtract(1, t, out=x_part)
            x_part *= a
            x_part *= y_part
            x_part += t                              # y' stands where x stood
    return y


def _slope_and_output(x: np.ndarray, s: Scope) -> tuple[np.ndarray, np.ndarray]:
    """x as the array that its slope goes over, contiguous since chunks() of a strided one would be copies, and one for y"""
    s.acts["slope"] = slope = np.ascontiguousarray(x)
    return slope, s.acts.empty("y", x.shape, x.dtype)


def _times_slope(dy: np.ndarray, s: Scope) -> np.ndarray:
    """Multiply by the slope that the forward has left: the backward of all of them.

        dx = y' ⊙ dy

    dy (...) -> dx (...)
    """
    dy *= s.acts["slope"]
    return dy


gelu_tanh_backward = gelu_backward = relu_backward = silu_backward = quick_gelu_backward = tanh_backward = _times_slope
