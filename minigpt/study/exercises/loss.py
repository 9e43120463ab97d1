"""Exercises on the softmax and the loss."""

import math

import numpy as np

from ...nn import (
    Scope,
    cross_entropy_backward,
    cross_entropy_forward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from .exercise import Exercise, Invariant, Slip, Slips, lacks, should_subtract


def along(on: Slips, x: np.ndarray) -> np.ndarray:
    """The softmax, along another axis or twice where such a slip is on"""
    axis = 0 if "axis 0" in on else 1 if "axis 1" in on else -1
    if "whole array" in on:
        y = softmax(x.reshape(-1)).reshape(x.shape)
    else:
        y = np.moveaxis(softmax(np.moveaxis(x, axis, -1)), -1, axis)
    return softmax(y) if "softmax twice" in on else y


def _softmax(on: Slips, x: np.ndarray) -> np.ndarray:
    if "sigmoid" in on:
        return 1 / (1 + np.exp(-x))
    x = -x if "exp(−x)" in on else x / math.sqrt(x.shape[-1]) if "√C" in on else x * math.log(2) if "base 2" in on else x
    less = x - x.max(-1, keepdims=True)
    if "no exp" in on or "no exp, less the maximum" in on:
        numerator = x if "no exp" in on else less
        return numerator / numerator.sum(-1, keepdims=True)
    if "no sum" in on or "no sum, less the maximum" in on:
        return np.exp(x if "no sum" in on else less)
    y = along(on, x)
    if "length" in on:
        y = y / np.sqrt((y * y).sum(-1, keepdims=True))
    return np.log(y) if "log" in on else y


def _softmax_backward(on: Slips, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    y = softmax(y) if "softmax of y" in on else y
    if "log-softmax" in on:
        return dy - y * dy.sum(-1, keepdims=True)
    if "diagonal" in on:
        return dy * y * (1 - y)
    axis = 0 if "sum 0" in on else 1 if "sum 1" in on else None if "sum all" in on else -1
    total = (np.mean if "mean" in on else np.sum)(dy if "of dy" in on else dy * y, axis=axis, keepdims=True)
    total = 0 * total if "no sum" in on else -total if "+ sum" in on else total
    first = 0 * dy if "no first" in on else np.ones_like(dy) if "1 for dy" in on else dy
    if "y in the sum alone" in on:
        return first - y * total
    return (1 if "no y" in on else y * y if "y twice" in on else y) * (first - total)


def _one_hot(targets: np.ndarray, V: int) -> np.ndarray:
    return np.eye(V)[targets]


def _cross_entropy(on: Slips, logits: np.ndarray, targets: np.ndarray) -> float:
    targets = logits.argmax(-1) if "likeliest" in on else targets
    logp = logits if "no denominator" in on else np.log(along(on, logits))
    if "all tokens" in on:
        return float(-logp.mean())
    if "shifted" in on:
        logp, targets = logp[:, :-1], targets[:, 1:]
    right = np.take_along_axis(logp, targets[..., None], -1)[..., 0]
    right = right[:, -1:] if "last position" in on else right
    p = np.exp(right)
    if "mean p" in on:
        return float(-np.log(p.mean()))
    values = p if "no log" in on else p - 1 if "1 − p" in on else p * right if "p log p" in on else right
    base = 2 if "base 2" in on else 10 if "base 10" in on else math.e
    loss = float(-values.mean()) / math.log(base)
    return math.exp(loss) if "perplexity" in on else loss


def _cross_entropy_backward(on: Slips, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    V, N = logits.shape[-1], targets.size
    targets = logits.argmax(-1) if "likeliest" in on else targets
    p = along(on, logits)
    onehot = _one_hot(targets, V)
    if "shifted" in on:
        onehot = np.concatenate([onehot[:, 1:], 0 * onehot[:, :1]], 1)
    if "all rows" in on:
        onehot = np.broadcast_to(onehot.max((0, 1)), logits.shape)
    if "set to −1" in on:
        return np.where(onehot == 1, -1, p) / N
    first = 0 * p if "no softmax" in on or "probabilities" in on else np.log(p) if "log" in on else logits if "raw" in on else p
    second = 0 * p if "no −1" in on else -onehot if "+1" in on else onehot / p if "probabilities" in on else onehot
    d = (first if "softmax not over N" in on else first / N) - (second if "1 not over N" in on else second / N)
    return softmax_backward(d, p) if "softmax again" in on else d * p if "times p" in on else d


def _truth_backward(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    s = Scope.of()
    cross_entropy_forward(logits, targets, s)
    return cross_entropy_backward(1.0, s)


def _logits(rng: np.random.Generator, B: int, T: int, C: int) -> dict[str, np.ndarray]:
    return {"logits": 2 * rng.standard_normal((B, T, C)), "targets": rng.integers(0, C, (B, T))}


def _large_logits(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**inputs, "logits": 1000 * inputs["logits"]}


LIKELIEST = "you took the likeliest token, argmax, where the right one belongs: targets says which that is"
SHIFTED = "you shifted the targets by one position; here they are the next tokens already: targets[b, t] is for logits[b, t]"
AXIS = "your softmax is over the wrong axis: it belongs along the vocabulary, the last axis"
TWICE = "your softmax is applied twice: the logits go through it once"
SUMMED = "you summed over the wrong axis: Σ dy ⊙ y is one number for each row, along the last axis"
FEW = "you summed over the wrong axis: each row along the last axis must sum to 1, and yours does not"
ROWS_TO_0 = "each row of dlogits sums to 0: the probabilities of a row sum to 1, and so does onehot"

EXERCISES = (
    Exercise(
        name="softmax",
        about="from scores to probabilities, row by row",
        shapes="x (B, T, C) -> y (B, T, C)",
        forward="y_i = exp(x_i)/Σ_j exp(x_j)",
        asked="i and j run over the last axis. Large x must not overflow.",
        hints=(
            "np.exp(x) gives the numerators. The denominator is their sum along the last axis: one number for each row of C.",
            "sum(-1, keepdims=True) leaves an axis of length 1, so that (B, T, 1) divides (B, T, C).",
            "exp(1000) is inf. Adding the same number to all x of a row leaves y as it is, so subtract the row's maximum "
            "first.",
        ),
        draw=lambda rng, B, T, C: {"x": rng.standard_normal((B, T, C))},
        truth=softmax,
        formula=_softmax,
        slips={
            "axis 0": Slip(FEW, 2),
            "axis 1": Slip(FEW, 2),
            "whole array": Slip("you summed over the whole array: each row along the last axis must sum to 1 by itself; "
                                "sum(-1, keepdims=True)", 2),
            "no sum": Slip("you did not divide by the sum of the row", 1),
            "no sum, less the maximum": Slip("you did not divide by the sum of the row", 1),
            "no exp": Slip("your y lacks exp: the numbers themselves may be negative, exp of them is not", 1),
            "no exp, less the maximum": Slip("your y lacks exp: the numbers themselves may be negative, exp of them is not", 1),
            "softmax twice": Slip("your softmax is applied twice", 1),
            "log": Slip("you returned the logarithm of the softmax, log_softmax", 1),
            "exp(−x)": Slip("a sign is wrong: you took exp(−x), which gives the largest x the smallest y", 1),
            "base 2": Slip("your powers are of 2; exp is the power of e = 2.718…", 1),
            "√C": Slip("you divided x by √C first; that belongs to attention's scores, the softmax itself has no scale", 1),
            "sigmoid": Slip("that is the sigmoid, 1/(1 + exp(−x)), which looks at each number alone; a softmax compares those "
                            "of a row", 1),
            "length": Slip("you divided by the length of the row, √Σ exp²; it should be the sum, Σ exp", 1),
        },
        invariants=(
            Invariant("y", "each row of y along the last axis sums to 1", lambda trial, y: y.sum(-1) - 1),
            Invariant("y", "no y is negative", lambda trial, y: np.minimum(y, 0)),
        ),
        sources=(softmax,),
        large=lambda inputs: {"x": 1000 * inputs["x"]},
        unstable="exp(x) overflows above x = 709; subtract the maximum of the row first, which changes nothing else",
    ),
    Exercise(
        name="softmax_backward",
        about="the gradient of the softmax, from its output alone",
        shapes="dy (B, T, C), y (B, T, C) -> dx (B, T, C)",
        forward="y = softmax(x),   y_i = exp(x_i)/Σ_j exp(x_j)",
        asked="dx is asked for, the gradient of x, given dy = ∂loss/∂y and the softmax's output y. x itself is not needed.",
        hints=(
            "Every x of a row moves every y of it: ∂y_j/∂x_i = y_j (1 if i = j else 0) − y_i y_j, and dx_i = Σ_j dy_j "
            "∂y_j/∂x_i.",
            "Substitute the derivative into the sum: dx_i = Σ_j dy_j y_j (1 if i = j else 0) − Σ_j dy_j y_i y_j. In the first "
            "sum only j = i is left: dy_i y_i. In the second y_i does not depend on j and goes in front.",
            "dx = y ⊙ (dy − Σ_j dy_j y_j), with one sum for each row, along the last axis.",
        ),
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C)), "y": softmax(rng.standard_normal((B, T, C)))},
        truth=softmax_backward,
        formula=_softmax_backward,
        slips={
            "diagonal": Slip("your dx has only the diagonal of the Jacobian, y (1 − y): every x also lowers the other y of its "
                             "row", 1),
            "no sum": Slip("your dx lacks the term −y Σ dy ⊙ y: raising one x lowers all the other y of its row", 2),
            "no first": lacks("dx", "y ⊙ dy", 2),
            "1 for dy": lacks("dx", "dy in its first term, y ⊙ dy", 2),
            "+ sum": should_subtract("dx", "y Σ dy ⊙ y", 2),
            "no y": Slip("your dx lacks the factor y in front: y ⊙ (dy − Σ dy ⊙ y)", 2),
            "y twice": Slip("your dx has the factor y twice: y ⊙ (dy − Σ dy ⊙ y)", 3),
            "y in the sum alone": Slip("y is a factor of both terms of dx, also of dy: y ⊙ (dy − Σ dy ⊙ y)", 2),
            "of dy": Slip("the sum in your dx is of dy alone, it should be of dy ⊙ y", 2),
            "mean": Slip("you took the mean of dy ⊙ y, it should be the sum", 3),
            "sum 0": Slip(SUMMED, 3),
            "sum 1": Slip(SUMMED, 3),
            "sum all": Slip(SUMMED, 3),
            "softmax of y": Slip("you took the softmax of y; y is the output of the softmax already", 1),
            "log-softmax": Slip("that is the backward of log_softmax; here the output is the softmax itself", 1),
        },
        invariants=(Invariant("dx", "each row of dx sums to 0: adding one number to all x of a row changes no y",
                              lambda trial, dx: dx.sum(-1)),),
        sources=(softmax_backward,),
    ),
    Exercise(
        name="cross_entropy",
        about="the loss: the mean of −log p of the right token",
        shapes="logits (B, T, V), targets (B, T) -> loss float",
        forward="loss = 1/N Σ −log softmax(logits)[target]",
        asked="The mean is over all N = B·T positions, in nats. targets[b, t] is the right token at logits[b, t].",
        hints=(
            "−log softmax(z)[i] = log Σ_v exp(z_v) − z_i. Written so, no probability has to be computed.",
            "np.take_along_axis(logits, targets[..., None], -1) picks the target's logit at each position: (B, T, 1).",
            "For large logits: log Σ exp(z) = m + log Σ exp(z − m), with m the maximum of the row.",
        ),
        draw=_logits,
        truth=lambda logits, targets: cross_entropy_forward(logits, targets, Scope.of()),
        formula=_cross_entropy,
        slips={
            "no denominator": Slip("your loss lacks the softmax's denominator, log Σ exp(logits): it is the target's logit "
                                   "alone", 1),
            "no log": Slip("your loss lacks the logarithm: it is made of p, not of log p", 1),
            "1 − p": Slip("your loss lacks the logarithm: it is made of p, not of log p", 1),
            "base 2": Slip("you took the logarithm of base 2; the loss is in nats, with the natural logarithm", 1),
            "base 10": Slip("you took the logarithm of base 10; the loss is in nats, with the natural logarithm", 1),
            "axis 0": Slip(AXIS, 1),
            "axis 1": Slip(AXIS, 1),
            "whole array": Slip(AXIS, 1),
            "softmax twice": Slip(TWICE, 1),
            "mean p": Slip("you took the log of the mean p; the loss is the mean of the logs", 1),
            "all tokens": Slip("you took the mean over all tokens of the vocabulary; of each row only the target's counts", 2),
            "likeliest": Slip(LIKELIEST, 2),
            "shifted": Slip(SHIFTED, 2),
            "last position": Slip("your loss is of the last position alone: every position counts", 2),
            "perplexity": Slip("you returned the perplexity, exp of the loss", 1),
            "p log p": Slip("you weighted log p with p, which is the entropy of what the model believes; here the weight is 1 "
                            "at the target", 1),
        },
        invariants=(Invariant("loss", "the loss is never negative: no p is above 1", lambda trial, loss: np.minimum(loss, 0)),),
        sources=(cross_entropy_forward, log_softmax),
        large=_large_logits,
        unstable="exp overflows above 709, and a p that underflows to 0 has log 0 = −∞; subtract the maximum of the row, and "
                 "compute log Σ exp(z) − z[target] instead of the log of p",
    ),
    Exercise(
        name="cross_entropy_backward",
        about="where the backward pass begins: the gradient of the loss with respect to the logits",
        shapes="logits (B, T, V), targets (B, T) -> dlogits (B, T, V)",
        forward="loss = 1/N Σ −log softmax(logits)[target],   N = B·T",
        asked="dlogits = ∂loss/∂logits is asked for, at every position and for every token of the vocabulary.",
        hints=(
            "At one position loss = log Σ_v exp(z_v) − z_i with i the target. The derivative of the first term with respect to "
            "z_v is exp(z_v)/Σ exp(z) = p_v.",
            "The second term, −z_i, adds −1 to the gradient of the target's logit and nothing to the others.",
            "dlogits = (softmax(logits) − onehot(targets))/N. np.eye(V)[targets] is onehot(targets), (B, T, V). The mean over "
            "N positions divides all of it by N.",
        ),
        draw=_logits,
        truth=_truth_backward,
        formula=_cross_entropy_backward,
        slips={
            "no −1": Slip("your dlogits lacks −1 at the target: it is softmax(logits)/N alone", 2),
            "no softmax": Slip("your dlogits lacks the softmax: all logits of a position move the loss, not the target's "
                               "alone", 1),
            "probabilities": Slip("this is the gradient with respect to the probabilities, −1/p at the target; the exercise "
                                  "asks for the logits, on the other side of the softmax", 1),
            "+1": Slip("a sign is wrong: you added 1 at the target where it is subtracted", 2),
            "1 not over N": Slip("you divided the softmax by N but not the 1 that is subtracted at the target", 3),
            "softmax not over N": Slip("you divided the 1 at the target by N but not the softmax", 3),
            "axis 0": Slip(AXIS, 1),
            "axis 1": Slip(AXIS, 1),
            "whole array": Slip(AXIS, 1),
            "softmax twice": Slip(TWICE, 1),
            "log": Slip("you took log p where p itself belongs: the derivative of log Σ exp(z) is the softmax", 1),
            "raw": Slip("your dlogits lacks the softmax: it has the logits themselves in its place", 1),
            "all rows": Slip("you subtracted 1 in every row at the targets of all positions; each row has one target, its "
                             "own", 2),
            "set to −1": Slip("you wrote −1 over the softmax at the target; it is subtracted there, p − 1", 2),
            "likeliest": Slip(LIKELIEST, 2),
            "shifted": Slip(SHIFTED, 2),
            "softmax again": Slip("you went back through the softmax once too often: softmax − onehot is the gradient of the "
                                  "logits already", 1),
            "times p": Slip("you went back through the softmax once too often: softmax − onehot is the gradient of the logits "
                            "already", 1),
        },
        invariants=(Invariant("dlogits", ROWS_TO_0, lambda trial, d: d.sum(-1)),),
        sources=(cross_entropy_backward, log_softmax_backward),
        large=_large_logits,
        unstable="exp overflows above 709; subtract the maximum of the row before exp",
    ),
)
