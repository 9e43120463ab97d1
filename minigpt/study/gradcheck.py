"""The gradient check: compare a backward with central differences of its forward, for every input and parameter by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from ..inputs import check_count, check_number, plain
from ..nn.scope import Scope
from ..system.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import ArrayLike

    from ..models.gpt import GPT

STEP = 1e-5           # the truncation error STEP²·y'''/6 and the rounding error ε/STEP are then both about 1e-11


class GradientError(AssertionError):
    """A gradient disagrees with the slope of its forward.  `check` is the table of all arrays."""

    def __init__(self, message: str, check: GradientCheck | None = None) -> None:
        super().__init__(message)
        self.check = check


@dataclass(frozen=True)
class Row:
    """The result for one array: its worst element, with the backward's value and the central difference."""

    name: str
    shape: tuple[int, ...]
    checked: int             # elements; a larger array was also moved along one random direction
    error: float             # |backward − central|, relative to the array's largest gradient
    where: str               # "[1, 0, 4]" or "a direction"
    backward: float
    central: float


@dataclass(frozen=True)
class GradientCheck:
    """The results by name; print the table, or look an array up: check["weight"].error"""

    rows: tuple[Row, ...]
    tolerance: float

    def __getitem__(self, name: str) -> Row:
        return {row.name: row for row in self.rows}[name]

    @property
    def wrong(self) -> tuple[Row, ...]:
        """The rows whose error is above the tolerance, NaN included."""
        return tuple(row for row in self.rows if not row.error <= self.tolerance)

    def __repr__(self) -> str:
        table = [("array", "shape", "checked", "error", "at")]
        for row in self.rows:
            size = int(np.prod(row.shape))
            checked = f"{row.checked} of {size}" + (" + direction" if row.checked < size else "")
            mark = "  WRONG" if row in self.wrong else ""
            table.append((row.name, str(row.shape), checked, f"{row.error:.1e}", row.where + mark))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
        verdict = f"{len(self.wrong)} of {len(self.rows)} arrays wrong" if self.wrong else "all right"
        return "\n".join([*lines, f"{verdict}; tolerance {self.tolerance:.0e}"])


def check_gradients(
    forward: Callable[..., Any], backward: Callable[..., Any], inputs: Mapping[str, Any], s: Any = None, *,
    tolerance: float = 1e-7, samples: int = 40, seed: int = 0, **options: Any,
) -> GradientCheck:
    r"""Compare a backward with central differences of its forward: every input and every parameter, by name.

        ∂ℓ/∂θ ≈ (ℓ(θ + h) − ℓ(θ − h))/(2h),   ℓ = Σ dy ⊙ y,   dy random

        check_gradients(layernorm_forward, layernorm_backward, {"x": x}, Scope.of(weight=w, bias=b))

    Works for the layers of minigpt.nn and for any pair of the same form: y = forward(*inputs, s, **options) and
    dx = backward(dy, s).  A backward of several inputs returns a tuple in the same order.  Integer and boolean inputs, such
    as ids and masks, are passed on but have no gradient.  y may be a float.  The default of `s` is Scope.of().
    An array of up to `samples` elements is checked element by element.  A larger one is checked at that many elements, drawn
    with `seed`, and along one random direction that moves all elements at once.  Errors are relative to the array's largest
    gradient, or absolute where that is so small that rounding hides it.  -> GradientCheck
    Raises GradientError, an AssertionError that names array, index and both values; TypeError, also for arrays other than
    float64; ValueError.
    """
    tolerance, samples = plain(tolerance), plain(samples)
    check_number(tolerance, 0, np.inf, "tolerance", "a finite number from 0, such as 1e-7")
    check_count(samples, 0, "samples", "0 checks along a random direction alone")
    for name, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise TypeError(f"{name}: {printable(repr(function))}, expected a function; give it without calling it")
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs: {printable(repr(inputs))}, expected {{name: array}}; write {{'x': x}}")
    rng = np.random.default_rng(seed)
    s = Scope.of() if s is None else s
    inputs = {name: np.array(x) for name, x in inputs.items()}
    for name, x in {**inputs, **s.params}.items():
        if x.dtype.kind not in "iub" and x.dtype != np.float64:
            raise TypeError(f"{name}: {x.dtype}, expected float64: in {x.dtype} a difference of two nearly equal numbers is "
                            f"mostly rounding; pass {name}.astype(np.float64)")

    def run() -> np.ndarray:
        return np.array(forward(*(x.copy() for x in inputs.values()), s, **options))  # copies: the engine may overwrite x

    y = run()
    if y.dtype != np.float64:
        raise TypeError(f"forward: returned {y.dtype} of shape {y.shape}, expected one array of float64, or a float")
    dy = rng.standard_normal(y.shape)            # never ones: Σ softmax is 1, so a backward that returns zeros would pass
    s.grads.reset()
    dinputs = backward(float(dy) if y.ndim == 0 else dy.copy(), s)
    arrays = _with_gradients({name: x for name, x in inputs.items() if x.dtype.kind == "f"}, dinputs, s)
    smallest = _rounding(dy * y) / tolerance     # below it, rounding hides whether a gradient is 0

    def slope(x: np.ndarray, direction: np.ndarray) -> float:
        """d/dh of Σ dy ⊙ y, with x + h · direction"""
        before = x.copy()
        try:
            x[...] = before + STEP * direction
            above = run()
            x[...] = before - STEP * direction
            below = run()
        finally:
            x[...] = before                      # also after Ctrl-C: x may be a model's weights
        return float((dy * (above - below)).sum()) / (2 * STEP)

    rows = []
    for name, (x, dx) in arrays.items():
        every = x.size <= samples
        places = [np.unravel_index(i, x.shape) for i in (range(x.size) if every else rng.choice(x.size, samples, False))]
        found = []                               # (backward, central, where, what the error is relative to)
        for place in places:
            index = tuple(int(i) for i in place)
            direction = np.zeros(x.shape)
            direction[index] = 1
            found.append((float(dx[index]), slope(x, direction), str(list(index)), abs(dx).max()))
        if not every:
            direction = rng.standard_normal(x.shape)
            direction /= np.linalg.norm(direction)                       # a short step, since the error grows with its cube
            typical = np.linalg.norm(dx) / np.sqrt(x.size)
            found.append((float((dx * direction).sum()), slope(x, direction), "a direction", typical))
        errors = [abs(one - other) / max(scale, smallest) for one, other, _, scale in found]
        worst = int(np.argmax(errors))           # a NaN comes first
        one, other, where, _ = found[worst]
        rows.append(Row(name, x.shape, len(places), float(errors[worst]), where, one, other))
    check = GradientCheck(tuple(rows), tolerance)
    if check.wrong:
        raise GradientError("\n".join([*map(_sentence, check.wrong), repr(check)]), check)
    return check


def check_model(
    model: GPT, ids: ArrayLike, targets: ArrayLike, *, dropout_key: tuple[int, ...] | None = None, tolerance: float = 1e-7,
    samples: int = 8, seed: int = 0,
) -> GradientCheck:
    """Compare every parameter's gradient of a GPT with central differences of its loss, by name.

        check_model(GPT(config, dtype=np.float64), ids, targets)

    Arguments as in GPT.loss_and_grads() and check_gradients(); each array takes 2 · samples + 2 passes.  The parameters are
    changed and restored; afterwards model.grads holds this batch's gradients, multiplied by a random number.
    Raises what check_gradients() raises.
    """
    if model.dtype != np.float64:
        raise TypeError(f"model: {model.dtype}, expected float64, since in {model.dtype} a difference is mostly rounding; "
                        "make it with GPT(config, dtype=np.float64) or GPT.from_pretrained(name, dtype=np.float64)")

    def forward(s: Any) -> float:
        if dropout_key is None:
            return model.loss(ids, targets)
        return model.loss_and_grads(ids, targets, dropout_key=dropout_key)[0]       # loss() takes no key

    def backward(dloss: float, s: Any) -> None:
        model.loss_and_grads(ids, targets, scale=dloss, dropout_key=dropout_key)

    s = SimpleNamespace(params=model.params, grads=model.grads)
    return check_gradients(forward, backward, {}, s, tolerance=tolerance, samples=samples, seed=seed)


def _with_gradients(real: dict[str, np.ndarray], dinputs: Any, s: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{name: (array, its gradient)} of the parameters and of all inputs that have a gradient"""
    dinputs = dinputs if isinstance(dinputs, tuple) else () if dinputs is None else (dinputs,)
    if len(dinputs) != len(real):
        raise GradientError(f"backward: returned {len(dinputs)} gradients, expected {len(real)}, one each for "
                            f"{', '.join(real) or 'no input'}; integer inputs have none")
    arrays = {name: (x, np.array(dx)) for (name, x), dx in zip(real.items(), dinputs, strict=True)}
    for name in s.params:
        if s.grads.is_frozen(name):
            continue
        if name not in s.grads:
            raise GradientError(f"{name}: backward added no gradient; add it with s.grads.add({name!r}, …)")
        arrays[name] = s.params[name], np.array(s.grads[name])
    for name, (x, dx) in arrays.items():
        if dx.shape != x.shape:
            raise GradientError(f"{name}: gradient of shape {dx.shape}, expected that of {name}, {x.shape}")
    return arrays


def _rounding(terms: np.ndarray) -> float:
    """About how far rounding alone can move a central difference of the sum of these terms"""
    return 2 * np.finfo(float).eps * float(np.linalg.norm(terms)) / STEP


def _sentence(row: Row) -> str:
    return (f"{row.name}{row.where if row.where.startswith('[') else ' along ' + row.where}: backward gives {row.backward}, "
            f"central difference {row.central}, error {row.error:.1e}")
