"""One pass of a model for study: what is asked for is handed over as it is made, and what nobody needs is not done or kept.

trace.py keeps what is handed over, interventions.py changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..nn.cross_entropy import IGNORED
from ..nn.scope import Gradients, Pass, Scope, Store, Visitor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class _Enough(Exception):
    """All that is asked for has been handed over, so the rest of the pass is not run."""


def study_pass(
    model: Any, ids: ArrayLike, targets: ArrayLike | None, names: Collection[str], visit: Visitor,
    visit_grad: Visitor | None = None, watch: Callable[[str], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None, float | None, Gradients]:
    """Run one pass of the model with the textbook's layers -> (ids, targets, loss, gradients of parameters).

    names: what is asked for, activations and parameters, as equations.py has them.  visit(name, array) receives each such
    activation when it is computed, and may keep it or change it in place; visit_grad(name, array), if given, receives the
    gradient of each.  The pass ends with the last of them; with targets the loss is computed, else it is None.
    watch(name), if given, is told of every activation and gradient, asked for or not; what it raises ends the pass.
    The layers record only logp; probs = exp(logp) is computed here, and a change to probs is carried over to logp.
    Raises what model.loss() raises.
    """
    if targets is None:
        inputs, count, visit_grad = model.checked_ids(ids), 1, None
        wanted = np.full(inputs.shape, IGNORED)
    else:
        inputs, wanted, count = model.checked(ids, targets)

    acts = Store()
    logp = np.empty(0)      # for record_grad()
    to_come: set[str] = set()

    def hand_over(name: str, array: np.ndarray, visit: Visitor) -> None:
        if name in names:
            visit(name, array)
            to_come.discard(name)

    def record(name: str, array: np.ndarray) -> None:
        nonlocal logp
        name = name.removeprefix("loss.")
        if watch is not None:
            watch(name)
        hand_over(name, array, visit)
        if name == "logp" and "probs" in names:
            logp = array
            probs = np.exp(array)
            before = probs.copy()
            hand_over("probs", probs, visit)
            changed = probs != before
            with np.errstate(divide="ignore"):          # −∞ for a token whose probability was set to 0
                array[changed] = np.log(probs[changed])
        if targets is None and not to_come:
            raise _Enough

    def record_grad(name: str, array: np.ndarray) -> None:
        assert visit_grad is not None       # or no backward runs
        name = name.removeprefix("loss.")
        if watch is not None:
            watch(name)
        hand_over(name, array, visit_grad)
        if name == "logp" and "probs" in names:
            dprobs, target = np.zeros_like(array), array != 0
            with np.errstate(over="ignore"):
                dprobs[target] = array[target] * np.exp(-logp[target])
            hand_over("probs", dprobs, visit_grad)
        if name == "logits":
            acts.at("loss").clear()         # (B, T, V) each, and the backward has gone past them
        if not to_come:
            raise _Enough

    def finished(block: str) -> None:
        """All gradients of the block are there, and of what lies between it and the loss."""
        acts.at(block).clear()
        to_come.difference_update([name for name in to_come if name.startswith((f"{block}.", "ln_f.", "lm_head."))])
        if not to_come:
            raise _Enough

    backward = visit_grad is not None
    run = Pass(backward=backward, visit=record, visit_grad=record_grad if backward else None, finished=finished)
    grads = Gradients(frozen=[name for name in model.params if name not in names])
    # subtle: no function above may refer to this scope, which holds them: a cycle keeps its arrays until it is collected
    s = Scope(model.params, grads, acts, run=run)

    def forward() -> float | None:
        to_come.update(name for name in names if name not in model.params)
        loss = model.loss_forward(inputs, wanted, s, count)
        hand_over("loss", np.array(loss, model.dtype), visit)
        return loss

    def passes() -> float | None:
        loss = None
        try:
            loss = forward()
            if visit_grad is not None:
                to_come.update(names)
                hand_over("loss", np.ones((), model.dtype), visit_grad)
                model.loss_backward(1.0, s)
        except _Enough:
            pass
        return None if targets is None else loss

    (loss,) = model.lock.read(partial(model.solo_pool.run, [passes]))
    return inputs, None if targets is None else wanted, loss, grads
