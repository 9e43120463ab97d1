"""What is wrong with one output, in words that need no guess: its kind, its shape, a factor, the first number that differs."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ...system.language import Sentence, joined
from ...system.text import printable
from .exercise import TOLERANCE, Trial, equal


def wrong_kind(name: str, yours: Any, truth: Any) -> str | None:
    """In words why the output is not a list, or not an array of float64; None where it is one"""
    kind = type(yours).__name__
    if yours is None:
        return Sentence("your {output} is None", output=name)
    if isinstance(truth, list):
        return None if isinstance(yours, list | tuple) else Sentence("your {output} is a {kind}, expected a list", output=name,
                                                                      kind=kind)
    if truth.ndim == 0 and isinstance(yours, float):
        return None
    if not isinstance(yours, np.ndarray | np.generic):
        return Sentence("your {output} is a {kind}, expected {expected}", output=name, kind=kind,
                        expected=Sentence("a float") if truth.ndim == 0 else Sentence("an array"))
    if yours.dtype != np.float64:
        return Sentence("your {output} is {dtype}, expected float64, as the inputs are: np.zeros_like(x) takes its dtype from "
                        "x, and x.astype(…) changes it", output=name, dtype=yours.dtype)
    return None


def wrong_shape(name: str, letters: str, trial: Trial) -> str:
    """In words what is wrong with an output's shape"""
    yours, truth = np.asarray(trial.yours[name]), trial.truth[name]
    words = Sentence("your {output} has shape {shape}, expected {expected} = {letters}", output=name, expected=truth.shape,
                     shape=f"{yours.shape}{_as_letters(yours.shape, trial.sizes)}", letters=letters)
    if yours.size == truth.size and equal(yours.reshape(truth.shape), truth):
        return Sentence("{words}: the numbers are right, so leave out keepdims=True or reshape", words=words)
    if yours.ndim > 1 and equal(yours.swapaxes(-1, -2), truth, trial.exercise.tolerance):
        return Sentence("{words}: it is transposed", words=words)
    for n in range(1, yours.ndim):
        for axes in itertools.combinations(range(yours.ndim), n):
            if equal(yours.sum(axes), truth):
                over = joined((_letter(yours.shape[axis], trial.sizes) for axis in axes), Sentence(" and "))
                return Sentence("{words}: it is not summed over {over} yet", words=words, over=over)
    return words


def not_finite(name: str, trial: Trial) -> str:
    """Which number is NaN or ∞ where it should not be"""
    yours = np.asarray(trial.yours[name])
    at = tuple(np.argwhere(~np.isfinite(yours))[0])
    return Sentence("your {output}{at} is {value}: look for 0/0, ∞ − ∞, 0 · ∞ and log 0", output=name, at=index(at),
                    value=yours[at])


def factor(pairs: list[tuple[Any, Any]], trials: list[Trial]) -> str | None:
    """In words the constant factor by which `yours` is off in pairs (yours, other); None where more than a factor is wrong"""
    factors = []
    for yours, other in pairs:
        if not isinstance(other, np.ndarray | float) or np.shape(yours) != np.shape(other):
            return None
        yours, other = np.asarray(yours), np.asarray(other)
        if not np.isfinite(other).all() or not np.isfinite(yours).all() or not np.any(other):
            return None
        one = float((yours * other).sum() / (other * other).sum())
        if one == 0 or not equal(yours, one * other):
            return None
        factors.append(one)
    signs = {math.copysign(1, one) for one in factors}
    if len(signs) > 1:
        return None
    factors = [abs(one) for one in factors]
    if np.allclose(factors, 1, rtol=TOLERANCE, atol=0):
        return Sentence("the wrong sign") if signs == {-1} else None
    sign = Sentence(" and the wrong sign") if signs == {-1} else ""
    for text, values in _named_numbers(trials):
        if np.allclose(factors, values, rtol=TOLERANCE, atol=0):
            return Sentence("the factor 1/{number}: yours is {number} times too large{sign}{besides}", number=text, sign=sign,
                            besides=Sentence(" (is something added up twice?)") if text == "2" else "")
        if np.allclose(factors, 1 / values, rtol=TOLERANCE, atol=0):
            return Sentence("the factor {number}: yours is {number} times too small{sign}", number=text, sign=sign)
    if np.allclose(factors, factors[0], rtol=TOLERANCE, atol=0):
        return Sentence("a factor: yours is {number:.6g} times too large{sign}", number=factors[0], sign=sign)
    return None


def _named_numbers(trials: list[Trial]) -> list[tuple[str, np.ndarray]]:
    """[("√D", its value in each trial), …]"""
    numbers = [("2", np.full(len(trials), 2.0))]
    for letter in trials[0].sizes:
        values = np.array([trial.sizes[letter] for trial in trials], float)
        text = "N (= B·T)" if letter == "N" else letter
        numbers += [(text, values), (f"√{letter}", np.sqrt(values))]
    return numbers


def unknown(name: str, bad: list[Trial], trials: list[Trial]) -> str:
    """The words for what no guess explains: the first wrong number, and the sizes for which the output is right"""
    yours, truth = bad[0].yours[name], bad[0].truth[name]
    if isinstance(truth, list):
        yours = printable(repr(yours))
        return Sentence("{call} should be {truth}, yours is {yours}", call=bad[0].call, truth=truth, yours=yours)
    both = np.isfinite(yours) & np.isfinite(truth)
    difference = np.where(both, abs(np.where(both, yours, 0) - np.where(both, truth, 0)), np.where(yours == truth, 0, np.inf))
    scale = abs(truth[np.isfinite(truth)]).max(initial=0)
    if difference.max() < 1e-4 * scale:
        return Sentence("your {output} is nearly right, off by {error:.0e} of its largest number: is there a float32, or an ε "
                        "too many?", output=name, error=difference.max() / scale)
    places = np.argwhere(difference > bad[0].exercise.tolerance * scale)
    at = tuple(places[0])
    good = next((trial for trial in trials if all(trial is not other for other in bad)), None)
    return Sentence(
        "your {output} differs from the truth in {n} of {size} numbers{first}: yours is {yours:.6g}, expected "
        "{expected:.6g}{where}",
        output=name, n=len(places), size=truth.size, yours=float(np.asarray(yours)[at]), expected=float(truth[at]),
        first=Sentence(", first at {at}", at=index(at)) if at else "",
        where="" if good is None else Sentence("; that is with {sizes}, while it is right with "
                                               "{others}", sizes=_sizes_text(bad[0]),
                                               others=_sizes_text(good)),
    )


def index(place: np.ndarray | tuple[int, ...]) -> str:
    """An index as one types it, nothing where there is no axis"""
    return f"[{', '.join(str(int(i)) for i in place)}]" if len(place) else ""


def _letter(size: int, sizes: dict[str, int]) -> str:
    return next((letter for letter, value in sizes.items() if value == size), str(size))


def _as_letters(shape: tuple[int, ...], sizes: dict[str, int]) -> str:
    if not shape or any(size not in sizes.values() for size in shape):
        return ""
    return f" = ({', '.join(_letter(size, sizes) for size in shape)}{',' * (len(shape) == 1)})"


def _sizes_text(trial: Trial) -> str:
    return ", ".join(f"{letter} = {size}" for letter, size in trial.sizes.items() if letter != "N")
