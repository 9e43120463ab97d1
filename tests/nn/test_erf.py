"""The error function against the standard library's."""

import math

import numpy as np

from minigpt.nn.erf import erf


def test_it_equals_the_standard_librarys():
    edges = [0.5, 4.0, 27.0]
    x = np.concatenate([np.linspace(-6, 6, 4801), np.nextafter(edges, 0), edges, np.nextafter(edges, 99), [0.0, 1e-300, 1e30]])
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x.tolist()], rtol=0, atol=1e-15)


def test_of_small_numbers_it_is_exact_relative_to_them():
    x = np.geomspace(1e-300, 0.5, 301)
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x.tolist()], rtol=1e-15)


def test_infinity_and_nan():
    np.testing.assert_array_equal(erf(np.array([np.inf, -np.inf, np.nan])), [1, -1, np.nan])


def test_it_is_odd():
    x = np.linspace(0, 6, 601)
    np.testing.assert_array_equal(erf(-x), -erf(x))


def test_in_float32_it_is_exact_to_float32s_rounding():
    x = np.linspace(-6, 6, 1201, dtype=np.float32)
    y = erf(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, [math.erf(v) for v in x.tolist()], rtol=0, atol=2.5e-7)   # four steps of float32 near 1
