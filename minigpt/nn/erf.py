"""The error function."""

import math

import numpy as np


def erf(x: np.ndarray) -> np.ndarray:
    r"""The error function, to the rounding of x's dtype; NumPy has none.

        y = 2/√π ∫₀ˣ exp(−t²) dt

    x (...) -> y (...).  Rational approximations on |x| ≤ ½, ½ … 4 and above, with the coefficients of Cody 1969
    (Math. Comp. 23, 631).
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


def _ratio(x: np.ndarray, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> np.ndarray:
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
