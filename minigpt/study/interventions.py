"""Changing activations by name, and what that tells: ablation, patching, the logit lens, and who wrote a logit.

    model.run(ids, edits={"h.3.attn.att": fn, "h.*.mlp.out": 0})
"""

from fnmatch import fnmatchcase

import numpy as np

from .trace import Trace, all_names, select, study_pass


def run(model, ids, targets=None, *, edits=None, names=("logits", "probs")):
    """A forward pass with changed activations: a Trace without gradients.

        ablate   {"h.*.mlp.out": 0}                                 a number or an array takes the activation's place
        patch    {"h.2.attn.o": clean["h.2.attn.o"].value}
        change   {"h.0.attn.att": lambda att: att.round()}          a function gets a copy, and what it returns is used

    `edits` maps patterns to what is done, one after the other in their order; what comes later in the pass is computed from
    what they made.  The trace keeps what `names` match, and with targets its `loss`.
    Raises ValueError for a pattern that matches no activation, before anything is computed, and for a value that does not fit.
    """
    table = all_names(model.config, targets)
    editable = {name: row for name, row in table.items() if name not in model.params and name != "loss"}
    edits = dict(edits or {})
    select(edits, editable)
    chosen = select(names, table)
    values: dict[str, np.ndarray] = {}

    def visit(name, array):
        for pattern, edit in edits.items():
            if fnmatchcase(name, pattern):
                _apply(edit, name, array)
        if name in chosen:
            values[name] = array.copy()

    ids, targets, loss, _ = study_pass(model, ids, targets, visit)
    return Trace(model, ids, targets, loss, values, {})


def _apply(edit, name, array):
    value = np.asarray(edit(array.copy()) if callable(edit) else edit)
    try:
        np.copyto(array, value, casting="same_kind")
    except (TypeError, ValueError):
        raise ValueError(
            f"edits: {value.dtype} of shape {value.shape} for {name}, expected something that fits {array.dtype} {array.shape}"
        ) from None
