"""Cross-entropy: the loss that language models minimize."""

import numpy as np

from .scope import Scope
from .softmax import log_softmax, log_softmax_backward
from .twins import has_fast_twin

IGNORED = -100     # a target that does not count, Hugging Face's and PyTorch's value


@has_fast_twin
def cross_entropy_forward(logits: np.ndarray, targets: np.ndarray, s: Scope, count: int | None = None) -> float:
    r"""The mean of −log p of the right token.

        loss = 1/n Σ nll,   nll = −logp[target],   logp = log softmax(logits)

    logits (..., V), targets (...) integers -> float, in nats.  Targets of −100 do not count; n is the number of those that do,
    or `count`, where these rows are part of a larger batch.  Records logits and logp (..., V), and nll (...), 0 where
    ignored.  Raises ValueError for targets of another shape.  Radford et al. 2018, eq. 1; articles A3 §4.3, A4 §3.1.
    """
    check_shapes(logits, targets)
    logp = s.record("logp", log_softmax(s.record("logits", logits)))
    valid = targets != IGNORED
    target = np.where(valid, targets, 0)[..., None]
    nll = s.record("nll", np.where(valid, -np.take_along_axis(logp, target, -1)[..., 0], 0))
    n = max(int(valid.sum()) if count is None else count, 1)
    s.saved.update(targets=targets, n=n)
    return float(nll.sum()) / n


@has_fast_twin
def cross_entropy_backward(dloss: float, s: Scope) -> np.ndarray:
    r"""Go back from the loss to the logits: what the model believes, less what is right.

        dlogits = dloss (softmax(logits) − onehot(target))/n, and 0 at ignored targets

    dloss float -> dlogits (..., V).  Computed in three steps: dnll = dloss/n, dlogp = −dnll onehot(target), and back
    through the log-softmax.  Records the gradients of nll, logp and logits.
    """
    logp = s.acts["logp"]
    onehot = s.saved["targets"][..., None] == np.arange(logp.shape[-1])
    dnll = s.record_grad("nll", np.full_like(logp[..., 0], dloss / s.saved["n"]))
    dlogp = s.record_grad("logp", -dnll[..., None] * onehot)
    return s.record_grad("logits", log_softmax_backward(dlogp, logp))


def check_shapes(logits: np.ndarray, targets: np.ndarray) -> None:
    """Refuse targets that NumPy would spread over the logits.  Raises ValueError."""
    if targets.shape != logits.shape[:-1]:
        raise ValueError(f"targets: shape {targets.shape}, expected {logits.shape[:-1]}, one for each row of logits")
