"""The gradient check that every layer's test uses, and a walk over all that a scope stores."""

import numpy as np

STEP = 1e-5           # central differences in float64 are wrong by about STEP²·y'''/6 ≈ 1e-11 and by rounding / STEP ≈ 1e-11


def check_gradients(forward, backward, inputs, s, *, tolerance=1e-7, samples=40, seed=0, **options):
    """Compare a layer's backward with central differences of its forward: every input and every parameter, by name.

        check_gradients(scale_forward, scale_backward, {"x": x}, s)

    Calls y = forward(*inputs, s, **options) and dx = backward(dy, s) with a random dy; a backward for several inputs returns
    a tuple in their order.  Integer inputs, such as ids and targets, are passed on but have no gradient.  y may be a float.
    An array of up to `samples` elements is checked element by element; a larger one at so many drawn from `seed`, and along
    one random direction that moves all of its elements at once.  Errors are relative to the array's largest gradient,
    absolute where the gradient is 0 throughout.  Raises AssertionError with the array's name.
    """
    rng = np.random.default_rng(seed)
    inputs = {name: np.array(x) for name, x in inputs.items()}
    for name, x in {**inputs, **s.params}.items():
        assert x.dtype.kind in "iu" or x.dtype == np.float64, f"{name}: {x.dtype}; central differences need float64"

    def run():
        return np.array(forward(*(x.copy() for x in inputs.values()), s, **options))  # copies: a fast path may overwrite x

    y = run()
    dy = rng.standard_normal(y.shape)            # never ones: Σ softmax is 1, so a backward that returns zeros would pass
    s.grads.reset()
    dinputs = backward(float(dy) if y.ndim == 0 else dy.copy(), s)
    dinputs = dinputs if isinstance(dinputs, tuple) else (dinputs,)
    real = [name for name, x in inputs.items() if x.dtype.kind == "f"]
    arrays = {name: (inputs[name], np.array(dx)) for name, dx in zip(real, dinputs, strict=bool(real))}
    for name in s.params:
        assert name in s.grads, f"{name}: backward left no gradient"
        arrays[name] = s.params[name], np.array(s.grads[name])

    def difference(x, direction):
        """d/dh of Σ dy ⊙ y, with x + h · direction"""
        before = x.copy()
        x[...] = before + STEP * direction
        above = run()
        x[...] = before - STEP * direction
        below = run()
        x[...] = before
        return float((dy * (above - below)).sum()) / (2 * STEP)

    for name, (x, dx) in arrays.items():
        assert dx.shape == x.shape, f"{name}: gradient of shape {dx.shape}, expected {x.shape}"
        largest = float(abs(dx).max())
        scale = largest if largest > 1e-9 else 1.0
        for i in range(x.size) if x.size <= samples else rng.choice(x.size, samples, replace=False):
            index = tuple(int(k) for k in np.unravel_index(i, x.shape))
            direction = np.zeros(x.shape)
            direction[index] = 1
            _compare(f"{name}[{', '.join(map(str, index))}]", dx[index], difference(x, direction), scale, tolerance)
        if x.size > samples:
            direction = rng.standard_normal(x.shape)
            direction /= np.linalg.norm(direction)                       # a short step, since the error grows with its cube
            typical = float(np.linalg.norm(dx)) / np.sqrt(x.size) if largest > 1e-9 else 1.0
            _compare(f"{name} along a direction", (dx * direction).sum(), difference(x, direction), typical, tolerance)


def _compare(where, backward, central, scale, tolerance):
    error = abs(backward - central) / scale
    assert error <= tolerance, f"{where}: backward gives {backward}, central difference {central}, error {error:.1e}"


def stored(s):
    """{"acts y": array, …}: all that a scope's four stores hold, to be walked over"""
    stores = {"params": s.params, "grads": s.grads, "acts": s.acts, "dacts": s.dacts}
    return {f"{kind} {name}": array for kind, store in stores.items() for name, array in store.items()}


def dtypes(s):
    """The set of dtypes of a scope's arrays, ids and masks of booleans left out"""
    return {array.dtype for array in stored(s).values() if array.dtype.kind == "f"}
