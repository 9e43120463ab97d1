"""Activation patching: find the activations that carry the difference between two texts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inputs import plain
from .interventions import run
from .pictures import number_grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike

    from ..models.gpt import GPT
    from .trace import Trace


class Effects(dict[str, np.ndarray]):
    """{name: array (T,) or (H, T)}; a notebook shows it as a table, names × tokens."""

    def __init__(self, arrays: Mapping[str, np.ndarray], labels: list[str]) -> None:
        super().__init__(arrays)
        self.labels = labels        # the tokens of the first sequence

    def _repr_html_(self) -> str:
        rows = {f"{name}.{h}" if array.ndim == 2 else name: row
                for name, array in self.items() for h, row in enumerate(np.atleast_2d(array))}
        return f'<div class="tex2jax_ignore">{number_grid(list(rows), self.labels, list(rows.values()), "effect")}</div>'


def activation_patching(
    model: GPT, ids: ArrayLike, clean_ids: ArrayLike, targets: ArrayLike, names: str | Iterable[str],
) -> Effects:
    r"""Replace one activation at a time by its value in another run, and measure how the loss changes.

        effect = loss(run on ids, with one activation from the run on clean_ids) − loss(run on ids)

    ids, clean_ids, targets (B, T) -> {name: effects}: for an activation (B, T, C) one effect per position (T,), for
    (B, H, T, D) one per head and position (H, T).  Each effect costs a forward pass, so choose few names and short texts.
    Raises ValueError for ids of different shapes and for activations without positions.
    Meng et al. 2022 §2.1 (causal tracing).
    """
    ids, clean_ids = _checked_pair(model, ids, clean_ids, targets)
    clean = run(model, clean_ids, names=names)
    _check_places(clean)
    before = run(model, ids, targets, names="logits")
    effects = Effects({}, before.labels)
    for name, step in clean.items():
        effects[name] = np.empty(step.shape[1:-1], model.dtype)
        for place in itertools.product(*map(range, effects[name].shape)):

            def patch(array: np.ndarray, value: np.ndarray = step.value, place: tuple[Any, ...] = place) -> np.ndarray:
                array[(slice(None), *place)] = value[(slice(None), *place)]
                return array

            after = run(model, ids, targets, edits={name: patch}, names="logits")
            assert after.loss is not None and before.loss is not None       # both runs have targets
            effects[name][place] = after.loss - before.loss
    return effects


def attribution_patching(
    model: GPT, ids: ArrayLike, clean_ids: ArrayLike, targets: ArrayLike, names: str | Iterable[str],
) -> Effects:
    r"""Estimate all effects of activation_patching() at once, to first order, from one backward pass.

        effect ≈ Σ (clean − value) ⊙ grad,   summed over the batch and the channels

    Arguments, result and errors as for activation_patching().  Exact where the loss is linear between the two runs, and far
    off where a softmax is saturated, since its gradient is nearly 0 there: confirm what it finds by activation patching.
    Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale".
    """
    ids, clean_ids = _checked_pair(model, ids, clean_ids, targets)
    clean = run(model, clean_ids, names=names)
    _check_places(clean)
    here = model.trace(ids, targets, names=list(clean))
    with np.errstate(invalid="ignore"):             # masked scores: −∞ − −∞, and a gradient of 0
        return Effects({
            name: np.nan_to_num((step.value - here[name].value) * here[name].grad).sum((0, -1)) for name, step in clean.items()
        }, here.labels)


def _checked_pair(model: GPT, ids: ArrayLike, clean_ids: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    if plain(targets) is None:
        raise ValueError("targets: None, expected ids, or True for the next tokens; effects are measured on the loss")
    ids, clean_ids = model.checked_ids(ids), model.checked_ids(clean_ids)
    if ids.shape != clean_ids.shape:
        raise ValueError(f"clean_ids: shape {clean_ids.shape}, expected that of ids {ids.shape}; texts of equal length")
    return ids, clean_ids


def _check_places(clean: Trace) -> None:
    """Raises ValueError unless every activation has a batch and positions."""
    for name, step in clean.items():
        if step.value.ndim < 3:
            raise ValueError(f"names: {name} has shape {step.shape}, expected a batch, positions and channels")
