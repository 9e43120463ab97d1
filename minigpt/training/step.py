"""One step of training: the gradient of one batch or of several, clipped, then the optimizers."""

import math
from functools import partial

import numpy as np

from ..models.gpt import GPT
from ..models.transformer import Transformer
from ..nn.cross_entropy import IGNORED
from .batches import BatchSource
from .distributed import ALONE, Alone
from .optim import AdamW, Muon, clip_scale, gradient_norm


def training_step(
    model: GPT | Transformer, batches: BatchSource, adamw: AdamW, lr: float, *, clip: float | None, seed: int, when: str,
    muon: Muon | None = None, muon_lr: float = 0.0, accumulate: int = 1, group: Alone = ALONE,
) -> tuple[float, float, int]:
    r"""Read batches, go forward and backward, and update the parameters once.

        g = 1/N Σ N_i ∂loss_i/∂w,   w = AdamW(w, min(1, clip/‖g‖) g),   Muon's matrices by Muon

    over n batches: loss_i is the mean over the N_i targets of one, and N = Σ N_i, so that every target counts the same.
    batches has next() -> inputs, targets, and position; together with `seed` the position names a batch's dropout masks, so
    that there is no state to save.  lr, muon_lr: this step's learning rates.  accumulate: n.
    group: the processes that share the work; each reads its rows of every batch, and N counts the targets of all of them.
    -> (loss in nats, gradient norm of what AdamW updates, tokens read).
    Raises FloatingPointError, which begins with `when`, before a parameter is changed.
    """
    read = [_own_rows(group, (seed, batches.position), *batches.next()) for _ in range(accumulate)]
    counts = [int(np.count_nonzero(np.not_equal(targets, IGNORED))) for _, _, _, targets in read]
    *asked, tokens = group.total(*counts, sum(inputs.size for _, _, inputs, _ in read))
    total, loss = max(1.0, sum(asked)), 0.0
    for i, ((key, first_row, inputs, targets), count) in enumerate(zip(read, counts, strict=True)):
        if not count and asked[i]:      # of a batch in which other processes have targets: here it counts for nothing
            targets = np.zeros_like(targets)
        mean, _ = model.loss_and_grads(
            inputs, targets, scale=count / total, accumulate=i > 0, dropout_key=key, first_row=first_row,
            finished=partial(group.block_done, model) if i == accumulate - 1 else None,
        )
        loss += mean * count / total
    group.finish_gradients(model)
    (loss,) = group.total(loss)
    norm = gradient_norm(adamw.grads, model.pool)
    if not math.isfinite(loss + norm):
        name = model.first_nonfinite()
        where = f"the first array that is not finite is {name}; " if name else ""
        raise FloatingPointError(f"{when}: loss {loss}, gradient norm {norm}; {where}lower the learning rate")
    if muon is not None:
        muon.step(muon_lr)
    adamw.step(lr, clip_scale(norm, clip))
    return loss, norm, int(tokens)


def _own_rows(
    group: Alone, key: tuple[int, ...], inputs: np.ndarray, targets: np.ndarray
) -> tuple[tuple[int, ...], int, np.ndarray, np.ndarray]:
    """What this process computes of a batch: its dropout key, the number of the first row, inputs, targets."""
    rows = group.rows(len(inputs))
    return key, rows.start, inputs[rows], targets[rows]
