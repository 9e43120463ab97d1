"""What the tests of layers share: both storeys, gradients of what is recorded, and a walk over all that a scope stores."""

import numpy as np
import pytest

textbook_and_engine = pytest.mark.parametrize("fast", [False, True], ids=["textbook", "engine"])


def stored(s):
    """{"acts y": array, …}: all that a scope's four stores hold, to be walked over"""
    stores = {"params": s.params, "grads": s.grads, "acts": s.acts, "dacts": s.dacts}
    return {f"{kind} {name}": array for kind, store in stores.items() for name, array in store.items()}


def dtypes(s):
    """The set of dtypes of a scope's arrays, ids and masks of booleans left out"""
    return {array.dtype for array in stored(s).values() if array.dtype.kind == "f"}


def check_recorded(forward, backward, inputs, s, **options):
    """Compare every gradient that the textbook records with a central difference at that activation, along a random direction.

    Arguments as for minigpt.study.gradcheck.check_gradients().  Returns the names.
    """
    rng = np.random.default_rng(0)
    acts, grads = {}, {}

    def run(visit):
        s.run.visit = visit
        return forward(*(np.array(x) for x in inputs.values()), s, **options)

    y = run(lambda name, array: acts.update({name: array.copy()}))
    dy = rng.standard_normal(np.shape(y))
    s.run.visit_grad = lambda name, array: grads.update({name: array.copy()})
    backward(dy if dy.ndim else float(dy), s)
    assert grads.keys() == acts.keys()
    for name, grad in grads.items():
        direction = rng.standard_normal(acts[name].shape)
        direction /= np.linalg.norm(direction)

        def moved(step, name=name, direction=direction):
            def move(visited, array):
                if visited == name:
                    array += step * direction

            return (dy * run(move)).sum()

        h = 1e-5
        central = (moved(h) - moved(-h)) / (2 * h)
        tolerance = 1e-7 * np.linalg.norm(grad) / np.sqrt(grad.size)            # central difference, h = 1e-5, float64
        assert (grad * direction).sum() == pytest.approx(central, rel=0, abs=max(tolerance, 1e-9)), name
    return list(grads)
