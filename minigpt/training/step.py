"""One step of training: the gradient of one batch or of several, clipped, then the optimizers."""

import math

from .optim import clip_scale, gradient_norm


def training_step(model, batches, adamw, lr, *, clip, seed, when, muon=None, muon_lr=0.0, accumulate=1):
    r"""Read batches, go forward and backward, and update the parameters once.

        g = 1/n Σ ∂loss_i/∂w over n batches,   w = AdamW(w, min(1, clip/‖g‖) g),   Muon's matrices by Muon

    batches has next() -> inputs, targets, and position; together with `seed` the position names a batch's dropout masks, so
    that there is no state to save.  lr, muon_lr: this step's learning rates.  accumulate: n.
    -> (loss in nats, gradient norm of what AdamW updates, tokens read).
    Raises FloatingPointError, which begins with `when`, before a parameter is changed.
    """
    loss, tokens = 0.0, 0
    for i in range(accumulate):
        key = (seed, batches.position)
        inputs, targets = batches.next()
        part, _ = model.loss_and_grads(inputs, targets, scale=1 / accumulate, accumulate=i > 0, dropout_key=key)
        loss += part / accumulate
        tokens += inputs.size
    norm = gradient_norm(adamw.grads, model.pool)
    check_finite(model, f"{when}: loss {loss}, gradient norm {norm}", loss + norm)
    if muon is not None:
        muon.step(muon_lr)
    adamw.step(lr, clip_scale(norm, clip))
    return loss, norm, tokens


def check_finite(model, found, value):
    """Raise FloatingPointError for a number that is NaN or infinite; it names the first array that is not finite."""
    if not math.isfinite(value):
        name = model.first_nonfinite()
        where = f"the first array that is not finite is {name}; " if name else ""
        raise FloatingPointError(f"{found}; {where}lower the learning rate")
