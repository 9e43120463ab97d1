"""Cross-entropy's twin: over pieces of the vocabulary that the cache holds, the logits turned into their gradient."""

import numpy as np

from ..cross_entropy import IGNORED, check_shapes
from ..rows import rows
from ..scope import Scope

COLUMNS = 1024     # tokens of the vocabulary worked on at once, so that a piece of the logits stays in the cache


def cross_entropy_forward(logits: np.ndarray, targets: np.ndarray, s: Scope, count: int | None = None) -> float:
    """Compute the mean of −log p of the right token, piece by piece of the vocabulary.

        loss = 1/n Σ nll,   nll = log Σ_v exp(logits[v]) − logits[target]

    logits (..., V), targets (...) integers -> float, in nats.  logits is overwritten.  Raises ValueError for targets of another
    shape.
    """
    check_shapes(logits, targets)
    exp = rows(np.ascontiguousarray(logits))      # of strided logits rows() would be a copy, lost to backward
    N, V = exp.shape
    target = targets.reshape(-1)
    valid = target != IGNORED
    target = np.where(valid, target, 0)
    right = exp[np.arange(N), target]
    starts = range(0, V, COLUMNS)
    top = s.acts.empty("top", (len(starts), N), exp.dtype)
    total = s.acts.empty("total", (len(starts), N), exp.dtype)
    for i, start in enumerate(starts):
        part = exp[:, start : start + COLUMNS]
        np.max(part, axis=1, out=top[i])
        part -= top[i][:, None]
        np.exp(part, out=part)
        np.sum(part, axis=1, out=total[i])
    highest = top.max(axis=0)
    scale = np.exp(top - highest)               # brings each piece to the common maximum
    sum_exp = (scale * total).sum(axis=0)
    nll = s.acts.empty("nll", targets.shape, exp.dtype)
    np.multiply(highest + np.log(sum_exp) - right, valid, out=nll.reshape(-1))
    n = max(int(valid.sum()) if count is None else count, 1)
    s.acts["exp"] = exp.reshape(logits.shape)
    s.acts["scale"] = scale * (valid / (sum_exp * n)).astype(exp.dtype)         # exp · scale is softmax / n
    s.saved.update(target=target, valid=valid, n=n)
    return float(nll.sum(dtype=np.float64)) / n


def cross_entropy_backward(dloss: float, s: Scope) -> np.ndarray:
    """Scale what the forward has left to softmax/n, and take 1/n off at the targets.

        dlogits = dloss (softmax(logits) − onehot(target))/n, and 0 at ignored targets

    dloss float -> dlogits (..., V), over the logits
    """
    dlogits, scale, valid = s.acts["exp"], s.acts["scale"], s.saved["valid"]
    d = rows(dlogits)
    for i, start in enumerate(range(0, d.shape[1], COLUMNS)):
        d[:, start : start + COLUMNS] *= (dloss * scale[i])[:, None]
    d[np.arange(len(d)), s.saved["target"]] -= valid * d.dtype.type(dloss / s.saved["n"])
    return dlogits
