"""Cross-entropy: the loss that language models minimise."""

import numpy as np

from .ops import rows

IGNORED = -100     # a target that does not count, Hugging Face's and PyTorch's value
COLUMNS = 1024     # tokens of the vocabulary worked on at once, so that a piece of the logits stays in the cache


def cross_entropy_forward(logits, targets, s, count=None):
    r"""The mean of −log p of the right token.

        loss = 1/n Σ nll,   nll = −log softmax(logits)[target] = log Σ_v exp(logits[v]) − logits[target]

    logits (..., V), targets (...) integers -> float.  Targets of −100 do not count; n is the number of those that do, or
    `count` where the mean is over more positions than these.  Nats.  Leaves nll (...) in s.acts, 0 where ignored, and in
    study mode logits and probs (..., V), softmax(logits).
    Works over 1024 columns of the vocabulary at a time; on the fast path logits is overwritten.
    Radford et al. 2018, eq. 1; articles A3 §4.3, A4 §3.1.
    """
    s.leave("logits", logits)
    exp = rows(s.reuse("exp", np.ascontiguousarray(logits)))      # of strided logits rows() would be a copy, lost to backward
    N, V = exp.shape
    target = targets.reshape(-1)
    kept = target != IGNORED
    target = np.where(kept, target, 0)
    position = np.arange(N)
    right = exp[position, target]
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
    log_total = highest + np.log(sum_exp)
    nll = s.acts.empty("nll", targets.shape, exp.dtype)
    np.multiply(log_total - right, kept, out=nll.reshape(-1))
    if s.run.study:
        probs = np.exp(rows(logits) - log_total[:, None])
        p = probs[position, target]
        s.leave("probs", probs.reshape(logits.shape))
        changed = p != probs[position, target]                  # by a visitor
        nll.reshape(-1)[changed] = -np.log(probs[changed, target[changed]]) * kept[changed]
        s.leave("nll", nll)
    n = int(kept.sum()) if count is None else count
    s.acts["scale"] = scale * (kept / (sum_exp * max(n, 1))).astype(exp.dtype)   # exp · scale is softmax / n
    s.saved.update(target=target, kept=kept, n=max(n, 1))
    return float(nll.sum(dtype=np.float64)) / max(n, 1)


def cross_entropy_backward(dloss, s):
    r"""dlogits = dloss (softmax(logits) − onehot(target))/n, and 0 at ignored targets

    dloss float -> dlogits (..., V).  In study mode leaves the gradients of logits, probs and nll in s.dacts.
    """
    exp = s.acts["exp"]
    dlogits = s.reuse_grad("logits", exp)
    d = rows(dlogits)
    scale, kept, n = s.acts["scale"], s.saved["kept"], s.saved["n"]
    for i, start in enumerate(range(0, d.shape[1], COLUMNS)):
        d[:, start : start + COLUMNS] *= (dloss * scale[i])[:, None]
    d[np.arange(len(d)), s.saved["target"]] -= kept * d.dtype.type(dloss / n)
    if s.run.study:
        nll, probs = s.acts["nll"], s.acts["probs"]
        dnll = s.leave_grad("nll", np.full_like(nll, dloss / n))
        dprobs = np.zeros_like(probs)
        with np.errstate(over="ignore"):                        # −∞ for a token that was held impossible
            rows(dprobs)[np.arange(len(d)), s.saved["target"]] = -(dnll * np.exp(nll)).reshape(-1) * kept      # −dnll/p
        s.leave_grad("probs", dprobs)
        s.leave_grad("logits", dlogits)
    return dlogits
