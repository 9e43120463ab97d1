"""The activation functions: GELU in its two forms and its quick one, SiLU, ReLU and tanh; and the table of them all."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .erf import erf
from .scope import Scope
from .twins import has_fast_twin

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Activation:
    """All there is to say of an activation function; its twin in fast/, if any, has its functions' names."""

    forward: Callable[[np.ndarray, Scope], np.ndarray]
    backward: Callable[[np.ndarray, Scope], np.ndarray]
    equation: str                           # y, of x; a test computes it as it is written
    section: str                            # of the articles
    other_names: tuple[str, ...] = ()       # under which Hugging Face has the same function


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


@has_fast_twin
def silu_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    r"""Multiply x by its own sigmoid, which damps negative numbers.

        y = x σ(x),   σ(x) = 1/(1 + exp(−x)) = ½ (1 + tanh(x/2))

    x (...) -> y (...).  Hendrycks and Gimpel 2016 §2.
    """
    s.acts["x"] = x
    s.acts["sigma"] = sigma = 0.5 * (1 + np.tanh(0.5 * x))        # exp(−x) would overflow
    return x * sigma


@has_fast_twin
def silu_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Multiply by the slope; by the product rule it has a term for each x in the equation.

        dx = y' ⊙ dy,   y' = σ + x σ (1 − σ)

    dy (...) -> dx (...)
    """
    x, sigma = s.acts["x"], s.acts["sigma"]
    return dy * (sigma + x * sigma * (1 - sigma))


@has_fast_twin
def quick_gelu_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    r"""GELU in its quick form: SiLU with a sigmoid so steep that it comes near Φ.

        y = x σ(1.702 x)

    x (...) -> y (...).  Hendrycks and Gimpel 2016 §2.
    """
    s.acts["x"] = x
    s.acts["sigma"] = sigma = 0.5 * (1 + np.tanh(0.5 * 1.702 * x))
    return x * sigma


@has_fast_twin
def quick_gelu_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Multiply by the slope.

        dx = y' ⊙ dy,   y' = σ + 1.702 x σ (1 − σ)

    dy (...) -> dx (...)
    """
    x, sigma = s.acts["x"], s.acts["sigma"]
    return dy * (sigma + 1.702 * x * sigma * (1 - sigma))


@has_fast_twin
def tanh_forward(x: np.ndarray, s: Scope) -> np.ndarray:
    r"""Bend a line so that it stays between −1 and 1.

        y = tanh(x)

    x (...) -> y (...)
    """
    s.acts["y"] = y = np.tanh(x)
    return y


@has_fast_twin
def tanh_backward(dy: np.ndarray, s: Scope) -> np.ndarray:
    r"""Multiply by the slope, 1 in the middle and 0 far out.

        dx = y' ⊙ dy,   y' = 1 − y²

    dy (...) -> dx (...)
    """
    y = s.acts["y"]
    return dy * (1 - y * y)


ACTIVATIONS = {         # by Hugging Face's names; configurations, traces and --activation take them from here
    "gelu_new": Activation(
        gelu_tanh_forward, gelu_tanh_backward, "½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))", "A1 §3.1 FFN",
        ("gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"),
    ),
    "gelu": Activation(gelu_forward, gelu_backward, "x Φ(x)", "A1 §3.1 FFN", ("gelu_python",)),
    "relu": Activation(relu_forward, relu_backward, "max(x, 0)", "A4 §4.2 位置前馈网络"),
    "silu": Activation(silu_forward, silu_backward, "x σ(x)", "A1 §3.1 FFN", ("swish",)),
    "quick_gelu": Activation(quick_gelu_forward, quick_gelu_backward, "x σ(1.702 x)", "A1 §3.1 FFN"),
    "tanh": Activation(tanh_forward, tanh_backward, "tanh(x)", "A1 §3.1 FFN"),
}
