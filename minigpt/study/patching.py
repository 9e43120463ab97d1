"""Activation patching: which places carry the difference between two texts."""

import itertools

import numpy as np

from .interventions import run
from .pictures import number_grid


class Effects(dict[str, np.ndarray]):
    """{name: (T,) or (H, T)}, a dictionary that a notebook shows as a table of names and tokens."""

    def __init__(self, arrays, labels):
        super().__init__(arrays)
        self.labels = labels        # the tokens of the first sequence

    def _repr_html_(self):
        rows = {f"{name}.{h}" if array.ndim == 2 else name: row
                for name, array in self.items() for h, row in enumerate(np.atleast_2d(array))}
        return f'<div class="tex2jax_ignore">{number_grid(list(rows), self.labels, list(rows.values()), "effect")}</div>'


def activation_patching(model, ids, clean_ids, targets, names):
    r"""Put single activations of another run into this one, and see how the loss changes.

        effect = loss(run on ids with one place's activation from clean_ids) − loss(run on ids)

    ids, clean_ids, targets (B, T) -> {name: effects}; a name of axes (B, T, C) has an effect for each position (T,), one of
    axes (B, H, T, D) for each head and position (H, T).  One forward pass for each effect: choose `names` and texts small.
    Meng et al. 2022 §2.1, who call it causal tracing.
    """
    _check_pair(ids, clean_ids)
    clean = run(model, clean_ids, names=names)
    _check_places(clean)
    before = run(model, ids, targets, names="logits")
    effects = Effects({}, before.labels)
    for name, step in clean.items():
        effects[name] = np.empty(step.shape[1:-1], model.dtype)
        for place in itertools.product(*map(range, effects[name].shape)):

            def patch(array, value=step.value, place=place):
                array[(slice(None), *place)] = value[(slice(None), *place)]
                return array

            effects[name][place] = run(model, ids, targets, edits={name: patch}, names="logits").loss - before.loss
    return effects


def attribution_patching(model, ids, clean_ids, targets, names):
    r"""All effects of activation_patching() at once, to first order, from one backward pass.

        effect ≈ Σ (clean − value) ⊙ grad,   summed over the batch and the channels

    Arguments and result as for activation_patching().  It is exact as far as the loss is linear between the two runs, and far
    off where a softmax is certain of its choice, since the gradient there is nearly 0: check what it finds by patching.
    Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale".
    """
    _check_pair(ids, clean_ids)
    clean = run(model, clean_ids, names=names)
    _check_places(clean)
    here = model.trace(ids, targets, names=list(clean))
    with np.errstate(invalid="ignore"):             # masked scores: −∞ − −∞, and a gradient of 0
        return Effects({
            name: np.nan_to_num((step.value - here[name].value) * here[name].grad).sum((0, -1)) for name, step in clean.items()
        }, here.labels)


def _check_pair(ids, clean_ids):
    if np.shape(ids) != np.shape(clean_ids):
        raise ValueError(f"clean_ids: shape {np.shape(clean_ids)}, expected that of ids {np.shape(ids)}; texts of equal length")


def _check_places(clean):
    """Every name must have a batch and positions."""
    for name, step in clean.items():
        if step.value.ndim < 3:
            raise ValueError(f"names: {name} has shape {step.shape}, expected a batch, positions and channels")
