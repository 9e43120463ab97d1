"""Interventions: a forward pass in which activations are changed by name.

    model.run(ids, edits={"h.3.attn.att": fn, "h.*.mlp.out": 0})
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inputs import as_array, plain
from ..system.text import printable
from .passes import study_pass
from .trace import Trace, all_names, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike

    Edit = ArrayLike | Callable[[np.ndarray], ArrayLike]


def run(
    model: Any, ids: ArrayLike, targets: ArrayLike | None = None, *, edits: Mapping[str, Edit] | None = None,
    names: str | Iterable[str] = ("logits", "probs"), watch: Callable[[str], None] | None = None,
) -> Trace:
    """Run a forward pass with some activations replaced; return a Trace without gradients.

        ablate   {"h.*.mlp.out": 0}                                 a number or an array replaces the activation
        patch    {"h.2.attn.o": clean["h.2.attn.o"].value}
        change   {"h.0.attn.att": lambda att: att.round()}          a function receives a copy; its result is used

    ids, targets as in model.trace(), a single sequence being a batch of one: values have B = 1, also those that edits see.
    `edits` maps patterns to replacements, applied in this order; everything later in the pass is computed from the changed
    activations.  The trace keeps what `names` match and, with targets, the loss.  watch(name) is called at every activation;
    what it raises ends the pass.
    Raises TypeError; ValueError for a pattern that matches no activation, before anything is computed, and for a value that
    does not fit.
    """
    targets, edits = plain(targets), {} if edits is None else edits
    if not isinstance(edits, Mapping):
        raise TypeError(f"edits: {printable(repr(edits))}, expected {{pattern: replacement}}; write {{'h.*.mlp.out': 0}}")
    table = all_names(model.config, targets)
    editable = {name: row for name, row in table.items() if name not in model.params and name != "loss"}
    edited = select(edits, editable, "edits") if edits else set()
    chosen = select(names, table)
    values: dict[str, np.ndarray] = {}

    def visit(name: str, array: np.ndarray) -> None:
        for pattern, edit in edits.items():
            if fnmatchcase(name, pattern):
                _apply(edit, name, array)
        if name in chosen:
            values[name] = array.copy()

    ids, targets, loss, _ = study_pass(model, ids, targets, edited | chosen, visit, watch=watch)
    return Trace(model, ids, targets, loss, values, {})


def _apply(edit: Edit, name: str, array: np.ndarray) -> None:
    value = as_array(edit(array.copy()) if callable(edit) else edit, f"edits[{name!r}]")
    if value.dtype == object and value.ndim == 0 and value.item() is None:
        raise ValueError(f"edits: the function for {name} returned None, expected an array; does it end in return?")
    try:
        np.copyto(array, value, casting="same_kind")
    except (TypeError, ValueError):
        raise ValueError(
            f"edits: {value.dtype} of shape {value.shape} for {name}, expected a value that fits {array.dtype} {array.shape}"
        ) from None
