"""The activation functions: GELU in its two forms, and ReLU."""

import math

import numpy as np

from .erf import erf
from .scope import Scope
from .twins import has_fast_twin

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)


@has_fast_twin
def gelu_tanh_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    r"""GELU in its tanh form, as GPT-2 has it: x times roughly the probability that a standard normal number is below x.

        y = ½ x (1 + t),   t = tanh(√(2/π) (x + 0.044715 x³))

    x (...) -> y (...).  Hendrycks and Gimpel 2016 §2.
    """
    s.acts["x"] = x
    s.acts["t"] = t = np.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x))
    return 0.5 * x * (1 + t)


@has_fast_twin
def gelu_tanh_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Multiply by the slope; by the product rule it has a term for each x in the equation.

        dx = y' ⊙ dy,   y' = ½ (1 + t) + ½ x (1 − t²) √(2/π) (1 + 3 · 0.044715 x²)

    dy (...) -> dx (...)
    """
    x, t = s.acts["x"], s.acts["t"]
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x * x))


@has_fast_twin
def gelu_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    r"""GELU in its exact form: x times the probability that a standard normal number is below x.

        y = x Φ(x),   Φ(x) = ½ (1 + erf(x/√2))

    x (...) -> y (...).  Hendrycks and Gimpel 2016 §2.
    """
    s.acts["x"] = x
    s.acts["cdf"] = cdf = 0.5 * (1 + erf(x / math.sqrt(2)))
    return x * cdf


@has_fast_twin
def gelu_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Multiply by the slope; the derivative of Φ is the normal density φ.

        dx = y' ⊙ dy,   y' = Φ(x) + x φ(x),   φ(x) = exp(−x²/2)/√(2π)

    dy (...) -> dx (...)
    """
    x, cdf = s.acts["x"], s.acts["cdf"]
    return dy * (cdf + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


@has_fast_twin
def relu_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    r"""Cut off what is negative.

        y = max(x, 0)

    x (...) -> y (...).  The Transformer of 2017 used it, GPT does not; article A4 §4.2.
    """
    s.acts["x"] = x
    return np.maximum(x, 0)


@has_fast_twin
def relu_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Let through what was positive.

        dx = y' ⊙ dy,   y' = 1 where x > 0, else 0

    dy (...) -> dx (...)
    """
    return dy * (s.acts["x"] > 0)


ACTIVATIONS = {                             # Hugging Face's names: (forward, backward)
    "gelu_new": (gelu_tanh_forward, gelu_tanh_backward),
    "gelu": (gelu_forward, gelu_backward),
    "relu": (relu_forward, relu_backward),
}
